! Starter: write what the blanks say, in their order.
!! Perceptron on the Pima diabetes data, from scratch: eight measures of a woman, two binary neurons, "no" and "yes".
!!
!!   o_j = 1 if sum_i w_ji x_i - w_jb > 0, else 0         w_ji = w_ji + rate (t_j - o_j) x_i
!!
!!   gfortran -O3 kamacite.f90 exercise.f90 perceptron_pima.f90 -lkamacite && ./a.out --data pima.data --seeds 50
!!
!! Expected over 50 seeds: 57 to 78 % at the last epoch, median 72 %; "no" alone is 65.1 %. It jumps: no line parts the classes.
!! Conventions: all 768 women are trained on and tested on; pregnancies are cut at 8; the age becomes (age - 30) mod 10 with the
!! sign of age - 30, cut at 5 (as the course has it: is that wise?); then each feature (x - mean) / max |x - mean|; one woman
!! after the other in a new order each epoch; rate 0.05, 400 epochs; weights start uniform in +-0.005; the bias is an input that
!! is always -1, its weights are the last column; class = first maximum of the answers (so 00 and 11 count as "no"). Single
!! precision.
module perceptron_pima_steps
  use exercise, only: blank
  use, intrinsic :: iso_fortran_env, only: real64
  implicit none

contains

  !! x(8, n): pregnancies, glucose, blood pressure, skin, insulin, mass index, pedigree, age.
  subroutine prepare(x)
    real, intent(inout) :: x(:, :)
    call blank("1. cut the pregnancies x(1, :) at 8; replace the ages x(8, :) by (age - 30) mod &
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

  !! The neurons: o(n) = 0 or 1 from x(m) and w(n, m + 1); the last column of w belongs to the bias.
  subroutine neurons(o, x, w)
    real, intent(out) :: o(:)
    real, intent(in) :: x(:), w(:, :)
    integer :: i, m
    m = size(x)
    call blank("3. o = 1 where sum_i w(:, i) x(i) - w(:, m + 1) > 0, else 0; whole columns of w &
      &at a time")
  end subroutine

  !! The delta rule: neurons that answered o(n) learn the targets t(n).
  subroutine learn(w, x, o, t, rate)
    real, intent(inout) :: w(:, :)
    real, intent(in) :: x(:), o(:), t(:), rate
    integer :: i, m
    m = size(x)
    call blank("4. w(:, i) = w(:, i) + rate (t - o) x_i for every input i, and the bias column &
      &w(:, m + 1)")
  end subroutine

end module perceptron_pima_steps

program perceptron_pima
  use kamacite
  use exercise
  use perceptron_pima_steps
  use, intrinsic :: iso_fortran_env, only: int64, real64
  implicit none
  integer, parameter :: inputs = 8, outputs = 2

  call run()

contains

  !! One woman after the other, in a new order each epoch.
  subroutine train(w, x, labels, epochs, seed)
    real, intent(out) :: w(outputs, inputs + 1)
    real, intent(in) :: x(:, :)
    integer, intent(in) :: labels(:)
    integer(int64), intent(in) :: epochs, seed
    integer(int64) :: order(size(labels)), epoch
    real :: o(outputs), t(outputs)
    integer :: s
    call kmc_random_uniform(w, -0.005_real64, 0.005_real64, seed)
    do epoch = 0, epochs - 1
      call kmc_shuffle(order, seed * 100000 + epoch)
      do s = 1, size(labels)
        associate (woman => x(:, order(s)))
          t = 0
          t(labels(order(s))) = 1
          call blank("5. one woman: ask the neurons, let them learn with rate 0.05")
        end associate
      end do
    end do
  end subroutine

  !! Confusion matrix (true, predicted) of some samples, and the share that is right, in percent.
  subroutine test(w, x, labels, confusion, accuracy)
    real, intent(in) :: w(:, :), x(:, :)
    integer, intent(in) :: labels(:)
    integer, intent(out) :: confusion(outputs, outputs)
    real(real64), intent(out) :: accuracy
    real :: o(outputs, size(labels))
    integer :: predicted(size(labels)), s
    do s = 1, size(labels)
      call neurons(o(:, s), x(:, s), w)
    end do
    call kmc_argmax(o, predicted)
    call kmc_confusion(labels, predicted, confusion)
    call kmc_confusion_scores(confusion, accuracy=accuracy)
    accuracy = 100 * accuracy
  end subroutine

  subroutine run()
    type(options) :: o
    real, allocatable :: x(:, :)
    integer, allocatable :: labels(:)
    real :: w(outputs, inputs + 1)
    real(real64), allocatable :: accuracy(:)
    real(real64) :: total, middle
    integer :: confusion(outputs, outputs), i, j
    integer(int64) :: r
    o%epochs = 400
    o%data = "pima.data"
    call options_parse(o)
    call table_read(x, labels, o%data, inputs)
    call prepare(x)
    call normalise(x)
    allocate(accuracy(o%seeds))
    total = 0
    do r = 1, o%seeds
      call train(w, x, labels, merge(20_int64, o%epochs, o%smoke), o%seed + r - 1)
      call test(w, x, labels, confusion, accuracy(r))
      do i = 1, inputs + 1
        do j = 1, outputs
          total = total + w(j, i)
        end do
      end do
    end do
    call kmc_print_confusion(confusion)
    middle = median(accuracy) ! sorts
    print "(*(a))", "RESULT seeds=", str(o%seeds), " accuracy_min=", str(accuracy(1), 2), " accuracy_median=", &
      str(middle, 2), " accuracy_max=", str(accuracy(o%seeds), 2), " sum_bits=", bits(total)
  end subroutine

end program perceptron_pima
