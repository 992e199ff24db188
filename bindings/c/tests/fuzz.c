/* Random calls with random arguments, right and wrong: fuzz SEED STEPS. No call may crash, hang, panic or lose memory; what fails
 * must say why. The same seed makes the same calls. A long run: for s in $(seq 1000); do ./fuzz $s 20000 || break; done
 * What the contract forbids and nobody can find out (a length beyond the array) is left out. */
#include "test.h"

enum { POOL = 6, ROOM = 4096 };

static uint64_t state;
static float floats[ROOM];
static double doubles[ROOM];
static int32_t ints[ROOM];
static int64_t longs[ROOM];
static void *pools[4][POOL]; /* data sets, networks, models, trainers: some live, some stale */
static int trace;
static long counts[18];

static uint64_t draw(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

static int64_t below(int64_t n)
{
    return (int64_t)((draw() >> 16) % (uint64_t)n);
}

static int chance(int percent)
{
    return below(100) < percent;
}

/* A size: mostly small, sometimes impossible. Nothing in between, which would only use up memory. */
static int64_t size(void)
{
    static const int64_t odd[] = {0, -1, INT64_MIN, INT64_MAX, INT64_C(1) << 50, INT64_C(1) << 42, -7};
    return chance(8) ? odd[below(LEN(odd))] : 1 + below(8);
}

static int64_t small(void)
{
    return 1 + below(6);
}

static double number(void)
{
    static const double odd[] = {0, -1, NAN, INFINITY, -INFINITY, 1e300, 1e-300, 5e-324, 1e38, 2};
    return chance(25) ? odd[below(LEN(odd))] : (double)below(1000) / 1000.0;
}

/* One of `n` values from 0, or none of them. */
static int32_t choice(int32_t n)
{
    return chance(5) ? (chance(50) ? n + (int32_t)below(5) : -1 - (int32_t)below(3)) : (int32_t)below(n);
}

static const char *text(void)
{
    static const char *const some[] = {"output", "dense1", "dense1.weight", "dense2.bias", "a", "", "cpu", "cuda:0", "\xff\xfe", "conv1"};
    return chance(6) ? NULL : some[below(LEN(some))];
}

static const char *file(void)
{
    static const char *const names[] = {"fuzz-a", "fuzz-b", "no-folder/x"};
    return chance(4) ? text() : test_file(names[below(3)]);
}

/* Room for `n` values, or less than nothing. */
static int64_t length(int64_t n)
{
    return chance(90) && n >= 0 && n <= ROOM ? n : chance(20) ? -below(5) : below(ROOM);
}

static void *handle(int kind)
{
    if (chance(2)) kind = (int)below(4);
    if (chance(1)) return (void *)(uintptr_t)draw();
    return pools[kind][below(POOL)];
}

#define DATA ((kmc_dataset *)handle(0))
#define NET ((kmc_network *)handle(1))
#define MODEL ((kmc_model *)handle(2))
#define TRAINER ((kmc_trainer *)handle(3))

/* Keeps a new handle in the place of an old one, which is destroyed first, or (chance) left to be found stale later. */
static void keep(int kind, void *new_one)
{
    int64_t i = below(POOL);
    if (!new_one) return;
    if (kind == 0) kmc_dataset_destroy((kmc_dataset *)pools[0][i]);
    if (kind == 1) kmc_network_destroy((kmc_network *)pools[1][i]);
    if (kind == 2) kmc_model_destroy((kmc_model *)pools[2][i]);
    if (kind == 3) kmc_trainer_destroy((kmc_trainer *)pools[3][i]);
    pools[kind][i] = new_one;
}

static int32_t sometimes(const kmc_progress *p, void *user)
{
    (void)p;
    (void)user;
    return below(40) == 0 ? (int32_t)below(3) : 0;
}

static double mapped(double x, void *user)
{
    (void)user;
    return chance(1) ? NAN : x * 0.5;
}

static void fill(void)
{
    for (int i = 0; i < ROOM; i++) {
        floats[i] = (float)below(2000) / 1000.0f - 1.0f;
        doubles[i] = (double)below(2000) / 1000.0 - 1.0;
        ints[i] = (int32_t)below(3);
        longs[i] = below(6);
    }
    if (chance(5)) floats[below(ROOM)] = NAN;
    if (chance(5)) ints[below(ROOM)] = -1;
    if (chance(5)) longs[below(ROOM)] = -1;
}

/* n d h w c that the room holds, or nonsense with NULL for the values. */
typedef struct {
    const float *x;
    const double *y;
    int64_t n, d, h, w, c;
} box;

static box a_box(void)
{
    box b = {floats, doubles, below(12), 1, chance(30) ? small() : 1, chance(50) ? small() : 1, 1 + below(4)};
    if (chance(8)) {
        box odd = {NULL, NULL, size(), size(), size(), size(), size()};
        return odd;
    }
    return b;
}

static kmc_status datasets(void)
{
    kmc_dataset *a = NULL, *b = NULL;
    const char *said = NULL;
    box x = a_box();
    kmc_status s = KMC_OK;
    switch (below(33)) {
    case 0: s = kmc_dataset_create_f32(&a, x.x, x.n, x.d, x.h, x.w, x.c, choice(3)); break;
    case 1: s = kmc_dataset_create_f64(&a, x.y, x.n, x.d, x.h, x.w, x.c, choice(3)); break;
    case 2: s = kmc_dataset_add_input_f32(DATA, x.x, x.n, x.d, x.h, x.w, x.c, choice(3)); break;
    case 3: s = kmc_dataset_add_values_f64(DATA, x.y, x.n, x.d, x.h, x.w, x.c, choice(3)); break;
    case 4: s = kmc_dataset_add_classes(DATA, ints, length(below(12)), small()); break;
    case 5: s = kmc_dataset_set_weights(DATA, doubles, length(below(12))); break;
    case 6: s = kmc_dataset_clone(&a, DATA); break;
    case 7: s = kmc_dataset_normalize(DATA, choice(7), choice(4), number(), number(), number(), chance(50) ? NULL : DATA); break;
    case 8: s = kmc_dataset_scale(DATA, number()); break;
    case 9: s = kmc_dataset_map(DATA, chance(95) ? mapped : NULL, NULL); break;
    case 10: s = kmc_dataset_pad(DATA, size(), size(), size(), size(), number()); break;
    case 11: s = kmc_dataset_reshape(DATA, size(), size(), size(), size()); break;
    case 12: s = kmc_dataset_one_hot(DATA); break;
    case 13: s = kmc_dataset_shuffle(DATA, draw()); break;
    case 14: s = kmc_dataset_rebalance(DATA, longs, length(3)); break;
    case 15: s = kmc_dataset_inputs(floats, length(below(ROOM)), DATA, choice(2)); break;
    case 16: s = kmc_dataset_labels(ints, length(below(12)), DATA, choice(2)); break;
    case 17: s = kmc_dataset_values(floats, length(below(12)), DATA, choice(2)); break;
    case 18: s = kmc_dataset_counts(longs, length(3), DATA, choice(2)); break;
    case 19: s = kmc_dataset_extent(longs, DATA, choice(2)); break;
    case 20: s = kmc_dataset_subset(&a, DATA, longs, length(below(10))); break;
    case 21: s = kmc_dataset_split(&a, &b, DATA, size()); break;
    case 22: s = kmc_dataset_split_random(&a, &b, DATA, number(), draw()); break;
    case 23: s = kmc_dataset_split_stratified(&a, &b, DATA, number(), draw()); break;
    case 24: s = kmc_dataset_fold(&a, &b, DATA, size(), choice(4), choice(2), draw()); break;
    case 25: s = kmc_dataset_balanced(&a, DATA); break;
    case 26: {
        kmc_augment_options o = KMC_AUGMENT_OPTIONS_INIT;
        o.shift = size();
        o.flip_h = number();
        o.rotation = number();
        o.noise = number();
        o.zoom_low = number();
        o.zoom_high = number();
        o.border = choice(3);
        if (chance(3)) o.size = (uint32_t)draw();
        s = kmc_dataset_augmented(&a, DATA, &o);
        break;
    }
    case 27: s = chance(50) ? kmc_dataset_make_digits(&a, size(), draw()) : kmc_dataset_make_clusters(&a, size(), size(), draw()); break;
    case 28: s = chance(50) ? kmc_dataset_make_ring(&a, size(), number(), draw()) : kmc_dataset_make_stars(&a, size(), draw()); break;
    case 29: s = chance(50) ? kmc_dataset_write_points(DATA, file()) : kmc_dataset_read_points(&a, file()); break;
    case 30: s = kmc_dataset_load(&a, DATA, chance(40) ? NULL : chance(50) ? "astronomy" : chance(50) ? "[\"l2\", {\"min_max\": {\"epsilon\": 0}}]" : text()); break;
    case 31: s = chance(50) ? kmc_fits_write_f32(file(), floats, longs, choice(4), chance(80) ? NULL : file()) : kmc_dataset_skipped(&said, DATA); break;
    case 32: {
        kmc_fits_options o = KMC_FITS_OPTIONS_INIT;
        const char *name = file(), *flux = "FLUX";
        o.missing = choice(5);
        o.stacked = choice(2);
        o.bands = choice(2);
        if (chance(10)) o.hdu = choice(2);
        if (chance(3)) o.size = 0;
        s = chance(80) ? kmc_dataset_read_fits(&a, name, &o) : kmc_dataset_read_fits_table(&a, name, &flux, 1, NULL, NULL, 0, &o);
        break;
    }
    }
    keep(0, a);
    keep(0, b);
    return s;
}

/* A data set, a network and a model that fit together: what random calls alone would seldom find. */
static kmc_status something_whole(void)
{
    kmc_dataset *data = NULL;
    kmc_network *net = NULL;
    kmc_status s = kmc_dataset_create_f32(&data, floats, 12, 1, 1, 1, 4, KMC_CHANNELS_LAST);
    if (s == KMC_OK) s = kmc_dataset_add_classes(data, ints, 12, 3);
    keep(0, data);
    if (s == KMC_OK) s = kmc_network_create(&net, 1, 1, 1, 4);
    keep(1, net);
    if (s == KMC_OK) s = kmc_network_dense(net, small(), KMC_TANH, NULL);
    if (s == KMC_OK) s = kmc_network_dense(net, 3, KMC_LINEAR, NULL);
    return s;
}

static kmc_status networks(void)
{
    kmc_network *a = NULL;
    kmc_node node = 0, nodes[2] = {choice(4), choice(4)};
    kmc_node_options to = KMC_NODE_OPTIONS_INIT;
    kmc_conv_options conv = KMC_CONV_OPTIONS_INIT;
    kmc_bayes_dense_options bayes = KMC_BAYES_DENSE_OPTIONS_INIT;
    kmc_sizes sides = {0, chance(50) ? size() : 0, chance(50) ? size() : 0};
    const char *said = NULL;
    int64_t n = 0;
    kmc_status s = KMC_OK;
    if (chance(20)) to.input = choice(5);
    if (chance(20)) to.name = text();
    if (chance(20)) conv.stride = sides;
    if (chance(10)) conv.dilation = sides;
    if (chance(10)) conv.groups = size();
    if (chance(2)) conv.size = 7;
    if (chance(20)) bayes.prior = number();
    if (chance(20)) bayes.deviation = number();
    if (chance(20)) bayes.samples = size();
    switch (below(24)) {
    case 0: s = kmc_network_create(&a, 1, chance(50) ? 1 : size(), size(), size()); break;
    case 1: s = kmc_network_clone(&a, NET); break;
    case 2: s = kmc_network_input(NET, text(), size(), size(), size(), size()); break;
    case 3: s = kmc_network_last(&node, NET); break;
    case 4: s = kmc_network_node(&node, NET, text()); break;
    case 5: s = kmc_network_set_name(NET, choice(5), text()); break;
    case 6: s = kmc_network_output(NET, text(), choice(5)); break;
    case 7: s = kmc_network_up_to(&a, NET, choice(5)); break;
    case 8: s = kmc_network_summary(&said, NET, size()); break;
    case 9: s = kmc_network_parameters(&n, NET); break;
    case 10: s = chance(70) ? kmc_network_dense(NET, size(), choice(12), NULL) : kmc_network_bayes_dense(NET, size(), choice(12), &bayes); break;
    case 11: s = kmc_network_conv(NET, size(), size(), size(), size(), choice(12), chance(50) ? NULL : &conv); break;
    case 12: s = kmc_network_conv_transpose(NET, size(), size(), size(), size(), choice(12), chance(50) ? NULL : &conv); break;
    case 13: s = kmc_network_pool(NET, choice(2), size(), NULL); break;
    case 14: s = kmc_network_norm(NET, choice(5), NULL); break;
    case 15: s = kmc_network_lrn(NET, size(), number(), number(), number(), &to); break;
    case 16: s = kmc_network_dropout(NET, number(), choice(2), &to); break;
    case 17: s = kmc_network_activation(NET, choice(12), number(), number(), &to); break;
    case 18: s = kmc_network_prelu(NET, number(), choice(2), &to); break;
    case 19: s = chance(50) ? kmc_network_flatten(NET, &to) : kmc_network_reshape(NET, size(), size(), size(), size(), &to); break;
    case 20: s = kmc_network_upsample(NET, size(), choice(2), choice(2), &to); break;
    case 21: s = chance(50) ? kmc_network_zero_pad(NET, &sides, &sides, &to) : kmc_network_crop(NET, &sides, &sides, &to); break;
    case 22: s = kmc_network_add(NET, nodes, length(2) % 3, text()); break;
    case 23: s = kmc_network_concat(NET, nodes, length(2) % 3, text()); break;
    }
    keep(1, a);
    return s;
}

static kmc_optimizer_options an_optimizer(void)
{
    kmc_optimizer_options o = KMC_OPTIMIZER_OPTIONS_INIT;
    o.kind = choice(5);
    if (chance(30)) o.learning_rate = number();
    if (chance(20)) o.momentum = number();
    if (chance(10)) o.beta1 = number();
    if (chance(10)) o.weight_decay = number();
    if (chance(10)) o.amsgrad = choice(2);
    if (chance(2)) o.size = 0;
    return o;
}

static kmc_loss_options a_loss(void)
{
    kmc_loss_options o = KMC_LOSS_OPTIONS_INIT;
    if (chance(40)) o.kind = choice(9);
    if (chance(10)) o.temperature = number();
    if (chance(10)) o.smoothing = number();
    if (chance(10)) o.delta = number();
    if (chance(10)) o.output = text();
    if (chance(10)) {
        o.class_weights = doubles;
        o.n_class_weights = length(3);
    }
    return o;
}

static kmc_status models(void)
{
    kmc_model *a = NULL;
    kmc_network *net = NULL;
    kmc_model *m = MODEL;
    kmc_optimizer_options o = an_optimizer();
    kmc_model_options mo = KMC_MODEL_OPTIONS_INIT;
    kmc_loss_options loss = a_loss();
    kmc_scores scores = KMC_SCORES_INIT;
    const char *said = NULL;
    double value = 0;
    int64_t n = 4 * below(8);
    uint64_t updates = 0;
    kmc_status s = KMC_OK;
    mo.device = chance(90) ? "cpu" : text();
    mo.precision = chance(80) ? KMC_FP32 : choice(6);
    mo.threads = 1;
    mo.losses = &loss;
    mo.n_losses = chance(80);
    if (chance(10)) mo.samples = size();
    switch (below(32)) {
    case 30: s = kmc_model_saliency(floats + 2048, length(n), m, floats, ints, length(n / 4), choice(3), below(3), number(), draw()); break;
    case 31: s = chance(50) ? kmc_model_grad_cam(floats + 2048, length(n), m, floats, length(n), ints, length(n / 4), choice(4))
                            : kmc_model_predict_fits(m, file(), file(), chance(80) ? 1 : size(), small(), size(), NULL); break;
    case 0: case 1: s = kmc_model_create(&a, NET, chance(90) ? &mo : NULL); break;
    case 2: s = kmc_model_load(&a, file(), "cpu"); break;
    case 3: s = kmc_model_save(m, file()); break;
    case 4: s = kmc_model_restore(m, file()); break;
    case 5: s = kmc_model_restore_some(&n, m, file(), text()); break;
    case 6: s = kmc_model_updates(&updates, m); break;
    case 7: s = kmc_model_summary(&said, m); break;
    case 8: s = chance(50) ? kmc_model_freeze(m, choice(4)) : kmc_model_unfreeze(m, choice(4)); break;
    case 9: s = kmc_model_scale_learning_rate(m, choice(4), number()); break;
    case 10: s = kmc_model_keep(m, choice(4)); break;
    case 11: s = kmc_model_network(&net, m); break;
    case 12: s = kmc_model_array_name(&said, m, size()); break;
    case 13: s = kmc_model_array_get(doubles, length(below(30)), m, text()); break;
    case 14: s = kmc_model_array_set(m, text(), doubles, length(below(30))); break;
    case 15: s = kmc_model_array_gradient(doubles, length(below(30)), m, text()); break;
    case 16: s = kmc_model_evaluate(&scores, chance(50) ? NULL : longs, chance(50) ? 0 : 9, m, DATA, size()); break;
    case 17: s = kmc_model_predict(floats, length(36), m, DATA, size()); break;
    case 18: s = kmc_model_predict_classes(ints, length(12), m, DATA, size()); break;
    case 19: s = kmc_model_predict_monte_carlo(floats, NULL, floats + 2048, chance(90) ? 36 : below(100), chance(50) ? NULL : floats + 1024, chance(90) ? 12 : below(100), m, DATA, doubles, below(3), size(), size()); break;
    case 20: case 21: s = kmc_model_forward_f32(m, choice(4), floats, length(n)); break;
    case 22: s = chance(50) ? kmc_model_loss_classes(&value, m, ints, length(n / 4)) : kmc_model_loss_values_f32(&value, m, floats, length(n)); break;
    case 23: s = chance(70) ? kmc_model_backward(m, choice(3)) : kmc_model_backward_from_f32(m, floats, length(n / 4 * 3), choice(3)); break;
    case 24: s = chance(50) ? kmc_model_output_f32(floats, length(n / 4 * 3), m, choice(2)) : kmc_model_input_gradient_f32(floats, length(n), m, choice(2)); break;
    case 25: s = chance(50) ? kmc_model_node_f32(floats, length(n), m, choice(4)) : kmc_model_node_gradient_f32(floats, length(n), m, choice(4)); break;
    case 26: s = chance(50) ? kmc_model_step(m, &o) : kmc_model_step_clipped(&value, m, &o, choice(3), number()); break;
    case 27: s = chance(50) ? kmc_model_average(m, number(), choice(2)) : kmc_model_swap_average(m); break;
    case 28: s = kmc_model_train_batch_classes(&value, m, floats, length(n), ints, length(n / 4), &o); break;
    case 29: s = chance(50) ? kmc_model_train_batch_values(&value, m, floats, length(n), floats, length(n / 4 * 3), &o) : kmc_model_make_prediction(m); break;
    }
    keep(2, a);
    keep(1, net);
    return s;
}

static kmc_status trainers(void)
{
    kmc_trainer *a = NULL, *t = TRAINER;
    kmc_model *lent = NULL;
    kmc_trainer_options o = KMC_TRAINER_OPTIONS_INIT;
    kmc_fit_options fit = KMC_FIT_OPTIONS_INIT;
    kmc_report report = KMC_REPORT_INIT;
    kmc_scores scores = KMC_SCORES_INIT;
    kmc_record records[4];
    double value = 0;
    uint64_t u = 0, epochs = 0;
    int64_t n = 0;
    kmc_status s = KMC_OK;
    o.device = "cpu";
    o.threads = (int32_t)below(3);
    o.batch = size();
    o.seed = draw();
    o.loss = a_loss();
    o.optimizer = an_optimizer();
    if (chance(20)) o.schedule.kind = choice(9);
    if (chance(20)) o.schedule.period = size();
    if (chance(20)) o.schedule.factor = number();
    if (chance(20)) o.schedule.warm_up = size();
    if (chance(20)) o.clip = choice(3);
    if (chance(20)) o.clip_bound = number();
    if (chance(20)) o.ema_decay = number();
    if (chance(20)) o.accumulate = size();
    if (chance(20)) o.validate_every = size();
    if (chance(20)) o.early_patience = size();
    if (chance(10)) o.plateau_patience = size();
    if (chance(10)) o.checkpoint = file();
    if (chance(10)) o.resume = file();
    if (chance(70)) fit.on_batch = sometimes;
    if (chance(10)) fit.csv = test_file("times.csv");
    if (chance(2)) fit.size = 0;
    switch (below(13)) {
    case 0: case 1: case 2: s = kmc_trainer_create(&a, NET, DATA, chance(50) ? NULL : DATA, &o); break;
    case 3: s = kmc_trainer_model(&lent, t); break;
    case 4: case 5: s = kmc_trainer_step(&value, t); break;
    case 6: s = kmc_trainer_validate(&scores, NULL, 0, t); break;
    case 7: s = kmc_trainer_learning_rate(&value, t); break;
    case 8: s = kmc_trainer_history(records, length(4) % 5, &n, t); break;
    case 9: s = kmc_trainer_save(t, file()); break;
    case 10: s = kmc_trainer_restore(t, file()); break;
    case 11: kmc_request_stop(t); break;
    case 12:
        /* At most three epochs beyond those that are done. */
        s = kmc_trainer_epoch(&epochs, t);
        if (s == KMC_OK) s = kmc_trainer_fit(&report, t, (int64_t)epochs + below(4) - chance(5) * 1000, &fit);
        break;
    }
    if (s == KMC_OK && chance(5)) s = kmc_trainer_epoch(&u, t) == KMC_OK ? KMC_OK : s;
    keep(3, a);
    keep(2, lent);
    return s;
}

static kmc_status others(void)
{
    const char *said = NULL;
    double a = 0, b = 0;
    kmc_residuals r = KMC_RESIDUALS_INIT;
    switch (below(11)) {
    case 7: return kmc_temperature_fit(&a, floats, small(), ints, below(20));
    case 8: return kmc_temperature_apply(floats + 2048, floats, small(), below(20), number());
    case 9: return chance(50) ? kmc_crps(&a, floats, doubles, small(), doubles + 20, below(20))
                              : kmc_pit(doubles, floats, doubles, small(), doubles + 20, below(20));
    case 0: return kmc_confusion_count(longs, chance(90) ? small() : 0, ints, ints + 50, below(40));
    case 1: return kmc_confusion_text(&said, longs, small(), NULL);
    case 2: return kmc_confusion_scores(doubles, NULL, doubles + 10, &a, longs, small());
    case 3: return kmc_roc_auc(&a, doubles, ints, below(20));
    case 4: return kmc_top_k(&a, floats, small(), ints, below(20), size());
    case 5: return kmc_calibration(&a, &b, floats, small(), ints, below(20), 1 + below(20));
    case 6: return kmc_residuals_of(&r, doubles, doubles + 100, below(20), choice(2), number());
    default: return kmc_device_name(&said, text());
    }
}

static void three(int64_t *to)
{
    for (int i = 0; i < 3; i++)
        if (chance(40)) to[i] = size();
}

static int64_t at_least_one(int64_t n)
{
    return n == 0 ? 1 : n;
}

/* How many values there are in these sizes, if it is a number for `room`; otherwise any. */
static int64_t product(const int64_t *sizes, int64_t room)
{
    int64_t n = 1;
    for (int i = 0; i < 4 && n > 0 && n <= room; i++) n = sizes[i] > room || sizes[i] < 0 ? -1 : n * at_least_one(sizes[i]);
    return n > 0 && n <= room && chance(90) ? n : below(room);
}

/* Arrays whose lengths the library is told must be right or refused; those that it derives from sizes stay within ROOM. */
static kmc_status compute(void)
{
    kmc_window w = KMC_WINDOW_INIT;
    kmc_kmeans_options o = KMC_KMEANS_OPTIONS_INIT;
    kmc_kmeans_result found = KMC_KMEANS_RESULT_INIT;
    float *y = floats + 2048;
    int64_t m = below(9), n = below(9), k = below(9), e[4];
    int64_t x_sizes[4], w_sizes[4], x_len, y_len, w_len;
    double loss = 0;
    w.d = chance(20) ? size() : 0;
    w.h = chance(50) ? size() : 0;
    w.w = size();
    w.c = size();
    w.filters = size();
    three(w.kernel);
    three(w.stride);
    three(w.before);
    three(w.after);
    three(w.dilation);
    if (chance(20)) w.groups = size();
    if (chance(2)) w.size = 1;
    memset(e, 0, sizeof e);
    kmc_window_output(e, &w);
    x_sizes[0] = w.d, x_sizes[1] = w.h, x_sizes[2] = w.w, x_sizes[3] = w.c;
    x_len = product(x_sizes, 1024);
    y_len = product(e, 2048);
    w_sizes[0] = at_least_one(w.kernel[0]), w_sizes[1] = w.kernel[1], w_sizes[2] = w.kernel[2];
    w_sizes[3] = w.c > 0 && w.c < 100 && w.filters > 0 && w.filters < 100 ? w.c * w.filters : -1;
    w_len = product(w_sizes, 1024);
    o.start = choice(2);
    o.restarts = below(4);
    o.max_iterations = below(6);
    o.tolerance = number();
    switch (below(14)) {
    case 0: return kmc_sgemm(101 + (int32_t)below(2), 111 + (int32_t)below(3), 111 + (int32_t)below(2), m, n, k, (float)number(), floats,
                             8 + below(3), floats + 200, 8 + below(3), (float)number(), y, 8 + below(3));
    case 1: return kmc_dgemm(101, 111, 111, size() % 9, n, k, number(), doubles, below(12), doubles + 200, 9, number(), doubles + 400, 9);
    case 2: return kmc_window_output(e, &w);
    case 3: return kmc_im2col_f32(y, length(below(2048)), floats, length(below(2048)), &w);
    case 4: return kmc_col2im_f32(y, length(below(2048)), floats, length(below(2048)), &w);
    case 5:
        /* The bias is as long as there are filters. */
        if (w.filters > ROOM / 2) w.filters = 2, y_len = 1;
        return kmc_conv_forward_f32(y, y_len, floats, x_len, floats + 1024, w_len, chance(50) ? NULL : floats, &w, chance(90) ? 1 : size());
    case 6: return kmc_conv_input_gradient_f32(y, x_len, floats, y_len, floats + 1024, w_len, &w, chance(90) ? 1 : size());
    case 7: return kmc_conv_weight_gradient_f32(y, w_len, NULL, floats, x_len, floats, y_len, &w, chance(90) ? 1 : size());
    case 8: return kmc_pool_forward_f32(y, y_len, floats, x_len, choice(2), &w, chance(90) ? 1 : size());
    case 9: return kmc_kmeans_f32(&found, y, chance(50) ? NULL : ints, floats, 1 + below(40), small(), small() + (chance(5) ? 100 : 0), &o);
    case 10: return kmc_softmax_cross_entropy_f32(&loss, chance(50) ? NULL : y, floats, ints, below(20), small());
    case 11: return kmc_mse_f64(&loss, chance(50) ? NULL : doubles + 2048, doubles, doubles + 1024, below(20), small(), choice(2));
    case 12: return kmc_argmax_f32(ints, floats, below(20), small());
    default: return kmc_activation_forward_f32(y, floats, 12 * below(20), choice(12), number(), number(), small());
    }
}

static kmc_status destroy_one(void)
{
    /* The handle stays in its pool: later calls meet a stale one. */
    switch (below(4)) {
    case 0: return kmc_dataset_destroy(DATA);
    case 1: return kmc_network_destroy(NET);
    case 2: return kmc_model_destroy(MODEL);
    default: return kmc_trainer_destroy(TRAINER);
    }
}

int main(int argc, char **argv)
{
    uint64_t seed = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;
    long steps = argc > 2 ? atol(argv[2]) : 5000;
    trace = getenv("KMC_FUZZ_TRACE") != NULL;
    state = (seed + 1) * UINT64_C(0x9e3779b97f4a7c15);
    for (long i = 0; i < steps; i++) {
        int64_t kind = below(100);
        kmc_status s;
        if (i % 64 == 0) fill();
        s = kind < 25 ? datasets() : kind < 45 ? networks() : kind < 70 ? models() : kind < 85 ? trainers() : kind < 91 ? something_whole()
          : kind < 93 ? others() : kind < 97 ? compute() : destroy_one();
        if (trace) fprintf(stderr, "%ld %d %s %s\n", i, (int)kind, kmc_status_name(s), s ? kmc_last_error() : "");
        if (s < 0 || s > 17 || s == KMC_ERR_PANIC || s == KMC_ERR_POISONED || (s != KMC_OK && kmc_last_error()[0] == '\0')) {
            fprintf(stderr, "seed %" PRIu64 ", step %ld: %s: %s\n", seed, i, kmc_status_name(s), kmc_last_error());
            return 1;
        }
        counts[s]++;
    }
    for (int k = 0; k < POOL; k++) {
        kmc_trainer_destroy((kmc_trainer *)pools[3][k]);
        kmc_model_destroy((kmc_model *)pools[2][k]);
        kmc_network_destroy((kmc_network *)pools[1][k]);
        kmc_dataset_destroy((kmc_dataset *)pools[0][k]);
    }
    /* A fuzzer whose calls all fail would find nothing. */
    int dull = counts[KMC_OK] < steps / 5 || counts[KMC_ERR_SHAPE] == 0 || counts[KMC_ERR_HANDLE] == 0;
    printf("fuzz seed %" PRIu64 ": %ld calls, %ld succeeded\n", seed, steps, counts[KMC_OK]);
    return dull;
}
