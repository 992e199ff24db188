/* What goes wrong: each case has a status and a word of the sentence, and the handles work afterwards. */
#define _POSIX_C_SOURCE 200809L
#include <pthread.h>
#include <sched.h>

#include "test.h"

static kmc_dataset *data;
static kmc_network *net;
static kmc_model *model;
static kmc_trainer *trainer;
static kmc_optimizer_options sgd = KMC_OPTIMIZER_OPTIONS_INIT;
static float x4[4] = {1, 2, 3, 4};
static const int32_t label0[1] = {0};

/* All four still do what they are for. */
static void all_work(void)
{
    int64_t n = 0;
    const char *text = NULL;
    double loss = 0;
    OK(kmc_dataset_len(&n, data));
    CHECK(n == 12);
    OK(kmc_network_summary(&text, net, 4));
    OK(kmc_model_train_batch_classes(&loss, model, x4, 4, label0, 1, &sgd));
    CHECK(isfinite(loss));
    OK(kmc_trainer_step(&loss, trainer));
    CHECK(isfinite(loss));
}

static void make_all(void)
{
    kmc_model_options o = KMC_MODEL_OPTIONS_INIT;
    kmc_loss_options loss = KMC_LOSS_OPTIONS_INIT;
    kmc_trainer_options t = test_options();
    o.device = "cpu";
    o.losses = &loss;
    o.n_losses = 1;
    data = test_data(12, 4);
    net = test_network(4, 5);
    OK(kmc_model_create(&model, net, &o));
    trainer = test_trainer(&t);
}

static void nulls(void)
{
    int64_t n = 0;
    kmc_dataset *d = NULL;
    kmc_model *m = NULL;
    const char *text = NULL;
    FAILS(KMC_ERR_NULL, "out is NULL", kmc_dataset_len(NULL, data));
    FAILS(KMC_ERR_NULL, "data is NULL", kmc_dataset_len(&n, NULL));
    FAILS(KMC_ERR_NULL, "x is NULL", kmc_dataset_create_f32(&d, NULL, 2, 1, 1, 1, 4, KMC_CHANNELS_LAST));
    FAILS(KMC_ERR_NULL, "out is NULL", kmc_dataset_create_f32(NULL, x4, 1, 1, 1, 1, 4, KMC_CHANNELS_LAST));
    FAILS(KMC_ERR_NULL, "path is NULL", kmc_dataset_read_table(&d, NULL, NULL));
    FAILS(KMC_ERR_NULL, "f is NULL", kmc_dataset_map(data, NULL, NULL));
    FAILS(KMC_ERR_NULL, "net is NULL", kmc_model_create(&m, NULL, NULL));
    FAILS(KMC_ERR_NULL, "options is NULL", kmc_trainer_create(&trainer, net, data, NULL, NULL));
    FAILS(KMC_ERR_NULL, "optimizer is NULL", kmc_model_step(model, NULL));
    FAILS(KMC_ERR_NULL, "name is NULL", kmc_network_node(&(kmc_node){0}, net, NULL));
    FAILS(KMC_ERR_NULL, "out_shape is NULL", kmc_model_array_shape(NULL, &n, model, "dense1.weight"));
    FAILS(KMC_ERR_NULL, "labels is NULL", kmc_model_loss_classes(&(double){0}, model, NULL, 1));
    FAILS(KMC_ERR_NULL, "names", kmc_dataset_set_class_names(data, &text, 1));
    FAILS(KMC_ERR_NULL, "out", kmc_doctor(NULL));
    CHECK(d == NULL && m == NULL);
    OK(kmc_dataset_destroy(NULL));
    OK(kmc_network_destroy(NULL));
    OK(kmc_model_destroy(NULL));
    OK(kmc_trainer_destroy(NULL));
}

