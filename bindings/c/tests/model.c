/* Networks and models: every layer, the open loop, weights by name, checkpoints. */
#include "test.h"

static kmc_network *image(void)
{
    kmc_network *net = NULL;
    OK(kmc_network_create(&net, 1, 8, 8, 2));
    return net;
}

/* Every layer in one network with a branch, trained on. */
static void layers(void)
{
    kmc_network *net = image();
    kmc_sizes one = {0, 1, 1};
    kmc_node conv = -5, branch = -5, last = -5, both[2];
    kmc_node_options to = KMC_NODE_OPTIONS_INIT;
    const char *text = NULL;
    int64_t parameters = 0;
    OK(kmc_network_conv(net, 4, 3, 1, 1, KMC_RELU, NULL));
    OK(kmc_network_last(&conv, net));
    CHECK(conv == 1);
    OK(kmc_network_norm(net, KMC_NORM_BATCH, NULL));
    OK(kmc_network_last(&branch, net));
    to.input = conv;
    to.name = "prelu_of_conv";
    OK(kmc_network_prelu(net, 0.1, 0, &to));
    OK(kmc_network_last(&both[0], net));
    both[1] = branch;
    OK(kmc_network_add(net, both, 2, "sum"));
    OK(kmc_network_concat(net, both, 2, NULL));
    OK(kmc_network_lrn(net, 3, 1.0, 1e-4, 0.75, NULL));
    OK(kmc_network_pool(net, KMC_POOL_AVERAGE, 2, NULL));
    OK(kmc_network_upsample(net, 2, 0, 0, NULL));
    OK(kmc_network_zero_pad(net, &one, &one, NULL));
    OK(kmc_network_crop(net, &one, &one, NULL));
    OK(kmc_network_conv_transpose(net, 3, 2, 2, 0, KMC_LINEAR, NULL));
    OK(kmc_network_activation(net, KMC_SCALED_LOGISTIC, 1.0, 6.0, NULL));
    OK(kmc_network_dropout(net, 0.1, 1, NULL));
    OK(kmc_network_reshape(net, 1, 8, 32, 3, NULL));
    OK(kmc_network_flatten(net, NULL));
    OK(kmc_network_dense(net, 3, KMC_LINEAR, NULL));
    OK(kmc_network_last(&last, net));
    OK(kmc_network_set_name(net, last, "head"));
    OK(kmc_network_node(&conv, net, "head"));
    CHECK(conv == last);
    OK(kmc_network_node_name(&text, net, both[0]));
    CHECK(strcmp(text, "prelu_of_conv") == 0);
    OK(kmc_network_output(net, "classes", last));
    OK(kmc_network_summary(&text, net, 4));
    CHECK(strstr(text, "head") != NULL && strstr(text, "prelu_of_conv") != NULL);
    OK(kmc_network_parameters(&parameters, net));
    /* conv 2*9*4+4, norm 2*4, prelu 4, transposed 8*2*2*3+3, dense 768*3+3 */
    CHECK(parameters == 76 + 8 + 4 + 99 + 2307);

    kmc_network *encoder = NULL, *copy = NULL, *of_model = NULL;
    kmc_model *model = NULL;
    kmc_model_options o = KMC_MODEL_OPTIONS_INIT;
    kmc_loss_options loss = KMC_LOSS_OPTIONS_INIT;
    kmc_optimizer_options sgd = KMC_OPTIMIZER_OPTIONS_INIT;
    float x[256];
    const int32_t labels[2] = {0, 2};
    double first = 0, now = 0;
    for (int i = 0; i < 256; i++) x[i] = (float)(i * 37 % 101) / 50.0f - 1.0f;
    OK(kmc_network_up_to(&encoder, net, branch));
    OK(kmc_network_parameters(&parameters, encoder));
    CHECK(parameters == 84);
    OK(kmc_network_clone(&copy, net));
    o.losses = &loss;
    o.n_losses = 1;
    o.device = "cpu";
    o.threads = 2;
    o.spare_biases = 1;
    OK(kmc_model_create(&model, copy, &o));
    OK(kmc_network_destroy(copy));
    OK(kmc_model_network(&of_model, model));
    OK(kmc_network_node(&conv, of_model, "head"));
    CHECK(conv == last);
    OK(kmc_model_train_batch_classes(&first, model, x, 256, labels, 2, &sgd));
    for (int i = 0; i < 20; i++) OK(kmc_model_train_batch_classes(&now, model, x, 256, labels, 2, &sgd));
    CHECK(now < first);
    OK(kmc_model_destroy(model));
    OK(kmc_network_destroy(of_model));
    OK(kmc_network_destroy(encoder));
    OK(kmc_network_destroy(net));
}

