! Models: the open loop, weights by name, files, several inputs and outputs.
program test_model
  use kamacite
  use, intrinsic :: iso_fortran_env, only: real32, real64, int64, error_unit
  implicit none
  integer :: checks = 0, failures = 0
  call linear()
  call ranks()
  call double()
  call every_rank()
  call classes()
  call losses()
  call steps()
  call inside()
  call files()
  call several()
  call report('model')
contains
  ! A dense layer with these weights: y = W x + b.
  subroutine make_linear(model, precision, loss, options_of_loss)
    type(kmc_model), intent(inout) :: model
    integer, intent(in) :: precision, loss
    type(kmc_loss_options), intent(in), optional :: options_of_loss
    type(kmc_network) :: net
    type(kmc_model_options) :: options
    call net%create([3])
    call net%dense(2, name='line')
    options%precision = precision
    options%device = 'cpu'
    allocate (options%losses(1))
    options%losses(1)%kind = loss
    if (present(options_of_loss)) options%losses(1) = options_of_loss
    call model%create(net, options)
    call model%set_array('line.weight', reshape([1.0_real64, 2.0_real64, 3.0_real64, 4.0_real64, 5.0_real64, 6.0_real64], [2, 3]))
    call model%set_array('line.bias', [0.5_real64, -0.5_real64])
  end subroutine

  subroutine linear()
    type(kmc_model) :: model
    real(real32) :: x(3, 2), t(2, 2), y(2, 2), dx(3, 2), w(2, 3), b(2), dy(2, 2), flat(4)
    real(real64) :: dw(2, 3), db(2), back(2, 3), loss
    integer :: i
    call make_linear(model, kmc_fp32, kmc_loss_mse)
    w = reshape(real([1, 2, 3, 4, 5, 6], real32), [2, 3])
    b = [0.5, -0.5]
    x = reshape([1.0, 0.0, -1.0, 2.0, 1.0, 0.5], [3, 2])
    t = reshape([1.0, 1.0, 2.0, 2.0], [2, 2])
    call model%forward(x, mode=kmc_mode_train)
    call model%get_output(y)
    call check(all(y == matmul(w, x) + spread(b, 2, 2)), 'y = W x + b, W(units, inputs)')
    call model%get_output(flat, output=1)
    call check(all(flat == reshape(y, [4])), 'outputs in rank 1')
    call model%loss(t, loss)
    call check(abs(loss - sum((y - t)**2)/4) < 1e-6, 'mean of the squared error')
    call model%backward()
    dy = 2*(y - t)/4
    call model%get_input_gradient(dx)
    call check(maxval(abs(dx - matmul(transpose(w), dy))) < 1e-5, 'dx = W^T dy')
    call model%get_array_gradient('line.weight', dw)
    call model%get_array_gradient('line.bias', db)
    call check(maxval(abs(dw - matmul(dy, transpose(x)))) < 1e-5, 'dW = dy x^T')
    call check(maxval(abs(db - sum(dy, 2))) < 1e-5, 'db = sum of dy')
    call model%forward(x, kmc_mode_train)
    call model%loss(t, loss)
    call model%backward(kmc_grads_add)
    call model%get_array_gradient('line.weight', back)
    call check(maxval(abs(back - 2*dw)) < 1e-5, 'gradients added')
    call model%forward(x, kmc_mode_train)
    call model%backward(dy, grads=kmc_grads_write)
    call model%get_array_gradient('line.weight', back)
    call check(maxval(abs(back - dw)) < 1e-6, 'a backward pass from dy')
    call model%forward(x, kmc_mode_eval)
    call model%backward(3*dy, grads=kmc_grads_skip)
    call model%get_input_gradient(dx, input=1)
    call check(maxval(abs(dx - 3*matmul(transpose(w), dy))) < 1e-4, 'gradients of inputs alone')
    call check(model%array_count() == 2, 'two arrays')
    call check(any([(model%array_name(i) == 'line.weight', i = 1, 2)]), 'names of arrays')
    call check(all(model%array_shape('line.weight') == [2, 3]) .and. all(model%array_shape('line.bias') == [2]), 'shapes of arrays')
    call model%get_array('line.weight', back)
    call check(all(back == w), 'weights come back')
    call check(model%updates() == 0 .and. model%device() /= '' .and. index(model%summary(), 'line') > 0, 'about a model')
  end subroutine

  ! The same values in every rank.
  subroutine ranks()
    type(kmc_network) :: net
    type(kmc_model) :: model
    type(kmc_model_options) :: options
    real(real32) :: x1(24), x2(12, 2), x3(2, 6, 2), x4(2, 3, 2, 2), x5(2, 3, 1, 2, 2), y(2, 2), z(2, 2), d5(2, 3, 1, 2, 2)
    real(real32) :: d1(24), d2(12, 2), d3(2, 6, 2), d4(2, 3, 2, 2)
    integer :: i
    options%seed = 3
    x1 = [(sin(real(i)), i = 1, 24)]
    x2 = reshape(x1, [12, 2])
    x3 = reshape(x1, [2, 6, 2])
    x4 = reshape(x1, [2, 3, 2, 2])
    x5 = reshape(x1, [2, 3, 1, 2, 2])
    call net%create([2, 6])
    call net%dense(2)
    call model%create(net, options)
    call model%forward(x3)
    call model%get_output(y)
    call model%forward(x2)
    call model%get_output(z)
    call check(all(y == z), 'rank 2 for a spectrum')
    call model%forward(x1, kmc_mode_eval)
    call model%get_output(z)
    call check(all(y == z), 'rank 1 for a spectrum')
    call model%backward(y)
    call model%get_input_gradient(d1)
    call model%get_input_gradient(d2)
    call model%get_input_gradient(d3)
    call check(any(d1 /= 0) .and. all(reshape(d2, [24]) == d1) .and. all(reshape(d3, [24]) == d1), 'gradients in ranks 1 to 3')
    call net%create([2, 3, 2])
    call net%dense(2)
    call model%create(net, options)
    call model%forward(x4, kmc_mode_eval)
    call model%get_output(z)
    call check(all(y == z), 'rank 4 for an image: the same dense layer')
    call model%backward(y)
    call model%get_input_gradient(d4)
    call check(all(reshape(d4, [24]) == d1), 'gradients in rank 4')
    call net%create([2, 3, 1, 2])
    call net%dense(2)
    call model%create(net, options)
    call model%forward(x5, kmc_mode_eval)
    call model%get_output(z)
    call check(all(y == z), 'rank 5 for a cube')
    call model%backward(y)
    call model%get_input_gradient(d5)
    call check(all(reshape(d5, [24]) == d1), 'gradients in rank 5')
    call check_pictures()
  end subroutine

  ! Outputs, losses and gradients that are pictures.
  subroutine check_pictures()
    type(kmc_network) :: net
    type(kmc_model) :: model
    type(kmc_model_options) :: options
    real(real32) :: x3(1, 5, 2), x4(1, 5, 4, 2), x5(1, 5, 4, 3, 2), y3(1, 5, 2), y4(1, 5, 4, 2), y5(1, 5, 4, 3, 2)
    real(real64) :: loss
    allocate (options%losses(1))
    options%losses(1)%kind = kmc_loss_mse
    call random_number(x3)
    call random_number(x4)
    call random_number(x5)
    call net%create([1, 5])
    call net%conv(1, 1, init=kmc_init_constant, init_value=2.0_real64)
    call model%create(net, options)
    call model%forward(x3, kmc_mode_train)
    call model%get_output(y3)
    call check(all(y3 == 2*x3), 'a spectrum as output')
    call model%loss(x3, loss)
    call check(abs(loss - sum(x3**2)/10) < 1e-5, 'a spectrum as target')
    call model%backward(y3)
    call net%create([1, 5, 4])
    call net%conv(1, 1, init=kmc_init_constant, init_value=2.0_real64)
    call model%create(net, options)
    call model%forward(x4, kmc_mode_train)
    call model%get_output(y4)
    call check(all(y4 == 2*x4), 'an image as output')
    call model%loss(x4, loss)
    call check(abs(loss - sum(x4**2)/40) < 1e-5, 'an image as target')
    call model%backward(y4)
    call net%create([1, 5, 4, 3])
    call net%conv(1, 1, init=kmc_init_constant, init_value=2.0_real64)
    call model%create(net, options)
    call model%forward(x5, kmc_mode_train)
    call model%get_output(y5)
    call check(all(y5 == 2*x5), 'a cube as output')
    call model%loss(x5, loss)
    call check(abs(loss - sum(x5**2)/120) < 1e-5, 'a cube as target')
    call model%backward(y5)
  end subroutine

  subroutine double()
    type(kmc_model) :: model
    real(real64) :: x(3, 2), t(2, 2), y(2, 2), dx(3, 2), w(2, 3), loss, flat(6)
    integer :: i
    call make_linear(model, kmc_fp64, kmc_loss_mse)
    w = reshape([(real(i, real64), i = 1, 6)], [2, 3])
    x = reshape([0.1_real64, 0.2_real64, -0.3_real64, 1/3.0_real64, 2.0_real64, 1e-9_real64], [3, 2])
    t = 0
    call model%forward(x, kmc_mode_train)
    call model%get_output(y)
    call check(maxval(abs(y - (matmul(w, x) + spread([0.5_real64, -0.5_real64], 2, 2)))) < 1e-14, 'double precision forward')
    call model%loss(t, loss)
    call check(abs(loss - sum(y**2)/4) < 1e-13, 'double precision loss')
    call model%backward()
    call model%get_input_gradient(dx)
    call check(maxval(abs(dx - matmul(transpose(w), y/2))) < 1e-13, 'double precision gradient')
    flat = reshape(x, [6])
    call model%forward(flat, kmc_mode_train)
    call model%backward(y/2)
    call model%get_input_gradient(flat)
    call check(maxval(abs(reshape(flat, [3, 2]) - dx)) < 1e-13, 'double precision in rank 1')
  end subroutine

  ! A convolution of one tap that doubles, in both kinds and every rank: outputs, losses, gradients, weights, nodes.
  subroutine every_rank()
    type(kmc_model) :: model
    real(real64) :: x1(12), x3(1, 3, 4), x4(1, 3, 2, 2), x5(1, 3, 2, 2, 1), y1(12), y3(1, 3, 4), y4(1, 3, 2, 2), y5(1, 3, 2, 2, 1)
    real(real64) :: w3(1, 1, 1), w4(1, 1, 1, 1), w5(1, 1, 1, 1, 1), loss, norm
    real(real32) :: n1(12), n3(1, 3, 4), n4(1, 3, 2, 2), n5(1, 3, 2, 2, 1), single(12)
    integer :: i
    x1 = [(real(i, real64)/7, i = 1, 12)]
    x3 = reshape(x1, [1, 3, 4])
    x4 = reshape(x1, [1, 3, 2, 2])
    x5 = reshape(x1, [1, 3, 2, 2, 1])
    norm = sum(x1**2)/12
    call doubling(model, [1, 3], kmc_fp64)
    call model%forward(x3, kmc_mode_train)
    call model%get_output(y1)
    call model%get_output(y3)
    call check(maxval(abs(y1 - 2*x1)) < 1e-14 .and. maxval(abs(y3 - 2*x3)) < 1e-14, 'real64 outputs, ranks 1 and 3')
    call model%loss(x3, loss)
    call check(abs(loss - norm) < 1e-14, 'real64 loss, rank 3')
    call model%loss(x1, loss)
    call check(abs(loss - norm) < 1e-14, 'real64 loss, rank 1')
    call model%backward(x3)
    call model%get_input_gradient(y3)
    call check(maxval(abs(y3 - 2*x3)) < 1e-14, 'real64 gradients, rank 3')
    call model%get_array_gradient('c.weight', w3)
    call check(abs(w3(1, 1, 1) - sum(x1**2)) < 1e-12, 'gradient of weights, rank 3')
    call model%forward(x3, kmc_mode_train)
    call model%backward(x1)
    call model%get_input_gradient(y3)
    call check(maxval(abs(y3 - 2*x3)) < 1e-14, 'real64 gradients, rank 1')
    w3 = 3
    call model%set_array('c.weight', w3)
    call model%get_array('c.weight', w3)
    call model%forward(x3)
    call model%get_output(y3)
    call check(maxval(abs(y3 - 3*x3)) < 1e-14 .and. all(w3 == 3), 'weights of rank 3')
    call doubling(model, [1, 3, 2], kmc_fp64)
    call model%forward(x4, kmc_mode_train)
    call model%get_output(y4)
    call model%loss(x4, loss)
    call check(maxval(abs(y4 - 2*x4)) < 1e-14 .and. abs(loss - norm) < 1e-14, 'real64, rank 4')
    call model%backward(x4)
    call model%get_input_gradient(y4)
    call model%get_array_gradient('c.weight', w4)
    call check(maxval(abs(y4 - 2*x4)) < 1e-14 .and. abs(w4(1, 1, 1, 1) - sum(x1**2)) < 1e-12, 'real64 gradients, rank 4')
    w4 = 3
    call model%set_array('c.weight', w4)
    call model%get_array('c.weight', w4)
    call model%forward(x4)
    call model%get_output(y4)
    call check(maxval(abs(y4 - 3*x4)) < 1e-14 .and. all(w4 == 3), 'weights of rank 4')
    call doubling(model, [1, 3, 2, 2], kmc_fp64)
    call model%forward(x5, kmc_mode_train)
    call model%get_output(y5)
    call model%loss(x5, loss)
    call check(maxval(abs(y5 - 2*x5)) < 1e-14 .and. abs(loss - norm) < 1e-14, 'real64, rank 5')
    call model%backward(x5)
    call model%get_input_gradient(y5)
    call model%get_array_gradient('c.weight', w5)
    call check(maxval(abs(y5 - 2*x5)) < 1e-14 .and. abs(w5(1, 1, 1, 1, 1) - sum(x1**2)) < 1e-12, 'real64 gradients, rank 5')
    w5 = 3
    call model%set_array('c.weight', w5)
    call model%get_array('c.weight', w5)
    call model%forward(x5)
    call model%get_output(y5)
    call check(maxval(abs(y5 - 3*x5)) < 1e-14 .and. all(w5 == 3), 'weights of rank 5')
    single = real(x1, real32)
    call doubling(model, [1, 3], kmc_fp32)
    call model%keep(1)
    call model%forward(single, kmc_mode_train)
    call model%backward(single)
    call model%get_node(1, n1)
    call model%get_node(1, n3)
    call check(all(n1 == 2*single) .and. all(reshape(n3, [12]) == n1), 'a node in ranks 1 and 3')
    call model%get_node_gradient(1, n1)
    call model%get_node_gradient(1, n3)
    call check(all(n1 == single) .and. all(reshape(n3, [12]) == n1), 'its gradient in ranks 1 and 3')
    call doubling(model, [1, 3, 2], kmc_fp32)
    call model%keep(1)
    call model%forward(single, kmc_mode_train)
    call model%backward(single)
    call model%get_node(1, n4)
    call check(all(reshape(n4, [12]) == 2*single), 'a node in rank 4')
    call model%get_node_gradient(1, n4)
    call check(all(reshape(n4, [12]) == single), 'its gradient in rank 4')
    call doubling(model, [1, 3, 2, 2], kmc_fp32)
    call model%keep(1)
    call model%forward(single, kmc_mode_train)
    call model%backward(single)
    call model%get_node(1, n5)
    call check(all(reshape(n5, [12]) == 2*single), 'a node in rank 5')
    call model%get_node_gradient(1, n5)
    call check(all(reshape(n5, [12]) == single), 'its gradient in rank 5')
  end subroutine

  subroutine doubling(model, shape, precision)
    type(kmc_model), intent(inout) :: model
    integer, intent(in) :: shape(:), precision
    type(kmc_network) :: net
    type(kmc_model_options) :: options
    call net%create(shape)
    call net%conv(1, 1, init=kmc_init_constant, init_value=2.0_real64, name='c')
    options%precision = precision
    options%device = 'cpu'
    allocate (options%losses(1))
    options%losses(1)%kind = kmc_loss_mse
    call model%create(net, options)
  end subroutine

  subroutine classes()
    type(kmc_model) :: model
    real(real32) :: x(3, 2), y(2, 2), p(2, 2)
    real(real64) :: loss
    call make_linear(model, kmc_fp32, kmc_loss_softmax_cross_entropy)
    x = reshape([1.0, 0.0, -1.0, 0.1, 0.2, 0.3], [3, 2])
    call model%forward(x, kmc_mode_train)
    call model%get_output(y)
    call model%loss([2, 1], loss)
    p = exp(y)/spread(sum(exp(y), 1), 1, 2)
    call check(abs(loss + (log(p(2, 1)) + log(p(1, 2)))/2) < 1e-5, 'cross-entropy of classes from 1')
    call model%forward(x)
    call model%make_prediction()
    call model%get_output(y)
    call check(maxval(abs(y - p)) < 1e-6, 'predictions are probabilities')
    call positions()
  end subroutine

  ! A class for each position.
  subroutine positions()
    type(kmc_network) :: net
    type(kmc_model) :: model
    type(kmc_model_options) :: options
    real(real32) :: x3(1, 3, 2), x4(1, 3, 2, 2), x5(1, 3, 2, 2, 2)
    real(real64) :: loss
    integer :: l2(3, 2), l3(3, 2, 2), l4(3, 2, 2, 2)
    allocate (options%losses(1))
    x3 = 0
    x4 = 0
    x5 = 0
    l2 = 1
    l3 = 2
    l4 = 2
    call net%create([1, 3])
    call net%conv(2, 1)
    call model%create(net, options)
    call model%forward(x3, kmc_mode_train)
    call model%loss(l2, loss)
    call check(loss > 0, 'classes of the pixels of a spectrum')
    call net%create([1, 3, 2])
    call net%conv(2, 1)
    call model%create(net, options)
    call model%forward(x4, kmc_mode_train)
    call model%loss(l3, loss)
    call check(loss > 0, 'classes of the pixels of an image')
    call net%create([1, 3, 2, 2])
    call net%conv(2, 1)
    call model%create(net, options)
    call model%forward(x5, kmc_mode_train)
    call model%loss(l4, loss)
    call check(loss > 0, 'classes of voxels')
  end subroutine

  ! Every kind of loss, and every number of one. The outputs are -3.5 and -4.5.
  subroutine losses()
    type(kmc_loss_options) :: o
    real(real64) :: first
    o%kind = kmc_loss_mse_half
    call check(abs(of_values(o, [0.5, -1.5]) - 12.5) < 1e-5, 'half the squared error')
    o%kind = kmc_loss_mae
    first = of_values(o, [0.5, -1.5])
    call check(first > 0 .and. abs(of_values(o, [4.5, 1.5]) - 2*first) < 1e-4, 'the absolute error')
    o%factor = 3
    call check(abs(of_values(o, [0.5, -1.5]) - 3*first) < 1e-4, 'factor')
    o = kmc_loss_options(kind=kmc_loss_huber)
    first = of_values(o, [0.5, -1.5])
    o%delta = 10
    call check(of_values(o, [0.5, -1.5]) > first, 'delta')
    o = kmc_loss_options(kind=kmc_loss_logistic_bce)
    first = of_values(o, [0.0, 1.0])
    o%positive = 3
    call check(abs(of_values(o, [0.0, 0.0]) - of_values(kmc_loss_options(kind=kmc_loss_logistic_bce), [0.0, 0.0])) < 1e-6 .and. &
        of_values(o, [0.0, 1.0]) > first, 'weight of the positive class')
    o%positive = 1
    o%class_weights = [1.0_real64, 2.0_real64]
    call check(of_values(o, [0.0, 1.0]) > first, 'weights of classes')
    o = kmc_loss_options(kind=kmc_loss_gaussian_nll)
    first = of_values(o, [-3.4])
    o%lowest = 0.5_real64
    call check(abs(of_values(o, [-3.4]) - first) > 0.1, 'the lowest variance')
    o%lowest = 0
    o%highest = 0.001_real64
    call check(abs(of_values(o, [-3.4]) - first) > 0.1, 'the highest variance')
    o = kmc_loss_options(kind=kmc_loss_softmax_cross_entropy)
    first = of_class(o, 2)
    call check(abs(first - (1 + log(1 + exp(-1.0)))) < 1e-5, 'cross-entropy')
    o%smoothing = 0.2_real64
    call check(abs(of_class(o, 2) - (first - 0.1)) < 1e-5, 'smoothing')
    o%smoothing = 0
    o%class_weights = [1.0_real64, 3.0_real64]
    call check(of_class(o, 1) > 0, 'weights of classes, cross-entropy')
  end subroutine

  real(real64) function of_values(loss, t)
    type(kmc_loss_options), intent(in) :: loss
    real(real32), intent(in) :: t(:)
    type(kmc_model) :: model
    call make_linear(model, kmc_fp32, loss%kind, loss)
    call model%forward([1.0, 0.0, -1.0], kmc_mode_train)
    call model%loss(t, of_values)
  end function

  real(real64) function of_class(loss, class)
    type(kmc_loss_options), intent(in) :: loss
    integer, intent(in) :: class
    type(kmc_model) :: model
    call make_linear(model, kmc_fp32, loss%kind, loss)
    call model%forward([1.0, 0.0, -1.0], kmc_mode_train)
    call model%loss([class], of_class)
  end function

  subroutine steps()
    type(kmc_model) :: model
    type(kmc_optimizer_options) :: sgd
    type(kmc_network) :: net
    type(kmc_model_options) :: options
    real(real32) :: x(3, 2), t(2, 2), x3(1, 5, 2), x4(1, 5, 4, 2), x5(1, 5, 4, 3, 2), one(3)
    real(real64) :: w(2, 3), dw(2, 3), v(2, 3), loss, first, factor
    integer :: kinds(5), i
    x = reshape([1.0, 0.0, -1.0, 2.0, 1.0, 0.5], [3, 2])
    t = 0
    sgd%learning_rate = 0.01_real64
    call make_linear(model, kmc_fp32, kmc_loss_mse)
    call model%get_array('line.weight', w)
    call model%forward(x, kmc_mode_train)
    call model%loss(t, loss)
    call model%backward()
    call model%get_array_gradient('line.weight', dw)
    call model%step(sgd)
    call model%get_array('line.weight', v)
    call check(maxval(abs(v - (w - 0.01_real64*dw))) < 1e-6, 'w - rate dw')
    call check(model%updates() == 1, 'one update')
    ! The same in one call, for all samples and for one.
    call make_linear(model, kmc_fp32, kmc_loss_mse)
    call model%train_batch(x, t, sgd, first)
    call model%get_array('line.weight', w)
    call check(abs(first - loss) < 1e-6 .and. maxval(abs(v - w)) < 1e-6, 'train_batch of values')
    call model%train_batch(x(:, 1), t(:, 1), sgd, loss)
    call model%train_batch(x(:, 1), t(:, 1), sgd)
    call check(model%updates() == 3, 'train_batch of one sample')
    ! The gradient's norm is clipped to 1: the step has the length rate * 1.
    call make_linear(model, kmc_fp32, kmc_loss_mse)
    call model%get_array('line.weight', w)
    call model%forward(x, kmc_mode_train)
    call model%loss(t, loss)
    call model%backward()
    call model%step_clipped(sgd, kmc_clip_norm, 1.0_real64, factor)
    call model%get_array('line.weight', v)
    call check(factor > 0 .and. factor < 1 .and. maxval(abs(v - (w - 0.01_real64*factor*dw))) < 1e-6, 'a clipped step')
    call make_linear(model, kmc_fp32, kmc_loss_softmax_cross_entropy)
    call model%train_batch(x, [1, 2], sgd, first)
    do i = 1, 20
      call model%train_batch(x, [1, 2], sgd, loss)
    end do
    call check(loss < first, 'train_batch of classes lowers the loss')
    one = x(:, 1)
    call model%train_batch(one, [1], sgd, loss)
    call check(loss >= 0, 'one sample, one class')
    ! Every optimizer moves the weights.
    kinds = [kmc_sgd, kmc_adam, kmc_adamw, kmc_rmsprop, kmc_adadelta]
    do i = 1, 5
      sgd%kind = kinds(i)
      call make_linear(model, kmc_fp32, kmc_loss_mse)
      call model%get_array('line.weight', w)
      call model%train_batch(x, t, sgd)
      call model%get_array('line.weight', v)
      call check(any(v /= w), 'an optimizer that moves')
    end do
    sgd%kind = kmc_sgd
    allocate (options%losses(1))
    call random_number(x3)
    call random_number(x4)
    call random_number(x5)
    call net%create([1, 5])
    call net%dense(2)
    call model%create(net, options)
    call model%train_batch(x3, [1, 2], sgd)
    call net%create([1, 5, 4])
    call net%dense(2)
    call model%create(net, options)
    call model%train_batch(x4, [1, 2], sgd)
    call net%create([1, 5, 4, 3])
    call net%dense(2)
    call model%create(net, options)
    call model%train_batch(x5, [1, 2], sgd)
    call check(model%updates() == 1, 'classes of spectra, images, cubes')
    options%losses(1)%kind = kmc_loss_mse
    call model%create(net, options)
    call model%train_batch(x5, t, sgd)
    call net%create([1, 5, 4])
    call net%dense(2)
    call model%create(net, options)
    call model%train_batch(x4, t, sgd)
    call net%create([1, 5])
    call net%dense(2)
    call model%create(net, options)
    call model%train_batch(x3, t, sgd)
    call check(model%updates() == 1, 'values of spectra, images, cubes')
    call net%create([1, 5])
    call net%conv(1, 1)
    call model%create(net, options)
    call model%train_batch(x3, x3, sgd)
    call net%create([1, 5, 4])
    call net%conv(1, 1)
    call model%create(net, options)
    call model%train_batch(x4, x4, sgd)
    call net%create([1, 5, 4, 3])
    call net%conv(1, 1)
    call model%create(net, options)
    call model%train_batch(x5, x5, sgd)
    call check(model%updates() == 1, 'pictures of pictures')
  end subroutine

  subroutine inside()
    type(kmc_network) :: net, copy
    type(kmc_model) :: model
    type(kmc_model_options) :: options
    type(kmc_optimizer_options) :: sgd
    real(real32) :: x(3, 2), t(2, 2), hidden(4, 2), gradient(4, 2), y(2, 2), w2(2, 4), dy(2, 2)
    real(real64) :: before(4, 3), after(4, 3), w(2, 4), b(2), slow(4, 3)
    real(real64) :: loss
    integer :: first, second
    call net%create([3])
    call net%dense(4, kmc_tanh, node=first, name='first')
    call net%dense(2, node=second, name='second')
    options%seed = 11
    options%threads = 1
    allocate (options%losses(1))
    options%losses(1)%kind = kmc_loss_mse
    call model%create(net, options)
    call model%network(copy)
    call check(copy%parameters() == net%parameters(), 'the network of a model')
    call model%keep(first)
    call random_number(x)
    t = 0
    call model%forward(x, kmc_mode_train)
    call model%loss(t, loss)
    call model%backward()
    call model%get_node(first, hidden)
    call model%get_output(y)
    call model%get_array('second.weight', w)
    call model%get_array('second.bias', b)
    w2 = real(w, real32)
    call check(maxval(abs(y - (matmul(w2, hidden) + spread(real(b, real32), 2, 2)))) < 1e-6, 'what a hidden node computed')
    call model%get_node_gradient(first, gradient)
    dy = 2*y/4
    call check(maxval(abs(gradient - matmul(transpose(w2), dy))) < 1e-6, 'the gradient of a hidden node')
    call model%get_array('first.weight', before)
    call model%freeze(first)
    call model%train_batch(x, t, sgd)
    call model%get_array('first.weight', after)
    call check(all(before == after), 'frozen')
    call model%unfreeze(first)
    call model%train_batch(x, t, sgd)
    call model%get_array('first.weight', after)
    call check(any(before /= after), 'no longer frozen')
    call model%scale_learning_rate(first, 0.0_real64)
    call model%train_batch(x, t, sgd)
    call model%get_array('first.weight', slow)
    call check(all(slow == after), 'a learning rate times 0')
    call model%scale_learning_rate(first, 1.0_real64)
    call model%average(0.5_real64)
    call model%train_batch(x, t, sgd)
    call model%average(0.5_real64, warm_up=.false.)
    call model%get_array('first.weight', after)
    call model%swap_average()
    call model%get_array('first.weight', slow)
    call check(any(slow /= after), 'the running mean is another')
    call model%swap_average()
    call model%get_array('first.weight', slow)
    call check(all(slow == after), 'exchanged twice')
  end subroutine

  subroutine files()
    type(kmc_model) :: model, other
    type(kmc_network) :: net
    real(real32) :: x(3, 2), y(2, 2), z(2, 2)
    real(real64) :: zeros(2)
    integer :: arrays
    call make_linear(model, kmc_fp32, kmc_loss_mse)
    call random_number(x)
    call model%forward(x)
    call model%get_output(y)
    call model%save('fortran_model.kmc')
    zeros = 0
    call model%set_array('line.bias', zeros)
    call model%restore('fortran_model.kmc')
    call model%forward(x)
    call model%get_output(z)
    call check(all(y == z), 'restored')
    call other%load('fortran_model.kmc')
    call other%forward(x)
    call other%get_output(z)
    call check(all(y == z), 'loaded, its network included')
    call other%load('fortran_model.kmc', device='cpu')
    call net%create([3])
    call net%dense(2, name='line')
    call net%dense(2, name='new')
    call other%create(net)
    call other%restore_some('fortran_model.kmc', prefix='line', arrays=arrays)
    call check(arrays == 2, 'restored in part')
    call other%restore_some('fortran_model.kmc')
    call delete('fortran_model.kmc')
    call other%destroy()
    call other%destroy()
  end subroutine

  subroutine several()
    type(kmc_network) :: net
    type(kmc_model) :: model
    type(kmc_model_options) :: options
    real(real32), target :: image(1, 4, 4, 2), colour(2, 2), spectrum(1, 6, 2), cube(1, 2, 2, 2, 2)
    real(real32) :: t(1, 2), p(3, 2), v(1, 2)
    real(real64) :: loss, second
    type(kmc_view) :: views(4)
    type(kmc_target) :: targets(2)
    integer :: one, two, three, four, joined
    call random_number(image)
    call random_number(colour)
    call random_number(spectrum)
    call random_number(cube)
    call net%create([1, 4, 4])
    call net%flatten(node=one)
    call net%input('colour', [2], node=two)
    call net%input('spectrum', [1, 6])
    call net%flatten(node=three)
    call net%input('cube', [1, 2, 2, 2])
    call net%flatten(node=four)
    call net%concat([one, two, three, four], node=joined)
    call net%dense(3, name='class')
    call net%output('class')
    call net%dense(1, from=joined, name='value')
    call net%output('value')
    allocate (options%losses(2))
    options%losses(1)%output = 'class'
    options%losses(2)%kind = kmc_loss_mse
    options%losses(2)%output = 'value'
    options%losses(2)%factor = 0.5_real64
    call model%create(net, options)
    call views(1)%set(image)
    call views(2)%set(colour)
    call views(3)%set(spectrum)
    call views(4)%set(cube)
    call model%forward(views, kmc_mode_train)
    call model%get_output(p, output=1)
    call model%get_output(v, output=2)
    call check(all(model%output_shape(1) == [3, 1, 1, 1]) .and. all(model%output_shape(2) == [1, 1, 1, 1]), 'two outputs')
    t = v + 2
    call targets(1)%set([1, 3])
    call targets(2)%set(t)
    call model%loss(targets, loss)
    call targets(2)%set(v)
    call model%loss(targets, second)
    call check(abs(loss - second - 0.5_real64*4) < 1e-5, 'two losses, the second by its factor')
    call model%backward()
    call check_targets()
  end subroutine

  ! Targets of every rank hold the values in memory order.
  subroutine check_targets()
    type(kmc_network) :: net
    type(kmc_model) :: model
    type(kmc_model_options) :: options
    real(real32), target :: x(1, 3, 2, 2, 1)
    type(kmc_view) :: view(1)
    type(kmc_target) :: t(1)
    real(real64) :: a, b
    integer :: l(3, 2, 2, 1)
    allocate (options%losses(1))
    options%losses(1)%kind = kmc_loss_mse
    call random_number(x)
    call net%create([1, 3, 2, 2])
    call net%conv(1, 1)
    call model%create(net, options)
    call view(1)%set(x)
    call model%forward(view, kmc_mode_train)
    call t(1)%set(x)
    call model%loss(t, a)
    call t(1)%set(reshape(x, [12]))
    call model%loss(t, b)
    call check(a == b, 'rank 5 and rank 1')
    call t(1)%set(reshape(x, [3, 2, 2]))
    call model%loss(t, b)
    call check(a == b, 'rank 3')
    call t(1)%set(reshape(x, [3, 2, 2, 1]))
    call model%loss(t, b)
    call check(a == b, 'rank 4')
    call net%create([1, 3, 2, 2])
    call net%conv(2, 1)
    options%losses(1)%kind = kmc_loss_softmax_cross_entropy
    call model%create(net, options)
    l = reshape([1, 2, 1, 1, 2, 2, 2, 1, 1, 2, 1, 2], [3, 2, 2, 1])
    call view(1)%set(x)
    call model%forward(view, kmc_mode_train)
    call t(1)%set(l)
    call model%loss(t, a)
    call t(1)%set(l(:, :, :, 1))
    call model%loss(t, b)
    call check(a == b, 'classes of ranks 4 and 3')
    call t(1)%set(reshape(l, [6, 2]))
    call model%loss(t, b)
    call check(a == b, 'classes of rank 2')
  end subroutine

  subroutine delete(path)
    character(len=*), intent(in) :: path
    integer :: unit
    open (newunit=unit, file=path)
    close (unit, status='delete')
  end subroutine

  include 'check.inc'
end program