static void handles(void)
{
    int64_t n = 0;
    uint64_t u = 0;
    kmc_dataset *old = test_data(3, 2), *next = NULL;
    kmc_model *lent = NULL;
    kmc_trainer_options t = test_options();
    kmc_trainer *short_lived = test_trainer(&t);
    OK(kmc_dataset_destroy(old));
    FAILS(KMC_ERR_HANDLE, "destroyed", kmc_dataset_len(&n, old));
    FAILS(KMC_ERR_HANDLE, "destroyed", kmc_dataset_destroy(old));
    next = test_data(3, 2);
    FAILS(KMC_ERR_HANDLE, "destroyed", kmc_dataset_len(&n, old));
    OK(kmc_dataset_destroy(next));
    FAILS(KMC_ERR_HANDLE, "expected a kmc_dataset, got a kmc_network", kmc_dataset_len(&n, (kmc_dataset *)(void *)net));
    FAILS(KMC_ERR_HANDLE, "expected a kmc_trainer, got a kmc_model", kmc_trainer_epoch(&u, (kmc_trainer *)(void *)model));
    FAILS(KMC_ERR_HANDLE, "expected a kmc_network, got a kmc_dataset", kmc_network_destroy((kmc_network *)(void *)data));
    FAILS(KMC_ERR_HANDLE, "no handle", kmc_dataset_len(&n, (kmc_dataset *)(void *)&n));
    FAILS(KMC_ERR_HANDLE, "kmc_dataset", kmc_dataset_destroy((kmc_dataset *)(uintptr_t)1));
    FAILS(KMC_ERR_HANDLE, "no handle", kmc_model_step((kmc_model *)(uintptr_t)-1, &sgd));
    FAILS(KMC_ERR_HANDLE, "no handle", kmc_network_destroy((kmc_network *)(uintptr_t)0xdeadbeefu));
    OK(kmc_trainer_model(&lent, short_lived));
    FAILS(KMC_ERR_ORDER, "belongs to a trainer", kmc_model_destroy(lent));
    OK(kmc_model_updates(&u, lent));
    OK(kmc_trainer_destroy(short_lived));
    FAILS(KMC_ERR_HANDLE, "destroyed", kmc_model_updates(&u, lent));
    kmc_request_stop(short_lived);
    kmc_request_stop((kmc_trainer *)(void *)model);
    kmc_request_stop((kmc_trainer *)(uintptr_t)12345);
}

static void arrays_of_data(void)
{
    kmc_dataset *d = NULL;
    int64_t n = 0, e[4], counts[3];
    float room[48];
    int32_t labels[12] = {0, 1, 7};
    double weights[12] = {1, -1};
    const int64_t indices[2] = {0, 12}, caps[2] = {1, 1}, negative[3] = {-1, 0, 0};
    float bad[4] = {1, 2, NAN, 4};
    FAILS(KMC_ERR_VALUE, "n: expected 0 or more", kmc_dataset_create_f32(&d, x4, -1, 1, 1, 1, 4, KMC_CHANNELS_LAST));
    FAILS(KMC_ERR_VALUE, "c: expected 1 or more", kmc_dataset_create_f32(&d, x4, 1, 1, 1, 1, 0, KMC_CHANNELS_LAST));
    FAILS(KMC_ERR_VALUE, "layout", kmc_dataset_create_f32(&d, x4, 1, 1, 1, 1, 4, 3));
    FAILS(KMC_ERR_VALUE, "n", kmc_dataset_create_f32(&d, x4, INT64_MAX, 1, 1, 1, 4, KMC_CHANNELS_LAST));
    FAILS(KMC_ERR_VALUE, "n", kmc_dataset_create_f32(&d, x4, INT64_MAX / 64, 1, 1, 1, 16, KMC_CHANNELS_LAST));
    FAILS(KMC_ERR_SHAPE, "", kmc_dataset_create_f32(&d, x4, 1, INT64_MAX, INT64_MAX, 1, 1, KMC_CHANNELS_LAST));
    FAILS(KMC_ERR_VALUE, "multiple of 4",
          kmc_dataset_create_f32(&d, (float *)(void *)((char *)room + 1), 1, 1, 1, 1, 4, KMC_CHANNELS_LAST));
    FAILS(KMC_ERR_VALUE, "finite", kmc_dataset_create_f32(&d, bad, 1, 1, 1, 1, 4, KMC_CHANNELS_LAST));
    FAILS(KMC_ERR_SHAPE, "samples", kmc_dataset_add_input_f32(data, x4, 1, 1, 1, 1, 4, KMC_CHANNELS_LAST));
    FAILS(KMC_ERR_VALUE, "7", kmc_dataset_add_classes(data, labels, 12, 3));
    labels[2] = -3;
    FAILS(KMC_ERR_VALUE, "labels[2]", kmc_dataset_add_classes(data, labels, 12, 3));
    FAILS(KMC_ERR_SHAPE, "", kmc_dataset_add_classes(data, label0, 1, 3));
    FAILS(KMC_ERR_VALUE, "", kmc_dataset_set_weights(data, weights, 12));
    FAILS(KMC_ERR_SHAPE, "room for 48", kmc_dataset_inputs(room, 47, data, 0));
    FAILS(KMC_ERR_VALUE, "below 1", kmc_dataset_inputs(room, 48, data, 1));
    FAILS(KMC_ERR_VALUE, "below 1", kmc_dataset_extent(e, data, -1));
    FAILS(KMC_ERR_VALUE, "-1", kmc_dataset_inputs(room, -1, data, 0));
    FAILS(KMC_ERR_VALUE, "below 2", kmc_dataset_counts(counts, 2, data, 0));
    FAILS(KMC_ERR_VALUE, "classes", kmc_dataset_values(room, 12, data, 0));
    FAILS(KMC_ERR_VALUE, "12", kmc_dataset_subset(&d, data, indices, 2));
    FAILS(KMC_ERR_VALUE, "indices", kmc_dataset_subset(&d, data, negative, 3));
    FAILS(KMC_ERR_VALUE, "", kmc_dataset_split(&d, &d, data, 13));
    FAILS(KMC_ERR_VALUE, "", kmc_dataset_split_random(&d, &d, data, 1.5, 0));
    FAILS(KMC_ERR_VALUE, "", kmc_dataset_split_random(&d, &d, data, NAN, 0));
    FAILS(KMC_ERR_VALUE, "fold", kmc_dataset_fold(&d, &d, data, 5, 5, 0, 0));
    FAILS(KMC_ERR_VALUE, "folds", kmc_dataset_fold(&d, &d, data, 1, 0, 0, 0));
    FAILS(KMC_ERR_VALUE, "0 or 1", kmc_dataset_fold(&d, &d, data, 3, 0, 2, 0));
    FAILS(KMC_ERR_VALUE, "below 2", kmc_dataset_rebalance(data, caps, 2));
    FAILS(KMC_ERR_VALUE, "caps", kmc_dataset_rebalance(data, negative, 3));
    FAILS(KMC_ERR_SHAPE, "", kmc_dataset_reshape(data, 1, 1, 5, 1));
    FAILS(KMC_ERR_SHAPE, "", kmc_dataset_pad(data, 1, 1, 1, 3, 0));
    FAILS(KMC_ERR_VALUE, "finite", kmc_dataset_pad(data, 1, 1, 1, 9, INFINITY));
    FAILS(KMC_ERR_VALUE, "finite", kmc_dataset_scale(data, NAN));
    FAILS(KMC_ERR_VALUE, "finite", kmc_dataset_scale(data, 1e39));
    FAILS(KMC_ERR_VALUE, "rule", kmc_dataset_normalize(data, 7, KMC_GLOBAL, 0, 0, 0, NULL));
    FAILS(KMC_ERR_VALUE, "scope", kmc_dataset_normalize(data, KMC_STANDARD, 4, 0, 0, 0, NULL));
    FAILS(KMC_ERR_VALUE, "", kmc_dataset_normalize(data, KMC_CLIP, KMC_GLOBAL, 0.9, 0.1, 0, NULL));
    OK(kmc_dataset_len(&n, data));
    CHECK(d == NULL && n == 12);
}

