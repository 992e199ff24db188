/* What a call costs: a getter, and 100 000 updates of a 4-4-3 logistic network, one sample each, by one call each and by one fit; and an
 * iteration of k-means on 200 000 points of 3 coordinates with 5 centres, beside a plain loop.
 * Without an argument the best of 5; the number of tries as an argument. Times under load mean little. */
#define _POSIX_C_SOURCE 200809L
#include <time.h>

#include "test.h"

enum { UPDATES = 100000, CALLS = 2000000, SAMPLES = 1000, POINTS = 200000, DIMS = 3, K = 5, ITERATIONS = 20 };

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

/* Seconds of an iteration: what ITERATIONS + 1 take longer than one. */
static double kmeans(const float *x)
{
    kmc_kmeans_options o = KMC_KMEANS_OPTIONS_INIT;
    kmc_kmeans_result found = KMC_KMEANS_RESULT_INIT;
    float centres[K * DIMS];
    double seconds[2];
    o.start = KMC_KMEANS_POINTS;
    o.restarts = 1;
    for (int i = 0; i < 2; i++) {
        o.max_iterations = 1 + i * ITERATIONS;
        double start = now();
        OK(kmc_kmeans_f32(&found, centres, NULL, x, POINTS, DIMS, K, &o));
        seconds[i] = now() - start;
        CHECK(found.iterations == o.max_iterations);
    }
    return (seconds[1] - seconds[0]) / ITERATIONS;
}

/* The same by the loop that one would write. */
static double plain_kmeans(const float *x)
{
    float c[K * DIMS];
    memcpy(c, x, sizeof c);
    double start = now();
    for (int iteration = 0; iteration < ITERATIONS; iteration++) {
        double sum[K * DIMS] = {0};
        int count[K] = {0};
        for (int i = 0; i < POINTS; i++) {
            int nearest = 0;
            float least = 1e30f;
            for (int j = 0; j < K; j++) {
                float distance = 0;
                for (int d = 0; d < DIMS; d++) distance += (x[i * DIMS + d] - c[j * DIMS + d]) * (x[i * DIMS + d] - c[j * DIMS + d]);
                if (distance < least) least = distance, nearest = j;
            }
            count[nearest]++;
            for (int d = 0; d < DIMS; d++) sum[nearest * DIMS + d] += x[i * DIMS + d];
        }
        for (int j = 0; j < K * DIMS; j++)
            if (count[j / DIMS]) c[j] = (float)(sum[j] / count[j / DIMS]);
    }
    double seconds = (now() - start) / ITERATIONS;
    CHECK(c[0] > 0 && c[0] < 1);
    return seconds;
}

int main(int argc, char **argv)
{
    static float x[4 * SAMPLES], t[3 * SAMPLES], points[POINTS * DIMS];
    double get = 1e9, calls = 1e9, fit = 1e9, clusters = 1e9, plain = 1e9;
    int tries = argc > 1 ? atoi(argv[1]) : 5;
    kmc_dataset *data = test_data(SAMPLES, 4);
    OK(kmc_dataset_inputs(x, LEN(x), data, 0));
    for (int i = 0; i < SAMPLES; i++) t[3 * i + i % 3] = 1;
    OK(kmc_random_uniform_f32(points, LEN(points), 0.0, 1.0, 1));
    for (int i = 0; i < tries; i++) {
        clusters = best(clusters, kmeans(points));
        plain = best(plain, plain_kmeans(points));
        get = best(get, getter());
        calls = best(calls, by_calls(x, t));
        fit = best(fit, by_fit(x, t));
    }
    OK(kmc_dataset_destroy(data));
    printf("a getter %.1f ns (goal 20); 100 000 updates of 4-4-3: one call each %.1f ms, one fit %.1f ms (goal 25)\n", 1e9 * get,
           1e3 * calls, 1e3 * fit);
    printf("k-means of 200 000 x 3, k = 5, an iteration: %.2f ms (goal 0.6), by a plain loop %.2f ms\n", 1e3 * clusters, 1e3 * plain);
    int failed = test_end("speed");
    printf("RESULT getter_ns=%.2f train_batch_ms=%.2f fit_ms=%.2f kmeans_ms=%.3f plain_kmeans_ms=%.3f\n", 1e9 * get, 1e3 * calls,
           1e3 * fit, 1e3 * clusters, 1e3 * plain);
    return failed;
}
