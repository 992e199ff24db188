!! cnn_spectra.f90 for the checker bindings/c/exercises/check/cnn_spectra.c, which calls C functions; x[rows][length][c] of C is
!! x(c, length, rows) here.
module cnn_spectra_bridge
  use, intrinsic :: iso_c_binding
  use kamacite
  use cnn_spectra_steps
  implicit none

  ! `kmc_window` of kamacite.h and `stage` of spectra.h.
  type, bind(C) :: c_window
    integer(c_int32_t) :: size, reserved
    integer(c_int64_t) :: d, h, w, c, filters, kernel(3), stride(3), before(3), after(3), dilation(3), groups
  end type
  type, bind(C) :: c_stage
    type(c_window) :: window
    integer(c_int64_t) :: inputs, outputs, filters, weights
  end type

contains

  subroutine window_of(window, s)
    type(kmc_window), intent(out) :: window
    type(c_stage), intent(in) :: s
    call window%set(int([s%window%c, s%window%w]), filters=int(s%filters), kernel=[int(s%window%kernel(3))], &
      stride=[int(s%window%stride(3))], pad=[int(s%window%before(3))])
  end subroutine

  subroutine c_conv_forward(y, x, w, s, rows) bind(C, name="conv_forward")
    type(c_stage), intent(in) :: s
    integer(c_int64_t), value :: rows
    real(c_float), intent(inout) :: y(s%filters, s%outputs / s%filters, rows)
    real(c_float), intent(in) :: x(s%window%c, s%window%w, rows), w(s%weights)
    type(kmc_window) :: window
    call window_of(window, s)
    call conv_forward(y, x, reshape(w(:s%weights - s%filters), int([s%filters, s%window%c, s%window%kernel(3)])), &
      w(s%weights - s%filters + 1:), window)
  end subroutine

  subroutine c_conv_backward(dx, g, dy, x, y, w, s, rows) bind(C, name="conv_backward")
    type(c_stage), intent(in) :: s
    integer(c_int64_t), value :: rows
    real(c_float), intent(inout) :: dx(s%window%c, s%window%w, rows), g(s%weights), dy(s%filters, s%outputs / s%filters, rows)
    real(c_float), intent(in) :: x(s%window%c, s%window%w, rows), y(s%filters, s%outputs / s%filters, rows), w(s%weights)
    real(c_float) :: kernels(s%filters, s%window%c, s%window%kernel(3)), gw(s%filters, s%window%c, s%window%kernel(3))
    type(kmc_window) :: window
    call window_of(window, s)
    kernels = reshape(w(:size(kernels)), shape(kernels))
    gw = reshape(g(:size(gw)), shape(gw))
    call conv_backward(gw, g(size(gw) + 1:), dy, x, y, kernels, window, dx)
    g(:size(gw)) = reshape(gw, [size(gw)])
  end subroutine

  subroutine c_dense_forward(a, x, w, rows, m, n) bind(C, name="dense_forward")
    integer(c_int64_t), value :: rows, m, n
    real(c_float), intent(inout) :: a(n, rows)
    real(c_float), intent(in) :: x(m, rows), w(n, m + 1)
    call dense_forward(a, x, w(:, :m), w(:, m + 1))
  end subroutine

  subroutine c_dense_backward(dx, g, d, x, w, rows, m, n) bind(C, name="dense_backward")
    integer(c_int64_t), value :: rows, m, n
    real(c_float), intent(inout) :: dx(m, rows), g(n, m + 1)
    real(c_float), intent(in) :: d(n, rows), x(m, rows), w(n, m + 1)
    call dense_backward(dx, g(:, :m), g(:, m + 1), d, x, w(:, :m))
  end subroutine

  function c_softmax_loss(d, a, label, rows, n) bind(C, name="softmax_loss") result(loss)
    integer(c_int64_t), value :: rows, n
    real(c_float), intent(inout) :: d(n, rows)
    real(c_float), intent(in) :: a(n, rows)
    integer(c_int32_t), intent(in) :: label(rows)
    real(c_double) :: loss
    call softmax_loss(d, a, label + 1, loss)
  end function

  subroutine c_update(w, v, g, n, rate, momentum) bind(C, name="update")
    integer(c_int), value :: n
    real(c_float), value :: rate, momentum
    real(c_float), intent(inout) :: w(n), v(n)
    real(c_float), intent(in) :: g(n)
    call update(w, v, g, rate, momentum)
  end subroutine

end module cnn_spectra_bridge
