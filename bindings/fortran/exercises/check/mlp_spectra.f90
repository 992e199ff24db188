!! mlp_spectra.f90 for the checker bindings/c/exercises/check/mlp_spectra.c, which calls C functions; x[rows][m] of C is x(m, rows) here.
module mlp_spectra_bridge
  use, intrinsic :: iso_c_binding
  use mlp_spectra_steps
  use spectra, only: classes, pixels
  implicit none

contains

  include "normalise.inc"

  subroutine c_layer(y, stride, x, w, rows, m, n) bind(C, name="layer")
    integer(c_int64_t), value :: stride, rows, m, n
    real(c_float), intent(inout) :: y(stride, rows)
    real(c_float), intent(in) :: x(m, rows), w(n, m)
    call layer(y(:n, :), x, w)
  end subroutine

  subroutine c_output_delta(d, o, t, n) bind(C, name="output_delta")
    integer(c_int64_t), value :: n
    real(c_float), intent(inout) :: d(n, 1)
    real(c_float), intent(in) :: o(n, 1), t(n, 1)
    call output_delta(d, o, t)
  end subroutine

  subroutine c_hidden_delta(e, d, h, w, rows, m, n) bind(C, name="hidden_delta")
    integer(c_int64_t), value :: rows, m, n
    real(c_float), intent(inout) :: e(m, rows)
    real(c_float), intent(in) :: d(n, rows), h(m + 1, rows), w(n, m + 1)
    call hidden_delta(e, d, h, w)
  end subroutine

  subroutine c_gradient(g, x, d, rows, m, n) bind(C, name="gradient")
    integer(c_int64_t), value :: rows, m, n
    real(c_float), intent(inout) :: g(n, m)
    real(c_float), intent(in) :: x(m, rows), d(n, rows)
    call gradient(g, x, d)
  end subroutine

  subroutine c_update(w, g, n, rate) bind(C, name="update")
    integer(c_int), value :: n
    real(c_float), value :: rate
    real(c_float), intent(inout) :: w(n, 1)
    real(c_float), intent(in) :: g(n, 1)
    call update(w, g, rate)
  end subroutine

  function c_rebalance(x, t, label, rows, cap) bind(C, name="rebalance") result(kept)
    integer(c_int64_t), value :: rows
    real(c_float), intent(inout) :: x(pixels + 1, rows), t(classes, rows)
    integer(c_int32_t), intent(in) :: label(rows)
    integer(c_int64_t), intent(in) :: cap(classes)
    integer(c_int64_t) :: kept
    integer :: n
    call rebalance(x, t, label + 1, int(cap), n)
    kept = n
  end function

end module mlp_spectra_bridge
