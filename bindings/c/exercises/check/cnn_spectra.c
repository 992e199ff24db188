#include "../spectra.h"
#include "check.h"

/* What the student's program defines. */
void conv_forward(float *y, const float *x, const float *w, const stage *s, int64_t rows);
void conv_backward(float *dx, float *g, float *dy, const float *x, const float *y, const float *w, const stage *s, int64_t rows);
void dense_forward(float *a, const float *x, const float *w, int64_t rows, int64_t m, int64_t n);
void dense_backward(float *dx, float *g, const float *d, const float *x, const float *w, int64_t rows, int64_t m, int64_t n);
double softmax_loss(float *d, const float *a, const int32_t *label, int64_t rows, int64_t n);
void update(float *w, float *v, const float *g, int n, float rate, float momentum);

/* A small convolution, LENGTH pixels of C channels to OUT of F, and a small dense layer. */
enum { ROWS = 2, LENGTH = 13, C = 2, K = 4, STRIDE = 2, PAD = 1, OUT = 6, F = 3, WEIGHTS = (K * C + 1) * F, M = 5, N = 4, DENSE = (M + 1) * N };

typedef struct {
    double x[ROWS * LENGTH * C], w[WEIGHTS], weight[ROWS * OUT * F]; /* the error is the sum of weight times output */
    double dx[ROWS * M], dw[DENSE], dweight[ROWS * N];
    int32_t label[ROWS];
} small_layers;

static void convolve(double *y, const double *x, const double *w)
{
    for (int r = 0; r < ROWS; r++)
        for (int j = 0; j < OUT; j++)
            for (int f = 0; f < F; f++) {
                double a = w[K * C * F + f];
                for (int u = 0; u < K; u++)
                    for (int c = 0; c < C; c++) {
                        int i = j * STRIDE - PAD + u;
                        if (i >= 0 && i < LENGTH)
                            a += x[(r * LENGTH + i) * C + c] * w[(u * C + c) * F + f];
                    }
                y[(r * OUT + j) * F + f] = fmax(a, 0.0);
            }
}

static double weighted(const double *weight, const double *y, int n)
{
    double sum = 0.0;
    for (int i = 0; i < n; i++)
        sum += weight[i] * y[i];
    return sum;
}

static kmc_status of_kernels(double *out, const double *w, int64_t n, void *user)
{
    const small_layers *s = user;
    double y[ROWS * OUT * F];
    (void)n;
    convolve(y, s->x, w);
    *out = weighted(s->weight, y, ROWS * OUT * F);
    return KMC_OK;
}

static kmc_status of_pixels(double *out, const double *x, int64_t n, void *user)
{
    const small_layers *s = user;
    double y[ROWS * OUT * F];
    (void)n;
    convolve(y, x, s->w);
    *out = weighted(s->weight, y, ROWS * OUT * F);
    return KMC_OK;
}

static void multiply(double *a, const double *x, const double *w)
{
    for (int r = 0; r < ROWS; r++)
        for (int k = 0; k < N; k++) {
            a[r * N + k] = w[M * N + k];
            for (int i = 0; i < M; i++)
                a[r * N + k] += x[r * M + i] * w[i * N + k];
        }
}

static kmc_status of_dense_weights(double *out, const double *w, int64_t n, void *user)
{
    const small_layers *s = user;
    double a[ROWS * N];
    (void)n;
    multiply(a, s->dx, w);
    *out = weighted(s->dweight, a, ROWS * N);
    return KMC_OK;
}

static kmc_status of_dense_inputs(double *out, const double *x, int64_t n, void *user)
{
    const small_layers *s = user;
    double a[ROWS * N];
    (void)n;
    multiply(a, x, s->dw);
    *out = weighted(s->dweight, a, ROWS * N);
    return KMC_OK;
}

static kmc_status of_logits(double *out, const double *a, int64_t n, void *user)
{
    const small_layers *s = user;
    *out = 0.0;
    for (int64_t r = 0; r < ROWS; r++) {
        double sum = 0.0;
        for (int64_t k = 0; k < n / ROWS; k++)
            sum += exp(a[r * N + k]);
        *out += (log(sum) - a[r * N + s->label[r]]) / ROWS;
    }
    return KMC_OK;
}

/* n numbers in both precisions. */
static float *both(double *exact, int64_t n, uint64_t seed)
{
    float *x = some_numbers(n, seed);
    for (int64_t i = 0; i < n; i++)
        exact[i] = x[i];
    return x;
}