/* Sizes that no machine has. */
static void huge(void)
{
    kmc_dataset *d = NULL;
    kmc_network *big = NULL;
    kmc_model *m = NULL;
    const char *text = NULL;
    const char *path = test_file("small.raw");
    test_write(path, "12345678", 8);
    FAILS(KMC_ERR_OUT_OF_MEMORY, "", kmc_dataset_make_digits(&d, INT64_C(1) << 50, 0));
    FAILS(KMC_ERR_OUT_OF_MEMORY, "", kmc_dataset_make_galaxies(&d, INT64_C(1) << 50, 0));
    FAILS(KMC_ERR_OUT_OF_MEMORY, "", kmc_dataset_make_stars(&d, INT64_C(1) << 55, 0));
    FAILS(KMC_ERR_OUT_OF_MEMORY, "", kmc_dataset_make_ring(&d, INT64_C(1) << 55, 0.1, 0));
    FAILS(KMC_ERR_OUT_OF_MEMORY, "", kmc_dataset_make_clusters(&d, INT64_C(1) << 55, 3, 0));
    FAILS(KMC_ERR_FORMAT, "", kmc_dataset_read_raw(&d, path, KMC_KIND_U8, INT64_C(1) << 50, 1, 1, 1, 1, KMC_CHANNELS_LAST));
    FAILS(KMC_ERR_SHAPE, "too large", kmc_dataset_pad(data, 1, 1, INT64_C(1) << 50, 4, 0));
    FAILS(KMC_ERR_OUT_OF_MEMORY, "", kmc_dataset_pad(data, 1, 1, INT64_C(1) << 37, 4, 0));
    OK(kmc_network_create(&big, 1, 1, 1, INT64_C(1) << 30));
    OK(kmc_network_dense(big, 1024, KMC_LINEAR, NULL));
    FAILS(KMC_ERR_OUT_OF_MEMORY, "", kmc_model_create(&m, big, NULL));
    OK(kmc_network_dense(big, INT64_C(1) << 40, KMC_LINEAR, NULL));
    FAILS(KMC_ERR_SHAPE, "dense2", kmc_model_create(&m, big, NULL));
    FAILS(KMC_ERR_VALUE, "", kmc_network_summary(&text, big, -1));
    OK(kmc_network_destroy(big));
    CHECK(d == NULL && m == NULL);
}

