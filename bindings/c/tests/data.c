/* Data sets: made, read, changed, taken apart; scores; devices. */
#include "test.h"

static int64_t len_of(kmc_dataset *data)
{
    int64_t n = -1;
    OK(kmc_dataset_len(&n, data));
    return n;
}

/* Whether the first extent is this. */
static int is(kmc_dataset *data, int64_t n, int64_t d, int64_t h, int64_t w, int64_t c)
{
    int64_t e[4] = {0};
    OK(kmc_dataset_extent(e, data, 0));
    return len_of(data) == n && e[0] == d && e[1] == h && e[2] == w && e[3] == c;
}

static void drop(kmc_dataset *a, kmc_dataset *b)
{
    OK(kmc_dataset_destroy(a));
    OK(kmc_dataset_destroy(b));
}

/* Two samples of 1 x 1 x 2 positions with 3 channels, in each order, are the same. */
static void layouts(void)
{
    const float last[12] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11};
    const float first[12] = {0, 3, 1, 4, 2, 5, 6, 9, 7, 10, 8, 11};
    const double major[12] = {0, 6, 1, 7, 2, 8, 3, 9, 4, 10, 5, 11};
    float got[12];
    kmc_dataset *a = NULL, *b = NULL;
    OK(kmc_dataset_create_f32(&a, first, 2, 1, 1, 2, 3, KMC_CHANNELS_FIRST));
    OK(kmc_dataset_create_f64(&b, major, 2, 1, 1, 2, 3, KMC_FEATURE_MAJOR));
    OK(kmc_dataset_inputs(got, 12, a, 0));
    CHECK(memcmp(got, last, sizeof last) == 0);
    OK(kmc_dataset_inputs(got, 12, b, 0));
    CHECK(memcmp(got, last, sizeof last) == 0);
    CHECK(is(a, 2, 1, 1, 2, 3));
    drop(a, b);
}

/* Inputs, targets and weights beside the first input. */
static void additions(void)
{
    const float x[4] = {1, 2, 3, 4};
    const double x64[4] = {5, 6, 7, 8}, weights[4] = {1, 2, 0, 1};
    const int32_t labels[4] = {0, 1, 1, 0};
    const char *names[2] = {"star", "galaxy"};
    kmc_dataset *data = NULL, *other = NULL;
    int64_t e[4], classes = 0, counts[2];
    float got[4];
    int32_t back[4];
    OK(kmc_dataset_create_f32(&data, x, 4, 1, 1, 1, 1, KMC_CHANNELS_LAST));
    OK(kmc_dataset_add_input_f32(data, x, 4, 1, 1, 1, 1, KMC_CHANNELS_LAST));
    OK(kmc_dataset_add_input_f64(data, x64, 4, 1, 1, 1, 1, KMC_CHANNELS_LAST));
    OK(kmc_dataset_extent(e, data, 2));
    OK(kmc_dataset_inputs(got, 4, data, 2));
    CHECK(got[0] == 5 && got[3] == 8 && e[3] == 1);
    OK(kmc_dataset_add_classes(data, labels, 4, 2));
    OK(kmc_dataset_add_values_f32(data, x, 4, 1, 1, 1, 1, KMC_CHANNELS_LAST));
    OK(kmc_dataset_add_values_f64(data, x64, 4, 1, 1, 1, 1, KMC_CHANNELS_LAST));
    OK(kmc_dataset_values(got, 4, data, 1));
    CHECK(got[1] == 2);
    OK(kmc_dataset_values(got, 4, data, 2));
    CHECK(got[1] == 6);
    OK(kmc_dataset_labels(back, 4, data, 0));
    CHECK(memcmp(back, labels, sizeof back) == 0);
    OK(kmc_dataset_classes(&classes, data, 0));
    CHECK(classes == 2);
    OK(kmc_dataset_counts(counts, 2, data, 0));
    CHECK(counts[0] == 2 && counts[1] == 2);
    OK(kmc_dataset_set_weights(data, weights, 4));
    OK(kmc_dataset_set_class_names(data, names, 2));
    OK(kmc_dataset_clone(&other, data));
    OK(kmc_dataset_one_hot(data));
    OK(kmc_dataset_classes(&classes, data, 0));
    CHECK(classes == 0);
    OK(kmc_dataset_classes(&classes, other, 0));
    CHECK(classes == 2);
    drop(data, other);
}

static double twice(double x, void *user)
{
    ++*(int *)user;
    return 2 * x;
}

