/* What the spectra exercises are given: 3753 pixels of stars of seven classes, O B A F G K M. */
#ifndef SPECTRA_H
#define SPECTRA_H

#include "exercise.h"

enum { PIXELS = 3753, CLASSES = 7, SPECTRA = 1115, TRAIN = 915 };

/* A layer of cnn_spectra.c: a window if it is a convolution; its values a sample, its filters or units, its weights, biases included. */
typedef struct {
    kmc_window window;
    int64_t inputs, outputs, filters, weights;
} stage;

/* The classes of the spectra: from FOLDER/target.dat (one-hot rows); without a folder as many of each as there, in random order. */
static inline void spectra_classes(int32_t *label, const char *folder)
{
    static const int count[CLASSES] = { 12, 134, 109, 192, 300, 327, 41 };
    if (!folder) {
        int32_t *sorted = zeros(SPECTRA, sizeof *sorted), *next = sorted;
        int64_t *order = zeros(SPECTRA, sizeof *order);
        for (int c = 0; c < CLASSES; c++)
            for (int i = 0; i < count[c]; i++)
                *next++ = c;
        CHECK(kmc_shuffle(order, SPECTRA, 1));
        for (int i = 0; i < SPECTRA; i++)
            label[i] = sorted[order[i]];
        free(order);
        free(sorted);
        return;
    }
    char path[1024];
    kmc_dataset *table = NULL;
    kmc_table_options all_inputs = KMC_TABLE_OPTIONS_INIT;
    float *one_hot = zeros(SPECTRA * CLASSES, sizeof *one_hot);
    all_inputs.label = KMC_NO_COLUMN;
    snprintf(path, sizeof path, "%s/target.dat", folder);
    CHECK(kmc_dataset_read_table(&table, path, &all_inputs));
    CHECK(kmc_dataset_inputs(one_hot, SPECTRA * CLASSES, table, 0));
    CHECK(kmc_argmax_f32(label, one_hot, SPECTRA, CLASSES));
    CHECK(kmc_dataset_destroy(table));
    free(one_hot);
}

/* FOLDER/train.dat with the classes of FOLDER/target.dat; where train.dat is missing, spectra are made for these classes. */
static inline void spectra_read(kmc_dataset **out, const char *folder)
{
    char path[1024];
    int32_t *label = zeros(SPECTRA, sizeof *label);
    FILE *file = NULL;
    spectra_classes(label, folder);
    snprintf(path, sizeof path, "%s/train.dat", folder ? folder : ".");
    if (folder)
        file = fopen(path, "r");
    if (file) {
        fclose(file);
        kmc_table_options all_inputs = KMC_TABLE_OPTIONS_INIT;
        all_inputs.label = KMC_NO_COLUMN;
        CHECK(kmc_dataset_read_table(out, path, &all_inputs));
        CHECK(kmc_dataset_reshape(*out, 1, 1, PIXELS, 1)); /* columns of a table are channels, pixels lie side by side */
        CHECK(kmc_dataset_add_classes(*out, label, SPECTRA, CLASSES));
    } else {
        CHECK(kmc_dataset_make_spectra(out, label, SPECTRA, 1));
    }
    free(label);
}

#endif
