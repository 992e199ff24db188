/* Starter: write what the BLANKs say, in their order; then delete the next four lines. */
#pragma GCC diagnostic ignored "-Wunused-parameter"
#pragma GCC diagnostic ignored "-Wunused-variable"
#pragma GCC diagnostic ignored "-Wunused-but-set-variable"
#pragma GCC diagnostic ignored "-Wunused-const-variable"
/* One binary neuron learns the OR gate, from scratch; --mode and learns AND; --mode xor shows what it cannot.
 *
 *   o = 1 if sum_i x_i w_i - w_b > 0, else 0         w = w + rate (t - o) x
 *
 *   gcc -O3 -ffp-contract=off perceptron_or.c -lkamacite -lm && ./a.out --seeds 50
 *
 * Expected: OR is right after 5 epochs from every start. Writes perceptron_or.svg, the line that the neuron draws.
 * Conventions: weights start uniform in +-0.01; the bias is an input that is always -1, its weight is the last one; rate 0.1; the four rows in
 * their order; 5 epochs (10 with --epochs 10). */
#include "../exercise.h"

enum { INPUTS = 2, ROWS = 4 };

/* The neuron: 0 or 1 from x[m] and w[m + 1]. */
int neuron(const float *x, const float *w, int m)
{
    float a = 0.0f;
    BLANK("1. a = sum_i x_i w_i - w_m");
    return a > 0.0f;
}

/* The delta rule: a neuron that answered o learns the target t. */
void learn(float *w, const float *x, int o, int t, int m, float rate)
{
    BLANK("2. w_i = w_i + rate (t - o) x_i, and the same for the bias, whose input is -1");
}

/* For the picture: which side of the line a point is on. */
static int32_t side(const float *point, void *w)
{
    return neuron(point, w, INPUTS);
}

int main(int argc, char **argv)
{
    const float x[ROWS * INPUTS] = { 0, 0, 0, 1, 1, 0, 1, 1 };
    options o = options_parse(argc, argv, (options){ .seed = 1, .seeds = 1, .epochs = 5, .mode = "or" });
    int and = !strcmp(o.mode, "and"), xor = !strcmp(o.mode, "xor");
    const int32_t t[ROWS] = { 0, !and, !and, !xor };
    int64_t learnt = 0, right = 0;
    float w[INPUTS + 1];
    double sum = 0.0;
    for (int64_t r = 0; r < o.seeds; r++) {
        CHECK(kmc_random_uniform_f32(w, INPUTS + 1, -0.01, 0.01, o.seed + (uint64_t)r));
        for (int64_t epoch = 0; epoch < o.epochs; epoch++) {
            for (int s = 0; s < ROWS; s++) {
                BLANK("3. one row: ask the neuron, let it learn with rate 0.1");
            }
        }
        right = 0;
        for (int s = 0; s < ROWS; s++)
            right += neuron(x + s * INPUTS, w, INPUTS) == t[s];
        learnt += right == ROWS;
        sum += (double)w[0] + (double)w[1] + (double)w[2];
    }
    CHECK(kmc_plot_boundary("perceptron_or.svg", x, ROWS, t, side, w));
    printf("o = 1 if %.4f x1 + %.4f x2 > %.4f: %" PRId64 " of 4 rows of %s are right\n", w[0], w[1], w[2], right, o.mode);
    printf("RESULT seeds=%" PRId64 " learnt=%" PRId64 " sum_bits=%016" PRIX64 "\n", o.seeds, learnt, bits(sum));
    return EXIT_SUCCESS;
}
