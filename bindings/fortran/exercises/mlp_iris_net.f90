!! Multilayer perceptron on the iris flowers, with the network API: 4 measures, 4 hidden neurons, 3 species, all logistic.
!!
!!   E = 1/2 sum_k (o_k - t_k)^2, one flower a step, rate 0.1, 1000 epochs: the network of mlp_iris.f90, in five calls.
!!
!!   gfortran -O3 kamacite.f90 exercise.f90 mlp_iris_net.f90 -lkamacite && ./a.out --data iris.data --seeds 50
!!
!! Expected: 98.00 % of the 50 test flowers in 50 of 50 seeds, half error 0.0202 to 0.0216.
!! Conventions: all 150 flowers normalised together, per feature, (x - mean) / max |x - mean|; first 100 train, last 50 test;
!! weights start uniform in +-0.01, biases (added, not subtracted) at 0; class = first maximum; the test error has the factor 1/2.
module mlp_iris_net_steps
  use kamacite
  use exercise, only: blank
  use, intrinsic :: iso_fortran_env, only: int64, real64
  implicit none
  integer, parameter :: inputs = 4, hidden = 4, outputs = 3, training = 100

contains

  !! Flowers to train on and to test.
  subroutine read_data(train, test, path)
    type(kmc_dataset), intent(inout) :: train, test
    character(len=*), intent(in) :: path
    type(kmc_dataset) :: all
    call all%read_table(path)  ! the last column is the class
    ! >>> 1. normalise all by kmc_mean_max_abs, kmc_per_feature; split: the first `training` flowers, and the others
    call all%normalize(kmc_mean_max_abs, kmc_per_feature)
    call all%split(training, train, test)
    ! <<<
  end subroutine

  !! The description of the network.
  subroutine describe(net)
    type(kmc_network), intent(inout) :: net
    call net%create([inputs])
    ! >>> 2. two dense layers of `hidden` and `outputs` units, kmc_logistic, with init=kmc_init_uniform and init_value=0.01_real64
    call net%dense(hidden, kmc_logistic, init=kmc_init_uniform, init_value=0.01_real64)
    call net%dense(outputs, kmc_logistic, init=kmc_init_uniform, init_value=0.01_real64)
    ! <<<
  end subroutine

  !! The rules of training.
  subroutine rules(r, seed)
    type(kmc_trainer_options), intent(out) :: r
    integer(int64), intent(in) :: seed
    r%seed = seed
    r%device = "cpu"  ! so small a network would only wait for a GPU
    ! >>> 3. batches of 1; loss kmc_loss_mse_half; optimizer kmc_sgd with learning rate 0.1
    r%batch = 1
    r%loss%kind = kmc_loss_mse_half
    r%optimizer%kind = kmc_sgd
    r%optimizer%learning_rate = 0.1_real64
    ! <<<
  end subroutine

end module mlp_iris_net_steps

program mlp_iris_net
  use kamacite
  use exercise
  use mlp_iris_net_steps
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
    integer :: confusion(outputs, outputs), at_98
    integer(int64) :: epochs, seed
    real(real64) :: lowest, highest, total
    o%epochs = 1000
    o%data = "iris.data"
    call options_parse(o)
    epochs = merge(100_int64, o%epochs, o%smoke)
    call read_data(train, test, o%data)
    call describe(net)
    at_98 = 0
    lowest = huge(lowest)
    highest = 0
    total = 0
    do seed = o%seed, o%seed + o%seeds - 1
      call rules(r, seed)
      r%validate_every = epochs  ! once, at the end
      call trainer%create(net, train, test, r)
      call trainer%fit(int(epochs))
      call trainer%validate(scores, confusion)
      if (abs(scores%accuracy - 0.98_real64) < 1e-9_real64) at_98 = at_98 + 1
      lowest = min(lowest, scores%loss)
      highest = max(highest, scores%loss)
      total = total + scores%loss
    end do
    call kmc_print_confusion(confusion)
    print "(*(a))", "RESULT seeds=", str(o%seeds), " at_98=", str(at_98), " half_error_min=", str(lowest, 4), &
      " half_error_max=", str(highest, 4), " sum_bits=", bits(total)
  end subroutine

end program mlp_iris_net
