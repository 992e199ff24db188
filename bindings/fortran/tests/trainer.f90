! Trainers: options, callbacks, resumption, evaluation, prediction.
program test_trainer
  use kamacite
  use, intrinsic :: iso_fortran_env, only: real32, real64, int64, error_unit
  implicit none
  integer :: checks = 0, failures = 0
  integer :: epochs_seen, batches_seen, lines_seen
  logical :: stop_early
  call fitting()
  call callbacks()
  call resuming()
  call evaluating()
  call variational()
  call contrastive()
  call pictures()
  call every_option()
  call report('trainer')
contains
  subroutine make(train, valid, net)
    type(kmc_dataset), intent(inout) :: train, valid
    type(kmc_network), intent(inout) :: net
    type(kmc_dataset) :: both
    real(real32) :: x(2, 300)
    integer :: i
    x = reshape(real([(sin(real(i*i)), i = 1, 600)], real32), [2, 300])
    call both%create(x)
    call both%add_classes(merge(1, 2, sum(x**2, 1) < 0.7), 2)
    call both%split(200, train, valid)
    call net%create([2])
    call net%dense(16, kmc_relu)
    call net%dense(2, name='out')
  end subroutine

  function plain() result(options)
    type(kmc_trainer_options) :: options
    options%batch = 20
    options%seed = 7
    options%device = 'cpu'
    options%optimizer%kind = kmc_adam
    options%optimizer%learning_rate = 0.01_real64
  end function

  subroutine fitting()
    type(kmc_dataset) :: train, valid
    type(kmc_network) :: net
    type(kmc_trainer) :: trainer
    type(kmc_report) :: outcome
    type(kmc_record), allocatable :: records(:)
    type(kmc_scores) :: scores
    real(real64) :: loss
    integer :: confusion(2, 2)
    integer(int64) :: wide(2, 2)
    call make(train, valid, net)
    call trainer%create(net, train, valid, plain())
    call check(trainer%epoch() == 0 .and. trainer%learning_rate() == 0.01_real64, 'before the first epoch')
    call trainer%fit(30, outcome)
    call check(outcome%ended == kmc_ended_done .and. outcome%epochs == 30 .and. outcome%steps == 300, 'thirty epochs')
    call check(outcome%seconds > 0 .and. outcome%rate > 0 .and. outcome%valid%samples == 100, 'what a report says')
    call check(outcome%valid%accuracy > 0.9, 'it learns')
    call check(trainer%epoch() == 30 .and. trainer%updates() == 300, 'a trainer is a model')
    call trainer%history(records)
    call check(size(records) == 30 .and. records(30)%epoch == 30 .and. records(30)%loss < records(1)%loss, 'history')
    call check(records(30)%valid_loss == outcome%valid%loss, 'the last record is the report')
    call trainer%validate(scores)
    call check(scores%loss == outcome%valid%loss .and. scores%classes == 2, 'validate')
    call trainer%validate(scores, confusion)
    call trainer%validate(scores, wide)
    call check(sum(confusion) == 100 .and. all(confusion == wide), 'validate with a confusion matrix')
    call check(abs(scores%accuracy - (confusion(1, 1) + confusion(2, 2))/100.0_real64) < 1e-12, 'accuracy is its diagonal')
    call trainer%step(loss)
    call check(loss > 0 .and. trainer%updates() == 301, 'a single step')
    call trainer%fit(31, verbose=0, csv='fortran_history.csv', json_lines='fortran_history.jsonl')
    call check(holds('fortran_history.csv') .and. holds('fortran_history.jsonl'), 'files of a run')
    call delete('fortran_history.csv')
    call delete('fortran_history.jsonl')
    call trainer%destroy()
    call trainer%destroy()
  end subroutine

  subroutine callbacks()
    type(kmc_dataset) :: train, valid
    type(kmc_network) :: net
    type(kmc_trainer) :: trainer
    type(kmc_report) :: outcome
    epochs_seen = 0
    batches_seen = 0
    lines_seen = 0
    stop_early = .false.
    call make(train, valid, net)
    call trainer%create(net, train, valid, plain())
    call trainer%fit(3, on_epoch=each_epoch, on_batch=each_batch, log=each_line)
    call check(epochs_seen == 3 .and. batches_seen == 30 .and. lines_seen >= 3, 'callbacks are called')
    stop_early = .true.
    call trainer%fit(8, outcome, on_batch=each_batch)
    call check(outcome%ended == kmc_ended_stopped .and. batches_seen == 31, 'a callback stops the run')
    call trainer%fit(9, outcome, verbose=1, log=each_line)
    call check(lines_seen >= 4, 'lines on the output unit and to the log')
    call trainer%request_stop()
    call kmc_request_stop()
    call trainer%fit(20, outcome)
    call check(outcome%ended == kmc_ended_stopped .and. trainer%epoch() < 20, 'a request ends the next run')
  end subroutine

  subroutine each_epoch(progress, stop)
    type(kmc_progress), intent(in) :: progress
    logical, intent(inout) :: stop
    epochs_seen = epochs_seen + 1
    call check(progress%epoch == epochs_seen .and. progress%epochs == 3 .and. progress%loss > 0, 'progress of an epoch')
    stop = .false.
  end subroutine

  subroutine each_batch(progress, stop)
    type(kmc_progress), intent(in) :: progress
    logical, intent(inout) :: stop
    batches_seen = batches_seen + 1
    call check(progress%samples == 200, 'samples of an epoch')
    if (stop_early) stop = .true.
  end subroutine

  subroutine each_line(line)
    character(len=*), intent(in) :: line
    lines_seen = lines_seen + 1
    call check(len(line) > 0, 'a line of the log')
  end subroutine

  ! A run that is resumed ends with the bits of one that was not interrupted.
  subroutine resuming()
    type(kmc_dataset) :: train, valid
    type(kmc_network) :: net
    type(kmc_trainer) :: whole, first, second
    type(kmc_model) :: alone
    real(real64) :: a(2, 16), b(2, 16)
    call make(train, valid, net)
    call whole%create(net, train, valid, plain())
    call whole%fit(4)
    call whole%get_array('out.weight', a)
    call first%create(net, train, valid, plain())
    call first%fit(2)
    call first%save('fortran_trainer.kmc')
    call second%create(net, train, valid, plain())
    call second%restore('fortran_trainer.kmc')
    call second%fit(4)
    call second%get_array('out.weight', b)
    call check(second%epoch() == 4 .and. all(a == b), 'resumed, with the same bits')
    call alone%load('fortran_trainer.kmc')
    call first%get_array('out.weight', a)
    call alone%get_array('out.weight', b)
    call check(all(a == b), 'the model of a trainer''s file')
    call delete('fortran_trainer.kmc')
  end subroutine

  subroutine evaluating()
    type(kmc_dataset) :: train, valid
    type(kmc_network) :: net
    type(kmc_trainer) :: trainer
    type(kmc_scores) :: scores, again
    real(real32) :: y(2, 100), mean(2, 100), deviation(2, 100), quantiles(2, 100, 3), x(2, 100)
    integer :: confusion(2, 2), classes(100), labels(100), counted(2, 2)
    integer(int64) :: wide(2, 2)
    call make(train, valid, net)
    call net%create([2])
    call net%dense(16, kmc_relu)
    call net%dropout(0.5_real64)
    call net%dense(2)
    call trainer%create(net, train, options=plain())
    call trainer%fit(20)
    call trainer%evaluate(valid, scores)
    call check(scores%samples == 100 .and. scores%accuracy > 0.8, 'evaluate')
    call trainer%evaluate(valid, again, confusion, batch=7)
    call trainer%evaluate(valid, again, wide)
    call check(again%accuracy == scores%accuracy .and. all(confusion == wide), 'evaluate with a confusion matrix')
    call trainer%predict_classes(valid, classes)
    call valid%get_labels(labels)
    call kmc_confusion(labels, classes, counted)
    call check(all(counted == confusion), 'confusion(true, predicted) of predicted classes')
    call check(count(labels == 1 .and. classes == 2) == confusion(1, 2), 'rows are true, columns predicted')
    call trainer%predict(valid, y, batch=13)
    call check(maxval(abs(sum(y, 1) - 1)) < 1e-5 .and. all(maxloc(y, 1) == classes), 'probabilities')
    call valid%get_inputs(x)
    call trainer%forward(x)
    call trainer%make_prediction()
    call trainer%get_output(mean)
    call check(maxval(abs(mean - y)) < 1e-6, 'a forward pass through a trainer')
    call trainer%predict_monte_carlo(valid, 50, mean)
    call trainer%predict_monte_carlo(valid, 50, mean, deviation, [0.1_real64, 0.5_real64, 0.9_real64], quantiles)
    call check(any(deviation > 0) .and. all(quantiles(:, :, 1) <= quantiles(:, :, 2)) .and. &
        all(quantiles(:, :, 2) <= quantiles(:, :, 3)) .and. maxval(abs(sum(mean, 1) - 1)) < 1e-4, 'Monte-Carlo predictions')
  end subroutine

  ! A variational layer: what it does not know, and how its divergence from the prior counts.
  subroutine variational()
    type(kmc_dataset) :: data
    type(kmc_network) :: net
    type(kmc_trainer) :: trainer
    type(kmc_trainer_options) :: options
    type(kmc_model) :: model
    type(kmc_model_options) :: alone
    real(real32) :: mean(4, 60), deviation(4, 60), predictive(60), expected(60), mutual(60), x(2, 1)
    real(real64) :: few, many
    integer :: node, stat
    character(len=300) :: errmsg
    call data%make_clusters(60, 2, 1)
    call net%create([2])
    call net%bayes_dense(8, kmc_tanh, prior=0.5_real64, deviation=0.1_real64, name='guess', node=node)
    call net%dense(4)
    call check(net%node_name(node) == 'guess', 'the name of a variational layer')
    call check(net%parameters() == 2*(2*8 + 8) + 8*4 + 4, 'means and spreads of a variational layer')
    options%device = 'cpu'
    options%optimizer%kind = kmc_adam
    call trainer%create(net, data, options=options)
    call trainer%fit(5)
    call trainer%predict_monte_carlo(data, 20, mean, deviation, predictive=predictive, expected=expected, &
      mutual_information=mutual)
    call check(all(deviation > 0) .and. all(mutual > 0), 'weights are drawn')
    call check(maxval(abs(predictive - expected - mutual)) < 1e-5 .and. maxval(predictive) <= log(4.0) + 1e-5, 'entropies')
    call trainer%predict_monte_carlo(data, 20, mean, mutual_information=mutual)
    call check(all(mutual > 0), 'one of the entropies')
    call trainer%predict_monte_carlo(data, 20, mean, predictive=predictive, expected=expected(1:3), stat=stat, errmsg=errmsg)
    call refused(stat, errmsg, kmc_err_shape, 'expected: expected (60), got (3)')
    call trainer%predict_monte_carlo(data, 20, mean, predictive=predictive(1:3), stat=stat, errmsg=errmsg)
    call refused(stat, errmsg, kmc_err_shape, 'entropies')
    ! The divergence over ten samples is more of the loss than over a hundred thousand.
    allocate (alone%losses(1))
    alone%device = 'cpu'
    alone%samples = 10
    x = 0.5
    call model%create(net, alone)
    call model%forward(x, kmc_mode_eval)
    call model%loss([1], few)
    alone%samples = 100000
    call model%create(net, alone)
    call model%forward(x, kmc_mode_eval)
    call model%loss([1], many)
    call check(few > many + 1, 'the number of training samples')
  end subroutine

  ! Two views of each sample as two positions, without targets.
  subroutine contrastive()
    type(kmc_dataset) :: data
    type(kmc_network) :: net
    type(kmc_trainer) :: trainer
    type(kmc_trainer_options) :: options
    type(kmc_report) :: first, last
    type(kmc_target) :: none(1)
    real(real32) :: x(5, 2, 32)
    real(real64) :: loss
    integer :: i, j
    do i = 1, 32
      do j = 1, 5
        x(j, :, i) = sin(real(7*i + j, real32))
      end do
      x(:, 2, i) = x(:, 2, i) + 0.05*cos(real(i, real32))
    end do
    call data%create(x)
    call net%create([5, 2])
    call net%conv(8, 1, activation=kmc_relu)
    call net%conv(4, 1)
    options%device = 'cpu'
    options%loss%kind = kmc_loss_nt_xent
    options%loss%temperature = 0.2_real64
    options%optimizer%learning_rate = 0.1_real64
    call trainer%create(net, data, options=options)
    call trainer%fit(1, report=first)
    call trainer%fit(20, report=last)
    call check(last%loss > 0 .and. last%loss < first%loss, 'views find each other')
    call trainer%forward(x, kmc_mode_train)
    call trainer%loss(none, loss)
    call check(loss > 0, 'a loss without a target')
  end subroutine

  ! Predictions that are pictures, and classes of positions.
  subroutine pictures()
    type(kmc_dataset) :: data
    type(kmc_network) :: net
    type(kmc_trainer) :: trainer
    type(kmc_trainer_options) :: options
    type(kmc_scores) :: scores
    real(real32) :: x3(1, 5, 4), x4(1, 5, 2, 4), x5(1, 5, 2, 3, 4), y3(2, 5, 4), y4(2, 5, 2, 4), y5(2, 5, 2, 3, 4)
    real(real32) :: y2(10, 4), y1(40)
    integer :: l2(5, 4), l3(5, 2, 4), l4(5, 2, 3, 4), p2(5, 4), p3(5, 2, 4), p4(5, 2, 3, 4)
    call random_number(x3)
    call random_number(x4)
    call random_number(x5)
    options = plain()
    l2 = merge(1, 2, x3(1, :, :) < 0.5)
    l3 = merge(1, 2, x4(1, :, :, :) < 0.5)
    l4 = merge(1, 2, x5(1, :, :, :, :) < 0.5)
    call data%create(x3)
    call data%add_classes(l2, 2)
    call net%create([1, 5])
    call net%conv(2, 1)
    call trainer%create(net, data, options=options)
    call trainer%predict(data, y3)
    call trainer%predict(data, y2)
    call trainer%predict(data, y1)
    call trainer%predict_classes(data, p2)
    call check(all(maxloc(y3, 1) == p2) .and. all(reshape(y2, [40]) == y1) .and. all(reshape(y3, [40]) == y1), 'spectra')
    call data%create(x4)
    call data%add_classes(l3, 2)
    call net%create([1, 5, 2])
    call net%conv(2, 1)
    call trainer%create(net, data, options=options)
    call trainer%predict(data, y4)
    call trainer%predict_classes(data, p3)
    call check(all(maxloc(y4, 1) == p3), 'images')
    call data%create(x5)
    call data%add_classes(l4, 2)
    call net%create([1, 5, 2, 3])
    call net%conv(2, 1)
    call trainer%create(net, data, options=options)
    call trainer%predict(data, y5)
    call trainer%predict_classes(data, p4)
    call check(all(maxloc(y5, 1) == p4), 'cubes')
    call data%make_stars(64, 1)
    call net%create(squeezed(data%shape()))
    call net%dense(1)
    options%loss%kind = kmc_loss_mse
    call trainer%create(net, data, options=options)
    call trainer%evaluate(data, scores)
    call check(scores%classes == 0 .and. scores%rmse > 0, 'scores of a regression')
  end subroutine

  function squeezed(extent) result(short)
    integer, intent(in) :: extent(4)
    integer, allocatable :: short(:)
    integer :: last
    do last = 4, 2, -1
      if (extent(last) /= 1) exit
    end do
    short = extent(1:last)
  end function

  ! Every option reaches the library: each is refused, or changes something.
  subroutine every_option()
    type(kmc_dataset) :: train, valid
    type(kmc_network) :: net
    type(kmc_trainer) :: trainer
    type(kmc_trainer_options) :: options
    type(kmc_report) :: outcome
    type(kmc_record), allocatable :: records(:)
    real(real64) :: base, other
    integer :: stat
    call make(train, valid, net)
    base = loss_with(net, train, plain())
    options = plain()
    options%seed = 8
    call check(loss_with(net, train, options) /= base, 'seed')
    options = plain()
    options%batch = 50
    call check(loss_with(net, train, options) /= base, 'batch')
    options = plain()
    options%keep_order = .true.
    call check(loss_with(net, train, options) /= base, 'keep_order')
    options = plain()
    options%threads = 1
    call check(loss_with(net, train, options) == base, 'threads do not change the bits')
    options = plain()
    options%precision = kmc_fp64
    other = loss_with(net, train, options)
    call check(other /= base .and. abs(other - base) < 1e-4, 'precision')
    options = plain()
    options%loss%smoothing = 0.1_real64
    call check(loss_with(net, train, options) /= base, 'smoothing')
    options = plain()
    options%loss%class_weights = [1.0_real64, 3.0_real64]
    call check(loss_with(net, train, options) /= base, 'class weights')
    options = plain()
    options%loss%factor = 2
    call check(loss_with(net, train, options) /= base, 'factor')
    options = plain()
    options%optimizer%beta1 = 0.5_real64
    call check(loss_with(net, train, options) /= base, 'beta1')
    options = plain()
    options%optimizer%eps = 1e-3_real64
    call check(loss_with(net, train, options) /= base, 'eps')
    options%optimizer%amsgrad = .true.
    options%optimizer%eps = 0
    options%optimizer%learning_rate = 0.3_real64
    other = loss_with(net, train, options)
    options%optimizer%amsgrad = .false.
    call check(loss_with(net, train, options) /= other, 'amsgrad')
    options = plain()
    options%optimizer%beta2 = 0.9_real64
    call check(loss_with(net, train, options) /= base, 'beta2')
    call optimizers(net, train)
    options = plain()
    options%optimizer%kind = kmc_sgd
    options%clip = kmc_clip_norm
    options%clip_bound = 1e-3_real64
    other = loss_with(net, train, options)
    options%clip_bound = 1e-2_real64
    call check(loss_with(net, train, options) < other, 'the bound of a clip')
    options%clip = kmc_clip_value
    call check(loss_with(net, train, options) < other, 'clipped values')
    options = plain()
    options%optimizer%weight_decay = 0.5_real64
    other = loss_with(net, train, options)
    options%spare_biases = .true.
    call check(other /= base .and. loss_with(net, train, options) /= other, 'weight decay, with and without biases')
    options = plain()
    options%accumulate = 2
    call check(loss_with(net, train, options) /= base, 'accumulate')
    options = plain()
    options%ema_decay = 0.9_real64
    call trainer%create(net, train, valid, options)
    call trainer%fit(2, outcome)
    other = outcome%valid%loss
    options%ema_warm_up = .true.
    call trainer%create(net, train, valid, options)
    call trainer%fit(2, outcome)
    call check(other /= outcome%valid%loss, 'its warm-up')
    call trainer%create(net, train, valid, plain())
    call trainer%fit(2, outcome)
    call check(other /= outcome%valid%loss, 'a running mean of the weights')
    options = plain()
    options%validate_every = 2
    call trainer%create(net, train, valid, options)
    call trainer%fit(2)
    call trainer%history(records)
    call check(records(1)%valid_loss /= records(1)%valid_loss .and. records(2)%valid_loss > 0, 'validate_every')
    options = plain()
    options%optimizer%learning_rate = 1e-9_real64
    options%early_patience = 2
    options%early_min_delta = 0.1_real64
    call trainer%create(net, train, valid, options)
    call trainer%fit(50, outcome)
    call check(outcome%ended == kmc_ended_early_stopping .and. outcome%epochs < 10, 'early stopping')
    options%early_warm_up = 5
    options%watch_accuracy = .true.
    call trainer%create(net, train, valid, options)
    call trainer%fit(50, outcome)
    call check(outcome%ended == kmc_ended_early_stopping .and. outcome%epochs > 5, 'its warm-up')
    options = plain()
    options%optimizer%learning_rate = 1e-9_real64
    options%plateau_patience = 1
    options%plateau_factor = 0.5_real64
    options%plateau_threshold = 0.5_real64
    options%plateau_cooldown = 1
    options%plateau_floor = 0.1_real64
    call trainer%create(net, train, valid, options)
    call trainer%fit(6)
    call check(trainer%learning_rate() < 1e-9_real64, 'the plateau')
    other = trainer%learning_rate()
    options%plateau_cooldown = 4
    call trainer%create(net, train, valid, options)
    call trainer%fit(6)
    call check(trainer%learning_rate() > other, 'its cooldown')
    options%plateau_cooldown = 0
    call trainer%create(net, train, valid, options)
    call trainer%fit(30)
    call check(abs(trainer%learning_rate() - 1e-10_real64) < 1e-14_real64, 'its floor')
    options = plain()
    options%optimizer%learning_rate = 1e-6_real64
    options%early_patience = 3
    call trainer%create(net, train, valid, options)
    call trainer%fit(20, outcome)
    call check(outcome%ended == kmc_ended_done, 'the loss improves')
    options%watch_accuracy = .true.
    call trainer%create(net, train, valid, options)
    call trainer%fit(20, outcome)
    call check(outcome%ended == kmc_ended_early_stopping, 'the accuracy does not')
    options = plain()
    options%schedule%kind = kmc_schedule_step
    options%schedule%period = 1
    options%schedule%factor = 0.5_real64
    options%schedule%per_epoch = .true.
    call check(abs(rate_with(net, train, options, 2) - 0.0025_real64) < 1e-12, 'a schedule of steps, per epoch')
    options%schedule = kmc_schedule_options(kind=kmc_schedule_milestones, factor=0.1_real64, milestones=[5_int64, 15_int64])
    call check(abs(rate_with(net, train, options, 1) - 0.001_real64) < 1e-12 .and. &
        abs(rate_with(net, train, options, 2) - 0.0001_real64) < 1e-12, 'milestones')
    options%schedule = kmc_schedule_options(kind=kmc_schedule_cosine, period=20_int64, floor=0.5_real64)
    call check(abs(rate_with(net, train, options, 2) - 0.005_real64) < 1e-9, 'a cosine down to its floor')
    options%schedule = kmc_schedule_options(kind=kmc_schedule_polynomial, period=20_int64, power=2.0_real64)
    call check(abs(rate_with(net, train, options, 1) - 0.0025_real64) < 1e-9, 'a polynomial')
    options%schedule = kmc_schedule_options(kind=kmc_schedule_decay, floor=0.5_real64, rate=100.0_real64)
    call check(abs(rate_with(net, train, options, 1) - 0.005_real64) < 1e-9, 'a decay')
    options%schedule = kmc_schedule_options(kind=kmc_schedule_constant, warm_up=20_int64)
    call check(rate_with(net, train, options, 1) < 0.01_real64, 'a warm-up')
    options%schedule = kmc_schedule_options(kind=kmc_schedule_cosine_restarts, period=5_int64, growth=2_int64)
    call check(abs(rate_with(net, train, options, 1) - 0.005_real64) < 1e-9, 'restarts: the second period is twice as long')
    options = plain()
    options%checkpoint = 'fortran_checkpoint.kmc'
    options%checkpoint_every = -3
    call trainer%create(net, train, valid, options, stat=stat)
    call check(stat == kmc_err_value, 'checkpoint_every')
    options%checkpoint_every = 3
    options%best = 'fortran_best.kmc'
    call trainer%create(net, train, valid, options)
    call trainer%fit(2)
    call check(holds('fortran_checkpoint.kmc') .and. holds('fortran_best.kmc'), 'checkpoint and best')
    options%resume = 'fortran_checkpoint.kmc'
    call trainer%create(net, train, valid, options)
    call check(trainer%epoch() == 2, 'resume')
    call delete('fortran_checkpoint.kmc')
    call delete('fortran_best.kmc')
    options = plain()
    options%loss%kind = kmc_loss_huber
    options%loss%delta = 0.5_real64
    call train%one_hot()
    call valid%one_hot()
    base = loss_with(net, train, options)
    options%loss%delta = 0.1_real64
    call check(loss_with(net, train, options) /= base, 'delta')
    options%loss%output = 'no such output'
    call trainer%create(net, train, valid, options, stat=stat)
    call check(stat /= 0, 'an output that is not there')
    call two_losses()
  end subroutine

  ! Every number of the rules of update changes the second epoch.
  subroutine optimizers(net, train)
    type(kmc_network), intent(in) :: net
    type(kmc_dataset), intent(in) :: train
    type(kmc_trainer_options) :: options
    real(real64) :: before, momentum, velocity
    options = plain()
    options%optimizer%kind = kmc_sgd
    before = loss_with(net, train, options)
    options%optimizer%momentum = 0.9_real64
    momentum = loss_with(net, train, options)
    call check(momentum /= before, 'momentum')
    options%optimizer%nesterov = .true.
    call check(loss_with(net, train, options) /= momentum, 'nesterov')
    options%optimizer%nesterov = .false.
    options%optimizer%velocity_form = .true.
    options%schedule%kind = kmc_schedule_exponential
    options%schedule%factor = 0.9_real64
    velocity = loss_with(net, train, options)
    options%optimizer%velocity_form = .false.
    call check(loss_with(net, train, options) /= velocity, 'velocity form')
    options = plain()
    options%optimizer%kind = kmc_rmsprop
    before = loss_with(net, train, options)
    options%optimizer%rho = 0.5_real64
    momentum = loss_with(net, train, options)
    options%optimizer%centered = .true.
    call check(momentum /= before .and. loss_with(net, train, options) /= momentum, 'rho and centered')
  end subroutine

  ! The loss of the second epoch.
  real(real64) function loss_with(net, train, options)
    type(kmc_network), intent(in) :: net
    type(kmc_dataset), intent(in) :: train
    type(kmc_trainer_options), intent(in) :: options
    type(kmc_trainer) :: trainer
    type(kmc_report) :: outcome
    call trainer%create(net, train, options=options)
    call trainer%fit(2, outcome)
    loss_with = outcome%loss
  end function

  ! The learning rate after so many epochs of ten steps.
  real(real64) function rate_with(net, train, options, epochs)
    type(kmc_network), intent(in) :: net
    type(kmc_dataset), intent(in) :: train
    type(kmc_trainer_options), intent(in) :: options
    integer, intent(in) :: epochs
    type(kmc_trainer) :: trainer
    call trainer%create(net, train, options=options)
    call trainer%fit(epochs)
    rate_with = trainer%learning_rate()
  end function

  subroutine two_losses()
    type(kmc_dataset) :: data
    type(kmc_network) :: net
    type(kmc_trainer) :: trainer
    type(kmc_trainer_options) :: options
    type(kmc_report) :: outcome
    real(real32) :: x(3, 40), t(1, 40)
    real(real64) :: first
    integer :: labels(40), i, hidden
    call random_number(x)
    labels = [(1 + mod(i, 2), i = 1, 40)]
    t(1, :) = sum(x, 1)
    call data%create(x)
    call data%add_classes(labels, 2)
    call data%add_values(t)
    call net%create([3])
    call net%dense(8, kmc_tanh, node=hidden)
    call net%dense(2)
    call net%output('class')
    call net%dense(1, from=hidden)
    call net%output('value')
    options = plain()
    options%loss%output = 'class'
    allocate (options%more_losses(1))
    options%more_losses(1)%kind = kmc_loss_mse
    options%more_losses(1)%output = 'value'
    call trainer%create(net, data, options=options)
    call trainer%fit(1, outcome)
    first = outcome%loss
    options%more_losses(1)%factor = 10
    call trainer%create(net, data, options=options)
    call trainer%fit(1, outcome)
    call check(outcome%loss > first, 'the factor of the second loss')
  end subroutine

  logical function holds(path)
    character(len=*), intent(in) :: path
    integer :: bytes
    inquire (file=path, size=bytes)
    holds = bytes > 0
  end function

  subroutine delete(path)
    character(len=*), intent(in) :: path
    integer :: unit
    open (newunit=unit, file=path)
    close (unit, status='delete')
  end subroutine

  include 'check.inc'
end program
