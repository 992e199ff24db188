! A network trained by somebody who has kamacite installed.
program train
  use kamacite
  use, intrinsic :: iso_fortran_env, only: real64
  implicit none
  type(kmc_dataset) :: digits
  type(kmc_network) :: net
  type(kmc_trainer) :: trainer
  type(kmc_trainer_options) :: options
  type(kmc_report) :: report
  options%optimizer%kind = kmc_adam
  call digits%make_digits(300, 1)
  call net%create([1, 28, 28])
  call net%dense(32, kmc_relu)
  call net%dense(10)
  call trainer%create(net, digits, digits, options)
  call trainer%fit(5, report)
  print '(a, f5.3)', 'RESULT accuracy=', report%valid%accuracy
  if (report%valid%accuracy < 0.9_real64) error stop 1
end program
