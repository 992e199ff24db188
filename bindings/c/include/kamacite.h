#ifndef KAMACITE_H
#define KAMACITE_H

#include <stddef.h>
#include <stdint.h>
/* The values with which option structs and structs for results begin:
 *
 *   kmc_trainer_options options = KMC_TRAINER_OPTIONS_INIT;
 *   options.batch = 64;
 */
#define KMC_TABLE_OPTIONS_INIT \
  {(uint32_t)sizeof(kmc_table_options), 0, KMC_LAST_COLUMN, 0, 0, 0, 0, 0, NULL, 0, NULL, 0}
#define KMC_FITS_OPTIONS_INIT \
  {(uint32_t)sizeof(kmc_fits_options), KMC_FIRST_HDU, NULL, KMC_MISSING_ERROR, 0, 0.0, 0, 0}
#define KMC_FILES_OPTIONS_INIT \
  {(uint32_t)sizeof(kmc_files_options), 0, NULL, NULL, 0, NULL, NULL, 0, KMC_FIRST_HDU, 0, NULL, 0, 0}
#define KMC_AUGMENT_OPTIONS_INIT \
  {(uint32_t)sizeof(kmc_augment_options), 0, 0.0, 0.0, 0.0, 0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0, 0}
#define KMC_SIZES_INIT {0, 0, 0}
#define KMC_NODE_OPTIONS_INIT {(uint32_t)sizeof(kmc_node_options), KMC_LAST, NULL}
#define KMC_DENSE_OPTIONS_INIT \
  {(uint32_t)sizeof(kmc_dense_options), KMC_LAST, NULL, 0, KMC_INIT_DEFAULT, 0.0, 0.0, 0.0, 0.0}
#define KMC_BAYES_DENSE_OPTIONS_INIT \
  {(uint32_t)sizeof(kmc_bayes_dense_options), KMC_LAST, NULL, 0, KMC_INIT_DEFAULT, 0.0, 0.0, 0.0, 0.0, 0.0, 0}
#define KMC_CONV_OPTIONS_INIT \
  {(uint32_t)sizeof(kmc_conv_options), KMC_LAST, NULL, 0, KMC_INIT_DEFAULT, 0.0, 0.0, 0.0, 0.0, 0, 0, 0, \
   KMC_SIZES_INIT, KMC_SIZES_INIT, KMC_SIZES_INIT, KMC_SIZES_INIT, KMC_SIZES_INIT, KMC_SIZES_INIT, KMC_SIZES_INIT}
#define KMC_POOL_OPTIONS_INIT \
  {(uint32_t)sizeof(kmc_pool_options), KMC_LAST, NULL, 0, 0, \
   KMC_SIZES_INIT, KMC_SIZES_INIT, KMC_SIZES_INIT, KMC_SIZES_INIT}
#define KMC_NORM_OPTIONS_INIT {(uint32_t)sizeof(kmc_norm_options), KMC_LAST, NULL, 0.0, 0.0, 0, 0, 0, 0}
#define KMC_LOSS_OPTIONS_INIT \
  {(uint32_t)sizeof(kmc_loss_options), KMC_LOSS_SOFTMAX_CROSS_ENTROPY, NULL, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, NULL, 0}
#define KMC_OPTIMIZER_OPTIONS_INIT \
  {(uint32_t)sizeof(kmc_optimizer_options), KMC_SGD, 0.01, 0.0, 0.0, 0.9, 0.999, 0.0, 0.0, 0, 0, 0, 0}
#define KMC_SCHEDULE_OPTIONS_INIT \
  {(uint32_t)sizeof(kmc_schedule_options), KMC_SCHEDULE_CONSTANT, 0, 0, 0.0, 0.0, 0.0, 0.0, NULL, 0, 0, 0, 0}
#define KMC_TRAINER_OPTIONS_INIT \
  {(uint32_t)sizeof(kmc_trainer_options), KMC_FP32, 0, 32, NULL, 0, 0, \
   KMC_LOSS_OPTIONS_INIT, KMC_OPTIMIZER_OPTIONS_INIT, KMC_SCHEDULE_OPTIONS_INIT, NULL, 0, \
   KMC_CLIP_NONE, 0, 0.0, 0.0, 0, 0, 0, 0, 0, 0.0, 0, 0, 0.0, 0.0, 0, 0.0, NULL, 0, NULL, NULL}
#define KMC_MODEL_OPTIONS_INIT {(uint32_t)sizeof(kmc_model_options), KMC_FP32, 0, NULL, 0, 0, 0, 0, NULL, 0, 0}
#define KMC_MOSAIC_OPTIONS_INIT \
  {(uint32_t)sizeof(kmc_mosaic_options), KMC_FIRST_HDU, NULL, 0, 0, 0, KMC_MISSING_ERROR, 0, 0.0, NULL}
#define KMC_FIT_OPTIONS_INIT {(uint32_t)sizeof(kmc_fit_options), 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL}
#define KMC_SCORES_INIT {(uint32_t)sizeof(kmc_scores), 0, 0, 0, 0.0, 0.0, 0.0, 0.0}
#define KMC_REPORT_INIT {(uint32_t)sizeof(kmc_report), KMC_ENDED_DONE, 0, 0, 0.0, 0.0, 0.0, KMC_SCORES_INIT}
#define KMC_WINDOW_INIT \
  {(uint32_t)sizeof(kmc_window), 0, 0, 0, 0, 0, 0, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, 0}
#define KMC_KMEANS_OPTIONS_INIT {(uint32_t)sizeof(kmc_kmeans_options), KMC_KMEANS_PLUS_PLUS, 0, 0, 0.0, 0}
#define KMC_KMEANS_RESULT_INIT {(uint32_t)sizeof(kmc_kmeans_result), 0, 0, 0, 0.0}
#define KMC_GRADCHECK_RESULT_INIT {(uint32_t)sizeof(kmc_gradcheck_result), 0, 0, 0.0, 0.0, 0.0}
#define KMC_RESIDUALS_INIT {(uint32_t)sizeof(kmc_residuals), 0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0}


// Row after row, as in C.
#define KMC_ROW_MAJOR 101

// Column after column, as in Fortran.
#define KMC_COLUMN_MAJOR 102

// As it lies.
#define KMC_NO_TRANS 111

// Transposed.
#define KMC_TRANS 112

// k-means++: a sample, then samples drawn in proportion to their squared distance from the centres so far.
#define KMC_KMEANS_PLUS_PLUS 0

// Samples, each drawn from all: the plain start of the course.
#define KMC_KMEANS_POINTS 1

// `kmc_layout`: (n, d, h, w, c): rows of a table, interleaved images, a Fortran array `x(c,w,h,d,n)`.
#define KMC_CHANNELS_LAST 0

// `kmc_layout`: (n, c, d, h, w): planar images, CIANNA, PyTorch, a Fortran array `x(w,h,d,c,n)`.
#define KMC_CHANNELS_FIRST 1

// `kmc_layout`: (d, h, w, c, n): all samples of the first feature, then all of the second; a Fortran array `x(n,features)`.
#define KMC_FEATURE_MAJOR 2

// `kmc_rule`: y = (x - mean) / max|x - mean|: the convention of the course.
#define KMC_MEAN_MAX_ABS 0

// `kmc_rule`: y = (x - mean) / sigma.
#define KMC_STANDARD 1

// `kmc_rule`: y = (x - min) / (max - min).
#define KMC_MIN_MAX 2

// `kmc_rule`: y = min(max(x, p_a), p_b), the values at the fractions a and b of the sorted x.
#define KMC_CLIP 3

// `kmc_rule`: y = ln(1 + max(x - min, 0)).
#define KMC_LOG 4

// `kmc_rule`: y = x / sqrt(sum x^2) over each sample.
#define KMC_L2 5

// `kmc_rule`: y = tanh(a min(max(x, b), c)).
#define KMC_TANH_RANGE 6

// `kmc_scope`: Each feature of a sample, over the samples.
#define KMC_PER_FEATURE 0

// `kmc_scope`: Each channel, over samples and positions.
#define KMC_PER_CHANNEL 1

// `kmc_scope`: All values.
#define KMC_GLOBAL 2

// `kmc_scope`: All values of one sample.
#define KMC_PER_SAMPLE 3

// A column that is not there.
#define KMC_NO_COLUMN -2

// The last column.
#define KMC_LAST_COLUMN -1

// `kmc_kind`: 8 bits, from 0.
#define KMC_KIND_U8 1

// `kmc_kind`: 8 bits with a sign.
#define KMC_KIND_I8 2

// `kmc_kind`: 16 bits, from 0.
#define KMC_KIND_U16 3

// `kmc_kind`: 16 bits with a sign.
#define KMC_KIND_I16 4

// `kmc_kind`: 32 bits, from 0.
#define KMC_KIND_U32 5

// `kmc_kind`: 32 bits with a sign.
#define KMC_KIND_I32 6

// `kmc_kind`: Half precision.
#define KMC_KIND_F16 7

// `kmc_kind`: Single precision.
#define KMC_KIND_F32 8

// `kmc_kind`: Double precision.
#define KMC_KIND_F64 9

// `kmc_missing`: The file is refused.
#define KMC_MISSING_ERROR 0

// `kmc_missing`: It stays NaN or infinite.
#define KMC_MISSING_KEEP 1

// `kmc_missing`: Zero.
#define KMC_MISSING_ZERO 2

// `kmc_missing`: A number that is given, `fill`.
#define KMC_MISSING_VALUE 3

// `kmc_missing`: The median of the image, or of the place in a table's rows.
#define KMC_MISSING_MEDIAN 4

// The first HDU that holds what is asked for.
#define KMC_FIRST_HDU -1

// `kmc_gradient`: The gradient: how the score would change.
#define KMC_GRADIENT_PLAIN 0

// `kmc_gradient`: Its absolute value.
#define KMC_GRADIENT_ABSOLUTE 1

// `kmc_gradient`: Times the input: to first order, what a value contributes.
#define KMC_GRADIENT_TIMES_INPUT 2

// `kmc_mode`: To train: dropout drops, batch statistics are used and kept.
#define KMC_MODE_TRAIN 0

// `kmc_mode`: To look at gradients: as `KMC_MODE_INFER`, but a backward pass may follow.
#define KMC_MODE_EVAL 1

// `kmc_mode`: To predict.
#define KMC_MODE_INFER 2

// `kmc_mode`: To predict with dropout: each call draws other masks.
#define KMC_MODE_MONTE_CARLO 3

// `kmc_grads`: Overwrites them.
#define KMC_GRADS_WRITE 0

// `kmc_grads`: Adds to them.
#define KMC_GRADS_ADD 1

// `kmc_grads`: Leaves them alone: only gradients wrt inputs are wanted.
#define KMC_GRADS_SKIP 2

// The node added last.
#define KMC_LAST -1

// `kmc_pool`: The largest value of each window.
#define KMC_POOL_MAX 0

// `kmc_pool`: The mean of each window.
#define KMC_POOL_AVERAGE 1

// `kmc_norm`: Each channel over the batch.
#define KMC_NORM_BATCH 0

// `kmc_norm`: All values of a sample.
#define KMC_NORM_LAYER 1

// `kmc_norm`: Each channel of a sample.
#define KMC_NORM_INSTANCE 2

// `kmc_norm`: Each group of channels of a sample.
#define KMC_NORM_GROUP 3

// `kmc_norm`: Groups as CIANNA has them.
#define KMC_NORM_CIANNA 4

// `kmc_activation`: y = x
#define KMC_LINEAR 0

// `kmc_activation`: y = max(x, 0)
#define KMC_RELU 1

// `kmc_activation`: y = a x below 0, x above, and with b > 0 again of slope a above b. a = 0 stands for 0.01.
#define KMC_LEAKY_RELU 2

// `kmc_activation`: y = x above 0, a (exp(x) - 1) below. a = 0 stands for 1.
#define KMC_ELU 3

// `kmc_activation`: The scaled ELU of self-normalising networks.
#define KMC_SELU 4

// `kmc_activation`: y = x Phi(x), Phi the normal distribution.
#define KMC_GELU 5

// `kmc_activation`: y = x / (1 + exp(-x))
#define KMC_SILU 6

// `kmc_activation`: y = tanh(x)
#define KMC_TANH 7

