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

  include 'check.inc'
end program
