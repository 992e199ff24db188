! The scenario that Rust, C and Fortran compute to the same bits: a small network on digits, three steps, four predictions.
program scenario
  use kamacite
  use, intrinsic :: iso_fortran_env, only: real32, real64
  implicit none
  call run()
contains
  subroutine run()
    type(kmc_dataset) :: digits
    type(kmc_network) :: net
    type(kmc_trainer) :: trainer
    type(kmc_trainer_options) :: options
    real(real32) :: y(10, 96)
    real(real64) :: loss
    integer :: step
    call digits%make_digits(96, 3)
    call net%create([1, 28, 28])
    call net%conv(4, 5, pad=2, activation=kmc_relu)
    call net%pool(kmc_pool_max, 2)
    call net%dense(16, kmc_tanh)
    call net%dropout(0.25_real64)
    call net%dense(10)
    options%device = 'cpu'
    options%seed = 7
    options%batch = 32
    options%optimizer%kind = kmc_adam
    options%optimizer%learning_rate = 0.002_real64
    call trainer%create(net, digits, options=options)
    do step = 1, 3
      call trainer%step(loss)
      print '(a, i0, a, z16.16)', 'step ', step, ' loss ', loss
    end do
    call trainer%predict(digits, y, batch=32)
    print '(a, *(1x, z8.8))', 'y', y(:, 1)
  end subroutine
end program
