! Data sets: arrays in every layout, files, made data, changes, parts.
program test_data
  use kamacite
  use, intrinsic :: iso_fortran_env, only: real32, real64, int8, int32, int64, error_unit
  implicit none
  integer :: checks = 0, failures = 0
  call arrays()
  call layouts()
  call targets()
  call tables()
  call binaries()
  call archives()
  call made()
  call changes()
  call parts()
  call report('data')
contains
  subroutine arrays()
    type(kmc_dataset) :: data, copy
    real(real32) :: x(2, 3), back(2, 3), x3(2, 3, 4), x4(2, 3, 4, 5), x5(2, 3, 4, 5, 6), b5(2, 3, 4, 5, 6), flat(6), wide(2, 6)
    real(real32) :: b3(2, 3, 4), b4(2, 3, 4, 5)
    real(real64) :: d2(2, 3)
    integer :: i
    x = reshape(real([(i, i = 1, 6)], real32), [2, 3])
    call data%create(x)
    call check(data%length() == 3, 'three samples')
    call check(all(data%shape() == [2, 1, 1, 1]), 'shape of a table')
    call data%get_inputs(back)
    call check(all(back == x), 'inputs come back')
    call data%get_inputs(flat)
    call check(all(flat == reshape(x, [6])), 'inputs come back in rank 1')
    d2 = x
    call data%create(d2)
    call data%get_inputs(back)
    call check(all(back == x), 'real64 in, real32 out')
    wide(:, 1::2) = x
    wide(:, 2::2) = -1
    call data%create(wide(:, 1::2))
    call data%get_inputs(back)
    call check(all(back == x), 'an array that is not contiguous')
    call random_number(x5)
    x4 = x5(:, :, :, :, 1)
    x3 = x4(:, :, :, 1)
    call data%create(x3)
    call check(all(data%shape(1) == [2, 3, 1, 1]) .and. data%length() == 4, 'shape of spectra')
    call data%get_inputs(b3)
    call check(all(b3 == x3), 'spectra come back')
    call data%create(x4)
    call check(all(data%shape() == [2, 3, 4, 1]) .and. data%length() == 5, 'shape of images')
    call data%get_inputs(b4)
    call check(all(b4 == x4), 'images come back')
    call data%create(x5)
    call check(all(data%shape() == [2, 3, 4, 5]) .and. data%length() == 6, 'shape of cubes')
    call data%get_inputs(b5)
    call check(all(b5 == x5), 'cubes come back')
    call data%create(real(x3, real64))
    call data%create(real(x4, real64))
    call data%create(real(x5, real64))
    call data%get_inputs(b5, input=1)
    call check(all(b5 == x5), 'real64 cubes')
    call copy%clone(data)
    call data%scale(2.0_real64)
    call copy%get_inputs(b5)
    call check(all(b5 == x5), 'a clone is a copy')
    call data%get_inputs(b5)
    call check(all(b5 == 2*x5), 'scale')
    call data%destroy()
    call data%destroy()
    call copy%destroy()
  end subroutine

  ! The same samples in every layout give the same bits.
  subroutine layouts()
    type(kmc_dataset) :: data
    real(real32) :: x2(3, 4), t2(4, 3), x(2, 3, 4, 5, 6), back(2, 3, 4, 5, 6), first(3, 4, 5, 2, 6), major(6, 2, 3, 4, 5), b2(3, 4)
    integer :: c, w, h, d, n
    call random_number(x2)
    call random_number(x)
    t2 = transpose(x2)
    call data%create_transposed(t2)
    call data%get_inputs(b2)
    call check(all(b2 == x2), 'create_transposed')
    call data%create_transposed(real(t2, real64))
    call data%get_inputs(b2)
    call check(all(b2 == x2), 'create_transposed of real64')
    call data%create(t2, layout=kmc_feature_major)
    call data%get_inputs(b2)
    call check(all(b2 == x2), 'feature-major in rank 2')
    call data%create(x2, layout=kmc_channels_first)
    call data%get_inputs(b2)
    call check(all(b2 == x2), 'channels first in rank 2')
    do n = 1, 6; do d = 1, 5; do h = 1, 4; do w = 1, 3; do c = 1, 2
      first(w, h, d, c, n) = x(c, w, h, d, n)
      major(n, c, w, h, d) = x(c, w, h, d, n)
    end do; end do; end do; end do; end do
    call data%create(first, layout=kmc_channels_first)
    call data%get_inputs(back)
    call check(all(back == x) .and. all(data%shape() == [2, 3, 4, 5]), 'channels first')
    call data%create(major, kmc_feature_major)
    call data%get_inputs(back)
    call check(all(back == x) .and. all(data%shape() == [2, 3, 4, 5]), 'feature-major')
    call data%create(first(:, :, 1, :, :), layout=kmc_channels_first)
    call data%get_inputs(back(:, :, :, 1, :))
    call check(all(back(:, :, :, 1, :) == x(:, :, :, 1, :)), 'channels first in rank 4')
    call data%create(major(:, :, :, 1, 1), layout=kmc_feature_major)
    call data%get_inputs(back(:, :, 1, 1, :))
    call check(all(back(:, :, 1, 1, :) == x(:, :, 1, 1, :)), 'feature-major in rank 3')
  end subroutine

  subroutine targets()
    type(kmc_dataset) :: data
    real(real32) :: x(2, 4), more(3, 4), t(2, 4), back(3, 4), tb(2, 4), t3(1, 2, 4), t4(1, 2, 3, 4), t5(1, 2, 3, 2, 4)
    real(real32) :: b3(1, 2, 4), b4(1, 2, 3, 4), b5(1, 2, 3, 2, 4), flat(8), x4(1, 3, 2, 4), x5(1, 3, 2, 2, 4)
    integer :: labels(4), n(3), map(3, 2, 4), map_back(3, 2, 4), line(3, 4), line_back(3, 4)
    integer :: cube(3, 2, 2, 4), cube_back(3, 2, 2, 4)
    integer(int64) :: n64(3)
    call random_number(x)
    call random_number(more)
    call random_number(t)
    call data%create(x)
    call data%add_classes([1, 3, 1, 2], 3)
    call check(data%classes() == 3, 'three classes')
    call data%get_labels(labels)
    call check(all(labels == [1, 3, 1, 2]), 'classes from 1')
    call data%counts(n)
    call check(all(n == [2, 1, 1]), 'counts')
    call data%counts(n64, target=1)
    call check(all(n64 == [2, 1, 1]), 'counts in int64')
    call data%add_input(more)
    call data%add_input(real(more, real64))
    call data%get_inputs(back, 2)
    call check(all(back == more) .and. all(data%shape(2) == [3, 1, 1, 1]), 'a second input')
    call data%add_values(t)
    call check(data%classes(2) == 0, 'values are not classes')
    call data%get_values(tb, target=2)
    call check(all(tb == t), 'values come back')
    call data%get_values(flat, 2)
    call check(all(flat == reshape(t, [8])), 'values come back in rank 1')
    call data%add_values(real(t, real64))
    call data%set_weights([1.0_real64, 2.0_real64, 3.0_real64, 4.0_real64])
    call data%set_class_names(['red  ', 'green', 'blue '])
    call random_number(t3); call random_number(t4); call random_number(t5); call random_number(x4); call random_number(x5)
    call data%create(x)
    call data%add_values(t3)
    call data%add_values(t4)
    call data%add_values(t5)
    call data%add_values(reshape(t5, [1, 3, 2, 2, 4], order=[1, 3, 2, 4, 5]), layout=kmc_channels_last)
    call data%get_values(b3, 1)
    call data%get_values(b4, 2)
    call data%get_values(b5, 3)
    call check(all(b3 == t3) .and. all(b4 == t4) .and. all(b5 == t5), 'values of ranks 3, 4, 5')
    call data%create(x)
    call data%add_input(t3)
    call data%add_input(t4)
    call data%add_input(t5)
    call data%add_input(real(t3, real64))
    call data%add_input(real(t4, real64))
    call data%add_input(real(t5, real64))
    call data%get_inputs(b3, 5)
    call data%get_inputs(b4, 6)
    call data%get_inputs(b5, 7)
    call check(all(b3 == t3) .and. all(b4 == t4) .and. all(b5 == t5), 'further inputs of every rank')
    call data%add_values(real(t3, real64))
    call data%add_values(real(t4, real64))
    call data%add_values(real(t5, real64))
    call data%get_values(b3, 1)
    call data%get_values(b4, 2)
    call data%get_values(b5, 3)
    call check(all(b3 == t3) .and. all(b4 == t4) .and. all(b5 == t5), 'real64 values of every rank')
    line = reshape([1, 2, 3, 3, 2, 1, 1, 1, 1, 2, 2, 2], [3, 4])
    call data%create(reshape(x5(:, :, 1, 1, :), [1, 3, 4]))
    call data%add_classes(line, 3)
    call data%get_labels(line_back)
    call check(all(line_back == line), 'a class for each pixel of a spectrum')
    map = spread(line, 2, 2)
    call data%create(x4)
    call data%add_classes(map, 3)
    call data%get_labels(map_back)
    call check(all(map_back == map), 'a class for each pixel of an image')
    cube = spread(map, 3, 2)
    call data%create(x5)
    call data%add_classes(cube, 3)
    call data%get_labels(cube_back)
    call check(all(cube_back == cube), 'a class for each voxel')
  end subroutine

  subroutine tables()
    type(kmc_dataset) :: data
    real(real32) :: x(2, 3), one(1, 3), t(1, 3), p(2, 4), q(2, 4)
    integer :: unit, labels(3)
    open (newunit=unit, file='fortran_table.csv', status='replace')
    write (unit, '(a)') 'a,b,class', '# a remark', '1.5,2,0', '-1,4,1', '0.25,8,1'
    close (unit)
    call data%read_table('fortran_table.csv')
    call data%get_inputs(x)
    call data%get_labels(labels)
    call check(data%length() == 3 .and. all(x == reshape([1.5, 2.0, -1.0, 4.0, 0.25, 8.0], [2, 3])), 'columns of a table')
    call check(data%classes() == 2 .and. all(labels == [1, 2, 2]), 'the last column is the class')
    call data%read_table('fortran_table.csv', label_column=3, classes=4, header=.true., separator=',', comment='#', features=[2])
    call data%get_inputs(one)
    call check(data%classes() == 4 .and. all(one == reshape([2.0, 4.0, 8.0], [1, 3])), 'columns that are chosen')
    call data%read_table('fortran_table.csv', features=[1], targets=[2])
    call data%get_inputs(one)
    call data%get_values(t)
    call check(all(one == reshape([1.5, -1.0, 0.25], [1, 3])) .and. all(t == reshape([2.0, 4.0, 8.0], [1, 3])), 'target columns')
    call data%read_table('fortran_table.csv', label_column=kmc_no_column)
    call check(all(data%shape() == [3, 1, 1, 1]), 'no label column')
    open (newunit=unit, file='fortran_table.csv', status='replace')
    write (unit, '(a)') 'not numbers', '1 7 1', '2 8 2', '3 9 1'
    close (unit)
    call data%read_table('fortran_table.csv', skip=1, first_class=1)
    call data%get_labels(labels)
    call check(all(labels == [1, 2, 1]) .and. data%classes() == 2, 'classes from 1 in the file')
    open (newunit=unit, file='fortran_targets.txt', status='replace')
    write (unit, '(a)') '1 0', '0 1', '1 0'
    close (unit)
    open (newunit=unit, file='fortran_table.csv', status='replace')
    write (unit, '(a)') '1 7', '2 8', '3 9'
    close (unit)
    call data%read_pair('fortran_table.csv', 'fortran_targets.txt')
    call check(data%length() == 3 .and. all(data%shape() == [2, 1, 1, 1]), 'a pair of matrices')
    p = reshape([0.0, 1.0, 2.0, 3.0, 4.5, 5.0, -6.0, 7.25], [2, 4])
    call data%create(p)
    call data%write_points('fortran_points.dat')
    call data%read_points('fortran_points.dat')
    call data%get_inputs(q)
    call check(all(p == q), 'points written and read')
    call delete('fortran_table.csv')
    call delete('fortran_targets.txt')
    call delete('fortran_points.dat')
  end subroutine

  subroutine binaries()
    type(kmc_dataset) :: data
    integer(int8) :: bytes(3073), other(3073)
    real(real32) :: x(1, 2, 2, 2), r(3, 2), c(3, 32, 32, 2)
    integer :: labels(2), i, unit
    ! IDX: two images of 2 x 2 and their labels; numbers are big-endian.
    open (newunit=unit, file='fortran_images.idx', access='stream', form='unformatted', status='replace')
    write (unit) [integer(int8) :: 0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0, 2, 1, 2, 3, 4, 5, 6, 7, 8]
    close (unit)
    open (newunit=unit, file='fortran_labels.idx', access='stream', form='unformatted', status='replace')
    write (unit) [integer(int8) :: 0, 0, 8, 1, 0, 0, 0, 2, 1, 0]
    close (unit)
    call data%read_idx('fortran_images.idx', 'fortran_labels.idx')
    call data%get_inputs(x)
    call data%get_labels(labels)
    call check(data%length() == 2 .and. all(data%shape() == [1, 2, 2, 1]) .and. all(labels == [2, 1]), 'IDX')
    call check(all(abs(x/x(1, 1, 1, 1) - reshape([(real(i), i = 1, 8)], [1, 2, 2, 2])) < 1e-5), 'IDX pixels in order')
    call delete('fortran_images.idx')
    call delete('fortran_labels.idx')
    open (newunit=unit, file='fortran_raw.bin', access='stream', form='unformatted', status='replace')
    write (unit) [1.5_real32, 2.5_real32, 3.5_real32, 4.5_real32, 5.5_real32, 6.5_real32]
    close (unit)
    call data%read_raw('fortran_raw.bin', kmc_kind_f32, [3], 2)
    call data%get_inputs(r)
    call check(all(r == reshape([1.5, 2.5, 3.5, 4.5, 5.5, 6.5], [3, 2])), 'raw values')
    call data%read_raw('fortran_raw.bin', kmc_kind_f32, [3], 2_int64, layout=kmc_feature_major)
    call data%get_inputs(r)
    call check(all(r == reshape([1.5, 3.5, 5.5, 2.5, 4.5, 6.5], [3, 2])), 'raw values, samples first')
    call delete('fortran_raw.bin')
    bytes = 0
    bytes(1) = 7
    bytes(2) = 51
    other = 51
    other(1) = 3
    open (newunit=unit, file='fortran_cifar.bin', access='stream', form='unformatted', status='replace')
    write (unit) bytes, other
    close (unit)
    call data%read_cifar(['fortran_cifar.bin'], 10)
    call data%get_labels(labels)
    call data%get_inputs(c)
    call check(all(labels == [8, 4]) .and. data%classes() == 10 .and. all(data%shape() == [3, 32, 32, 1]), 'CIFAR-10')
    call check(c(1, 1, 1, 1) == c(2, 5, 9, 2) .and. c(2, 1, 1, 1) /= c(1, 1, 1, 1), 'CIFAR-10 pixels')
    call delete('fortran_cifar.bin')
  end subroutine

  ! NPY and NPZ, written here by hand: the second is a ZIP file with two stored entries.
  subroutine archives()
    type(kmc_dataset) :: data
    character(len=:), allocatable :: x, y, body, table
    real(real32) :: back(2, 3)
    integer :: labels(3)
    x = npy('<f4', '(3, 2)', transfer([1.0, 2.0, 3.0, 4.0, 5.0, 6.0], repeat(' ', 24)))
    y = npy('<i4', '(3,)', transfer([0, 1, 1], repeat(' ', 12)))
    call write_file('fortran_x.npy', x)
    call write_file('fortran_y.npy', y)
    call data%read_npy('fortran_x.npy')
    call data%get_inputs(back)
    call check(all(back == reshape([1.0, 2.0, 3.0, 4.0, 5.0, 6.0], [2, 3])) .and. data%classes() == 0, 'NPY')
    call data%read_npy('fortran_x.npy', labels='fortran_y.npy')
    call data%get_labels(labels)
    call check(all(labels == [1, 2, 2]), 'NPY with labels')
    body = entry('x.npy', x)
    table = central('x.npy', x, 0)
    table = table // central('y.npy', y, len(body))
    body = body // entry('y.npy', y)
    call write_file('fortran.npz', body // table // 'PK' // char(5) // char(6) // le(0, 4) // le(2, 2) // le(2, 2) // &
        le(len(table), 4) // le(len(body), 4) // le(0, 2))
    call data%read_npz('fortran.npz', 'x', labels='y')
    call data%get_inputs(back)
    call data%get_labels(labels)
    call check(all(back == reshape([1.0, 2.0, 3.0, 4.0, 5.0, 6.0], [2, 3])) .and. all(labels == [1, 2, 2]), 'NPZ')
    call data%read_npz('fortran.npz', 'x')
    call check(data%length() == 3 .and. data%classes() == 0, 'NPZ without labels')
    call delete('fortran_x.npy')
    call delete('fortran_y.npy')
    call delete('fortran.npz')
  end subroutine

  function npy(kind, shape, values) result(text)
    character(len=*), intent(in) :: kind, shape, values
    character(len=:), allocatable :: text, header
    header = "{'descr': '" // kind // "', 'fortran_order': False, 'shape': " // shape // ', }'
    header = header // repeat(' ', 128 - 10 - 1 - len(header)) // char(10)
    text = char(147) // 'NUMPY' // char(1) // char(0) // le(len(header), 2) // header // values
  end function

  function entry(name, content) result(text)
    character(len=*), intent(in) :: name, content
    character(len=:), allocatable :: text
    text = 'PK' // char(3) // char(4) // le(20, 2) // le(0, 8) // crc(content) // le(len(content), 4) // le(len(content), 4) // &
        le(len(name), 2) // le(0, 2) // name // content
  end function

  function central(name, content, offset) result(text)
    character(len=*), intent(in) :: name, content
    integer, intent(in) :: offset
    character(len=:), allocatable :: text
    text = 'PK' // char(1) // char(2) // le(20, 2) // le(20, 2) // le(0, 8) // crc(content) // le(len(content), 4) // &
        le(len(content), 4) // le(len(name), 2) // le(0, 12) // le(offset, 4) // name
  end function

  ! A number in so many bytes, the lowest first.
  function le(n, bytes) result(text)
    integer, intent(in) :: n, bytes
    character(len=bytes) :: text
    integer :: i
    do i = 1, bytes
      text(i:i) = char(0)
      if (i <= 4) text(i:i) = char(ibits(n, 8*(i - 1), 8))
    end do
  end function

  function crc(content) result(text)
    character(len=*), intent(in) :: content
    character(len=4) :: text
    integer :: c, i, k
    c = not(0)
    do i = 1, len(content)
      c = ieor(c, ichar(content(i:i)))
      do k = 1, 8
        if (btest(c, 0)) then
          c = ieor(ishft(c, -1), -306674912)
        else
          c = ishft(c, -1)
        end if
      end do
    end do
    text = le(not(c), 4)
  end function

  subroutine write_file(path, content)
    character(len=*), intent(in) :: path, content
    integer :: unit
    open (newunit=unit, file=path, access='stream', form='unformatted', status='replace')
    write (unit) content
    close (unit)
  end subroutine

  subroutine made()
    type(kmc_dataset) :: a, b
    real(real32) :: xa(2, 50), xb(2, 50), spectra(3753, 3)
    integer :: labels(3)
    call a%make_galaxies(6, 1)
    call check(a%length() == 6 .and. all(a%shape() == [3, 48, 48, 1]) .and. a%classes() == 5, 'galaxies')
    call a%make_digits(7, 1)
    call check(a%length() == 7 .and. all(a%shape() == [1, 28, 28, 1]) .and. a%classes() == 10, 'digits')
    call a%make_stars(8, 1)
    call check(a%length() == 8 .and. a%classes() == 0, 'stars')
    call a%make_clusters(50, 2, 3)
    call b%make_clusters(50_int64, 2, 3_int64)
    call a%get_inputs(xa)
    call b%get_inputs(xb)
    call check(all(xa == xb), 'the same seed gives the same bits')
    call b%make_clusters(50, 2, 4)
    call b%get_inputs(xb)
    call check(any(xa /= xb), 'another seed gives others')
    call a%make_ring(50, 0.1_real64, 5)
    call check(a%length() == 50 .and. a%classes() == 8, 'ring')
    call b%make_ring(50_int64, 0.1_real64, 5_int64)
    call a%get_inputs(xa)
    call b%get_inputs(xb)
    call check(all(xa == xb), 'ring in int64')
    call a%make_galaxies(2_int64, 1_int64)
    call check(a%length() == 2, 'galaxies in int64')
    call a%make_digits(3_int64, 1_int64)
    call check(a%length() == 3, 'digits in int64')
    call a%make_stars(4_int64, 1_int64)
    call check(a%length() == 4, 'stars in int64')
    call a%make_spectra([2], 6_int64)
    call check(a%length() == 1, 'spectra in int64')
    call a%make_spectra([7, 1, 3], 6)
    call a%get_labels(labels)
    call a%get_inputs(spectra)
    call check(all(labels == [7, 1, 3]) .and. a%classes() == 7 .and. all(abs(spectra) < 1e6), 'spectra')
  end subroutine

  subroutine changes()
    type(kmc_dataset) :: data, other
    real(real32) :: x(2, 4), y(2, 4), z(2, 4), padded(3, 4), hot(2, 4), line(1, 2, 4)
    integer :: labels(4)
    x = reshape([1.0, 10.0, 2.0, 20.0, 3.0, 30.0, 5.0, 50.0], [2, 4])
    call data%create(x)
    call data%normalize(kmc_min_max, kmc_per_feature)
    call data%get_inputs(y)
    call check(all(abs(y - spread([0.0, 0.25, 0.5, 1.0], 1, 2)) < 1e-6), 'min-max of each feature')
    call data%create(x)
    call data%normalize(kmc_standard)
    call data%get_inputs(y)
    call check(all(abs(sum(y, 2)) < 1e-5) .and. all(abs(sum(y**2, 2)/4 - 1) < 1e-4), 'standardised')
    call data%create(x)
    call other%create(2*x)
    call data%normalize(kmc_min_max, kmc_global, fitted_on=other)
    call data%get_inputs(y)
    call check(all(abs(y - (x - 2)/98) < 1e-6), 'fitted on another set')
    call data%create(x)
    call data%normalize(kmc_tanh_range, kmc_global, a=0.1_real64, b=0.0_real64, c=1.0_real64)
    call data%get_inputs(y)
    call check(all(y >= 0 .and. y <= 1), 'tanh into a range')
    call data%create(x)
    call data%map(square)
    call data%get_inputs(y)
    call check(all(y == x**2), 'map')
    call data%create(x)
    call data%pad([3], value=-7.0_real64)
    call data%get_inputs(padded)
    call check(all(data%shape() == [3, 1, 1, 1]) .and. count(padded == -7) == 4, 'pad')
    call data%create(x)
    call data%reshape([1, 2])
    call data%get_inputs(line)
    call check(all(data%shape() == [1, 2, 1, 1]) .and. all(line(1, :, :) == x), 'reshape')
    call data%get_inputs(z)
    call check(all(z == x), 'rank 2 holds any shape')
    call data%add_classes([1, 2, 2, 1], 2)
    call data%one_hot()
    call data%get_values(hot)
    call check(all(hot == reshape([1, 0, 0, 1, 0, 1, 1, 0], [2, 4])), 'one-hot')
    call data%create(x)
    call data%add_classes([1, 2, 3, 4], 4)
    call data%shuffle(3)
    call data%get_inputs(y)
    call data%get_labels(labels)
    call check(all(y == x(:, labels)) .and. sum(labels) == 10, 'samples and labels move together')
    call data%create(x)
    call data%add_classes([1, 2, 3, 4], 4)
    call data%shuffle(3_int64)
    call data%get_inputs(z)
    call check(all(y == z), 'the same seed in both kinds')
    call data%create(x)
    call data%add_classes([1, 2, 1, 1], 2)
    call data%rebalance([2, 1])
    call data%get_labels(labels(1:3))
    call check(data%length() == 3 .and. all(labels(1:3) == [1, 2, 1]), 'rebalance')
    call data%rebalance([1_int64, 1_int64])
    call check(data%length() == 2, 'rebalance in int64')
  end subroutine

  pure function square(x) result(y)
    real(real64), intent(in) :: x
    real(real64) :: y
    y = x**2
  end function

  subroutine parts()
    type(kmc_dataset) :: all_of, a, b
    real(real32) :: x(2, 12), y(2, 3)
    integer :: i, labels(12), n(2), m(2)
    x = reshape(real([(i, i = 1, 24)], real32), [2, 12])
    labels = [(1 + mod(i, 2), i = 1, 12)]
    call all_of%create(x)
    call all_of%add_classes(labels, 2)
    call all_of%subset([3, 1, 12], a)
    call a%get_inputs(y)
    call check(all(y == x(:, [3, 1, 12])), 'subset')
    call all_of%subset([5_int64], a)
    call check(a%length() == 1, 'subset in int64')
    call all_of%split(9, a, b)
    call b%get_inputs(y)
    call check(a%length() == 9 .and. all(y == x(:, 10:)), 'split')
    call all_of%split(9_int64, a, b)
    call check(b%length() == 3, 'split in int64')
    call all_of%split_random(0.75_real64, 1, a, b)
    call check(a%length() == 9 .and. b%length() == 3, 'random split')
    call all_of%split_random(0.75_real64, 1_int64, a, b)
    call all_of%split_stratified(0.5_real64, 1, a, b)
    call a%counts(n)
    call b%counts(m)
    call check(all(n == 3) .and. all(m == 3), 'stratified split')
    call all_of%split_stratified(0.5_real64, 1_int64, a, b)
    call all_of%fold(4, 4, 1, a, b)
    call check(a%length() == 9 .and. b%length() == 3, 'fold')
    call all_of%fold(3_int64, 1_int64, 1_int64, a, b, stratified=.true.)
    call b%counts(m)
    call check(all(m == 2), 'stratified fold')
    call all_of%balanced(a)
    call check(a%length() > 0, 'balanced view')
    call all_of%augmented(b, noise=0.0_real64)
    call check(b%length() == 12, 'a view that changes nothing')
    call all_of%make_galaxies(4, 2)
    call all_of%augmented(b, flip_h=0.5_real64, flip_v=0.5_real64, quarter_turns=.true., shift=2, zoom_low=0.9_real64, &
        zoom_high=1.1_real64, rotation=10.0_real64, brightness_low=0.9_real64, brightness_high=1.1_real64, &
        gain_low=0.9_real64, gain_high=1.1_real64, contrast_low=0.9_real64, contrast_high=1.1_real64, noise=0.01_real64)
    call check(all(b%shape() == [3, 48, 48, 1]), 'augmented view')
    call augmentations(all_of, b)
  end subroutine

  ! Every number of an augmentation reaches it: one that makes no sense is refused.
  subroutine augmentations(data, view)
    type(kmc_dataset), intent(in) :: data
    type(kmc_dataset), intent(inout) :: view
    integer :: stat(16), i
    stat = 0
    call data%augmented(view, flip_h=2.0_real64, stat=stat(1))
    call data%augmented(view, flip_v=2.0_real64, stat=stat(2))
    call data%augmented(view, flip_d=2.0_real64, stat=stat(3))
    call data%augmented(view, shift=-1, stat=stat(4))
    call data%augmented(view, zoom_low=2.0_real64, zoom_high=1.0_real64, stat=stat(5))
    call data%augmented(view, zoom_low=0.5_real64, stat=stat(6))
    call data%augmented(view, rotation=-5.0_real64, stat=stat(7))
    call data%augmented(view, brightness_low=2.0_real64, brightness_high=1.0_real64, stat=stat(8))
    call data%augmented(view, brightness_low=2.0_real64, stat=stat(9))
    call data%augmented(view, gain_low=2.0_real64, gain_high=1.0_real64, stat=stat(10))
    call data%augmented(view, gain_low=2.0_real64, stat=stat(11))
    call data%augmented(view, contrast_low=2.0_real64, contrast_high=1.0_real64, stat=stat(12))
    call data%augmented(view, contrast_low=2.0_real64, stat=stat(13))
    call data%augmented(view, noise=-1.0_real64, stat=stat(14))
    call data%augmented(view, border=99, shift=1, stat=stat(15))
    call data%augmented(view, with_target=.true., flip_h=0.5_real64, stat=stat(16))
    do i = 1, 16
      call check(stat(i) /= 0, 'an augmentation that makes no sense')
      if (stat(i) == 0) write (error_unit, '(a, i0)') '  number ', i
    end do
  end subroutine

  subroutine delete(path)
    character(len=*), intent(in) :: path
    integer :: unit
    open (newunit=unit, file=path)
    close (unit, status='delete')
  end subroutine

  include 'check.inc'
end program
