! FITS files, folders of files, images larger than a network, and what a network looks at.
program test_fits
  use kamacite
  use, intrinsic :: iso_fortran_env, only: real32, real64, error_unit
  implicit none
  integer :: checks = 0, failures = 0
  integer :: stat
  character(len=300) :: errmsg = ''
  call images()
  call tables()
  call folders()
  call mosaics()
  call maps()
  call report('fits')
contains
  subroutine images()
    type(kmc_dataset) :: data
    real(real32) :: x(3, 2), back(1, 3, 2, 1), line(4), c5(1, 2, 2, 2, 1), c4(1, 2, 2, 2), bands(2, 2, 2, 1), l3(1, 4, 1)
    real(real64) :: cube(2, 2, 2)
    integer :: i
    x = reshape(real([(i, i = 1, 6)], real32), [3, 2])
    cube = reshape(real([(i, i = 0, 7)], real64), [2, 2, 2])
    call kmc_write_fits('image.fits', x)
    call kmc_write_fits('cube.fits', cube)
    call data%read_fits('image.fits')
    call data%get_inputs(back)
    call check(all(data%shape() == [1, 3, 2, 1]) .and. all(back(1, :, :, 1) == x), 'x(w, h): the first index is NAXIS1')
    call data%read_fits('cube.fits')
    call data%get_inputs(c5)
    call check(all(c5(1, :, :, :, 1) == cube), 'a cube')
    call data%read_fits('cube.fits', hdu=0, stacked=.true.)
    call data%get_inputs(c4)
    call check(data%length() == 2 .and. all(c4(1, :, :, :) == cube), 'planes that are samples')
    call data%read_fits('cube.fits', bands=.true.)
    call data%get_inputs(bands)
    call check(all(bands(1, :, :, 1) == cube(:, :, 1)) .and. all(bands(2, :, :, 1) == cube(:, :, 2)), 'planes that are bands')
    line = [1.0, 0.0, 3.0, 8.0]
    line(2) = line(2)/line(2)
    call kmc_write_fits('line.fits', line)
    call data%read_fits('line.fits', stat=stat, errmsg=errmsg)
    call refused(stat, errmsg, kmc_err_value, 'NaN')
    call data%read_fits('line.fits', missing=kmc_missing_value, fill=-7.0_real64)
    call data%get_inputs(l3)
    call check(all(l3(1, :, 1) == [1.0, -7.0, 3.0, 8.0]), 'missing values by a number')
    call data%read_fits('line.fits', missing=kmc_missing_median)
    call data%get_inputs(l3)
    call check(l3(1, 2, 1) == 3, 'missing values by the median')
    call data%read_fits('line.fits', hdu_name='SCI', stat=stat, errmsg=errmsg)
    call refused(stat, errmsg, kmc_err_value, 'SCI')
    call kmc_write_fits('no-folder/x.fits', x, stat=stat, errmsg=errmsg)
    call refused(stat, errmsg, kmc_err_io, 'no-folder')
    ! The other ranks and kinds.
    call kmc_write_fits('other.fits', real(line(3:4), real64))
    call kmc_write_fits('other.fits', real(x, real64), like='image.fits')
    call kmc_write_fits('other.fits', real(cube, real32))
    call kmc_write_fits('other.fits', reshape(cube, [2, 2, 1, 2]))
    call kmc_write_fits('other.fits', reshape(real(cube, real32), [2, 2, 1, 2]))
    call data%read_fits('other.fits', stacked=.true.)
    call data%get_inputs(c4)
    call check(all(c4(1, :, :, :) == cube), 'four axes, one of them of one pixel')
  end subroutine

  ! One card of a header, or the end of its block.
  subroutine cards(unit, texts)
    integer, intent(in) :: unit
    character(len=*), intent(in) :: texts(:)
    character(len=80) :: card
    integer :: i
    do i = 1, size(texts)
      card = texts(i)
      write (unit) card
    end do
    card = ''
    do i = size(texts) + 1, 36
      write (unit) card
    end do
  end subroutine

  ! A table of two rows: two fluxes and a kind.
  subroutine tables()
    type(kmc_dataset) :: data
    integer :: unit, labels(2)
    real(real32) :: x(1, 2, 2), t(2, 2)
    open (newunit=unit, file='table.fits', access='stream', form='unformatted', status='replace')
    call cards(unit, ['SIMPLE  =                    T', 'BITPIX  =                    8', 'NAXIS   =                    0', &
      'END                           '])
    call cards(unit, ['XTENSION= ''BINTABLE''          ', 'BITPIX  =                    8', 'NAXIS   =                    2', &
      'NAXIS1  =                   12', 'NAXIS2  =                    2', 'PCOUNT  =                    0', &
      'GCOUNT  =                    1', 'TFIELDS =                    2', 'TTYPE1  = ''FLUX''              ', &
      'TFORM1  = ''2E''                ', 'TTYPE2  = ''KIND''              ', 'TFORM2  = ''4A''                ', &
      'EXTNAME = ''SPECTRA''           ', 'END                           '])
    ! 1, 2 and 4, 8 as big-endian numbers.
    write (unit) char(63) // char(128) // char(0) // char(0) // char(64) // char(0) // char(0) // char(0) // 'STAR'
    write (unit) char(64) // char(128) // char(0) // char(0) // char(65) // char(0) // char(0) // char(0) // 'QSO '
    write (unit) repeat(char(0), 2880 - 24)
    close (unit)
    call data%read_fits_table('table.fits', ['FLUX'], label='KIND', targets=['flux'])
    call data%get_inputs(x)
    call data%get_labels(labels)
    call data%get_values(t, target=2)
    call check(all(data%shape() == [1, 2, 1, 1]) .and. all(x(1, :, 1) == [1.0, 2.0]) .and. all(x(1, :, 2) == [4.0, 8.0]), &
        'spectra of a table')
    call check(all(labels == [2, 1]) .and. all(t == x(1, :, :)), 'classes by name, in the order of their letters, and values')
    call data%read_fits_table('table.fits', ['FLUX'], hdu_name='spectra')
    call check(data%length() == 2 .and. data%classes() == 0, 'a table by its name')
    call data%read_fits_table('table.fits', ['FLOX'], stat=stat, errmsg=errmsg)
    call refused(stat, errmsg, kmc_err_value, 'FLUX')
    call data%read_fits_table('table.fits', ['FLUX'], hdu=0, stat=stat, errmsg=errmsg)
    call refused(stat, errmsg, kmc_err_value, 'not a binary table')
  end subroutine

  subroutine folders()
    type(kmc_dataset) :: data, train, valid, loaded
    type(kmc_network) :: net
    type(kmc_trainer) :: trainer
    type(kmc_trainer_options) :: options
    type(kmc_scores) :: scores
    real(real32) :: x(5, 6), all_of(1, 5, 6, 12), cut(1, 2, 2, 2), t(1, 2), predicted(2, 3)
    integer :: i, j, n(2), unit
    character(len=40) :: name
    call execute_command_line('mkdir -p stamps/good stamps/bad')
    do i = 1, 12
      x = reshape(real([(mod(7*j + i, 11), j = 1, 30)], real32), [5, 6])
      if (mod(i, 2) == 1) x(:, 4:6) = x(:, 4:6) + 20
      write (name, '(3a, i2.2, a)') 'stamps/', trim(merge('bad ', 'good', mod(i, 2) == 1)), '/', i, '.fits'
      call kmc_write_fits(trim(name), x)
    end do
    call data%open_folders('stamps', prepare='astronomy')
    call data%counts(n)
    call check(data%length() == 12 .and. all(data%shape() == [1, 5, 6, 1]) .and. all(n == 6), 'class folders')
    call data%split_stratified(0.5_real64, 1, train, valid)
    call net%create([1, 5, 6])
    call net%dense(2)
    options%device = 'cpu'
    options%optimizer%kind = kmc_adam
    call trainer%create(net, train, valid, options)
    call trainer%fit(60)
    call trainer%validate(scores)
    call check(scores%samples == 6 .and. scores%accuracy == 1, 'training on files')
    call loaded%load(data)
    call loaded%get_inputs(all_of)
    call check(minval(all_of) == 0 .and. maxval(all_of) <= 1 .and. maxval(all_of) > 0.99, 'prepared samples in memory')
    call data%open_folders('stamps', classes=['good', 'bad '])
    call data%counts(n)
    call check(all(n == 6), 'classes in an order of one''s own')
    call data%open_folders('stamps', classes=['good', 'ugly'], stat=stat, errmsg=errmsg)
    call refused(stat, errmsg, kmc_err_io, 'ugly')
    open (newunit=unit, file='labels.txt', status='replace')
    write (unit, '(a)') 'good/02.fits,0.5', 'bad/03.fits,2.5'
    close (unit)
    call data%open_labels('labels.txt', folder='stamps', values=.true., &
      prepare='[{"crop": {"h": 2, "w": 2}}, {"affine": {"factor": 2, "offset": 1}}]')
    call loaded%load(data)
    call loaded%get_inputs(cut)
    call loaded%get_values(t)
    call check(all(t(1, :) == [0.5, 2.5]) .and. all(cut(1, :, 1, 1) == 2*[mod(7*12 + 2, 11), mod(7*13 + 2, 11)] + 1), &
        'a labels file, and steps in JSON')
    call data%open_labels('labels.txt', folder='stamps', values=.true., prepare='[{"clipp": {}}]', stat=stat, errmsg=errmsg)
    call refused(stat, errmsg, kmc_err_value, 'clipp')
    call loaded%load(data, prepare='[{"pad": {"h": 3, "w": 2, "value": 9}}]')
    call check(all(loaded%shape() == [1, 2, 3, 1]), 'steps on a set in memory')
    open (newunit=unit, file='damaged.fits', status='replace')
    write (unit, '(a)') 'SIMPLE'
    close (unit)
    call data%open_files(['stamps/good/02.fits', 'damaged.fits       ', 'stamps/bad/03.fits '], prepare='astronomy', &
      skip_bad=.true.)
    call trainer%predict(data, predicted)
    call check(index(data%skipped(), 'damaged.fits') > 0 .and. data%length() == 3, 'what was skipped is named')
    call check(all(predicted(:, 2) /= predicted(:, 2)) .and. predicted(1, 3) > 0.5, 'and is predicted as NaN')
    call data%open_files(['stamps/good/02.fits', 'damaged.fits       '])
    call loaded%load(data, stat=stat, errmsg=errmsg)
    call refused(stat, errmsg, kmc_err_format, 'damaged.fits')
  end subroutine

  subroutine mosaics()
    type(kmc_network) :: net
    type(kmc_model) :: model
    type(kmc_model_options) :: options
    type(kmc_dataset) :: data
    type(kmc_view) :: view(1)
    real(real32), target :: x(1, 50, 40, 1)
    real(real32) :: whole(1, 50, 40, 1), tiled(1, 50, 40, 1)
    integer :: i
    x = reshape(real([(mod(37*i, 101), i = 1, 2000)], real32)/50, [1, 50, 40, 1])
    options%device = 'cpu'
    call net%create([1, 16, 16])
    call net%conv(4, 3, pad=1, activation=kmc_relu)
    call net%conv(1, 3, pad=1)
    call model%create(net, options)
    call kmc_write_fits('large.fits', x(1, :, :, 1))
    call model%predict_fits('large.fits', 'predicted.fits', [16, 16], overlap=6, margin=2, batch=2)
    call data%read_fits('predicted.fits')
    call data%get_inputs(tiled)
    call view(1)%set(x)
    call model%forward(view)
    call model%get_output(whole)
    call check(maxval(abs(tiled - whole)) < 1e-5, 'in tiles as at once')
    call model%predict_fits('large.fits', 'predicted.fits', [16, 16], overlap=6, margin=4, stat=stat, errmsg=errmsg)
    call refused(stat, errmsg, kmc_err_shape, 'margin')
    call model%predict_fits('large.fits', 'predicted.fits', [16, 16, 1, 1], stat=stat, errmsg=errmsg)
    call refused(stat, errmsg, kmc_err_shape, '[w, h, d]')
  end subroutine

  subroutine maps()
    type(kmc_network) :: net
    type(kmc_model) :: model
    type(kmc_model_options) :: options
    real(real32) :: x(3, 2), map(3, 2), noisy(3, 2), image(1, 8, 8, 1), cam(8, 8, 1), s3(1, 4, 2), m3(1, 4, 2), c2(4, 2)
    real(real32) :: s5(1, 4, 4, 4, 1), m5(1, 4, 4, 4, 1), c4(4, 4, 4, 1), m4(1, 8, 8, 1)
    real(real64) :: w(2, 3), ones(1, 1, 3, 3)
    integer :: conv
    options%device = 'cpu'
    x = reshape([1.0, 2.0, 3.0, -1.0, 0.0, 1.0], [3, 2])
    call net%create([3])
    call net%dense(2, kmc_softmax)
    call model%create(net, options)
    call model%get_array('dense1.weight', w)
    call model%saliency(x, [2, 1], map)
    call check(all(map(:, 1) == real(w(2, :), real32)) .and. all(map(:, 2) == real(w(1, :), real32)), &
        'saliency of a linear network')
    call model%saliency(x, [2, 1], noisy, draws=5, seed=1)
    call check(maxval(abs(noisy - map)) < 1e-6, 'SmoothGrad of a linear network')
    call model%saliency(x, [2, 1], noisy, kind=kmc_gradient_times_input)
    call check(all(abs(noisy - map*x) < 1e-6), 'gradient times input')
    call model%saliency(x, [2, 3], map, stat=stat, errmsg=errmsg)
    call refused(stat, errmsg, kmc_err_value, 'channel')
    call model%saliency(x, [2], map, stat=stat, errmsg=errmsg)
    call refused(stat, errmsg, kmc_err_shape, '2 samples')
    call model%saliency(x, [2, 1], map(:, 1:1), stat=stat, errmsg=errmsg)
    call refused(stat, errmsg, kmc_err_shape, 'maps: expected (3, 2), got (3, 1)')

    image = 0
    image(1, 2, 2, 1) = 1
    ones = 1
    call net%create([1, 8, 8])
    call net%conv(1, 3, pad=1, activation=kmc_relu, node=conv)
    call net%pool(kmc_pool_average, 0)
    call net%dense(2, name='head')
    call model%create(net, options)
    call model%set_array('conv1.weight', reshape(ones, [1, 1, 3, 3]))
    call model%set_array('head.weight', reshape([1.0_real64, -1.0_real64], [2, 1]))
    call model%grad_cam(image, [1], conv, cam)
    call check(all(cam(1:3, 1:3, 1) > 0) .and. all(cam(4:, :, 1) == 0) .and. all(cam(:, 4:, 1) == 0), 'Grad-CAM')
    call model%saliency(image, [1], m4)
    call check(maxval(abs(m4)) > 0, 'saliency of images')
    call model%grad_cam(image, [1], conv, cam(1:4, :, :), stat=stat, errmsg=errmsg)
    call refused(stat, errmsg, kmc_err_shape, 'maps: expected (8, 8, 1), got (4, 8, 1)')
    s3 = 1
    call net%create([1, 4])
    call net%conv(2, 3, pad=1, node=conv)
    call net%dense(2)
    call model%create(net, options)
    call model%saliency(s3, [1, 2], m3)
    call model%grad_cam(s3, [1, 2], conv, c2)
    call check(all(c2 >= 0) .and. maxval(abs(m3)) > 0, 'maps of spectra')
    s5 = 1
    call net%create([1, 4, 4, 4])
    call net%conv(2, 3, pad=1, node=conv)
    call net%dense(2)
    call model%create(net, options)
    call model%saliency(s5, [1], m5)
    call model%grad_cam(s5, [1], conv, c4)
    call check(all(c4 >= 0) .and. maxval(abs(m5)) > 0, 'maps of cubes')
  end subroutine

  include 'check.inc'
end program
