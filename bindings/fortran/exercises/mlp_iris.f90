!! Multilayer perceptron on the iris flowers, from scratch: 4 measures, 4 hidden neurons, 3 species.
!!
!!   f(a) = 1 / (1 + exp(-a))                    E = 1/2 sum_k (o_k - t_k)^2
!!   h_j = f(sum_i w1_ji x_i - w1_jb)            o_k = f(sum_j w2_kj h_j - w2_kb)
!!   d_k = (o_k - t_k) o_k (1 - o_k)             dE/dw2_kj = d_k h_j
!!   e_j = h_j (1 - h_j) sum_k w2_kj d_k         dE/dw1_ji = e_j x_i             w = w - rate dE/dw
!!
!!   gfortran -O3 kamacite.f90 exercise.f90 mlp_iris.f90 -lkamacite && ./a.out --data iris.data --seeds 50
!!
!! Expected: 98.00 % of the 50 test flowers in 50 of 50 seeds, half error 0.0202 to 0.0216.
!! Conventions: all 150 flowers normalised together, per feature, (x - mean) / max |x - mean|; first 100 train, last 50 test; one
!! flower after the other in a new order each epoch; weights start uniform in +-0.01; the bias is an input that is always -1,
!! its weights are the last column; class = first maximum; the test error has the factor 1/2. Single precision.
module mlp_iris_steps
  use exercise, only: blank
  use, intrinsic :: iso_fortran_env, only: real64
  implicit none

contains

  !! x(m, n): every feature to mean 0 and largest absolute value 1.
  subroutine normalise(x)
    real, intent(inout) :: x(:, :)
    integer :: i
    do i = 1, size(x, 1)
      ! >>> 1. feature i: subtract its mean over the n samples, then divide by the largest absolute value
      block
        real(real64) :: mean
        integer :: s
        mean = 0
        do s = 1, size(x, 2)
          mean = mean + x(i, s)
        end do
        x(i, :) = x(i, :) - real(mean / size(x, 2))
        if (any(abs(x(i, :)) > 0)) x(i, :) = x(i, :) / maxval(abs(x(i, :)))
      end block
      ! <<<
    end do
  end subroutine

  !! y(n) from x(m) and w(n, m + 1); the last column of w belongs to the bias.
  subroutine layer(y, x, w)
    real, intent(out) :: y(:)
    real, intent(in) :: x(:), w(:, :)
    integer :: i, m
    m = size(x)
    ! >>> 2. y = f(sum_i w(:, i) x(i) - w(:, m + 1)), f(a) = 1 / (1 + exp(-a)); whole columns of w at a time
    y = 0
    do i = 1, m
      y = y + x(i) * w(:, i)
    end do
    y = 1 / (1 + exp(-(y - w(:, m + 1))))
    ! <<<
  end subroutine

  !! d(n) = dE/da of the output neurons, from their values o(n) and the targets t(n).
  subroutine output_delta(d, o, t)
    real, intent(out) :: d(:)
    real, intent(in) :: o(:), t(:)
    ! >>> 3. d_k = (o_k - t_k) o_k (1 - o_k)
    d = (o - t) * o * (1 - o)
    ! <<<
  end subroutine

  !! e(m) = dE/da of the hidden neurons, from their values h(m), the deltas d(n) of the layer above and its weights w(n, m + 1).
  subroutine hidden_delta(e, d, h, w)
    real, intent(out) :: e(:)
    real, intent(in) :: d(:), h(:), w(:, :)
    integer :: j
    do j = 1, size(h)
      ! >>> 4. e_j = h_j (1 - h_j) sum_k w_kj d_k
      block
        real :: total
        integer :: k
        total = 0
        do k = 1, size(d)
          total = total + w(k, j) * d(k)
        end do
        e(j) = h(j) * (1 - h(j)) * total
      end block
      ! <<<
    end do
  end subroutine

  !! g(n, m + 1) = dE/dw of a layer with inputs x(m) and deltas d(n); the last column belongs to the bias input -1.
  subroutine gradient(g, x, d)
    real, intent(out) :: g(:, :)
    real, intent(in) :: x(:), d(:)
    integer :: i, m
    m = size(x)
    ! >>> 5. g(:, i) = d x_i for every input i, and the bias column g(:, m + 1)
    do i = 1, m
      g(:, i) = x(i) * d
    end do
    g(:, m + 1) = -d
    ! <<<
  end subroutine

  !! One step down the gradient.
  subroutine update(w, g, rate)
    real, intent(inout) :: w(:, :)
    real, intent(in) :: g(:, :), rate
    ! >>> 6. w = w - rate g
    w = w - rate * g
    ! <<<
  end subroutine

end module mlp_iris_steps