/* A model on 4 numbers with three classes, in single or double precision. */
static kmc_model *small(kmc_precision precision, kmc_loss kind)
{
    kmc_network *net = test_network(4, 5);
    kmc_model *model = NULL;
    kmc_model_options o = KMC_MODEL_OPTIONS_INIT;
    kmc_loss_options loss = KMC_LOSS_OPTIONS_INIT;
    loss.kind = kind;
    o.precision = precision;
    o.seed = 3;
    o.device = "cpu";
    o.losses = &loss;
    o.n_losses = 1;
    OK(kmc_model_create(&model, net, &o));
    OK(kmc_network_destroy(net));
    return model;
}

static const double X[8] = {0.5, -1.0, 0.25, 2.0, -0.75, 0.125, 1.5, -0.5};
static const double T[6] = {1, 0, 0, 0, 0, 1};

static double loss_at(kmc_model *model, const double *x)
{
    double loss = 0;
    OK(kmc_model_forward_f64(model, KMC_MODE_EVAL, x, 8));
    OK(kmc_model_loss_values_f64(&loss, model, T, 6));
    return loss;
}

/* Gradients wrt an input and a weight against two-sided differences. */
static void open_loop_double(void)
{
    kmc_model *model = small(KMC_FP64, KMC_LOSS_MSE);
    double x[8], dx[8], y[6], dy[6], w[20], dw[20], again[8];
    const double h = 1e-6;
    memcpy(x, X, sizeof x);
    loss_at(model, x);
    OK(kmc_model_backward(model, KMC_GRADS_WRITE));
    OK(kmc_model_input_gradient_f64(dx, 8, model, 0));
    OK(kmc_model_array_gradient(dw, 20, model, "dense1.weight"));
    OK(kmc_model_output_f64(y, 6, model, 0));
    x[3] += h;
    double up = loss_at(model, x);
    x[3] -= 2 * h;
    double down = loss_at(model, x);
    x[3] += h;
    CHECK(fabs((up - down) / (2 * h) - dx[3]) < 1e-8 && fabs(dx[3]) > 1e-4);
    OK(kmc_model_array_get(w, 20, model, "dense1.weight"));
    w[7] += h;
    OK(kmc_model_array_set(model, "dense1.weight", w, 20));
    up = loss_at(model, X);
    w[7] -= 2 * h;
    OK(kmc_model_array_set(model, "dense1.weight", w, 20));
    down = loss_at(model, X);
    w[7] += h;
    OK(kmc_model_array_set(model, "dense1.weight", w, 20));
    CHECK(fabs((up - down) / (2 * h) - dw[7]) < 1e-8 && fabs(dw[7]) > 1e-4);
    /* The caller's own gradient of the same loss: 2 (y - t) / 3 outputs / 2 rows. */
    OK(kmc_model_forward_f64(model, KMC_MODE_EVAL, X, 8));
    for (int i = 0; i < 6; i++) dy[i] = (y[i] - T[i]) / 3;
    OK(kmc_model_backward_from_f64(model, dy, 6, KMC_GRADS_SKIP));
    OK(kmc_model_input_gradient_f64(again, 8, model, 0));
    int equal = 1;
    for (int i = 0; i < 8; i++) equal &= fabs(again[i] - dx[i]) < 1e-12;
    CHECK(equal);
    OK(kmc_model_destroy(model));
}

