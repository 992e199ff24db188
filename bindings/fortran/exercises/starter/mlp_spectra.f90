! Starter: write what the blanks say, in their order.
!! Multilayer perceptron on stellar spectra, from scratch, as matrix products: 3753 pixels, 8 hidden neurons, 7 classes.
!!
!! The columns of X are spectra, with a last row of -1 for the bias; so has H. f is the logistic function, o multiplies elements.
!!   H = f(W1 X)     O = f(W2 H)     D = (O - T) o O o (1 - O)     E = (W2' D) o H o (1 - H)     dW2 = D H'     dW1 = E X'
!!
!!   gfortran -O3 kamacite.f90 exercise.f90 spectra.f90 mlp_spectra.f90 -lkamacite && ./a.out --mode online
!!
!! --mode  online     915 spectra an epoch, one after the other in a new order, rate 0.1, 100 epochs
!!         sgd        915 draws with replacement an epoch, one after the other, rate 0.1, 100 epochs
!!         batch      all 915 in one step, gradients summed, rate 0.005, 3000 epochs
!!         rebalance  a batch of the first 10, 20, 30, 20, 20, 20, 10 of each class, rate 0.02, 1500 epochs
!! Without --data FOLDER the spectra are made; with it, FOLDER/train.dat and target.dat are read (made, if only train.dat is
!! missing).
!! Expected on made spectra, in % of 200: see expected.txt.
!! Conventions: all spectra normalised together, per pixel, (x - mean) / max |x - mean|; first 915 train, last 200 test; weights
!! start uniform in +-0.01; class = first maximum; the test error has the factor 1/2. Single precision.
module mlp_spectra_steps
  use kamacite
  use exercise, only: blank
  use, intrinsic :: iso_fortran_env, only: real64
  implicit none

contains

  !! x(m, n): every feature to mean 0 and largest absolute value 1.
  subroutine normalise(x)
    real, intent(inout) :: x(:, :)
    integer :: i
    do i = 1, size(x, 1)
      call blank("1. feature i: subtract its mean over the n samples, then divide by the largest &
        &absolute value")
    end do
  end subroutine

  !! y(n, columns) = f(w(n, m) x(m, columns)).
  subroutine layer(y, x, w)
    real, intent(inout) :: y(:, :)
    real, intent(in), contiguous :: x(:, :), w(:, :)
    call blank("2. the product w x by kmc_gemm (or matmul, which sums in an order of its own), &
      &then f of each value")
  end subroutine

  !! d from the outputs o and targets t.
  subroutine output_delta(d, o, t)
    real, intent(out) :: d(:, :)
    real, intent(in) :: o(:, :), t(:, :)
    call blank("3. d = (o - t) o (1 - o)")
  end subroutine

  !! e(m, columns) from d(n, columns), the hidden values h(m + 1, columns) and the weights w(n, m + 1) above them, of which the last
  !! column is the bias's.
  subroutine hidden_delta(e, d, h, w)
    real, intent(inout), contiguous :: e(:, :)
    real, intent(in), contiguous :: d(:, :), h(:, :), w(:, :)
    integer :: m
    m = size(e, 1)
    call blank("4. e = w' d by kmc_gemm with trans_a (without the bias's column), then times h &
      &(1 - h) element by element")
  end subroutine

  !! g(n, m) = dE/dw, summed over the columns of x(m, columns) and d(n, columns).
  subroutine gradient(g, x, d)
    real, intent(inout), contiguous :: g(:, :)
    real, intent(in), contiguous :: x(:, :), d(:, :)
    call blank("5. g = d x' by kmc_gemm with trans_b")
  end subroutine

  !! One step down the gradient.
  subroutine update(w, g, rate)
    real, intent(inout) :: w(:, :)
    real, intent(in) :: g(:, :), rate
    call blank("6. w = w - rate g")
  end subroutine

  !! Moves the first cap(c) spectra of each class c to the front of x and t; `kept` is how many these are.
  subroutine rebalance(x, t, labels, cap, kept)
    real, intent(inout) :: x(:, :), t(:, :)
    integer, intent(in) :: labels(:), cap(:)
    integer, intent(out) :: kept
    integer :: taken(size(cap)), s
    kept = 0
    taken = 0
    do s = 1, size(labels)
      call blank("8. (rebalance) if class labels(s) is not full: count it in taken and kept, copy &
        &spectrum and target s to column kept")
    end do
  end subroutine

end module mlp_spectra_steps

program mlp_spectra
  use kamacite
  use exercise
  use spectra
  use mlp_spectra_steps
  use, intrinsic :: iso_fortran_env, only: int64, real64
  implicit none
  integer, parameter :: inputs = pixels + 1, hidden = 8

  !! Weights, the bias's as the last column; and what one step computes, for up to so many spectra, h(hidden + 1, :) being -1.
  type :: network
    real, allocatable :: w1(:, :), w2(:, :), g1(:, :), g2(:, :), h(:, :), o(:, :), d(:, :), e(:, :)
  end type

  call run()

contains

  !! Hidden and output values of some spectra.
  subroutine forward(net, x)
    type(network), intent(inout) :: net
    real, intent(in), contiguous :: x(:, :)
    integer :: n
    n = size(x, 2)
    call layer(net%h(:hidden, :n), x, net%w1)
    call layer(net%o(:, :n), net%h(:, :n), net%w2)
  end subroutine

  !! Forward, backward, update for some spectra x(inputs, n) with targets t(classes, n).
  subroutine step(net, x, t, rate)
    type(network), intent(inout) :: net
    real, intent(in), contiguous :: x(:, :), t(:, :)
    real, intent(in) :: rate
    integer :: n
    n = size(x, 2)
    call forward(net, x)
    associate (h => net%h(:, :n), o => net%o(:, :n), d => net%d(:, :n), e => net%e(:, :n))
      call blank("7. both deltas, both gradients (net%g1 and net%g2), both updates")
    end associate
  end subroutine

  !! New weights, uniform in +-0.01: the same numbers as in C and Rust.
  subroutine first_weights(net, seed)
    type(network), intent(inout) :: net
    integer(int64), intent(in) :: seed
    real, allocatable :: w(:)
    allocate(w(hidden * inputs + classes * (hidden + 1)))
    call kmc_random_uniform(w, -0.01_real64, 0.01_real64, seed)
    net%w1 = reshape(w(:hidden * inputs), [hidden, inputs])
    net%w2 = reshape(w(hidden * inputs + 1:), [classes, hidden + 1])
  end subroutine

  !! Trains from new weights; `single`: one spectrum a step, in a new order or (`draws`) drawn with replacement; else all in one.
  subroutine train(net, x, t, single, draws, rate, epochs, seed)
    type(network), intent(inout) :: net
    real, intent(in), contiguous :: x(:, :), t(:, :)
    logical, intent(in) :: single, draws
    real, intent(in) :: rate
    integer(int64), intent(in) :: epochs, seed
    integer(int64) :: order(size(x, 2)), epoch
    real :: drawn(size(x, 2))
    integer :: i, n, s
    n = size(x, 2)
    call first_weights(net, seed)
    do epoch = 0, epochs - 1
      if (.not. single) then
        call step(net, x, t, rate)
        cycle
      end if
      call kmc_shuffle(order, seed * 100000 + epoch)
      if (draws) call kmc_random_uniform(drawn, 0.0_real64, real(n, real64), seed * 100000 + epoch)
      do i = 1, n
        s = int(order(i))
        if (draws) s = mod(int(drawn(i)), n) + 1
        call step(net, x(:, s:s), t(:, s:s), rate)
      end do
    end do
  end subroutine

  !! Spectra with the bias row, their classes and one-hot targets.
  subroutine prepare(x, t, labels, folder)
    real, allocatable, intent(out) :: x(:, :), t(:, :)
    integer, allocatable, intent(out) :: labels(:)
    character(len=:), allocatable, intent(in) :: folder
    type(kmc_dataset) :: data
    real, allocatable :: flux(:, :)
    integer :: s
    call spectra_read(data, folder)
    allocate(flux(pixels, all_spectra), x(inputs, all_spectra), t(classes, all_spectra), labels(all_spectra))
    call data%get_inputs(flux)
    call data%get_labels(labels)
    call normalise(flux)
    x(:pixels, :) = flux
    x(inputs, :) = -1
    t = 0
    do s = 1, all_spectra
      t(labels(s), s) = 1
    end do
  end subroutine

  !! Mean of 1/2 sum_k (o_k - t_k)^2 times the number of spectra; the sum is in the order of memory.
  function half_error(o, t) result(error)
    real, intent(in) :: o(:, :), t(:, :)
    real(real64) :: error
    integer :: k, s
    error = 0
    do s = 1, size(o, 2)
      do k = 1, size(o, 1)
        error = error + 0.5_real64 * real(o(k, s) - t(k, s), real64)**2
      end do
    end do
  end function

  subroutine run()
    integer, parameter :: cap(classes) = [10, 20, 30, 20, 20, 20, 10], tests = all_spectra - training
    type(options) :: o
    type(network) :: net
    real, allocatable :: x(:, :), t(:, :)
    integer, allocatable :: labels(:)
    logical :: single, draws
    real :: rate
    integer :: confusion(classes, classes), predicted(tests), n
    integer(int64) :: r
    real(real64), allocatable :: accuracy(:)
    real(real64) :: error, middle
    o%mode = "online"
    call options_parse(o)
    single = o%mode == "online" .or. o%mode == "sgd"
    draws = o%mode == "sgd"
    if (.not. single .and. o%mode /= "batch" .and. o%mode /= "rebalance") &
      call fail("--mode " // o%mode // ": expected online, sgd, batch or rebalance")
    rate = merge(0.1, merge(0.02, 0.005, o%mode == "rebalance"), single)
    if (o%epochs == 0) o%epochs = merge(100, merge(1500, 3000, o%mode == "rebalance"), single)
    if (o%smoke) o%epochs = 2
    call prepare(x, t, labels, o%data)
    n = training
    if (o%mode == "rebalance") call rebalance(x, t, labels(:training), cap, n)
    allocate(net%g1(hidden, inputs), net%g2(classes, hidden + 1), net%h(hidden + 1, training), net%o(classes, training), &
      net%d(classes, training), net%e(hidden, training), accuracy(o%seeds))
    net%h = -1
    error = 0
    do r = 1, o%seeds
      call train(net, x(:, :n), t(:, :n), single, draws, rate, o%epochs, o%seed + r - 1)
      call forward(net, x(:, training + 1:))
      error = error + half_error(net%o(:, :tests), t(:, training + 1:))
      call kmc_argmax(net%o(:, :tests), predicted)
      call kmc_confusion(labels(training + 1:), predicted, confusion)
      call kmc_confusion_scores(confusion, accuracy=accuracy(r))
    end do
    call kmc_print_confusion(confusion, class_names)
    middle = median(accuracy) ! sorts
    print "(*(a))", "RESULT mode=", o%mode, " seeds=", str(o%seeds), " trained_on=", str(n), " accuracy_min=", &
      str(100 * accuracy(1), 2), " accuracy_median=", str(100 * middle, 2), " accuracy_max=", str(100 * accuracy(o%seeds), 2), &
      " half_error=", str(error / (tests * o%seeds), 4), " sum_bits=", bits(error)
  end subroutine

end program mlp_spectra