program mlp_iris
  use kamacite
  use exercise
  use mlp_iris_steps
  use, intrinsic :: iso_fortran_env, only: int64, real64
  implicit none
  integer, parameter :: inputs = 4, hidden = 4, outputs = 3, training = 100

  !! The network: w1(hidden, inputs + 1) and w2(outputs, hidden + 1).
  type :: network
    real :: w1(hidden, inputs + 1), w2(outputs, hidden + 1)
  end type

  call run()

contains

  !! New weights, then online gradient descent on the first samples.
  subroutine train(net, x, labels, epochs, seed)
    type(network), intent(out) :: net
    real, intent(in) :: x(:, :)
    integer, intent(in) :: labels(:)
    integer(int64), intent(in) :: epochs, seed
    real :: w(size(net%w1) + size(net%w2)), h(hidden), o(outputs), d(outputs), e(hidden), t(outputs)
    real :: g1(hidden, inputs + 1), g2(outputs, hidden + 1)
    integer(int64) :: order(training), epoch
    integer :: s
    call first_weights(net, w, seed)
    do epoch = 0, epochs - 1
      call kmc_shuffle(order, seed * 100000 + epoch)
      do s = 1, training
        associate (flower => x(:, order(s)))
          t = 0
          t(labels(order(s))) = 1
          ! >>> 7. one step: both layers forward, both deltas, both gradients g1 and g2, both updates with rate 0.1
          call layer(h, flower, net%w1)
          call layer(o, h, net%w2)
          call output_delta(d, o, t)
          call hidden_delta(e, d, h, net%w2)
          call gradient(g1, flower, e)
          call gradient(g2, h, d)
          call update(net%w1, g1, 0.1)
          call update(net%w2, g2, 0.1)
          ! <<<
        end associate
      end do
    end do
  end subroutine

  !! Uniform in +-0.01, drawn neuron after neuron of each input: the same numbers as in C and Rust.
  subroutine first_weights(net, w, seed)
    type(network), intent(out) :: net
    real, intent(out) :: w(:)
    integer(int64), intent(in) :: seed
    call kmc_random_uniform(w, -0.01_real64, 0.01_real64, seed)
    net%w1 = reshape(w(:size(net%w1)), shape(net%w1))
    net%w2 = reshape(w(size(net%w1) + 1:), shape(net%w2))
  end subroutine

  !! Predictions for some samples, and the mean of E over them.
  subroutine test(net, x, labels, predicted, error)
    type(network), intent(in) :: net
    real, intent(in) :: x(:, :)
    integer, intent(in) :: labels(:)
    integer, intent(out) :: predicted(:)
    real(real64), intent(out) :: error
    real :: h(hidden), o(outputs, size(labels)), t(outputs)
    integer :: s, k
    error = 0
    do s = 1, size(labels)
      call layer(h, x(:, s), net%w1)
      call layer(o(:, s), h, net%w2)
      t = 0
      t(labels(s)) = 1
      do k = 1, outputs
        error = error + 0.5_real64 * real(o(k, s) - t(k), real64)**2
      end do
    end do
    call kmc_argmax(o, predicted)
    error = error / size(labels)
  end subroutine

  subroutine run()
    type(options) :: o
    type(network) :: net
    real, allocatable :: x(:, :)
    integer, allocatable :: labels(:), predicted(:)
    integer :: confusion(outputs, outputs), at_98
    integer(int64) :: seed
    real(real64) :: accuracy, error, lowest, highest, total
    o%epochs = 1000
    o%data = "iris.data"
    call options_parse(o)
    call table_read(x, labels, o%data, inputs)
    if (size(labels) <= training) call fail(o%data // ": more than " // str(training) // " flowers are needed")
    allocate(predicted(size(labels) - training))
    call normalise(x)
    at_98 = 0
    lowest = huge(lowest)
    highest = 0
    total = 0
    do seed = o%seed, o%seed + o%seeds - 1
      call train(net, x, labels, merge(100_int64, o%epochs, o%smoke), seed)
      call test(net, x(:, training + 1:), labels(training + 1:), predicted, error)
      call kmc_confusion(labels(training + 1:), predicted, confusion)
      call kmc_confusion_scores(confusion, accuracy=accuracy)
      if (abs(accuracy - 0.98_real64) < 1e-9_real64) at_98 = at_98 + 1
      lowest = min(lowest, error)
      highest = max(highest, error)
      total = total + error
    end do
    call kmc_print_confusion(confusion)
    print "(*(a))", "RESULT seeds=", str(o%seeds), " at_98=", str(at_98), " half_error_min=", str(lowest, 4), &
      " half_error_max=", str(highest, 4), " sum_bits=", bits(total)
  end subroutine

end program mlp_iris
