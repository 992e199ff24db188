/* Starter: write what the BLANKs say, in their order; then delete the next four lines. */
#pragma GCC diagnostic ignored "-Wunused-parameter"
#pragma GCC diagnostic ignored "-Wunused-variable"
#pragma GCC diagnostic ignored "-Wunused-but-set-variable"
#pragma GCC diagnostic ignored "-Wunused-const-variable"
/* A convolutional network in one dimension on stellar spectra, with the network API: 3753 pixels, 7 classes.
 *
 *   3 x [convolution: 8, 16, 32 filters of 8 pixels, stride 4; ReLU]  ->  2 x [dense 256, ReLU, dropout 0.4]  ->  dense 7, softmax
 *   E = -ln p_t     steps with momentum: v = 0.8 v + dE/dw + 0.001 w, w = w - rate v
 *
 *   gcc -O3 cnn_spectra_net.c -lkamacite -lm && ./a.out
 *
 * Without --data FOLDER the spectra are made; with it, FOLDER/train.dat and target.dat are read (made, if only train.dat is missing).
 * Expected on made spectra: 78 to 87, median 85 % of 200.
 * Conventions: pixels become tanh(40 x); of the first 915 spectra the first 10, 30, 30, 20, 20, 30, 10 of each class train, in batches of
 * 16; the last 200 test. None of them is trained on. */
#include "../spectra.h"

enum { PADDED = 3776 };

/* Spectra to train on, as many of each class as it should be, and to test; PADDED pixels, of which three strides of 4 leave 59. */
void read_data(kmc_dataset **train, kmc_dataset **test, const char *folder)
{
    const int64_t cap[CLASSES] = { 10, 30, 30, 20, 20, 30, 10 };
    kmc_dataset *all = NULL;
    spectra_read(&all, folder);
    BLANK("1. normalise by KMC_TANH_RANGE, KMC_GLOBAL with gain 40, low 0, high 1; pad to PADDED pixels; split after TRAIN; rebalance");
    CHECK(kmc_dataset_destroy(all));
}

/* The description of the network. */
void describe(kmc_network **net)
{
    CHECK(kmc_network_create(net, 1, 1, PADDED, 1));
    BLANK("2. the three convolutions (kernel 8, stride 4, pad 2), the dense layers with dropout, the last one KMC_LINEAR");
}

/* The rules of training. */
kmc_trainer_options rules(uint64_t seed)
{
    kmc_trainer_options r = KMC_TRAINER_OPTIONS_INIT;
    r.seed = seed;
    BLANK("3. batches of 16; KMC_LOSS_SOFTMAX_CROSS_ENTROPY; KMC_SGD, learning rate 0.02, momentum 0.8, weight decay 0.001");
    return r;
}

int main(int argc, char **argv)
{
    options o = options_parse(argc, argv, (options){ .seed = 1, .seeds = 1, .epochs = 200 });
    const char *const names[CLASSES] = { "O", "B", "A", "F", "G", "K", "M" };
    kmc_dataset *train = NULL, *test = NULL;
    kmc_network *net = NULL;
    int64_t confusion[CLASSES * CLASSES], trained_on;
    double *accuracy = zeros(o.seeds, sizeof *accuracy), sum = 0.0;
    read_data(&train, &test, o.data);
    CHECK(kmc_dataset_len(&trained_on, train));
    describe(&net);
    for (int64_t i = 0; i < o.seeds; i++) {
        kmc_trainer_options r = rules(o.seed + (uint64_t)i);
        kmc_fit_options shown = KMC_FIT_OPTIONS_INIT;
        kmc_trainer *trainer = NULL;
        kmc_scores scores = KMC_SCORES_INIT;
        r.validate_every = 20;
        shown.verbose = o.seeds == 1; /* lines about the epochs */
        CHECK(kmc_trainer_create(&trainer, net, train, test, &r));
        CHECK(kmc_trainer_fit(NULL, trainer, o.smoke ? 2 : o.epochs, &shown));
        CHECK(kmc_trainer_validate(&scores, confusion, CLASSES * CLASSES, trainer));
        CHECK(kmc_trainer_destroy(trainer));
        accuracy[i] = 100.0 * scores.accuracy;
        sum += scores.loss;
    }
    CHECK(kmc_confusion_print(confusion, CLASSES, names));
    double middle = median(accuracy, o.seeds); /* sorts */
    printf("RESULT seeds=%" PRId64 " trained_on=%" PRId64 " accuracy_min=%.2f accuracy_median=%.2f accuracy_max=%.2f loss=%.4f sum_bits=%016" PRIX64
           "\n", o.seeds, trained_on, accuracy[0], middle, accuracy[o.seeds - 1], sum / (double)o.seeds, bits(sum));
    free(accuracy);
    CHECK(kmc_network_destroy(net));
    CHECK(kmc_dataset_destroy(test));
    CHECK(kmc_dataset_destroy(train));
    return EXIT_SUCCESS;
}
