!! perceptron_iris.f90 for the checker bindings/c/exercises/check/perceptron_iris.c, which calls C functions.
module perceptron_iris_bridge
  use, intrinsic :: iso_c_binding
  use perceptron_iris_steps
  implicit none

contains

  include "normalise.inc"
  include "perceptron.inc"

end module perceptron_iris_bridge
