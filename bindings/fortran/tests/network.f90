! Networks: every layer, branches, names, shapes.
program test_network
  use kamacite
  use, intrinsic :: iso_fortran_env, only: real32, real64, error_unit
  implicit none
  integer :: checks = 0, failures = 0
  integer :: inputs = 0
  call convolutions()
  call others()
  call branches()
  call one_direction()
  call numbers()
  call report('network')
contains
  ! Is this the shape of what a network computes?
  logical function gives(net, extent)
    type(kmc_network), intent(in) :: net
    integer, intent(in) :: extent(4)
    type(kmc_model) :: model
    type(kmc_model_options) :: options
    real(real32) :: x(inputs)
    options%device = 'cpu'
    x = 0
    call model%create(net, options)
    call model%forward(x)
    gives = all(model%output_shape() == extent)
  end function

  subroutine start(net, shape)
    type(kmc_network), intent(inout) :: net
    integer, intent(in) :: shape(:)
    call net%create(shape)
    inputs = product(shape)
  end subroutine

  subroutine convolutions()
    type(kmc_network) :: net
    call start(net, [3, 16, 12])
    call check(net%last_node() == 0 .and. net%parameters() == 0, 'the input is node 0')
    call net%conv(8, 3, stride=2, pad=1, activation=kmc_relu)
    call check(net%parameters() == 3*3*3*8 + 8, 'parameters of a convolution')
    call check(gives(net, [8, 8, 6, 1]), 'shape of a convolution')
    call start(net, [3, 16, 12])
    call net%conv(8, [5, 3], stride=[2, 1], pad=[2, 0], activation=kmc_leaky_relu, a=0.1_real64, bias=.false.)
    call check(net%parameters() == 5*3*3*8, 'a kernel of 5 along w and 3 along h, without bias')
    call check(gives(net, [8, 8, 10, 1]), 'its shape')
    call start(net, [3, 16, 12])
    call net%conv(8, [3, 3], pad=[1, 1], pad_after=[2, 3])
    call check(gives(net, [8, 17, 14, 1]), 'padding behind')
    call start(net, [4, 16, 12])
    call net%conv(2, 3, same=.true., depthwise=.true.)
    call check(net%parameters() == 9*8 + 8 .and. gives(net, [8, 16, 12, 1]), 'depthwise')
    call start(net, [4, 16, 12])
    call net%conv(6, 3, dilation=2, groups=2)
    call check(net%parameters() == 9*2*6 + 6 .and. gives(net, [6, 12, 8, 1]), 'dilation and groups')
    call start(net, [4, 16, 12])
    call net%conv(6, 3, gap=1)
    call check(gives(net, [6, 29, 21, 1]), 'zeros between inputs')
    call start(net, [4, 16, 12])
    call net%conv(6, [3, 3], gap=[1, 0], dilation=[1, 2])
    call check(gives(net, [6, 29, 8, 1]), 'gap and dilation of each direction')
    call start(net, [2, 5, 4, 3])
    call net%conv(3, [2, 3, 1])
    call check(net%parameters() == 2*3*2*3 + 3 .and. gives(net, [3, 4, 2, 3]), 'a cube')
    call start(net, [4, 8, 6])
    call net%conv_transpose(5, 2, stride=2, activation=kmc_elu, a=0.5_real64)
    call check(gives(net, [5, 16, 12, 1]), 'a transposed convolution')
    call net%conv_transpose(5, [3, 3], stride=[2, 1], pad=[1, 0], output_pad=[1, 0], init=kmc_init_normal, &
        init_value=0.1_real64, bias_init=0.2_real64)
    call check(gives(net, [5, 32, 14, 1]), 'a transposed convolution, each direction')
  end subroutine

  subroutine others()
    type(kmc_network) :: net
    integer :: node
    call start(net, [4, 12, 10])
    call net%pool(kmc_pool_max, 2)
    call check(gives(net, [4, 6, 5, 1]), 'pooling')
    call net%pool(kmc_pool_average, 3, stride=1)
    call check(gives(net, [4, 4, 3, 1]), 'pooling with a stride')
    call net%pool(kmc_pool_average, [2, 3], stride=[1, 1], pad=[1, 1], pad_after=[0, 1], count_padding=.true., node=node)
    call check(node == 3 .and. gives(net, [4, 4, 3, 1]), 'pooling of each direction')
    call net%pool(kmc_pool_max, 2, same=.true.)
    call check(gives(net, [4, 2, 2, 1]), 'pooling with padding')
    call net%norm(kmc_norm_batch, eps=1e-4_real64, momentum=0.2_real64)
    call check(net%parameters() == 8, 'scale and shift of each channel')
    call net%norm(kmc_norm_layer, affine=.false.)
    call check(net%parameters() == 8, 'without scale and shift')
    call net%norm(kmc_norm_instance)
    call net%norm(kmc_norm_group, groups=2)
    call net%lrn(3, 2.0_real64, 1e-4_real64, 0.75_real64)
    call net%dropout(0.3_real64)
    call net%dropout(0.3_real64, channels=.true.)
    call net%activation(kmc_gelu)
    call net%prelu(slope=0.1_real64, shared=.true., node=node)
    call check(gives(net, [4, 2, 2, 1]), 'layers that keep the shape')
    call net%upsample(3, linear=.true., align_corners=.false.)
    call check(gives(net, [4, 6, 6, 1]), 'upsampling')
    call net%zero_pad([1, 2])
    call check(gives(net, [4, 8, 10, 1]), 'zeros on both sides')
    call net%zero_pad([1, 0], after=[0, 1])
    call check(gives(net, [4, 9, 11, 1]), 'zeros on one side')
    call net%crop([2, 1], after=[3, 4])
    call check(gives(net, [4, 4, 6, 1]), 'crop')
    call net%reshape([6, 4, 4])
    call check(gives(net, [6, 4, 4, 1]), 'reshape')
    call net%pool(kmc_pool_average, 0)
    call check(gives(net, [6, 1, 1, 1]), 'pooling of the whole image')
    call net%flatten()
    call net%dense(5, kmc_softmax, init=kmc_init_constant, init_value=0.5_real64, name='classes')
    call check(gives(net, [5, 1, 1, 1]), 'dense')
  end subroutine

  subroutine branches()
    type(kmc_network) :: net, copy, part
    integer :: stem, left, right, sum_of, joined, second
    call start(net, [3, 8, 8])
    call net%conv(4, 3, pad=1, node=stem, name='stem')
    call net%conv(4, 3, pad=1, from=stem, node=left)
    call net%conv(4, 1, from=stem, node=right)
    call net%add([left, right], node=sum_of, name='sum')
    call net%concat([sum_of, stem, right], node=joined)
    call check(stem == 1 .and. left == 2 .and. right == 3 .and. sum_of == 4 .and. joined == 5, 'nodes in their order')
    call check(net%last_node() == joined, 'the last node')
    call check(gives(net, [12, 8, 8, 1]), 'channels side by side')
    call check(net%find_node('sum') == sum_of .and. net%node_name(stem) == 'stem', 'names of nodes')
    call net%set_name(left, 'left')
    call check(net%find_node('left') == left .and. net%node_name(left) == 'left', 'a name given later')
    call check(index(net%summary(), 'conv') > 0 .and. index(net%summary(batch=4), 'stem') > 0, 'summary')
    call copy%clone(net)
    call copy%dense(3)
    call check(copy%last_node() == joined + 1 .and. net%last_node() == joined, 'a clone is a copy')
    call net%up_to(sum_of, part)
    call check(gives(part, [4, 8, 8, 1]), 'up to a node')
    call net%input('colour', [2], node=second)
    call net%dense(6, from=second)
    call net%output('from colour')
    call net%output('from image', node=joined)
    call check(index(net%summary(), 'colour') > 0, 'a second input')
    call net%destroy()
    call net%destroy()
  end subroutine

  subroutine one_direction()
    type(kmc_network) :: net
    call start(net, [1, 3776])
    call net%conv(8, [8], stride=[4], pad=[2], activation=kmc_relu)
    call check(gives(net, [8, 944, 1, 1]) .and. net%parameters() == 72, 'a spectrum')
    call net%conv(8, 8, stride=4, pad=2)
    call check(gives(net, [8, 236, 1, 1]), 'a spectrum, sizes as numbers')
  end subroutine

  ! What a network makes of values, with the weights it begins with.
  function made_of(net, x, outputs, mode) result(y)
    type(kmc_network), intent(in) :: net
    real(real32), intent(in) :: x(:)
    integer, intent(in) :: outputs
    integer, intent(in), optional :: mode
    real(real32) :: y(outputs)
    type(kmc_model) :: model
    type(kmc_model_options) :: options
    options%device = 'cpu'
    call model%create(net, options)
    call model%forward(x, mode)
    call model%get_output(y)
  end function

  logical function near(y, wanted)
    real(real32), intent(in) :: y(:), wanted(:)
    near = maxval(abs(y - wanted)) < 1e-5
  end function

  ! Every number of a layer reaches it: the values are worked out by hand.
  subroutine numbers()
    type(kmc_network) :: net
    real(real32) :: y(64), z(64), x(64)
    integer :: i
    integer, parameter :: always = kmc_init_constant
    call net%create([2])
    call net%dense(1, kmc_leaky_relu, init=always, init_value=-0.5_real64, bias_init=0.25_real64, a=0.1_real64)
    call check(near(made_of(net, [1.0, 2.0], 1), [-0.125]), 'dense: init, bias, slope')
    call net%create([2])
    call net%dense(1, kmc_leaky_relu, init=always, init_value=1.0_real64, a=0.1_real64, b=2.0_real64)
    call check(near(made_of(net, [1.0, 2.0], 1), [2.1]), 'dense: saturation')
    call net%create([1, 3])
    call net%conv(1, [2], activation=kmc_elu, init=always, init_value=-1.0_real64, bias_init=2.0_real64, a=3.0_real64)
    call check(near(made_of(net, [0.0, 1.0, 2.0], 2), [1.0, 3*(exp(-1.0) - 1)]), 'convolution: init, bias, alpha')
    call net%create([1, 3])
    call net%conv(1, 2, activation=kmc_leaky_relu, init=always, init_value=-1.0_real64, bias_init=2.0_real64, a=0.5_real64)
    call check(near(made_of(net, [0.0, 1.0, 2.0], 2), [1.0, -0.5]), 'convolution: the same with a number')
    call net%create([1, 2])
    call net%conv_transpose(1, [2], stride=[2], activation=kmc_scaled_logistic, init=always, init_value=1.0_real64, &
        bias_init=-1.0_real64, a=2.0_real64, b=3.0_real64)
    call check(near(made_of(net, [1.0, -9.0], 4), [0.5, 0.5, 1/(1 + exp(3.0)), 1/(1 + exp(3.0))]), 'transposed convolution')
    call net%create([1, 2])
    call net%conv_transpose(1, 2, stride=2, pad=1, init=always, init_value=1.0_real64, bias=.false.)
    call check(near(made_of(net, [1.0, 5.0], 2), [1.0, 5.0]), 'transposed convolution: cut on both sides')
    call net%create([1, 2])
    call net%conv_transpose(2, [1], dilation=[1], groups=1, output_pad=[0], init=always, init_value=1.0_real64)
    call check(near(made_of(net, [1.0, 5.0], 4), [1.0, 1.0, 5.0, 5.0]), 'transposed convolution: two filters')
    call net%create([2, 2])
    call net%conv_transpose(2, 3, dilation=2, groups=2, init=always, init_value=1.0_real64)
    call check(near(made_of(net, [1.0, 5.0, 2.0, 7.0], 12), [1.0, 5.0, 2.0, 7.0, 1.0, 5.0, 2.0, 7.0, 1.0, 5.0, 2.0, 7.0]), &
        'transposed convolution: groups, dilation')
    call net%create([1, 2])
    call net%pool(kmc_pool_average, [2], stride=[2], pad=[1])
    call check(near(made_of(net, [4.0, 6.0], 2), [4.0, 6.0]), 'averages that leave the padding out')
    call net%create([1, 2])
    call net%pool(kmc_pool_average, [2], stride=[2], pad=[1], count_padding=.true.)
    call check(near(made_of(net, [4.0, 6.0], 2), [2.0, 3.0]), 'averages that count the padding')
    call net%create([2])
    call net%norm(kmc_norm_layer, eps=3.0_real64)
    call check(near(made_of(net, [0.0, 2.0], 2), [-0.5, 0.5]), 'normalisation: eps')
    call net%create([1])
    call net%norm(kmc_norm_batch, momentum=0.5_real64)
    call check(near(made_of(net, [0.0, 2.0], 2, kmc_mode_train), [-1.0, 1.0]), 'normalisation over the batch')
    call check(near(after_a_batch(0.5_real64), [1/sqrt(1.5)]), 'normalisation: momentum of the running statistics')
    call net%create([4])
    call net%norm(kmc_norm_group, groups=2)
    call check(near(made_of(net, [0.0, 2.0, 100.0, 300.0], 4), [-1.0, 1.0, -1.0, 1.0]), 'normalisation: groups')
    call net%create([4])
    call net%norm(kmc_norm_cianna, groups=2, set_off=1)
    y(1:4) = made_of(net, [0.0, 2.0, 100.0, 300.0], 4)
    call check(count(y(1:4) == [0.0, 2.0, 100.0, 300.0]) == 2, 'normalisation: channels left alone')
    call net%create([3])
    call net%lrn(1, 4.0_real64, 0.0_real64, 0.5_real64)
    call check(near(made_of(net, [2.0, 4.0, 6.0], 3), [1.0, 2.0, 3.0]), 'response normalisation: k and beta')
    call net%create([3])
    call net%lrn(1, 1.0_real64, 1.0_real64, 1.0_real64)
    y(1:3) = made_of(net, [2.0, 4.0, 6.0], 3)
    call net%create([3])
    call net%lrn(3, 1.0_real64, 1.0_real64, 1.0_real64)
    z(1:3) = made_of(net, [2.0, 4.0, 6.0], 3)
    call check(all(y(1:3) < 1) .and. all(y(1:3) /= z(1:3)), 'response normalisation: alpha and range')
    x = 1
    call net%create([16, 4])
    call net%dropout(0.5_real64)
    y = made_of(net, x, 64, kmc_mode_train)
    call net%create([16, 4])
    call net%dropout(0.75_real64, channels=.true.)
    z = made_of(net, x, 64, kmc_mode_train)
    call check(all(y == 0 .or. y == 2) .and. any(y == 0) .and. any(y == 2), 'dropout: rate')
    call check(all(z == 0 .or. z == 4) .and. all([(all(z(i::16) == z(i)), i = 1, 16)]) .and. &
        .not. all([(all(y(i::16) == y(i)), i = 1, 16)]), 'dropout of channels')
    call net%create([1])
    call net%activation(kmc_leaky_relu, a=0.25_real64, b=2.0_real64)
    call check(near(made_of(net, [-1.0, 1.0, 6.0], 3), [-0.25, 1.0, 3.0]), 'activation: slope and saturation')
    call net%create([2])
    call net%prelu(slope=0.125_real64)
    call check(near(made_of(net, [-1.0, 8.0], 2), [-0.125, 8.0]) .and. net%parameters() == 2, 'prelu: slope')
    call net%create([2])
    call net%prelu()
    call check(near(made_of(net, [-1.0, 8.0], 2), [-0.25, 8.0]), 'prelu: 0.25 where nothing is said')
    call net%create([2])
    call net%prelu(shared=.true.)
    call check(net%parameters() == 1, 'prelu: shared')
    call net%create([1, 2])
    call net%upsample(2)
    call check(near(made_of(net, [0.0, 3.0], 4), [0.0, 0.0, 3.0, 3.0]), 'upsampling: nearest')
    call net%create([1, 2])
    call net%upsample(2, linear=.true.)
    call check(near(made_of(net, [0.0, 4.0], 4), [0.0, 1.0, 3.0, 4.0]), 'upsampling: linear')
    call net%create([1, 2])
    call net%upsample(2, linear=.true., align_corners=.true.)
    call check(near(made_of(net, [0.0, 3.0], 4), [0.0, 1.0, 2.0, 3.0]), 'upsampling: corners')
    call net%create([1, 2])
    call net%zero_pad([1], after=[2])
    call check(near(made_of(net, [5.0, 6.0], 5), [0.0, 5.0, 6.0, 0.0, 0.0]), 'zeros before and after')
    call net%create([1, 4])
    call net%crop([1], after=[2])
    call check(near(made_of(net, [5.0, 6.0, 7.0, 8.0], 1), [6.0]), 'cut before and after')
    call net%create([1, 4])
    call net%pool(kmc_pool_max, 2)
    call check(near(made_of(net, [5.0, 6.0, 8.0, 7.0], 2), [6.0, 8.0]), 'the largest')
  end subroutine

  ! Inference on 2 after one batch with mean 1 and variance 1 (of n - 1: 2) moved the statistics half of the way from 0 and 1.
  function after_a_batch(momentum) result(y)
    real(real64), intent(in) :: momentum
    real(real32) :: y(1), x(2)
    type(kmc_network) :: net
    type(kmc_model) :: model
    type(kmc_model_options) :: options
    options%device = 'cpu'
    call net%create([1])
    call net%norm(kmc_norm_batch, momentum=momentum)
    call model%create(net, options)
    x = [0.0, 2.0]
    call model%forward(x, kmc_mode_train)
    call model%forward([2.0], kmc_mode_infer)
    call model%get_output(y)
    y = y/1.5                                  ! (2 - 0.5)/sqrt(1.5) over 1.5
  end function

  include 'check.inc'
end program
