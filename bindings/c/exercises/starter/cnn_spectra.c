/* Starter: write what the BLANKs say, in their order; then delete the next four lines. */
#pragma GCC diagnostic ignored "-Wunused-parameter"
#pragma GCC diagnostic ignored "-Wunused-variable"
#pragma GCC diagnostic ignored "-Wunused-but-set-variable"
#pragma GCC diagnostic ignored "-Wunused-const-variable"
/* A convolutional network in one dimension on stellar spectra, from scratch on the library's convolutions: 3753 pixels, 7 classes.
 *
 *   3 x [convolution: 8, 16, 32 filters of 8 pixels, stride 4; ReLU]  ->  dense 7, softmax
 *   convolution  a_jf = b_f + sum_u sum_c x_(4j-2+u)c w_ucf     y = max(0, a)     dE/da = dE/dy where y > 0, else 0
 *   softmax      p_k = exp(a_k) / sum_l exp(a_l)                E = -ln p_t       dE/da_k = p_k - [k = t], means over a batch
 *   momentum     v = 0.8 v + dE/dw                              w = w - rate v
 *
 *   gcc -O3 -ffp-contract=off cnn_spectra.c -lkamacite -lm && ./a.out
 *
 * Without --data FOLDER the spectra are made; with it, FOLDER/train.dat and target.dat are read (made, if only train.dat is missing).
 * Expected on made spectra: 76 to 90, median 86 % of 200.
 * Conventions: pixels become tanh(40 x); of the first 915 spectra the first 10, 30, 30, 20, 20, 30, 10 of each class train, in batches of
 * 16, in a new order each epoch (what is left over waits); the last 200 test; weights start uniform in +-sqrt(6 / inputs of a unit) but the
 * last ones in +-0.01, biases at 0; a layer's weights are followed by its biases. Single precision. */
#include "../spectra.h"

enum { PADDED = 3776, CONVS = 3, BATCH = 16, TESTS = SPECTRA - TRAIN };

/* y[rows][outputs] = ReLU of the convolution of x[rows][inputs]. */
void conv_forward(float *y, const float *x, const float *w, const stage *s, int64_t rows)
{
    int64_t kernels = s->weights - s->filters; /* as many values; then the biases */
    BLANK("1. kmc_conv_forward_f32 with the biases w + kernels; then y = max(0, y)");
}

/* g[weights] = dE/dw and, unless it is NULL, dx = dE/dx from dy = dE/dy, which becomes dE/da on the way. */
void conv_backward(float *dx, float *g, float *dy, const float *x, const float *y, const float *w, const stage *s, int64_t rows)
{
    int64_t kernels = s->weights - s->filters;
    BLANK("2. dy_i = 0 where y_i is 0; kmc_conv_weight_gradient_f32 into g and g + kernels; if dx, kmc_conv_input_gradient_f32");
}

/* a[rows][n] = x[rows][m] w[m][n] + b; the biases are behind w. */
void dense_forward(float *a, const float *x, const float *w, int64_t rows, int64_t m, int64_t n)
{
    BLANK("3. kmc_sgemm, then add the biases w + m n to each row");
}

/* g = dE/dw, the biases behind, and dx = dE/dx from d[rows][n] = dE/da. */
void dense_backward(float *dx, float *g, const float *d, const float *x, const float *w, int64_t rows, int64_t m, int64_t n)
{
    BLANK("4. g = x' d and dx = d w' by kmc_sgemm; the biases' gradients g + m n are the sums of d over the rows");
}

/* Mean of -ln p_t over the rows of a[rows][n]; d[rows][n] is its gradient. */
double softmax_loss(float *d, const float *a, const int32_t *label, int64_t rows, int64_t n)
{
    double loss = 0.0;
    for (int64_t r = 0; r < rows; r++) {
        const float *row = a + r * n;
        BLANK("5. p = softmax of row (subtract the largest first: exp overflows); loss = loss - ln p_t; d_k = (p_k - [k = t]) / rows");
    }
    return loss / (double)rows;
}

/* One step with momentum; v is the velocity of each weight. */
void update(float *w, float *v, const float *g, int n, float rate, float momentum)
{
    for (int i = 0; i < n; i++) {
        BLANK("6. v_i = momentum v_i + g_i; w_i = w_i - rate v_i");
    }
}