static void files(void)
{
    kmc_dataset *d = NULL;
    kmc_model *m = NULL;
    const char *missing = test_file("not-here"), *text = test_file("bad.txt"), *broken = test_file("broken.safetensors");
    const char *good = test_file("good.safetensors"), *utf8 = "\xff\xfe.txt", *unwritable = test_file("no-folder/file");
    unsigned char bytes[64] = {0};
    kmc_table_options o = KMC_TABLE_OPTIONS_INIT;
    char head[400];
    FAILS(KMC_ERR_IO, "not-here", kmc_dataset_read_table(&d, missing, NULL));
    FAILS(KMC_ERR_IO, "not-here", kmc_dataset_read_npy(&d, missing, NULL));
    FAILS(KMC_ERR_IO, "not-here", kmc_model_load(&m, missing, "cpu"));
    FAILS(KMC_ERR_IO, "not-here", kmc_trainer_restore(trainer, missing));
    FAILS(KMC_ERR_VALUE, "UTF-8", kmc_dataset_read_table(&d, utf8, NULL));
    test_write(text, "1 2 0\n1 two 0\n", 14);
    FAILS(KMC_ERR_FORMAT, "line 2", kmc_dataset_read_table(&d, text, NULL));
    test_write(text, "", 0);
    FAILS(KMC_ERR_FORMAT, "", kmc_dataset_read_table(&d, text, NULL));
    o.header = 2;
    FAILS(KMC_ERR_VALUE, "header", kmc_dataset_read_table(&d, text, &o));
    o.header = 0;
    o.separator = 300;
    FAILS(KMC_ERR_VALUE, "separator", kmc_dataset_read_table(&d, text, &o));
    FAILS(KMC_ERR_FORMAT, "", kmc_dataset_read_idx(&d, text, text));
    FAILS(KMC_ERR_FORMAT, "", kmc_dataset_read_npz(&d, text, "x", NULL));
    FAILS(KMC_ERR_FORMAT, "", kmc_dataset_read_points(&d, text));
    FAILS(KMC_ERR_VALUE, "kind", kmc_dataset_read_raw(&d, text, 10, 1, 1, 1, 1, 1, KMC_CHANNELS_LAST));
    FAILS(KMC_ERR_VALUE, "10", kmc_dataset_read_cifar(&d, &text, 1, 30));
    bytes[0] = 0xff;
    test_write(broken, bytes, sizeof bytes);
    FAILS(KMC_ERR_FORMAT, "", kmc_model_load(&m, broken, "cpu"));
    FAILS(KMC_ERR_FORMAT, "", kmc_model_restore(model, broken));
    OK(kmc_model_save(model, good));
    FILE *f = fopen(good, "rb");
    size_t n = f ? fread(head, 1, sizeof head, f) : 0;
    if (f) fclose(f);
    test_write(broken, head, n);
    FAILS(KMC_ERR_FORMAT, "", kmc_model_restore(model, broken));
    FAILS(KMC_ERR_IO, "no-folder", kmc_model_save(model, unwritable));
    FAILS(KMC_ERR_IO, "no-folder", kmc_trainer_save(trainer, unwritable));
    FAILS(KMC_ERR_IO, "no-folder", kmc_dataset_write_points(data, unwritable));
    FAILS(KMC_ERR_DEVICE, "cuda", kmc_model_load(&m, good, "cuda:9"));
    FAILS(KMC_ERR_VALUE, "device", kmc_model_load(&m, good, "abacus"));
    CHECK(d == NULL && m == NULL);
}

