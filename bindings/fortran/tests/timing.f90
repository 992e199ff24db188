! The course's layout input(sample, feature) against the library's input(feature, sample), and one sample a call.
program timing
  use kamacite
  use, intrinsic :: iso_fortran_env, only: real32, real64, int64
  implicit none
  integer, parameter :: features = 512, samples = 2000, repeats = 40
  call run()
contains
  subroutine run()
    real(real32), allocatable :: x(:, :), course(:, :)
    integer, allocatable :: labels(:)
    real(real64) :: feature_first, sample_first, copy_first, copy_sample, online, row
    integer :: i, k
    allocate (x(features, samples), labels(samples))
    call random_number(x)
    labels = [(1 + mod(i, 3), i = 1, samples)]
    course = transpose(x)
    feature_first = huge(1.0_real64)
    sample_first = feature_first
    copy_first = feature_first
    copy_sample = feature_first
    do k = 1, repeats
      call one(x, .false., labels, copy_first, feature_first)
      call one(course, .true., labels, copy_sample, sample_first)
    end do
    call per_sample(online, row)
    print '(a, f0.3, a, f0.3, a, f0.2, a, f0.2, a, f0.2, a, f0.3, a, f0.3)', 'RESULT layout_ratio=', sample_first/feature_first, &
        ' seconds=', sample_first, ' copy_ms=', 1e3*copy_first, ' transposed_copy_ms=', 1e3*copy_sample, &
        ' online_100000_ms=', 1e3*online, ' strided_ratio=', row/online, ' copy_share=', copy_sample/sample_first
    if (sample_first > 1.3_real64*feature_first) error stop 'the layout of the course is slower'
  end subroutine

  ! The time to copy, and to train for three epochs: the least of all calls.
  subroutine one(x, transposed, labels, copy, training)
    real(real32), intent(in) :: x(:, :)
    logical, intent(in) :: transposed
    integer, intent(in) :: labels(:)
    real(real64), intent(inout) :: copy, training
    type(kmc_dataset) :: data
    type(kmc_network) :: net
    type(kmc_trainer) :: trainer
    type(kmc_trainer_options) :: options
    real(real64) :: start
    start = seconds()
    if (transposed) then
      call data%create_transposed(x)
    else
      call data%create(x)
    end if
    copy = min(copy, seconds() - start)
    call data%add_classes(labels, 3)
    call net%create([features])
    call net%dense(32, kmc_relu)
    call net%dense(3)
    options%batch = 16
    options%device = 'cpu'
    options%threads = 1
    call trainer%create(net, data, options=options)
    call trainer%fit(1)
    start = seconds()
    call trainer%fit(4)
    training = min(training, seconds() - start)
  end subroutine

  ! 100 000 steps of a 4-4-3 network, one sample a call: columns x(:, i), and rows course(i, :), which the compiler packs.
  subroutine per_sample(online, row)
    real(real64), intent(out) :: online, row
    type(kmc_network) :: net
    type(kmc_model) :: model
    type(kmc_model_options) :: options
    type(kmc_optimizer_options) :: sgd
    real(real32) :: x(4, 100), t(3, 100), course(100, 4), course_t(100, 3)
    real(real64) :: start
    integer :: i, k, p
    call random_number(x)
    t = 0
    t(1, :) = 1
    course = transpose(x)
    course_t = transpose(t)
    call net%create([4])
    call net%dense(4, kmc_logistic)
    call net%dense(3, kmc_logistic)
    options%device = 'cpu'
    options%threads = 1
    options%input_gradients = .false.
    allocate (options%losses(1))
    options%losses(1)%kind = kmc_loss_mse_half
    call model%create(net, options)
    sgd%learning_rate = 0.1_real64
    online = huge(1.0_real64)
    row = online
    do p = 1, 5
      start = seconds()
      do k = 1, 1000
        do i = 1, 100
          call model%train_batch(x(:, i), t(:, i), sgd)
        end do
      end do
      online = min(online, seconds() - start)
      start = seconds()
      do k = 1, 1000
        do i = 1, 100
          call model%train_batch(course(i, :), course_t(i, :), sgd)
        end do
      end do
      row = min(row, seconds() - start)
    end do
  end subroutine

  real(real64) function seconds()
    integer(int64) :: count, rate
    call system_clock(count, rate)
    seconds = real(count, real64)/real(rate, real64)
  end function
end program
