/* The solution is the reference: its functions, under other names. */
#define main reference_main
#define write_centres reference_write_centres
#define best_clusters reference_best_clusters
#include "../kmeans_net.c"
#undef main
#undef write_centres
#undef best_clusters
#include "check.h"

/* What the student's program defines. */
double best_clusters(float *centres, int32_t *cluster, const float *x, int64_t n, int64_t dims, int64_t k, int plain, uint64_t seed);

enum { POINTS = 250, DIMS = 3, K = 5, SEEDS = 40 };

int main(void)
{
    kmc_dataset *points = NULL;
    float x[POINTS * DIMS], yours[K * DIMS], truth[K * DIMS];
    int32_t cluster[POINTS], expected[POINTS];
    CHECK(kmc_dataset_make_clusters(&points, POINTS, DIMS, 1));
    CHECK(kmc_dataset_inputs(x, POINTS * DIMS, points, 0));
    for (int plain = 0; plain < 2; plain++) {
        const char *step = plain ? "a single plain start" : "ten starts by k-means++";
        for (uint64_t seed = 1; seed <= SEEDS; seed++) {
            double exact[K * DIMS], a = best_clusters(yours, cluster, x, POINTS, DIMS, K, plain, seed);
            double b = reference_best_clusters(truth, expected, x, POINTS, DIMS, K, plain, seed);
            for (int i = 0; i < K * DIMS; i++)
                exact[i] = truth[i];
            if (a != b || memcmp(cluster, expected, sizeof cluster)) {
                char hint[256];
                snprintf(hint, sizeof hint, "best_clusters(): seed %d: error %.6f, expected %.6f: start, restarts and seed as asked for?",
                         (int)seed, a, b);
                step_wrong(step, hint);
            }
            if (memcmp(yours, truth, sizeof yours))
                compare(step, "centres", yours, exact, K, DIMS, -1, "expected", 0.0);
        }
        step_right(step);
    }
    CHECK(kmc_dataset_destroy(points));
    return EXIT_SUCCESS;
}