static void networks(void)
{
    kmc_node nodes[2] = {0, 9};
    kmc_conv_options conv = KMC_CONV_OPTIONS_INIT;
    kmc_dense_options dense = KMC_DENSE_OPTIONS_INIT;
    kmc_bayes_dense_options bayes = KMC_BAYES_DENSE_OPTIONS_INIT;
    kmc_network *n = NULL, *part = NULL;
    const char *text = NULL;
    FAILS(KMC_ERR_VALUE, "w: expected 1 or more", kmc_network_create(&n, 1, 1, -3, 1));
    OK(kmc_network_create(&n, 1, 6, 6, 1));
    FAILS(KMC_ERR_VALUE, "activation", kmc_network_dense(n, 3, 12, NULL));
    FAILS(KMC_ERR_VALUE, "-1", kmc_network_dense(n, -1, KMC_RELU, NULL));
    FAILS(KMC_ERR_VALUE, "below 1", kmc_network_add(n, nodes, 2, NULL));
    FAILS(KMC_ERR_VALUE, "below 1", kmc_network_set_name(n, 1, "x"));
    FAILS(KMC_ERR_VALUE, "below 1", kmc_network_node_name(&text, n, -2));
    FAILS(KMC_ERR_VALUE, "below 1", kmc_network_up_to(&part, n, 5));
    FAILS(KMC_ERR_VALUE, "nothing", kmc_network_node(&nodes[0], n, "nothing"));
    dense.input = 44;
    FAILS(KMC_ERR_VALUE, "44", kmc_network_dense(n, 3, KMC_RELU, &dense));
    dense.input = KMC_LAST;
    dense.init = 11;
    FAILS(KMC_ERR_VALUE, "init", kmc_network_dense(n, 3, KMC_RELU, &dense));
    dense.init = KMC_INIT_NORMAL;
    dense.init_value = NAN;
    FAILS(KMC_ERR_VALUE, "init_value", kmc_network_dense(n, 3, KMC_RELU, &dense));
    dense.size = 8;
    FAILS(KMC_ERR_STRUCT, "KMC_DENSE_OPTIONS_INIT", kmc_network_dense(n, 3, KMC_RELU, &dense));
    conv.size = 0;
    FAILS(KMC_ERR_STRUCT, "size", kmc_network_conv(n, 3, 3, 1, 1, KMC_RELU, &conv));
    bayes.samples = -3;
    FAILS(KMC_ERR_VALUE, "samples", kmc_network_bayes_dense(n, 3, KMC_RELU, &bayes));
    bayes.size = 0;
    FAILS(KMC_ERR_STRUCT, "KMC_BAYES_DENSE_OPTIONS_INIT", kmc_network_bayes_dense(n, 3, KMC_RELU, &bayes));
    FAILS(KMC_ERR_VALUE, "kind", kmc_network_pool(n, 2, 2, NULL));
    FAILS(KMC_ERR_VALUE, "kind", kmc_network_norm(n, 5, NULL));
    FAILS(KMC_ERR_VALUE, "0 or 1", kmc_network_dropout(n, 0.5, 7, NULL));
    FAILS(KMC_ERR_VALUE, "UTF-8", kmc_network_input(n, "\xc3\x28", 1, 1, 1, 1));
    /* The window is larger than the image: found when planned, and the network can still be looked at. */
    OK(kmc_network_conv(n, 4, 9, 1, 0, KMC_RELU, NULL));
    FAILS(KMC_ERR_SHAPE, "conv", kmc_network_summary(&text, n, 1));
    OK(kmc_network_node_name(&text, n, 1));
    OK(kmc_network_destroy(n));
    CHECK(part == NULL);
}

