/* For the programs that compare a student's functions with the reference, step by step; the first wrong step ends them with status 1. */
#ifndef CHECK_H
#define CHECK_H

#include "../exercise.h"

static inline void step_right(const char *step)
{
    printf("right: %s\n", step);
    fflush(stdout);
}

static inline void step_wrong(const char *step, const char *hint)
{
    fflush(stdout);
    fprintf(stderr, "WRONG: %s\n  %s\n", step, hint);
    exit(1);
}

/* How a student's language writes element (row, column) of a matrix, of an array of one row, and a number that counts from 0 here. */
static inline void write_place(char *place, size_t size, int64_t rows, int64_t row, int64_t column)
{
#ifdef FORTRAN
    if (rows > 1)
        snprintf(place, size, "(%" PRId64 ", %" PRId64 ")", column + 1, row + 1);
    else
        snprintf(place, size, "(%" PRId64 ")", column + 1);
#else
    if (rows > 1)
        snprintf(place, size, "[%" PRId64 "][%" PRId64 "]", row, column);
    else
        snprintf(place, size, "[%" PRId64 "]", column);
#endif
}

static inline int counted(int from_0)
{
#ifdef FORTRAN
    return from_0 + 1;
#else
    return from_0;
#endif
}

/* What a wrong number looks like. */
static inline const char *guess(double yours, double truth)
{
    double ratio = yours / truth;
    if (yours != yours)
        return "not a number: a division by 0, or something never set?";
    if (yours == 0.0)
        return "never set, or a factor that is 0?";
    if (fabs(ratio + 1.0) < 1e-2)
        return "the sign?";
    if (fabs(ratio - 2.0) < 2e-2 || fabs(ratio - 0.5) < 5e-3)
        return "a factor 2?";
    return "look at the equation again";
}

/* yours[rows][columns] against the truth; `bias` is the row of bias weights, -1: there is none. `of` names the truth. */
static inline void compare(const char *step, const char *name, const float *yours, const double *truth, int64_t rows, int64_t columns,
                           int64_t bias, const char *of, double tolerance)
{
    double largest = 0.0;
    for (int64_t i = 0; i < rows * columns; i++)
        largest = fmax(largest, fabs(truth[i]));
    for (int64_t r = 0; r < rows; r++) {
        for (int64_t c = 0; c < columns; c++) {
            double y = yours[r * columns + c], t = truth[r * columns + c];
            char place[64] = "", hint[512];
            if (fabs(y - t) <= tolerance * fmax(largest, 1e-30))
                continue;
            write_place(place, sizeof place, rows, r, c);
            snprintf(hint, sizeof hint, "%s%s%s: yours %.7g, %s %.7g: %s", name, place, r == bias ? " (a bias weight)" : "", y, of, t,
                     guess(y, t));
            step_wrong(step, hint);
        }
    }
    step_right(step);
}

/* A gradient against finite differences of `loss` at w. Single precision has seven digits; three must agree. */
static inline void compare_gradient(const char *step, const char *name, const float *yours, kmc_loss_fn loss, void *user, const double *w,
                                    int64_t rows, int64_t columns, int64_t bias)
{
    int64_t n = rows * columns;
    double *gradient = zeros(n, sizeof *gradient);
    kmc_gradcheck_result r = KMC_GRADCHECK_RESULT_INIT;
    for (int64_t i = 0; i < n; i++) {
        gradient[i] = yours[i];
        if (yours[i] != yours[i])
            step_wrong(step, "a value is not a number, or was never set: loop over all of them, the bias too");
    }
    CHECK(kmc_gradcheck(&r, loss, user, w, gradient, n, 1e-5)); /* a loss in double precision, with kinks in places */
    free(gradient);
    if (!(r.deviation < 1e-3)) {
        char place[64], hint[512];
        int64_t row = r.worst / columns, column = r.worst % columns;
        write_place(place, sizeof place, rows, row, column);
        snprintf(hint, sizeof hint, "gradient of %s%s%s: yours %.7g, finite difference %.7g: %s", name, place,
                 row == bias ? " (a bias weight)" : "", r.analytic, r.numeric, guess(r.analytic, r.numeric));
        step_wrong(step, hint);
    }
    step_right(step);
}

/* Numbers between -1 and 1, the same every time. */
static inline float *some_numbers(int64_t n, uint64_t seed)
{
    float *x = zeros(n, sizeof *x);
    CHECK(kmc_random_uniform_f32(x, n, -1.0, 1.0, seed));
    return x;
}

#endif
