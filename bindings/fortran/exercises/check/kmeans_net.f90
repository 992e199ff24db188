!! The student's call of kmc_kmeans beside the solution's, whose module has another name here.
program check
  use, intrinsic :: iso_fortran_env, only: int64, real64
  use kamacite
  use check_net
  use exercise, only: str
  use kmeans_net_steps, only: best_clusters
  use kmeans_net_reference, only: true_clusters => best_clusters
  implicit none

  call compare("ten starts by k-means++", .false.)
  call compare("a single plain start", .true.)

contains

  subroutine compare(step, plain)
    character(len=*), intent(in) :: step
    logical, intent(in) :: plain
    type(kmc_dataset) :: points
    real :: x(3, 250), yours(3, 5), truth(3, 5)
    integer :: cluster(250), expected(250)
    integer(int64) :: seed
    real(real64) :: a, b
    call points%make_clusters(250, 3, 1)
    call points%get_inputs(x)
    do seed = 1, 40
      call true_clusters(truth, expected, x, plain, seed, b)
      call best_clusters(yours, cluster, x, plain, seed, a)
      if (.not. abs(a - b) <= 0 .or. any(cluster /= expected) .or. any(abs(yours - truth) > 0)) call step_wrong(step, &
        "best_clusters(): seed " // str(seed) // ": error " // str(a, 6) // ", expected " // str(b, 6) // &
        ": start, restarts and seed as asked for?")
    end do
    call step_right(step)
  end subroutine

end program check