static float *not_set(int64_t n)
{
    float *x = zeros(n, sizeof *x);
    for (int64_t i = 0; i < n; i++)
        x[i] = NAN;
    return x;
}

static void check_convolution(small_layers *s)
{
    stage layer = { .inputs = LENGTH * C, .outputs = OUT * F, .filters = F, .weights = WEIGHTS };
    kmc_window window = KMC_WINDOW_INIT;
    double truth[ROWS * OUT * F];
    float *x = both(s->x, ROWS * LENGTH * C, 41), *w = both(s->w, WEIGHTS, 42), *dy = both(s->weight, ROWS * OUT * F, 43);
    float *y = not_set(ROWS * OUT * F), *g = not_set(WEIGHTS), *dx = not_set(ROWS * LENGTH * C);
    window.d = window.h = 1;
    window.w = LENGTH;
    window.c = C;
    window.filters = F;
    window.kernel[2] = K;
    window.stride[2] = STRIDE;
    window.before[2] = window.after[2] = PAD;
    layer.window = window;
    convolve(truth, s->x, s->w);
    conv_forward(y, x, w, &layer, ROWS);
    compare("convolution forward", "y", y, truth, ROWS, OUT * F, -1, "expected", 1e-5);
    conv_backward(dx, g, dy, x, y, w, &layer, ROWS);
    compare_gradient("gradient of the kernels and biases", "w", g, of_kernels, s, s->w, K * C + 1, F, K * C);
    compare_gradient("gradient of the convolution's input", "x", dx, of_pixels, s, s->x, ROWS, LENGTH * C, -1);
    free(x);
    free(w);
    free(dy);
    free(y);
    free(g);
    free(dx);
}

static void check_dense(small_layers *s)
{
    double truth[ROWS * N];
    float *x = both(s->dx, ROWS * M, 51), *w = both(s->dw, DENSE, 52), *d = both(s->dweight, ROWS * N, 53);
    float *a = not_set(ROWS * N), *g = not_set(DENSE), *dx = not_set(ROWS * M);
    multiply(truth, s->dx, s->dw);
    dense_forward(a, x, w, ROWS, M, N);
    compare("dense layer forward", "a", a, truth, ROWS, N, -1, "expected", 1e-5);
    dense_backward(dx, g, d, x, w, ROWS, M, N);
    compare_gradient("gradient of the dense weights and biases", "w", g, of_dense_weights, s, s->dw, M + 1, N, M);
    compare_gradient("gradient of the dense layer's input", "x", dx, of_dense_inputs, s, s->dx, ROWS, M, -1);
    free(x);
    free(w);
    free(d);
    free(a);
    free(g);
    free(dx);
}

static void check_loss(small_layers *s)
{
    const int32_t first[1] = { 0 };
    const float large[2] = { 1000.0f, 1000.0f };
    double exact[ROWS * N], truth;
    float *a = both(exact, ROWS * N, 61), *d = not_set(ROWS * N), yours;
    s->label[0] = 2;
    s->label[1] = 0;
    yours = (float)softmax_loss(d, a, s->label, ROWS, N);
    CHECK(of_logits(&truth, exact, ROWS * N, s));
    compare("softmax loss", "loss", &yours, &truth, 1, 1, -1, "expected", 1e-5);
    compare_gradient("gradient of the logits", "a", d, of_logits, s, exact, ROWS, N, -1);
    if (!(fabs(softmax_loss(d, large, first, 1, 2) - log(2.0)) < 1e-5))
        step_wrong("large logits", "softmax_loss(): exp(1000) is infinite: subtract the largest logit of the row from all first");
    step_right("large logits");
    free(a);
    free(d);
}

static void check_update(void)
{
    enum { LEN = 7 };
    double w0[LEN], v0[LEN], g0[LEN];
    float *w = both(w0, LEN, 71), *v = both(v0, LEN, 72), *g = both(g0, LEN, 73);
    for (int i = 0; i < LEN; i++) {
        v0[i] = 0.75 * v0[i] + g0[i];
        w0[i] -= 0.25 * v0[i];
    }
    update(w, v, g, LEN, 0.25f, 0.75f);
    compare("velocity", "v", v, v0, 1, LEN, -1, "expected", 1e-6);
    compare("update", "w", w, w0, 1, LEN, -1, "expected", 1e-6);
    free(w);
    free(v);
    free(g);
}

int main(void)
{
    small_layers s;
    check_convolution(&s);
    check_dense(&s);
    check_loss(&s);
    check_update();
    return EXIT_SUCCESS;
}