static void changes(void)
{
    const float x[6] = {0, 2, 4, 6, 8, 10};
    kmc_dataset *data = NULL, *test = NULL;
    float got[12];
    int calls = 0;
    const int64_t caps[3] = {1, 0, 2};
    OK(kmc_dataset_create_f32(&data, x, 3, 1, 1, 2, 1, KMC_CHANNELS_LAST));
    OK(kmc_dataset_create_f32(&test, x, 3, 1, 1, 2, 1, KMC_CHANNELS_LAST));
    OK(kmc_dataset_scale(data, 0.5));
    OK(kmc_dataset_map(data, twice, &calls));
    OK(kmc_dataset_inputs(got, 6, data, 0));
    CHECK(calls == 6 && memcmp(got, x, sizeof x) == 0);
    /* Of the training data: from 0 to 10. */
    OK(kmc_dataset_normalize(test, KMC_MIN_MAX, KMC_GLOBAL, 0, 0, 0, data));
    OK(kmc_dataset_normalize(data, KMC_MEAN_MAX_ABS, KMC_PER_FEATURE, 0, 0, 0, NULL));
    OK(kmc_dataset_inputs(got, 6, test, 0));
    CHECK(got[0] == 0 && got[5] == 1 && got[1] == 0.2f);
    OK(kmc_dataset_inputs(got, 6, data, 0));
    CHECK(got[0] == -1 && got[2] == 0 && got[4] == 1);
    OK(kmc_dataset_pad(data, 1, 1, 4, 1, 9.0));
    OK(kmc_dataset_inputs(got, 12, data, 0));
    CHECK(is(data, 3, 1, 1, 4, 1) && got[2] == 9 && got[3] == 9 && got[0] == -1);
    OK(kmc_dataset_reshape(data, 1, 2, 2, 1));
    CHECK(is(data, 3, 1, 2, 2, 1));
    drop(data, test);

    data = test_data(12, 2);
    test = test_data(12, 2);
    int64_t counts[3];
    float before[24], after[24];
    OK(kmc_dataset_inputs(before, 24, data, 0));
    OK(kmc_dataset_shuffle(data, 1));
    OK(kmc_dataset_inputs(after, 24, data, 0));
    CHECK(memcmp(before, after, sizeof before) != 0);
    OK(kmc_dataset_shuffle(test, 1));
    OK(kmc_dataset_inputs(before, 24, test, 0));
    CHECK(memcmp(before, after, sizeof before) == 0);
    OK(kmc_dataset_rebalance(data, caps, 3));
    OK(kmc_dataset_counts(counts, 3, data, 0));
    CHECK(counts[0] == 1 && counts[1] == 0 && counts[2] == 2);
    drop(data, test);
}

static void parts(void)
{
    kmc_dataset *data = test_data(30, 2), *a = NULL, *b = NULL;
    const int64_t indices[3] = {4, 4, 0};
    int32_t labels[3];
    int64_t counts[3];
    OK(kmc_dataset_subset(&a, data, indices, 3));
    OK(kmc_dataset_labels(labels, 3, a, 0));
    CHECK(labels[0] == 1 && labels[1] == 1 && labels[2] == 0);
    OK(kmc_dataset_destroy(a));
    OK(kmc_dataset_split(&a, &b, data, 7));
    CHECK(len_of(a) == 7 && len_of(b) == 23);
    drop(a, b);
    OK(kmc_dataset_split_random(&a, &b, data, 0.2, 3));
    CHECK(len_of(a) == 6 && len_of(b) == 24);
    drop(a, b);
    OK(kmc_dataset_split_stratified(&a, &b, data, 0.5, 3));
    OK(kmc_dataset_counts(counts, 3, a, 0));
    CHECK(counts[0] == 5 && counts[1] == 5 && counts[2] == 5);
    drop(a, b);
    OK(kmc_dataset_fold(&a, &b, data, 5, 4, 1, 3));
    CHECK(len_of(a) == 24 && len_of(b) == 6);
    drop(a, b);
    OK(kmc_dataset_balanced(&a, data));
    CHECK(len_of(a) == 30);
    OK(kmc_dataset_destroy(a));
    kmc_dataset *digits = NULL;
    kmc_augment_options o = KMC_AUGMENT_OPTIONS_INIT;
    o.shift = 2;
    o.flip_h = 0.5;
    o.quarter_turns = 1;
    OK(kmc_dataset_make_digits(&digits, 4, 1));
    OK(kmc_dataset_augmented(&a, digits, &o));
    CHECK(len_of(a) == 4);
    drop(a, digits);
    OK(kmc_dataset_destroy(data));
}