// `kmc_activation`: y = 1 / (1 + exp(-x))
#define KMC_LOGISTIC 8

// `kmc_activation`: y = 1 / (1 + exp(min(-a x, b))). a = 0 stands for 1, b = 0 for no bound.
#define KMC_SCALED_LOGISTIC 9

// `kmc_activation`: y = ln(1 + exp(x))
#define KMC_SOFTPLUS 10

// `kmc_activation`: y_i = exp(x_i) / sum_j exp(x_j) over the channels of each position.
#define KMC_SOFTMAX 11

// `kmc_init`: As fits the activation: He's for ReLU and its kin, LeCun's for SELU, Xavier's for all others.
#define KMC_INIT_DEFAULT 0

// `kmc_init`: N(0, 2 / (i + o))
#define KMC_INIT_XAVIER_NORMAL 1

// `kmc_init`: U(-u, u), u = sqrt(6 / (i + o))
#define KMC_INIT_XAVIER_UNIFORM 2

// `kmc_init`: N(0, 2 / i)
#define KMC_INIT_HE_NORMAL 3

// `kmc_init`: U(-u, u), u = sqrt(6 / i)
#define KMC_INIT_HE_UNIFORM 4

// `kmc_init`: N(0, 1 / i)
#define KMC_INIT_LECUN_NORMAL 5

// `kmc_init`: U(-u, u), u = sqrt(3 / i)
#define KMC_INIT_LECUN_UNIFORM 6

// `kmc_init`: N(0, value^2)
#define KMC_INIT_NORMAL 7

// `kmc_init`: U(-value, value)
#define KMC_INIT_UNIFORM 8

// `kmc_init`: value
#define KMC_INIT_CONSTANT 9

// `kmc_init`: Orthonormal rows or columns times value.
#define KMC_INIT_ORTHOGONAL 10

// `kmc_precision`: Single precision.
#define KMC_FP32 0

// `kmc_precision`: Double precision, on the CPU.
#define KMC_FP64 1

// `kmc_precision`: Single precision with TF32 products.
#define KMC_TF32 2

// `kmc_precision`: Single precision with three TF32 products, nearly as accurate.
#define KMC_FP32X3 3

// `kmc_precision`: bf16 storage and products.
#define KMC_BF16 4

// `kmc_precision`: f16 storage and products, with a loss scale.
#define KMC_FP16 5

// `kmc_loss`: -ln softmax(y)_t of logits y and the class t. The network ends without an activation.
#define KMC_LOSS_SOFTMAX_CROSS_ENTROPY 0

// `kmc_loss`: -sum_j t_j ln y_j of probabilities y.
#define KMC_LOSS_CROSS_ENTROPY 1

// `kmc_loss`: the mean over j of (y_j - t_j)^2.
#define KMC_LOSS_MSE 2

// `kmc_loss`: sum_j (y_j - t_j)^2 / 2, the convention of the course.
#define KMC_LOSS_MSE_HALF 3

// `kmc_loss`: the mean over j of |y_j - t_j|.
#define KMC_LOSS_MAE 4

// `kmc_loss`: Quadratic up to `delta`, linear beyond.
#define KMC_LOSS_HUBER 5

// `kmc_loss`: Cross-entropy of independent yes-no outputs, from logits.
#define KMC_LOSS_LOGISTIC_BCE 6

// `kmc_loss`: Negative log likelihood of a normal distribution: outputs are means and log variances.
#define KMC_LOSS_GAUSSIAN_NLL 7

// `kmc_loss`: Contrast of two views of each sample, the two positions of the output (NT-Xent). It takes no target.
#define KMC_LOSS_NT_XENT 8

// `kmc_optimizer`: Gradient descent, plain or with momentum.
#define KMC_SGD 0

// `kmc_optimizer`: Adam.
#define KMC_ADAM 1

// `kmc_optimizer`: Adam with decoupled weight decay.
#define KMC_ADAMW 2

// `kmc_optimizer`: RMSprop.
#define KMC_RMSPROP 3

// `kmc_optimizer`: Adadelta.
#define KMC_ADADELTA 4

// `kmc_schedule`: Always 1.
#define KMC_SCHEDULE_CONSTANT 0

// `kmc_schedule`: Multiplied by `factor` every `period`.
#define KMC_SCHEDULE_STEP 1

// `kmc_schedule`: Multiplied by `factor` at each of `milestones`.
#define KMC_SCHEDULE_MILESTONES 2

// `kmc_schedule`: Multiplied by `factor` in each unit of time.
#define KMC_SCHEDULE_EXPONENTIAL 3

// `kmc_schedule`: From 1 towards `floor` as exp(-rate t).
#define KMC_SCHEDULE_DECAY 4

// `kmc_schedule`: From 1 to `floor` along half a cosine over `period`.
#define KMC_SCHEDULE_COSINE 5

// `kmc_schedule`: The same again and again, each period `growth` times as long as the one before.
#define KMC_SCHEDULE_COSINE_RESTARTS 6

// `kmc_schedule`: From 1 to `floor` along a power of the time left in `period`.
#define KMC_SCHEDULE_POLYNOMIAL 7

// `kmc_schedule`: Up and down again over `period`.
#define KMC_SCHEDULE_ONE_CYCLE 8

// `kmc_clip`: Not at all.
#define KMC_CLIP_NONE 0

// `kmc_clip`: The norm over all parameters together is at most the bound.
#define KMC_CLIP_NORM 1

// `kmc_clip`: Each gradient lies within plus and minus the bound.
#define KMC_CLIP_VALUE 2

// The version of the binary interface; a program that was compiled against another one must be compiled anew.
#define KMC_ABI_VERSION 2

// `kmc_ended`: All epochs were done.
#define KMC_ENDED_DONE 0

// `kmc_ended`: Validation stopped improving.
#define KMC_ENDED_EARLY_STOPPING 1

// `kmc_ended`: `kmc_request_stop` or a callback asked.
#define KMC_ENDED_STOPPED 2

// What every function answers: 0 for success.
enum kmc_status
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  // Done.
  KMC_OK = 0,
  // Sizes that do not fit together.
  KMC_ERR_SHAPE = 1,
  // A network that cannot be planned.
  KMC_ERR_PLAN = 2,
  // More memory needed than there is.
  KMC_ERR_OUT_OF_MEMORY = 3,
  // A device that is absent or failed.
  KMC_ERR_DEVICE = 4,
  // A value outside its domain.
  KMC_ERR_VALUE = 5,
  // A file that contradicts its format.
  KMC_ERR_FORMAT = 6,
  // The operating system refused to read or write.
  KMC_ERR_IO = 7,
  // A legal request that this build or device cannot serve.
  KMC_ERR_UNSUPPORTED = 8,
  // The first NaN or infinity of a training run.
  KMC_ERR_DIVERGED = 9,
  // Calls in an order that makes no sense.
  KMC_ERR_ORDER = 10,
  // NULL where something is needed.
  KMC_ERR_NULL = 11,
  // A handle that was destroyed, was never made, or is of another type.
  KMC_ERR_HANDLE = 12,
  // An option struct whose field `size` is not that of this version: initialise it with its `_INIT` macro.
  KMC_ERR_STRUCT = 13,
  // The handle is in use: by another thread, or by the call whose callback this is.
  KMC_ERR_BUSY = 14,
  // An earlier call on this handle failed half way; it can only be destroyed.
  KMC_ERR_POISONED = 15,
  // A bug in the library. The handles of the call are poisoned.
  KMC_ERR_PANIC = 16,
  // A callback answered with an error.
  KMC_ERR_CALLBACK = 17,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum kmc_status kmc_status;
#else
typedef int32_t kmc_status;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// A set of samples: inputs, targets, weights. Made by `kmc_dataset_create_f32`, the readers and the generators; destroyed by
// `kmc_dataset_destroy`.
typedef struct kmc_dataset kmc_dataset;

// A network with weights on a device. Made by `kmc_model_create`, `kmc_model_load`, or lent by a trainer; destroyed by `kmc_model_destroy`.
typedef struct kmc_model kmc_model;

// The description of a network: a list of layers, each after one or several earlier nodes. Made by `kmc_network_create`, destroyed by
// `kmc_network_destroy`; models and trainers take a copy.
typedef struct kmc_network kmc_network;

// A model, its data and the rules of its training. Made by `kmc_trainer_create`, destroyed by `kmc_trainer_destroy`.
typedef struct kmc_trainer kmc_trainer;

// An activation function y = f(x), applied value by value.
typedef int32_t kmc_activation;

// How matrices lie in memory; the numbers are those of CBLAS.
typedef int32_t kmc_order;

// How an operand of a product is read; the numbers are those of CBLAS.
typedef int32_t kmc_transpose;

// A sliding window over one sample x[d][h][w][c], channels last; initialise it with `KMC_WINDOW_INIT`. Arrays of three are for d, h and w.
// Along an axis of n cells it takes (n + before + after - (kernel - 1) dilation - 1) / stride + 1 places, rounded down.
typedef struct {
  // sizeof(kmc_window)
  uint32_t size;
  // 0
  int32_t reserved;
  // Depth; 0: 1.
  int64_t d;
  // Height; 0: 1.
  int64_t h;
  // Width; 0: 1.
  int64_t w;
  // Channels, at least 1.
  int64_t c;
  // Filters of a convolution; poolings do not look at it.
  int64_t filters;
  // Cells under the window; 0: 1.
  int64_t kernel[3];
  // Steps between places; 0: 1.
  int64_t stride[3];
  // Zeros before the first cell.
  int64_t before[3];
  // Zeros after the last cell.
  int64_t after[3];
  // Distance between cells under the window; 0: 1.
  int64_t dilation[3];
  // Groups of channels and filters; 0: 1.
  int64_t groups;
} kmc_window;

// The parameter at which gradient and differences deviate most; initialise it with `KMC_GRADCHECK_RESULT_INIT`.
typedef struct {
  // sizeof(kmc_gradcheck_result)
  uint32_t size;
  // 0
  int32_t reserved;
  // Its index.
  int64_t worst;
  // |analytic - numeric| over the largest of |analytic|, |numeric| and a thousandth of the largest |numeric| of all parameters. Wrong
  // gradients give 0.1 to 2; right ones below 1e-6 for a loss in double precision, below about 1e-2 for one in single.
  double deviation;
  // The gradient that was given.
  double analytic;
  // The derivative by differences.
  double numeric;
} kmc_gradcheck_result;

// A loss as a function of n parameters, for `kmc_gradcheck`: writes its value to `out` and answers 0, or another number to end the check.
typedef int32_t (*kmc_loss_fn)(double *out, const double *w, int64_t n, void *user);

// What k-means found; initialise it with `KMC_KMEANS_RESULT_INIT`.
typedef struct {
  // sizeof(kmc_kmeans_result)
  uint32_t size;
  // 1: the best start ended because its centres came to rest; 0: because of `max_iterations`.
  int32_t converged;
  // Iterations of the best start.
  int64_t iterations;
  // Centres without samples.
  int64_t empty;
  // Mean over the samples of |x - c|^2.
  double mean_squared_distance;
} kmc_kmeans_result;

// Where the centres of k-means begin.
typedef int32_t kmc_start;

// Options of k-means; initialise them with `KMC_KMEANS_OPTIONS_INIT`. Zero is the default of every field.
typedef struct {
  // sizeof(kmc_kmeans_options)
  uint32_t size;
  // Where the centres begin.
  kmc_start start;
  // Starts, of which the best is kept; 0: 10.
  int64_t restarts;
  // The most iterations of a start; 0: 100.
  int64_t max_iterations;
  // A start ends when no centre moves farther than this.
  double tolerance;
  // What all draws are keyed by.
  uint64_t seed;
} kmc_kmeans_options;

// A classifier of points in the plane, for `kmc_plot_boundary`: the class of point[2], from 0, or a negative number to end the picture.
typedef int32_t (*kmc_classify_fn)(const float *point, void *user);

// What is pooled.
typedef int32_t kmc_pool;

// A step of a normalisation. x are the values that share statistics.
typedef int32_t kmc_rule;

// Which values share their statistics.
typedef int32_t kmc_scope;

// A function of one value.
typedef double (*kmc_map_fn)(double x, void *user);

// How the values of an array follow each other.
typedef int32_t kmc_layout;

