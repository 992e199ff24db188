/* The header by itself, as C99 and as C++ without a warning: every _INIT macro, and that it means what NULL means. */
#include "kamacite.h"

#include "test.h"

static kmc_table_options table = KMC_TABLE_OPTIONS_INIT;
static kmc_fits_options fits = KMC_FITS_OPTIONS_INIT;
static kmc_files_options files = KMC_FILES_OPTIONS_INIT;
static kmc_mosaic_options mosaic = KMC_MOSAIC_OPTIONS_INIT;
static kmc_augment_options augment = KMC_AUGMENT_OPTIONS_INIT;
static kmc_sizes sizes = KMC_SIZES_INIT;
static kmc_node_options node = KMC_NODE_OPTIONS_INIT;
static kmc_dense_options dense = KMC_DENSE_OPTIONS_INIT;
static kmc_bayes_dense_options bayes = KMC_BAYES_DENSE_OPTIONS_INIT;
static kmc_conv_options conv = KMC_CONV_OPTIONS_INIT;
static kmc_pool_options pool = KMC_POOL_OPTIONS_INIT;
static kmc_norm_options norm = KMC_NORM_OPTIONS_INIT;
static kmc_loss_options loss = KMC_LOSS_OPTIONS_INIT;
static kmc_optimizer_options optimizer = KMC_OPTIMIZER_OPTIONS_INIT;
static kmc_schedule_options schedule = KMC_SCHEDULE_OPTIONS_INIT;
static kmc_trainer_options trainer = KMC_TRAINER_OPTIONS_INIT;
static kmc_model_options model = KMC_MODEL_OPTIONS_INIT;
static kmc_fit_options fit = KMC_FIT_OPTIONS_INIT;
static kmc_scores scores = KMC_SCORES_INIT;
static kmc_report report = KMC_REPORT_INIT;
static kmc_residuals residuals = KMC_RESIDUALS_INIT;
static kmc_window window = KMC_WINDOW_INIT;
static kmc_kmeans_options kmeans = KMC_KMEANS_OPTIONS_INIT;
static kmc_kmeans_result clusters = KMC_KMEANS_RESULT_INIT;
static kmc_gradcheck_result gradcheck = KMC_GRADCHECK_RESULT_INIT;

/* Every struct whose first field is its size says so. */
static void struct_sizes(void)
{
    CHECK(table.size == sizeof table && augment.size == sizeof augment && node.size == sizeof node);
    CHECK(dense.size == sizeof dense && conv.size == sizeof conv && pool.size == sizeof pool && norm.size == sizeof norm);
    CHECK(loss.size == sizeof loss && optimizer.size == sizeof optimizer && schedule.size == sizeof schedule);
    CHECK(trainer.size == sizeof trainer && model.size == sizeof model && fit.size == sizeof fit);
    CHECK(trainer.loss.size == sizeof loss && trainer.optimizer.size == sizeof optimizer);
    CHECK(trainer.schedule.size == sizeof schedule);
    CHECK(scores.size == sizeof scores && report.size == sizeof report && residuals.size == sizeof residuals);
    CHECK(report.valid.size == sizeof scores && sizes.w == 0 && node.input == KMC_LAST && dense.input == KMC_LAST);
    CHECK(window.size == sizeof window && kmeans.size == sizeof kmeans && clusters.size == sizeof clusters);
    CHECK(fits.size == sizeof fits && files.size == sizeof files && mosaic.size == sizeof mosaic);
    CHECK(fits.hdu == KMC_FIRST_HDU && files.hdu == KMC_FIRST_HDU && mosaic.hdu == KMC_FIRST_HDU);
    CHECK(gradcheck.size == sizeof gradcheck && bayes.size == sizeof bayes && bayes.input == KMC_LAST);
    CHECK(kmc_abi_version() == KMC_ABI_VERSION);
}