static void made(void)
{
    kmc_dataset *data = NULL;
    const int32_t classes[3] = {0, 6, 3};
    int32_t labels[3];
    OK(kmc_dataset_make_galaxies(&data, 5, 1));
    CHECK(is(data, 5, 1, 48, 48, 3));
    OK(kmc_dataset_destroy(data));
    OK(kmc_dataset_make_spectra(&data, classes, 3, 1));
    OK(kmc_dataset_labels(labels, 3, data, 0));
    CHECK(is(data, 3, 1, 1, 3753, 1) && labels[1] == 6);
    OK(kmc_dataset_destroy(data));
    OK(kmc_dataset_make_stars(&data, 4, 1));
    CHECK(len_of(data) == 4);
    OK(kmc_dataset_destroy(data));
    OK(kmc_dataset_make_ring(&data, 16, 0.1, 1));
    CHECK(is(data, 16, 1, 1, 1, 2));
    OK(kmc_dataset_destroy(data));
    OK(kmc_dataset_make_clusters(&data, 10, 3, 1));
    CHECK(is(data, 10, 1, 1, 1, 3));

    kmc_dataset *back = NULL;
    float a[30], b[30];
    const char *path = test_file("points.dat");
    OK(kmc_dataset_write_points(data, path));
    OK(kmc_dataset_read_points(&back, path));
    OK(kmc_dataset_inputs(a, 30, data, 0));
    OK(kmc_dataset_inputs(b, 30, back, 0));
    int equal = 1;
    for (int i = 0; i < 30; i++) equal &= fabsf(a[i] - b[i]) <= 1e-5f;
    CHECK(equal);
    drop(data, back);
}

/* A NumPy header and its values. */
static size_t npy(unsigned char *to, const char *shape, const char *kind, const void *values, size_t n)
{
    char header[119];
    int used = snprintf(header, sizeof header, "{'descr': '%s', 'fortran_order': False, 'shape': (%s), }", kind, shape);
    memset(header + used, ' ', sizeof header - 1 - (size_t)used);
    header[117] = '\n';
    memcpy(to, "\x93NUMPY\x01\x00\x76\x00", 10);
    memcpy(to + 10, header, 118);
    memcpy(to + 128, values, n);
    return 128 + n;
}

static void crc_le(unsigned char *to, uint32_t value)
{
    for (int i = 0; i < 4; i++) to[i] = (unsigned char)(value >> (8 * i));
}

static uint32_t crc32_of(const unsigned char *p, size_t n)
{
    uint32_t crc = 0xffffffffu;
    for (size_t i = 0; i < n; i++) {
        crc ^= p[i];
        for (int k = 0; k < 8; k++) crc = (crc >> 1) ^ (0xedb88320u & (0u - (crc & 1u)));
    }
    return ~crc;
}

/* A zip archive of one stored member. */
static size_t zip(unsigned char *to, const char *name, const unsigned char *bytes, size_t n)
{
    size_t name_len = strlen(name), local = 30 + name_len, central = local + n;
    memset(to, 0, central + 46 + name_len + 22);
    memcpy(to, "PK\x03\x04\x14", 5);
    crc_le(to + 14, crc32_of(bytes, n));
    crc_le(to + 18, (uint32_t)n);
    crc_le(to + 22, (uint32_t)n);
    to[26] = (unsigned char)name_len;
    memcpy(to + 30, name, name_len);
    memcpy(to + local, bytes, n);
    unsigned char *c = to + central;
    memcpy(c, "PK\x01\x02\x14\x00\x14", 7);
    memcpy(c + 16, to + 14, 12);
    c[28] = (unsigned char)name_len;
    memcpy(c + 46, name, name_len);
    unsigned char *end = c + 46 + name_len;
    memcpy(end, "PK\x05\x06", 4);
    end[8] = end[10] = 1;
    crc_le(end + 12, (uint32_t)(46 + name_len));
    crc_le(end + 16, (uint32_t)central);
    return central + 46 + name_len + 22;
}

