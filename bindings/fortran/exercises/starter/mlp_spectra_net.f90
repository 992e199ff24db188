! Starter: write what the blanks say, in their order.
!! Multilayer perceptron on stellar spectra, with the network API: 3753 pixels, 8 hidden neurons, 7 classes.
!!
!!   h = f(W1 x + b1), logistic     p = softmax(W2 h + b2)     E = -ln p_t     steps with momentum: v = 0.8 v + dE/dw, w = w -
!! rate v
!!
!!   gfortran -O3 kamacite.f90 exercise.f90 spectra.f90 mlp_spectra_net.f90 -lkamacite && ./a.out
!!
!! Without --data FOLDER the spectra are made; with it, FOLDER/train.dat and target.dat are read (made, if only train.dat is
!! missing).
!! Expected on made spectra, in % of 200: see expected.txt.
!! Conventions: all spectra normalised together, per pixel, (x - mean) / max |x - mean|; of the first 915, the first 5, 40, 40,
!! 60, 60, 60, 25 of each class train, in batches of 64; the last 200 test.
module mlp_spectra_net_steps
  use kamacite
  use exercise, only: blank
  use spectra
  use, intrinsic :: iso_fortran_env, only: int64, real64
  implicit none
  integer, parameter :: hidden = 8

contains

  !! Spectra to train on, as many of each class as it should be, and to test.
  subroutine read_data(train, test, folder)
    type(kmc_dataset), intent(inout) :: train, test
    character(len=:), allocatable, intent(in) :: folder
    integer, parameter :: cap(classes) = [5, 40, 40, 60, 60, 60, 25]
    type(kmc_dataset) :: all
    call spectra_read(all, folder)
    call blank("1. normalise all by kmc_mean_max_abs, kmc_per_feature; split after `training`; &
      &rebalance those to train on by cap")
  end subroutine

  !! The description of the network.
  subroutine describe(net)
    type(kmc_network), intent(inout) :: net
    call net%create([1, pixels])
    call blank("2. a dense layer of `hidden` units, kmc_logistic; one of `classes` units, &
      &kmc_linear: the loss has the softmax in it")
  end subroutine

  !! The rules of training.
  subroutine rules(r, seed)
    type(kmc_trainer_options), intent(out) :: r
    integer(int64), intent(in) :: seed
    r%seed = seed
    r%device = "cpu"  ! so small a network would only wait for a GPU
    call blank("3. batches of 64; loss kmc_loss_softmax_cross_entropy; optimizer kmc_sgd with &
      &learning rate 0.02 and momentum 0.8")
  end subroutine

end module mlp_spectra_net_steps

program mlp_spectra_net
  use kamacite
  use exercise
  use spectra
  use mlp_spectra_net_steps
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
    integer :: confusion(classes, classes), epochs
    integer(int64) :: i
    real(real64), allocatable :: accuracy(:)
    real(real64) :: total, middle
    o%epochs = 1500
    call options_parse(o)
    epochs = merge(2, int(o%epochs), o%smoke)
    call read_data(train, test, o%data)
    call describe(net)
    allocate(accuracy(o%seeds))
    total = 0
    do i = 1, o%seeds
      call rules(r, o%seed + i - 1)
      r%validate_every = 100
      call trainer%create(net, train, test, r)
      call trainer%fit(epochs, verbose=merge(1, 0, o%seeds == 1))  ! lines about the epochs
      call trainer%validate(scores, confusion)
      accuracy(i) = 100 * scores%accuracy
      total = total + scores%loss
    end do
    call kmc_print_confusion(confusion, class_names)
    middle = median(accuracy) ! sorts
    print "(*(a))", "RESULT seeds=", str(o%seeds), " trained_on=", str(train%length()), " accuracy_min=", str(accuracy(1), 2), &
      " accuracy_median=", str(middle, 2), " accuracy_max=", str(accuracy(o%seeds), 2), " loss=", str(total / o%seeds, 4), &
      " sum_bits=", bits(total)
  end subroutine

end program mlp_spectra_net
