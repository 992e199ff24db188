! Metrics on arrays, and the library itself.
program test_metrics
  use kamacite
  use, intrinsic :: iso_fortran_env, only: real32, real64, int64, error_unit
  implicit none
  integer :: checks = 0, failures = 0
  call confusions()
  call scores()
  call uncertainty()
  call library()
  call report('metrics')
contains
  subroutine confusions()
    integer :: c(3, 3)
    integer(int64) :: w(3, 3)
    real(real64) :: recall(3), precision(3), f1(3), accuracy
    character(len=:), allocatable :: text
    call kmc_confusion([1, 1, 2, 2, 2, 3], [1, 2, 2, 2, 1, 2], c)
    call kmc_confusion([1, 1, 2, 2, 2, 3], [1, 2, 2, 2, 1, 2], w)
    call check(all(c == reshape([1, 1, 0, 1, 2, 1, 0, 0, 0], [3, 3])) .and. all(c == w), 'confusion(true, predicted)')
    call kmc_confusion_scores(c, recall, precision, f1, accuracy)
    call check(all(abs(recall - [0.5_real64, 2/3.0_real64, 0.0_real64]) < 1e-12), 'recall')
    call check(all(abs(precision(1:2) - [0.5_real64, 0.5_real64]) < 1e-12) .and. precision(3) /= precision(3), &
        'precision, NaN for a class that nobody predicted')
    call check(abs(accuracy - 0.5_real64) < 1e-12 .and. abs(f1(1) - 0.5_real64) < 1e-12, 'accuracy and F1')
    call kmc_confusion_scores(w, accuracy=accuracy)
    call check(abs(accuracy - 0.5_real64) < 1e-12, 'accuracy alone')
    text = kmc_confusion_text(c, ['dwarf ', 'giant ', 'quasar'])
    call check(index(text, 'quasar') > 0 .and. index(text, 'dwarf ') > 0, 'names in the table')
    text = kmc_confusion_text(w)
    call check(index(text, char(10) // '1 ') > 0 .and. index(text, char(10) // '0 ') == 0, 'a table without names: classes from 1')
    call kmc_print_confusion(c)
    call kmc_print_confusion(w, ['a', 'b', 'c'])
  end subroutine

  subroutine scores()
    type(kmc_residuals) :: r
    real(real64) :: error, brier
    real(real32) :: p(2, 2)
    call check(abs(kmc_roc_auc([0.1_real64, 0.4_real64, 0.35_real64, 0.8_real64], [.false., .false., .true., .true.]) - &
        0.75_real64) < 1e-12, 'the area under the ROC curve')
    p = reshape([0.75, 0.25, 0.5, 0.5], [2, 2])
    call check(abs(kmc_recall_at([0.1_real64, 0.4_real64, 0.35_real64, 0.8_real64], [.false., .false., .true., .true.], &
        0.0_real64) - 0.5_real64) < 1e-12, 'the share found without a false alarm')
    call check(abs(kmc_top_k(p, [1, 2], 1) - 0.5_real64) < 1e-12, 'top 1: the first of equals')
    call check(kmc_top_k(p, [2, 2], 2) == 1, 'top 2')
    call kmc_residuals_of([2.0_real64, 6.0_real64], [1.0_real64, 3.0_real64], r)
    call check(abs(r%bias - 2) < 1e-12 .and. abs(r%mse - 5) < 1e-12 .and. abs(r%mae - 2) < 1e-12, 'residuals')
    call check(abs(r%r2 - (1 - 10/2.0_real64)) < 1e-12, 'R squared')
    call check(abs(r%rmse - sqrt(5.0_real64)) < 1e-12 .and. abs(r%mad - 1) < 1e-12, 'rmse and mad')
    call check(abs(r%normalised_mad - 1.4826_real64) < 1e-3, 'normalised mad')
    call kmc_residuals_of([2.0_real64, 11.0_real64], [1.0_real64, 3.0_real64], r, redshift=.true., limit=1.0_real64)
    call check(abs(r%bias - 1.25_real64) < 1e-12 .and. abs(r%outliers - 0.5_real64) < 1e-12, 'residuals over 1 + z, and outliers')
    call kmc_calibration(p, [1, 2], 10, error, brier)
    call check(abs(brier - ((0.25**2 + 0.25**2) + (0.5**2 + 0.5**2))/2) < 1e-6 .and. error >= 0, 'Brier score')
  end subroutine

  ! Three of four samples are right, at odds of exp(4); a density of one bin and one of two.
  subroutine uncertainty()
    real(real32) :: z(2, 4), q(2, 4), density(2, 2)
    real(real64) :: t, values(2)
    integer :: stat
    character(len=300) :: errmsg
    z(1, :) = 4
    z(2, :) = 0
    t = kmc_fit_temperature(z, [1, 1, 1, 2])
    call check(abs(t - 4/log(3.0_real64)) < 1e-9, 'temperature')
    call kmc_apply_temperature(z, t, q)
    call check(all(abs(q(1, :) - 0.75) < 1e-6) .and. all(abs(sum(q, 1) - 1) < 1e-6), 'probabilities at a temperature')
    call kmc_apply_temperature(z, 0.0_real64, q, stat, errmsg)
    call refused(stat, errmsg, kmc_err_value, 'positive')
    density = reshape([1.0, 0.0, 0.25, 0.75], [2, 2])
    call check(abs(kmc_crps(density(:, 1:1), [0.0_real64, 1.0_real64, 2.0_real64], [1.0_real64]) - 1/3.0_real64) < 1e-12, 'CRPS')
    call kmc_pit(density, [0.0_real64, 1.0_real64, 2.0_real64], [1.0_real64, 1.5_real64], values)
    call check(all(values == [1.0_real64, 0.625_real64]), 'PIT')
    call kmc_pit(density, [0.0_real64, 1.0_real64], [1.0_real64, 1.5_real64], values, stat, errmsg)
    call refused(stat, errmsg, kmc_err_shape, 'edges: expected (3), got (2)')
  end subroutine

  subroutine library()
    call check(kmc_version() == '0.1.0', 'version')
    call check(kmc_abi_version() == kmc_abi, 'the interface that this module was written for')
    call check(kmc_status_name(kmc_err_shape) == 'KMC_ERR_SHAPE', 'name of a status')
    call check(kmc_device_count() >= 0 .and. kmc_default_threads() >= 1, 'devices and threads')
    call check(len(kmc_device_name('cpu')) > 0 .and. len(kmc_device_name()) > 0, 'name of a device')
    call check(len(kmc_doctor()) > 0, 'doctor')
  end subroutine

  include 'check.inc'
end program
