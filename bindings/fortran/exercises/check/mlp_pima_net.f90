!! The student's steps beside the solution's, whose module has another name here.
program check
  use, intrinsic :: iso_fortran_env, only: int64
  use kamacite
  use check_net
  use mlp_pima_net_steps, only: read_data, describe, rules
  use mlp_pima_net_reference, only: true_data => read_data, true_describe => describe, true_rules => rules
  implicit none

  call run()

contains

  subroutine run()
    type(kmc_dataset) :: train, test, true_train, true_test
    type(kmc_network) :: net, true_net
    type(kmc_trainer_options) :: r, true_r
    call true_data(true_train, true_test, data_folder() // "/pima.data")
    call read_data(train, test, data_folder() // "/pima.data")
    call compare_data("training data", train, true_train)
    call compare_data("test data", test, true_test)
    call true_describe(true_net)
    call describe(net)
    call compare_networks(net, true_net, true_train)
    call true_rules(true_r, 7_int64)
    call rules(r, 7_int64)
    call compare_rules(r, true_r)
  end subroutine

end program check
