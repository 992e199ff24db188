!! mlp_iris.f90 for the checker bindings/c/exercises/check/mlp_iris.c, which calls C functions.
module mlp_iris_bridge
  use, intrinsic :: iso_c_binding
  use mlp_iris_steps
  implicit none

contains

  include "normalise.inc"
  include "mlp.inc"

end module mlp_iris_bridge
