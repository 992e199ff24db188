! Starter: write what the blanks say, in their order.
!! Multilayer perceptron on the Pima diabetes data, from scratch: 8 measures, 12 hidden neurons, "no" and "yes".
!!
!!   f(a) = 1 / (1 + exp(-a))                    E = 1/2 sum_k (o_k - t_k)^2
!!   h_j = f(sum_i w1_ji x_i - w1_jb)            o_k = f(sum_j w2_kj h_j - w2_kb)
!!   d_k = (o_k - t_k) o_k (1 - o_k)             dE/dw2_kj = d_k h_j
!!   e_j = h_j (1 - h_j) sum_k w2_kj d_k         dE/dw1_ji = e_j x_i             w = w - rate dE/dw
!!
!!   gfortran -O3 kamacite.f90 exercise.f90 mlp_pima.f90 -lkamacite && ./a.out --data pima.data --seeds 50
!!
!! Expected over 50 seeds: 75 to 82 % of the 200 test women, median 78 %; half error 0.14 to 0.16. "no" alone is 64.5 %.
!! Conventions: pregnancies are cut at 6; the age becomes (age - 30) mod 10 with the sign of age - 30, cut at 5 (as the course
!! has it); then all 768 women normalised together, per feature, (x - mean) / max |x - mean|; first 568 train, last 200 test;
!! one woman after the other in a new order each epoch; rate 0.05, 1500 epochs; weights start uniform in +-0.01; the bias is an
!! input that is always
!! -1, its weights are the last column; class = first maximum; the test error has the factor 1/2. Single precision.
module mlp_pima_steps
  use exercise, only: blank
  use, intrinsic :: iso_fortran_env, only: real64
  implicit none

contains

  !! x(8, n): pregnancies, glucose, blood pressure, skin, insulin, mass index, pedigree, age.
  subroutine prepare(x)
    real, intent(inout) :: x(:, :)
    call blank("1. cut the pregnancies x(1, :) at 6; replace the ages x(8, :) by (age - 30) mod &
      &10 (Fortran's mod), cut at 5")
  end subroutine

  !! x(m, n): every feature to mean 0 and largest absolute value 1.
  subroutine normalise(x)
    real, intent(inout) :: x(:, :)
    integer :: i
    do i = 1, size(x, 1)
      call blank("2. feature i: subtract its mean over the n samples, then divide by the largest &
        &absolute value")
    end do
  end subroutine

  !! y(n) from x(m) and w(n, m + 1); the last column of w belongs to the bias.
  subroutine layer(y, x, w)
    real, intent(out) :: y(:)
    real, intent(in) :: x(:), w(:, :)
    integer :: i, m
    m = size(x)
    call blank("3. y = f(sum_i w(:, i) x(i) - w(:, m + 1)), f(a) = 1 / (1 + exp(-a)); whole &
      &columns of w at a time")
  end subroutine

  !! d(n) = dE/da of the output neurons, from their values o(n) and the targets t(n).
  subroutine output_delta(d, o, t)
    real, intent(out) :: d(:)
    real, intent(in) :: o(:), t(:)
    call blank("4. d_k = (o_k - t_k) o_k (1 - o_k)")
  end subroutine

  !! e(m) = dE/da of the hidden neurons, from their values h(m), the deltas d(n) of the layer above and its weights w(n, m + 1).
  subroutine hidden_delta(e, d, h, w)
    real, intent(out) :: e(:)
    real, intent(in) :: d(:), h(:), w(:, :)
    integer :: j
    do j = 1, size(h)
      call blank("5. e_j = h_j (1 - h_j) sum_k w_kj d_k")
    end do
  end subroutine

  !! g(n, m + 1) = dE/dw of a layer with inputs x(m) and deltas d(n); the last column belongs to the bias input -1.
  subroutine gradient(g, x, d)
    real, intent(out) :: g(:, :)
    real, intent(in) :: x(:), d(:)
    integer :: i, m
    m = size(x)
    call blank("6. g(:, i) = d x_i for every input i, and the bias column g(:, m + 1)")
  end subroutine

  !! One step down the gradient.
  subroutine update(w, g, rate)
    real, intent(inout) :: w(:, :)
    real, intent(in) :: g(:, :), rate
    call blank("7. w = w - rate g")
  end subroutine

end module mlp_pima_steps

program mlp_pima
  use kamacite
  use exercise
  use mlp_pima_steps
  use, intrinsic :: iso_fortran_env, only: int64, real64
  implicit none
  integer, parameter :: inputs = 8, hidden = 12, outputs = 2, training = 568

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
        associate (woman => x(:, order(s)))
          t = 0
          t(labels(order(s))) = 1
          call blank("8. one step: both layers forward, both deltas, both gradients g1 and g2, both &
            &updates with rate 0.05")
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
    integer :: confusion(outputs, outputs)
    integer(int64) :: r
    real(real64), allocatable :: accuracy(:), error(:)
    real(real64) :: total, middle
    o%epochs = 1500
    o%data = "pima.data"
    call options_parse(o)
    call table_read(x, labels, o%data, inputs)
    if (size(labels) <= training) call fail(o%data // ": more than " // str(training) // " women are needed")
    allocate(predicted(size(labels) - training), accuracy(o%seeds), error(o%seeds))
    call prepare(x)
    call normalise(x)
    total = 0
    do r = 1, o%seeds
      call train(net, x, labels, merge(20_int64, o%epochs, o%smoke), o%seed + r - 1)
      call test(net, x(:, training + 1:), labels(training + 1:), predicted, error(r))
      call kmc_confusion(labels(training + 1:), predicted, confusion)
      call kmc_confusion_scores(confusion, accuracy=accuracy(r))
      total = total + error(r)
    end do
    call kmc_print_confusion(confusion)
    middle = median(accuracy) ! sorts
    print "(*(a))", "RESULT seeds=", str(o%seeds), " accuracy_min=", str(100 * accuracy(1), 2), " accuracy_median=", &
      str(100 * middle, 2), " accuracy_max=", str(100 * accuracy(o%seeds), 2), " half_error_median=", str(median(error), 4), &
      " sum_bits=", bits(total)
  end subroutine

end program mlp_pima
