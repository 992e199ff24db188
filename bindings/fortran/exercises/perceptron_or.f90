!! One binary neuron learns the OR gate, from scratch; --mode and learns AND; --mode xor shows what it cannot.
!!
!!   o = 1 if sum_i w_i x_i - w_b > 0, else 0         w = w + rate (t - o) x
!!
!!   gfortran -O3 kamacite.f90 exercise.f90 perceptron_or.f90 -lkamacite && ./a.out --seeds 50
!!
!! Expected: OR is right after 5 epochs from every start. Writes perceptron_or.svg, the line that the neuron draws.
!! Conventions: weights start uniform in +-0.01; the bias is an input that is always -1, its weight is the last one; rate 0.1;
!! the four rows in their order; 5 epochs (10 with --epochs 10).
module perceptron_or_steps
  use exercise, only: blank
  implicit none
  real :: line(3) !! the weights of the line in the picture

contains

  !! The neuron: 0 or 1 from x(m) and w(m + 1).
  function neuron(x, w) result(o)
    real, intent(in) :: x(:), w(:)
    integer :: o, i, m
    real :: a
    m = size(x)
    a = 0
    ! >>> 1. a = sum_i w_i x_i - w(m + 1)
    do i = 1, m
      a = a + x(i) * w(i)
    end do
    a = a - w(m + 1)
    ! <<<
    o = merge(1, 0, a > 0)
  end function

  !! The delta rule: a neuron that answered o learns the target t.
  subroutine learn(w, x, o, t, rate)
    real, intent(inout) :: w(:)
    real, intent(in) :: x(:), rate
    integer, intent(in) :: o, t
    ! >>> 2. w_i = w_i + rate (t - o) x_i, and the same for the bias, whose input is -1
    w = w + rate * (t - o) * [x, -1.0]
    ! <<<
  end subroutine

  !! For the picture: the class, from 1, of a point of the plane.
  function side(point) result(class)
    real, intent(in) :: point(2)
    integer :: class
    class = neuron(point, line) + 1
  end function

end module perceptron_or_steps

program perceptron_or
  use kamacite
  use exercise
  use perceptron_or_steps
  use, intrinsic :: iso_fortran_env, only: int64, real64
  implicit none
  integer, parameter :: inputs = 2, rows = 4

  call run()

contains

  subroutine run()
    real, parameter :: x(inputs, rows) = reshape([0., 0., 0., 1., 1., 0., 1., 1.], [inputs, rows])
    type(options) :: o
    real :: w(inputs + 1)
    real(real64) :: total
    integer :: t(rows), answer, learnt, right, s
    integer(int64) :: epoch, r
    o%epochs = 5
    o%mode = "or"
    call options_parse(o)
    t = [0, 1, 1, 1]
    if (o%mode == "and") t(2:3) = 0
    if (o%mode == "xor") t(4) = 0
    learnt = 0
    right = 0
    total = 0
    do r = 1, o%seeds
      call kmc_random_uniform(w, -0.01_real64, 0.01_real64, o%seed + r - 1)
      do epoch = 1, o%epochs
        do s = 1, rows
          ! >>> 3. one row: ask the neuron, let it learn with rate 0.1
          answer = neuron(x(:, s), w)
          call learn(w, x(:, s), answer, t(s), 0.1)
          ! <<<
        end do
      end do
      right = 0
      do s = 1, rows
        if (neuron(x(:, s), w) == t(s)) right = right + 1
      end do
      if (right == rows) learnt = learnt + 1
      total = total + (real(w(1), real64) + real(w(2), real64) + real(w(3), real64))
    end do
    line = w
    call kmc_plot_boundary("perceptron_or.svg", x, t + 1, side)
    print "(*(a))", "o = 1 if ", str(real(w(1), real64), 4), " x1 + ", str(real(w(2), real64), 4), " x2 > ", &
      str(real(w(3), real64), 4), ": ", str(right), " of 4 rows of ", o%mode, " are right"
    print "(*(a))", "RESULT seeds=", str(o%seeds), " learnt=", str(learnt), " sum_bits=", bits(total)
  end subroutine

end program perceptron_or
