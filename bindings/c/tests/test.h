/* What the tests in C share: checks that say where they failed, and small data sets and networks. */
#ifndef TEST_H
#define TEST_H

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kamacite.h"

static int test_failures, test_checks;

/* A condition. */
#define CHECK(condition) test_that((condition) ? 1 : 0, #condition, __FILE__, __LINE__)

/* A call that succeeds; nothing after it makes sense if it does not. */
#define OK(call) test_ok((call), #call, __FILE__, __LINE__)

/* A call that fails with this status, in a sentence that contains these words. */
#define FAILS(status, words, call) test_fails((call), (status), (words), #call, __FILE__, __LINE__)

#define LEN(array) ((int64_t)(sizeof(array) / sizeof((array)[0])))

static inline void test_that(int ok, const char *what, const char *file, int line)
{
    test_checks++;
    if (!ok) {
        test_failures++;
        fprintf(stderr, "%s:%d: %s\n", file, line, what);
    }
}

static inline void test_ok(kmc_status status, const char *call, const char *file, int line)
{
    test_checks++;
    if (status != KMC_OK) {
        fprintf(stderr, "%s:%d: %s\n  %s: %s\n", file, line, call, kmc_status_name(status), kmc_last_error());
        exit(1);
    }
}

static inline void test_fails(kmc_status got, kmc_status status, const char *words, const char *call, const char *file, int line)
{
    test_checks++;
    if (got != status) {
        test_failures++;
        fprintf(stderr, "%s:%d: %s\n  expected %s, got %s (%s)\n", file, line, call, kmc_status_name(status),
                kmc_status_name(got), got == KMC_OK ? "" : kmc_last_error());
    } else if (!strstr(kmc_last_error(), words)) {
        test_failures++;
        fprintf(stderr, "%s:%d: %s\n  \"%s\" is not in: %s\n", file, line, call, words, kmc_last_error());
    }
}

/* The last line of every test. */
static inline int test_end(const char *name)
{
    printf("%s: %d checks, %d failures\n", name, test_checks, test_failures);
    return test_failures != 0;
}

/* A file beside the others of the test. */
static inline const char *test_file(const char *name)
{
    static char path[8][512];
    static int next;
    const char *folder = getenv("KMC_TEST_FOLDER");
    char *p = path[next++ % 8];
    snprintf(p, sizeof path[0], "%s/%s", folder ? folder : ".", name);
    return p;
}

static inline void test_write(const char *path, const void *bytes, size_t n)
{
    FILE *f = fopen(path, "wb");
    if (!f || fwrite(bytes, 1, n, f) != n || fclose(f) != 0) {
        fprintf(stderr, "cannot write %s\n", path);
        exit(1);
    }
}

/* n points with `features` numbers and one of three classes, the same on every machine. */
static inline kmc_dataset *test_data(int64_t n, int64_t features)
{
    kmc_dataset *data = NULL;
    float *x = (float *)malloc((size_t)(n * features) * sizeof *x);
    int32_t *labels = (int32_t *)malloc((size_t)n * sizeof *labels);
    uint32_t state = 1;
    if (!x || !labels) exit(1);
    for (int64_t i = 0; i < n; i++) {
        labels[i] = (int32_t)(i % 3);
        for (int64_t j = 0; j < features; j++) {
            state = state * 1664525u + 1013904223u;
            x[i * features + j] = (float)(state >> 16) / 65536.0f - 0.5f + (j % 3 == labels[i] ? 1.0f : 0.0f);
        }
    }
    OK(kmc_dataset_create_f32(&data, x, n, 1, 1, 1, features, KMC_CHANNELS_LAST));
    OK(kmc_dataset_add_classes(data, labels, n, 3));
    free(x);
    free(labels);
    return data;
}

/* features -> hidden (tanh) -> 3 logits */
static inline kmc_network *test_network(int64_t features, int64_t hidden)
{
    kmc_network *net = NULL;
    OK(kmc_network_create(&net, 1, 1, 1, features));
    OK(kmc_network_dense(net, hidden, KMC_TANH, NULL));
    OK(kmc_network_dense(net, 3, KMC_LINEAR, NULL));
    return net;
}

static inline kmc_trainer_options test_options(void)
{
    kmc_trainer_options o = KMC_TRAINER_OPTIONS_INIT;
    o.device = "cpu";
    o.threads = 1;
    o.seed = 7;
    o.batch = 16;
    o.optimizer.learning_rate = 0.1;
    return o;
}

/* A trainer on test_data(96, 4), with test_data(30, 4) to validate. */
static inline kmc_trainer *test_trainer(const kmc_trainer_options *options)
{
    kmc_trainer *trainer = NULL;
    kmc_dataset *train = test_data(96, 4), *valid = test_data(30, 4);
    kmc_network *net = test_network(4, 8);
    OK(kmc_trainer_create(&trainer, net, train, valid, options));
    OK(kmc_network_destroy(net));
    OK(kmc_dataset_destroy(train));
    OK(kmc_dataset_destroy(valid));
    return trainer;
}

#endif
