!! The steps of the exercises with the network API, beside the solution: the data, the network with its first weights, the rules. The
!! first wrong step ends the program with status 1.
module check_net
  use, intrinsic :: iso_fortran_env, only: error_unit, int64, output_unit, real64
  use kamacite
  use exercise, only: str
  implicit none
  private
  public :: compare_data, compare_networks, compare_rules, data_folder, step_right, step_wrong

contains

  subroutine step_right(step)
    character(len=*), intent(in) :: step
    print "(2a)", "right: ", step
    flush (output_unit)
  end subroutine

  subroutine step_wrong(step, hint)
    character(len=*), intent(in) :: step, hint
    flush (output_unit)
    write (error_unit, "(2a/2x,a)") "WRONG: ", step, hint
    stop 1
  end subroutine

  !! Where iris.data and pima.data lie: the first argument.
  function data_folder() result(folder)
    character(len=:), allocatable :: folder
    integer :: n
    call get_command_argument(1, length=n)
    allocate(character(len=n) :: folder)
    call get_command_argument(1, value=folder)
  end function

  subroutine compare_data(step, yours, truth)
    character(len=*), intent(in) :: step
    type(kmc_dataset), intent(in) :: yours, truth
    real, allocatable :: x(:), t(:)
    integer, allocatable :: p(:), q(:)
    integer :: status, i, a(4), b(4)
    integer(int64) :: n
    real :: largest
    n = yours%length(stat=status)
    if (status /= 0) call step_wrong(step, "read_data() gave no data set")
    a = yours%shape()
    b = truth%shape()
    if (n /= truth%length() .or. any(a /= b)) call step_wrong(step, "yours: " // extent(yours) // ", expected: " // extent(truth))
    allocate(x(n * product(b)), t(n * product(b)), p(n), q(n))
    call yours%get_inputs(x)
    call truth%get_inputs(t)
    call yours%get_labels(p)
    call truth%get_labels(q)
    if (any(p /= q)) call step_wrong(step, "the samples have other classes than in the reference: another order, or other samples")
    largest = maxval(abs(t))
    do i = 1, size(x)
      if (.not. abs(x(i) - t(i)) <= 1e-5 * largest) call step_wrong(step, "value " // str(i) // ": yours " // &
        str(real(x(i), real64), 6) // ", expected " // str(real(t(i), real64), 6))
    end do
    call step_right(step)
  end subroutine

  function extent(data) result(text)
    type(kmc_dataset), intent(in) :: data
    character(len=:), allocatable :: text
    integer :: s(4)
    s = data%shape()
    text = str(data%length()) // " samples of (" // str(s(1)) // ", " // str(s(2)) // ", " // str(s(3)) // ", " // str(s(4)) // ")"
  end function

  !! Activations and dropout, which the table of nodes does not tell: with equal weights, two samples must give equal outputs in
  !! training.
  subroutine compare_outputs(yours, truth, inputs)
    type(kmc_model), intent(inout) :: yours, truth
    integer, intent(in) :: inputs
    real :: x(inputs, 2)
    real, allocatable :: a(:), b(:)
    integer :: i, s(4)
    call kmc_random_uniform(x, -1.0_real64, 1.0_real64, 81)
    call yours%forward(x, kmc_mode_train)
    call truth%forward(x, kmc_mode_train)
    s = truth%output_shape()
    allocate(a(2 * product(s)), b(2 * product(s)))
    call yours%get_output(a)
    call truth%get_output(b)
    do i = 1, size(a)
      if (abs(a(i) - b(i)) > 0) call step_wrong("network", "describe(): the same sample gives " // str(real(a(i), real64), 6) // &
        ", expected " // str(real(b(i), real64), 6) // ": another activation, or another dropout?")
    end do
  end subroutine

  !! The table of nodes, what a seed makes of the weights, what comes out.
  subroutine compare_networks(yours, truth, data)
    type(kmc_network), intent(in) :: yours, truth
    type(kmc_dataset), intent(in) :: data
    character(len=:), allocatable :: a, b, name
    type(kmc_model) :: m, n
    type(kmc_model_options) :: o
    real(real64), allocatable :: w(:), v(:)
    integer :: i, s(4), status
    a = yours%summary(stat=status)
    if (status /= 0) call step_wrong("network", "describe() gave no network")
    b = truth%summary()
    if (a /= b) then
      print "(a/a/a/a)", "your network:", a, "expected:", b
      call step_wrong("network", "describe(): the tables above differ")
    end if
    o%seed = 1
    o%device = "cpu"
    call m%create(yours, o)
    call n%create(truth, o)
    do i = 1, int(n%array_count())
      name = n%array_name(i)
      allocate(w(product(n%array_shape(name))), v(product(n%array_shape(name))))
      call m%get_array(name, w)
      call n%get_array(name, v)
      if (any(abs(w - v) > 0)) call step_wrong("network", "describe(): " // name // " begins with " // str(w(1), 6) // &
        ", expected " // str(v(1), 6) // ": are the options given to each layer?")
      deallocate(w, v)
    end do
    s = data%shape()
    call compare_outputs(m, n, product(s))
    call step_right("network")
  end subroutine

  subroutine compare_rules(a, b)
    type(kmc_trainer_options), intent(in) :: a, b
    call compare_rule("seed", real(a%seed, real64), real(b%seed, real64))
    call compare_rule("batch", real(a%batch, real64), real(b%batch, real64))
    call compare_rule("loss%kind", real(a%loss%kind, real64), real(b%loss%kind, real64))
    call compare_rule("optimizer%kind", real(a%optimizer%kind, real64), real(b%optimizer%kind, real64))
    call compare_rule("optimizer%learning_rate", a%optimizer%learning_rate, b%optimizer%learning_rate)
    call compare_rule("optimizer%momentum", a%optimizer%momentum, b%optimizer%momentum)
    call compare_rule("optimizer%weight_decay", a%optimizer%weight_decay, b%optimizer%weight_decay)
    call compare_rule("schedule%kind", real(a%schedule%kind, real64), real(b%schedule%kind, real64))
    call compare_rule("schedule%period", real(a%schedule%period, real64), real(b%schedule%period, real64))
    call compare_rule("schedule%per_epoch", merge(1.0_real64, 0.0_real64, a%schedule%per_epoch), &
      merge(1.0_real64, 0.0_real64, b%schedule%per_epoch))
    call step_right("rules of training")
  end subroutine

  !! Rates are the same number or not; a default real in the place of a real64 differs by less than 1e-6 of it.
  subroutine compare_rule(name, yours, truth)
    character(len=*), intent(in) :: name
    real(real64), intent(in) :: yours, truth
    character(len=:), allocatable :: hint
    if (abs(yours - truth) <= 0) return
    hint = ""
    if (abs(yours - truth) < 1e-6_real64 * abs(truth)) hint = ": write it with _real64 behind"
    hint = ": yours " // str(yours, 9) // ", expected " // str(truth, 9) // hint
    call step_wrong("rules of training", "rules(): " // name // hint)
  end subroutine

end module check_net