// How files become samples. Zero is the default of every field but `hdu`; see `KMC_FILES_OPTIONS_INIT`.
typedef struct {
  // sizeof(kmc_files_options)
  uint32_t size;
  // 1: files that cannot be read are left out, and named by `kmc_dataset_skipped`; 0: the call that needs one fails.
  int32_t skip_bad;
  // What is done to each sample, "astronomy" or steps in JSON, as `kmc_dataset_load` has them; NULL: nothing.
  const char *prepare;
  // The names of the classes, in the order of their numbers; NULL: those that are found, in the order of their letters.
  const char *const *classes;
  // Their number.
  int64_t n_classes;
  // The folder that names in a labels file are relative to; NULL: its own.
  const char *folder;
  // Columns of a table in each file (flux, then wavelength), which become channels of a line; NULL: files are images.
  const char *const *columns;
  // Their number.
  int64_t n_columns;
  // Which HDU of FITS files, the primary one being 0; `KMC_FIRST_HDU` in the macro.
  int32_t hdu;
  // 1: labels are numbers to predict, one or several.
  int32_t values;
  // The name of the HDU, in place of its number; NULL: none.
  const char *hdu_name;
  // 1: planes of an array (planes, rows, columns) are channels; else slices of a cube.
  int32_t bands;
  // 0
  int32_t reserved;
} kmc_files_options;

// What becomes of a value that is NaN or infinite, or blank in its file.
typedef int32_t kmc_missing;

// How to read a FITS file. Zero is the default of every field but `hdu`; see `KMC_FITS_OPTIONS_INIT`.
typedef struct {
  // sizeof(kmc_fits_options)
  uint32_t size;
  // Which HDU, the primary one being 0; `KMC_FIRST_HDU` in the macro.
  int32_t hdu;
  // Its name (EXTNAME), in place of the number; NULL: none.
  const char *hdu_name;
  // What becomes of missing values.
  kmc_missing missing;
  // 1: the slowest axis of an image counts samples.
  int32_t stacked;
  // The number of `KMC_MISSING_VALUE`.
  double fill;
  // 1: the slowest axis of an image, behind that of the samples, counts channels; else a third axis is the depth of a cube.
  int32_t bands;
  // 0
  int32_t reserved;
} kmc_fits_options;

// What to change of a sample each time it is met in training. With zeros nothing is changed.
typedef struct {
  // sizeof(kmc_augment_options)
  uint32_t size;
  // 1: turns by a random multiple of 90 degrees.
  int32_t quarter_turns;
  // Probability of a flip along w.
  double flip_h;
  // Probability of a flip along h.
  double flip_v;
  // Probability of a flip along d.
  double flip_d;
  // The largest shift in pixels.
  int64_t shift;
  // The range of magnifications; both 0: none.
  double zoom_low;
  // See `zoom_low`.
  double zoom_high;
  // The largest angle in degrees.
  double rotation;
  // The range of factors on all values; both 0: none.
  double brightness_low;
  // See `brightness_low`.
  double brightness_high;
  // The range of factors on each channel; both 0: none.
  double gain_low;
  // See `gain_low`.
  double gain_high;
  // The range of factors on the distance to the mean; both 0: none.
  double contrast_low;
  // See `contrast_low`.
  double contrast_high;
  // Standard deviation of added noise.
  double noise;
  // What lies outside: 0 the nearest pixel, 1 zero, 2 the image reflected at its edge.
  int32_t border;
  // 1: target 0 is an image, and moves with the input.
  int32_t with_target;
} kmc_augment_options;

// How to read a text table. Zero is the default of every field but `label`; see `KMC_TABLE_OPTIONS_INIT`.
typedef struct {
  // sizeof(kmc_table_options)
  uint32_t size;
  // Whether the first line names the columns: 1 yes, -1 no, 0 is found out.
  int32_t header;
  // The column of the class, from 0; `KMC_LAST_COLUMN` or `KMC_NO_COLUMN`.
  int64_t label;
  // Number of classes; 0 is found out.
  int64_t classes;
  // The number that means the first class.
  int64_t first_class;
  // Lines to leave out at the beginning.
  int64_t skip;
  // The character between columns; 0 is found out.
  int32_t separator;
  // The character that begins a line of comment; 0 is '#'.
  int32_t comment;
  // The columns of the features, from 0; NULL: all others.
  const int64_t *features;
  // Their number.
  int64_t n_features;
  // Columns of values to be predicted; NULL: none.
  const int64_t *targets;
  // Their number.
  int64_t n_targets;
} kmc_table_options;

// Elements of a raw file.
typedef int32_t kmc_kind;

// Scores of a regression; initialise it with `KMC_RESIDUALS_INIT`.
typedef struct {
  // sizeof(kmc_residuals)
  uint32_t size;
  // 0
  int32_t reserved;
  // Mean of the differences, predicted - true.
  double bias;
  // Mean of their squares.
  double mse;
  // Root of that.
  double rmse;
  // Mean of their absolute values.
  double mae;
  // Median of the distances from their median.
  double mad;
  // 1.4826 times that: sigma of a normal distribution.
  double normalised_mad;
  // Coefficient of determination.
  double r2;
  // The share whose absolute value is above the limit.
  double outliers;
} kmc_residuals;

// What a network computes in. All but the first two need a GPU.
typedef int32_t kmc_precision;

// A loss: what training makes small.
typedef int32_t kmc_loss;

// A loss and its numbers. Zero is the default of every field; see `KMC_LOSS_OPTIONS_INIT`.
typedef struct {
  // sizeof(kmc_loss_options)
  uint32_t size;
  // Which loss.
  kmc_loss kind;
  // The output it belongs to; NULL: the first.
  const char *output;
  // Its share in the sum of several losses; 0: 1.
  double factor;
  // Label smoothing of the softmax cross-entropy.
  double smoothing;
  // The bound of Huber's loss; 0: 1.
  double delta;
  // The weight of the positive class in the logistic cross-entropy; 0: 1.
  double positive;
  // The least variance of the Gaussian likelihood; 0: 1e-6.
  double lowest;
  // The largest variance; 0: 1e6.
  double highest;
  // The temperature of NT-Xent; 0: 0.5.
  double temperature;
  // A weight for each class (softmax and logistic cross-entropy); NULL: 1 for all.
  const double *class_weights;
  // Their number.
  int64_t n_class_weights;
} kmc_loss_options;

// How a model is made; see `KMC_MODEL_OPTIONS_INIT`.
typedef struct {
  // sizeof(kmc_model_options)
  uint32_t size;
  // What it computes in.
  kmc_precision precision;
  // The seed of weights and dropout.
  uint64_t seed;
  // "auto", "cpu", "cuda:0"; NULL: "auto".
  const char *device;
  // Threads of a CPU; 0: the default. Results do not depend on it.
  int32_t threads;
  // 1: no gradients wrt inputs, which spares the first layer some work.
  int32_t no_input_gradients;
  // 1: no weight decay on biases and normalisations.
  int32_t spare_biases;
  // 0
  int32_t reserved;
  // The losses, one for each output; NULL: none.
  const kmc_loss_options *losses;
  // Their number.
  int64_t n_losses;
  // Training samples, over which variational layers spread their divergence from the prior; a trainer knows its own.
  int64_t samples;
} kmc_model_options;

// A node, counted from 0 in the order in which inputs and layers were added. The first input is node 0.
typedef int32_t kmc_node;

// What an evaluation found; initialise it with `KMC_SCORES_INIT`. NaN stands for what does not apply.
typedef struct {
  // sizeof(kmc_scores)
  uint32_t size;
  // 0
  int32_t reserved;
  // Samples seen; 0: there was no evaluation.
  int64_t samples;
  // Classes; 0 where targets are numbers.
  int64_t classes;
  // Mean loss.
  double loss;
  // Share of samples whose class was found.
  double accuracy;
  // Root mean square error of targets that are numbers.
  double rmse;
  // Coefficient of determination of those.
  double r2;
} kmc_scores;

// What is made of the gradient of a score wrt the input.
typedef int32_t kmc_gradient;

// How an image is predicted in tiles. Zero is the default of every field but `hdu`; see `KMC_MOSAIC_OPTIONS_INIT`.
typedef struct {
  // sizeof(kmc_mosaic_options)
  uint32_t size;
  // Which HDU of the image, the primary one being 0; `KMC_FIRST_HDU` in the macro.
  int32_t hdu;
  // Its name, in place of the number; NULL: none.
  const char *hdu_name;
  // Pixels that a tile shares with its neighbours; predictions are blended there.
  int64_t overlap;
  // Pixels at the inner edges of tiles that are left out, at most half of the overlap: as many as the network reaches to one side.
  int64_t margin;
  // Tiles at once; 0: 1.
  int64_t batch;
  // What becomes of missing values, tile by tile, before `prepare`.
  kmc_missing missing;
  // 0
  int32_t reserved;
  // The number of `KMC_MISSING_VALUE`.
  double fill;
  // What is done to each tile, as `kmc_dataset_load` has it; steps that change the size are refused. NULL: nothing.
  const char *prepare;
} kmc_mosaic_options;

// What a forward pass is for.
typedef int32_t kmc_mode;

// A batch for one input of a network: (rows, d, h, w, c).
typedef struct {
  // The values.
  const float *x;
  // Samples.
  int64_t rows;
  // Sizes of one sample.
  int64_t d;
  // See `d`.
  int64_t h;
  // See `d`.
  int64_t w;
  // See `d`.
  int64_t c;
} kmc_view;

// The target of one loss: labels (from 0), or values where `labels` is NULL; neither, and a `len` of 0, for a loss that takes none.
typedef struct {
  // Class indices.
  const int32_t *labels;
  // Numbers.
  const float *values;
  // How many of either.
  int64_t len;
} kmc_target;

// What a backward pass does with the gradients of weights.
typedef int32_t kmc_grads;

// A rule by which gradients change parameters.
typedef int32_t kmc_optimizer;

// An optimizer and its numbers; see `KMC_OPTIMIZER_OPTIONS_INIT`.
typedef struct {
  // sizeof(kmc_optimizer_options)
  uint32_t size;
  // Which rule.
  kmc_optimizer kind;
  // The learning rate, before any schedule.
  double learning_rate;
  // The memory of the velocity (SGD, RMSprop).
  double momentum;
  // lambda: adds lambda w to the gradient; AdamW takes it from w itself.
  double weight_decay;
  // The memory of Adam's mean; 0.9 in the macro.
  double beta1;
  // The memory of Adam's mean square; 0.999 in the macro.
  double beta2;
  // What is added to denominators; 0: the rule's own.
  double eps;
  // The memory of Adadelta (0: 0.9) and RMSprop (0: 0.99).
  double rho;
  // 1: Nesterov's momentum (SGD).
  int32_t nesterov;
  // 1: the learning rate is part of the velocity, as in CIANNA (SGD).
  int32_t velocity_form;
  // 1: AMSGrad (Adam, AdamW).
  int32_t amsgrad;
  // 1: centred (RMSprop).
  int32_t centered;
} kmc_optimizer_options;

// How gradients are bounded before an update.
typedef int32_t kmc_clip;

// How weights begin; i and o are the inputs and outputs of one unit.
typedef int32_t kmc_init;

// Options of a dense layer; see `KMC_DENSE_OPTIONS_INIT`.
typedef struct {
  // sizeof(kmc_dense_options)
  uint32_t size;
  // The node it comes after; `KMC_LAST` in the macro.
  kmc_node input;
  // Its name; NULL: its kind and number.
  const char *name;
  // 1: no bias.
  int32_t no_bias;
  // How the weights begin.
  kmc_init init;
  // The number of that.
  double init_value;
  // The value at which biases begin.
  double bias_init;
  // The numbers of the activation.
  double a;
  // See `a`.
  double b;
} kmc_dense_options;

// Options of a variational dense layer; see `KMC_BAYES_DENSE_OPTIONS_INIT`.
typedef struct {
  // sizeof(kmc_bayes_dense_options)
  uint32_t size;
  // The node it comes after; `KMC_LAST` in the macro.
  kmc_node input;
  // Its name; NULL: its kind and number.
  const char *name;
  // 1: no bias.
  int32_t no_bias;
  // How the means of the weights begin.
  kmc_init init;
  // The number of that.
  double init_value;
  // The numbers of the activation.
  double a;
  // See `a`.
  double b;
  // The standard deviation of the prior of each weight; 0: 1.
  double prior;
  // The standard deviation at which all weights begin; 0: 0.03.
  double deviation;
  // The number that the divergence from the prior is divided by; 0: the training samples.
  int64_t samples;
} kmc_bayes_dense_options;

