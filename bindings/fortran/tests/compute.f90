! Low-level compute against plain loops and identities.
program test_compute
  use kamacite
  use, intrinsic :: iso_fortran_env, only: real32, real64, int64, error_unit
  implicit none
  integer :: checks = 0, failures = 0
  real(real64) :: target_of_loss(3)
  call products()
  call convolutions()
  call directions()
  call pooling()
  call activations()
  call losses()
  call numbers()
  call clusters()
  call gradients()
  call pictures()
  call report('compute')
contains
  subroutine products()
    real(real32) :: a(3, 4), at(4, 3), b(4, 5), bt(5, 4), c(3, 5), d(3, 5), wide(6, 4)
    real(real64) :: a2(3, 4), b2(4, 5), c2(3, 5), d2(3, 5)
    call random_number(a)
    call random_number(b)
    at = transpose(a)
    bt = transpose(b)
    call kmc_gemm(a, b, c)
    call check(maxval(abs(c - matmul(a, b))) < 1e-5, 'c = a b')
    call kmc_gemm(at, b, d, trans_a=.true.)
    call check(maxval(abs(d - c)) < 1e-5, 'c = transpose(a) b')
    call kmc_gemm(a, bt, d, trans_b=.true.)
    call check(maxval(abs(d - c)) < 1e-5, 'c = a transpose(b)')
    call kmc_gemm(at, bt, d, .true., .true., alpha=2.0, beta=-1.0)
    call check(maxval(abs(d - c)) < 1e-5, 'c = 2 a b - c')
    wide = 7
    wide(1::2, :) = a
    call kmc_gemm(wide(1::2, :), b, d)
    call check(maxval(abs(d - c)) < 1e-5, 'every second row')
    a2 = a
    b2 = b
    d2 = 1
    call kmc_gemm(a2, b2, c2)
    call check(maxval(abs(c2 - matmul(a2, b2))) < 1e-14, 'real64')
    call kmc_gemm(a2, b2, d2, alpha=0.5_real64, beta=3.0_real64)
    call check(maxval(abs(d2 - (0.5_real64*matmul(a2, b2) + 3))) < 1e-14, 'real64, alpha and beta')
  end subroutine

  ! An image, both kinds: the convolution against loops, the gradients against its linearity.
  subroutine convolutions()
    type(kmc_window) :: window
    real(real64) :: x(2, 7, 6, 3), w(4, 2, 3, 2), bias(4), y(4, 4, 6, 3), naive(4, 4, 6, 3), dy(4, 4, 6, 3), dx(2, 7, 6, 3)
    real(real64) :: dw(4, 2, 3, 2), db(4), columns(12, 24), folded(2, 7, 6), product_of(4, 24)
    real(real32) :: x4(2, 7, 6, 3), w4(4, 2, 3, 2), y4(4, 4, 6, 3), dx4(2, 7, 6, 3), dw4(4, 2, 3, 2), dy4(4, 4, 6, 3), db4(4)
    real(real32) :: columns4(12, 24), folded4(2, 7, 6)
    integer :: f, i, j, n, p, q
    call random_number(x)
    call random_number(w)
    call random_number(bias)
    call random_number(dy)
    call window%set([2, 7, 6], filters=4, kernel=[3, 2], stride=[2, 1], pad=[1, 1], pad_after=[1, 0])
    call check(all(window%output_shape() == [4, 4, 6, 1]), 'shape of a window''s output')
    naive = 0
    do n = 1, 3; do q = 1, 6; do p = 1, 4; do f = 1, 4
      naive(f, p, q, n) = bias(f)
      do j = 1, 2; do i = 1, 3
        if (2*(p - 1) + i - 1 < 1 .or. 2*(p - 1) + i - 1 > 7 .or. q + j - 2 < 1 .or. q + j - 2 > 6) cycle
        naive(f, p, q, n) = naive(f, p, q, n) + sum(w(f, :, i, j)*x(:, 2*(p - 1) + i - 1, q + j - 2, n))
      end do; end do
    end do; end do; end do; end do
    call kmc_conv_forward(x, w, window, y, bias)
    call check(maxval(abs(y - naive)) < 1e-13, 'convolution')
    call kmc_conv_forward(x, w, window, y)
    call kmc_conv_input_gradient(dy, w, window, dx)
    call check(abs(sum(dy*y) - sum(dx*x)) < 1e-10, 'the gradient of the input is the transpose')
    call kmc_conv_weight_gradient(x, dy, window, dw, db)
    call check(abs(sum(dy*y) - sum(dw*w)) < 1e-10, 'the gradient of the weights')
    call check(maxval(abs(db - sum(sum(sum(dy, 4), 3), 2))) < 1e-12, 'the gradient of the bias')
    call kmc_im2col(x(:, :, :, 2), window, columns)
    call kmc_gemm(reshape(w, [4, 12]), columns, product_of)
    call check(maxval(abs(reshape(product_of, [4, 4, 6]) - y(:, :, :, 2))) < 1e-13, 'im2col and a matrix product')
    call kmc_gemm(reshape(w, [4, 12]), reshape(dy(:, :, :, 2), [4, 24]), columns, trans_a=.true.)
    call kmc_col2im(columns, window, folded)
    call check(maxval(abs(folded - dx(:, :, :, 2))) < 1e-12, 'col2im gives the gradient of the input')
    x4 = real(x, real32)
    w4 = real(w, real32)
    dy4 = real(dy, real32)
    call kmc_conv_forward(x4, w4, window, y4, real(bias, real32))
    call check(maxval(abs(y4 - naive)) < 1e-5, 'convolution in real32')
    call kmc_conv_input_gradient(dy4, w4, window, dx4)
    call check(maxval(abs(dx4 - dx)) < 1e-4, 'gradient of the input in real32')
    call kmc_conv_weight_gradient(x4, dy4, window, dw4, db4)
    call check(maxval(abs(dw4 - dw)) < 1e-4 .and. maxval(abs(db4 - db)) < 1e-4, 'gradients of the weights in real32')
    call kmc_conv_weight_gradient(x4, dy4, window, dw4)
    call kmc_im2col(x4(:, :, :, 2), window, columns4)
    call kmc_col2im(columns4, window, folded4)
    call kmc_im2col(x(:, :, :, 2), window, columns)
    call check(maxval(abs(columns4 - columns)) < 1e-6 .and. maxval(folded4) > 0, 'im2col and col2im in real32')
  end subroutine

  ! Spectra and cubes: filters of ones over pairs of pixels, in both kinds.
  subroutine directions()
    type(kmc_window) :: window
    real(real32) :: x(1, 5, 2), w(1, 1, 2), y(1, 4, 2), dx(1, 5, 2), dw(1, 1, 2), c(2, 4), f(1, 5)
    real(real64) :: x8(1, 5, 2), w8(1, 1, 2), y8(1, 4, 2), dx8(1, 5, 2), dw8(1, 1, 2), c8(2, 4), f8(1, 5)
    real(real32) :: p(1, 3, 3, 3, 1), v(1, 1, 2, 2, 2), z(1, 2, 2, 2, 1), dp(1, 3, 3, 3, 1), dv(1, 1, 2, 2, 2), e(8, 8)
    real(real32) :: g(1, 3, 3, 3)
    real(real64) :: p8(1, 3, 3, 3, 1), v8(1, 1, 2, 2, 2), z8(1, 2, 2, 2, 1), dp8(1, 3, 3, 3, 1), dv8(1, 1, 2, 2, 2), e8(8, 8)
    real(real64) :: g8(1, 3, 3, 3)
    integer :: i
    x = reshape(real([(i, i = 1, 10)], real32), [1, 5, 2])
    x8 = x
    w = 1
    w8 = 1
    call window%set([1, 5], filters=1, kernel=[2])
    call kmc_conv_forward(x, w, window, y)
    call kmc_conv_forward(x8, w8, window, y8)
    call check(all(y == x(:, 1:4, :) + x(:, 2:5, :)) .and. all(y8 == y), 'sums of neighbours in spectra')
    call kmc_conv_input_gradient(y, w, window, dx)
    call kmc_conv_input_gradient(y8, w8, window, dx8)
    call kmc_conv_weight_gradient(x, y, window, dw)
    call kmc_conv_weight_gradient(x8, y8, window, dw8)
    call check(all(dx == dx8) .and. abs(sum(dw8*w8) - sum(y8**2)) < 1e-10 .and. all(abs(dw - dw8) < 1e-2), 'their gradients')
    call kmc_im2col(x(:, :, 1), window, c)
    call kmc_im2col(x8(:, :, 1), window, c8)
    call kmc_col2im(c, window, f)
    call kmc_col2im(c8, window, f8)
    call check(all(c(1, :) == x(1, 1:4, 1)) .and. all(c(2, :) == x(1, 2:5, 1)) .and. all(c8 == c), 'im2col of a spectrum')
    call check(all(f(1, :) == x(1, :, 1)*[1, 2, 2, 2, 1]) .and. all(f8 == f), 'col2im of a spectrum')
    call random_number(p)
    p8 = p
    v = 1
    v8 = 1
    call window%set([1, 3, 3, 3], filters=1, kernel=[2, 2, 2])
    call kmc_conv_forward(p, v, window, z)
    call kmc_conv_forward(p8, v8, window, z8)
    call check(abs(z(1, 2, 1, 2, 1) - sum(p(1, 2:3, 1:2, 2:3, 1))) < 1e-5 .and. maxval(abs(z8 - z)) < 1e-5, 'sums in a cube')
    call kmc_conv_input_gradient(z, v, window, dp)
    call kmc_conv_input_gradient(z8, v8, window, dp8)
    call kmc_conv_weight_gradient(p, z, window, dv)
    call kmc_conv_weight_gradient(p8, z8, window, dv8)
    call check(maxval(abs(dp - dp8)) < 1e-4 .and. maxval(abs(dv - dv8)) < 1e-4, 'gradients in a cube')
    call check(abs(sum(dp8*p8) - sum(z8**2)) < 1e-10 .and. abs(sum(dv8*v8) - sum(z8**2)) < 1e-10, 'which are transposes')
    call kmc_im2col(p(:, :, :, :, 1), window, e)
    call kmc_im2col(p8(:, :, :, :, 1), window, e8)
    call kmc_col2im(e, window, g)
    call kmc_col2im(e8, window, g8)
    call check(maxval(abs(sum(e8, 1) - reshape(z8, [8]))) < 1e-12 .and. all(e == real(e8, real32)), 'im2col of a cube')
    call check(abs(g8(1, 2, 2, 2) - 8*p8(1, 2, 2, 2, 1)) < 1e-12 .and. maxval(abs(g - g8)) < 1e-5, 'col2im of a cube')
    call window%set([4, 5], filters=6, kernel=[3], dilation=[2], groups=2)
    call check(all(window%output_shape() == [6, 1, 1, 1]), 'dilation and groups')
  end subroutine

  subroutine pooling()
    type(kmc_window) :: window
    real(real32) :: x3(1, 4, 2), y3(1, 2, 2), d3(1, 4, 2), x4(1, 4, 4, 1), y4(1, 2, 2, 1), d4(1, 4, 4, 1), x5(1, 2, 2, 2, 1)
    real(real32) :: y5(1, 1, 1, 1, 1), d5(1, 2, 2, 2, 1)
    real(real64) :: a3(1, 4, 2), b3(1, 2, 2), c3(1, 4, 2), a4(1, 4, 4, 1), b4(1, 2, 2, 1), c4(1, 4, 4, 1), a5(1, 2, 2, 2, 1)
    real(real64) :: b5(1, 1, 1, 1, 1), c5(1, 2, 2, 2, 1)
    x3 = reshape([1.0, 3.0, 2.0, 0.0, -1.0, -2.0, 5.0, 4.0], [1, 4, 2])
    a3 = x3
    call window%set([1, 4], kernel=[2], stride=[2])
    call kmc_pool_forward(x3, kmc_pool_max, window, y3)
    call kmc_pool_forward(a3, kmc_pool_average, window, b3)
    call check(all(y3 == reshape([3.0, 2.0, -1.0, 5.0], [1, 2, 2])), 'the largest of each pair')
    call check(all(b3 == reshape([2.0, 1.0, -1.5, 4.5], [1, 2, 2])), 'the mean of each pair')
    call kmc_pool_backward(y3, x3, kmc_pool_max, window, d3)
    call kmc_pool_backward(b3, a3, kmc_pool_average, window, c3)
    call check(all(d3 == reshape([0.0, 3.0, 2.0, 0.0, -1.0, 0.0, 5.0, 0.0], [1, 4, 2])), 'back to the largest')
    call check(all(c3 == reshape([1.0, 1.0, 0.5, 0.5, -0.75, -0.75, 2.25, 2.25], [1, 4, 2])), 'back to both')
    call random_number(x4)
    a4 = x4
    call window%set([1, 4, 4], kernel=[2, 2], stride=[2, 2])
    call kmc_pool_forward(x4, kmc_pool_max, window, y4)
    call kmc_pool_forward(a4, kmc_pool_max, window, b4)
    call kmc_pool_backward(y4, x4, kmc_pool_max, window, d4)
    call kmc_pool_backward(b4, a4, kmc_pool_max, window, c4)
    call check(y4(1, 2, 1, 1) == maxval(x4(1, 3:4, 1:2, 1)) .and. all(b4 == y4), 'images')
    call check(count(d4 /= 0) == 4 .and. abs(sum(d4) - sum(y4)) < 1e-6 .and. all(c4 == d4), 'images, back')
    call random_number(x5)
    a5 = x5
    call window%set([1, 2, 2, 2], kernel=[2, 2, 2], stride=[2, 2, 2])
    call kmc_pool_forward(x5, kmc_pool_average, window, y5)
    call kmc_pool_forward(a5, kmc_pool_average, window, b5)
    call kmc_pool_backward(y5, x5, kmc_pool_average, window, d5)
    call kmc_pool_backward(b5, a5, kmc_pool_average, window, c5)
    call check(abs(y5(1, 1, 1, 1, 1) - sum(x5)/8) < 1e-6 .and. abs(b5(1, 1, 1, 1, 1) - sum(a5)/8) < 1e-14, 'cubes')
    call check(all(abs(d5 - y5(1, 1, 1, 1, 1)/8) < 1e-6) .and. maxval(abs(c5 - d5)) < 1e-6, 'cubes, back')
  end subroutine

  subroutine activations()
    real(real32) :: x1(6), y1(6), g1(6), d1(6), x2(3, 2), y2(3, 2), d2(3, 2), x3(1, 3, 2), y3(1, 3, 2), d3(1, 3, 2)
    real(real32) :: x4(1, 3, 1, 2), y4(1, 3, 1, 2), d4(1, 3, 1, 2), x5(1, 1, 3, 1, 2), y5(1, 1, 3, 1, 2), d5(1, 1, 3, 1, 2)
    real(real64) :: a1(6), b1(6), h1(6), c1(6), a2(3, 2), b2(3, 2), c2(3, 2), a3(1, 3, 2), b3(1, 3, 2), c3(1, 3, 2)
    real(real64) :: a4(1, 3, 1, 2), b4(1, 3, 1, 2), c4(1, 3, 1, 2), a5(1, 1, 3, 1, 2), b5(1, 1, 3, 1, 2), c5(1, 1, 3, 1, 2)
    integer :: kinds(11), i
    real(real64), parameter :: h = 1e-6_real64
    real(real64) :: up(6), down(6)
    x1 = [-2.0, -0.5, 0.25, 0.5, 1.0, 3.0]
    a1 = x1
    call kmc_activation_forward(x1, kmc_leaky_relu, y1, a=0.1_real64)
    call check(all(abs(y1 - merge(x1, 0.1*x1, x1 > 0)) < 1e-6), 'a leaky rectifier')
    g1 = 2
    call kmc_activation_backward(g1, x1, y1, kmc_leaky_relu, d1, a=0.1_real64)
    call check(all(abs(d1 - merge(2.0, 0.2, x1 > 0)) < 1e-6), 'its derivative')
    kinds = [kmc_linear, kmc_relu, kmc_leaky_relu, kmc_elu, kmc_selu, kmc_gelu, kmc_silu, kmc_tanh, kmc_logistic, &
        kmc_scaled_logistic, kmc_softplus]
    h1 = 1
    do i = 1, size(kinds)
      call kmc_activation_forward(a1, kinds(i), b1)
      call kmc_activation_backward(h1, a1, b1, kinds(i), c1)
      call kmc_activation_forward(a1 + h, kinds(i), up)
      call kmc_activation_forward(a1 - h, kinds(i), down)
      call check(maxval(abs(c1 - (up - down)/(2*h))) < 1e-8, 'a derivative against differences')
      call kmc_activation_forward(x1, kinds(i), y1)
      call check(maxval(abs(y1 - b1)) < 1e-5, 'an activation in real32')
    end do
    x2 = reshape(x1, [3, 2])
    a2 = x2
    call kmc_activation_forward(x2, kmc_softmax, y2)
    call kmc_activation_forward(a2, kmc_softmax, b2)
    call check(maxval(abs(b2 - exp(a2)/spread(sum(exp(a2), 1), 1, 3))) < 1e-14 .and. maxval(abs(y2 - b2)) < 1e-6, 'softmax')
    call kmc_activation_backward(x2, x2, y2, kmc_softmax, d2)
    call kmc_activation_backward(a2, a2, b2, kmc_softmax, c2)
    call check(maxval(abs(c2 - b2*(a2 - spread(sum(a2*b2, 1), 1, 3)))) < 1e-14 .and. maxval(abs(d2 - c2)) < 1e-5, 'its derivative')
    x3 = reshape(x1, [1, 3, 2])
    x4 = reshape(x1, [1, 3, 1, 2])
    x5 = reshape(x1, [1, 1, 3, 1, 2])
    a3 = x3
    a4 = x4
    a5 = x5
    call kmc_activation_forward(x1, kmc_tanh, y1)
    call kmc_activation_backward(x1, x1, y1, kmc_tanh, d1)
    call kmc_activation_forward(x3, kmc_tanh, y3)
    call kmc_activation_forward(x4, kmc_tanh, y4)
    call kmc_activation_forward(x5, kmc_tanh, y5)
    call kmc_activation_forward(a3, kmc_tanh, b3)
    call kmc_activation_forward(a4, kmc_tanh, b4)
    call kmc_activation_forward(a5, kmc_tanh, b5)
    call kmc_activation_backward(x3, x3, y3, kmc_tanh, d3)
    call kmc_activation_backward(x4, x4, y4, kmc_tanh, d4)
    call kmc_activation_backward(x5, x5, y5, kmc_tanh, d5)
    call kmc_activation_backward(a3, a3, b3, kmc_tanh, c3)
    call kmc_activation_backward(a4, a4, b4, kmc_tanh, c4)
    call kmc_activation_backward(a5, a5, b5, kmc_tanh, c5)
    call check(all(reshape(d3, [6]) == d1) .and. all(reshape(d4, [6]) == d1) .and. all(reshape(d5, [6]) == d1), 'every rank')
    call check(all(reshape(c3, [6]) == reshape(c4, [6])) .and. all(reshape(c3, [6]) == reshape(c5, [6])) .and. &
        maxval(abs(reshape(c3, [6]) - d1)) < 1e-5, 'every rank in real64')
  end subroutine

  subroutine losses()
    real(real32) :: y(3, 2), g(3, 2), t(3, 2)
    real(real64) :: y8(3, 2), g8(3, 2), t8(3, 2), p(3, 2), loss, again
    integer :: classes(2)
    y8 = reshape([0.5_real64, -1.0_real64, 2.0_real64, 0.0_real64, 0.25_real64, 0.125_real64], [3, 2])
    y = real(y8, real32)
    p = exp(y8)/spread(sum(exp(y8), 1), 1, 3)
    call kmc_softmax_cross_entropy(y8, [3, 1], loss, g8)
    call check(abs(loss + (log(p(3, 1)) + log(p(1, 2)))/2) < 1e-14, 'softmax cross-entropy')
    p(3, 1) = p(3, 1) - 1
    p(1, 2) = p(1, 2) - 1
    call check(maxval(abs(g8 - p/2)) < 1e-14, 'its gradient')
    call kmc_softmax_cross_entropy(y, [3, 1], again, g)
    call check(abs(again - loss) < 1e-6 .and. maxval(abs(g - g8)) < 1e-6, 'softmax cross-entropy in real32')
    call kmc_softmax_cross_entropy(y, [3, 1], again)
    t8 = 1
    t = 1
    call kmc_mse(y8, t8, loss, g8, half=.true.)
    call check(abs(loss - sum((y8 - t8)**2)/4) < 1e-14 .and. maxval(abs(g8 - (y8 - t8)/2)) < 1e-14, 'half the squared error')
    call kmc_mse(y8, t8, loss, g8)
    call check(abs(loss - sum((y8 - t8)**2)/6) < 1e-14 .and. maxval(abs(g8 - 2*(y8 - t8)/6)) < 1e-14, 'the mean squared error')
    call kmc_mse(y, t, again, g)
    call check(abs(again - loss) < 1e-6 .and. maxval(abs(g - g8)) < 1e-6, 'the mean squared error in real32')
    call kmc_mse(y, t, again)
    call kmc_argmax(y, classes)
    call check(all(classes == [3, 2]), 'argmax')
    y = 1
    y8 = 1
    y8(1, 2) = 0
    call kmc_argmax(y, classes)
    call check(all(classes == 1), 'the first of equals')
    call kmc_argmax(y8, classes)
    call check(all(classes == [1, 2]), 'argmax in real64')
  end subroutine

  subroutine numbers()
    integer :: order(100), other(100), i
    integer(int64) :: wide(100)
    logical :: seen(100)
    real(real32) :: x(1000), y(1000), x2(10, 100), n(1000), n2(10, 100)
    real(real64) :: z(1000), z2(10, 100), m(1000), m2(10, 100)
    call kmc_shuffle(order, 5)
    call kmc_shuffle(wide, 5_int64)
    call kmc_shuffle(other, 6)
    seen = .false.
    do i = 1, 100
      seen(order(i)) = .true.
    end do
    call check(all(seen) .and. all(order == wide) .and. any(order /= other), 'a permutation of 1 to n')
    call kmc_random_uniform(x, 2.0_real64, 3.0_real64, 1)
    call kmc_random_uniform(y, 2.0_real64, 3.0_real64, 1_int64)
    call kmc_random_uniform(x2, 2.0_real64, 3.0_real64, 1)
    call check(all(x == y) .and. all(reshape(x2, [1000]) == x) .and. minval(x) >= 2 .and. maxval(x) < 3, 'even numbers')
    call check(abs(sum(x)/1000 - 2.5) < 0.05, 'their mean')
    call kmc_random_uniform(z, -1.0_real64, 1.0_real64, 2)
    call kmc_random_uniform(z2, -1.0_real64, 1.0_real64, 2_int64)
    call check(all(reshape(z2, [1000]) == z) .and. maxval(abs(z)) <= 1, 'even numbers in real64')
    call kmc_random_uniform(x2, 2.0_real64, 3.0_real64, 1_int64)
    call kmc_random_uniform(z, -1.0_real64, 1.0_real64, 2_int64)
    call kmc_random_uniform(z2, -1.0_real64, 1.0_real64, 2)
    call kmc_random_normal(n, 1.0_real64, 2.0_real64, 3)
    call kmc_random_normal(n2, 1.0_real64, 2.0_real64, 3)
    call check(abs(sum(n)/1000 - 1) < 0.3 .and. abs(sqrt(sum((n - 1)**2)/1000) - 2) < 0.2, 'normal numbers')
    call check(all(reshape(n2, [1000]) == n), 'normal numbers in rank 2')
    call kmc_random_normal(n, 1.0_real64, 2.0_real64, 3_int64)
    call kmc_random_normal(n2, 1.0_real64, 2.0_real64, 3_int64)
    call check(all(reshape(n2, [1000]) == n), 'normal numbers, seed in int64')
    call kmc_random_normal(m, 0.0_real64, 1.0_real64, 3)
    call kmc_random_normal(m2, 0.0_real64, 1.0_real64, 3)
    call check(all(reshape(m2, [1000]) == m) .and. abs(sum(m)/1000) < 0.15, 'normal numbers in real64')
    call kmc_random_normal(m, 0.0_real64, 1.0_real64, 3_int64)
    call kmc_random_normal(m2, 0.0_real64, 1.0_real64, 3_int64)
    call check(all(reshape(m2, [1000]) == m), 'normal numbers in real64, seed in int64')
  end subroutine

  subroutine clusters()
    real(real32) :: x(2, 6), centres(2, 2)
    real(real64) :: x8(2, 6), centres8(2, 2)
    real(real32) :: back(2, 2)
    integer :: assignment(6), again(6), unit, dimensions, k
    type(kmc_kmeans_result) :: found, found8
    x = reshape([0.0, 0.0, 1.0, 0.0, 0.0, 1.0, 10.0, 10.0, 11.0, 10.0, 10.0, 11.0], [2, 6])
    call kmc_kmeans(x, centres, assignment, found, seed=1_int64)
    call check(all(assignment(1:3) == assignment(1)) .and. all(assignment(4:6) == assignment(4)) .and. &
        assignment(1) /= assignment(4) .and. minval(assignment) == 1 .and. maxval(assignment) == 2, 'two clusters')
    call check(maxval(abs(centres(:, assignment(4)) - 31.0/3)) < 1e-5 .and. found%empty == 0 .and. found%converged, 'centres')
    call check(abs(found%mean_squared_distance - 4.0/9) < 1e-5 .and. found%iterations > 0, 'mean squared distance')
    x8 = x
    call kmc_kmeans(x8, centres8, again, found8, start=kmc_kmeans_points, restarts=5, max_iterations=50, &
        tolerance=1e-6_real64, seed=2_int64)
    call check(abs(found8%mean_squared_distance - found%mean_squared_distance) < 1e-5, 'the same in real64')
    call kmc_kmeans(x, centres)
    call kmc_write_centres('fortran_centres.dat', centres)
    open (newunit=unit, file='fortran_centres.dat', status='old')
    read (unit, *) dimensions, k
    read (unit, *) back
    close (unit, status='delete')
    call check(dimensions == 2 .and. k == 2 .and. all(abs(back - centres) < 1e-4), 'centres in a file of the course')
  end subroutine

  subroutine gradients()
    real(real64) :: w(3), g(3)
    type(kmc_gradcheck_result) :: found
    target_of_loss = [1.0_real64, -2.0_real64, 0.5_real64]
    w = [0.1_real64, 0.2_real64, 0.3_real64]
    g = 2*(w - target_of_loss)
    call kmc_gradcheck(squared, w, g, found)
    call check(found%deviation < 1e-6, 'a gradient that is right')
    g(2) = g(2) + 1
    call kmc_gradcheck(squared, w, g, found, step=1e-4_real64)
    call check(found%worst == 2 .and. found%deviation > 1e-2 .and. abs(found%analytic - g(2)) < 1e-12, 'one that is wrong in w(2)')
    call check(abs(found%numeric - (g(2) - 1)) < 1e-6, 'and what it should be')
  end subroutine

  function squared(w) result(loss)
    real(real64), intent(in) :: w(:)
    real(real64) :: loss
    loss = sum((w - target_of_loss)**2)
  end function

  subroutine pictures()
    real(real32) :: x(2, 4), centres(2, 2)
    x = reshape([0.0, 0.0, 1.0, 0.0, 0.0, 1.0, 1.0, 1.0], [2, 4])
    centres = reshape([0.0, 0.5, 1.0, 0.5], [2, 2])
    call kmc_plot_clusters('fortran_clusters.svg', x)
    call kmc_plot_clusters('fortran_clusters.svg', x, [1, 2, 1, 2], centres)
    call check(holds('fortran_clusters.svg'), 'a picture of clusters')
    call kmc_plot_boundary('fortran_boundary.svg', x, [1, 2, 1, 2], side)
    call check(holds('fortran_boundary.svg'), 'a picture of a boundary')
    call delete('fortran_clusters.svg')
    call delete('fortran_boundary.svg')
  end subroutine

  function side(point) result(class)
    real(real32), intent(in) :: point(2)
    integer :: class
    class = merge(1, 2, point(1) < 0.5)
  end function

  ! Is there an SVG file of this name?
  logical function holds(path)
    character(len=*), intent(in) :: path
    character(len=200) :: line
    integer :: unit, status
    open (newunit=unit, file=path, status='old', iostat=status)
    holds = status == 0
    if (.not. holds) return
    read (unit, '(a)', iostat=status) line
    holds = index(line, '<svg') > 0 .or. index(line, '<?xml') > 0
    close (unit)
  end function

  subroutine delete(path)
    character(len=*), intent(in) :: path
    integer :: unit
    open (newunit=unit, file=path)
    close (unit, status='delete')
  end subroutine

  include 'check.inc'
end program
