/* FITS files, folders of files, what is made of an image larger than a network, and what a network looks at. */
#define _POSIX_C_SOURCE 200809L
#include <sys/stat.h>

#include "test.h"

/* The name of a file, for as long as the program runs. */
static const char *kept(const char *name)
{
    static char paths[48][512];
    static int next;
    if (next == 48) exit(1);
    snprintf(paths[next], sizeof paths[next], "%s", test_file(name));
    return paths[next++];
}

static int is(kmc_dataset *data, int64_t n, int64_t d, int64_t h, int64_t w, int64_t c)
{
    int64_t e[4] = {0}, len = -1;
    OK(kmc_dataset_len(&len, data));
    OK(kmc_dataset_extent(e, data, 0));
    return len == n && e[0] == d && e[1] == h && e[2] == w && e[3] == c;
}

/* The values of a set, which is then destroyed. */
static void values(float *to, int64_t n, kmc_dataset *data)
{
    OK(kmc_dataset_inputs(to, n, data, 0));
    OK(kmc_dataset_destroy(data));
}

/* A header or data, up to a whole number of blocks. */
static size_t block(unsigned char *to, size_t n, int fill)
{
    size_t whole = (n + 2879) / 2880 * 2880;
    memset(to + n, fill, whole - n);
    return whole;
}

static size_t header(unsigned char *to, const char *const *cards, int n)
{
    char card[96];
    for (int i = 0; i < n; i++) {
        snprintf(card, sizeof card, "%-80s", cards[i]);
        memcpy(to + 80 * i, card, 80);
    }
    return block(to, 80 * (size_t)n, ' ');
}

static void big_endian(unsigned char *to, uint64_t bits, int bytes)
{
    for (int i = 0; i < bytes; i++) to[i] = (unsigned char)(bits >> (8 * (bytes - 1 - i)));
}

static void put_float(unsigned char *to, float x)
{
    uint32_t bits;
    memcpy(&bits, &x, 4);
    big_endian(to, bits, 4);
}

