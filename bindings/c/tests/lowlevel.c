/* Low-level compute on arrays: every function in both precisions, against loops written here. bindings/c/tests/compute has the depth. */
#include "test.h"

/* Both precisions by the same text: T the type, N(name) the function, EPS what the results may differ by. */
#define T float
#define N(name) name##_f32
#define GEMM kmc_sgemm
#define LOCAL(name) name##_single
#define EPS 1e-5
#include "lowlevel.inc"
#undef T
#undef N
#undef GEMM
#undef LOCAL
#undef EPS
#define T double
#define N(name) name##_f64
#define GEMM kmc_dgemm
#define LOCAL(name) name##_double
#define EPS 1e-12
#include "lowlevel.inc"

/* sum w_i^3, whose gradient is 3 w_i^2. */
static int32_t cubes(double *out, const double *w, int64_t n, void *user)
{
    *out = 0;
    for (int64_t i = 0; i < n; i++) *out += w[i] * w[i] * w[i];
    return user != NULL;
}

static void gradients(void)
{
    const double w[3] = {1, -2, 0.5}, right[3] = {3, 12, 0.75}, wrong[3] = {3, 12, 0.8};
    kmc_gradcheck_result r = KMC_GRADCHECK_RESULT_INIT;
    int fails = 1;
    OK(kmc_gradcheck(&r, cubes, NULL, w, right, 3, 0));
    CHECK(r.deviation < 1e-6);
    OK(kmc_gradcheck(&r, cubes, NULL, w, wrong, 3, 0));
    CHECK(r.deviation > 0.01 && r.worst == 2 && r.analytic == 0.8 && fabs(r.numeric - 0.75) < 1e-6);
    FAILS(KMC_ERR_CALLBACK, "loss", kmc_gradcheck(&r, cubes, &fails, w, right, 3, 0));
    FAILS(KMC_ERR_NULL, "loss", kmc_gradcheck(&r, NULL, NULL, w, right, 3, 0));
}

static void orders(void)
{
    int64_t order[50], again[50], seen[50] = {0};
    OK(kmc_shuffle(order, 50, 3));
    OK(kmc_shuffle(again, 50, 3));
    for (int i = 0; i < 50; i++) seen[order[i]]++;
    int once = 1, moved = 0;
    for (int i = 0; i < 50; i++) {
        once &= seen[i] == 1;
        moved += order[i] != i;
    }
    CHECK(once && moved > 30 && memcmp(order, again, sizeof order) == 0);
}

static int32_t half_plane(const float *point, void *user)
{
    (void)user;
    return point[0] > point[1];
}

static long size_of_file(const char *path)
{
    FILE *f = fopen(path, "rb");
    if (!f || fseek(f, 0, SEEK_END) != 0) return -1;
    long n = ftell(f);
    fclose(f);
    return n;
}

static void pictures(void)
{
    const float x[8] = {0, 0, 1, 0, 0, 1, 1, 1}, centres[4] = {0, 0.5f, 1, 0.5f};
    const int32_t labels[4] = {0, 1, 0, 1};
    const char *a = test_file("clusters.svg"), *b = test_file("boundary.svg"), *c = test_file("centres.dat");
    OK(kmc_plot_clusters(a, x, 4, 2, labels, centres, 2));
    OK(kmc_plot_boundary(b, x, 4, labels, half_plane, NULL));
    OK(kmc_centres_write(c, centres, 2, 2));
    CHECK(size_of_file(a) > 200 && size_of_file(b) > 200 && size_of_file(c) > 8);
}

/* What can be found out is. */
static void misuse(void)
{
    float a[4] = {1, 2, 3, 4}, c[4];
    const int32_t label[1] = {2};
    int32_t best[1];
    kmc_window w = KMC_WINDOW_INIT;
    kmc_kmeans_options o = KMC_KMEANS_OPTIONS_INIT;
    double loss = 0;
    FAILS(KMC_ERR_SHAPE, "leading dimension", kmc_sgemm(KMC_ROW_MAJOR, KMC_NO_TRANS, KMC_NO_TRANS, 2, 2, 2, 1, a, 1, a, 2, 0, c, 2));
    FAILS(KMC_ERR_VALUE, "order", kmc_sgemm(7, KMC_NO_TRANS, KMC_NO_TRANS, 2, 2, 2, 1, a, 2, a, 2, 0, c, 2));
    FAILS(KMC_ERR_NULL, "b is NULL", kmc_sgemm(KMC_ROW_MAJOR, KMC_NO_TRANS, KMC_NO_TRANS, 2, 2, 2, 1, a, 2, NULL, 2, 0, c, 2));
    FAILS(KMC_ERR_VALUE, "m", kmc_sgemm(KMC_ROW_MAJOR, KMC_NO_TRANS, KMC_NO_TRANS, -2, 2, 2, 1, a, 2, a, 2, 0, c, 2));
    w.c = 1;
    w.w = 4;
    w.kernel[2] = 9;
    FAILS(KMC_ERR_SHAPE, "window", kmc_window_output((int64_t[4]){0}, &w));
    w.kernel[2] = 2;
    FAILS(KMC_ERR_SHAPE, "columns", kmc_im2col_f32(c, 4, a, 4, &w));
    w.size = 3;
    FAILS(KMC_ERR_STRUCT, "KMC_WINDOW_INIT", kmc_im2col_f32(c, 4, a, 4, &w));
    o.start = 9;
    FAILS(KMC_ERR_VALUE, "start", kmc_kmeans_f32(NULL, c, NULL, a, 4, 1, 2, &o));
    FAILS(KMC_ERR_VALUE, "k", kmc_kmeans_f32(NULL, c, NULL, a, 4, 1, 5, NULL));
    FAILS(KMC_ERR_VALUE, "label", kmc_softmax_cross_entropy_f32(&loss, NULL, a, label, 1, 2));
    FAILS(KMC_ERR_VALUE, "half", kmc_mse_f32(&loss, NULL, a, a, 1, 2, 5));
    a[1] = NAN;
    FAILS(KMC_ERR_VALUE, "NaN", kmc_argmax_f32(best, a, 1, 4));
    FAILS(KMC_ERR_VALUE, "activation", kmc_activation_forward_f32(c, a, 4, 77, 0, 0, 1));
    FAILS(KMC_ERR_VALUE, "", kmc_random_normal_f32(c, 4, 0, -1, 0));
}

int main(void)
{
    products_single();
    products_double();
    convolution_single();
    convolution_double();
    pooling_single();
    pooling_double();
    functions_single();
    functions_double();
    clusters_single();
    clusters_double();
    gradients();
    orders();
    pictures();
    misuse();
    return test_end("lowlevel");
}
