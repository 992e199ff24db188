/* Steps that several exercises have: what is done to the columns of a table before training, and the update. */
#ifndef CHECK_STEPS_H
#define CHECK_STEPS_H

#include "check.h"

/* What the student's program defines; prepare() only for the Pima data. */
void normalise(float *x, int64_t n, int m);
void prepare(float *x, int64_t n);
void update(float *w, const float *g, int n, float rate);

/* Pregnancies and age of the Pima data; `most` pregnancies are kept. */
static inline void check_prepare(float most)
{
    enum { ROWS = 6, COLUMNS = 8 };
    const float pregnancies[ROWS] = { 0, 5, 6, 7, 8, 13 }, ages[ROWS] = { 30, 33, 36, 52, 25, 21 };
    const double expected[ROWS] = { 0, 3, 5, 2, -5, -9 };
    float *x = some_numbers(ROWS * COLUMNS, 12);
    double truth[ROWS * COLUMNS];
    for (int r = 0; r < ROWS; r++) {
        x[r * COLUMNS] = pregnancies[r];
        x[r * COLUMNS + 7] = ages[r];
        for (int c = 0; c < COLUMNS; c++)
            truth[r * COLUMNS + c] = x[r * COLUMNS + c];
        truth[r * COLUMNS] = fmin(pregnancies[r], most);
        truth[r * COLUMNS + 7] = expected[r];
    }
    prepare(x, ROWS);
    compare("pregnancies and age", "x", x, truth, ROWS, COLUMNS, -1, "expected", 1e-6);
    free(x);
}

static inline void check_normalise(void)
{
    enum { ROWS = 6, COLUMNS = 3 };
    float *x = some_numbers(ROWS * COLUMNS, 11);
    double truth[ROWS * COLUMNS];
    for (int r = 0; r < ROWS; r++) {
        x[r * COLUMNS] = x[r * COLUMNS] * 100.0f + 7.0f;
        x[r * COLUMNS + 2] = r == 0 ? -50.0f : x[r * COLUMNS + 2]; /* the largest deviation is below the mean */
    }
    for (int c = 0; c < COLUMNS; c++) {
        double mean = 0.0, largest = 0.0;
        for (int r = 0; r < ROWS; r++)
            mean += x[r * COLUMNS + c] / (double)ROWS;
        for (int r = 0; r < ROWS; r++)
            largest = fmax(largest, fabs(x[r * COLUMNS + c] - mean));
        for (int r = 0; r < ROWS; r++)
            truth[r * COLUMNS + c] = (x[r * COLUMNS + c] - mean) / largest;
    }
    normalise(x, ROWS, COLUMNS);
    compare("normalisation", "x", x, truth, ROWS, COLUMNS, -1, "expected", 1e-5);
    free(x);
}

static inline void check_update(void)
{
    enum { LEN = 7 };
    float *w = some_numbers(LEN, 21), *g = some_numbers(LEN, 22);
    double truth[LEN], rate = 0.25, up = w[0] + rate * g[0];
    for (int i = 0; i < LEN; i++)
        truth[i] = w[i] - rate * g[i];
    update(w, g, LEN, (float)rate);
    if (fabs(w[0] - up) < 1e-6)
        step_wrong("update", "update(): the sign: this climbs the error, w = w - rate g goes down");
    compare("update", "w", w, truth, 1, LEN, -1, "expected", 1e-6);
    free(w);
    free(g);
}

#endif
