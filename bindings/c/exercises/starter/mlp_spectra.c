/* Starter: write what the BLANKs say, in their order; then delete the next four lines. */
#pragma GCC diagnostic ignored "-Wunused-parameter"
#pragma GCC diagnostic ignored "-Wunused-variable"
#pragma GCC diagnostic ignored "-Wunused-but-set-variable"
#pragma GCC diagnostic ignored "-Wunused-const-variable"
/* Multilayer perceptron on stellar spectra, from scratch, as matrix products: 3753 pixels, 8 hidden neurons, 7 classes.
 *
 * The rows of X are spectra, with a last column of -1 for the bias; so has H. f is the logistic function, o multiplies elements.
 *   H = f(X W1)     O = f(H W2)     D = (O - T) o O o (1 - O)     E = (D W2') o H o (1 - H)     dW2 = H' D     dW1 = X' E
 *
 *   gcc -O3 -ffp-contract=off mlp_spectra.c -lkamacite -lm && ./a.out --mode online
 *
 * --mode  online     915 spectra an epoch, one after the other in a new order, rate 0.1, 100 epochs
 *         sgd        915 draws with replacement an epoch, one after the other, rate 0.1, 100 epochs
 *         batch      all 915 in one step, gradients summed, rate 0.005, 3000 epochs
 *         rebalance  a batch of the first 10, 20, 30, 20, 20, 20, 10 of each class, rate 0.02, 1500 epochs
 * Without --data FOLDER the spectra are made; with it, FOLDER/train.dat and target.dat are read (made, if only train.dat is missing).
 * Expected on made spectra, in % of 200, some points more or less: online 88, sgd 85, batch 92, rebalance 82.
 * Conventions: all spectra normalised together, per pixel, (x - mean) / max |x - mean|; first 915 train, last 200 test; weights start
 * uniform in +-0.01; class = first maximum; the test error has the factor 1/2. Single precision. */
#include "../spectra.h"

enum { INPUTS = PIXELS + 1, HIDDEN = 8, WEIGHTS1 = INPUTS * HIDDEN, WEIGHTS = WEIGHTS1 + (HIDDEN + 1) * CLASSES };

/* Room for what one step computes, for up to `rows` spectra. */
typedef struct {
    float *h, *o, *d, *e, *g; /* h[rows][HIDDEN + 1], o and d[rows][CLASSES], e[rows][HIDDEN], g[WEIGHTS] */
} workspace;

/* x[n][m]: every feature to mean 0 and largest absolute value 1. */
void normalise(float *x, int64_t n, int m)
{
    for (int i = 0; i < m; i++) {
        BLANK("1. feature i: subtract its mean over the n samples, then divide by the largest absolute value");
    }
}

/* y[rows][n] = f(x[rows][m] w[m][n]). The rows of y begin `stride` values apart: those of H have one more, which stays as it is. */
void layer(float *y, int64_t stride, const float *x, const float *w, int64_t rows, int64_t m, int64_t n)
{
    BLANK("2. kmc_sgemm (row-major, y's leading dimension is stride), then f of each of the rows x n values");
}

/* d[n] from the outputs o[n] and targets t[n]; n counts the values of all rows. */
void output_delta(float *d, const float *o, const float *t, int64_t n)
{
    for (int64_t k = 0; k < n; k++) {
        BLANK("3. d_k = (o_k - t_k) o_k (1 - o_k)");
    }
}

/* e[rows][m] from d[rows][n], the hidden values h[rows][m + 1] and the weights w[m + 1][n] above them, of which the last row is the bias's. */
void hidden_delta(float *e, const float *d, const float *h, const float *w, int64_t rows, int64_t m, int64_t n)
{
    BLANK("4. e = d w' by kmc_sgemm with KMC_TRANS (without the bias's row), then times h (1 - h) element by element");
}

/* g[m][n] = dE/dw, summed over the rows of x[rows][m] and d[rows][n]. */
void gradient(float *g, const float *x, const float *d, int64_t rows, int64_t m, int64_t n)
{
    BLANK("5. g = x' d by kmc_sgemm");
}

/* One step down the gradient. */
void update(float *w, const float *g, int n, float rate)
{
    for (int i = 0; i < n; i++) {
        BLANK("6. w_i = w_i - rate g_i");
    }
}

/* Hidden and output values of some spectra. */
void forward(workspace *s, const float *w, const float *x, int64_t rows)
{
    for (int64_t r = 0; r < rows; r++)
        s->h[r * (HIDDEN + 1) + HIDDEN] = -1.0f;
    layer(s->h, HIDDEN + 1, x, w, rows, INPUTS, HIDDEN);
    layer(s->o, CLASSES, s->h, w + WEIGHTS1, rows, HIDDEN + 1, CLASSES);
}

/* Forward, backward, update for some spectra x[rows][INPUTS] with targets t[rows][CLASSES]. */
void step(workspace *s, float *w, const float *x, const float *t, int64_t rows, float rate)
{
    forward(s, w, x, rows);
    BLANK("7. both deltas, both gradients (s->g and s->g + WEIGHTS1), the update");
}

/* Moves the first cap[c] spectra of each class c to the front of x and t; returns how many these are. */
int64_t rebalance(float *x, float *t, const int32_t *label, int64_t rows, const int64_t *cap)
{
    int64_t kept = 0, taken[CLASSES] = { 0 };
    for (int64_t s = 0; s < rows; s++) {
        BLANK("8. (mode rebalance) if class label[s] is not full, copy spectrum and target s to row `kept`");
    }
    return kept;
}