// Sizes along the axes. All 0: not given. 0 along one axis: 1 for sizes, strides and dilations, 0 for padding and gaps.
typedef struct {
  // Depth.
  int64_t d;
  // Height.
  int64_t h;
  // Width; the only axis of spectra.
  int64_t w;
} kmc_sizes;

// Options of a convolution; see `KMC_CONV_OPTIONS_INIT`. Sizes that are given take the place of the function's arguments.
typedef struct {
  // sizeof(kmc_conv_options)
  uint32_t size;
  // The node it comes after; `KMC_LAST` in the macro.
  kmc_node input;
  // Its name; NULL: its kind and number.
  const char *name;
  // 1: no bias.
  int32_t no_bias;
  // How the weights begin.
  kmc_init init;
  // The number of that.
  double init_value;
  // The value at which biases begin.
  double bias_init;
  // The numbers of the activation.
  double a;
  // See `a`.
  double b;
  // 1: as much padding as gives outputs of the input's size over the stride (Keras' "same"); not for transposed ones.
  int32_t same;
  // 1: each channel on its own, with `filters` outputs each; not for transposed ones.
  int32_t depthwise;
  // Groups of channels that do not mix; 0: 1.
  int64_t groups;
  // The window.
  kmc_sizes kernel;
  // Its steps.
  kmc_sizes stride;
  // Zeros before the first input.
  kmc_sizes pad_before;
  // Zeros after the last input.
  kmc_sizes pad_after;
  // Distance between taps.
  kmc_sizes dilation;
  // Zeros between inputs; not for transposed ones.
  kmc_sizes gap;
  // Further outputs of a transposed convolution.
  kmc_sizes output_pad;
} kmc_conv_options;

// Options of a pooling layer; see `KMC_POOL_OPTIONS_INIT`.
typedef struct {
  // sizeof(kmc_pool_options)
  uint32_t size;
  // The node it comes after; `KMC_LAST` in the macro.
  kmc_node input;
  // Its name; NULL: its kind and number.
  const char *name;
  // 1: as much padding as gives outputs of the input's size over the stride.
  int32_t same;
  // 1: averages count the padding.
  int32_t count_padding;
  // The window, in place of the function's argument.
  kmc_sizes kernel;
  // Its steps; not given: the window.
  kmc_sizes stride;
  // Padding before the first input.
  kmc_sizes pad_before;
  // Padding after the last input.
  kmc_sizes pad_after;
} kmc_pool_options;

// What shares a mean and a variance.
typedef int32_t kmc_norm;

// Options of a normalisation; see `KMC_NORM_OPTIONS_INIT`.
typedef struct {
  // sizeof(kmc_norm_options)
  uint32_t size;
  // The node it comes after; `KMC_LAST` in the macro.
  kmc_node input;
  // Its name; NULL: its kind and number.
  const char *name;
  // What is added to the variance; 0: 1e-5, of `KMC_NORM_CIANNA` 1e-3.
  double eps;
  // The share of a batch in the running statistics; 0: 0.1.
  double momentum;
  // 1: no scale and shift.
  int32_t no_affine;
  // 0
  int32_t reserved;
  // Groups of `KMC_NORM_GROUP`; size of a group of `KMC_NORM_CIANNA`.
  int64_t groups;
  // The last groups, which `KMC_NORM_CIANNA` leaves alone.
  int64_t set_off;
} kmc_norm_options;

// Where a layer goes: see `KMC_NODE_OPTIONS_INIT`.
typedef struct {
  // sizeof(kmc_node_options)
  uint32_t size;
  // The node it comes after; `KMC_LAST` in the macro.
  kmc_node input;
  // Its name; NULL: its kind and number.
  const char *name;
} kmc_node_options;

// The course of the learning rate: a factor on the optimizer's.
typedef int32_t kmc_schedule;

// A schedule and its numbers; see `KMC_SCHEDULE_OPTIONS_INIT`. Time counts steps, or epochs.
typedef struct {
  // sizeof(kmc_schedule_options)
  uint32_t size;
  // Which schedule.
  kmc_schedule kind;
  // A length of time.
  int64_t period;
  // The growth of periods.
  int64_t growth;
  // The factor of one change.
  double factor;
  // The lowest factor.
  double floor;
  // The speed of a decay.
  double rate;
  // The power of a polynomial.
  double power;
  // Times of change, in order.
  const int64_t *milestones;
  // Their number.
  int64_t n_milestones;
  // Units of time in which the rate rises from 0 before the schedule begins.
  int64_t warm_up;
  // 1: time counts epochs (all but the warm-up).
  int32_t per_epoch;
  // 0
  int32_t reserved;
} kmc_schedule_options;

// The rules of a training run; see `KMC_TRAINER_OPTIONS_INIT`.
typedef struct {
  // sizeof(kmc_trainer_options)
  uint32_t size;
  // What it computes in.
  kmc_precision precision;
  // The seed of weights, order, dropout and augmentation.
  uint64_t seed;
  // Samples in a batch; 32 in the macro.
  int64_t batch;
  // "auto", "cpu", "cuda:0"; NULL: "auto".
  const char *device;
  // Threads of a CPU; 0: the default. Results do not depend on it.
  int32_t threads;
  // 1: samples are taken in their order.
  int32_t keep_order;
  // The loss.
  kmc_loss_options loss;
  // The optimizer.
  kmc_optimizer_options optimizer;
  // The course of the learning rate.
  kmc_schedule_options schedule;
  // The losses of further outputs; NULL: none.
  const kmc_loss_options *more_losses;
  // Their number.
  int64_t n_more_losses;
  // How gradients are bounded.
  kmc_clip clip;
  // 1: no weight decay on biases and normalisations.
  int32_t spare_biases;
  // The bound.
  double clip_bound;
  // The memory of a running mean of the weights, with which validation then works; 0: none.
  double ema_decay;
  // 1: that memory is shorter at first.
  int32_t ema_warm_up;
  // 1: early stopping and the plateau watch the accuracy, not the loss.
  int32_t watch_accuracy;
  // Batches whose gradients are summed for one update; 0: 1.
  int64_t accumulate;
  // Epochs from one validation to the next; 0: 1.
  int64_t validate_every;
  // Validations without improvement after which training stops and goes back to the best weights; 0: never.
  int64_t early_patience;
  // The least improvement.
  double early_min_delta;
  // Validations before any that count.
  int64_t early_warm_up;
  // Validations without improvement after which the learning rate falls; 0: never.
  int64_t plateau_patience;
  // The factor by which; 0: 0.1.
  double plateau_factor;
  // The least improvement, relative; 0: 1e-4.
  double plateau_threshold;
  // Validations to wait after a fall.
  int64_t plateau_cooldown;
  // The lowest factor in all.
  double plateau_floor;
  // A file that is written after each epoch, and when a run is stopped; NULL: none.
  const char *checkpoint;
  // Updates after which it is written as well; 0: never.
  int64_t checkpoint_every;
  // A file that is written whenever a validation is the best so far; NULL: none.
  const char *best;
  // A checkpoint to go on from if it is there; NULL: none.
  const char *resume;
} kmc_trainer_options;

// One epoch of the history. NaN: not evaluated, or not applicable.
typedef struct {
  // Which epoch, from 1.
  uint64_t epoch;
  // Updates done by its end.
  uint64_t steps;
  // The learning rate of its last update.
  double learning_rate;
  // Mean loss of the samples as they were met in training.
  double loss;
  // Mean loss on the validation data.
  double valid_loss;
  // Share of validation samples whose class was found.
  double accuracy;
} kmc_record;

// Why a run ended.
typedef int32_t kmc_ended;

// What a run did; initialise it with `KMC_REPORT_INIT`.
typedef struct {
  // sizeof(kmc_report)
  uint32_t size;
  // Why it ended.
  kmc_ended ended;
  // Epochs done since the run began, earlier calls and checkpoints included.
  uint64_t epochs;
  // Updates, likewise.
  uint64_t steps;
  // Mean training loss of the last epoch.
  double loss;
  // Seconds that this call took.
  double seconds;
  // Training samples per second in this call, validation not counted.
  double rate;
  // The last validation, of the best weights where early stopping went back to them.
  kmc_scores valid;
} kmc_report;

// Where a run stands. NaN: not known.
typedef struct {
  // Epochs done.
  uint64_t epoch;
  // Epochs to do in all.
  uint64_t epochs;
  // Updates done.
  uint64_t step;
  // Samples of the present epoch that are done.
  int64_t done;
  // Samples of an epoch.
  int64_t samples;
  // Mean loss: of the step's samples, or of the epoch's.
  double loss;
  // The learning rate of the last update.
  double learning_rate;
  // Mean loss on the validation data.
  double valid_loss;
  // Share of validation samples whose class was found.
  double accuracy;
  // Training samples per second.
  double rate;
} kmc_progress;

// Told where a run stands. Answers 0 to go on, 1 to end the run as `kmc_request_stop` does; anything else fails the call with
// `KMC_ERR_CALLBACK`. It must not use the trainer: that is in use.
typedef int32_t (*kmc_progress_fn)(const kmc_progress *progress, void *user);

// Told a line about a run, without its line break.
typedef void (*kmc_log_fn)(const char *line, void *user);

// Who is told of a run; see `KMC_FIT_OPTIONS_INIT`. Without any of it nothing is said.
typedef struct {
  // sizeof(kmc_fit_options)
  uint32_t size;
  // 1: a line for each epoch on standard output; 2: a progress bar as well.
  int32_t verbose;
  // Called after each epoch; NULL: not.
  kmc_progress_fn on_epoch;
  // Called after each update; NULL: not.
  kmc_progress_fn on_batch;
  // Gets the lines that `verbose` would print; NULL: not.
  kmc_log_fn log;
  // Handed to the callbacks.
  void *user;
  // A file for the history as a table; NULL: none.
  const char *csv;
  // A file for the history, one JSON object a line; NULL: none.
  const char *json_lines;
  // A folder for learning curves as SVG files; NULL: none.
  const char *plots;
} kmc_fit_options;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

// y = f(x) for n values; `a` and `b` are the parameters that `kmc_activation` names. KMC_SOFTMAX runs over groups of `channels` values, the others
// do not look at it. y may be x; otherwise they must not overlap.
kmc_status kmc_activation_forward_f32(float *y,
                                      const float *x,
                                      int64_t n,
                                      kmc_activation kind,
                                      double a,
                                      double b,
                                      int64_t channels);

// As `kmc_activation_forward_f32`, in double precision.
kmc_status kmc_activation_forward_f64(double *y,
                                      const double *x,
                                      int64_t n,
                                      kmc_activation kind,
                                      double a,
                                      double b,
                                      int64_t channels);

// dx = dy f'(x), the gradient before the activation from the one behind it; with dy = 1 it is the derivative. KMC_GELU and KMC_SILU need x, the
// others y, which is computed from x where y is NULL; the one that is not needed may be NULL. At a kink f' is that of the flat side. dx may
// be dy, and must overlap nothing else.
kmc_status kmc_activation_backward_f32(float *dx,
                                       const float *dy,
                                       const float *x,
                                       const float *y,
                                       int64_t n,
                                       kmc_activation kind,
                                       double a,
                                       double b,
                                       int64_t channels);

// As `kmc_activation_backward_f32`, in double precision.
kmc_status kmc_activation_backward_f64(double *dx,
                                       const double *dy,
                                       const double *x,
                                       const double *y,
                                       int64_t n,
                                       kmc_activation kind,
                                       double a,
                                       double b,
                                       int64_t channels);

// C = alpha op(A) op(B) + beta C in single precision, op(A) of m by k and op(B) of k by n.
//
// A is stored as m by k, or as k by m with KMC_TRANS; B as k by n, or as n by k; C as m by n. A leading dimension is at least the length of
// a stored row (KMC_ROW_MAJOR) or column (KMC_COLUMN_MAJOR), and at least 1. A and B are not read where alpha or k is 0, nor C where beta is
// 0. Where C overlaps A or B, these are read before C is written.
kmc_status kmc_sgemm(kmc_order order,
                     kmc_transpose trans_a,
                     kmc_transpose trans_b,
                     int64_t m,
                     int64_t n,
                     int64_t k,
                     float alpha,
                     const float *a,
                     int64_t lda,
                     const float *b,
                     int64_t ldb,
                     float beta,
                     float *c,
                     int64_t ldc);

