/* What every exercise shares: calls that must succeed, blanks that say what is missing, the options of the command line. */
#ifndef EXERCISE_H
#define EXERCISE_H

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kamacite.h"

/* A call that fails says where and why, and ends the program with status 1. */
#define CHECK(call) check((call), #call, __FILE__, __LINE__)

static inline void check(kmc_status status, const char *call, const char *file, int line)
{
    if (status != KMC_OK) {
        fprintf(stderr, "%s:%d: %s\n  %s: %s\n", file, line, call, kmc_status_name(status), kmc_last_error());
        exit(1);
    }
}

/* Stands in a starter where you write; ends the program with status 2. */
#define BLANK(what) blank(what, __func__, __FILE__, __LINE__)

#ifdef __GNUC__
__attribute__((noreturn))
#endif
static inline void blank(const char *what, const char *function, const char *file, int line)
{
    fflush(stdout);
    fprintf(stderr, "%s:%d: %s() is still to be written:\n  %s\n", file, line, function, what);
    exit(2);
}

/* Memory of zeros, for free(); without memory the program ends. */
static inline void *zeros(int64_t n, size_t size)
{
    void *memory = n >= 0 ? calloc(n > 0 ? (size_t)n : 1, size) : NULL;
    if (!memory) {
        fprintf(stderr, "no memory for %" PRId64 " values of %zu bytes\n", n, size);
        exit(1);
    }
    return memory;
}

/* --seed N --seeds N --epochs N --data PATH --mode NAME --smoke. What a program does not use stays at its default. */
typedef struct {
    uint64_t seed;    /* of the first run */
    int64_t seeds;    /* runs with seed, seed + 1, ... */
    int64_t epochs;
    const char *data; /* NULL: made data */
    const char *mode;
    int smoke;        /* as small as it can be */
} options;

static inline options options_parse(int argc, char **argv, options o)
{
    for (int i = 1; i < argc; i++) {
        const char *name = argv[i], *value = i + 1 < argc ? argv[i + 1] : NULL;
        char *end = NULL;
        if (!strcmp(name, "--smoke")) {
            o.smoke = 1;
            continue;
        }
        long long n = value ? strtoll(value, &end, 10) : -1;
        int number = value && end != value && *end == '\0' && n >= 0;
        if (number && !strcmp(name, "--seed")) {
            o.seed = (uint64_t)n;
        } else if (number && n > 0 && !strcmp(name, "--seeds")) {
            o.seeds = n;
        } else if (number && n > 0 && !strcmp(name, "--epochs")) {
            o.epochs = n;
        } else if (value && !strcmp(name, "--data")) {
            o.data = value;
        } else if (value && !strcmp(name, "--mode")) {
            o.mode = value;
        } else {
            fprintf(stderr, "%s: cannot use '%s %s'\n"
                    "options: --seed N --seeds N --epochs N --data PATH --mode NAME --smoke\n", argv[0], name, value ? value : "");
            exit(1);
        }
        i++;
    }
    return o;
}

/* A text table whose last column is the class: x[n][features] and label[n], both for free(). Returns n. */
static inline int64_t table_read(float **x, int32_t **label, const char *path, int64_t features)
{
    kmc_dataset *data = NULL;
    int64_t n = 0, dhwc[4] = { 0 };
    CHECK(kmc_dataset_read_table(&data, path, NULL));
    CHECK(kmc_dataset_len(&n, data));
    CHECK(kmc_dataset_extent(dhwc, data, 0));
    if (dhwc[3] != features) {
        fprintf(stderr, "%s: %" PRId64 " columns beside the class, expected %" PRId64 "\n", path, dhwc[3], features);
        exit(1);
    }
    *x = zeros(n * features, sizeof **x);
    *label = zeros(n, sizeof **label);
    CHECK(kmc_dataset_inputs(*x, n * features, data, 0));
    CHECK(kmc_dataset_labels(*label, n, data, 0));
    CHECK(kmc_dataset_destroy(data));
    return n;
}

static inline int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The middle of n values, which are sorted; of an even number, the upper one of the two. */
static inline double median(double *values, int64_t n)
{
    qsort(values, (size_t)n, sizeof *values, ascending);
    return values[n / 2];
}

/* The bits of a double: equal in C, Fortran and Rust for equal seeds. */
static inline uint64_t bits(double value)
{
    uint64_t b;
    memcpy(&b, &value, sizeof b);
    return b;
}

#endif