static void open_loop_single(void)
{
    kmc_model *model = small(KMC_FP32, KMC_LOSS_SOFTMAX_CROSS_ENTROPY);
    kmc_optimizer_options adam = KMC_OPTIMIZER_OPTIONS_INIT;
    kmc_view view = {NULL, 2, 1, 1, 1, 4};
    kmc_target target = {NULL, NULL, 2};
    const int32_t labels[2] = {0, 2};
    const float values[6] = {1, 0, 0, 0, 0, 1}, dy[6] = {1, 0, 0, 0, 0, 0};
    float x[8], y[6], dx[8];
    double a = 0, b = 0, factor = 0;
    uint64_t updates = 99;
    int64_t e[4];
    for (int i = 0; i < 8; i++) x[i] = (float)X[i];
    adam.kind = KMC_ADAM;
    OK(kmc_model_keep(model, 1));
    OK(kmc_model_forward_f32(model, KMC_MODE_TRAIN, x, 8));
    OK(kmc_model_loss_classes(&a, model, labels, 2));
    OK(kmc_model_backward(model, KMC_GRADS_WRITE));
    OK(kmc_model_input_gradient_f32(dx, 8, model, 0));
    CHECK(dx[0] != 0);
    float kept[10], kept_gradient[10];
    OK(kmc_model_node_f32(kept, 10, model, 1));
    OK(kmc_model_node_gradient_f32(kept_gradient, 10, model, 1));
    CHECK(fabsf(kept[0]) < 1 && kept[0] != 0 && kept_gradient[0] != 0);
    OK(kmc_model_step(model, &adam));
    view.x = x;
    target.labels = labels;
    OK(kmc_model_forward_views(model, KMC_MODE_TRAIN, &view, 1));
    OK(kmc_model_loss_targets(&b, model, &target, 1));
    CHECK(b < a);
    OK(kmc_model_backward(model, KMC_GRADS_WRITE));
    OK(kmc_model_step_clipped(&factor, model, &adam, KMC_CLIP_NORM, 1e-3));
    CHECK(factor > 0 && factor < 1);
    OK(kmc_model_updates(&updates, model));
    CHECK(updates == 2);
    OK(kmc_model_forward_f32(model, KMC_MODE_EVAL, x, 8));
    OK(kmc_model_backward_from_f32(model, dy, 6, KMC_GRADS_SKIP));
    OK(kmc_model_forward_f32(model, KMC_MODE_INFER, x, 8));
    OK(kmc_model_make_prediction(model));
    OK(kmc_model_output_f32(y, 6, model, 0));
    CHECK(fabsf(y[0] + y[1] + y[2] - 1) < 1e-6f);
    OK(kmc_model_output_extent(e, model, 0));
    CHECK(e[0] == 1 && e[1] == 1 && e[2] == 1 && e[3] == 3);
    OK(kmc_model_average(model, 0.9, 0));
    OK(kmc_model_swap_average(model));
    OK(kmc_model_swap_average(model));
    OK(kmc_model_destroy(model));
    model = small(KMC_FP32, KMC_LOSS_MSE);
    OK(kmc_model_forward_f32(model, KMC_MODE_TRAIN, x, 8));
    OK(kmc_model_loss_values_f32(&a, model, values, 6));
    OK(kmc_model_train_batch_values(&b, model, x, 8, values, 6, &adam));
    CHECK(a == b);
    OK(kmc_model_destroy(model));
}