static void open_loop(void)
{
    double out = 0, w[20] = {0};
    float y[3];
    uint64_t before = 0, after = 0;
    kmc_optimizer_options o = KMC_OPTIMIZER_OPTIONS_INIT;
    kmc_model *fresh = NULL;
    kmc_view view = {x4, 1, 1, 1, 1, 4};
    kmc_target target = {NULL, NULL, 1};
    const int32_t labels[2] = {0, 3};
    OK(kmc_model_create(&fresh, net, NULL));
    FAILS(KMC_ERR_ORDER, "forward", kmc_model_backward(fresh, KMC_GRADS_WRITE));
    FAILS(KMC_ERR_ORDER, "", kmc_model_output_f32(y, 3, fresh, 0));
    OK(kmc_model_forward_f32(fresh, KMC_MODE_TRAIN, x4, 4));
    FAILS(KMC_ERR_SHAPE, "one for each loss", kmc_model_loss_classes(&out, fresh, label0, 1));
    OK(kmc_model_destroy(fresh));
    OK(kmc_model_updates(&before, model));
    FAILS(KMC_ERR_VALUE, "mode", kmc_model_forward_f32(model, 4, x4, 4));
    FAILS(KMC_ERR_SHAPE, "", kmc_model_forward_f32(model, KMC_MODE_TRAIN, x4, 3));
    FAILS(KMC_ERR_VALUE, "element type", kmc_model_forward_f64(model, KMC_MODE_TRAIN, w, 4));
    FAILS(KMC_ERR_SHAPE, "", kmc_model_forward_views(model, KMC_MODE_TRAIN, &view, 0));
    OK(kmc_model_forward_f32(model, KMC_MODE_TRAIN, x4, 4));
    FAILS(KMC_ERR_SHAPE, "room for 3", kmc_model_output_f32(y, 2, model, 0));
    FAILS(KMC_ERR_ORDER, "no such output", kmc_model_output_f32(y, 3, model, 1));
    FAILS(KMC_ERR_VALUE, "3", kmc_model_loss_classes(&out, model, labels + 1, 1));
    FAILS(KMC_ERR_SHAPE, "", kmc_model_loss_classes(&out, model, labels, 2));
    FAILS(KMC_ERR_VALUE, "labels or values", kmc_model_loss_targets(&out, model, &target, 1));
    FAILS(KMC_ERR_ORDER, "", kmc_model_backward(model, KMC_GRADS_WRITE));
    OK(kmc_model_forward_f32(model, KMC_MODE_TRAIN, x4, 4));
    OK(kmc_model_loss_classes(&out, model, label0, 1));
    FAILS(KMC_ERR_VALUE, "grads", kmc_model_backward(model, 3));
    FAILS(KMC_ERR_ORDER, "", kmc_model_input_gradient_f32(x4, 4, model, 0));
    OK(kmc_model_backward(model, KMC_GRADS_WRITE));
    FAILS(KMC_ERR_ORDER, "", kmc_model_backward(model, KMC_GRADS_WRITE));
    o.learning_rate = NAN;
    FAILS(KMC_ERR_VALUE, "learning rate", kmc_model_step(model, &o));
    o.learning_rate = 0.1;
    o.kind = 5;
    FAILS(KMC_ERR_VALUE, "optimizer.kind", kmc_model_step(model, &o));
    o.kind = KMC_ADAM;
    o.beta1 = 1.5;
    FAILS(KMC_ERR_VALUE, "beta", kmc_model_step(model, &o));
    o.size = 4;
    FAILS(KMC_ERR_STRUCT, "KMC_OPTIMIZER_OPTIONS_INIT", kmc_model_step(model, &o));
    FAILS(KMC_ERR_VALUE, "clip", kmc_model_step_clipped(NULL, model, &sgd, 3, 1.0));
    FAILS(KMC_ERR_VALUE, "", kmc_model_step_clipped(NULL, model, &sgd, KMC_CLIP_NORM, -1.0));
    FAILS(KMC_ERR_VALUE, "out_factor",
          kmc_model_step_clipped((double *)(void *)((char *)w + 1), model, &sgd, KMC_CLIP_NORM, 1.0));
    FAILS(KMC_ERR_VALUE, "loss",
          kmc_model_train_batch_classes((double *)(void *)((char *)w + 4), model, x4, 4, label0, 1, &sgd));
    FAILS(KMC_ERR_VALUE, "loss", kmc_trainer_step((double *)(void *)((char *)w + 4), trainer));
    OK(kmc_model_updates(&after, model));
    CHECK(before == after);
    FAILS(KMC_ERR_VALUE, "dense1.weight", kmc_model_array_get(w, 20, model, "nonsense"));
    FAILS(KMC_ERR_SHAPE, "20", kmc_model_array_get(w, 19, model, "dense1.weight"));
    FAILS(KMC_ERR_SHAPE, "", kmc_model_array_set(model, "dense1.weight", w, 5));
    w[3] = INFINITY;
    FAILS(KMC_ERR_VALUE, "values[3]", kmc_model_array_set(model, "dense1.weight", w, 20));
    FAILS(KMC_ERR_VALUE, "below", kmc_model_freeze(model, 17));
    FAILS(KMC_ERR_VALUE, "", kmc_model_scale_learning_rate(model, 1, -1.0));
    FAILS(KMC_ERR_ORDER, "", kmc_model_swap_average(model));
    FAILS(KMC_ERR_VALUE, "", kmc_model_average(model, 1.5, 0));
}

static void creation(void)
{
    kmc_trainer *t = NULL;
    kmc_model *m = NULL;
    kmc_model_options mo = KMC_MODEL_OPTIONS_INIT;
    kmc_network *wide = test_network(5, 3);
    kmc_trainer_options o = test_options();
    o.batch = 0;
    FAILS(KMC_ERR_VALUE, "batch", kmc_trainer_create(&t, net, data, NULL, &o));
    o = test_options();
    o.loss.kind = 9;
    FAILS(KMC_ERR_VALUE, "loss.kind", kmc_trainer_create(&t, net, data, NULL, &o));
    o = test_options();
    o.loss.output = "no such output";
    FAILS(KMC_ERR_PLAN, "no such output", kmc_trainer_create(&t, net, data, NULL, &o));
    o = test_options();
    o.schedule.kind = KMC_SCHEDULE_STEP;
    FAILS(KMC_ERR_VALUE, "", kmc_trainer_create(&t, net, data, NULL, &o));
    o = test_options();
    o.loss.size = 1;
    FAILS(KMC_ERR_STRUCT, "kmc_loss_options", kmc_trainer_create(&t, net, data, NULL, &o));
    o = test_options();
    o.size++;
    FAILS(KMC_ERR_STRUCT, "KMC_TRAINER_OPTIONS_INIT", kmc_trainer_create(&t, net, data, NULL, &o));
    o = test_options();
    o.threads = -2;
    FAILS(KMC_ERR_VALUE, "threads", kmc_trainer_create(&t, net, data, NULL, &o));
    o = test_options();
    o.checkpoint_every = 5;
    FAILS(KMC_ERR_VALUE, "checkpoint", kmc_trainer_create(&t, net, data, NULL, &o));
    o = test_options();
    o.precision = 6;
    FAILS(KMC_ERR_VALUE, "precision", kmc_trainer_create(&t, net, data, NULL, &o));
    o = test_options();
    FAILS(KMC_ERR_SHAPE, "", kmc_trainer_create(&t, wide, data, NULL, &o));
    mo.precision = KMC_BF16;
    mo.device = "cpu";
    FAILS(KMC_ERR_UNSUPPORTED, "", kmc_model_create(&m, net, &mo));
    mo = (kmc_model_options)KMC_MODEL_OPTIONS_INIT;
    mo.device = "cuda:9";
    FAILS(KMC_ERR_DEVICE, "cuda", kmc_model_create(&m, net, &mo));
    OK(kmc_network_destroy(wide));
    CHECK(t == NULL && m == NULL);
}