// As `kmc_sgemm`, in double precision.
kmc_status kmc_dgemm(kmc_order order,
                     kmc_transpose trans_a,
                     kmc_transpose trans_b,
                     int64_t m,
                     int64_t n,
                     int64_t k,
                     double alpha,
                     const double *a,
                     int64_t lda,
                     const double *b,
                     int64_t ldb,
                     double beta,
                     double *c,
                     int64_t ldc);

// The patches of one sample x[d][h][w][c] under a window: columns[position][cell under the window][c], 0 in the padding. A convolution is
// then the product of `columns` with the weights, and `filters` of the window has no part in it. The arrays must not overlap.
kmc_status kmc_im2col_f32(float *columns,
                          int64_t columns_len,
                          const float *x,
                          int64_t x_len,
                          const kmc_window *window);

// As `kmc_im2col_f32`, in double precision.
kmc_status kmc_im2col_f64(double *columns,
                          int64_t columns_len,
                          const double *x,
                          int64_t x_len,
                          const kmc_window *window);

// The transpose of `kmc_im2col_f32`: x takes the sum of all elements of `columns` that came from it. The arrays must not overlap.
kmc_status kmc_col2im_f32(float *x,
                          int64_t x_len,
                          const float *columns,
                          int64_t columns_len,
                          const kmc_window *window);

// As `kmc_col2im_f32`, in double precision.
kmc_status kmc_col2im_f64(double *x,
                          int64_t x_len,
                          const double *columns,
                          int64_t columns_len,
                          const kmc_window *window);

// A convolution of `rows` samples: y[p][f] = bias[f] + sum over the window's cells and channels of x w, with w[kd][kh][kw][c / groups][filters]
// and filters values of `bias` (NULL: none). y must not overlap the others.
kmc_status kmc_conv_forward_f32(float *y,
                                int64_t y_len,
                                const float *x,
                                int64_t x_len,
                                const float *w,
                                int64_t w_len,
                                const float *bias,
                                const kmc_window *window,
                                int64_t rows);

// As `kmc_conv_forward_f32`, in double precision.
kmc_status kmc_conv_forward_f64(double *y,
                                int64_t y_len,
                                const double *x,
                                int64_t x_len,
                                const double *w,
                                int64_t w_len,
                                const double *bias,
                                const kmc_window *window,
                                int64_t rows);

// The gradient wrt the input of a convolution: dx from dy. dx must not overlap the others.
kmc_status kmc_conv_input_gradient_f32(float *dx,
                                       int64_t dx_len,
                                       const float *dy,
                                       int64_t dy_len,
                                       const float *w,
                                       int64_t w_len,
                                       const kmc_window *window,
                                       int64_t rows);

// As `kmc_conv_input_gradient_f32`, in double precision.
kmc_status kmc_conv_input_gradient_f64(double *dx,
                                       int64_t dx_len,
                                       const double *dy,
                                       int64_t dy_len,
                                       const double *w,
                                       int64_t w_len,
                                       const kmc_window *window,
                                       int64_t rows);

// The gradients wrt the weights and (unless it is NULL) the bias of a convolution, summed over the samples: dw, and db of filters values, from
// x and dy. dw and db must overlap nothing.
kmc_status kmc_conv_weight_gradient_f32(float *dw,
                                        int64_t dw_len,
                                        float *db,
                                        const float *x,
                                        int64_t x_len,
                                        const float *dy,
                                        int64_t dy_len,
                                        const kmc_window *window,
                                        int64_t rows);

// As `kmc_conv_weight_gradient_f32`, in double precision.
kmc_status kmc_conv_weight_gradient_f64(double *dw,
                                        int64_t dw_len,
                                        double *db,
                                        const double *x,
                                        int64_t x_len,
                                        const double *dy,
                                        int64_t dy_len,
                                        const kmc_window *window,
                                        int64_t rows);

// Compares a gradient of n components with two-sided differences of the loss, parameter by parameter. `step` 0: for each parameter twelve
// steps from 0.05 max(1, |w|) down are extrapolated to none (24 losses), which suits losses in single and in double precision; otherwise
// the differences are those at w +- step. `user` is handed to `loss`.
kmc_status kmc_gradcheck(kmc_gradcheck_result *out,
                         kmc_loss_fn loss,
                         void *user,
                         const double *w,
                         const double *gradient,
                         int64_t n,
                         double step);

// k-means: `centres`[k][dims] and the nearest of them for each of the samples x[n][dims], from 0, of equally near ones the first. A centre without
// samples stays where it was. `out`, `assignment` and `options` may be NULL. The arrays must not overlap.
kmc_status kmc_kmeans_f32(kmc_kmeans_result *out,
                          float *centres,
                          int32_t *assignment,
                          const float *x,
                          int64_t n,
                          int64_t dims,
                          int64_t k,
                          const kmc_kmeans_options *options);

// As `kmc_kmeans_f32`, in double precision.
kmc_status kmc_kmeans_f64(kmc_kmeans_result *out,
                          double *centres,
                          int32_t *assignment,
                          const double *x,
                          int64_t n,
                          int64_t dims,
                          int64_t k,
                          const kmc_kmeans_options *options);

// Writes centres[k][dims] to a file as the course's programs do: dims and k, then one line for each centre.
kmc_status kmc_centres_write(const char *path, const float *centres, int64_t k, int64_t dims);

// Softmax and cross entropy in one: with p = softmax(logits[row]) the loss is the mean over the rows of -ln p[label], and its gradient dlogits =
// (p - 1 at the label) / rows. Each of both results may be NULL. dlogits must overlap nothing.
kmc_status kmc_softmax_cross_entropy_f32(double *loss,
                                         float *dlogits,
                                         const float *logits,
                                         const int32_t *labels,
                                         int64_t rows,
                                         int64_t classes);

// As `kmc_softmax_cross_entropy_f32`, in double precision.
kmc_status kmc_softmax_cross_entropy_f64(double *loss,
                                         double *dlogits,
                                         const double *logits,
                                         const int32_t *labels,
                                         int64_t rows,
                                         int64_t classes);

// The squared error of y[row][len] from t, and its gradient dy: the mean over the rows of sum (y - t)^2 / len, or with `half` 1 of
// sum (y - t)^2 / 2, the convention of the course. Each of both results may be NULL. dy must overlap nothing.
kmc_status kmc_mse_f32(double *loss,
                       float *dy,
                       const float *y,
                       const float *t,
                       int64_t rows,
                       int64_t len,
                       int32_t half);

// As `kmc_mse_f32`, in double precision.
kmc_status kmc_mse_f64(double *loss,
                       double *dy,
                       const double *y,
                       const double *t,
                       int64_t rows,
                       int64_t len,
                       int32_t half);

// The class, from 0, of the largest of y[row][classes], of equal ones the first. NaN is KMC_ERR_VALUE.
kmc_status kmc_argmax_f32(int32_t *out, const float *y, int64_t rows, int64_t classes);

// As `kmc_argmax_f32`, in double precision.
kmc_status kmc_argmax_f64(int32_t *out, const double *y, int64_t rows, int64_t classes);

// Writes a picture (SVG or PNG) of points x[n][dims], dims 2 or 3, in the colours of their clusters, with the centres[k][dims]. `assignment` and
// `centres` may be NULL.
kmc_status kmc_plot_clusters(const char *path,
                             const float *x,
                             int64_t n,
                             int64_t dims,
                             const int32_t *assignment,
                             const float *centres,
                             int64_t k);

// Writes a picture (SVG or PNG) of points x[n][2] in the colours of their labels, over the regions in which `classify` answers each class. `user` is
// handed to `classify`.
kmc_status kmc_plot_boundary(const char *path,
                             const float *x,
                             int64_t n,
                             const int32_t *labels,
                             kmc_classify_fn classify,
                             void *user);

// Pooling of `rows` samples: y is the largest value or the mean of x under each place of the window, channel by channel; padding neither wins
// nor counts. `filters`, `groups` of the window have no part in it, its dilation must be 1. y must not overlap x.
kmc_status kmc_pool_forward_f32(float *y,
                                int64_t y_len,
                                const float *x,
                                int64_t x_len,
                                kmc_pool kind,
                                const kmc_window *window,
                                int64_t rows);

// As `kmc_pool_forward_f32`, in double precision.
kmc_status kmc_pool_forward_f64(double *y,
                                int64_t y_len,
                                const double *x,
                                int64_t x_len,
                                kmc_pool kind,
                                const kmc_window *window,
                                int64_t rows);

// The gradient wrt the input of a pooling: dx from dy and, for KMC_POOL_MAX, x, whose first maximum under each place takes all of it. x may be
// NULL otherwise. dx must not overlap the others.
kmc_status kmc_pool_backward_f32(float *dx,
                                 int64_t dx_len,
                                 const float *dy,
                                 int64_t dy_len,
                                 const float *x,
                                 int64_t x_len,
                                 kmc_pool kind,
                                 const kmc_window *window,
                                 int64_t rows);

// As `kmc_pool_backward_f32`, in double precision.
kmc_status kmc_pool_backward_f64(double *dx,
                                 int64_t dx_len,
                                 const double *dy,
                                 int64_t dy_len,
                                 const double *x,
                                 int64_t x_len,
                                 kmc_pool kind,
                                 const kmc_window *window,
                                 int64_t rows);

// A random order of 0 to n - 1.
kmc_status kmc_shuffle(int64_t *order, int64_t n, uint64_t seed);

// n random numbers, uniform between low and high.
kmc_status kmc_random_uniform_f32(float *x, int64_t n, double low, double high, uint64_t seed);

// As `kmc_random_uniform_f32`, in double precision.
kmc_status kmc_random_uniform_f64(double *x, int64_t n, double low, double high, uint64_t seed);

// n random numbers of a normal distribution.
kmc_status kmc_random_normal_f32(float *x, int64_t n, double mean, double sigma, uint64_t seed);

// As `kmc_random_normal_f32`, in double precision.
kmc_status kmc_random_normal_f64(double *x, int64_t n, double mean, double sigma, uint64_t seed);

// The extent d, h, w, c of what comes out: as many channels as filters, or as go in where `filters` is 0 (poolings).
kmc_status kmc_window_output(int64_t *out_dhwc,
                             const kmc_window *window);

// Destroys a data set. NULL is allowed, and nothing. A trainer that uses the set keeps what it needs.
kmc_status kmc_dataset_destroy(kmc_dataset *data);

// A second handle for the same samples. They are copied when one of the two is changed.
kmc_status kmc_dataset_clone(kmc_dataset **out, kmc_dataset *data);

// Normalises input 0 with what the rule learns from `fitted_on`: the training data, or NULL for the set itself. a, b and c are the
// numbers of those rules that have some. Normalise the test data first: the training data learn from themselves.
kmc_status kmc_dataset_normalize(kmc_dataset *data,
                                 kmc_rule rule,
                                 kmc_scope scope,
                                 double a,
                                 double b,
                                 double c,
                                 kmc_dataset *fitted_on);

// Multiplies every value of input 0: 1/255 brings bytes to 0 to 1.
kmc_status kmc_dataset_scale(kmc_dataset *data, double factor);

// Replaces every value x of input 0 by f(x, user). f must not call back into this data set. If a result is not finite, nothing is changed.
kmc_status kmc_dataset_map(kmc_dataset *data,
                           kmc_map_fn f,
                           void *user);

// Appends positions of `value` behind the last on each axis of input 0: a spectrum of 3753 pixels to 3776.
kmc_status kmc_dataset_pad(kmc_dataset *data, int64_t d, int64_t h, int64_t w, int64_t c, double value);

// Reads input 0 as another extent of as many values: rows of a table as spectra or images.
kmc_status kmc_dataset_reshape(kmc_dataset *data, int64_t d, int64_t h, int64_t w, int64_t c);

// Replaces target 0, one label for each sample, by one-hot rows.
kmc_status kmc_dataset_one_hot(kmc_dataset *data);

// Brings the samples into a random order.
kmc_status kmc_dataset_shuffle(kmc_dataset *data, uint64_t seed);