/* The whole network: its layers (the dense one last), and for up to `rows` samples what they compute, y[0] being the input. */
typedef struct {
    stage layer[CONVS + 1];
    float *y[CONVS + 2], *dy[CONVS + 2], *w, *g, *v;
    int64_t weights;
} network;

static void build(network *net, int64_t rows)
{
    int64_t length = PADDED, channels = 1;
    memset(net, 0, sizeof *net);
    for (int l = 0; l <= CONVS; l++) {
        stage *s = &net->layer[l];
        kmc_window window = KMC_WINDOW_INIT;
        s->inputs = length * channels;
        s->filters = l < CONVS ? 8 << l : CLASSES;
        s->weights = ((l < CONVS ? 8 * channels : s->inputs) + 1) * s->filters;
        if (l < CONVS) {
            int64_t out[4];
            window.d = window.h = 1;
            window.w = length;
            window.c = channels;
            window.filters = s->filters;
            window.kernel[2] = 8;
            window.stride[2] = 4;
            window.before[2] = window.after[2] = 2;
            CHECK(kmc_window_output(out, &window));
            s->window = window;
            length = out[2];
            channels = out[3];
        }
        s->outputs = l < CONVS ? length * channels : CLASSES;
        net->weights += s->weights;
        net->y[l + 1] = zeros(rows * s->outputs, sizeof(float));
        net->dy[l + 1] = zeros(rows * s->outputs, sizeof(float));
    }
    net->y[0] = zeros(rows * PADDED, sizeof(float));
    net->w = zeros(net->weights, sizeof(float));
    net->g = zeros(net->weights, sizeof(float));
    net->v = zeros(net->weights, sizeof(float));
}

static void take_down(network *net)
{
    for (int l = 0; l <= CONVS + 1; l++) {
        free(net->y[l]);
        free(net->dy[l]);
    }
    free(net->w);
    free(net->g);
    free(net->v);
}

/* New weights, no velocities. */
static void start(network *net, uint64_t seed)
{
    float *w = net->w;
    memset(net->w, 0, (size_t)net->weights * sizeof *w);
    memset(net->v, 0, (size_t)net->weights * sizeof *w);
    for (int l = 0; l <= CONVS; l++) {
        int64_t kernels = net->layer[l].weights - net->layer[l].filters;
        double r = l < CONVS ? sqrt(6.0 / (double)(kernels / net->layer[l].filters)) : 0.01;
        CHECK(kmc_random_uniform_f32(w, kernels, -r, r, seed * 10 + (uint64_t)l));
        w += net->layer[l].weights;
    }
}

/* From y[0] to the logits y[CONVS + 1]. */
static void forward(network *net, int64_t rows)
{
    const float *w = net->w;
    for (int l = 0; l < CONVS; l++) {
        conv_forward(net->y[l + 1], net->y[l], w, &net->layer[l], rows);
        w += net->layer[l].weights;
    }
    dense_forward(net->y[CONVS + 1], net->y[CONVS], w, rows, net->layer[CONVS].inputs, CLASSES);
}

/* From dy[CONVS + 1] to the gradients of all weights. */
static void backward(network *net, int64_t rows)
{
    const float *w = net->w + net->weights - net->layer[CONVS].weights;
    float *g = net->g + net->weights - net->layer[CONVS].weights;
    dense_backward(net->dy[CONVS], g, net->dy[CONVS + 1], net->y[CONVS], w, rows, net->layer[CONVS].inputs, CLASSES);
    for (int l = CONVS - 1; l >= 0; l--) {
        w -= net->layer[l].weights;
        g -= net->layer[l].weights;
        conv_backward(net->dy[l], g, net->dy[l + 1], net->y[l], net->y[l + 1], w, &net->layer[l], rows);
    }
}

