! Starter: write what the blanks say, in their order.
!! k-means in one call of the library, which starts it well (k-means++) ten times and keeps the best.
!!
!!   gfortran -O3 kamacite.f90 exercise.f90 kmeans_net.f90 -lkamacite && ./a.out --data kmeans_input_file_2d.dat --seeds 500
!!
!! Without --data, 200 made points in 4 clusters (--mode 2d) or 250 in 5 (--mode 3d); "plain" behind the mode, as in --mode
!! 2d-plain, starts once in k random points, as kmeans.f90 does. Writes the best centres to kmeans_output_2d.dat and a picture
!! to kmeans_2d.svg.
!! Expected for the course's files: error 0.022743 (2d) and 0.027333 (3d) from 500 of 500 seeds; plain, from about 82 % and 52 %
!! of them. k-means++ (Arthur & Vassilvitskii 2007) draws each further start with a chance proportional to the squared distance
!! from those before.
module kmeans_net_steps
  use kamacite
  use exercise, only: blank
  use, intrinsic :: iso_fortran_env, only: int64, real64
  implicit none

contains

  !! The best centres(dims, k) and the cluster of each point x(dims, n); error = the mean squared distance.
  subroutine best_clusters(centres, cluster, x, plain, seed, error)
    real, intent(out) :: centres(:, :)
    integer, intent(out) :: cluster(:)
    real, intent(in) :: x(:, :)
    logical, intent(in) :: plain
    integer(int64), intent(in) :: seed
    real(real64), intent(out) :: error
    type(kmc_kmeans_result) :: result
    call blank("1. call kmc_kmeans: 10 restarts from kmc_kmeans_plus_plus, or if `plain` a &
      &single run (restarts=1) from kmc_kmeans_points")
    error = result%mean_squared_distance
  end subroutine

end module kmeans_net_steps

program kmeans_net
  use kamacite
  use exercise
  use kmeans_net_steps
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
    logical :: plain
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
    made = merge(3, 2, index(o%mode, "3d") > 0)
    plain = index(o%mode, "plain") > 0
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
      call best_clusters(centres, cluster, x, plain, o%seed + r - 1, errors(r))
    end do
    total = 0
    do r = 1, runs
      total = total + errors(r)
    end do
    best_seed = o%seed + minloc(errors, dim=1) - 1
    call best_clusters(centres, cluster, x, plain, best_seed, error)
    call write_centres("kmeans_output_" // str(dims) // "d.dat", centres)
    call kmc_plot_clusters("kmeans_" // str(dims) // "d.svg", x, cluster, centres)
    print "(*(a))", "RESULT seeds=", str(runs), " best=", str(error, 6), " reached_percent=", &
      str(100 * count(errors < 1.02_real64 * error) / real(runs, real64), 1), " sum_bits=", bits(total)
  end subroutine

end program kmeans_net
