#include "check.h"

/* What the student's program defines. */
float distance2(const float *a, const float *b, int dims);
double assign(int32_t *cluster, const float *x, const float *centres, int64_t n, int dims, int k);
double update_centres(float *centres, const int32_t *cluster, const float *x, int64_t n, int dims, int k);
double kmeans(float *centres, int32_t *cluster, const float *x, int64_t n, int dims, int k, uint64_t seed);

enum { POINTS = 30, DIMS = 3, K = 4, RUNS = 10 };

static double exact_distance2(const float *a, const float *b)
{
    double sum = 0.0;
    for (int i = 0; i < DIMS; i++)
        sum += ((double)a[i] - b[i]) * ((double)a[i] - b[i]);
    return sum;
}

static void number(const char *step, const char *what, double yours, double truth)
{
    char hint[256];
    if (fabs(yours - truth) <= 1e-5 * fabs(truth)) {
        step_right(step);
        return;
    }
    double ratio = yours / truth;
    snprintf(hint, sizeof hint, "%s: yours %.7g, expected %.7g: %s", what, yours, truth,
             fabs(ratio * ratio - 1.0 / truth) < 1e-3 / truth ? "a square root too many?" : guess(yours, truth));
    step_wrong(step, hint);
}

static void check_assign(const float *x, const float *centres)
{
    int32_t cluster[POINTS];
    double error = 0.0;
    for (int s = 0; s < POINTS; s++)
        cluster[s] = -1;
    double yours = assign(cluster, x, centres, POINTS, DIMS, K);
    for (int s = 0; s < POINTS; s++) {
        int nearest = 0;
        for (int c = 1; c < K; c++)
            if (exact_distance2(x + s * DIMS, centres + c * DIMS) < exact_distance2(x + s * DIMS, centres + nearest * DIMS))
                nearest = c;
        error += exact_distance2(x + s * DIMS, centres + nearest * DIMS) / POINTS;
        if (cluster[s] != nearest) {
            char hint[256];
            snprintf(hint, sizeof hint, "assign(): point %d: yours centre %d, the nearest is %d", counted(s), counted((int)cluster[s]), counted(nearest));
            step_wrong("assignment", hint);
        }
    }
    step_right("assignment");
    number("error of an assignment", "assign() returns", yours, error);
}

/* Centre 3 has no points: it must stay. */
static void check_update(const float *x, const float *centres)
{
    float moved[K * DIMS];
    int32_t cluster[POINTS];
    double truth[K * DIMS] = { 0.0 }, distance = 0.0;
    memcpy(moved, centres, sizeof moved);
    for (int s = 0; s < POINTS; s++)
        cluster[s] = s % 7 == 0 ? 0 : s % 2 + 1;
    for (int c = 0; c < K; c++) {
        int count = 0;
        for (int s = 0; s < POINTS; s++)
            count += cluster[s] == c;
        for (int i = 0; i < DIMS; i++) {
            for (int s = 0; s < POINTS; s++)
                truth[c * DIMS + i] += cluster[s] == c ? (double)x[s * DIMS + i] / count : 0.0;
            if (count == 0)
                truth[c * DIMS + i] = centres[c * DIMS + i];
            distance += (truth[c * DIMS + i] - centres[c * DIMS + i]) * (truth[c * DIMS + i] - centres[c * DIMS + i]);
        }
    }
    double yours = update_centres(moved, cluster, x, POINTS, DIMS, K);
    for (int i = 0; i < DIMS; i++)
        if (moved[3 * DIMS + i] != centres[3 * DIMS + i])
            step_wrong("an empty cluster", "update_centres(): a centre without points must stay where it is");
    compare("new centres", "centres", moved, truth, K, DIMS, -1, "expected", 1e-5);
    number("distance moved", "update_centres() returns", yours, distance);
}

int main(void)
{
    float *x = some_numbers(POINTS * DIMS, 1), *centres = some_numbers(K * DIMS, 2), end[K * DIMS];
    int32_t cluster[POINTS];
    number("squared distance", "distance2()", distance2(x, centres, DIMS), exact_distance2(x, centres));
    check_assign(x, centres);
    check_update(x, centres);
    for (uint64_t seed = 1; seed <= RUNS; seed++) {
        double error = kmeans(end, cluster, x, POINTS, DIMS, K, seed);
        if (fabs(error - assign(cluster, x, end, POINTS, DIMS, K)) > 1e-6)
            step_wrong("error of a run", "kmeans(): what is returned is not the error of the centres at the end");
        if (update_centres(end, cluster, x, POINTS, DIMS, K) > 1e-3)
            step_wrong("end of a run", "kmeans(): the centres still move: iterate until moved <= 1e-3");
    }
    step_right("end of a run");
    free(x);
    free(centres);
    return EXIT_SUCCESS;
}
