#include "steps.h"
#include "../spectra.h"

/* What the student's program defines. */
void layer(float *y, int64_t stride, const float *x, const float *w, int64_t rows, int64_t m, int64_t n);
void output_delta(float *d, const float *o, const float *t, int64_t n);
void hidden_delta(float *e, const float *d, const float *h, const float *w, int64_t rows, int64_t m, int64_t n);
void gradient(float *g, const float *x, const float *d, int64_t rows, int64_t m, int64_t n);
int64_t rebalance(float *x, float *t, const int32_t *label, int64_t rows, const int64_t *cap);

/* ROWS samples of M inputs (the last is the bias), H hidden neurons, N outputs; no two sizes are equal, so that swapped ones show. */
enum { ROWS = 6, M = 5, H = 3, N = 4, W1 = M * H, W2 = (H + 1) * N };

typedef struct {
    float x[ROWS * M], t[ROWS * N];
    double w1[W1], w2[W2], h[ROWS * (H + 1)], o[ROWS * N];
} small_network;

static double logistic(double a)
{
    return 1.0 / (1.0 + exp(-a));
}

/* The error summed over all rows, as a function of both matrices; what it passes through is kept in h and o. */
static double error_of(small_network *net, const double *w1, const double *w2)
{
    double error = 0.0;
    for (int r = 0; r < ROWS; r++) {
        for (int j = 0; j < H; j++) {
            double a = 0.0;
            for (int i = 0; i < M; i++)
                a += net->x[r * M + i] * w1[i * H + j];
            net->h[r * (H + 1) + j] = logistic(a);
        }
        net->h[r * (H + 1) + H] = -1.0;
        for (int k = 0; k < N; k++) {
            double a = 0.0;
            for (int j = 0; j <= H; j++)
                a += net->h[r * (H + 1) + j] * w2[j * N + k];
            net->o[r * N + k] = logistic(a);
            error += 0.5 * (net->o[r * N + k] - net->t[r * N + k]) * (net->o[r * N + k] - net->t[r * N + k]);
        }
    }
    return error;
}

static kmc_status error_of_w1(double *out, const double *w, int64_t n, void *user)
{
    small_network *net = user;
    (void)n;
    *out = error_of(net, w, net->w2);
    return KMC_OK;
}

static kmc_status error_of_w2(double *out, const double *w, int64_t n, void *user)
{
    small_network *net = user;
    (void)n;
    *out = error_of(net, net->w1, w);
    return KMC_OK;
}

static kmc_status error_of_output_sums(double *out, const double *a, int64_t n, void *user)
{
    const small_network *net = user;
    *out = 0.0;
    for (int64_t i = 0; i < n; i++)
        *out += 0.5 * (logistic(a[i]) - net->t[i]) * (logistic(a[i]) - net->t[i]);
    return KMC_OK;
}

static kmc_status error_of_hidden_sums(double *out, const double *a, int64_t n, void *user)
{
    const small_network *net = user;
    (void)n;
    *out = 0.0;
    for (int r = 0; r < ROWS; r++) {
        for (int k = 0; k < N; k++) {
            double b = -net->w2[H * N + k];
            for (int j = 0; j < H; j++)
                b += logistic(a[r * H + j]) * net->w2[j * N + k];
            *out += 0.5 * (logistic(b) - net->t[r * N + k]) * (logistic(b) - net->t[r * N + k]);
        }
    }
    return KMC_OK;
}

static void check_layer(const small_network *net, const float *w1)
{
    float y[ROWS * (H + 1)];
    for (int i = 0; i < ROWS * (H + 1); i++)
        y[i] = -1.0f;
    layer(y, H + 1, net->x, w1, ROWS, M, H);
    for (int r = 0; r < ROWS; r++)
        if (y[r * (H + 1) + H] != -1.0f)
            step_wrong("forward", "layer(): the last column of H, the bias, must stay -1: give kmc_sgemm the stride, and f the n columns only");
    compare("forward", "y", y, net->h, ROWS, H + 1, -1, "expected", 1e-5);
}