/* Trains from new weights on x[n][PADDED] in batches. */
static void train(network *net, const float *x, const int32_t *label, int64_t n, int64_t epochs, uint64_t seed)
{
    int64_t *order = zeros(n, sizeof *order);
    start(net, seed);
    for (int64_t epoch = 0; epoch < epochs; epoch++) {
        CHECK(kmc_shuffle(order, n, seed * 100000 + (uint64_t)epoch));
        for (int64_t b = 0; b + BATCH <= n; b += BATCH) {
            int32_t t[BATCH];
            for (int r = 0; r < BATCH; r++) {
                memcpy(net->y[0] + r * PADDED, x + order[b + r] * PADDED, PADDED * sizeof *x);
                t[r] = label[order[b + r]];
            }
            forward(net, BATCH);
            softmax_loss(net->dy[CONVS + 1], net->y[CONVS + 1], t, BATCH, CLASSES);
            backward(net, BATCH);
            update(net->w, net->v, net->g, (int)net->weights, 0.02f, 0.8f);
        }
    }
    free(order);
}

/* Spectra to train on, as many of each class as it should be, and to test, as arrays x[n][PADDED]. */
static int64_t read_data(float *x[2], int32_t *label[2], const char *folder)
{
    const int64_t cap[CLASSES] = { 10, 30, 30, 20, 20, 30, 10 };
    kmc_dataset *all = NULL, *part[2] = { NULL, NULL };
    int64_t n[2];
    spectra_read(&all, folder);
    CHECK(kmc_dataset_normalize(all, KMC_TANH_RANGE, KMC_GLOBAL, 40.0, 0.0, 1.0, NULL));
    CHECK(kmc_dataset_pad(all, 1, 1, PADDED, 1, 0.0));
    CHECK(kmc_dataset_split(&part[0], &part[1], all, TRAIN));
    CHECK(kmc_dataset_rebalance(part[0], cap, CLASSES));
    for (int i = 0; i < 2; i++) {
        CHECK(kmc_dataset_len(&n[i], part[i]));
        x[i] = zeros(n[i] * PADDED, sizeof(float));
        label[i] = zeros(n[i], sizeof(int32_t));
        CHECK(kmc_dataset_inputs(x[i], n[i] * PADDED, part[i], 0));
        CHECK(kmc_dataset_labels(label[i], n[i], part[i], 0));
        CHECK(kmc_dataset_destroy(part[i]));
    }
    CHECK(kmc_dataset_destroy(all));
    return n[0];
}

int main(int argc, char **argv)
{
    options o = options_parse(argc, argv, (options){ .seed = 1, .seeds = 1, .epochs = 200 });
    float *x[2];
    int32_t *label[2], predicted[TESTS];
    int64_t n = read_data(x, label, o.data), confusion[CLASSES * CLASSES];
    double *accuracy = zeros(o.seeds, sizeof *accuracy), loss = 0.0;
    network net;
    build(&net, TESTS);
    for (int64_t i = 0; i < o.seeds; i++) {
        train(&net, x[0], label[0], n, o.smoke ? 2 : o.epochs, o.seed + (uint64_t)i);
        memcpy(net.y[0], x[1], TESTS * PADDED * sizeof(float));
        forward(&net, TESTS);
        loss += softmax_loss(net.dy[CONVS + 1], net.y[CONVS + 1], label[1], TESTS, CLASSES);
        CHECK(kmc_argmax_f32(predicted, net.y[CONVS + 1], TESTS, CLASSES));
        CHECK(kmc_confusion_count(confusion, CLASSES, label[1], predicted, TESTS));
        CHECK(kmc_confusion_scores(NULL, NULL, NULL, &accuracy[i], confusion, CLASSES));
    }
    CHECK(kmc_confusion_print(confusion, CLASSES, NULL));
    double middle = median(accuracy, o.seeds); /* sorts */
    printf("RESULT seeds=%" PRId64 " trained_on=%" PRId64 " accuracy_min=%.2f accuracy_median=%.2f accuracy_max=%.2f loss=%.4f sum_bits=%016" PRIX64
           "\n", o.seeds, n, 100.0 * accuracy[0], 100.0 * middle, 100.0 * accuracy[o.seeds - 1], loss / (double)o.seeds, bits(loss));
    take_down(&net);
    free(accuracy);
    for (int i = 0; i < 2; i++) {
        free(x[i]);
        free(label[i]);
    }
    return EXIT_SUCCESS;
}