static void scores(void)
{
    kmc_scores s = KMC_SCORES_INIT;
    kmc_residuals r = KMC_RESIDUALS_INIT;
    int64_t counts[4];
    double d[2] = {1, 2}, auc = 0;
    float y36[36];
    const int32_t bad[2] = {0, 2}, same[2] = {1, 1};
    s.size = 3;
    FAILS(KMC_ERR_STRUCT, "KMC_SCORES_INIT", kmc_model_evaluate(&s, NULL, 0, model, data, 0));
    s = (kmc_scores)KMC_SCORES_INIT;
    FAILS(KMC_ERR_SHAPE, "confusion", kmc_model_evaluate(&s, counts, 4, model, data, 0));
    FAILS(KMC_ERR_VALUE, "batch", kmc_model_evaluate(&s, NULL, 0, model, data, -1));
    FAILS(KMC_ERR_SHAPE, "36", kmc_model_predict(x4, 4, model, data, 0));
    FAILS(KMC_ERR_VALUE, "2", kmc_confusion_count(counts, 2, bad, same, 2));
    FAILS(KMC_ERR_VALUE, "n_classes", kmc_confusion_count(counts, 0, bad, same, 2));
    FAILS(KMC_ERR_VALUE, "n_classes", kmc_confusion_count(counts, INT64_C(4000000000), bad, same, 2));
    FAILS(KMC_ERR_VALUE, "", kmc_roc_auc(&auc, d, same, 2));
    d[0] = NAN;
    FAILS(KMC_ERR_VALUE, "", kmc_roc_auc(&auc, d, bad, 2));
    FAILS(KMC_ERR_VALUE, "positive", kmc_temperature_apply(x4, x4, 2, 2, 0.0));
    FAILS(KMC_ERR_VALUE, "below 2", kmc_temperature_fit(&auc, x4, 2, bad, 2));
    FAILS(KMC_ERR_SHAPE, "edges", kmc_crps(&auc, x4, d, 0, d, 1));
    FAILS(KMC_ERR_VALUE, "edge", kmc_pit(d, x4, (const double[]){1, 1}, 1, (const double[]){1}, 1));
    FAILS(KMC_ERR_VALUE, "n_bins", kmc_crps(&auc, x4, d, INT64_MAX, d, 0));
    FAILS(KMC_ERR_SHAPE, "room for 36", kmc_model_predict_monte_carlo(y36, NULL, NULL, 36, y36, 1, model, data, NULL, 0, 2, 0));
    r.size = 0;
    FAILS(KMC_ERR_STRUCT, "KMC_RESIDUALS_INIT", kmc_residuals_of(&r, d, d, 2, 0, 1));
    r = (kmc_residuals)KMC_RESIDUALS_INIT;
    FAILS(KMC_ERR_VALUE, "0 or 1", kmc_residuals_of(&r, d, d, 2, 3, 1));
}

/* A function for kmc_dataset_map that calls back, and a run's callback that does. */
static kmc_status inner;

static double calls_back(double x, void *user)
{
    int64_t n = 0;
    (void)user;
    inner = kmc_dataset_len(&n, data);
    return x;
}

static int32_t uses_trainer(const kmc_progress *p, void *user)
{
    (void)p;
    (void)user;
    inner = kmc_trainer_step(NULL, trainer);
    if (inner == KMC_ERR_BUSY) inner = kmc_trainer_destroy(trainer);
    return 1;
}

static int32_t waits(const kmc_progress *p, void *user)
{
    (void)p;
    int *turn = (int *)user;
    __atomic_store_n(turn, 1, __ATOMIC_SEQ_CST);
    while (__atomic_load_n(turn, __ATOMIC_SEQ_CST) == 1) sched_yield();
    return 1;
}

static void *fits(void *user)
{
    kmc_fit_options o = KMC_FIT_OPTIONS_INIT;
    o.on_batch = waits;
    o.user = user;
    OK(kmc_trainer_fit(NULL, trainer, 1000, &o));
    return NULL;
}

