!! A convolutional network in one dimension on stellar spectra, from scratch on the library's convolutions: 3753 pixels, 7
!! classes.
!!
!!   3 x [convolution: 8, 16, 32 filters of 8 pixels, stride 4; ReLU]  ->  dense 7, softmax
!!   convolution  a_fj = b_f + sum_u sum_c w_fcu x_c(4j-2+u)     y = max(0, a)     dE/da = dE/dy where y > 0, else 0
!!   softmax      p_k = exp(a_k) / sum_l exp(a_l)                E = -ln p_t       dE/da_k = p_k - [k = t], means over a batch
!!   momentum     v = 0.8 v + dE/dw                              w = w - rate v
!!
!!   gfortran -O3 kamacite.f90 exercise.f90 spectra.f90 cnn_spectra.f90 -lkamacite && ./a.out
!!
!! Without --data FOLDER the spectra are made; with it, FOLDER/train.dat and target.dat are read (made, if only train.dat is
!! missing).
!! Expected on made spectra, in % of 200: see expected.txt.
!! Conventions: pixels become tanh(40 x); of the first 915 spectra the first 10, 30, 30, 20, 20, 30, 10 of each class train, in
!! batches of 16, in a new order each epoch (what is left over waits); the last 200 test; weights start uniform in +-sqrt(6 /
!! inputs of a unit) but the last ones in +-0.01, biases at 0. Single precision; the loss in double.
module cnn_spectra_steps
  use kamacite
  use exercise, only: blank
  use, intrinsic :: iso_fortran_env, only: real64
  implicit none

contains

  !! y(filters, length, n) = ReLU of the convolution of x(c, length, n) with w(filters, c, kernel), biases b(filters).
  subroutine conv_forward(y, x, w, b, window)
    real, intent(inout), contiguous :: y(:, :, :)
    real, intent(in), contiguous :: x(:, :, :), w(:, :, :), b(:)
    type(kmc_window), intent(in) :: window
    ! >>> 1. kmc_conv_forward with the biases; then y = max(0, y)
    call kmc_conv_forward(x, w, window, y, b)
    y = max(y, 0.0)
    ! <<<
  end subroutine

  !! gw = dE/dw, gb = dE/db and, where it is present, dx = dE/dx from dy = dE/dy, which becomes dE/da on the way.
  subroutine conv_backward(gw, gb, dy, x, y, w, window, dx)
    real, intent(inout), contiguous :: gw(:, :, :), gb(:), dy(:, :, :)
    real, intent(in), contiguous :: x(:, :, :), y(:, :, :), w(:, :, :)
    type(kmc_window), intent(in) :: window
    real, intent(inout), contiguous, optional :: dx(:, :, :)
    ! >>> 2. dy = 0 where y is 0; kmc_conv_weight_gradient into gw and gb; if dx is present, kmc_conv_input_gradient
    where (y <= 0) dy = 0
    call kmc_conv_weight_gradient(x, dy, window, gw, gb)
    if (present(dx)) call kmc_conv_input_gradient(dy, w, window, dx)
    ! <<<
  end subroutine

  !! a(units, n) = w(units, m) x(m, n) + b(units).
  subroutine dense_forward(a, x, w, b)
    real, intent(inout), contiguous :: a(:, :)
    real, intent(in), contiguous :: x(:, :), w(:, :), b(:)
    integer :: s
    ! >>> 3. kmc_gemm, then add the biases to each column s
    call kmc_gemm(w, x, a)
    do s = 1, size(a, 2)
      a(:, s) = a(:, s) + b
    end do
    ! <<<
  end subroutine

  !! gw = dE/dw, gb = dE/db and dx = dE/dx from d(units, n) = dE/da.
  subroutine dense_backward(dx, gw, gb, d, x, w)
    real, intent(inout), contiguous :: dx(:, :), gw(:, :), gb(:)
    real, intent(in), contiguous :: d(:, :), x(:, :), w(:, :)
    integer :: s
    ! >>> 4. gw = d x' and dx = w' d by kmc_gemm; gb is the sum of the columns of d
    call kmc_gemm(d, x, gw, trans_b=.true.)
    call kmc_gemm(w, d, dx, trans_a=.true.)
    gb = 0
    do s = 1, size(d, 2)
      gb = gb + d(:, s)
    end do
    ! <<<
  end subroutine

  !! loss = mean of -ln p_t over the columns of a(classes, n); d is its gradient.
  subroutine softmax_loss(d, a, labels, loss)
    real, intent(inout) :: d(:, :)
    real, intent(in) :: a(:, :)
    integer, intent(in) :: labels(:)
    real(real64), intent(out) :: loss
    real(real64) :: p(size(a, 1)), largest, total
    integer :: k, n, s
    n = size(labels)
    loss = 0
    do s = 1, n
      ! >>> 5. p = softmax of column s (subtract the largest first: exp overflows); loss = loss - ln p_t; d_k = (p_k - [k = t]) / n
      largest = maxval(a(:, s))
      p = exp(a(:, s) - largest)
      total = 0
      do k = 1, size(p)
        total = total + p(k)
      end do
      loss = loss - (a(labels(s), s) - largest - log(total))
      p = p / total
      p(labels(s)) = p(labels(s)) - 1
      d(:, s) = real(p / n)
      ! <<<
    end do
    loss = loss / n
  end subroutine

  !! One step with momentum; v is the velocity of each weight.
  subroutine update(w, v, g, rate, momentum)
    real, intent(inout) :: w(:), v(:)
    real, intent(in) :: g(:), rate, momentum
    ! >>> 6. v = momentum v + g; w = w - rate v
    v = momentum * v + g
    w = w - rate * v
    ! <<<
  end subroutine