/* Cubes are one sample, several, or channels; missing values become what was asked for. */
static void images(void)
{
    const float x[6] = {1, 2, 3, 4, 5, 6}, holes[4] = {1, NAN, 3, 8};
    const double cube[8] = {0, 1, 2, 3, 4, 5, 6, 7};
    const int64_t flat[2] = {2, 3}, three[3] = {2, 2, 2}, line[1] = {4};
    const char *a = kept("a.fits"), *b = kept("b.fits"), *c = kept("c.fits");
    kmc_fits_options o = KMC_FITS_OPTIONS_INIT;
    kmc_dataset *data = NULL;
    float got[8];
    OK(kmc_fits_write_f32(a, x, flat, 2, NULL));
    OK(kmc_fits_write_f64(b, cube, three, 3, NULL));
    OK(kmc_fits_write_f32(c, holes, line, 1, NULL));
    OK(kmc_dataset_read_fits(&data, a, NULL));
    CHECK(is(data, 1, 1, 2, 3, 1));
    values(got, 6, data);
    CHECK(memcmp(got, x, sizeof x) == 0);
    OK(kmc_dataset_read_fits(&data, b, &o));
    CHECK(is(data, 1, 2, 2, 2, 1));
    values(got, 8, data);
    CHECK(got[1] == 1 && got[7] == 7);
    o.stacked = 1;
    OK(kmc_dataset_read_fits(&data, b, &o));
    CHECK(is(data, 2, 1, 2, 2, 1));
    values(got, 8, data);
    CHECK(got[1] == 1 && got[4] == 4);
    o.stacked = 0;
    o.bands = 1;
    o.hdu = 0;
    OK(kmc_dataset_read_fits(&data, b, &o));
    CHECK(is(data, 1, 1, 2, 2, 2));
    values(got, 8, data);
    CHECK(got[0] == 0 && got[1] == 4 && got[2] == 1);
    o.stacked = 1;
    OK(kmc_dataset_read_fits(&data, b, &o));
    CHECK(is(data, 2, 1, 1, 2, 2));
    OK(kmc_dataset_destroy(data));
    FAILS(KMC_ERR_SHAPE, "stacked and bands", kmc_dataset_read_fits(&data, c, &o));
    o = (kmc_fits_options)KMC_FITS_OPTIONS_INIT;
    FAILS(KMC_ERR_VALUE, "c.fits", kmc_dataset_read_fits(&data, c, &o));
    const float expected[3] = {0, -7, 3};
    for (int i = 0; i < 3; i++) {
        o.missing = KMC_MISSING_ZERO + i;
        o.fill = -7;
        OK(kmc_dataset_read_fits(&data, c, &o));
        CHECK(is(data, 1, 1, 1, 4, 1));
        values(got, 4, data);
        CHECK(got[0] == 1 && got[1] == expected[i]);
    }
    o.missing = KMC_MISSING_KEEP;
    OK(kmc_dataset_read_fits(&data, c, &o));
    values(got, 4, data);
    CHECK(isnan(got[1]));
    o.missing = 5;
    FAILS(KMC_ERR_VALUE, "missing", kmc_dataset_read_fits(&data, c, &o));
    o.missing = KMC_MISSING_ZERO;
    o.hdu = 3;
    FAILS(KMC_ERR_VALUE, "no HDU number 3", kmc_dataset_read_fits(&data, c, &o));
    o.hdu_name = "SCI";
    FAILS(KMC_ERR_VALUE, "SCI", kmc_dataset_read_fits(&data, c, &o));
    FAILS(KMC_ERR_IO, "not-here", kmc_dataset_read_fits(&data, kept("not-here"), NULL));
    FAILS(KMC_ERR_SHAPE, "shape", kmc_fits_write_f32(a, x, flat, 0, NULL));
    FAILS(KMC_ERR_VALUE, "shape", kmc_fits_write_f32(a, x, (const int64_t[]){INT64_C(1) << 40, INT64_C(1) << 40}, 2, NULL));
    FAILS(KMC_ERR_NULL, "x is NULL", kmc_fits_write_f32(a, NULL, flat, 2, NULL));
    FAILS(KMC_ERR_IO, "not-here", kmc_fits_write_f32(a, x, flat, 2, kept("not-here")));
    /* What failed has left the file that was there. */
    OK(kmc_dataset_read_fits(&data, a, NULL));
    CHECK(is(data, 1, 1, 2, 3, 1));
    OK(kmc_dataset_destroy(data));
}

/* An image of 2 rows and 3 columns with a place on the sky, and behind it a table of three spectra. */
static const char *survey(void)
{
    static const char *const first[] = {
        "SIMPLE  =                    T", "BITPIX  =                    8", "NAXIS   =                    2",
        "NAXIS1  =                    3", "NAXIS2  =                    2", "EXTEND  =                    T",
        "CTYPE1  = 'RA---TAN'",           "CTYPE2  = 'DEC--TAN'",           "CRVAL1  =               83.633",
        "CRVAL2  =              22.0145", "CRPIX1  =                  1.0", "CRPIX2  =                  1.0",
        "CDELT1  =             -0.00028", "CDELT2  =              0.00028", "END"};
    static const char *const second[] = {
        "XTENSION= 'BINTABLE'",           "BITPIX  =                    8", "NAXIS   =                    2",
        "NAXIS1  =                   28", "NAXIS2  =                    3", "PCOUNT  =                    0",
        "GCOUNT  =                    1", "TFIELDS =                    5", "TTYPE1  = 'FLUX'",
        "TFORM1  = '2E'",                 "TTYPE2  = 'IVAR'",               "TFORM2  = '2E'",
        "TTYPE3  = 'KIND'",               "TFORM3  = '4A'",                 "TTYPE4  = 'CODE'",
        "TFORM4  = '1J'",                 "TTYPE5  = 'Z'",                  "TFORM5  = '1E'",
        "EXTNAME = 'COADD'",              "END"};
    static const char *const kinds[3] = {"STAR", "QSO ", "STAR"};
    static unsigned char file[5 * 2880];
    const char *path = kept("survey.fits");
    size_t at = header(file, first, (int)LEN(first));
    memcpy(file + at, "\1\2\3\4\5\6", 6);
    at += block(file + at, 6, 0);
    at += header(file + at, second, (int)LEN(second));
    for (int row = 0; row < 3; row++) {
        unsigned char *to = file + at + 28 * row;
        for (int i = 0; i < 4; i++) put_float(to + 4 * i, (float)(10 * row + i));
        memcpy(to + 16, kinds[row], 4);
        big_endian(to + 20, (uint64_t)(2 - row), 4);
        put_float(to + 24, 0.5f * (float)row);
    }
    at += block(file + at, 84, 0);
    test_write(path, file, at);
    return path;
}

