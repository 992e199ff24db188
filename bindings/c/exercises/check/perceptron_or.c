#include "check.h"

/* What the student's program defines. */
int neuron(const float *x, const float *w, int m);
void learn(float *w, const float *x, int o, int t, int m, float rate);

enum { M = 3, CASES = 40 };

static void check_neuron(void)
{
    for (int s = 0; s < CASES; s++) {
        float *x = some_numbers(M, 100 + (uint64_t)s), *w = some_numbers(M + 1, 200 + (uint64_t)s);
        double sum = 0.0, a;
        for (int i = 0; i < M; i++)
            sum += (double)x[i] * w[i];
        a = sum - w[M];
        int yours = neuron(x, w, M);
        if (yours != (a > 0.0)) {
            char hint[256];
            snprintf(hint, sizeof hint, "neuron(): x . w - w_b is %.4f, yours %d: %s", a, yours,
                     yours == (sum > 0.0)          ? "is the bias forgotten?"
                     : yours == (sum + w[M] > 0.0) ? "the bias input is -1, not 1"
                                                   : "look at the sum again");
            step_wrong("answer of the neuron", hint);
        }
        free(x);
        free(w);
    }
    step_right("answer of the neuron");
}

static void check_learn(void)
{
    for (int answer = 0; answer < 2; answer++) {
        float *x = some_numbers(M, 3), *w = some_numbers(M + 1, 4), rate = 0.25f;
        int target = 1 - answer;
        double truth[M + 1], moved = w[0] - rate * (target - answer) * x[0];
        for (int i = 0; i < M; i++)
            truth[i] = w[i] + (double)rate * (target - answer) * x[i];
        truth[M] = w[M] - (double)rate * (target - answer);
        learn(w, x, answer, target, M, rate);
        if (fabs(w[0] - moved) < 1e-6)
            step_wrong("delta rule", "learn(): the sign: a neuron that should have answered 1 needs larger weights, t - o is 1");
        compare("delta rule", "w", w, truth, 1, M + 1, -1, "expected", 1e-6);
        free(x);
        free(w);
    }
}

int main(void)
{
    check_neuron();
    check_learn();
    return EXIT_SUCCESS;
}