/* Trains from new weights; `single`: one spectrum a step, in a new order or (`draws`) drawn with replacement; else all in one. */
void train(workspace *s, float *w, const float *x, const float *t, int64_t rows, int single, int draws, float rate, int64_t epochs,
           uint64_t seed)
{
    int64_t *order = zeros(rows, sizeof *order);
    float *drawn = zeros(rows, sizeof *drawn);
    CHECK(kmc_random_uniform_f32(w, WEIGHTS, -0.01, 0.01, seed));
    for (int64_t epoch = 0; epoch < epochs; epoch++) {
        if (!single) {
            step(s, w, x, t, rows, rate);
            continue;
        }
        CHECK(kmc_shuffle(order, rows, seed * 100000 + (uint64_t)epoch));
        if (draws)
            CHECK(kmc_random_uniform_f32(drawn, rows, 0.0, (double)rows, seed * 100000 + (uint64_t)epoch));
        for (int64_t i = 0; i < rows; i++) {
            int64_t r = draws ? (int64_t)drawn[i] % rows : order[i];
            step(s, w, x + r * INPUTS, t + r * CLASSES, 1, rate);
        }
    }
    free(drawn);
    free(order);
}

/* Spectra with the bias column, their classes and one-hot targets. */
static int64_t prepare(float **x, int32_t **label, float **t, const char *folder)
{
    kmc_dataset *data = NULL;
    float *pixels = zeros((int64_t)SPECTRA * PIXELS, sizeof *pixels);
    spectra_read(&data, folder);
    *label = zeros(SPECTRA, sizeof **label);
    *x = zeros((int64_t)SPECTRA * INPUTS, sizeof **x);
    *t = zeros(SPECTRA * CLASSES, sizeof **t);
    CHECK(kmc_dataset_inputs(pixels, (int64_t)SPECTRA * PIXELS, data, 0));
    CHECK(kmc_dataset_labels(*label, SPECTRA, data, 0));
    CHECK(kmc_dataset_destroy(data));
    normalise(pixels, SPECTRA, PIXELS);
    for (int64_t s = 0; s < SPECTRA; s++) {
        memcpy(*x + s * INPUTS, pixels + s * PIXELS, PIXELS * sizeof **x);
        (*x)[s * INPUTS + PIXELS] = -1.0f;
        (*t)[s * CLASSES + (*label)[s]] = 1.0f;
    }
    free(pixels);
    return SPECTRA - TRAIN;
}

int main(int argc, char **argv)
{
    const int64_t cap[CLASSES] = { 10, 20, 30, 20, 20, 20, 10 };
    options o = options_parse(argc, argv, (options){ .seed = 1, .seeds = 1, .mode = "online" });
    int single = !strcmp(o.mode, "online") || !strcmp(o.mode, "sgd"), draws = !strcmp(o.mode, "sgd"), caps = !strcmp(o.mode, "rebalance");
    float rate = single ? 0.1f : caps ? 0.02f : 0.005f, *x, *t, *w = zeros(WEIGHTS, sizeof *w);
    int64_t epochs = o.smoke ? 2 : o.epochs ? o.epochs : single ? 100 : caps ? 1500 : 3000, rows = TRAIN, confusion[CLASSES * CLASSES];
    int32_t *label, predicted[SPECTRA];
    if (!single && !caps && strcmp(o.mode, "batch")) {
        fprintf(stderr, "--mode %s: expected online, sgd, batch or rebalance\n", o.mode);
        return EXIT_FAILURE;
    }
    int64_t tests = prepare(&x, &label, &t, o.data);
    if (caps)
        rows = rebalance(x, t, label, TRAIN, cap);
    workspace s = { zeros(TRAIN * (HIDDEN + 1), sizeof(float)), zeros(TRAIN * CLASSES, sizeof(float)), zeros(TRAIN * CLASSES, sizeof(float)),
                    zeros(TRAIN * HIDDEN, sizeof(float)), zeros(WEIGHTS, sizeof(float)) };
    double *accuracy = zeros(o.seeds, sizeof *accuracy), error = 0.0;
    for (int64_t r = 0; r < o.seeds; r++) {
        train(&s, w, x, t, rows, single, draws, rate, epochs, o.seed + (uint64_t)r);
        forward(&s, w, x + TRAIN * INPUTS, tests);
        for (int64_t i = 0; i < tests * CLASSES; i++)
            error += 0.5 * (s.o[i] - t[TRAIN * CLASSES + i]) * (s.o[i] - t[TRAIN * CLASSES + i]);
        CHECK(kmc_argmax_f32(predicted, s.o, tests, CLASSES));
        CHECK(kmc_confusion_count(confusion, CLASSES, label + TRAIN, predicted, tests));
        CHECK(kmc_confusion_scores(NULL, NULL, NULL, &accuracy[r], confusion, CLASSES));
    }
    CHECK(kmc_confusion_print(confusion, CLASSES, NULL));
    double middle = median(accuracy, o.seeds), mean = error / (double)(tests * o.seeds);
    printf("RESULT mode=%s seeds=%" PRId64 " trained_on=%" PRId64 " accuracy_min=%.2f accuracy_median=%.2f accuracy_max=%.2f half_error=%.4f "
           "sum_bits=%016" PRIX64 "\n", o.mode, o.seeds, rows, 100.0 * accuracy[0], 100.0 * middle, 100.0 * accuracy[o.seeds - 1], mean,
           bits(error));
    free(accuracy);
    free(s.h);
    free(s.o);
    free(s.d);
    free(s.e);
    free(s.g);
    free(t);
    free(x);
    free(label);
    free(w);
    return EXIT_SUCCESS;
}