end module cnn_spectra_steps

program cnn_spectra
  use kamacite
  use exercise
  use spectra
  use cnn_spectra_steps
  use, intrinsic :: iso_fortran_env, only: int64, real64
  implicit none
  integer, parameter :: padded = 3776, convs = 3, batch = 16, tests = all_spectra - training

  !! A convolution: its part of the network's weights and gradients, and what it computes for some spectra.
  type :: stage
    type(kmc_window) :: window
    real, pointer, contiguous :: w(:, :, :), b(:), gw(:, :, :), gb(:), y(:, :, :), dy(:, :, :)
  end type

  !! The network: all weights, gradients and velocities, one layer after the other, the biases behind each; the dense layer reads
  !! the last convolution's values as `features`.
  type :: network
    real, pointer, contiguous :: weights(:), gradients(:), velocities(:)
    type(stage) :: conv(convs)
    real, pointer, contiguous :: features(:, :), dfeatures(:, :), w(:, :), b(:), gw(:, :), gb(:), a(:, :), d(:, :)
  end type

  call run()

contains

  !! Lays out the network for up to n spectra.
  subroutine build(net, n)
    type(network), intent(out) :: net
    integer, intent(in) :: n
    integer :: at, channels, filters, l, length(0:convs), m, shape(4)
    length(0) = padded
    channels = 1
    do l = 1, convs
      filters = 4 * 2**l
      call net%conv(l)%window%set([channels, length(l - 1)], filters=filters, kernel=[8], stride=[4], pad=[2])
      shape = net%conv(l)%window%output_shape()
      length(l) = shape(2)
      channels = filters
    end do
    m = channels * length(convs)
    at = 8 * (8 + 8 * 16 + 16 * 32) + 8 + 16 + 32 + (m + 1) * classes
    allocate(net%weights(at), net%gradients(at), net%velocities(at))
    at = 0
    channels = 1
    do l = 1, convs
      associate (s => net%conv(l))
        filters = 4 * 2**l
        s%w(1:filters, 1:channels, 1:8) => net%weights(at + 1:at + filters * channels * 8)
        s%gw(1:filters, 1:channels, 1:8) => net%gradients(at + 1:at + filters * channels * 8)
        at = at + filters * channels * 8
        s%b => net%weights(at + 1:at + filters)
        s%gb => net%gradients(at + 1:at + filters)
        at = at + filters
        allocate(s%y(filters, length(l), n), s%dy(filters, length(l), n))
        channels = filters
      end associate
    end do
    net%features(1:m, 1:n) => net%conv(convs)%y
    net%dfeatures(1:m, 1:n) => net%conv(convs)%dy
    net%w(1:classes, 1:m) => net%weights(at + 1:at + classes * m)
    net%gw(1:classes, 1:m) => net%gradients(at + 1:at + classes * m)
    at = at + classes * m
    net%b => net%weights(at + 1:)
    net%gb => net%gradients(at + 1:)
    allocate(net%a(classes, n), net%d(classes, n))
  end subroutine

  subroutine take_down(net)
    type(network), intent(inout) :: net
    integer :: l
    do l = 1, convs
      deallocate(net%conv(l)%y, net%conv(l)%dy)
    end do
    deallocate(net%weights, net%gradients, net%velocities, net%a, net%d)
  end subroutine

  !! New weights, no velocities.
  subroutine start(net, seed)
    type(network), intent(inout) :: net
    integer(int64), intent(in) :: seed
    real(real64) :: r
    integer :: l
    net%weights = 0
    net%velocities = 0
    do l = 1, convs
      associate (w => net%conv(l)%w)
        r = sqrt(6.0_real64 / (size(w, 2) * size(w, 3)))
        call fill(w, size(w), r, seed * 10 + l - 1)
      end associate
    end do
    call fill(net%w, size(net%w), 0.01_real64, seed * 10 + convs)
  end subroutine

  subroutine fill(w, n, r, seed)
    integer, intent(in) :: n
    real, intent(out) :: w(n)
    real(real64), intent(in) :: r
    integer(int64), intent(in) :: seed
    call kmc_random_uniform(w, -r, r, seed)
  end subroutine

  !! From spectra x(1, padded, n) to the logits net%a.
  subroutine forward(net, x)
    type(network), intent(inout) :: net
    real, intent(in), contiguous :: x(:, :, :)
    integer :: n
    n = size(x, 3)
    associate (c => net%conv)
      call conv_forward(c(1)%y(:, :, :n), x, c(1)%w, c(1)%b, c(1)%window)
      call conv_forward(c(2)%y(:, :, :n), c(1)%y(:, :, :n), c(2)%w, c(2)%b, c(2)%window)
      call conv_forward(c(3)%y(:, :, :n), c(2)%y(:, :, :n), c(3)%w, c(3)%b, c(3)%window)
    end associate
    call dense_forward(net%a(:, :n), net%features(:, :n), net%w, net%b)
  end subroutine

  !! From net%d to the gradients of all weights.
  subroutine backward(net, x)
    type(network), intent(inout) :: net
    real, intent(in), contiguous :: x(:, :, :)
    integer :: n
    n = size(x, 3)
    call dense_backward(net%dfeatures(:, :n), net%gw, net%gb, net%d(:, :n), net%features(:, :n), net%w)
    associate (c => net%conv)
      call conv_backward(c(3)%gw, c(3)%gb, c(3)%dy(:, :, :n), c(2)%y(:, :, :n), c(3)%y(:, :, :n), c(3)%w, c(3)%window, &
        c(2)%dy(:, :, :n))
      call conv_backward(c(2)%gw, c(2)%gb, c(2)%dy(:, :, :n), c(1)%y(:, :, :n), c(2)%y(:, :, :n), c(2)%w, c(2)%window, &
        c(1)%dy(:, :, :n))
      call conv_backward(c(1)%gw, c(1)%gb, c(1)%dy(:, :, :n), x, c(1)%y(:, :, :n), c(1)%w, c(1)%window)
    end associate
  end subroutine

  !! Trains from new weights on x(1, padded, n) in batches.
  subroutine train(net, x, labels, epochs, seed)
    type(network), intent(inout) :: net
    real, intent(in) :: x(:, :, :)
    integer, intent(in) :: labels(:)
    integer(int64), intent(in) :: epochs, seed
    integer(int64) :: order(size(labels)), epoch
    real, allocatable :: some(:, :, :)
    real(real64) :: loss
    integer :: b
    call start(net, seed)
    do epoch = 0, epochs - 1
      call kmc_shuffle(order, seed * 100000 + epoch)
      do b = 0, size(labels) - batch, batch
        some = x(:, :, order(b + 1:b + batch))
        call forward(net, some)
        call softmax_loss(net%d(:, :batch), net%a(:, :batch), labels(order(b + 1:b + batch)), loss)
        call backward(net, some)
        call update(net%weights, net%velocities, net%gradients, 0.02, 0.8)
      end do
    end do
  end subroutine

  !! Spectra to train on, as many of each class as it should be, and to test.
  subroutine read_data(train_x, train_labels, test_x, test_labels, folder)
    real, allocatable, intent(out) :: train_x(:, :, :), test_x(:, :, :)
    integer, allocatable, intent(out) :: train_labels(:), test_labels(:)
    character(len=:), allocatable, intent(in) :: folder
    type(kmc_dataset) :: all, first, last
    call spectra_read(all, folder)
    call all%normalize(kmc_tanh_range, kmc_global, 40.0_real64, 0.0_real64, 1.0_real64)
    call all%pad([1, padded])
    call all%split(training, first, last)
    call first%rebalance([10, 30, 30, 20, 20, 30, 10])
    call arrays(train_x, train_labels, first)
    call arrays(test_x, test_labels, last)
  end subroutine

  subroutine arrays(x, labels, data)
    real, allocatable, intent(out) :: x(:, :, :)
    integer, allocatable, intent(out) :: labels(:)
    type(kmc_dataset), intent(in) :: data
    allocate(x(1, padded, data%length()), labels(data%length()))
    call data%get_inputs(x)
    call data%get_labels(labels)
  end subroutine

  subroutine run()
    type(options) :: o
    type(network) :: net
    real, allocatable :: x(:, :, :), test_x(:, :, :)
    integer, allocatable :: labels(:), test_labels(:)
    integer :: confusion(classes, classes), predicted(tests)
    integer(int64) :: r
    real(real64), allocatable :: accuracy(:)
    real(real64) :: loss, total, middle
    o%epochs = 200
    call options_parse(o)
    call read_data(x, labels, test_x, test_labels, o%data)
    call build(net, tests)
    allocate(accuracy(o%seeds))
    total = 0
    do r = 1, o%seeds
      call train(net, x, labels, merge(2_int64, o%epochs, o%smoke), o%seed + r - 1)
      call forward(net, test_x)
      call softmax_loss(net%d, net%a, test_labels, loss)
      total = total + loss
      call kmc_argmax(net%a, predicted)
      call kmc_confusion(test_labels, predicted, confusion)
      call kmc_confusion_scores(confusion, accuracy=accuracy(r))
    end do
    call take_down(net)
    call kmc_print_confusion(confusion, class_names)
    middle = median(accuracy) ! sorts
    print "(*(a))", "RESULT seeds=", str(o%seeds), " trained_on=", str(size(labels)), " accuracy_min=", str(100 * accuracy(1), 2), &
      " accuracy_median=", str(100 * middle, 2), " accuracy_max=", str(100 * accuracy(o%seeds), 2), " loss=", &
      str(total / o%seeds, 4), " sum_bits=", bits(total)
  end subroutine

end program cnn_spectra