// Keeps the first `caps[k]` samples of each class k of target 0, in their order.
kmc_status kmc_dataset_rebalance(kmc_dataset *data, const int64_t *caps, int64_t classes);

// A data set of `n` samples of d x h x w x c values, copied from an array in the given order: a table of 4 columns is 1, 1, 1, 4, a
// spectrum 1, 1, w, 1, an image 1, h, w, c. Values must be finite.
kmc_status kmc_dataset_create_f32(kmc_dataset **out,
                                  const float *x,
                                  int64_t n,
                                  int64_t d,
                                  int64_t h,
                                  int64_t w,
                                  int64_t c,
                                  kmc_layout layout);

// As `kmc_dataset_create_f32`, from double precision.
kmc_status kmc_dataset_create_f64(kmc_dataset **out,
                                  const double *x,
                                  int64_t n,
                                  int64_t d,
                                  int64_t h,
                                  int64_t w,
                                  int64_t c,
                                  kmc_layout layout);

// Adds another input, for networks with several: as many samples as the first has.
kmc_status kmc_dataset_add_input_f32(kmc_dataset *data,
                                     const float *x,
                                     int64_t n,
                                     int64_t d,
                                     int64_t h,
                                     int64_t w,
                                     int64_t c,
                                     kmc_layout layout);

// As `kmc_dataset_add_input_f32`, from double precision.
kmc_status kmc_dataset_add_input_f64(kmc_dataset *data,
                                     const double *x,
                                     int64_t n,
                                     int64_t d,
                                     int64_t h,
                                     int64_t w,
                                     int64_t c,
                                     kmc_layout layout);

// Adds a target of numbers, d x h x w x c for each sample: values of a regression, one-hot rows, an image.
kmc_status kmc_dataset_add_values_f32(kmc_dataset *data,
                                      const float *t,
                                      int64_t n,
                                      int64_t d,
                                      int64_t h,
                                      int64_t w,
                                      int64_t c,
                                      kmc_layout layout);

// As `kmc_dataset_add_values_f32`, from double precision.
kmc_status kmc_dataset_add_values_f64(kmc_dataset *data,
                                      const double *t,
                                      int64_t n,
                                      int64_t d,
                                      int64_t h,
                                      int64_t w,
                                      int64_t c,
                                      kmc_layout layout);

// Adds a target of classes. `labels` counts from 0 and holds one label for each sample, or as many for each as a map has positions.
kmc_status kmc_dataset_add_classes(kmc_dataset *data,
                                   const int32_t *labels,
                                   int64_t len,
                                   int64_t classes);

// Sets the weight of each sample in the loss, 0 or more; 0 leaves a sample out.
kmc_status kmc_dataset_set_weights(kmc_dataset *data, const double *weights, int64_t n);

// Sets the names of the classes, which tables of results then show.
kmc_status kmc_dataset_set_class_names(kmc_dataset *data, const char *const *names, int64_t n);

// A data set of the files in the folders of a folder, a class for each: `good/*.fits`, `bad/*.fits`. They are read as they are needed, FITS
// or `.npy`; trainers read ahead. `options` may be NULL.
kmc_status kmc_dataset_open_folders(kmc_dataset **out,
                                    const char *folder,
                                    const kmc_files_options *options);

// As `kmc_dataset_open_folders`, of the files in a text file of lines `filename,label`.
kmc_status kmc_dataset_open_labels(kmc_dataset **out, const char *path, const kmc_files_options *options);

// As `kmc_dataset_open_folders`, of `n` files without labels, to be predicted.
kmc_status kmc_dataset_open_files(kmc_dataset **out,
                                  const char *const *paths,
                                  int64_t n,
                                  const kmc_files_options *options);

// The files that could not be read so far, and why: a line for each.
kmc_status kmc_dataset_skipped(const char **out, kmc_dataset *data);

// A copy in memory of a set, also of a view, as it is in the first epoch; files that were skipped are left out. `prepare` says what is
// done to input 0 of each sample: NULL nothing; "astronomy" (missing values to 0, clip to the 1st and 99th percentile, logarithm, 0 to 1);
// or a list of steps in JSON, such as `[{"missing": "Zero"}, {"clip": {"low": 0.01, "high": 0.99}}, {"min_max": {"epsilon": 1e-8}}]`.
kmc_status kmc_dataset_load(kmc_dataset **out,
                            kmc_dataset *data,
                            const char *prepare);

// Reads an image or cube as one sample: (w), (h, w) or (d, h, w), axes of size 1 left out; with `stacked` as many as its slowest axis is
// long. `options` may be NULL.
kmc_status kmc_dataset_read_fits(kmc_dataset **out,
                                 const char *path,
                                 const kmc_fits_options *options);

// Reads columns of a binary table, a sample for each row: numbers of a row are channels, arrays of as many values in each column
// (spectra) lines, with a channel for each column. `label` is a column of classes (numbers from 0, or names), or NULL; `targets` are
// columns of values to be predicted. `options` may be NULL.
kmc_status kmc_dataset_read_fits_table(kmc_dataset **out,
                                       const char *path,
                                       const char *const *columns,
                                       int64_t n_columns,
                                       const char *label,
                                       const char *const *targets,
                                       int64_t n_targets,
                                       const kmc_fits_options *options);

// The number of samples.
kmc_status kmc_dataset_len(int64_t *out, kmc_dataset *data);

// The sizes d, h, w, c of an input, the first of which is 0. `out_dhwc` has room for 4.
kmc_status kmc_dataset_extent(int64_t *out_dhwc, kmc_dataset *data, int64_t input);

// The number of classes of a target, the first of which is 0; 0 if it is one of values, or not there.
kmc_status kmc_dataset_classes(int64_t *out, kmc_dataset *data, int64_t target);

// Copies the values of an input, (n, d, h, w, c). `len` is n·d·h·w·c.
kmc_status kmc_dataset_inputs(float *out, int64_t len, kmc_dataset *data, int64_t input);

// Copies the class indices of a target, from 0: one for each sample, or a map of them.
kmc_status kmc_dataset_labels(int32_t *out, int64_t len, kmc_dataset *data, int64_t target);

// Copies the values of a target.
kmc_status kmc_dataset_values(float *out, int64_t len, kmc_dataset *data, int64_t target);

// The number of samples of each class.
kmc_status kmc_dataset_counts(int64_t *out, int64_t n_classes, kmc_dataset *data, int64_t target);

// Stamps of galaxies of five shapes in turn (elliptical, spiral, barred, edge-on, merger), 48 x 48 x 3.
kmc_status kmc_dataset_make_galaxies(kmc_dataset **out, int64_t n, uint64_t seed);

// Handwritten digits, 0 to 9 in turn, 28 x 28 x 1, in 0 to 1; easier than MNIST, whose accuracies they do not stand for.
kmc_status kmc_dataset_make_digits(kmc_dataset **out,
                                   int64_t n,
                                   uint64_t seed);

// Stellar spectra of 3753 pixels, one of each class in `classes` (0 to 6: O B A F G K M).
kmc_status kmc_dataset_make_spectra(kmc_dataset **out, const int32_t *classes, int64_t n, uint64_t seed);

// Stars: the ratio of blue to red flux, and the temperature to be predicted.
kmc_status kmc_dataset_make_stars(kmc_dataset **out, int64_t n, uint64_t seed);

// Points around four centres in 2 dimensions, or five in 3: the k-means exercise.
kmc_status kmc_dataset_make_clusters(kmc_dataset **out, int64_t n, int64_t dimensions, uint64_t seed);

// Points on eight spots of a circle, each scattered by `sigma`.
kmc_status kmc_dataset_make_ring(kmc_dataset **out, int64_t n, double sigma, uint64_t seed);

// Writes input 0 in the layout of `kmc_dataset_read_points`.
kmc_status kmc_dataset_write_points(kmc_dataset *data, const char *path);

// A new set of these samples, counted from 0; one may come several times. Parts of a view, here and below, are views.
kmc_status kmc_dataset_subset(kmc_dataset **out,
                              kmc_dataset *data,
                              const int64_t *indices,
                              int64_t n);

// The first `n_first` samples, and the others.
kmc_status kmc_dataset_split(kmc_dataset **first, kmc_dataset **rest, kmc_dataset *data, int64_t n_first);

// A random part of about `fraction` of the samples, and the others.
kmc_status kmc_dataset_split_random(kmc_dataset **first,
                                    kmc_dataset **rest,
                                    kmc_dataset *data,
                                    double fraction,
                                    uint64_t seed);

// As `kmc_dataset_split_random`, with the same fraction of each class of target 0.
kmc_status kmc_dataset_split_stratified(kmc_dataset **first,
                                        kmc_dataset **rest,
                                        kmc_dataset *data,
                                        double fraction,
                                        uint64_t seed);

// Training and test set of fold `fold` (from 0) of `k` for cross-validation; `stratified` (0 or 1) keeps the shares of the classes.
kmc_status kmc_dataset_fold(kmc_dataset **train,
                            kmc_dataset **test,
                            kmc_dataset *data,
                            int64_t k,
                            int64_t fold,
                            int32_t stratified,
                            uint64_t seed);

// A view in which all classes of target 0 come equally often; which samples stand for the large ones changes from epoch to epoch.
kmc_status kmc_dataset_balanced(kmc_dataset **out,
                                kmc_dataset *data);

// A view whose samples are changed anew in each epoch, by draws that depend on the seed of the training alone.
kmc_status kmc_dataset_augmented(kmc_dataset **out,
                                 kmc_dataset *data,
                                 const kmc_augment_options *options);

// Reads a text table: one line for each sample, columns separated by blanks, commas or as told. Without options the last column is the
// class. Errors name the line and the column.
kmc_status kmc_dataset_read_table(kmc_dataset **out,
                                  const char *path,
                                  const kmc_table_options *options);

// Reads two text matrices with a line for each sample: inputs, and one-hot rows or values to be predicted.
kmc_status kmc_dataset_read_pair(kmc_dataset **out, const char *inputs, const char *targets);

// Reads points in the layout of the course's k-means exercise: `dimensions count`, then one line of `count` numbers for each dimension.
kmc_status kmc_dataset_read_points(kmc_dataset **out,
                                   const char *path);

// Reads images and labels in the IDX format of MNIST, gzip-compressed or not. Pixels stay 0 to 255; see `kmc_dataset_scale`.
kmc_status kmc_dataset_read_idx(kmc_dataset **out,
                                const char *images,
                                const char *labels);

// Reads a NumPy array whose first index counts the samples; the others are (c), (h, w), (h, w, c) or (d, h, w, c). `labels` is a file of
// class indices, or NULL.
kmc_status kmc_dataset_read_npy(kmc_dataset **out,
                                const char *x,
                                const char *labels);

// As `kmc_dataset_read_npy`, from two arrays of a NumPy archive.
kmc_status kmc_dataset_read_npz(kmc_dataset **out, const char *path, const char *x, const char *labels);

// Reads a file that is nothing but the values of `n` samples of d x h x w x c, in the byte order of this machine.
kmc_status kmc_dataset_read_raw(kmc_dataset **out,
                                const char *path,
                                kmc_kind kind,
                                int64_t n,
                                int64_t d,
                                int64_t h,
                                int64_t w,
                                int64_t c,
                                kmc_layout layout);

// Reads CIFAR files in the binary version. `variant` is 10, 100, or 20 for the coarse labels of CIFAR-100. Pixels stay 0 to 255.
kmc_status kmc_dataset_read_cifar(kmc_dataset **out,
                                  const char *const *paths,
                                  int64_t n,
                                  int32_t variant);

// The number of GPUs that can be used; 0 without a driver.
kmc_status kmc_device_count(int32_t *out_gpus);

// What a device is: "cpu (8 threads, avx512)", "cuda:0 (NVIDIA H200, …)". NULL is "auto".
kmc_status kmc_device_name(const char **out, const char *device);

// What this machine can compute on, and what keeps it from more, in a few lines.
kmc_status kmc_doctor(const char **out);

// The threads a CPU device has unless told otherwise: what the affinity of the process, its container and the environment allow.
kmc_status kmc_default_threads(int32_t *out);

