!! What the spectra exercises are given: 3753 pixels of stars of seven classes, O B A F G K M.
module spectra
  use kamacite
  implicit none
  private
  public :: spectra_read
  integer, parameter, public :: pixels = 3753, classes = 7, all_spectra = 1115, training = 915
  character(len=1), parameter, public :: class_names(classes) = ["O", "B", "A", "F", "G", "K", "M"]

contains

  !! FOLDER/train.dat with the classes of FOLDER/target.dat; where train.dat is missing, spectra are made for these classes.
  subroutine spectra_read(data, folder)
    type(kmc_dataset), intent(inout) :: data
    character(len=:), allocatable, intent(in) :: folder
    integer :: labels(all_spectra)
    logical :: there
    call spectra_classes(labels, folder)
    there = .false.
    if (allocated(folder)) inquire (file=folder // "/train.dat", exist=there)
    if (there) then
      call data%read_table(folder // "/train.dat", label_column=kmc_no_column)
      call data%reshape([1, pixels])  ! columns of a table are channels, pixels lie side by side
      call data%add_classes(labels, classes)
    else
      call data%make_spectra(labels, 1)
    end if
  end subroutine

  !! Classes from 1: those of FOLDER/target.dat (one-hot rows); without a folder as many of each as there, in random order.
  subroutine spectra_classes(labels, folder)
    integer, intent(out) :: labels(all_spectra)
    character(len=:), allocatable, intent(in) :: folder
    integer, parameter :: n(classes) = [12, 134, 109, 192, 300, 327, 41]
    integer :: sorted(all_spectra), order(all_spectra), c
    real :: one_hot(classes, all_spectra)
    type(kmc_dataset) :: table
    if (allocated(folder)) then
      call table%read_table(folder // "/target.dat", label_column=kmc_no_column)
      call table%get_inputs(one_hot)
      call kmc_argmax(one_hot, labels)
    else
      do c = 1, classes
        sorted(sum(n(:c - 1)) + 1:sum(n(:c))) = c
      end do
      call kmc_shuffle(order, 1)
      labels = sorted(order)
    end if
  end subroutine

end module spectra