static void read_arrays(void)
{
    const float x[6] = {1, 2, 3, 4, 5, 6};
    const int32_t t[3] = {0, 1, 2};
    unsigned char file[512], archive[1024];
    kmc_dataset *data = NULL;
    float got[6];
    const char *path = test_file("x.npy"), *labels = test_file("t.npy"), *npz = test_file("x.npz"), *raw = test_file("x.raw");
    size_t n = npy(file, "3, 2", "<f4", x, sizeof x);
    test_write(path, file, n);
    test_write(npz, archive, zip(archive, "x.npy", file, n));
    test_write(labels, file, npy(file, "3,", "<i4", t, sizeof t));
    test_write(raw, x, sizeof x);
    OK(kmc_dataset_read_npy(&data, path, labels));
    OK(kmc_dataset_inputs(got, 6, data, 0));
    CHECK(is(data, 3, 1, 1, 1, 2) && memcmp(got, x, sizeof x) == 0);
    OK(kmc_dataset_destroy(data));
    OK(kmc_dataset_read_npz(&data, npz, "x", NULL));
    OK(kmc_dataset_inputs(got, 6, data, 0));
    CHECK(memcmp(got, x, sizeof x) == 0);
    OK(kmc_dataset_destroy(data));
    OK(kmc_dataset_read_raw(&data, raw, KMC_KIND_F32, 2, 1, 1, 3, 1, KMC_CHANNELS_LAST));
    OK(kmc_dataset_inputs(got, 6, data, 0));
    CHECK(is(data, 2, 1, 1, 3, 1) && memcmp(got, x, sizeof x) == 0);
    OK(kmc_dataset_destroy(data));
}

static void read_images(void)
{
    unsigned char images[16 + 8] = {0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0, 2, 1, 2, 3, 4, 5, 6, 7, 255};
    unsigned char labels[10] = {0, 0, 8, 1, 0, 0, 0, 2, 1, 0};
    unsigned char *record = (unsigned char *)calloc(2, 3073);
    float got[8];
    int32_t t[2];
    kmc_dataset *data = NULL;
    const char *a = test_file("images.idx"), *b = test_file("labels.idx"), *c = test_file("cifar.bin");
    test_write(a, images, sizeof images);
    test_write(b, labels, sizeof labels);
    OK(kmc_dataset_read_idx(&data, a, b));
    OK(kmc_dataset_inputs(got, 8, data, 0));
    OK(kmc_dataset_labels(t, 2, data, 0));
    CHECK(is(data, 2, 1, 2, 2, 1) && got[7] == 255 && t[0] == 1);
    OK(kmc_dataset_destroy(data));
    if (!record) exit(1);
    record[3073] = 9;
    test_write(c, record, 2 * 3073);
    free(record);
    OK(kmc_dataset_read_cifar(&data, &c, 1, 10));
    OK(kmc_dataset_labels(t, 2, data, 0));
    CHECK(is(data, 2, 1, 32, 32, 3) && t[0] == 0 && t[1] == 9);
    OK(kmc_dataset_destroy(data));
}

static void read_texts(void)
{
    const char *path = test_file("table.csv"), *x = test_file("x.txt"), *t = test_file("t.txt");
    const char *text = "# flux, colours\nu,g,kind\n1,2,5\n3,4,6\n";
    kmc_table_options o = KMC_TABLE_OPTIONS_INIT;
    const int64_t features[1] = {1}, targets[1] = {0};
    kmc_dataset *data = NULL;
    float got[2];
    int32_t labels[2];
    o.header = 1;
    o.separator = ',';
    o.classes = 2;
    o.first_class = 5;
    o.features = features;
    o.n_features = 1;
    test_write(path, text, strlen(text));
    OK(kmc_dataset_read_table(&data, path, &o));
    OK(kmc_dataset_inputs(got, 2, data, 0));
    OK(kmc_dataset_labels(labels, 2, data, 0));
    CHECK(got[0] == 2 && got[1] == 4 && labels[0] == 0 && labels[1] == 1);
    OK(kmc_dataset_destroy(data));
    o.label = KMC_NO_COLUMN;
    o.classes = o.first_class = 0;
    o.targets = targets;
    o.n_targets = 1;
    OK(kmc_dataset_read_table(&data, path, &o));
    OK(kmc_dataset_values(got, 2, data, 0));
    CHECK(got[0] == 1 && got[1] == 3);
    OK(kmc_dataset_destroy(data));
    test_write(x, "1 2\n3 4\n", 8);
    test_write(t, "1 0\n0 1\n", 8);
    OK(kmc_dataset_read_pair(&data, x, t));
    CHECK(is(data, 2, 1, 1, 1, 2));
    OK(kmc_dataset_destroy(data));
}