static void busy(void)
{
    kmc_fit_options o = KMC_FIT_OPTIONS_INIT;
    kmc_report report = KMC_REPORT_INIT;
    kmc_model *lent = NULL;
    pthread_t thread;
    int turn = 0;
    uint64_t u = 0;
    OK(kmc_dataset_map(data, calls_back, NULL));
    CHECK(inner == KMC_ERR_BUSY && strstr(kmc_last_error(), "one call at a time") != NULL);
    inner = KMC_OK;
    o.on_batch = uses_trainer;
    OK(kmc_trainer_fit(&report, trainer, 1000, &o));
    CHECK(inner == KMC_ERR_BUSY && report.ended == KMC_ENDED_STOPPED);
    o.verbose = 9;
    FAILS(KMC_ERR_VALUE, "verbose", kmc_trainer_fit(NULL, trainer, 1, &o));
    FAILS(KMC_ERR_VALUE, "epochs", kmc_trainer_fit(NULL, trainer, -1, NULL));
    o = (kmc_fit_options)KMC_FIT_OPTIONS_INIT;
    o.csv = test_file("no-folder/history.csv");
    FAILS(KMC_ERR_IO, "no-folder", kmc_trainer_fit(NULL, trainer, 1000, &o));
    report.size = 1;
    FAILS(KMC_ERR_STRUCT, "KMC_REPORT_INIT", kmc_trainer_fit(&report, trainer, 1, NULL));
    /* Another thread, while one trains. */
    OK(kmc_trainer_model(&lent, trainer));
    if (pthread_create(&thread, NULL, fits, &turn) != 0) exit(1);
    while (__atomic_load_n(&turn, __ATOMIC_SEQ_CST) == 0) sched_yield();
    FAILS(KMC_ERR_BUSY, "another thread", kmc_trainer_epoch(&u, trainer));
    FAILS(KMC_ERR_BUSY, "another thread", kmc_model_updates(&u, lent));
    FAILS(KMC_ERR_BUSY, "another thread", kmc_trainer_destroy(trainer));
    __atomic_store_n(&turn, 2, __ATOMIC_SEQ_CST);
    pthread_join(thread, NULL);
    OK(kmc_trainer_epoch(&u, trainer));
}

/* Divergence is told, with its step. */
static void diverges(void)
{
    kmc_trainer_options o = test_options();
    o.optimizer.learning_rate = 1e38;
    o.loss.kind = KMC_LOSS_MSE;
    kmc_dataset *values = test_data(32, 4);
    kmc_network *linear = NULL;
    kmc_trainer *t = NULL;
    OK(kmc_dataset_one_hot(values));
    OK(kmc_network_create(&linear, 1, 1, 1, 4));
    OK(kmc_network_dense(linear, 3, KMC_LINEAR, NULL));
    OK(kmc_trainer_create(&t, linear, values, NULL, &o));
    FAILS(KMC_ERR_DIVERGED, "step", kmc_trainer_fit(NULL, t, 50, NULL));
    FAILS(KMC_ERR_VALUE, "valid", kmc_trainer_validate(&(kmc_scores)KMC_SCORES_INIT, NULL, 0, t));
    OK(kmc_trainer_destroy(t));
    OK(kmc_network_destroy(linear));
    OK(kmc_dataset_destroy(values));
}

/* The sentence belongs to the thread, and has an end. */
static void *another_thread(void *sentence)
{
    int64_t n = 0;
    (void)sentence;
    CHECK(kmc_last_error()[0] == '\0');
    FAILS(KMC_ERR_NULL, "data", kmc_dataset_len(&n, NULL));
    return NULL;
}

static void sentences(void)
{
    pthread_t thread;
    FAILS(KMC_ERR_NULL, "kmc_dataset_one_hot", kmc_dataset_one_hot(NULL));
    if (pthread_create(&thread, NULL, another_thread, NULL) != 0) exit(1);
    pthread_join(thread, NULL);
    CHECK(strstr(kmc_last_error(), "kmc_dataset_one_hot") != NULL);
    CHECK(strcmp(kmc_status_name(-4), "unknown status") == 0 && strcmp(kmc_status_name(99), "unknown status") == 0);
}

int main(void)
{
    void (*const suites[])(void) = {nulls,   handles,  arrays_of_data, huge,   files,    networks,
                                    open_loop, creation, scores,         busy,   diverges, sentences};
    make_all();
    for (size_t i = 0; i < sizeof suites / sizeof suites[0]; i++) {
        suites[i]();
        all_work();
    }
    OK(kmc_trainer_destroy(trainer));
    OK(kmc_model_destroy(model));
    OK(kmc_network_destroy(net));
    OK(kmc_dataset_destroy(data));
    return test_end("misuse");
}
