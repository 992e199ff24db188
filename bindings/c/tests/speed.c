/* What a call costs: a getter, and 100 000 updates of a 4-4-3 logistic network, one sample each, by one call each and by one fit.
 * Without an argument the best of 5; the number of tries as an argument. Times under load mean little. */
#define _POSIX_C_SOURCE 200809L
#include <time.h>

#include "test.h"

enum { UPDATES = 100000, CALLS = 2000000, SAMPLES = 1000 };

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static double best(double a, double b)
{
    return b < a ? b : a;
}

static kmc_network *network(void)
{
    kmc_network *net = NULL;
    OK(kmc_network_create(&net, 1, 1, 1, 4));
    OK(kmc_network_dense(net, 4, KMC_LOGISTIC, NULL));
    OK(kmc_network_dense(net, 3, KMC_LOGISTIC, NULL));
    return net;
}

/* Seconds of one call of a getter. */
static double getter(void)
{
    kmc_dataset *data = test_data(30, 4);
    int64_t n = 0, sum = 0;
    double start = now();
    for (int i = 0; i < CALLS; i++) {
        kmc_dataset_len(&n, data);
        sum += n;
    }
    double seconds = (now() - start) / CALLS;
    CHECK(sum == INT64_C(30) * CALLS);
    OK(kmc_dataset_destroy(data));
    return seconds;
}

/* Seconds of all updates, by one call for each. */
static double by_calls(const float *x, const float *t)
{
    kmc_network *net = network();
    kmc_model *model = NULL;
    kmc_model_options o = KMC_MODEL_OPTIONS_INIT;
    kmc_loss_options loss = KMC_LOSS_OPTIONS_INIT;
    kmc_optimizer_options sgd = KMC_OPTIMIZER_OPTIONS_INIT;
    double value = 0, first = 0;
    loss.kind = KMC_LOSS_MSE_HALF;
    sgd.learning_rate = 0.1;
    o.device = "cpu";
    o.threads = 1;
    o.no_input_gradients = 1;
    o.losses = &loss;
    o.n_losses = 1;
    OK(kmc_model_create(&model, net, &o));
    OK(kmc_model_train_batch_values(&first, model, x, 4, t, 3, &sgd));
    double start = now();
    for (int i = 0; i < UPDATES; i++) {
        int s = i % SAMPLES;
        if (kmc_model_train_batch_values(&value, model, x + 4 * s, 4, t + 3 * s, 3, &sgd) != KMC_OK) exit(1);
    }
    double seconds = now() - start;
    CHECK(value < first);
    OK(kmc_model_destroy(model));
    OK(kmc_network_destroy(net));
    return seconds;
}

static double by_fit(const float *x, const float *t)
{
    kmc_network *net = network();
    kmc_dataset *data = NULL;
    kmc_trainer *trainer = NULL;
    kmc_trainer_options o = KMC_TRAINER_OPTIONS_INIT;
    kmc_report report = KMC_REPORT_INIT;
    o.device = "cpu";
    o.threads = 1;
    o.batch = 1;
    o.loss.kind = KMC_LOSS_MSE_HALF;
    o.optimizer.learning_rate = 0.1;
    OK(kmc_dataset_create_f32(&data, x, SAMPLES, 1, 1, 1, 4, KMC_CHANNELS_LAST));
    OK(kmc_dataset_add_values_f32(data, t, SAMPLES, 1, 1, 1, 3, KMC_CHANNELS_LAST));
    OK(kmc_trainer_create(&trainer, net, data, NULL, &o));
    double start = now();
    OK(kmc_trainer_fit(&report, trainer, UPDATES / SAMPLES, NULL));
    double seconds = now() - start;
    CHECK(report.steps == UPDATES && report.loss < 0.5);
    OK(kmc_trainer_destroy(trainer));
    OK(kmc_dataset_destroy(data));
    OK(kmc_network_destroy(net));
    return seconds;
}

int main(int argc, char **argv)
{
    static float x[4 * SAMPLES], t[3 * SAMPLES];
    double get = 1e9, calls = 1e9, fit = 1e9;
    int tries = argc > 1 ? atoi(argv[1]) : 5;
    kmc_dataset *data = test_data(SAMPLES, 4);
    OK(kmc_dataset_inputs(x, LEN(x), data, 0));
    for (int i = 0; i < SAMPLES; i++) t[3 * i + i % 3] = 1;
    for (int i = 0; i < tries; i++) {
        get = best(get, getter());
        calls = best(calls, by_calls(x, t));
        fit = best(fit, by_fit(x, t));
    }
    OK(kmc_dataset_destroy(data));
    printf("a getter %.1f ns (goal 20); 100 000 updates of 4-4-3: one call each %.1f ms, one fit %.1f ms (goal 25)\n", 1e9 * get,
           1e3 * calls, 1e3 * fit);
    int failed = test_end("speed");
    printf("RESULT getter_ns=%.2f train_batch_ms=%.2f fit_ms=%.2f\n", 1e9 * get, 1e3 * calls, 1e3 * fit);
    return failed;
}