static void scores(void)
{
    const int32_t truth[5] = {0, 0, 1, 1, 1}, predicted[5] = {0, 1, 1, 1, 0}, positive[4] = {0, 0, 1, 1};
    const float p[10] = {0.9f, 0.1f, 0.4f, 0.6f, 0.2f, 0.8f, 0.3f, 0.7f, 0.6f, 0.4f};
    const double s[4] = {0.1, 0.4, 0.35, 0.8}, y[3] = {1, 2, 3}, z[3] = {1, 2, 5};
    const char *names[2] = {"star", "galaxy"}, *text = NULL;
    int64_t counts[4];
    const float logits[8] = {4, 0, 4, 0, 4, 0, 4, 0}, density[4] = {1, 0, 0.25f, 0.75f};
    const int32_t mostly[4] = {0, 0, 0, 1};
    const double edges[3] = {0, 1, 2}, at[2] = {1, 1.5};
    double recall[2], precision[2], f1[2], accuracy = 0, auc = 0, top = 0, ece = -1, brier = -1;
    kmc_residuals r = KMC_RESIDUALS_INIT;
    OK(kmc_confusion_count(counts, 2, truth, predicted, 5));
    CHECK(counts[0] == 1 && counts[1] == 1 && counts[2] == 1 && counts[3] == 2);
    OK(kmc_confusion_scores(recall, precision, f1, &accuracy, counts, 2));
    CHECK(recall[0] == 0.5 && fabs(precision[1] - 2.0 / 3.0) < 1e-15 && fabs(f1[1] - 2.0 / 3.0) < 1e-15 && accuracy == 0.6);
    OK(kmc_confusion_scores(NULL, NULL, NULL, &accuracy, counts, 2));
    OK(kmc_confusion_text(&text, counts, 2, names));
    CHECK(strstr(text, "galaxy") != NULL);
    OK(kmc_confusion_print(counts, 2, NULL));
    OK(kmc_roc_auc(&auc, s, positive, 4));
    CHECK(auc == 0.75);
    OK(kmc_roc_recall_at(&auc, s, positive, 4, 0.0));
    CHECK(auc == 0.5);
    OK(kmc_roc_recall_at(&auc, s, positive, 4, 0.5));
    CHECK(auc == 1.0);
    OK(kmc_top_k(&top, p, 2, truth, 5, 1));
    CHECK(fabs(top - 0.6) < 1e-15);
    OK(kmc_calibration(&ece, &brier, p, 2, truth, 5, 10));
    CHECK(ece >= 0 && ece <= 1 && brier > 0);
    /* Three of four are right, at odds of e^4. */
    double temperature = 0, score = 0, transform[2];
    float probabilities[8];
    OK(kmc_temperature_fit(&temperature, logits, 2, mostly, 4));
    CHECK(fabs(temperature - 4 / log(3)) < 1e-9);
    OK(kmc_temperature_apply(probabilities, logits, 2, 4, temperature));
    CHECK(fabsf(probabilities[0] - 0.75f) < 1e-6f && fabsf(probabilities[7] - 0.25f) < 1e-6f);
    /* x^2 from 0 to 1, and of the second sample x^2/16 from 0 to 1, (1/4 + 3x/4)^2 to 1.5, (3/4 - 3x/4)^2 from there. */
    OK(kmc_crps(&score, density, edges, 2, at, 1));
    CHECK(fabs(score - 1.0 / 3.0) < 1e-15);
    OK(kmc_pit(transform, density, edges, 2, at, 2));
    CHECK(transform[0] == 1.0 && transform[1] == 0.625);
    OK(kmc_residuals_of(&r, z, y, 3, 0, 1.0));
    CHECK(fabs(r.bias - 2.0 / 3.0) < 1e-15 && fabs(r.mse - 4.0 / 3.0) < 1e-15 && fabs(r.outliers - 1.0 / 3.0) < 1e-15 && r.mad == 0);
}

static void devices(void)
{
    int32_t n = -1;
    const char *text = NULL;
    OK(kmc_device_count(&n));
    CHECK(n >= 0);
    OK(kmc_device_name(&text, "cpu"));
    CHECK(strncmp(text, "cpu", 3) == 0);
    OK(kmc_default_threads(&n));
    CHECK(n >= 1);
    OK(kmc_doctor(&text));
    CHECK(strlen(text) > 20);
    CHECK(strcmp(kmc_status_name(KMC_ERR_BUSY), "KMC_ERR_BUSY") == 0 && strlen(kmc_version()) >= 5);
    CHECK(strlen(kmc_last_error()) < 10000);
}

int main(void)
{
    layouts();
    additions();
    changes();
    parts();
    made();
    read_arrays();
    read_images();
    read_texts();
    scores();
    devices();
    return test_end("data");
}