// Writes a FITS file of one image or cube. `shape` has the sizes of its `n_axes` axes, slowest first, the last one being NAXIS1: rows and
// columns of an image. `like` is a file whose first image has the same place on the sky: its world coordinates are copied; NULL: none.
// Where there was a file, it is replaced when the new one is whole.
kmc_status kmc_fits_write_f32(const char *path,
                              const float *x,
                              const int64_t *shape,
                              int64_t n_axes,
                              const char *like);

// As `kmc_fits_write_f32`, in double precision.
kmc_status kmc_fits_write_f64(const char *path,
                              const double *x,
                              const int64_t *shape,
                              int64_t n_axes,
                              const char *like);

// Counts how often class t was predicted as p: `counts` has classes x classes numbers, [true][predicted], and is overwritten.
kmc_status kmc_confusion_count(int64_t *counts,
                               int64_t n_classes,
                               const int32_t *truth,
                               const int32_t *predicted,
                               int64_t n);

// A table of counts with recall, precision and accuracy. `names` (of the classes) may be NULL.
kmc_status kmc_confusion_text(const char **out,
                              const int64_t *counts,
                              int64_t n_classes,
                              const char *const *names);

// Prints what `kmc_confusion_text` gives on standard output.
kmc_status kmc_confusion_print(const int64_t *counts, int64_t n_classes, const char *const *names);

// Recall, precision and F1 of each class, and the accuracy. Each may be NULL; NaN where there is nothing to divide by.
kmc_status kmc_confusion_scores(double *recall,
                                double *precision,
                                double *f1,
                                double *accuracy,
                                const int64_t *counts,
                                int64_t n_classes);

// The area under the curve of true against false positives; `positive` is 0 or 1 for each score.
kmc_status kmc_roc_auc(double *out, const double *scores, const int32_t *positive, int64_t n);

// The share of the positive samples that are found where at most this share of the negative ones is taken for positive; TPR0 at 0.
kmc_status kmc_roc_recall_at(double *out,
                             const double *scores,
                             const int32_t *positive,
                             int64_t n,
                             double false_alarms);

// The share of samples whose class is among the k largest of their scores, [sample][class].
kmc_status kmc_top_k(double *out,
                     const float *scores,
                     int64_t n_classes,
                     const int32_t *truth,
                     int64_t n,
                     int64_t k);

// Scores of predicted values; with `redshift` 1 of (z' - z) / (1 + z). `limit` is that of outliers.
kmc_status kmc_residuals_of(kmc_residuals *out,
                            const double *predicted,
                            const double *truth,
                            int64_t n,
                            int32_t redshift,
                            double limit);

// How far probabilities can be trusted: the expected calibration error over `bins` bins, and the Brier score. Probabilities are
// [sample][class]; each result may be NULL.
kmc_status kmc_calibration(double *out_ece,
                           double *out_brier,
                           const float *probabilities,
                           int64_t n_classes,
                           const int32_t *truth,
                           int64_t n,
                           int64_t bins);

// The temperature T at which softmax(logits / T) makes the true classes of validation samples the most likely. Logits are
// [sample][class]; logarithms of probabilities are logits as well.
kmc_status kmc_temperature_fit(double *out,
                               const float *logits,
                               int64_t n_classes,
                               const int32_t *truth,
                               int64_t n);

// The probabilities softmax(logits / temperature), [sample][class] as the logits.
kmc_status kmc_temperature_apply(float *probabilities,
                                 const float *logits,
                                 int64_t n_classes,
                                 int64_t n,
                                 double temperature);

// The mean continuous ranked probability score of densities over bins, in the units of the edges. Probabilities are [sample][bin];
// `edges` are n_bins + 1, ascending.
kmc_status kmc_crps(double *out,
                    const float *probabilities,
                    const double *edges,
                    int64_t n_bins,
                    const double *truth,
                    int64_t n);

// The probability integral transform of each sample, the share of its density below the truth; see `kmc_crps`. Over many samples it
// is uniform where the densities are right.
kmc_status kmc_pit(double *out,
                   const float *probabilities,
                   const double *edges,
                   int64_t n_bins,
                   const double *truth,
                   int64_t n);

// A model of this network with new weights. `options` may be NULL: f32, seed 0, the best device, no loss.
kmc_status kmc_model_create(kmc_model **out, kmc_network *net, const kmc_model_options *options);

// The model of a checkpoint, its network and losses included. `device` may be NULL.
kmc_status kmc_model_load(kmc_model **out, const char *path, const char *device);

// Destroys a model. NULL is allowed, and nothing. The model of a trainer goes with its trainer.
kmc_status kmc_model_destroy(kmc_model *model);

// Writes weights, layer state and network to a file, so that `path` holds either its old contents or all of the new ones.
kmc_status kmc_model_save(kmc_model *model,
                          const char *path);

// Takes weights and state from a checkpoint of the same network.
kmc_status kmc_model_restore(kmc_model *model, const char *path);

// Takes those arrays of a checkpoint whose names begin with `prefix`: a trained encoder under a new head. `out_arrays` is their number.
kmc_status kmc_model_restore_some(int64_t *out_arrays,
                                  kmc_model *model,
                                  const char *path,
                                  const char *prefix);

// What the model computes on.
kmc_status kmc_model_device(const char **out, kmc_model *model);

// The number of updates since the weights were drawn.
kmc_status kmc_model_updates(uint64_t *out, kmc_model *model);

// The plans made so far: nodes, sizes, parameters, memory.
kmc_status kmc_model_summary(const char **out, kmc_model *model);

// Freezes a node: its weights get no gradient and no update.
kmc_status kmc_model_freeze(kmc_model *model, kmc_node node);

// Undoes `kmc_model_freeze`.
kmc_status kmc_model_unfreeze(kmc_model *model, kmc_node node);

// Multiplies the learning rate of a node's weights.
kmc_status kmc_model_scale_learning_rate(kmc_model *model, kmc_node node, double factor);

// Keeps the output of a node, and in backward passes its gradient, for `kmc_model_node_f32` and `kmc_model_node_gradient_f32`.
kmc_status kmc_model_keep(kmc_model *model,
                          kmc_node node);

// The copy of a network that the model was made of, as a network of its own.
kmc_status kmc_model_network(kmc_network **out, kmc_model *model);

// The number of arrays: weights, then layer state.
kmc_status kmc_model_array_count(int64_t *out, kmc_model *model);

// The name of an array, counted from 0: `dense1.weight`.
kmc_status kmc_model_array_name(const char **out, kmc_model *model, int64_t index);

// The shape of an array: weights of a dense layer are (inputs, units), of a convolution (kd, kh, kw, channels, filters). `out_shape` has
// room for 8 numbers, of which `out_rank` are set and the others 1.
kmc_status kmc_model_array_shape(int64_t *out_shape,
                                 int64_t *out_rank,
                                 kmc_model *model,
                                 const char *name);

// Copies an array.
kmc_status kmc_model_array_get(double *out, int64_t len, kmc_model *model, const char *name);

// Sets an array.
kmc_status kmc_model_array_set(kmc_model *model, const char *name, const double *values, int64_t len);

// Copies the gradient of a weight array after a backward pass.
kmc_status kmc_model_array_gradient(double *out, int64_t len, kmc_model *model, const char *name);

// Evaluates the attached losses, and classes, over a data set in batches of `batch` (0: 256). `confusion` is NULL, or room for classes x
// classes counts, [true][predicted], with `confusion_len` their number. Of equal outputs the first counts.
kmc_status kmc_model_evaluate(kmc_scores *out,
                              int64_t *confusion,
                              int64_t confusion_len,
                              kmc_model *model,
                              kmc_dataset *data,
                              int64_t batch);

// The predictions of the first output for every sample, in batches of `batch` (0: 256): probabilities, where the loss is one of classes.
kmc_status kmc_model_predict(float *y,
                             int64_t len,
                             kmc_model *model,
                             kmc_dataset *data,
                             int64_t batch);

// The class of the largest prediction for every sample, from 0; of equal ones the first.
kmc_status kmc_model_predict_classes(int32_t *out,
                                     int64_t len,
                                     kmc_model *model,
                                     kmc_dataset *data,
                                     int64_t batch);

// Predicts `draws` times with other dropout masks, and other weights of variational layers: the mean, the standard deviation and the
// quantiles `q` (0 to 1) of each prediction. `len` is the number of predictions, rows x outputs; `deviation` (as long) and `quantiles`
// ([q][row][output]) may be NULL. `entropies` is NULL or, where predictions are class probabilities, [3][row], in nats: of the mean
// (all that is not known), the mean of those of the draws (noise in the data), and their difference, the mutual information (what more
// data would settle). `n_rows` is the number of rows, times the positions of a map of classes.
kmc_status kmc_model_predict_monte_carlo(float *mean,
                                         float *deviation,
                                         float *quantiles,
                                         int64_t len,
                                         float *entropies,
                                         int64_t n_rows,
                                         kmc_model *model,
                                         kmc_dataset *data,
                                         const double *q,
                                         int64_t n_q,
                                         int64_t draws,
                                         int64_t batch);

// The gradients wrt the input of one channel of the first output for each sample (its class, say), without the activation of that output:
// a map of the size of the input for each. `len` is the number of values of all `n` samples. `draws` above 0 gives SmoothGrad: the mean
// over so many copies with noise of the standard deviation `noise`, a share of the sample's range (0.15 is usual).
kmc_status kmc_model_saliency(float *maps,
                              int64_t len,
                              kmc_model *model,
                              const float *x,
                              const int32_t *channels,
                              int64_t n,
                              kmc_gradient kind,
                              int64_t draws,
                              double noise,
                              uint64_t seed);

// The Grad-CAM maps of a node, most often the last convolution: where the evidence for a channel of the first output lies. There is a map
// (d, h, w) of the size of the input for each of `n` samples, `maps_len` values in all; `x_len` is that of the samples.
kmc_status kmc_model_grad_cam(float *maps,
                              int64_t maps_len,
                              kmc_model *model,
                              const float *x,
                              int64_t x_len,
                              const int32_t *channels,
                              int64_t n,
                              kmc_node node);

// Predicts an image or cube of any size, from FITS file to FITS file, in tiles of d x h x w, one row of them in memory at a time. The
// result has the world coordinates of the image, scaled where the network changes its size; several channels become planes. `options`
// may be NULL.
kmc_status kmc_model_predict_fits(kmc_model *model,
                                  const char *from,
                                  const char *to,
                                  int64_t d,
                                  int64_t h,
                                  int64_t w,
                                  const kmc_mosaic_options *options);

// Runs a batch through a network with one input. `len` is rows x d x h x w x c, and tells the number of rows.
kmc_status kmc_model_forward_f32(kmc_model *model, kmc_mode mode, const float *x, int64_t len);

// As `kmc_model_forward_f32`, for models in `KMC_FP64`.
kmc_status kmc_model_forward_f64(kmc_model *model, kmc_mode mode, const double *x, int64_t len);

// Runs a batch through a network: one view for each input, of the declared sizes or, where all layers allow it, of others.
kmc_status kmc_model_forward_views(kmc_model *model,
                                   kmc_mode mode,
                                   const kmc_view *x,
                                   int64_t n);

// The sizes d, h, w, c of an output (the first is 0) after a forward pass. `out_dhwc` has room for 4.
kmc_status kmc_model_output_extent(int64_t *out_dhwc, kmc_model *model, int64_t output);

// Copies an output of the last forward pass, the first of which is 0: (rows, d, h, w, c).
kmc_status kmc_model_output_f32(float *y, int64_t len, kmc_model *model, int64_t output);

// As `kmc_model_output_f32`, in double precision.
kmc_status kmc_model_output_f64(double *y, int64_t len, kmc_model *model, int64_t output);

// Turns the outputs of the last forward pass into predictions, in place: logits into probabilities, as the losses say.
kmc_status kmc_model_make_prediction(kmc_model *model);

// The attached loss of the last forward pass, for class labels from 0: the mean over the rows. `kmc_model_backward` may follow.
kmc_status kmc_model_loss_classes(double *out,
                                  kmc_model *model,
                                  const int32_t *labels,
                                  int64_t n);

// As `kmc_model_loss_classes`, for targets that are numbers: as many for each row.
kmc_status kmc_model_loss_values_f32(double *out, kmc_model *model, const float *t, int64_t len);

// As `kmc_model_loss_values_f32`, for models in `KMC_FP64`.
kmc_status kmc_model_loss_values_f64(double *out, kmc_model *model, const double *t, int64_t len);

