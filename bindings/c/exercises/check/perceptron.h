/* The steps of the perceptrons: binary neurons and the delta rule. */
#ifndef CHECK_PERCEPTRON_H
#define CHECK_PERCEPTRON_H

#include "steps.h"

/* What the student's program defines. */
void neurons(float *o, const float *x, const float *w, int m, int n);
void learn(float *w, const float *x, const float *o, const float *t, int m, int n, float rate);

enum { M = 4, N = 3, WEIGHTS = (M + 1) * N, CASES = 40 };

/* Many inputs and weights: a wrong sum shows in one of them. */
static inline void check_neurons(void)
{
    for (int s = 0; s < CASES; s++) {
        float *x = some_numbers(M, 100 + (uint64_t)s), *w = some_numbers(WEIGHTS, 200 + (uint64_t)s), o[N];
        double a[N], without_bias[N];
        for (int j = 0; j < N; j++) {
            o[j] = NAN;
            without_bias[j] = 0.0;
            for (int i = 0; i < M; i++)
                without_bias[j] += (double)x[i] * w[i * N + j];
            a[j] = without_bias[j] - w[M * N + j];
        }
        neurons(o, x, w, M, N);
        for (int j = 0; j < N; j++) {
            char hint[256];
            float truth = a[j] > 0.0 ? 1.0f : 0.0f;
            if (o[j] == truth)
                continue;
            const char *why = o[j] != 0.0f && o[j] != 1.0f       ? "only 0 and 1 are answers"
                              : o[j] == (without_bias[j] > 0.0)  ? "is the bias forgotten?"
                              : o[j] == (without_bias[j] + w[M * N + j] > 0.0) ? "the bias input is -1, not 1"
                                                                 : "look at the sum and at the comparison again";
            snprintf(hint, sizeof hint, "neurons(): the sum of neuron %d is %.4f: yours %g, expected %g: %s", counted(j), a[j], o[j], truth, why);
            step_wrong("answers of the neurons", hint);
        }
        free(x);
        free(w);
    }
    step_right("answers of the neurons");
}

static inline void check_learn(void)
{
    const float o[N] = { 0.0f, 1.0f, 1.0f }, t[N] = { 1.0f, 0.0f, 1.0f };
    float *x = some_numbers(M, 3), *w = some_numbers(WEIGHTS, 4), rate = 0.25f;
    double truth[WEIGHTS], moved = w[0] - rate * x[0];
    for (int j = 0; j < N; j++) {
        for (int i = 0; i < M; i++)
            truth[i * N + j] = w[i * N + j] + (double)rate * (t[j] - o[j]) * x[i];
        truth[M * N + j] = w[M * N + j] - (double)rate * (t[j] - o[j]);
    }
    learn(w, x, o, t, M, N, rate);
    if (fabs(w[0] - moved) < 1e-6)
        step_wrong("delta rule", "learn(): the sign: a neuron that should have answered 1 needs larger weights, t - o is 1");
    compare("delta rule", "w", w, truth, M + 1, N, M, "expected", 1e-6);
    free(x);
    free(w);
}

static inline void check_perceptron(void)
{
    check_neurons();
    check_learn();
}

#endif