static void check_backward(small_network *net, const float *w2)
{
    float d[ROWS * N], e[ROWS * H], h[ROWS * (H + 1)], o[ROWS * N], g1[W1], g2[W2];
    double a[ROWS * N], b[ROWS * H];
    for (int i = 0; i < ROWS * N; i++) {
        o[i] = (float)net->o[i];
        a[i] = log(net->o[i] / (1.0 - net->o[i]));
        d[i] = NAN;
    }
    for (int r = 0; r < ROWS; r++) {
        for (int j = 0; j <= H; j++)
            h[r * (H + 1) + j] = (float)net->h[r * (H + 1) + j];
        for (int j = 0; j < H; j++)
            b[r * H + j] = log(net->h[r * (H + 1) + j] / (1.0 - net->h[r * (H + 1) + j]));
    }
    for (int i = 0; i < ROWS * H; i++)
        e[i] = NAN;
    output_delta(d, o, net->t, ROWS * N);
    compare_gradient("output deltas", "the output sums a", d, error_of_output_sums, net, a, ROWS, N, -1);
    hidden_delta(e, d, h, w2, ROWS, H, N);
    compare_gradient("hidden deltas", "the hidden sums a", e, error_of_hidden_sums, net, b, ROWS, H, -1);
    for (int i = 0; i < W2; i++)
        g2[i] = NAN;
    for (int i = 0; i < W1; i++)
        g1[i] = NAN;
    gradient(g2, h, d, ROWS, H + 1, N);
    compare_gradient("gradient of the output weights", "W2", g2, error_of_w2, net, net->w2, H + 1, N, H);
    gradient(g1, net->x, e, ROWS, M, H);
    compare_gradient("gradient of the hidden weights", "W1", g1, error_of_w1, net, net->w1, M, H, M - 1);
}

static void check_rebalance(void)
{
    enum { N_ROWS = 9, KEPT = 6, INPUTS = PIXELS + 1 };
    const int32_t label[N_ROWS] = { 1, 0, 1, 1, 6, 0, 6, 6, 2 };
    const int64_t cap[CLASSES] = { 5, 2, 1, 1, 1, 1, 1 };
    const int kept[KEPT] = { 0, 1, 2, 4, 5, 8 };
    float *x = some_numbers((int64_t)N_ROWS * INPUTS, 5), *before = some_numbers((int64_t)N_ROWS * INPUTS, 5), t[N_ROWS * CLASSES] = { 0.0f };
    for (int s = 0; s < N_ROWS; s++)
        t[s * CLASSES + label[s]] = 1.0f;
    int64_t rows = rebalance(x, t, label, N_ROWS, cap);
    if (rows != KEPT)
        step_wrong("rebalance", "rebalance(): the number of spectra kept is wrong: at most cap[c] of each class c");
    for (int r = 0; r < KEPT; r++)
        if (memcmp(x + r * INPUTS, before + kept[r] * INPUTS, INPUTS * sizeof *x) || t[r * CLASSES + label[kept[r]]] != 1.0f)
            step_wrong("rebalance", "rebalance(): not the first spectra of each class in their order, or targets that belong to others");
    step_right("rebalance");
    free(x);
    free(before);
}

int main(void)
{
    small_network net;
    float *x = some_numbers(ROWS * M, 31), *w1 = some_numbers(W1, 32), *w2 = some_numbers(W2, 33);
    for (int r = 0; r < ROWS; r++) {
        x[r * M + M - 1] = -1.0f;
        for (int k = 0; k < N; k++)
            net.t[r * N + k] = k == r % N ? 1.0f : 0.0f;
    }
    memcpy(net.x, x, sizeof net.x);
    for (int i = 0; i < W1; i++)
        net.w1[i] = w1[i];
    for (int i = 0; i < W2; i++)
        net.w2[i] = w2[i];
    error_of(&net, net.w1, net.w2);
    check_normalise();
    check_layer(&net, w1);
    check_backward(&net, w2);
    check_update();
    check_rebalance();
    free(x);
    free(w1);
    free(w2);
    return EXIT_SUCCESS;
}