static void tables(void)
{
    const char *path = survey();
    const char *const spectra[2] = {"flux", "ivar"}, *const numbers[2] = {"z", "code"}, *const uneven[2] = {"flux", "z"};
    kmc_fits_options o = KMC_FITS_OPTIONS_INIT;
    kmc_dataset *data = NULL;
    float got[12];
    int32_t labels[3];
    int64_t classes = 0;
    OK(kmc_dataset_read_fits_table(&data, path, spectra, 2, "KIND", numbers, 2, NULL));
    CHECK(is(data, 3, 1, 1, 2, 2));
    OK(kmc_dataset_labels(labels, 3, data, 0));
    OK(kmc_dataset_values(got, 6, data, 1));
    CHECK(labels[0] == 1 && labels[1] == 0 && labels[2] == 1);
    CHECK(got[0] == 0 && got[1] == 2 && got[4] == 1 && got[5] == 0);
    values(got, 12, data);
    /* flux 0 1, ivar 2 3 of the first row. */
    CHECK(got[0] == 0 && got[1] == 2 && got[2] == 1 && got[3] == 3 && got[4] == 10);
    o.hdu_name = "coadd";
    OK(kmc_dataset_read_fits_table(&data, path, numbers, 1, "CODE", NULL, 0, &o));
    CHECK(is(data, 3, 1, 1, 1, 1));
    OK(kmc_dataset_classes(&classes, data, 0));
    OK(kmc_dataset_labels(labels, 3, data, 0));
    CHECK(classes == 3 && labels[0] == 2 && labels[2] == 0);
    OK(kmc_dataset_destroy(data));
    data = NULL;
    FAILS(KMC_ERR_SHAPE, "column z", kmc_dataset_read_fits_table(&data, path, uneven, 2, NULL, NULL, 0, NULL));
    FAILS(KMC_ERR_VALUE, "nothing", kmc_dataset_read_fits_table(&data, path, spectra, 2, "nothing", NULL, 0, NULL));
    FAILS(KMC_ERR_VALUE, "columns", kmc_dataset_read_fits_table(&data, path, NULL, 0, NULL, NULL, 0, NULL));
    o.hdu_name = NULL;
    o.hdu = 0;
    FAILS(KMC_ERR_VALUE, "not a binary table", kmc_dataset_read_fits_table(&data, path, spectra, 2, NULL, NULL, 0, &o));
    o.hdu = -2;
    FAILS(KMC_ERR_VALUE, "hdu", kmc_dataset_read_fits_table(&data, path, spectra, 2, NULL, NULL, 0, &o));
    o.bands = 1;
    FAILS(KMC_ERR_VALUE, "bands", kmc_dataset_read_fits_table(&data, path, spectra, 2, NULL, NULL, 0, &o));
    CHECK(data == NULL);
}

static void folder(const char *path)
{
    if (mkdir(path, 0777) != 0) exit(1);
}

