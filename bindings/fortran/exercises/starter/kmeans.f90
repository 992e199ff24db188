! Starter: write what the blanks say, in their order.
!! k-means from scratch, in two or three dimensions (or more: the points decide).
!!
!!   assignment: z_s = argmin_c |x_s - m_c|^2        error: 1/n sum_s |x_s - m_{z_s}|^2
!!   update:     m_c = mean of the points with z_s = c
!!
!!   gfortran -O3 kamacite.f90 exercise.f90 kmeans.f90 -lkamacite && ./a.out --data points.dat --seeds 500
!!
!! Without --data, 200 made points in 4 clusters (--mode 2d) or 250 in 5 (--mode 3d).
!! Writes the best centres to kmeans_output_2d.dat and a picture to kmeans_2d.svg.
!! Expected for the course's files: error 0.0227 in about 82 % of the starts (2d), 0.0273 in about 52 % (3d); why not in all?
!! Conventions: k = dimensions + 2 clusters; each starts in a point drawn without replacement; ties go to the first centre; an
!! empty cluster keeps its centre; it ends when the centres move by less than 1e-3 (sum of squares) or after 100 iterations.
module kmeans_steps
  use kamacite
  use exercise, only: blank
  use, intrinsic :: iso_fortran_env, only: int64, real64
  implicit none
  integer, parameter :: iterations = 100

contains

  !! Squared distance of two points.
  function distance2(a, b) result(d)
    real, intent(in) :: a(:), b(:)
    real :: d
    integer :: i
    d = 0
    call blank("1. sum_i (a_i - b_i)^2")
  end function

  !! cluster(n) = the nearest of centres(dims, k) to each of x(dims, n), the first of equals; error = the mean squared distance.
  subroutine assign(cluster, x, centres, error)
    integer, intent(out) :: cluster(:)
    real, intent(in) :: x(:, :), centres(:, :)
    real(real64), intent(out) :: error
    integer :: c, s
    real :: d, nearest
    error = 0
    do s = 1, size(x, 2)
      call blank("2. cluster(s) = nearest centre of point s; error = error + its squared distance")
    end do
    error = error / size(x, 2)
  end subroutine

  !! Moves each centre to the mean of its points; one without points stays. `moved` is the sum of the squared distances moved.
  subroutine update_centres(centres, cluster, x, moved)
    real, intent(inout) :: centres(:, :)
    integer, intent(in) :: cluster(:)
    real, intent(in) :: x(:, :)
    real(real64), intent(out) :: moved
    integer :: c, i, points, s
    real(real64) :: total
    real :: mean
    moved = 0
    do c = 1, size(centres, 2)
      call blank("3. centre c: count its points, take their mean in every dimension; moved = &
        &moved + (new - old)^2")
    end do
  end subroutine

  !! One run from random points; `error` is the final one.
  subroutine run_kmeans(centres, cluster, x, seed, error)
    real, intent(out) :: centres(:, :)
    integer, intent(out) :: cluster(:)
    real, intent(in) :: x(:, :)
    integer(int64), intent(in) :: seed
    real(real64), intent(out) :: error
    integer(int64) :: order(size(x, 2))
    real(real64) :: moved
    integer :: i
    call kmc_shuffle(order, seed)
    centres = x(:, order(:size(centres, 2)))
    moved = huge(moved)
    do i = 1, iterations
      if (moved <= 1e-3_real64) exit
      call blank("4. one iteration: assign every point, then update the centres; set error and &
        &moved")
    end do
    call assign(cluster, x, centres, error)
  end subroutine

end module kmeans_steps

program kmeans
  use kamacite
  use exercise
  use kmeans_steps
  use, intrinsic :: iso_fortran_env, only: int64, real64
  implicit none

  call run()

contains

  !! Line 1: dimensions and clusters; then one centre a line.
  subroutine write_centres(path, centres)
    character(len=*), intent(in) :: path
    real, intent(in) :: centres(:, :)
    integer :: c, unit
    open (newunit=unit, file=path, status="replace", action="write")
    write (unit, "(2(1x,i0))") shape(centres)
    do c = 1, size(centres, 2)
      write (unit, "(*(f12.6))") centres(:, c)
    end do
    close (unit)
  end subroutine

  subroutine run()
    type(options) :: o
    type(kmc_dataset) :: points
    integer :: dims, made, n
    integer(int64) :: r, runs, best_seed
    real, allocatable :: x(:, :), centres(:, :)
    integer, allocatable :: cluster(:)
    real(real64), allocatable :: errors(:)
    real(real64) :: error, total
    integer :: shape(4)
    o%mode = "2d"
    call options_parse(o)
    runs = o%seeds
    if (o%smoke) runs = min(runs, 3_int64)
    made = merge(3, 2, o%mode == "3d")
    if (allocated(o%data)) then
      call points%read_points(o%data)
    else
      call points%make_clusters(merge(250, 200, made == 3), made, 1)
    end if
    n = int(points%length())
    shape = points%shape()
    dims = shape(1)
    allocate(x(dims, n), centres(dims, dims + 2), cluster(n), errors(runs))
    call points%get_inputs(x)
    do r = 1, runs
      call run_kmeans(centres, cluster, x, o%seed + r - 1, errors(r))
    end do
    total = 0
    do r = 1, runs
      total = total + errors(r)
    end do
    best_seed = o%seed + minloc(errors, dim=1) - 1
    call run_kmeans(centres, cluster, x, best_seed, error)
    call write_centres("kmeans_output_" // str(dims) // "d.dat", centres)
    call kmc_plot_clusters("kmeans_" // str(dims) // "d.svg", x, cluster, centres)
    print "(*(a))", "RESULT seeds=", str(runs), " best=", str(error, 6), " reached_percent=", &
      str(100 * count(errors < 1.02_real64 * error) / real(runs, real64), 1), " sum_bits=", bits(total)
  end subroutine

end program kmeans