// The sum of all attached losses, each with its factor, for one target each.
kmc_status kmc_model_loss_targets(double *out, kmc_model *model, const kmc_target *targets, int64_t n);

// Gradients wrt inputs and weights, from the losses that were evaluated last. One backward pass for each forward pass.
kmc_status kmc_model_backward(kmc_model *model,
                              kmc_grads grads);

// Gradients wrt inputs and weights, from the gradient `dy` of something of the caller's wrt output 0: a physics loss, a class's score.
kmc_status kmc_model_backward_from_f32(kmc_model *model,
                                       const float *dy,
                                       int64_t len,
                                       kmc_grads grads);

// As `kmc_model_backward_from_f32`, for models in `KMC_FP64`.
kmc_status kmc_model_backward_from_f64(kmc_model *model, const double *dy, int64_t len, kmc_grads grads);

// Copies the gradient wrt an input, the first of which is 0, of the last backward pass.
kmc_status kmc_model_input_gradient_f32(float *dx, int64_t len, kmc_model *model, int64_t input);

// As `kmc_model_input_gradient_f32`, in double precision.
kmc_status kmc_model_input_gradient_f64(double *dx, int64_t len, kmc_model *model, int64_t input);

// Copies the output of a node that `kmc_model_keep` keeps.
kmc_status kmc_model_node_f32(float *y, int64_t len, kmc_model *model, kmc_node node);

// Copies the gradient wrt the output of such a node.
kmc_status kmc_model_node_gradient_f32(float *dy, int64_t len, kmc_model *model, kmc_node node);

// Updates the weights from their gradients.
kmc_status kmc_model_step(kmc_model *model, const kmc_optimizer_options *optimizer);

// As `kmc_model_step`, with bounded gradients. `out_factor` (may be NULL) is what a bound on the norm multiplied them by; on a GPU it
// stays there, and 1 comes back.
kmc_status kmc_model_step_clipped(double *out_factor,
                                  kmc_model *model,
                                  const kmc_optimizer_options *optimizer,
                                  kmc_clip clip,
                                  double bound);

// Moves a running mean of the weights towards them: a = decay a + (1 - decay) w; `warm_up` (0 or 1) shortens its memory at first.
kmc_status kmc_model_average(kmc_model *model,
                             double decay,
                             int32_t warm_up);

// Exchanges the weights and their running mean: to predict with the mean, and back.
kmc_status kmc_model_swap_average(kmc_model *model);

// Trains on one batch: forward, loss, backward, update, in one call. `x_len` is rows x d x h x w x c, `labels` are from 0. `loss` (may be
// NULL) is the mean over the rows, before the update.
kmc_status kmc_model_train_batch_classes(double *loss,
                                         kmc_model *model,
                                         const float *x,
                                         int64_t x_len,
                                         const int32_t *labels,
                                         int64_t n,
                                         const kmc_optimizer_options *optimizer);

// As `kmc_model_train_batch_classes`, for targets that are numbers: as many for each row.
kmc_status kmc_model_train_batch_values(double *loss,
                                        kmc_model *model,
                                        const float *x,
                                        int64_t x_len,
                                        const float *t,
                                        int64_t t_len,
                                        const kmc_optimizer_options *optimizer);

// A network with one input of d x h x w x c values a sample: a table of 4 columns is 1, 1, 1, 4, a spectrum 1, 1, w, 1, an image 1, h, w, c.
kmc_status kmc_network_create(kmc_network **out,
                              int64_t d,
                              int64_t h,
                              int64_t w,
                              int64_t c);

// Destroys a network. NULL is allowed, and nothing.
kmc_status kmc_network_destroy(kmc_network *net);

// A copy, to be changed on its own.
kmc_status kmc_network_clone(kmc_network **out, kmc_network *net);

// Adds another input.
kmc_status kmc_network_input(kmc_network *net, const char *name, int64_t d, int64_t h, int64_t w, int64_t c);

// The node that was added last.
kmc_status kmc_network_last(kmc_node *out, kmc_network *net);

// The node of this name.
kmc_status kmc_network_node(kmc_node *out, kmc_network *net, const char *name);

// The name of a node.
kmc_status kmc_network_node_name(const char **out, kmc_network *net, kmc_node node);

// Names a node; its weights are then called `name.weight` and so on. Without this a layer is called by its kind and number: `conv2`.
kmc_status kmc_network_set_name(kmc_network *net,
                                kmc_node node,
                                const char *name);

// Declares an output. A network without any has one, `output`: its last node.
kmc_status kmc_network_output(kmc_network *net, const char *name, kmc_node node);

// A copy of the nodes up to `last`: an encoder without its head.
kmc_status kmc_network_up_to(kmc_network **out, kmc_network *net, kmc_node last);

// A table of nodes, sizes, parameters and memory for batches of `batch`. Fails where the network is impossible, and says why.
kmc_status kmc_network_summary(const char **out,
                               kmc_network *net,
                               int64_t batch);

// The number of trained parameters.
kmc_status kmc_network_parameters(int64_t *out, kmc_network *net);

// A dense layer, y = f(x W + b), of `units` units. `options` may be NULL.
kmc_status kmc_network_dense(kmc_network *net,
                             int64_t units,
                             kmc_activation activation,
                             const kmc_dense_options *options);

// A dense layer whose weights have distributions (Bayes by backprop): each pass in training and in Monte-Carlo prediction draws them,
// all others take their means. The divergence from the prior, over the number of training samples, is part of the loss. `options` may
// be NULL.
kmc_status kmc_network_bayes_dense(kmc_network *net,
                                   int64_t units,
                                   kmc_activation activation,
                                   const kmc_bayes_dense_options *options);

// A convolution of `filters` filters: the same `kernel`, `stride` and `pad` (zeros on both sides) along each axis that the network has,
// 1-D, 2-D or 3-D. `options` may be NULL, and has sizes for each axis.
kmc_status kmc_network_conv(kmc_network *net,
                            int64_t filters,
                            int64_t kernel,
                            int64_t stride,
                            int64_t pad,
                            kmc_activation activation,
                            const kmc_conv_options *options);

// A transposed convolution, which enlarges: `pad` is cut off on both sides. `options` may be NULL.
kmc_status kmc_network_conv_transpose(kmc_network *net,
                                      int64_t filters,
                                      int64_t kernel,
                                      int64_t stride,
                                      int64_t pad,
                                      kmc_activation activation,
                                      const kmc_conv_options *options);

// Pooling over windows of `kernel` along each axis, in steps of as much; `kernel` 0 pools the whole input. `options` may be NULL.
kmc_status kmc_network_pool(kmc_network *net,
                            kmc_pool kind,
                            int64_t kernel,
                            const kmc_pool_options *options);

// A normalisation: (x - mean) / sqrt(variance + eps), then a trained scale and shift. `options` may be NULL, but for groups.
kmc_status kmc_network_norm(kmc_network *net,
                            kmc_norm kind,
                            const kmc_norm_options *options);

// Local response normalisation over `range` neighbouring channels: y = x / (k + alpha/range sum x^2)^beta.
kmc_status kmc_network_lrn(kmc_network *net,
                           int64_t range,
                           double k,
                           double alpha,
                           double beta,
                           const kmc_node_options *options);

// Drops values with probability `rate` in training and Monte-Carlo prediction, and enlarges the others by 1/(1 - rate); `channels` (0 or 1)
// drops whole channels.
kmc_status kmc_network_dropout(kmc_network *net,
                               double rate,
                               int32_t channels,
                               const kmc_node_options *options);

// An activation with its numbers, as a layer.
kmc_status kmc_network_activation(kmc_network *net,
                                  kmc_activation activation,
                                  double a,
                                  double b,
                                  const kmc_node_options *options);

// A leaky ReLU whose slope, for each channel or (`shared` 1) for all, is trained from `slope`.
kmc_status kmc_network_prelu(kmc_network *net, double slope, int32_t shared, const kmc_node_options *options);

// All values of a sample as one vector. Dense layers do so by themselves.
kmc_status kmc_network_flatten(kmc_network *net, const kmc_node_options *options);

// The same values as d x h x w x c.
kmc_status kmc_network_reshape(kmc_network *net,
                               int64_t d,
                               int64_t h,
                               int64_t w,
                               int64_t c,
                               const kmc_node_options *options);

// Enlarges by `factor` along each axis: repeats values, or (`linear` 1) interpolates, between the corners if `align_corners` is 1.
kmc_status kmc_network_upsample(kmc_network *net,
                                int64_t factor,
                                int32_t linear,
                                int32_t align_corners,
                                const kmc_node_options *options);

// Puts zeros around the input.
kmc_status kmc_network_zero_pad(kmc_network *net,
                                const kmc_sizes *before,
                                const kmc_sizes *after,
                                const kmc_node_options *options);

// Cuts off the borders of the input.
kmc_status kmc_network_crop(kmc_network *net,
                            const kmc_sizes *before,
                            const kmc_sizes *after,
                            const kmc_node_options *options);

// The sum of the outputs of `n` nodes of the same sizes. `name` may be NULL.
kmc_status kmc_network_add(kmc_network *net, const kmc_node *nodes, int64_t n, const char *name);

// The channels of the outputs of `n` nodes side by side. `name` may be NULL.
kmc_status kmc_network_concat(kmc_network *net, const kmc_node *nodes, int64_t n, const char *name);

// The name of a status, as it is written in C: "KMC_ERR_SHAPE". Never NULL.
const char *kmc_status_name(int32_t status);

// The last failure on this thread, as a sentence: where, what, expected, got, a hint. Empty if there was none, never NULL. It is valid
// until the next failing call on this thread. Whether a call failed is told by its status alone.
const char *kmc_last_error(void);

// The version of the library: "0.1.0".
const char *kmc_version(void);

// The version of the library's binary interface, to be compared with the header's `KMC_ABI_VERSION`.
uint32_t kmc_abi_version(void);

// A trainer for a copy of this network. `valid` may be NULL. The data sets may be destroyed or changed afterwards.
kmc_status kmc_trainer_create(kmc_trainer **out,
                              kmc_network *net,
                              kmc_dataset *train,
                              kmc_dataset *valid,
                              const kmc_trainer_options *options);

// Destroys a trainer and its model. NULL is allowed, and nothing.
kmc_status kmc_trainer_destroy(kmc_trainer *trainer);

// The model of a trainer, lent: every function for models works on it, until the trainer is destroyed.
kmc_status kmc_trainer_model(kmc_model **out, kmc_trainer *trainer);

// One update: gather, forward, losses, backward, optimizer. `loss` (may be NULL) is the mean over the samples.
kmc_status kmc_trainer_step(double *loss,
                            kmc_trainer *trainer);

// Evaluates over the validation data, with averaged weights where an average is kept; see `kmc_model_evaluate`.
kmc_status kmc_trainer_validate(kmc_scores *out,
                                int64_t *confusion,
                                int64_t confusion_len,
                                kmc_trainer *trainer);

// The number of epochs done.
kmc_status kmc_trainer_epoch(uint64_t *out, kmc_trainer *trainer);

// The learning rate of the next step.
kmc_status kmc_trainer_learning_rate(double *out, kmc_trainer *trainer);

// The epochs so far: `out_epochs` is how many there are, of which the first `len` are copied. `out` may be NULL with a `len` of 0.
kmc_status kmc_trainer_history(kmc_record *out,
                               int64_t len,
                               int64_t *out_epochs,
                               kmc_trainer *trainer);

// Writes the whole state of the run: weights, optimizer, counters, history. A run that goes on from it gives the same bits.
kmc_status kmc_trainer_save(kmc_trainer *trainer,
                            const char *path);

// Goes to the state of a checkpoint of the same network.
kmc_status kmc_trainer_restore(kmc_trainer *trainer, const char *path);

// Asks a run to finish its update, write its checkpoint and return; NULL: all that are running now. A request to a trainer that is not
// running ends its next run at once. May be called from a signal handler and from any thread.
void kmc_request_stop(kmc_trainer *trainer);

// Trains until `epochs` epochs are done in all: a second call, or a resumed run, does those that are left. `out` and `options` may be
// NULL.
kmc_status kmc_trainer_fit(kmc_report *out,
                           kmc_trainer *trainer,
                           int64_t epochs,
                           const kmc_fit_options *options);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* KAMACITE_H */