/* Stamps of two classes in folders: opened, prepared, parted, trained on, loaded; a file that cannot be read. */
static void folders(void)
{
    const char *top = kept("stamps"), *good = kept("stamps/good"), *bad = kept("stamps/bad");
    const char *list = kept("stamps/labels.txt"), *paths[2], *text = NULL;
    const char *lines = "good/0.fits,0.5\nbad/1.fits,2.5\n";
    const int64_t shape[2] = {6, 5};
    kmc_files_options o = KMC_FILES_OPTIONS_INIT;
    kmc_dataset *data = NULL, *a = NULL, *b = NULL;
    kmc_network *net = NULL;
    kmc_trainer *trainer = NULL;
    kmc_trainer_options t = test_options();
    kmc_report report = KMC_REPORT_INIT;
    float x[30], got[360];
    int64_t n = 0, counts[2];
    int32_t labels[12];
    folder(top);
    folder(good);
    folder(bad);
    for (int i = 0; i < 12; i++) {
        char name[32];
        for (int j = 0; j < 30; j++) x[j] = (float)((j * 7 + i) % 11) + (i % 2 && j > 14 ? 20.0f : 0.0f);
        snprintf(name, sizeof name, "stamps/%s/%d.fits", i % 2 ? "bad" : "good", i);
        OK(kmc_fits_write_f32(test_file(name), x, shape, 2, NULL));
    }
    o.prepare = "astronomy";
    OK(kmc_dataset_open_folders(&data, top, &o));
    CHECK(is(data, 12, 1, 6, 5, 1));
    OK(kmc_dataset_counts(counts, 2, data, 0));
    CHECK(counts[0] == 6 && counts[1] == 6);
    FAILS(KMC_ERR_UNSUPPORTED, "kmc_dataset_load", kmc_dataset_inputs(got, 360, data, 0));
    OK(kmc_dataset_split_stratified(&a, &b, data, 0.5, 1));
    OK(kmc_dataset_counts(counts, 2, b, 0));
    CHECK(is(a, 6, 1, 6, 5, 1) && counts[0] == 3 && counts[1] == 3);
    OK(kmc_network_create(&net, 1, 6, 5, 1));
    OK(kmc_network_dense(net, 2, KMC_LINEAR, NULL));
    t.optimizer.kind = KMC_ADAM;
    OK(kmc_trainer_create(&trainer, net, a, b, &t));
    OK(kmc_trainer_fit(&report, trainer, 60, NULL));
    CHECK(report.valid.samples == 6 && report.valid.accuracy == 1.0);
    OK(kmc_trainer_destroy(trainer));
    OK(kmc_network_destroy(net));
    OK(kmc_dataset_destroy(a));
    OK(kmc_dataset_destroy(b));
    OK(kmc_dataset_split(&a, &b, data, 2));
    CHECK(is(a, 2, 1, 6, 5, 1) && is(b, 10, 1, 6, 5, 1));
    OK(kmc_dataset_destroy(a));
    FAILS(KMC_ERR_VALUE, "n_first", kmc_dataset_split(&a, &a, b, 11));
    OK(kmc_dataset_destroy(b));
    OK(kmc_dataset_load(&a, data, NULL));
    OK(kmc_dataset_labels(labels, 12, a, 0));
    values(got, 360, a);
    int within = 1;
    for (int i = 0; i < 360; i++) within &= got[i] >= 0 && got[i] <= 1;
    CHECK(within && labels[0] == 0 && labels[11] == 1);
    OK(kmc_dataset_destroy(data));

    /* A labels file of values; steps in JSON, which may change the size. */
    test_write(list, lines, strlen(lines));
    o.values = 1;
    o.prepare = "[{\"crop\": {\"h\": 2, \"w\": 2}}, {\"affine\": {\"factor\": 2, \"offset\": 1}}]";
    OK(kmc_dataset_open_labels(&data, list, &o));
    CHECK(is(data, 2, 1, 2, 2, 1));
    OK(kmc_dataset_load(&a, data, NULL));
    OK(kmc_dataset_values(got, 2, a, 0));
    CHECK(got[0] == 0.5f && got[1] == 2.5f);
    values(got, 8, a);
    /* Row 2, column 1 is value 11: 77 mod 11 in file 0. */
    CHECK(got[0] == 1.0f && got[1] == 2.0f * 7.0f + 1.0f);
    OK(kmc_dataset_load(&a, data, "[{\"pad\": {\"h\": 3, \"w\": 2, \"value\": 9}}]"));
    CHECK(is(a, 2, 1, 3, 2, 1));
    OK(kmc_dataset_destroy(a));
    FAILS(KMC_ERR_VALUE, "clipp", kmc_dataset_load(&a, data, "[{\"clipp\": {}}]"));
    OK(kmc_dataset_destroy(data));
    o.prepare = "astronomie";
    FAILS(KMC_ERR_VALUE, "expected astronomy", kmc_dataset_open_labels(&data, list, &o));
    o.prepare = NULL;
    o.values = 2;
    FAILS(KMC_ERR_VALUE, "values", kmc_dataset_open_labels(&data, list, &o));

    /* A file that is none stops, or is left out and named. */
    const char *damaged = kept("stamps/bad/9.fits");
    test_write(damaged, "SIMPLE", 6);
    paths[0] = kept("stamps/good/0.fits");
    paths[1] = damaged;
    OK(kmc_dataset_open_files(&data, paths, 2, NULL));
    FAILS(KMC_ERR_FORMAT, "9.fits", kmc_dataset_load(&a, data, NULL));
    OK(kmc_dataset_destroy(data));
    o = (kmc_files_options)KMC_FILES_OPTIONS_INIT;
    o.skip_bad = 1;
    OK(kmc_dataset_open_files(&data, paths, 2, &o));
    OK(kmc_dataset_load(&a, data, NULL));
    OK(kmc_dataset_skipped(&text, data));
    OK(kmc_dataset_len(&n, data));
    CHECK(is(a, 1, 1, 6, 5, 1) && n == 2 && strstr(text, "9.fits") != NULL);
    OK(kmc_dataset_destroy(a));
    OK(kmc_dataset_destroy(data));
    data = NULL;
    FAILS(KMC_ERR_IO, "not-here", kmc_dataset_open_folders(&data, kept("not-here"), NULL));
    o.size = 0;
    FAILS(KMC_ERR_STRUCT, "KMC_FILES_OPTIONS_INIT", kmc_dataset_open_folders(&data, top, &o));
    CHECK(data == NULL);
}

