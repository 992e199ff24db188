! What goes wrong comes back in stat and errmsg, and leaves everything as it was.
program test_errors
  use kamacite
  use, intrinsic :: iso_fortran_env, only: real32, real64, int64, error_unit
  implicit none
  integer :: checks = 0, failures = 0
  character(len=300) :: errmsg = ''
  integer :: stat
  type(kmc_trainer), pointer :: running => null()
  call semantics()
  call shapes()
  call labels()
  call values()
  call order()
  call ownership()
  call releasing()
  call shapes_of_compute()
  call report('errors')
contains
  subroutine semantics()
    type(kmc_dataset) :: data
    character(len=10) :: short
    real(real32) :: x(2, 3)
    x = 0
    errmsg = 'untouched'
    stat = -1
    call data%create(x, stat=stat, errmsg=errmsg)
    call check(stat == 0 .and. errmsg == 'untouched', 'success: stat is 0, errmsg is left alone')
    call data%read_table('no such file', stat=stat, errmsg=errmsg)
    call refused(stat, errmsg, kmc_err_io, 'no such file')
    call check(data%length() == 3, 'a failed read leaves the data set as it was')
    call data%read_table('no such file', stat=stat, errmsg=short)
    call check(short == 'kmc_datase', 'a short errmsg takes what it can')
    call data%read_table('no such file', stat=stat)
    call check(stat == kmc_err_io, 'stat alone')
    call data%destroy(stat)
    call check(stat == 0 .and. data%length(stat) == 0 .and. stat == kmc_err_null, 'an object without anything')
  end subroutine

  subroutine shapes()
    type(kmc_dataset) :: data
    type(kmc_network) :: net
    type(kmc_model) :: model
    type(kmc_optimizer_options) :: sgd
    real(real32) :: x(3, 4, 4, 2), y(4, 4, 3, 2), z(2, 2), w(5, 2)
    real(real64) :: v(2, 3)
    integer :: n(3)
    x = 0
    y = 0
    z = 0
    call data%create(x)
    call data%get_inputs(y, stat=stat, errmsg=errmsg)
    call refused(stat, errmsg, kmc_err_shape, 'expected (3, 4, 4, n) with n = 2, got (4, 4, 3, 2)')
    call data%get_inputs(x(:, :, :, 1:1), stat=stat, errmsg=errmsg)
    call refused(stat, errmsg, kmc_err_shape, 'n = 2, got (3, 4, 4, 1)')
    call data%pad([1, 2, 3, 4, 5], stat=stat, errmsg=errmsg)
    call refused(stat, errmsg, kmc_err_shape, 'got (1, 2, 3, 4, 5)')
    call data%reshape([7], stat=stat, errmsg=errmsg)
    call refused(stat, errmsg, kmc_err_shape, '7')
    call data%set_weights([1.0_real64], stat=stat, errmsg=errmsg)
    call refused(stat, errmsg, kmc_err_shape, '1')
    call data%add_classes([1, 2, 1], 2, stat=stat, errmsg=errmsg)
    call refused(stat, errmsg, kmc_err_shape, '3')
    call data%add_classes([1, 2], 2)
    call data%counts(n, stat=stat, errmsg=errmsg)
    call refused(stat, errmsg, kmc_err_shape, 'n: expected (2), got (3)')
    call net%create([3, 4, 4])
    call net%conv(2, [1, 2, 3, 4], stat=stat, errmsg=errmsg)
    call refused(stat, errmsg, kmc_err_shape, '[w, h, d]')
    call net%conv(2, 3)
    call net%dense(2)
    call model%create(net)
    call model%forward(y, stat=stat, errmsg=errmsg)
    call refused(stat, errmsg, kmc_err_shape, 'x: expected (3, 4, 4, n), got (4, 4, 3, 2)')
    call model%forward(z, stat=stat, errmsg=errmsg)
    call refused(stat, errmsg, kmc_err_shape, 'got (2, 2)')
    call model%forward([1.0, 2.0], stat=stat, errmsg=errmsg)
    call refused(stat, errmsg, kmc_err_shape, '48')
    call model%train_batch(y, z, sgd, stat=stat, errmsg=errmsg)
    call refused(stat, errmsg, kmc_err_shape, 'got (4, 4, 3, 2)')
    call model%forward(x)
    call model%get_output(w, stat=stat, errmsg=errmsg)
    call refused(stat, errmsg, kmc_err_shape, 'y: expected (2, n), got (5, 2)')
    call model%get_array('1.weight', v, stat=stat, errmsg=errmsg)
    call check(stat /= 0, 'an array of another shape or name')
    call net%create([2, 2, 2, 2, 2], stat=stat, errmsg=errmsg)
    call refused(stat, errmsg, kmc_err_shape, '(2, 2, 2, 2, 2)')
    call net%create([integer ::], stat=stat, errmsg=errmsg)
    call refused(stat, errmsg, kmc_err_shape, 'got ()')
  end subroutine

  ! Classes count from 1 in every message.
  subroutine labels()
    type(kmc_dataset) :: data
    type(kmc_network) :: net
    type(kmc_model) :: model
    type(kmc_model_options) :: options
    type(kmc_optimizer_options) :: sgd
    real(real32) :: x(3, 2)
    real(real64) :: loss
    integer :: confusion(2, 2), wide(2, 3)
    x = 0
    call data%create(x)
    call data%add_classes([0, 1], 2, stat=stat, errmsg=errmsg)
    call refused(stat, errmsg, kmc_err_value, 'class of sample 1: expected 1 to 2, got 0')
    call data%add_classes([1, 3], 2, stat=stat, errmsg=errmsg)
    call refused(stat, errmsg, kmc_err_value, 'class of sample 2: expected 1 to 2, got 3')
    call check(data%classes() == 0, 'refused classes are not added')
    call net%create([3])
    call net%dense(4)
    allocate (options%losses(1))
    call model%create(net, options)
    call model%train_batch(x, [1, 5], sgd, stat=stat, errmsg=errmsg)
    call refused(stat, errmsg, kmc_err_value, 'class of sample 2: expected 1 to 4, got 5')
    call model%train_batch(x, [0, 5], sgd, stat=stat, errmsg=errmsg)
    call refused(stat, errmsg, kmc_err_value, 'class of sample 1: expected 1 to')
    call model%forward(x, kmc_mode_train)
    call model%loss([4, 5], loss, stat=stat, errmsg=errmsg)
    call refused(stat, errmsg, kmc_err_value, 'class of sample 2: expected 1 to 4, got 5')
    call model%loss([1], loss, stat=stat, errmsg=errmsg)
    call check(stat /= 0, 'one class for two samples')
    call kmc_confusion([1, 2], [1, 3], confusion, stat=stat, errmsg=errmsg)
    call refused(stat, errmsg, kmc_err_value, 'class of sample 2: expected 1 to 2, got 3')
    call kmc_confusion([1, 2], [1], confusion, stat=stat, errmsg=errmsg)
    call refused(stat, errmsg, kmc_err_shape, 'predicted: expected (2), got (1)')
    call kmc_confusion([1, 2], [1, 2], wide, stat=stat, errmsg=errmsg)
    call refused(stat, errmsg, kmc_err_shape, 'got (2, 3)')
  end subroutine

  subroutine values()
    type(kmc_dataset) :: data
    type(kmc_network) :: net
    type(kmc_model) :: model
    type(kmc_model_options) :: options
    real(real32) :: x(3, 2)
    x = 0
    call data%create(x, layout=9, stat=stat, errmsg=errmsg)
    call refused(stat, errmsg, kmc_err_value, 'layout')
    call data%create(x)
    call data%normalize(77, stat=stat, errmsg=errmsg)
    call refused(stat, errmsg, kmc_err_value, '77')
    call net%create([3])
    call net%dense(2, activation=99, stat=stat, errmsg=errmsg)
    call refused(stat, errmsg, kmc_err_value, '99')
    call check(net%last_node() == 0, 'a refused layer is not added')
    call net%dense(2, from=7, stat=stat, errmsg=errmsg)
    call check(stat /= 0, 'a node that is not there')
    call net%dense(2)
    options%device = 'no such device'
    call model%create(net, options, stat=stat, errmsg=errmsg)
    call check(stat /= 0 .and. index(errmsg, 'no such device') > 0, 'a device that is not there')
    errmsg = kmc_device_name('no such device', stat=stat)
    call check(stat /= 0, 'the name of a device that is not there')
  end subroutine

  subroutine order()
    type(kmc_network) :: net
    type(kmc_model) :: model
    type(kmc_trainer), target :: trainer
    type(kmc_dataset) :: data
    type(kmc_scores) :: scores
    real(real32) :: x(3, 2), y(2, 2)
    x = 0
    call model%forward(x, stat=stat, errmsg=errmsg)
    call refused(stat, errmsg, kmc_err_null, 'NULL')
    call net%create([3])
    call net%dense(2)
    call model%create(net)
    call model%backward(stat=stat, errmsg=errmsg)
    call check(stat /= 0, 'backward before forward')
    call model%get_output(y, stat=stat, errmsg=errmsg)
    call refused(stat, errmsg, kmc_err_order, 'forward')
    call trainer%create(net, stat=stat, errmsg=errmsg)
    call refused(stat, errmsg, kmc_err_order, 'a trainer makes its own model')
    call trainer%load('some file', stat=stat, errmsg=errmsg)
    call refused(stat, errmsg, kmc_err_order, 'a trainer makes its own model')
    call trainer%evaluate(data, scores, stat=stat, errmsg=errmsg)
    call refused(stat, errmsg, kmc_err_null, 'NULL')
    call data%create(x)
    call data%add_classes([1, 2], 2)
    call trainer%create(net, data)
    call net%destroy()
    call data%destroy()
    call trainer%fit(1)
    call check(trainer%epoch() == 1, 'a trainer outlives its network and data')
    running => trainer
    call trainer%fit(5, on_epoch=meddling)
    call check(stat == kmc_err_busy, 'a trainer is in use while it runs')
  end subroutine

  subroutine meddling(progress, stop)
    type(kmc_progress), intent(in) :: progress
    logical, intent(inout) :: stop
    real(real64) :: loss
    call running%step(loss, stat=stat)
    stop = progress%epoch >= 2
  end subroutine

  ! Variables release what they hold: at their end, when they are made anew, as array elements and components.
  subroutine ownership()
    type :: pair_t
      type(kmc_dataset) :: train
      type(kmc_trainer) :: trainer
    end type
    type(pair_t) :: pair
    type(kmc_dataset) :: several(3), fresh
    type(kmc_dataset), allocatable :: some(:)
    type(kmc_network) :: net
    class(kmc_model), allocatable :: any_model
    real(real32) :: x(3, 2)
    integer :: i
    x = 0
    do i = 1, 3
      call several(i)%create(x)
      call several(i)%create(x)
    end do
    allocate (some(2))
    call some(1)%create(x)
    call some(2)%clone(some(1))
    deallocate (some)
    call pair%train%create(x)
    call pair%train%add_classes([1, 2], 2)
    call net%create([3])
    call net%dense(2)
    call pair%trainer%create(net, pair%train)
    call pair%trainer%create(net, pair%train)
    several(1) = fresh
    call check(several(1)%length(stat) == 0 .and. stat == kmc_err_null, 'an empty one may be assigned: it releases')
    allocate (kmc_trainer :: any_model)
    select type (any_model)
    type is (kmc_trainer)
      call any_model%create(net, pair%train)
    end select
    call any_model%destroy()
    deallocate (any_model)
  end subroutine

  ! What a variable held is given back: the memory of the process does not grow with the number of variables.
  subroutine releasing()
    integer(int64) :: before
    integer :: i
    do i = 1, 5
      call hold_and_release()
    end do
    before = resident()
    do i = 1, 60
      call hold_and_release()
    end do
    call check(resident() - before < 10000, 'memory is given back')      ! pages; each call holds 9000
  end subroutine

  subroutine hold_and_release()
    type(kmc_dataset) :: data, again
    type(kmc_network) :: net
    type(kmc_model) :: model
    type(kmc_trainer) :: trainer
    type(kmc_model_options) :: options
    real(real32), allocatable :: x(:, :)
    integer :: i
    allocate (x(1000, 1000))
    x = 1
    call data%create(x)
    call data%create(x)
    call data%add_classes([(1 + mod(i, 2), i = 1, 1000)], 2)
    call again%clone(data)
    call again%scale(2.0_real64)
    call net%create([1000])
    call net%dense(1000)
    call net%dense(2)
    options%device = 'cpu'
    call model%create(net, options)
    call model%forward(x(:, 1:1))
    call trainer%create(net, data)
  end subroutine

  ! Pages in memory; 0 where the system does not say.
  integer(int64) function resident()
    integer(int64) :: total
    integer :: unit, status
    resident = 0
    open (newunit=unit, file='/proc/self/statm', status='old', action='read', iostat=status)
    if (status /= 0) return
    read (unit, *) total, resident
    close (unit)
  end function

  subroutine shapes_of_compute()
    type(kmc_window) :: window
    real(real32) :: a(2, 3), b(4, 5), c(2, 5), x(1, 5, 2), w(1, 1, 3), y(1, 4, 2), g(3, 2)
    real(real64) :: loss
    integer :: classes(3)
    a = 0
    b = 0
    c = 0
    x = 0
    w = 0
    g = 0
    call kmc_gemm(a, b, c, stat=stat, errmsg=errmsg)
    call refused(stat, errmsg, kmc_err_shape, 'op(a) is (2, 3), op(b) (4, 5), c (2, 5)')
    call window%set([1, 5], filters=1, kernel=[2])
    call kmc_conv_forward(x, w, window, y, stat=stat, errmsg=errmsg)
    call refused(stat, errmsg, kmc_err_shape, 'weights: expected (1, 1, 2), got (1, 1, 3)')
    call kmc_conv_forward(x(:, 1:4, :), w, window, y, stat=stat, errmsg=errmsg)
    call refused(stat, errmsg, kmc_err_shape, 'x: expected (1, 5, n), got (1, 4, 2)')
    call kmc_argmax(g, classes, stat=stat, errmsg=errmsg)
    call refused(stat, errmsg, kmc_err_shape, 'classes: expected (2), got (3)')
    call kmc_softmax_cross_entropy(g, [1, 4], loss, stat=stat, errmsg=errmsg)
    call refused(stat, errmsg, kmc_err_value, 'class of sample 2: expected 1 to 3, got 4')
    call kmc_activation_forward(g, kmc_relu, a, stat=stat, errmsg=errmsg)
    call refused(stat, errmsg, kmc_err_shape, 'y: expected (3, 2), got (2, 3)')
    call kmc_kmeans(g, a, stat=stat, errmsg=errmsg)
    call refused(stat, errmsg, kmc_err_shape, 'centres: expected (3, 3), got (2, 3)')
    call window%set([1, 2], filters=1, kernel=[5])
    classes(1:3) = 0
    call check(any(window%output_shape(stat=stat) >= 0) .and. stat /= 0, 'a kernel larger than the input')
  end subroutine

  include 'check.inc'
end program
