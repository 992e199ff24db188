!! perceptron_pima.f90 for the checker bindings/c/exercises/check/perceptron_pima.c, which calls C functions.
module perceptron_pima_bridge
  use, intrinsic :: iso_c_binding
  use perceptron_pima_steps
  implicit none

contains

  include "prepare.inc"
  include "normalise.inc"
  include "perceptron.inc"

end module perceptron_pima_bridge