/* In tiles as at once, with the place on the sky. */
static void mosaics(void)
{
    const int64_t shape[2] = {40, 50}, small[2] = {2, 3};
    const char *from = kept("large.fits"), *to = kept("predicted.fits"), *sky = survey();
    kmc_network *net = NULL;
    kmc_model *model = NULL;
    kmc_model_options mo = KMC_MODEL_OPTIONS_INIT;
    kmc_mosaic_options o = KMC_MOSAIC_OPTIONS_INIT;
    kmc_dataset *data = NULL;
    static float x[2000], whole[2000], tiled[2000];
    kmc_view view = {x, 1, 1, 40, 50, 1};
    char head[5760];
    for (int i = 0; i < 2000; i++) x[i] = (float)(i * 37 % 101) / 50.0f;
    mo.device = "cpu";
    OK(kmc_network_create(&net, 1, 16, 16, 1));
    OK(kmc_network_conv(net, 4, 3, 1, 1, KMC_RELU, NULL));
    OK(kmc_network_conv(net, 1, 3, 1, 1, KMC_LINEAR, NULL));
    OK(kmc_model_create(&model, net, &mo));
    OK(kmc_fits_write_f32(from, x, shape, 2, NULL));
    o.overlap = 6;
    o.margin = 2;
    o.batch = 3;
    OK(kmc_model_predict_fits(model, from, to, 1, 16, 16, &o));
    OK(kmc_dataset_read_fits(&data, to, NULL));
    CHECK(is(data, 1, 1, 40, 50, 1));
    values(tiled, 2000, data);
    OK(kmc_model_forward_views(model, KMC_MODE_INFER, &view, 1));
    OK(kmc_model_output_f32(whole, 2000, model, 0));
    int equal = 1;
    for (int i = 0; i < 2000; i++) equal &= fabsf(whole[i] - tiled[i]) < 1e-5f;
    CHECK(equal);
    OK(kmc_model_predict_fits(model, sky, to, 1, 16, 16, NULL));
    FILE *f = fopen(to, "rb");
    size_t n = f ? fread(head, 1, sizeof head - 1, f) : 0;
    if (f) fclose(f);
    head[n] = '\0';
    CHECK(strstr(head, "CRVAL1  =") != NULL && strstr(head, "83.633") != NULL);
    /* And so has an array that is written beside it. */
    OK(kmc_fits_write_f64(to, (const double[]){1, 2, 3, 4, 5, 6}, small, 2, sky));
    f = fopen(to, "rb");
    n = f ? fread(head, 1, sizeof head - 1, f) : 0;
    if (f) fclose(f);
    head[n] = '\0';
    CHECK(strstr(head, "DEC--TAN") != NULL);
    o.prepare = "[{\"affine\": {\"factor\": 0, \"offset\": 0}}]";
    OK(kmc_model_predict_fits(model, from, to, 1, 16, 16, &o));
    OK(kmc_dataset_read_fits(&data, to, NULL));
    values(tiled, 2000, data);
    memset(x, 0, sizeof x);
    OK(kmc_model_forward_views(model, KMC_MODE_INFER, &view, 1));
    OK(kmc_model_output_f32(whole, 2000, model, 0));
    CHECK(fabsf(tiled[1000] - whole[1000]) < 1e-6f);
    o.prepare = NULL;
    o.margin = 4;
    FAILS(KMC_ERR_SHAPE, "margin", kmc_model_predict_fits(model, from, to, 1, 16, 16, &o));
    o.margin = 0;
    o.overlap = 16;
    FAILS(KMC_ERR_SHAPE, "overlap", kmc_model_predict_fits(model, from, to, 1, 16, 16, &o));
    o.overlap = -1;
    FAILS(KMC_ERR_VALUE, "overlap", kmc_model_predict_fits(model, from, to, 1, 16, 16, &o));
    o.size = 1;
    FAILS(KMC_ERR_STRUCT, "KMC_MOSAIC_OPTIONS_INIT", kmc_model_predict_fits(model, from, to, 1, 16, 16, &o));
    FAILS(KMC_ERR_IO, "not-here", kmc_model_predict_fits(model, kept("not-here"), to, 1, 16, 16, NULL));
    OK(kmc_model_destroy(model));
    OK(kmc_network_destroy(net));
}

