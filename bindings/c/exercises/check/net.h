/* The steps of the exercises with the network API, beside the solution: the data, the network with its first weights, the rules. The
 * program that includes this has included the solution before, its functions renamed to reference_... */
#ifndef CHECK_NET_H
#define CHECK_NET_H

#include "check.h"

/* What the student's program defines beside read_data(). */
void describe(kmc_network **net);

static inline void compare_data(const char *step, kmc_dataset *yours, kmc_dataset *truth)
{
    int64_t n, m, a[4], b[4];
    char hint[256];
    if (!yours)
        step_wrong(step, "read_data() gave no data set");
    CHECK(kmc_dataset_len(&n, yours));
    CHECK(kmc_dataset_len(&m, truth));
    CHECK(kmc_dataset_extent(a, yours, 0));
    CHECK(kmc_dataset_extent(b, truth, 0));
    if (n != m || memcmp(a, b, sizeof a)) {
        snprintf(hint, sizeof hint, "yours: %" PRId64 " samples of %" PRId64 " x %" PRId64 " x %" PRId64 " x %" PRId64 ", expected: %" PRId64
                 " of %" PRId64 " x %" PRId64 " x %" PRId64 " x %" PRId64, n, a[0], a[1], a[2], a[3], m, b[0], b[1], b[2], b[3]);
        step_wrong(step, hint);
    }
    int64_t size = a[0] * a[1] * a[2] * a[3];
    float *x = zeros(n * size, sizeof *x), *t = zeros(n * size, sizeof *t);
    int32_t *p = zeros(n, sizeof *p), *q = zeros(n, sizeof *q);
    double *exact = zeros(n * size, sizeof *exact);
    CHECK(kmc_dataset_inputs(x, n * size, yours, 0));
    CHECK(kmc_dataset_inputs(t, n * size, truth, 0));
    CHECK(kmc_dataset_labels(p, n, yours, 0));
    CHECK(kmc_dataset_labels(q, n, truth, 0));
    if (memcmp(p, q, (size_t)n * sizeof *p))
        step_wrong(step, "the samples have other classes than in the reference: another order, or other samples");
    for (int64_t i = 0; i < n * size; i++)
        exact[i] = t[i];
    compare(step, "x", x, exact, n, size, -1, "expected", 1e-5);
    free(exact);
    free(p);
    free(q);
    free(x);
    free(t);
}

/* Activations and dropout, which the table of nodes does not tell: with equal weights, two samples must give equal outputs in training. */
static inline void compare_outputs(kmc_model *yours, kmc_model *truth, int64_t inputs)
{
    enum { ROWS = 2 };
    int64_t dhwc[4];
    float *x = some_numbers(ROWS * inputs, 81);
    CHECK(kmc_model_forward_f32(yours, KMC_MODE_TRAIN, x, ROWS * inputs));
    CHECK(kmc_model_forward_f32(truth, KMC_MODE_TRAIN, x, ROWS * inputs));
    CHECK(kmc_model_output_extent(dhwc, truth, 0));
    int64_t n = ROWS * dhwc[0] * dhwc[1] * dhwc[2] * dhwc[3];
    float *a = zeros(n, sizeof *a), *b = zeros(n, sizeof *b);
    CHECK(kmc_model_output_f32(a, n, yours, 0));
    CHECK(kmc_model_output_f32(b, n, truth, 0));
    for (int64_t i = 0; i < n; i++) {
        char hint[256];
        if (a[i] == b[i])
            continue;
        snprintf(hint, sizeof hint, "describe(): the same sample gives %g, expected %g: another activation, or another dropout?", a[i], b[i]);
        step_wrong("network", hint);
    }
    free(a);
    free(b);
    free(x);
}

