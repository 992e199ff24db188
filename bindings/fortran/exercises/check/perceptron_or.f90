!! perceptron_or.f90 for the checker bindings/c/exercises/check/perceptron_or.c, which calls C functions.
module perceptron_or_bridge
  use, intrinsic :: iso_c_binding
  use perceptron_or_steps
  implicit none

contains

  function c_neuron(x, w, m) bind(C, name="neuron") result(o)
    integer(c_int), value :: m
    real(c_float), intent(in) :: x(m), w(m + 1)
    integer(c_int) :: o
    o = neuron(x, w)
  end function

  subroutine c_learn(w, x, o, t, m, rate) bind(C, name="learn")
    integer(c_int), value :: o, t, m
    real(c_float), value :: rate
    real(c_float), intent(inout) :: w(m + 1)
    real(c_float), intent(in) :: x(m)
    call learn(w, x, o, t, rate)
  end subroutine

end module perceptron_or_bridge
