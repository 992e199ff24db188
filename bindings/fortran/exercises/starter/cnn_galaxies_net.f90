! Starter: write what the blanks say, in their order.
!! A convolutional network in two dimensions on made stamps of galaxies, 48 x 48 pixels in three bands, of five shapes.
!!
!!   3 x [convolution: 8 of 5x5, 24 of 3x3, 48 of 3x3; leaky ReLU; maximum of 2x2]  ->  dense 64, dropout 0.3  ->  dense 5,
!! softmax
!!   E = -ln p_t     Adam with a rate that falls from 0.001 to 0 along half a cosine
!!
!!   gfortran -O3 kamacite.f90 exercise.f90 cnn_galaxies_net.f90 -lkamacite && ./a.out
!!
!! Expected, in % of 500 stamps: see expected.txt. Chance is 20 %, logistic regression on the pixels finds about 66 %.
!! Conventions: 3000 stamps, of which the first 2500 train in batches of 32.
module cnn_galaxies_net_steps
  use kamacite
  use exercise, only: blank
  use, intrinsic :: iso_fortran_env, only: int64, real64
  implicit none
  integer, parameter :: side = 48, bands = 3, classes = 5
  character(len=10), parameter :: class_names(classes) = &
    [character(len=10) :: "elliptical", "spiral", "barred", "edge-on", "merger"]

contains

  !! Stamps to train on and to test.
  subroutine read_data(train, test, stamps)
    type(kmc_dataset), intent(inout) :: train, test
    integer, intent(in) :: stamps
    type(kmc_dataset) :: all
    call blank("1. make galaxies with seed 1, and split after five sixths of them")
  end subroutine

  !! The description of the network.
  subroutine describe(net)
    type(kmc_network), intent(inout) :: net
    integer, parameter :: filters(3) = [8, 24, 48], kernel(3) = [5, 3, 3]
    real(real64), parameter :: slope = 0.1_real64  ! with plain ReLU more than half of the dense units can die in the first steps
    integer :: i
    call net%create([bands, side, side])
    call blank("2. convolutions (stride 1, pad kernel / 2, kmc_leaky_relu, a=slope), &
      &kmc_pool_max of 2; dense 64, dropout, last layer")
  end subroutine

  !! The rules of training for so many epochs.
  subroutine rules(r, seed, epochs)
    type(kmc_trainer_options), intent(out) :: r
    integer(int64), intent(in) :: seed
    integer, intent(in) :: epochs
    r%seed = seed
    call blank("3. batches of 32; kmc_loss_softmax_cross_entropy; kmc_adam, rate 0.001; &
      &kmc_schedule_cosine, per_epoch, period epochs")
  end subroutine

end module cnn_galaxies_net_steps

program cnn_galaxies_net
  use kamacite
  use exercise
  use cnn_galaxies_net_steps
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
    o%epochs = 8
    call options_parse(o)
    epochs = merge(2, int(o%epochs), o%smoke)
    call read_data(train, test, merge(240, 3000, o%smoke))
    call describe(net)
    allocate(accuracy(o%seeds))
    total = 0
    do i = 1, o%seeds
      call rules(r, o%seed + i - 1, epochs)
      r%validate_every = 1
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

end program cnn_galaxies_net