/* Of a linear network the gradients are its weights; Grad-CAM finds the bright corner. */
static void maps(void)
{
    kmc_network *net = NULL;
    kmc_model *model = NULL;
    kmc_model_options mo = KMC_MODEL_OPTIONS_INIT;
    const float x[6] = {1, 2, 3, -1, 0, 1};
    const int32_t channels[2] = {1, 0};
    double w[6];
    float map[6], noisy[6], image[64] = {0}, cam[64];
    mo.device = "cpu";
    OK(kmc_network_create(&net, 1, 1, 1, 3));
    OK(kmc_network_dense(net, 2, KMC_SOFTMAX, NULL));
    OK(kmc_model_create(&model, net, &mo));
    OK(kmc_model_array_get(w, 6, model, "dense1.weight"));
    OK(kmc_model_saliency(map, 6, model, x, channels, 2, KMC_GRADIENT_PLAIN, 0, 0, 0));
    CHECK(map[0] == (float)w[1] && map[2] == (float)w[5] && map[3] == (float)w[0] && map[5] == (float)w[4]);
    OK(kmc_model_saliency(noisy, 6, model, x, channels, 2, KMC_GRADIENT_PLAIN, 5, 0.15, 1));
    CHECK(fabsf(noisy[0] - map[0]) < 1e-6f && fabsf(noisy[5] - map[5]) < 1e-6f);
    OK(kmc_model_saliency(noisy, 6, model, x, channels, 2, KMC_GRADIENT_TIMES_INPUT, 0, 0, 0));
    CHECK(noisy[1] == (float)(2.0 * (double)map[1]) && noisy[4] == 0);
    OK(kmc_model_saliency(noisy, 6, model, x, channels, 2, KMC_GRADIENT_ABSOLUTE, 0, 0, 0));
    CHECK(noisy[0] == fabsf(map[0]));
    FAILS(KMC_ERR_VALUE, "kind", kmc_model_saliency(map, 6, model, x, channels, 2, 3, 0, 0, 0));
    FAILS(KMC_ERR_VALUE, "noise", kmc_model_saliency(map, 6, model, x, channels, 2, 0, 3, -1.0, 0));
    FAILS(KMC_ERR_SHAPE, "2 samples", kmc_model_saliency(map, 6, model, x, channels, 1, 0, 0, 0, 0));
    FAILS(KMC_ERR_VALUE, "channel", kmc_model_saliency(map, 6, model, x, (const int32_t[]){2, 0}, 2, 0, 0, 0, 0));
    FAILS(KMC_ERR_VALUE, "channels[1]", kmc_model_saliency(map, 6, model, x, (const int32_t[]){0, -1}, 2, 0, 0, 0, 0));
    FAILS(KMC_ERR_UNSUPPORTED, "positions", kmc_model_grad_cam(map, 2, model, x, 6, channels, 2, KMC_LAST));
    OK(kmc_model_destroy(model));
    OK(kmc_network_destroy(net));

    kmc_node conv = 0;
    double ones[9], one[2] = {1, -1};
    for (int i = 0; i < 9; i++) ones[i] = 1;
    image[9] = 1;
    OK(kmc_network_create(&net, 1, 8, 8, 1));
    OK(kmc_network_conv(net, 1, 3, 1, 1, KMC_RELU, NULL));
    OK(kmc_network_last(&conv, net));
    OK(kmc_network_pool(net, KMC_POOL_AVERAGE, 0, NULL));
    OK(kmc_network_dense(net, 2, KMC_LINEAR, NULL));
    OK(kmc_model_create(&model, net, &mo));
    OK(kmc_model_array_set(model, "conv1.weight", ones, 9));
    OK(kmc_model_array_set(model, "dense1.weight", one, 2));
    OK(kmc_model_grad_cam(cam, 64, model, image, 64, channels + 1, 1, conv));
    /* Nine pixels around the bright one, and nothing for the class that it speaks against. */
    CHECK(cam[0] > 0 && cam[18] == cam[0] && cam[9] == cam[0] && cam[27] == 0 && cam[63] == 0);
    OK(kmc_model_grad_cam(cam, 64, model, image, 64, channels, 1, conv));
    CHECK(cam[9] == 0);
    FAILS(KMC_ERR_SHAPE, "room for 64", kmc_model_grad_cam(cam, 63, model, image, 64, channels, 1, conv));
    FAILS(KMC_ERR_VALUE, "below", kmc_model_grad_cam(cam, 64, model, image, 64, channels, 1, 9));
    OK(kmc_model_destroy(model));
    OK(kmc_network_destroy(net));
}

int main(void)
{
    images();
    tables();
    folders();
    mosaics();
    maps();
    return test_end("fits");
}
