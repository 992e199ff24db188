/* The steps of the multilayer perceptrons: each function of a student against its definition or finite differences. */
#ifndef CHECK_MLP_H
#define CHECK_MLP_H

#include "steps.h"

/* What the student's program defines. */
void layer(float *y, const float *x, const float *w, int m, int n);
void output_delta(float *d, const float *o, const float *t, int n);
void hidden_delta(float *e, const float *d, const float *h, const float *w, int m, int n);
void gradient(float *g, const float *x, const float *d, int m, int n);

/* A network of M inputs, H hidden neurons, N outputs; no two sizes are equal, so that swapped ones show. */
enum { M = 5, H = 4, N = 3, W1 = (M + 1) * H, W2 = (H + 1) * N };

typedef struct {
    float x[M], t[N];
    double w1[W1], w2[W2], h[H], o[N];
} small_network;

/* y[n] = sum_i x_i w_ij - bias w_mj */
static inline void sums(double *a, const double *x, const double *w, int m, int n, double bias)
{
    for (int j = 0; j < n; j++) {
        a[j] = -bias * w[m * n + j];
        for (int i = 0; i < m; i++)
            a[j] += x[i] * w[i * n + j];
    }
}

static inline double logistic(double a)
{
    return 1.0 / (1.0 + exp(-a));
}

static inline double error_of_sums(const double *a, const float *t)
{
    double error = 0.0;
    for (int k = 0; k < N; k++)
        error += 0.5 * (logistic(a[k]) - t[k]) * (logistic(a[k]) - t[k]);
    return error;
}

/* The error as a function of what is summed in the output neurons, in the hidden ones, of w2, of w1. */
static inline kmc_status error_of_output_sums(double *out, const double *a, int64_t n, void *user)
{
    (void)n;
    *out = error_of_sums(a, ((const small_network *)user)->t);
    return KMC_OK;
}

static inline kmc_status error_of_hidden_sums(double *out, const double *a, int64_t n, void *user)
{
    const small_network *net = user;
    double h[H], b[N];
    for (int64_t j = 0; j < n; j++)
        h[j] = logistic(a[j]);
    sums(b, h, net->w2, H, N, 1.0);
    *out = error_of_sums(b, net->t);
    return KMC_OK;
}

static inline kmc_status error_of_w2(double *out, const double *w, int64_t n, void *user)
{
    const small_network *net = user;
    double b[N];
    (void)n;
    sums(b, net->h, w, H, N, 1.0);
    *out = error_of_sums(b, net->t);
    return KMC_OK;
}

static inline kmc_status error_of_w1(double *out, const double *w, int64_t n, void *user)
{
    const small_network *net = user;
    double x[M], a[H];
    (void)n;
    for (int i = 0; i < M; i++)
        x[i] = net->x[i];
    sums(a, x, w, M, H, 1.0);
    return error_of_hidden_sums(out, a, H, user);
}

static inline void check_layer(const small_network *net)
{
    float w[W1], y[H];
    double x[M], a[H], truth[H];
    for (int i = 0; i < W1; i++)
        w[i] = (float)net->w1[i];
    for (int i = 0; i < M; i++)
        x[i] = net->x[i];
    for (int j = 0; j < H; j++)
        y[j] = NAN;
    layer(y, net->x, w, M, H);
    for (int bias = 0; bias >= -1; bias--) {
        sums(a, x, net->w1, M, H, bias);
        if (fabs(y[0] - logistic(a[0])) < 1e-5)
            step_wrong("forward", bias == 0 ? "layer(): the bias is forgotten: subtract w_mj" : "layer(): the bias input is -1, not 1");
    }
    sums(a, x, net->w1, M, H, 1.0);
    if (fabs(y[0] - a[0]) < 1e-5)
        step_wrong("forward", "layer(): the sums are right, but the activation f is forgotten");
    for (int j = 0; j < H; j++)
        truth[j] = logistic(a[j]);
    compare("forward", "y", y, truth, 1, H, -1, "expected", 1e-5);
}

static inline void check_deltas(small_network *net)
{
    float d[N], e[H], h[H], o[N], w2[W2];
    double a[N], b[H];
    for (int k = 0; k < N; k++) {
        o[k] = (float)net->o[k];
        d[k] = NAN;
        a[k] = log(net->o[k] / (1.0 - net->o[k]));
    }
    output_delta(d, o, net->t, N);
    compare_gradient("output deltas", "the output sums a", d, error_of_output_sums, net, a, 1, N, -1);
    for (int j = 0; j < H; j++) {
        h[j] = (float)net->h[j];
        e[j] = NAN;
        b[j] = log(net->h[j] / (1.0 - net->h[j]));
    }
    for (int i = 0; i < W2; i++)
        w2[i] = (float)net->w2[i];
    hidden_delta(e, d, h, w2, H, N);
    compare_gradient("hidden deltas", "the hidden sums a", e, error_of_hidden_sums, net, b, 1, H, -1);
}

static inline void check_gradients(small_network *net)
{
    float d[N], e[H], h[H], o[N], w2[W2], g[W1 + W2];
    for (int k = 0; k < N; k++)
        o[k] = (float)net->o[k];
    for (int j = 0; j < H; j++)
        h[j] = (float)net->h[j];
    for (int i = 0; i < W2; i++)
        w2[i] = (float)net->w2[i];
    for (int i = 0; i < W1 + W2; i++)
        g[i] = NAN;
    output_delta(d, o, net->t, N);
    hidden_delta(e, d, h, w2, H, N);
    gradient(g + W1, h, d, H, N);
    compare_gradient("gradient of the output weights", "w2", g + W1, error_of_w2, net, net->w2, H + 1, N, H);
    gradient(g, net->x, e, M, H);
    compare_gradient("gradient of the hidden weights", "w1", g, error_of_w1, net, net->w1, M + 1, H, M);
}

static inline void check_mlp(void)
{
    small_network net;
    float *numbers = some_numbers(M + W1 + W2, 31), *next = numbers;
    double x[M];
    for (int i = 0; i < M; i++)
        x[i] = net.x[i] = *next++;
    for (int i = 0; i < W1; i++)
        net.w1[i] = *next++;
    for (int i = 0; i < W2; i++)
        net.w2[i] = *next++;
    for (int k = 0; k < N; k++)
        net.t[k] = k == 1 ? 1.0f : 0.0f;
    sums(net.h, x, net.w1, M, H, 1.0);
    for (int j = 0; j < H; j++)
        net.h[j] = logistic(net.h[j]);
    sums(net.o, net.h, net.w2, H, N, 1.0);
    for (int k = 0; k < N; k++)
        net.o[k] = logistic(net.o[k]);
    check_layer(&net);
    check_deltas(&net);
    check_gradients(&net);
    check_update();
    free(numbers);
}

#endif