static void arrays(void)
{
    kmc_model *model = small(KMC_FP32, KMC_LOSS_MSE);
    kmc_optimizer_options sgd = KMC_OPTIMIZER_OPTIONS_INIT;
    const float x[4] = {1, 2, 3, 4}, t[3] = {1, 0, 0};
    const char *text = NULL;
    int64_t n = 0, shape[8], rank = 0;
    double before[20], after[20], head[15], moved[15];
    OK(kmc_model_array_count(&n, model));
    CHECK(n == 4);
    OK(kmc_model_array_name(&text, model, 0));
    CHECK(strcmp(text, "dense1.weight") == 0);
    OK(kmc_model_array_shape(shape, &rank, model, "dense1.weight"));
    CHECK(rank == 2 && shape[0] == 4 && shape[1] == 5 && shape[2] == 1);
    OK(kmc_model_freeze(model, 1));
    OK(kmc_model_scale_learning_rate(model, 2, 0.5));
    OK(kmc_model_array_get(before, 20, model, "dense1.weight"));
    OK(kmc_model_array_get(head, 15, model, "dense2.weight"));
    OK(kmc_model_train_batch_values(NULL, model, x, 4, t, 3, &sgd));
    OK(kmc_model_array_get(after, 20, model, "dense1.weight"));
    OK(kmc_model_array_get(moved, 15, model, "dense2.weight"));
    CHECK(memcmp(before, after, sizeof before) == 0 && memcmp(head, moved, sizeof head) != 0);
    OK(kmc_model_unfreeze(model, 1));
    OK(kmc_model_train_batch_values(NULL, model, x, 4, t, 3, &sgd));
    OK(kmc_model_array_get(after, 20, model, "dense1.weight"));
    CHECK(memcmp(before, after, sizeof before) != 0);
    OK(kmc_model_device(&text, model));
    CHECK(strncmp(text, "cpu", 3) == 0);
    OK(kmc_model_summary(&text, model));
    CHECK(strstr(text, "dense1") != NULL);
    OK(kmc_model_destroy(model));
}

static void files(void)
{
    kmc_model *a = small(KMC_FP32, KMC_LOSS_SOFTMAX_CROSS_ENTROPY), *b = NULL;
    kmc_dataset *data = test_data(30, 4);
    const char *path = test_file("model.safetensors");
    double w[20], v[20];
    int64_t n = 0, confusion[9], sum = 0;
    float y[90], z[90], mean[90], deviation[90], entropies[90], quantiles[180];
    int32_t classes[30];
    const double q[2] = {0.1, 0.9};
    kmc_scores scores = KMC_SCORES_INIT;
    OK(kmc_model_save(a, path));
    OK(kmc_model_load(&b, path, "cpu"));
    OK(kmc_model_predict(y, 90, a, data, 8));
    OK(kmc_model_predict(z, 90, b, data, 7));
    CHECK(memcmp(y, z, sizeof y) == 0);
    OK(kmc_model_array_get(w, 20, a, "dense1.weight"));
    memset(v, 0, sizeof v);
    OK(kmc_model_array_set(b, "dense1.weight", v, 20));
    OK(kmc_model_restore_some(&n, b, path, "dense1."));
    OK(kmc_model_array_get(v, 20, b, "dense1.weight"));
    CHECK(n == 2 && memcmp(v, w, sizeof v) == 0);
    memset(v, 0, sizeof v);
    OK(kmc_model_array_set(b, "dense1.weight", v, 20));
    OK(kmc_model_restore(b, path));
    OK(kmc_model_predict(z, 90, b, data, 0));
    CHECK(memcmp(y, z, sizeof y) == 0);
    OK(kmc_model_evaluate(&scores, confusion, 9, a, data, 0));
    for (int i = 0; i < 9; i++) sum += confusion[i];
    CHECK(scores.samples == 30 && scores.classes == 3 && sum == 30 && scores.loss > 0 && isnan(scores.rmse));
    CHECK(fabs(scores.accuracy - (double)(confusion[0] + confusion[4] + confusion[8]) / 30) < 1e-15);
    OK(kmc_model_predict_classes(classes, 30, a, data, 0));
    CHECK(y[classes[0]] >= y[0] && y[classes[0]] >= y[1] && y[classes[0]] >= y[2]);
    /* Without dropout every draw is the same. */
    OK(kmc_model_predict_monte_carlo(mean, deviation, quantiles, 90, entropies, 30, a, data, q, 2, 3, 16));
    CHECK(fabsf(mean[0] - y[0]) < 1e-6f && deviation[5] == 0 && quantiles[0] == quantiles[90]);
    CHECK(fabsf(entropies[0] - entropies[30]) < 1e-6f && entropies[0] > 0 && entropies[0] <= 1.0987f && entropies[60] < 1e-6f);
    OK(kmc_model_destroy(a));
    OK(kmc_model_destroy(b));
    OK(kmc_dataset_destroy(data));
}

