!! What every exercise shares: blanks that say what is missing, the options of the command line, a table read from a file.
module exercise
  use, intrinsic :: iso_fortran_env, only: error_unit, int64, output_unit, real32, real64
  use kamacite
  implicit none
  private
  public :: blank, bits, fail, median, options, options_parse, str, table_read

  !! --seed N --seeds N --epochs N --data PATH --mode NAME --smoke. What a program does not use stays at its default.
  type :: options
    integer(int64) :: seed = 1                      !! of the first run
    integer(int64) :: seeds = 1                     !! runs with seed, seed + 1, ...
    integer(int64) :: epochs = 0
    character(len=:), allocatable :: data           !! not allocated: made data
    character(len=:), allocatable :: mode
    logical :: smoke = .false.                      !! as small as it can be
  end type

  !! A number as text, without blanks; reals with so many digits behind the point.
  interface str
    module procedure str_integer, str_long, str_real
  end interface

contains

  !! Stands in a starter where you write; ends the program with status 2.
  subroutine blank(what)
    character(len=*), intent(in) :: what
    flush (output_unit)
    write (error_unit, "(a/2x,a)") "this part is still to be written:", what
    stop 2
  end subroutine

  !! Ends the program with status 1 and a sentence.
  subroutine fail(sentence)
    character(len=*), intent(in) :: sentence
    flush (output_unit)
    write (error_unit, "(a)") sentence
    stop 1
  end subroutine

  subroutine options_parse(o)
    type(options), intent(inout) :: o
    character(len=:), allocatable :: name, value
    integer(int64) :: n
    integer :: i
    logical :: number
    i = 1
    do while (i <= command_argument_count())
      name = argument(i)
      if (name == "--smoke") then
        o%smoke = .true.
        i = i + 1
        cycle
      end if
      value = ""
      if (i < command_argument_count()) value = argument(i + 1)
      n = 0
      number = len(value) > 0 .and. len(value) < 18 .and. verify(value, "0123456789") == 0
      if (number) read (value, *) n
      if (name == "--seed" .and. number) then
        o%seed = n
      else if (name == "--seeds" .and. n > 0) then
        o%seeds = n
      else if (name == "--epochs" .and. n > 0) then
        o%epochs = n
      else if (name == "--data" .and. len(value) > 0) then
        o%data = value
      else if (name == "--mode" .and. len(value) > 0) then
        o%mode = value
      else
        call fail("cannot use '" // name // " " // value // "'" // new_line("a") // &
          "options: --seed N --seeds N --epochs N --data PATH --mode NAME --smoke")
      end if
      i = i + 2
    end do
  end subroutine

  function argument(i) result(text)
    integer, intent(in) :: i
    character(len=:), allocatable :: text
    integer :: n
    call get_command_argument(i, length=n)
    allocate(character(len=n) :: text)
    call get_command_argument(i, text)
  end function

  !! A text table whose last column is the class: x(features, n), and labels(n) from 1.
  subroutine table_read(x, labels, path, features)
    real, allocatable, intent(out) :: x(:, :)
    integer, allocatable, intent(out) :: labels(:)
    character(len=*), intent(in) :: path
    integer, intent(in) :: features
    type(kmc_dataset) :: table
    integer :: shape(4), n
    call table%read_table(path)
    shape = table%shape()
    n = int(table%length())
    if (shape(1) /= features) call fail(path // ": " // str(shape(1)) // " columns beside the class, expected " // str(features))
    allocate(x(features, n), labels(n))
    call table%get_inputs(x)
    call table%get_labels(labels)
  end subroutine

  !! The middle of some values, which are sorted; of an even number, the upper one of the two.
  function median(values) result(middle)
    real(real64), intent(inout) :: values(:)
    real(real64) :: middle, value
    integer :: i, j
    do i = 2, size(values)
      value = values(i)
      do j = i - 1, 1, -1
        if (values(j) <= value) exit
        values(j + 1) = values(j)
      end do
      values(j + 1) = value
    end do
    middle = values(size(values) / 2 + 1)
  end function

  !! The bits of a real64, as 16 hexadecimal digits: equal in C, Fortran and Rust for equal seeds.
  function bits(value) result(text)
    real(real64), intent(in) :: value
    character(len=16) :: text
    write (text, "(z16.16)") transfer(value, 0_int64)
  end function

  function str_integer(value) result(text)
    integer, intent(in) :: value
    character(len=:), allocatable :: text
    text = str_long(int(value, int64))
  end function

  function str_long(value) result(text)
    integer(int64), intent(in) :: value
    character(len=:), allocatable :: text
    character(len=24) :: room
    write (room, "(i0)") value
    text = trim(room)
  end function

  function str_real(value, digits) result(text)
    real(real64), intent(in) :: value
    integer, intent(in) :: digits
    character(len=:), allocatable :: text
    character(len=64) :: room
    write (room, "(f40." // str_integer(digits) // ")") value
    text = trim(adjustl(room))
  end function

end module exercise