/* The table of nodes, what a seed makes of the weights, what comes out. */
static inline void compare_networks(kmc_network *yours, kmc_network *truth, int64_t inputs)
{
    const char *step = "network", *text;
    kmc_model *a = NULL, *b = NULL;
    kmc_model_options options = KMC_MODEL_OPTIONS_INIT;
    int64_t arrays, count;
    if (!yours)
        step_wrong(step, "describe() gave no network");
    CHECK(kmc_network_summary(&text, truth, 1));
    char *expected = zeros((int64_t)strlen(text) + 1, 1);
    memcpy(expected, text, strlen(text));
    CHECK(kmc_network_summary(&text, yours, 1));
    if (strcmp(text, expected)) {
        printf("your network:\n%s\nexpected:\n%s\n", text, expected);
        step_wrong(step, "describe(): the tables above differ");
    }
    free(expected);
    options.seed = 1;
    options.device = "cpu";
    CHECK(kmc_model_create(&a, yours, &options));
    CHECK(kmc_model_create(&b, truth, &options));
    CHECK(kmc_model_array_count(&arrays, b));
    CHECK(kmc_model_array_count(&count, a));
    for (int64_t i = 0; i < arrays && count == arrays; i++) {
        char name[128], hint[256];
        int64_t shape[8], rank, size = 1;
        CHECK(kmc_model_array_name(&text, b, i));
        snprintf(name, sizeof name, "%s", text);
        CHECK(kmc_model_array_shape(shape, &rank, b, name));
        for (int64_t r = 0; r < rank; r++)
            size *= shape[r];
        double *w = zeros(size, sizeof *w), *v = zeros(size, sizeof *v);
        CHECK(kmc_model_array_get(w, size, a, name));
        CHECK(kmc_model_array_get(v, size, b, name));
        if (memcmp(w, v, (size_t)size * sizeof *w)) {
            snprintf(hint, sizeof hint, "describe(): %s begins with %g, expected %g: are the options given to each layer?", name, w[0], v[0]);
            step_wrong(step, hint);
        }
        free(w);
        free(v);
    }
    compare_outputs(a, b, inputs);
    CHECK(kmc_model_destroy(a));
    CHECK(kmc_model_destroy(b));
    step_right(step);
}

static inline void compare_rule(const char *name, double yours, double truth)
{
    char hint[256];
    if (yours == truth)
        return;
    snprintf(hint, sizeof hint, "rules(): %s: yours %g, expected %g", name, yours, truth);
    step_wrong("rules of training", hint);
}

static inline void compare_rules(kmc_trainer_options a, kmc_trainer_options b)
{
    compare_rule("seed", (double)a.seed, (double)b.seed);
    compare_rule("batch", (double)a.batch, (double)b.batch);
    compare_rule("loss.kind", a.loss.kind, b.loss.kind);
    compare_rule("optimizer.kind", a.optimizer.kind, b.optimizer.kind);
    compare_rule("optimizer.learning_rate", a.optimizer.learning_rate, b.optimizer.learning_rate);
    compare_rule("optimizer.momentum", a.optimizer.momentum, b.optimizer.momentum);
    compare_rule("optimizer.weight_decay", a.optimizer.weight_decay, b.optimizer.weight_decay);
    compare_rule("schedule.kind", a.schedule.kind, b.schedule.kind);
    compare_rule("schedule.period", (double)a.schedule.period, (double)b.schedule.period);
    compare_rule("schedule.per_epoch", a.schedule.per_epoch, b.schedule.per_epoch);
    step_right("rules of training");
}

/* What read_data() of the student and of the solution gave, and describe(); all are destroyed. */
static inline void compare_all(kmc_dataset *yours[2], kmc_dataset *truth[2], void (*reference_describe)(kmc_network **))
{
    kmc_network *net = NULL, *expected = NULL;
    int64_t dhwc[4];
    compare_data("training data", yours[0], truth[0]);
    compare_data("test data", yours[1], truth[1]);
    describe(&net);
    reference_describe(&expected);
    CHECK(kmc_dataset_extent(dhwc, truth[0], 0));
    compare_networks(net, expected, dhwc[0] * dhwc[1] * dhwc[2] * dhwc[3]);
    CHECK(kmc_network_destroy(net));
    CHECK(kmc_network_destroy(expected));
    for (int i = 0; i < 2; i++) {
        CHECK(kmc_dataset_destroy(yours[i]));
        CHECK(kmc_dataset_destroy(truth[i]));
    }
}

#endif
