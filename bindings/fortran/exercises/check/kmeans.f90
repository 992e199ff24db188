!! kmeans.f90 for the checker bindings/c/exercises/check/kmeans.c, which calls C functions and counts clusters from 0.
module kmeans_bridge
  use, intrinsic :: iso_c_binding
  use kmeans_steps
  implicit none

contains

  function c_distance2(a, b, dims) bind(C, name="distance2") result(d)
    integer(c_int), value :: dims
    real(c_float), intent(in) :: a(dims), b(dims)
    real(c_float) :: d
    d = distance2(a, b)
  end function

  function c_assign(cluster, x, centres, n, dims, k) bind(C, name="assign") result(error)
    integer(c_int64_t), value :: n
    integer(c_int), value :: dims, k
    integer(c_int32_t), intent(inout) :: cluster(n)
    real(c_float), intent(in) :: x(dims, n), centres(dims, k)
    real(c_double) :: error
    cluster = cluster + 1
    call assign(cluster, x, centres, error)
    cluster = cluster - 1
  end function

  function c_update_centres(centres, cluster, x, n, dims, k) bind(C, name="update_centres") result(moved)
    integer(c_int64_t), value :: n
    integer(c_int), value :: dims, k
    real(c_float), intent(inout) :: centres(dims, k)
    integer(c_int32_t), intent(in) :: cluster(n)
    real(c_float), intent(in) :: x(dims, n)
    real(c_double) :: moved
    call update_centres(centres, cluster + 1, x, moved)
  end function

  function c_kmeans(centres, cluster, x, n, dims, k, seed) bind(C, name="kmeans") result(error)
    integer(c_int64_t), value :: n, seed
    integer(c_int), value :: dims, k
    real(c_float), intent(inout) :: centres(dims, k)
    integer(c_int32_t), intent(inout) :: cluster(n)
    real(c_float), intent(in) :: x(dims, n)
    real(c_double) :: error
    call run_kmeans(centres, cluster, x, seed, error)
    cluster = cluster - 1
  end function

end module kmeans_bridge