/* A variational layer learns, draws weights, and tells what it does not know; the divergence is part of the loss. */
static void variational(void)
{
    kmc_network *net = NULL;
    kmc_trainer *trainer = NULL;
    kmc_model *model = NULL, *alone = NULL;
    kmc_dataset *data = test_data(96, 4);
    kmc_bayes_dense_options o = KMC_BAYES_DENSE_OPTIONS_INIT;
    kmc_trainer_options t = test_options();
    kmc_model_options m = KMC_MODEL_OPTIONS_INIT;
    kmc_loss_options loss = KMC_LOSS_OPTIONS_INIT;
    kmc_report report = KMC_REPORT_INIT;
    const float x[4] = {1, 2, 3, 4};
    const int32_t label[1] = {1};
    float mean[288], deviation[288], entropies[288];
    double with[2];
    int spread = 1, apart = 1;
    o.name = "guess";
    o.prior = 0.5;
    o.deviation = 0.1;
    OK(kmc_network_create(&net, 1, 1, 1, 4));
    OK(kmc_network_bayes_dense(net, 8, KMC_TANH, &o));
    OK(kmc_network_dense(net, 3, KMC_LINEAR, NULL));
    t.optimizer.kind = KMC_ADAM;
    t.optimizer.learning_rate = 0.02;
    OK(kmc_trainer_create(&trainer, net, data, NULL, &t));
    OK(kmc_trainer_fit(&report, trainer, 20, NULL));
    OK(kmc_trainer_model(&model, trainer));
    OK(kmc_model_predict_monte_carlo(mean, deviation, NULL, 288, entropies, 96, model, data, NULL, 0, 20, 0));
    for (int i = 0; i < 288; i++) spread &= deviation[i] > 0;
    for (int i = 0; i < 96; i++) {
        apart &= entropies[192 + i] > 0 && fabsf(entropies[i] - entropies[96 + i] - entropies[192 + i]) < 1e-5f;
    }
    CHECK(spread && apart && report.loss > 0);
    /* The weights begin at 0.1, so that with a thousand samples the loss is nearly the data's, and with ten ten times further away. */
    m.losses = &loss;
    m.n_losses = 1;
    m.device = "cpu";
    m.seed = 1;
    for (int i = 0; i < 2; i++) {
        m.samples = i ? 100000 : 10;
        OK(kmc_model_create(&alone, net, &m));
        OK(kmc_model_forward_f32(alone, KMC_MODE_EVAL, x, 4));
        OK(kmc_model_loss_classes(&with[i], alone, label, 1));
        OK(kmc_model_destroy(alone));
    }
    CHECK(with[0] > with[1] + 1.0);
    OK(kmc_trainer_destroy(trainer));
    OK(kmc_network_destroy(net));
    OK(kmc_dataset_destroy(data));
}