/* A network with NULL for all options, and one with the macros. */
static kmc_network *network(int with_options)
{
    kmc_network *net = NULL;
    OK(kmc_network_create(&net, 1, 8, 8, 2));
    OK(kmc_network_conv(net, 4, 3, 1, 1, KMC_LEAKY_RELU, with_options ? &conv : NULL));
    OK(kmc_network_norm(net, KMC_NORM_BATCH, with_options ? &norm : NULL));
    OK(kmc_network_activation(net, KMC_ELU, 0.0, 0.0, with_options ? &node : NULL));
    OK(kmc_network_pool(net, KMC_POOL_MAX, 2, with_options ? &pool : NULL));
    OK(kmc_network_conv_transpose(net, 3, 2, 2, 0, KMC_LINEAR, with_options ? &conv : NULL));
    OK(kmc_network_dropout(net, 0.25, 0, with_options ? &node : NULL));
    OK(kmc_network_bayes_dense(net, 5, KMC_LINEAR, with_options ? &bayes : NULL));
    OK(kmc_network_dense(net, 3, KMC_LINEAR, with_options ? &dense : NULL));
    return net;
}

/* The macros draw the same weights, and predict the same. */
static void defaults(void)
{
    kmc_network *a = network(0), *b = network(1);
    kmc_model *m[2] = {NULL, NULL};
    float x[128], y[2][3];
    const char *text = NULL;
    char summary[4096];
    for (int i = 0; i < 128; i++) x[i] = (float)i / 100.0f;
    OK(kmc_network_summary(&text, a, 4));
    snprintf(summary, sizeof summary, "%s", text);
    OK(kmc_network_summary(&text, b, 4));
    CHECK(strcmp(summary, text) == 0);
    OK(kmc_model_create(&m[0], a, NULL));
    OK(kmc_model_create(&m[1], b, &model));
    for (int i = 0; i < 2; i++) {
        OK(kmc_model_forward_f32(m[i], KMC_MODE_INFER, x, 128));
        OK(kmc_model_output_f32(y[i], 3, m[i], 0));
        OK(kmc_model_destroy(m[i]));
    }
    CHECK(memcmp(y[0], y[1], sizeof y[0]) == 0);
    OK(kmc_network_destroy(a));
    OK(kmc_network_destroy(b));
}

/* The same for reading a table, and for a run. */
static void defaults_of_data(void)
{
    const char *path = test_file("header.txt");
    kmc_dataset *a = NULL, *b = NULL;
    int32_t labels[2][3];
    test_write(path, "1 2 0\n3 4 1\n5 6 2\n", 18);
    OK(kmc_dataset_read_table(&a, path, NULL));
    OK(kmc_dataset_read_table(&b, path, &table));
    OK(kmc_dataset_labels(labels[0], 3, a, 0));
    OK(kmc_dataset_labels(labels[1], 3, b, 0));
    CHECK(memcmp(labels[0], labels[1], sizeof labels[0]) == 0);
    OK(kmc_dataset_destroy(a));
    OK(kmc_dataset_destroy(b));

    kmc_trainer_options o = test_options();
    kmc_report done = KMC_REPORT_INIT;
    double learned[2];
    for (int i = 0; i < 2; i++) {
        kmc_trainer *run = test_trainer(&o);
        OK(kmc_trainer_fit(&done, run, 2, i ? &fit : NULL));
        learned[i] = done.loss;
        OK(kmc_trainer_destroy(run));
    }
    CHECK(learned[0] == learned[1]);
}

/* Types of callbacks can be written without a cast. */
static int32_t go_on(const kmc_progress *progress, void *user)
{
    (void)user;
    return progress->epoch > 1000;
}

static void say(const char *line, void *user)
{
    (void)line;
    (void)user;
}

int main(void)
{
    struct_sizes();
    defaults();
    defaults_of_data();
    fit.on_epoch = go_on;
    fit.log = say;
    CHECK(fit.on_batch == NULL);
    return test_end("header");
}
