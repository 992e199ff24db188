!! mlp_pima.f90 for the checker bindings/c/exercises/check/mlp_pima.c, which calls C functions.
module mlp_pima_bridge
  use, intrinsic :: iso_c_binding
  use mlp_pima_steps
  implicit none

contains

  include "prepare.inc"
  include "normalise.inc"
  include "mlp.inc"

end module mlp_pima_bridge