/* Two views of each sample, as two positions, are told from all others; there is no target. */
static void contrastive(void)
{
    kmc_network *net = NULL;
    kmc_trainer *trainer = NULL;
    kmc_model *model = NULL;
    kmc_dataset *data = NULL;
    kmc_trainer_options t = test_options();
    kmc_report first = KMC_REPORT_INIT, last = KMC_REPORT_INIT;
    kmc_target none = {NULL, NULL, 0};
    float x[320];
    double loss = 0;
    for (int i = 0; i < 320; i++) x[i] = sinf((float)(i / 10 * 7 + i % 5)) + 0.01f * (float)(i % 3);
    OK(kmc_dataset_create_f32(&data, x, 32, 1, 1, 2, 5, KMC_CHANNELS_LAST));
    OK(kmc_network_create(&net, 1, 1, 2, 5));
    OK(kmc_network_conv(net, 8, 1, 1, 0, KMC_RELU, NULL));
    OK(kmc_network_conv(net, 4, 1, 1, 0, KMC_LINEAR, NULL));
    t.loss.kind = KMC_LOSS_NT_XENT;
    t.loss.temperature = 0.2;
    OK(kmc_trainer_create(&trainer, net, data, NULL, &t));
    OK(kmc_trainer_fit(&first, trainer, 1, NULL));
    OK(kmc_trainer_fit(&last, trainer, 20, NULL));
    CHECK(last.loss > 0 && last.loss < first.loss);
    OK(kmc_trainer_model(&model, trainer));
    OK(kmc_model_forward_f32(model, KMC_MODE_TRAIN, x, 320));
    OK(kmc_model_loss_targets(&loss, model, &none, 1));
    CHECK(loss > 0);
    t.loss.temperature = -1;
    kmc_trainer *never = NULL;
    FAILS(KMC_ERR_VALUE, "temperature", kmc_trainer_create(&never, net, data, NULL, &t));
    OK(kmc_trainer_destroy(trainer));
    OK(kmc_network_destroy(net));
    OK(kmc_dataset_destroy(data));
}

/* Two inputs, two outputs, two losses. */
static void several(void)
{
    kmc_network *net = NULL;
    kmc_model *model = NULL;
    kmc_node a = 0, b = 0, both[2];
    kmc_node_options to = KMC_NODE_OPTIONS_INIT;
    kmc_dense_options dense = KMC_DENSE_OPTIONS_INIT;
    kmc_model_options o = KMC_MODEL_OPTIONS_INIT;
    kmc_loss_options losses[2] = {KMC_LOSS_OPTIONS_INIT, KMC_LOSS_OPTIONS_INIT};
    const float x[2] = {1, 2}, t[1] = {0.5f};
    const int32_t label[1] = {1};
    kmc_view views[2] = {{x, 1, 1, 1, 1, 2}, {t, 1, 1, 1, 1, 1}};
    kmc_target targets[2] = {{label, NULL, 1}, {NULL, t, 1}};
    double loss = 0;
    float y[1];
    OK(kmc_network_create(&net, 1, 1, 1, 2));
    OK(kmc_network_input(net, "colour", 1, 1, 1, 1));
    OK(kmc_network_last(&b, net));
    both[0] = a;
    both[1] = b;
    OK(kmc_network_concat(net, both, 2, "all"));
    OK(kmc_network_activation(net, KMC_TANH, 0, 0, &to));
    OK(kmc_network_last(&a, net));
    dense.input = a;
    dense.name = "kind";
    dense.init = KMC_INIT_UNIFORM;
    dense.init_value = 0.5;
    dense.bias_init = 0.25;
    OK(kmc_network_dense(net, 2, KMC_LINEAR, &dense));
    OK(kmc_network_output(net, "kind", KMC_LAST));
    dense.name = "redshift";
    OK(kmc_network_dense(net, 1, KMC_SOFTPLUS, &dense));
    OK(kmc_network_output(net, "redshift", KMC_LAST));
    losses[0].output = "kind";
    losses[1].output = "redshift";
    losses[1].kind = KMC_LOSS_HUBER;
    losses[1].factor = 2.0;
    o.losses = losses;
    o.n_losses = 2;
    OK(kmc_model_create(&model, net, &o));
    OK(kmc_model_forward_views(model, KMC_MODE_TRAIN, views, 2));
    OK(kmc_model_loss_targets(&loss, model, targets, 2));
    OK(kmc_model_output_f32(y, 1, model, 1));
    CHECK(loss > 0 && y[0] > 0);
    OK(kmc_model_destroy(model));
    OK(kmc_network_destroy(net));
}

int main(void)
{
    layers();
    open_loop_double();
    open_loop_single();
    arrays();
    files();
    variational();
    contrastive();
    several();
    return test_end("model");
}
