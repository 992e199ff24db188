! Starter: write what the blanks say, in their order.
!! A convolutional network in one dimension on stellar spectra, with the network API: 3753 pixels, 7 classes.
!!
!!   3 x [convolution: 8, 16, 32 filters of 8 pixels, stride 4; ReLU]  ->  2 x [dense 256, ReLU, dropout 0.4]  ->  dense 7,
!! softmax
!!   E = -ln p_t     steps with momentum: v = 0.8 v + dE/dw + 0.001 w, w = w - rate v
!!
!!   gfortran -O3 kamacite.f90 exercise.f90 spectra.f90 cnn_spectra_net.f90 -lkamacite && ./a.out
!!
!! Without --data FOLDER the spectra are made; with it, FOLDER/train.dat and target.dat are read (made, if only train.dat is
!! missing).
!! Expected on made spectra, in % of 200: see expected.txt.
!! Conventions: pixels become tanh(40 x); of the first 915 spectra the first 10, 30, 30, 20, 20, 30, 10 of each class train, in
!! batches of 16; the last 200 test. None of them is trained on.
module cnn_spectra_net_steps
  use kamacite
  use exercise, only: blank
  use spectra
  use, intrinsic :: iso_fortran_env, only: int64, real64
  implicit none
  integer, parameter :: padded = 3776

contains

  !! Spectra to train on, as many of each class as it should be, and to test; `padded` pixels, of which three strides of 4 leave 59.
  subroutine read_data(train, test, folder)
    type(kmc_dataset), intent(inout) :: train, test
    character(len=:), allocatable, intent(in) :: folder
    integer, parameter :: cap(classes) = [10, 30, 30, 20, 20, 30, 10]
    type(kmc_dataset) :: all
    call spectra_read(all, folder)
    call blank("1. normalise by kmc_tanh_range, kmc_global, gain 40, low 0, high 1; pad to [1, &
      &padded]; split after `training`; rebalance")
  end subroutine

  !! The description of the network.
  subroutine describe(net)
    type(kmc_network), intent(inout) :: net
    integer :: i
    call net%create([1, padded])
    call blank("2. the three convolutions (kernel 8, stride 4, pad 2), the dense layers with &
      &dropout, the last one kmc_linear")
  end subroutine

  !! The rules of training.
  subroutine rules(r, seed)
    type(kmc_trainer_options), intent(out) :: r
    integer(int64), intent(in) :: seed
    r%seed = seed
    call blank("3. batches of 16; kmc_loss_softmax_cross_entropy; kmc_sgd, learning rate 0.02, &
      &momentum 0.8, weight decay 0.001")
  end subroutine

end module cnn_spectra_net_steps

program cnn_spectra_net
  use kamacite
  use exercise
  use spectra
  use cnn_spectra_net_steps
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
    o%epochs = 200
    call options_parse(o)
    epochs = merge(2, int(o%epochs), o%smoke)
    call read_data(train, test, o%data)
    call describe(net)
    allocate(accuracy(o%seeds))
    total = 0
    do i = 1, o%seeds
      call rules(r, o%seed + i - 1)
      r%validate_every = 20
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

end program cnn_spectra_net
