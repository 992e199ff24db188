! Starter: write what the blanks say, in their order.
!! Multilayer perceptron on the Pima diabetes data, with the network API: 8 measures, 12 hidden neurons, "no" and "yes".
!!
!!   E = 1/2 sum_k (o_k - t_k)^2, one woman a step, rate 0.05, 1500 epochs: the network of mlp_pima.f90.
!!
!!   gfortran -O3 kamacite.f90 exercise.f90 mlp_pima_net.f90 -lkamacite && ./a.out --data pima.data --seeds 10
!!
!! Expected: 75 to 82 % of the 200 test women, median 78 %; half error 0.14 to 0.16. "no" alone is 64.5 %.
!! Conventions: pregnancies are cut at 6; the age becomes (age - 30) mod 10 with the sign of age - 30, cut at 5 (as the course
!! has it); then all 768 women normalised together, per feature, (x - mean) / max |x - mean|; first 568 train, last 200 test;
!! weights start uniform in +-0.01, biases (added, not subtracted) at 0; class = first maximum; the test error has the factor 1/2.
module mlp_pima_net_steps
  use kamacite
  use exercise, only: blank, table_read
  use, intrinsic :: iso_fortran_env, only: int64, real64
  implicit none
  integer, parameter :: inputs = 8, hidden = 12, outputs = 2, training = 568

contains

  !! x(8, n): pregnancies, glucose, blood pressure, skin, insulin, mass index, pedigree, age.
  subroutine prepare(x)
    real, intent(inout) :: x(:, :)
    call blank("1. cut the pregnancies x(1, :) at 6; replace the ages x(8, :) by (age - 30) mod &
      &10 (Fortran's mod), cut at 5")
  end subroutine

  !! Women to train on and to test.
  subroutine read_data(train, test, path)
    type(kmc_dataset), intent(inout) :: train, test
    character(len=*), intent(in) :: path
    type(kmc_dataset) :: all
    real, allocatable :: x(:, :)
    integer, allocatable :: labels(:)
    call table_read(x, labels, path, inputs)
    call prepare(x)
    call blank("2. all%create(x), add_classes(labels, outputs), normalize by kmc_mean_max_abs, &
      &kmc_per_feature; split after `training`")
  end subroutine

  !! The description of the network.
  subroutine describe(net)
    type(kmc_network), intent(inout) :: net
    call net%create([inputs])
    call blank("3. two dense layers of `hidden` and `outputs` units, kmc_logistic, with &
      &init=kmc_init_uniform and init_value=0.01_real64")
  end subroutine

  !! The rules of training.
  subroutine rules(r, seed)
    type(kmc_trainer_options), intent(out) :: r
    integer(int64), intent(in) :: seed
    r%seed = seed
    r%device = "cpu"  ! so small a network would only wait for a GPU
    call blank("4. batches of 1; loss kmc_loss_mse_half; optimizer kmc_sgd with learning rate &
      &0.05")
  end subroutine

end module mlp_pima_net_steps

program mlp_pima_net
  use kamacite
  use exercise
  use mlp_pima_net_steps
  use, intrinsic :: iso_fortran_env, only: int64, real64
  implicit none

  call run()

contains

  subroutine run()
    type(options) :: o
    type(kmc_dataset) :: train, test
    type(kmc_network) :: net
    type(kmc_trainer) :: trainer
    type(kmc_trainer_options) :: r
    type(kmc_scores) :: scores
    integer :: confusion(outputs, outputs)
    integer(int64) :: epochs, i
    real(real64), allocatable :: accuracy(:)
    real(real64) :: total, middle
    o%epochs = 1500
    o%data = "pima.data"
    call options_parse(o)
    epochs = merge(20_int64, o%epochs, o%smoke)
    call read_data(train, test, o%data)
    call describe(net)
    allocate(accuracy(o%seeds))
    total = 0
    do i = 1, o%seeds
      call rules(r, o%seed + i - 1)
      r%validate_every = epochs  ! once, at the end
      call trainer%create(net, train, test, r)
      call trainer%fit(int(epochs))
      call trainer%validate(scores, confusion)
      accuracy(i) = 100 * scores%accuracy
      total = total + scores%loss
    end do
    call kmc_print_confusion(confusion)
    middle = median(accuracy) ! sorts
    print "(*(a))", "RESULT seeds=", str(o%seeds), " accuracy_min=", str(accuracy(1), 2), " accuracy_median=", &
      str(middle, 2), " accuracy_max=", str(accuracy(o%seeds), 2), " half_error_mean=", str(total / o%seeds, 4), &
      " sum_bits=", bits(total)
  end subroutine

end program mlp_pima_net
