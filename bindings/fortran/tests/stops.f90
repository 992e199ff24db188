! Failures without stat: each writes its sentence to the error unit and stops with status 1. `stops NAME` makes one.
program test_stops
  use kamacite
  use, intrinsic :: iso_fortran_env, only: real32
  implicit none
  character(len=20) :: name
  call get_command_argument(1, name)
  call run()
  print '(a)', 'still here'
contains
  subroutine run()
    type(kmc_dataset) :: data, other, several(2), more(2)
    type(kmc_network) :: net, copy
    type(kmc_model) :: model, second
    real(real32) :: x(2, 3)
    character(len=80) :: errmsg
    x = 0
    call data%create(x)
    call net%create([2])
    call net%dense(2)
    call model%create(net)
    select case (name)
    case ('missing_file')
      call data%read_table('no such file')
    case ('errmsg_alone')
      call data%read_table('no such file', errmsg=errmsg)
    case ('shape')
      call data%get_inputs(x(:, 1:2))
    case ('label')
      call data%add_classes([1, 2, 3], 2)
    case ('assign_dataset')
      other = data
    case ('assign_array')
      call several(2)%create(x)
      more = several
    case ('assign_network')
      copy = net
    case ('assign_model')
      second = model
    case ('getter')
      print '(a)', net%node_name(77)
    case ('none')
    end select
  end subroutine
end program
