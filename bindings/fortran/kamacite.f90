!! kamacite for Fortran: neural networks on the processor or a GPU, from datasets down to the single kernel.
!!
!!   gfortran -O3 kamacite.f90 iris.f90 -lkamacite
!!
!! Five rules hold everywhere.
!!
!! 1. Shapes are those of the Fortran array, channels first in memory, samples last: a table is x(features, n), a
!!    spectrum x(c, w, n), an image x(c, w, h, n), a cube x(c, w, h, d, n). A shape without samples is [c], [c, w],
!!    [c, w, h] or [c, w, h, d]; sizes along directions (kernels, strides, padding) are [w], [w, h] or [w, h, d].
!!    A rank-2 array x(features, n) also fits images and spectra of as many values; a rank-1 array is taken as the
!!    values in memory order, of any number of samples. Contiguous arrays are never copied.
!! 2. Everything counts from 1: classes, columns, samples, folds, inputs, outputs, targets. Only nodes have the numbers
!!    that summaries print: the first input is node 0.
!! 3. Every procedure has `stat` and `errmsg`, as ALLOCATE has: with `stat` present, 0 is success and one of the
!!    kmc_err_ constants a failure, and `errmsg` is defined by a failure only; with `stat` absent, a failure writes its
!!    sentence to the error unit and stops the program with status 1.
!! 4. Objects are made by subroutines (`call net%create(...)`), live in variables, and release what they hold when the
!!    variable ends, is made anew, or by `call x%destroy()`. `a = b` is refused, for two variables would own one thing;
!!    `call a%clone(b)` copies data sets and networks. Variables of a main program never end: work in a procedure.
!! 5. Inputs come before results: `call all%split(100, train, test)`. Hyper-parameters are real64, seeds integer(int64)
!!    (or default integers).
module kamacite
  use, intrinsic :: iso_c_binding
  use, intrinsic :: iso_fortran_env, only: int32, int64, real32, real64, error_unit, output_unit
  implicit none
  private

  !! What a procedure answers in `stat`.
  integer, parameter, public :: kmc_ok = 0, kmc_err_shape = 1, kmc_err_plan = 2, kmc_err_out_of_memory = 3, &
    kmc_err_device = 4, kmc_err_value = 5, kmc_err_format = 6, kmc_err_io = 7, kmc_err_unsupported = 8, &
    kmc_err_diverged = 9, kmc_err_order = 10, kmc_err_null = 11, kmc_err_handle = 12, kmc_err_struct = 13, &
    kmc_err_busy = 14, kmc_err_poisoned = 15, kmc_err_panic = 16, kmc_err_callback = 17
  !! Layouts of arrays.
  integer, parameter, public :: kmc_channels_last = 0, kmc_channels_first = 1, kmc_feature_major = 2
  !! Activations; a, b: slope and saturation (leaky_relu, scaled_logistic), alpha (elu).
  integer, parameter, public :: kmc_linear = 0, kmc_relu = 1, kmc_leaky_relu = 2, kmc_elu = 3, kmc_selu = 4, &
    kmc_gelu = 5, kmc_silu = 6, kmc_tanh = 7, kmc_logistic = 8, kmc_scaled_logistic = 9, kmc_softplus = 10, &
    kmc_softmax = 11
  !! Losses.
  integer, parameter, public :: kmc_loss_softmax_cross_entropy = 0, kmc_loss_cross_entropy = 1, kmc_loss_mse = 2, &
    kmc_loss_mse_half = 3, kmc_loss_mae = 4, kmc_loss_huber = 5, kmc_loss_logistic_bce = 6, kmc_loss_gaussian_nll = 7, &
    kmc_loss_nt_xent = 8
  !! Optimizers.
  integer, parameter, public :: kmc_sgd = 0, kmc_adam = 1, kmc_adamw = 2, kmc_rmsprop = 3, kmc_adadelta = 4
  !! Modes of a forward pass.
  integer, parameter, public :: kmc_mode_train = 0, kmc_mode_eval = 1, kmc_mode_infer = 2, kmc_mode_monte_carlo = 3
  !! What a backward pass does with parameter gradients.
  integer, parameter, public :: kmc_grads_write = 0, kmc_grads_add = 1, kmc_grads_skip = 2
  !! Precisions.
  integer, parameter, public :: kmc_fp32 = 0, kmc_fp64 = 1, kmc_tf32 = 2, kmc_fp32x3 = 3, kmc_bf16 = 4, kmc_fp16 = 5
  !! Pooling.
  integer, parameter, public :: kmc_pool_max = 0, kmc_pool_average = 1
  !! Normalisation layers.
  integer, parameter, public :: kmc_norm_batch = 0, kmc_norm_layer = 1, kmc_norm_instance = 2, kmc_norm_group = 3, &
    kmc_norm_cianna = 4
  !! Rules that normalise data; a, b: fractions (clip); a, b, c: gain, low, high (tanh_range).
  integer, parameter, public :: kmc_mean_max_abs = 0, kmc_standard = 1, kmc_min_max = 2, kmc_clip = 3, kmc_log = 4, &
    kmc_l2 = 5, kmc_tanh_range = 6
  !! Over what a rule is applied.
  integer, parameter, public :: kmc_per_feature = 0, kmc_per_channel = 1, kmc_global = 2, kmc_per_sample = 3
  !! Initial weights.
  integer, parameter, public :: kmc_init_default = 0, kmc_init_xavier_normal = 1, kmc_init_xavier_uniform = 2, &
    kmc_init_he_normal = 3, kmc_init_he_uniform = 4, kmc_init_lecun_normal = 5, kmc_init_lecun_uniform = 6, &
    kmc_init_normal = 7, kmc_init_uniform = 8, kmc_init_constant = 9, kmc_init_orthogonal = 10
  !! Clipping of gradients.
  integer, parameter, public :: kmc_clip_none = 0, kmc_clip_norm = 1, kmc_clip_value = 2
  !! Schedules of the learning rate.
  integer, parameter, public :: kmc_schedule_constant = 0, kmc_schedule_step = 1, kmc_schedule_milestones = 2, &
    kmc_schedule_exponential = 3, kmc_schedule_decay = 4, kmc_schedule_cosine = 5, kmc_schedule_cosine_restarts = 6, &
    kmc_schedule_polynomial = 7, kmc_schedule_one_cycle = 8
  !! How a run ended.
  integer, parameter, public :: kmc_ended_done = 0, kmc_ended_early_stopping = 1, kmc_ended_stopped = 2
  !! Kinds of values in raw files.
  integer, parameter, public :: kmc_kind_u8 = 1, kmc_kind_i8 = 2, kmc_kind_u16 = 3, kmc_kind_i16 = 4, kmc_kind_u32 = 5, &
    kmc_kind_i32 = 6, kmc_kind_f16 = 7, kmc_kind_f32 = 8, kmc_kind_f64 = 9
  !! Starts of k-means.
  integer, parameter, public :: kmc_kmeans_plus_plus = 0, kmc_kmeans_points = 1
  !! What becomes of values that are NaN, infinite or blank.
  integer, parameter, public :: kmc_missing_error = 0, kmc_missing_keep = 1, kmc_missing_zero = 2, kmc_missing_value = 3, &
    kmc_missing_median = 4
  !! What is made of a gradient wrt the input.
  integer, parameter, public :: kmc_gradient_plain = 0, kmc_gradient_absolute = 1, kmc_gradient_times_input = 2
  !! The first HDU that holds what is asked for.
  integer, parameter, public :: kmc_first_hdu = -1
  !! No column of a table.
  integer, parameter, public :: kmc_no_column = -2
  !! The node that was added last.
  integer, parameter, public :: kmc_last = -1
  !! The binary interface that this module was written for.
  integer, parameter, public :: kmc_abi = 2
  integer, parameter :: put_create = 0, put_input = 16, put_values = 32
  ! ----------------------------------------------------------------------------------------------------
  ! Options: every component has a default, so that only what differs is written
  ! ----------------------------------------------------------------------------------------------------

  !! A loss, attached to one output of the network.
  type, public :: kmc_loss_options
    integer :: kind = kmc_loss_softmax_cross_entropy   !! one of kmc_loss_
    character(len=:), allocatable :: output            !! name of the output; not allocated: the first
    real(real64) :: factor = 1                         !! weight in the sum of losses
    real(real64) :: smoothing = 0                      !! label smoothing, 0 to 1
    real(real64) :: delta = 1                          !! where Huber's loss becomes linear
    real(real64) :: positive = 1                       !! weight of the positive class, logistic BCE
    real(real64) :: lowest = 0, highest = 0            !! bounds of the variance, Gaussian NLL; 0: its own
    real(real64) :: temperature = 0                    !! NT-Xent; 0: 0.5
    real(real64), allocatable :: class_weights(:)      !! one for each class; not allocated: all 1
  end type

  !! A rule of update.
  type, public :: kmc_optimizer_options
    integer :: kind = kmc_sgd                          !! kmc_sgd, kmc_adam, kmc_adamw, kmc_rmsprop or kmc_adadelta
    real(real64) :: learning_rate = 0.01_real64
    real(real64) :: momentum = 0                       !! SGD and RMSprop
    real(real64) :: weight_decay = 0
    logical :: nesterov = .false.                      !! SGD
    logical :: velocity_form = .false.                 !! SGD: the learning rate inside the velocity, as CIANNA has it
    real(real64) :: beta1 = 0.9_real64, beta2 = 0.999_real64   !! Adam and AdamW
    real(real64) :: eps = 0                            !! 0: the rule's own
    real(real64) :: rho = 0                            !! Adadelta's rho, RMSprop's alpha; 0: the rule's own
    logical :: amsgrad = .false.                       !! Adam and AdamW
    logical :: centered = .false.                      !! RMSprop
  end type

  !! How the learning rate changes; periods, milestones and the warm-up count updates, or epochs with `per_epoch`.
  type, public :: kmc_schedule_options
    integer :: kind = kmc_schedule_constant            !! one of kmc_schedule_
    integer(int64) :: period = 0                       !! step, cosine, restarts, polynomial, one cycle
    integer(int64) :: growth = 0                       !! restarts: each period is so many times the one before
    real(real64) :: factor = 0                         !! step, milestones, exponential
    real(real64) :: floor = 0                          !! decay, cosine, restarts, polynomial
    real(real64) :: rate = 0                           !! decay
    real(real64) :: power = 0                          !! polynomial
    integer(int64), allocatable :: milestones(:)       !! milestones
    integer(int64) :: warm_up = 0                      !! a linear rise at the beginning
    logical :: per_epoch = .false.
  end type

  !! All of a training run but its length.
  type, public :: kmc_trainer_options
    integer :: batch = 32
    integer(int64) :: seed = 0                         !! initial weights, order of samples, dropout
    character(len=:), allocatable :: device            !! "auto", "cpu", "cuda:0"; not allocated: "auto"
    integer :: threads = 0                             !! 0: as many as there are cores
    integer :: precision = kmc_fp32                    !! kmc_fp32, kmc_tf32, kmc_fp32x3, kmc_bf16, kmc_fp16 or kmc_fp64
    type(kmc_loss_options) :: loss
    type(kmc_optimizer_options) :: optimizer
    type(kmc_schedule_options) :: schedule
    type(kmc_loss_options), allocatable :: more_losses(:)   !! for networks of several outputs
    integer :: clip = kmc_clip_none                    !! kmc_clip_norm or kmc_clip_value, to `clip_bound`
    real(real64) :: clip_bound = 0
    logical :: spare_biases = .false.                  !! biases do not decay
    real(real64) :: ema_decay = 0                      !! moving average of the weights; 0: none
    logical :: ema_warm_up = .false.
    logical :: keep_order = .false.                    !! samples in the order of the set, not shuffled
    integer(int64) :: accumulate = 0                   !! batches in one update; 0: 1
    integer(int64) :: validate_every = 0               !! epochs; 0: 1
    integer(int64) :: early_patience = 0               !! validations without improvement, then stop; 0: never
    real(real64) :: early_min_delta = 0                !! the least improvement
    integer(int64) :: early_warm_up = 0                !! validations before any that count
    integer(int64) :: plateau_patience = 0             !! validations after which the learning rate falls; 0: never
    real(real64) :: plateau_factor = 0                 !! the factor by which; 0: 0.1
    real(real64) :: plateau_threshold = 0              !! the least improvement, relative; 0: 1e-4
    integer(int64) :: plateau_cooldown = 0             !! validations to wait after a fall
    real(real64) :: plateau_floor = 0                  !! the lowest factor in all
    logical :: watch_accuracy = .false.                !! early stopping and plateau watch the accuracy, not the loss
    character(len=:), allocatable :: checkpoint        !! file written after each epoch, and when a run is stopped
    integer(int64) :: checkpoint_every = 0             !! updates after which it is written as well; 0: never
    character(len=:), allocatable :: best              !! file that keeps the best weights
    character(len=:), allocatable :: resume            !! checkpoint to go on from, if it is there
  end type

  !! A model for the open loop: forward, loss, backward, step.
  type, public :: kmc_model_options
    integer :: precision = kmc_fp32
    integer(int64) :: seed = 0
    character(len=:), allocatable :: device            !! not allocated: "auto"
    integer :: threads = 0                             !! 0: as many as there are cores
    logical :: input_gradients = .true.                !! .false.: dloss/dx is not computed
    logical :: spare_biases = .false.                  !! biases do not decay
    type(kmc_loss_options), allocatable :: losses(:)   !! not allocated: no loss is attached
    integer(int64) :: samples = 0                      !! training samples, for variational layers
  end type

  ! ----------------------------------------------------------------------------------------------------
  ! Results
  ! ----------------------------------------------------------------------------------------------------

  !! What an evaluation found; NaN where a number does not apply.
  type, public :: kmc_scores
    integer(int64) :: samples = 0
    integer :: classes = 0                             !! 0: no classes
    real(real64) :: loss = 0
    real(real64) :: accuracy = 0                       !! a fraction, 0 to 1
    real(real64) :: rmse = 0, r2 = 0                   !! regressions
  end type

  !! How a training run went.
  type, public :: kmc_report
    integer :: ended = 0                               !! one of kmc_ended_
    integer(int64) :: epochs = 0, steps = 0
    real(real64) :: loss = 0                           !! mean over the last epoch
    real(real64) :: seconds = 0
    real(real64) :: rate = 0                           !! samples per second
    type(kmc_scores) :: valid                          !! the last validation
  end type

  !! Where a run is; NaN where a number is not known.
  type, bind(C), public :: kmc_progress
    integer(c_int64_t) :: epoch, epochs, step
    integer(c_int64_t) :: done, samples                !! of this epoch
    real(c_double) :: loss, learning_rate, valid_loss, accuracy
    real(c_double) :: rate                             !! samples per second
  end type

  !! One epoch of a run's history.
  type, bind(C), public :: kmc_record
    integer(c_int64_t) :: epoch, steps
    real(c_double) :: learning_rate, loss, valid_loss, accuracy
  end type

  !! How far predictions are from the truth.
  type, public :: kmc_residuals
    real(real64) :: bias = 0                           !! mean of predicted - truth
    real(real64) :: mse = 0, rmse = 0, mae = 0
    real(real64) :: mad = 0                            !! median of the distances from their median
    real(real64) :: normalised_mad = 0                 !! 1.4826 times that
    real(real64) :: r2 = 0                             !! coefficient of determination
    real(real64) :: outliers = 0                       !! the share beyond the limit
  end type

  !! What k-means found.
  type, public :: kmc_kmeans_result
    logical :: converged = .false.
    integer :: iterations = 0                          !! of the best start
    integer :: empty = 0                               !! clusters without points
    real(real64) :: mean_squared_distance = 0
  end type

  !! The worst difference between an analytic gradient and finite differences.
  type, public :: kmc_gradcheck_result
    integer :: worst = 0                               !! which value
    real(real64) :: deviation = 0                      !! relative
    real(real64) :: analytic = 0, numeric = 0          !! both gradients there
  end type

  ! ----------------------------------------------------------------------------------------------------
  ! Procedures that a program hands over
  ! ----------------------------------------------------------------------------------------------------

  abstract interface
    !! Called after a batch or an epoch; `stop` = .true. ends the run after it.
    subroutine kmc_progress_hook(progress, stop)
      import :: kmc_progress
      type(kmc_progress), intent(in) :: progress
      logical, intent(inout) :: stop
    end subroutine

    !! Called with every line of the run's log.
    subroutine kmc_log_hook(line)
      character(len=*), intent(in) :: line
    end subroutine

    !! A function of one value.
    function kmc_value_function(x) result(y)
      import :: real64
      real(real64), intent(in) :: x
      real(real64) :: y
    end function

    !! The loss at the weights w.
    function kmc_loss_function(w) result(loss)
      import :: real64
      real(real64), intent(in) :: w(:)
      real(real64) :: loss
    end function

    !! The class (from 1) of a point of the plane.
    function kmc_classifier(point) result(class)
      import :: real32
      real(real32), intent(in) :: point(2)
      integer :: class
    end function
  end interface
  public :: kmc_progress_hook, kmc_log_hook, kmc_value_function, kmc_loss_function, kmc_classifier

  ! ----------------------------------------------------------------------------------------------------
  ! Private: the structures of kamacite.h, and what stays alive during a call
  ! ----------------------------------------------------------------------------------------------------

  type, bind(C) :: c_window_t
    integer(c_int32_t) :: size = 0
    integer(c_int32_t) :: reserved = 0
    integer(c_int64_t) :: d = 0
    integer(c_int64_t) :: h = 0
    integer(c_int64_t) :: w = 0
    integer(c_int64_t) :: c = 0
    integer(c_int64_t) :: filters = 0
    integer(c_int64_t) :: kernel(3) = 0
    integer(c_int64_t) :: stride(3) = 0
    integer(c_int64_t) :: before(3) = 0
    integer(c_int64_t) :: after(3) = 0
    integer(c_int64_t) :: dilation(3) = 0
    integer(c_int64_t) :: groups = 0
  end type

  type, bind(C) :: c_gradcheck_result_t
    integer(c_int32_t) :: size = 0
    integer(c_int32_t) :: reserved = 0
    integer(c_int64_t) :: worst = 0
    real(c_double) :: deviation = 0
    real(c_double) :: analytic = 0
    real(c_double) :: numeric = 0
  end type

  type, bind(C) :: c_kmeans_result_t
    integer(c_int32_t) :: size = 0
    integer(c_int32_t) :: converged = 0
    integer(c_int64_t) :: iterations = 0
    integer(c_int64_t) :: empty = 0
    real(c_double) :: mean_squared_distance = 0
  end type

  type, bind(C) :: c_kmeans_options_t
    integer(c_int32_t) :: size = 0
    integer(c_int32_t) :: start = 0
    integer(c_int64_t) :: restarts = 0
    integer(c_int64_t) :: max_iterations = 0
    real(c_double) :: tolerance = 0
    integer(c_int64_t) :: seed = 0
  end type

  type, bind(C) :: c_augment_options_t
    integer(c_int32_t) :: size = 0
    integer(c_int32_t) :: quarter_turns = 0
    real(c_double) :: flip_h = 0
    real(c_double) :: flip_v = 0
    real(c_double) :: flip_d = 0
    integer(c_int64_t) :: shift = 0
    real(c_double) :: zoom_low = 0
    real(c_double) :: zoom_high = 0
    real(c_double) :: rotation = 0
    real(c_double) :: brightness_low = 0
    real(c_double) :: brightness_high = 0
    real(c_double) :: gain_low = 0
    real(c_double) :: gain_high = 0
    real(c_double) :: contrast_low = 0
    real(c_double) :: contrast_high = 0
    real(c_double) :: noise = 0
    integer(c_int32_t) :: border = 0
    integer(c_int32_t) :: with_target = 0
  end type

  type, bind(C) :: c_table_options_t
    integer(c_int32_t) :: size = 0
    integer(c_int32_t) :: header = 0
    integer(c_int64_t) :: label = 0
    integer(c_int64_t) :: classes = 0
    integer(c_int64_t) :: first_class = 0
    integer(c_int64_t) :: skip = 0
    integer(c_int32_t) :: separator = 0
    integer(c_int32_t) :: comment = 0
    type(c_ptr) :: features = c_null_ptr
    integer(c_int64_t) :: n_features = 0
    type(c_ptr) :: targets = c_null_ptr
    integer(c_int64_t) :: n_targets = 0
  end type

  type, bind(C) :: c_fits_options_t
    integer(c_int32_t) :: size = 0
    integer(c_int32_t) :: hdu = 0
    type(c_ptr) :: hdu_name = c_null_ptr
    integer(c_int32_t) :: missing = 0
    integer(c_int32_t) :: stacked = 0
    real(c_double) :: fill = 0
    integer(c_int32_t) :: bands = 0
    integer(c_int32_t) :: reserved = 0
  end type

  type, bind(C) :: c_files_options_t
    integer(c_int32_t) :: size = 0
    integer(c_int32_t) :: skip_bad = 0
    type(c_ptr) :: prepare = c_null_ptr
    type(c_ptr) :: classes = c_null_ptr
    integer(c_int64_t) :: n_classes = 0
    type(c_ptr) :: folder = c_null_ptr
    type(c_ptr) :: columns = c_null_ptr
    integer(c_int64_t) :: n_columns = 0
    integer(c_int32_t) :: hdu = 0
    integer(c_int32_t) :: values = 0
    type(c_ptr) :: hdu_name = c_null_ptr
    integer(c_int32_t) :: bands = 0
    integer(c_int32_t) :: reserved = 0
  end type

  type, bind(C) :: c_mosaic_options_t
    integer(c_int32_t) :: size = 0
    integer(c_int32_t) :: hdu = 0
    type(c_ptr) :: hdu_name = c_null_ptr
    integer(c_int64_t) :: overlap = 0
    integer(c_int64_t) :: margin = 0
    integer(c_int64_t) :: batch = 0
    integer(c_int32_t) :: missing = 0
    integer(c_int32_t) :: reserved = 0
    real(c_double) :: fill = 0
    type(c_ptr) :: prepare = c_null_ptr
  end type

  type, bind(C) :: c_residuals_t
    integer(c_int32_t) :: size = 0
    integer(c_int32_t) :: reserved = 0
    real(c_double) :: bias = 0
    real(c_double) :: mse = 0
    real(c_double) :: rmse = 0
    real(c_double) :: mae = 0
    real(c_double) :: mad = 0
    real(c_double) :: normalised_mad = 0
    real(c_double) :: r2 = 0
    real(c_double) :: outliers = 0
  end type

  type, bind(C) :: c_loss_options_t
    integer(c_int32_t) :: size = 0
    integer(c_int32_t) :: kind = 0
    type(c_ptr) :: output = c_null_ptr
    real(c_double) :: factor = 0
    real(c_double) :: smoothing = 0
    real(c_double) :: delta = 0
    real(c_double) :: positive = 0
    real(c_double) :: lowest = 0
    real(c_double) :: highest = 0
    real(c_double) :: temperature = 0
    type(c_ptr) :: class_weights = c_null_ptr
    integer(c_int64_t) :: n_class_weights = 0
  end type

  type, bind(C) :: c_model_options_t
    integer(c_int32_t) :: size = 0
    integer(c_int32_t) :: precision = 0
    integer(c_int64_t) :: seed = 0
    type(c_ptr) :: device = c_null_ptr
    integer(c_int32_t) :: threads = 0
    integer(c_int32_t) :: no_input_gradients = 0
    integer(c_int32_t) :: spare_biases = 0
    integer(c_int32_t) :: reserved = 0
    type(c_ptr) :: losses = c_null_ptr
    integer(c_int64_t) :: n_losses = 0
    integer(c_int64_t) :: samples = 0
  end type

  type, bind(C) :: c_scores_t
    integer(c_int32_t) :: size = 0
    integer(c_int32_t) :: reserved = 0
    integer(c_int64_t) :: samples = 0
    integer(c_int64_t) :: classes = 0
    real(c_double) :: loss = 0
    real(c_double) :: accuracy = 0
    real(c_double) :: rmse = 0
    real(c_double) :: r2 = 0
  end type

  type, bind(C) :: c_view_t
    type(c_ptr) :: x = c_null_ptr
    integer(c_int64_t) :: rows = 0
    integer(c_int64_t) :: d = 0
    integer(c_int64_t) :: h = 0
    integer(c_int64_t) :: w = 0
    integer(c_int64_t) :: c = 0
  end type

  type, bind(C) :: c_target_t
    type(c_ptr) :: labels = c_null_ptr
    type(c_ptr) :: values = c_null_ptr
    integer(c_int64_t) :: len = 0
  end type

  type, bind(C) :: c_optimizer_options_t
    integer(c_int32_t) :: size = 0
    integer(c_int32_t) :: kind = 0
    real(c_double) :: learning_rate = 0
    real(c_double) :: momentum = 0
    real(c_double) :: weight_decay = 0
    real(c_double) :: beta1 = 0
    real(c_double) :: beta2 = 0
    real(c_double) :: eps = 0
    real(c_double) :: rho = 0
    integer(c_int32_t) :: nesterov = 0
    integer(c_int32_t) :: velocity_form = 0
    integer(c_int32_t) :: amsgrad = 0
    integer(c_int32_t) :: centered = 0
  end type

  type, bind(C) :: c_dense_options_t
    integer(c_int32_t) :: size = 0
    integer(c_int32_t) :: input = 0
    type(c_ptr) :: name = c_null_ptr
    integer(c_int32_t) :: no_bias = 0
    integer(c_int32_t) :: init = 0
    real(c_double) :: init_value = 0
    real(c_double) :: bias_init = 0
    real(c_double) :: a = 0
    real(c_double) :: b = 0
  end type

  type, bind(C) :: c_bayes_dense_options_t
    integer(c_int32_t) :: size = 0
    integer(c_int32_t) :: input = 0
    type(c_ptr) :: name = c_null_ptr
    integer(c_int32_t) :: no_bias = 0
    integer(c_int32_t) :: init = 0
    real(c_double) :: init_value = 0
    real(c_double) :: a = 0
    real(c_double) :: b = 0
    real(c_double) :: prior = 0
    real(c_double) :: deviation = 0
    integer(c_int64_t) :: samples = 0
  end type

  type, bind(C) :: c_sizes_t
    integer(c_int64_t) :: d = 0
    integer(c_int64_t) :: h = 0
    integer(c_int64_t) :: w = 0
  end type

  type, bind(C) :: c_conv_options_t
    integer(c_int32_t) :: size = 0
    integer(c_int32_t) :: input = 0
    type(c_ptr) :: name = c_null_ptr
    integer(c_int32_t) :: no_bias = 0
    integer(c_int32_t) :: init = 0
    real(c_double) :: init_value = 0
    real(c_double) :: bias_init = 0
    real(c_double) :: a = 0
    real(c_double) :: b = 0
    integer(c_int32_t) :: same = 0
    integer(c_int32_t) :: depthwise = 0
    integer(c_int64_t) :: groups = 0
    type(c_sizes_t) :: kernel
    type(c_sizes_t) :: stride
    type(c_sizes_t) :: pad_before
    type(c_sizes_t) :: pad_after
    type(c_sizes_t) :: dilation
    type(c_sizes_t) :: gap
    type(c_sizes_t) :: output_pad
  end type

  type, bind(C) :: c_pool_options_t
    integer(c_int32_t) :: size = 0
    integer(c_int32_t) :: input = 0
    type(c_ptr) :: name = c_null_ptr
    integer(c_int32_t) :: same = 0
    integer(c_int32_t) :: count_padding = 0
    type(c_sizes_t) :: kernel
    type(c_sizes_t) :: stride
    type(c_sizes_t) :: pad_before
    type(c_sizes_t) :: pad_after
  end type

  type, bind(C) :: c_norm_options_t
    integer(c_int32_t) :: size = 0
    integer(c_int32_t) :: input = 0
    type(c_ptr) :: name = c_null_ptr
    real(c_double) :: eps = 0
    real(c_double) :: momentum = 0
    integer(c_int32_t) :: no_affine = 0
    integer(c_int32_t) :: reserved = 0
    integer(c_int64_t) :: groups = 0
    integer(c_int64_t) :: set_off = 0
  end type

  type, bind(C) :: c_node_options_t
    integer(c_int32_t) :: size = 0
    integer(c_int32_t) :: input = 0
    type(c_ptr) :: name = c_null_ptr
  end type

  type, bind(C) :: c_schedule_options_t
    integer(c_int32_t) :: size = 0
    integer(c_int32_t) :: kind = 0
    integer(c_int64_t) :: period = 0
    integer(c_int64_t) :: growth = 0
    real(c_double) :: factor = 0
    real(c_double) :: floor = 0
    real(c_double) :: rate = 0
    real(c_double) :: power = 0
    type(c_ptr) :: milestones = c_null_ptr
    integer(c_int64_t) :: n_milestones = 0
    integer(c_int64_t) :: warm_up = 0
    integer(c_int32_t) :: per_epoch = 0
    integer(c_int32_t) :: reserved = 0
  end type

  type, bind(C) :: c_trainer_options_t
    integer(c_int32_t) :: size = 0
    integer(c_int32_t) :: precision = 0
    integer(c_int64_t) :: seed = 0
    integer(c_int64_t) :: batch = 0
    type(c_ptr) :: device = c_null_ptr
    integer(c_int32_t) :: threads = 0
    integer(c_int32_t) :: keep_order = 0
    type(c_loss_options_t) :: loss
    type(c_optimizer_options_t) :: optimizer
    type(c_schedule_options_t) :: schedule
    type(c_ptr) :: more_losses = c_null_ptr
    integer(c_int64_t) :: n_more_losses = 0
    integer(c_int32_t) :: clip = 0
    integer(c_int32_t) :: spare_biases = 0
    real(c_double) :: clip_bound = 0
    real(c_double) :: ema_decay = 0
    integer(c_int32_t) :: ema_warm_up = 0
    integer(c_int32_t) :: watch_accuracy = 0
    integer(c_int64_t) :: accumulate = 0
    integer(c_int64_t) :: validate_every = 0
    integer(c_int64_t) :: early_patience = 0
    real(c_double) :: early_min_delta = 0
    integer(c_int64_t) :: early_warm_up = 0
    integer(c_int64_t) :: plateau_patience = 0
    real(c_double) :: plateau_factor = 0
    real(c_double) :: plateau_threshold = 0
    integer(c_int64_t) :: plateau_cooldown = 0
    real(c_double) :: plateau_floor = 0
    type(c_ptr) :: checkpoint = c_null_ptr
    integer(c_int64_t) :: checkpoint_every = 0
    type(c_ptr) :: best = c_null_ptr
    type(c_ptr) :: resume = c_null_ptr
  end type

  type, bind(C) :: c_report_t
    integer(c_int32_t) :: size = 0
    integer(c_int32_t) :: ended = 0
    integer(c_int64_t) :: epochs = 0
    integer(c_int64_t) :: steps = 0
    real(c_double) :: loss = 0
    real(c_double) :: seconds = 0
    real(c_double) :: rate = 0
    type(c_scores_t) :: valid
  end type

  type, bind(C) :: c_fit_options_t
    integer(c_int32_t) :: size = 0
    integer(c_int32_t) :: verbose = 0
    type(c_funptr) :: on_epoch = c_null_funptr
    type(c_funptr) :: on_batch = c_null_funptr
    type(c_funptr) :: log = c_null_funptr
    type(c_ptr) :: user = c_null_ptr
    type(c_ptr) :: csv = c_null_ptr
    type(c_ptr) :: json_lines = c_null_ptr
    type(c_ptr) :: plots = c_null_ptr
  end type

  ! An array as the boundary sees it: address, bytes per value, shape.
  type :: array_t
    type(c_ptr) :: at = c_null_ptr
    integer :: bytes = 4
    integer :: rank = 0                                ! 0: there is none
    integer(int64) :: shape(5) = 1
  end type

  type :: text_t
    character(len=:), allocatable :: text
  end type

  ! Texts that a c_files_options_t points to.
  type :: files_store_t
    character(len=:), allocatable :: prepare, folder, hdu_name
    type(text_t), allocatable :: classes(:), columns(:)
    type(c_ptr), allocatable :: at_classes(:), at_columns(:)
  end type

  ! Texts and arrays that a c_loss_options_t points to.
  type :: loss_store_t
    character(len=:), allocatable :: output
    real(c_double), allocatable :: class_weights(:)
  end type

  type :: trainer_store_t
    character(len=:), allocatable :: device, checkpoint, best, resume
    type(loss_store_t) :: loss
    type(loss_store_t), allocatable :: more(:)
    type(c_loss_options_t), allocatable :: more_losses(:)
    integer(c_int64_t), allocatable :: milestones(:)
  end type

  ! Fortran procedures that C hands back to the callbacks below.
  type, bind(C) :: hooks_t
    type(c_funptr) :: on_epoch = c_null_funptr, on_batch = c_null_funptr, log = c_null_funptr
    integer(c_int32_t) :: aloud = 0                    ! 1: lines go to the output unit
  end type
  type, bind(C) :: hook_t
    type(c_funptr) :: f = c_null_funptr
  end type

  ! ----------------------------------------------------------------------------------------------------
  ! The objects
  ! ----------------------------------------------------------------------------------------------------

  !! Samples: one or several inputs each, and targets (classes or values).
  type, public :: kmc_dataset
    private
    type(c_ptr) :: handle = c_null_ptr
  contains
    procedure, public :: destroy => dataset_destroy
    procedure, public :: clone => dataset_clone
    procedure, public :: set_weights => dataset_set_weights
    procedure, public :: set_class_names => dataset_set_class_names
    procedure, public :: read_table => dataset_read_table
    procedure, public :: read_pair => dataset_read_pair
    procedure, public :: read_points => dataset_read_points
    procedure, public :: read_idx => dataset_read_idx
    procedure, public :: read_npy => dataset_read_npy
    procedure, public :: read_npz => dataset_read_npz
    procedure, public :: read_cifar => dataset_read_cifar
    procedure, public :: read_fits => dataset_read_fits
    procedure, public :: read_fits_table => dataset_read_fits_table
    procedure, public :: write_points => dataset_write_points
    procedure, public :: open_folders => dataset_open_folders
    procedure, public :: open_labels => dataset_open_labels
    procedure, public :: open_files => dataset_open_files
    procedure, public :: load => dataset_load
    procedure, public :: skipped => dataset_skipped
    procedure, public :: length => dataset_length
    procedure, public :: shape => dataset_shape
    procedure, public :: classes => dataset_classes
    procedure, public :: normalize => dataset_normalize
    procedure, public :: scale => dataset_scale
    procedure, public :: map => dataset_map
    procedure, public :: pad => dataset_pad
    procedure, public :: reshape => dataset_reshape
    procedure, public :: one_hot => dataset_one_hot
    procedure, public :: balanced => dataset_balanced
    procedure, public :: augmented => dataset_augmented
    procedure, private :: dataset_create_f32_2, dataset_create_f32_3, dataset_create_f32_4, dataset_create_f32_5
    procedure, private :: dataset_create_f64_2, dataset_create_f64_3, dataset_create_f64_4, dataset_create_f64_5
    procedure, private :: dataset_create_transposed_f32_2, dataset_create_transposed_f64_2, dataset_add_input_f32_2
    procedure, private :: dataset_add_input_f32_3, dataset_add_input_f32_4, dataset_add_input_f32_5
    procedure, private :: dataset_add_input_f64_2, dataset_add_input_f64_3, dataset_add_input_f64_4
    procedure, private :: dataset_add_input_f64_5, dataset_add_values_f32_2, dataset_add_values_f32_3
    procedure, private :: dataset_add_values_f32_4, dataset_add_values_f32_5, dataset_add_values_f64_2
    procedure, private :: dataset_add_values_f64_3, dataset_add_values_f64_4, dataset_add_values_f64_5
    procedure, private :: dataset_add_classes_1, dataset_add_classes_2, dataset_add_classes_3, dataset_add_classes_4
    procedure, private :: dataset_read_raw_i32, dataset_read_raw_i64, dataset_make_galaxies_i32
    procedure, private :: dataset_make_galaxies_i64, dataset_make_digits_i32, dataset_make_digits_i64
    procedure, private :: dataset_make_stars_i32, dataset_make_stars_i64, dataset_make_ring_i32, dataset_make_ring_i64
    procedure, private :: dataset_make_clusters_i32, dataset_make_clusters_i64, dataset_make_spectra_i32
    procedure, private :: dataset_make_spectra_i64, dataset_get_inputs_1, dataset_get_inputs_2, dataset_get_inputs_3
    procedure, private :: dataset_get_inputs_4, dataset_get_inputs_5, dataset_get_values_1, dataset_get_values_2
    procedure, private :: dataset_get_values_3, dataset_get_values_4, dataset_get_values_5, dataset_get_labels_1
    procedure, private :: dataset_get_labels_2, dataset_get_labels_3, dataset_get_labels_4, dataset_counts_i32
    procedure, private :: dataset_counts_i64, dataset_shuffle_i32, dataset_shuffle_i64, dataset_rebalance_i32
    procedure, private :: dataset_rebalance_i64, dataset_subset_i32, dataset_subset_i64, dataset_split_i32
    procedure, private :: dataset_split_i64, dataset_split_random_i32, dataset_split_random_i64
    procedure, private :: dataset_split_stratified_i32, dataset_split_stratified_i64, dataset_fold_i32, dataset_fold_i64
    generic, public :: create => dataset_create_f32_2, dataset_create_f32_3, dataset_create_f32_4, &
      dataset_create_f32_5, dataset_create_f64_2, dataset_create_f64_3, dataset_create_f64_4, dataset_create_f64_5
    generic, public :: create_transposed => dataset_create_transposed_f32_2, dataset_create_transposed_f64_2
    generic, public :: add_input => dataset_add_input_f32_2, dataset_add_input_f32_3, dataset_add_input_f32_4, &
      dataset_add_input_f32_5, dataset_add_input_f64_2, dataset_add_input_f64_3, dataset_add_input_f64_4, &
      dataset_add_input_f64_5
    generic, public :: add_values => dataset_add_values_f32_2, dataset_add_values_f32_3, dataset_add_values_f32_4, &
      dataset_add_values_f32_5, dataset_add_values_f64_2, dataset_add_values_f64_3, dataset_add_values_f64_4, &
      dataset_add_values_f64_5
    generic, public :: add_classes => dataset_add_classes_1, dataset_add_classes_2, dataset_add_classes_3, &
      dataset_add_classes_4
    generic, public :: read_raw => dataset_read_raw_i32, dataset_read_raw_i64
    generic, public :: make_galaxies => dataset_make_galaxies_i32, dataset_make_galaxies_i64
    generic, public :: make_digits => dataset_make_digits_i32, dataset_make_digits_i64
    generic, public :: make_stars => dataset_make_stars_i32, dataset_make_stars_i64
    generic, public :: make_ring => dataset_make_ring_i32, dataset_make_ring_i64
    generic, public :: make_clusters => dataset_make_clusters_i32, dataset_make_clusters_i64
    generic, public :: make_spectra => dataset_make_spectra_i32, dataset_make_spectra_i64
    generic, public :: get_inputs => dataset_get_inputs_1, dataset_get_inputs_2, dataset_get_inputs_3, &
      dataset_get_inputs_4, dataset_get_inputs_5
    generic, public :: get_values => dataset_get_values_1, dataset_get_values_2, dataset_get_values_3, &
      dataset_get_values_4, dataset_get_values_5
    generic, public :: get_labels => dataset_get_labels_1, dataset_get_labels_2, dataset_get_labels_3, &
      dataset_get_labels_4
    generic, public :: counts => dataset_counts_i32, dataset_counts_i64
    generic, public :: shuffle => dataset_shuffle_i32, dataset_shuffle_i64
    generic, public :: rebalance => dataset_rebalance_i32, dataset_rebalance_i64
    generic, public :: subset => dataset_subset_i32, dataset_subset_i64
    generic, public :: split => dataset_split_i32, dataset_split_i64
    generic, public :: split_random => dataset_split_random_i32, dataset_split_random_i64
    generic, public :: split_stratified => dataset_split_stratified_i32, dataset_split_stratified_i64
    generic, public :: fold => dataset_fold_i32, dataset_fold_i64
    procedure, private :: dataset_assign
    generic, public :: assignment(=) => dataset_assign
    final :: dataset_final
  end type

  !! The description of a network: no weights, no device.
  type, public :: kmc_network
    private
    type(c_ptr) :: handle = c_null_ptr
    integer(int64) :: input_shape(4) = 0               ! c, w, h, d of the first input
  contains
    procedure, public :: create => network_create
    procedure, public :: destroy => network_destroy
    procedure, public :: clone => network_clone
    procedure, public :: input => network_input
    procedure, public :: last_node => network_last_node
    procedure, public :: find_node => network_find_node
    procedure, public :: node_name => network_node_name
    procedure, public :: set_name => network_set_name
    procedure, public :: output => network_output
    procedure, public :: up_to => network_up_to
    procedure, public :: summary => network_summary
    procedure, public :: parameters => network_parameters
    procedure, public :: dense => network_dense
    procedure, public :: bayes_dense => network_bayes_dense
    procedure, public :: norm => network_norm
    procedure, public :: lrn => network_lrn
    procedure, public :: dropout => network_dropout
    procedure, public :: activation => network_activation
    procedure, public :: prelu => network_prelu
    procedure, public :: flatten => network_flatten
    procedure, public :: reshape => network_reshape
    procedure, public :: upsample => network_upsample
    procedure, public :: zero_pad => network_zero_pad
    procedure, public :: crop => network_crop
    procedure, public :: add => network_add
    procedure, public :: concat => network_concat
    procedure, private :: network_conv_number, network_conv_sizes, network_conv_transpose_number
    procedure, private :: network_conv_transpose_sizes, network_pool_number, network_pool_sizes
    generic, public :: conv => network_conv_number, network_conv_sizes
    generic, public :: conv_transpose => network_conv_transpose_number, network_conv_transpose_sizes
    generic, public :: pool => network_pool_number, network_pool_sizes
    procedure, private :: network_assign
    generic, public :: assignment(=) => network_assign
    final :: network_final
  end type

  !! A network with weights on a device: the open loop, evaluation, prediction.
  type, public :: kmc_model
    private
    type(c_ptr) :: handle = c_null_ptr
    logical :: owned = .false.                         ! a trainer's model is not
    integer(int64) :: input_shape(4) = 0               ! c, w, h, d of the first input; 0: not known
  contains
    procedure, public :: load => model_load
    procedure, public :: destroy => model_destroy
    procedure, public :: save => model_save
    procedure, public :: restore => model_restore
    procedure, public :: restore_some => model_restore_some
    procedure, public :: network => model_network
    procedure, public :: device => model_device
    procedure, public :: updates => model_updates
    procedure, public :: summary => model_summary
    procedure, public :: output_shape => model_output_shape
    procedure, public :: make_prediction => model_make_prediction
    procedure, public :: step_clipped => model_step_clipped
    procedure, public :: average => model_average
    procedure, public :: swap_average => model_swap_average
    procedure, public :: keep => model_keep
    procedure, public :: freeze => model_freeze
    procedure, public :: unfreeze => model_unfreeze
    procedure, public :: scale_learning_rate => model_scale_learning_rate
    procedure, public :: array_count => model_array_count
    procedure, public :: array_name => model_array_name
    procedure, public :: array_shape => model_array_shape
    procedure, public :: predict_monte_carlo => model_predict_monte_carlo
    procedure, public :: predict_fits => model_predict_fits
    procedure, private :: model_saliency_2, model_saliency_3, model_saliency_4, model_saliency_5
    procedure, private :: model_grad_cam_3, model_grad_cam_4, model_grad_cam_5
    generic, public :: saliency => model_saliency_2, model_saliency_3, model_saliency_4, model_saliency_5
    generic, public :: grad_cam => model_grad_cam_3, model_grad_cam_4, model_grad_cam_5
    procedure, private :: model_create, model_forward_f32_1, model_forward_f32_2, model_forward_f32_3
    procedure, private :: model_forward_f32_4, model_forward_f32_5, model_forward_f64_1, model_forward_f64_2
    procedure, private :: model_forward_f64_3, model_forward_f64_4, model_forward_f64_5, model_forward_views
    procedure, private :: model_get_output_f32_1, model_get_output_f32_2, model_get_output_f32_3
    procedure, private :: model_get_output_f32_4, model_get_output_f32_5, model_get_output_f64_1
    procedure, private :: model_get_output_f64_2, model_get_output_f64_3, model_get_output_f64_4
    procedure, private :: model_get_output_f64_5, model_loss_classes_1, model_loss_classes_2, model_loss_classes_3
    procedure, private :: model_loss_classes_4, model_loss_values_f32_1, model_loss_values_f32_2
    procedure, private :: model_loss_values_f32_3, model_loss_values_f32_4, model_loss_values_f32_5
    procedure, private :: model_loss_values_f64_1, model_loss_values_f64_2, model_loss_values_f64_3
    procedure, private :: model_loss_values_f64_4, model_loss_values_f64_5, model_loss_targets, model_backward_losses
    procedure, private :: model_backward_from_f32_1, model_backward_from_f32_2, model_backward_from_f32_3
    procedure, private :: model_backward_from_f32_4, model_backward_from_f32_5, model_backward_from_f64_1
    procedure, private :: model_backward_from_f64_2, model_backward_from_f64_3, model_backward_from_f64_4
    procedure, private :: model_backward_from_f64_5, model_get_input_gradient_f32_1, model_get_input_gradient_f32_2
    procedure, private :: model_get_input_gradient_f32_3, model_get_input_gradient_f32_4
    procedure, private :: model_get_input_gradient_f32_5, model_get_input_gradient_f64_1
    procedure, private :: model_get_input_gradient_f64_2, model_get_input_gradient_f64_3
    procedure, private :: model_get_input_gradient_f64_4, model_get_input_gradient_f64_5, model_step
    procedure, private :: model_train_classes_1, model_train_classes_2, model_train_classes_3, model_train_classes_4
    procedure, private :: model_train_classes_5, model_train_values_1_1, model_train_values_2_2
    procedure, private :: model_train_values_3_2, model_train_values_4_2, model_train_values_5_2
    procedure, private :: model_train_values_3_3, model_train_values_4_4, model_train_values_5_5, model_get_node_f32_1
    procedure, private :: model_get_node_f32_2, model_get_node_f32_3, model_get_node_f32_4, model_get_node_f32_5
    procedure, private :: model_get_node_gradient_f32_1, model_get_node_gradient_f32_2, model_get_node_gradient_f32_3
    procedure, private :: model_get_node_gradient_f32_4, model_get_node_gradient_f32_5, model_get_array_1
    procedure, private :: model_get_array_2, model_get_array_3, model_get_array_4, model_get_array_5
    procedure, private :: model_get_array_gradient_1, model_get_array_gradient_2, model_get_array_gradient_3
    procedure, private :: model_get_array_gradient_4, model_get_array_gradient_5, model_set_array_1, model_set_array_2
    procedure, private :: model_set_array_3, model_set_array_4, model_set_array_5, model_evaluate_plain
    procedure, private :: model_evaluate_i32, model_evaluate_i64, model_predict_1, model_predict_2, model_predict_3
    procedure, private :: model_predict_4, model_predict_5, model_predict_classes_1, model_predict_classes_2
    procedure, private :: model_predict_classes_3, model_predict_classes_4
    generic, public :: create => model_create
    generic, public :: forward => model_forward_f32_1, model_forward_f32_2, model_forward_f32_3, model_forward_f32_4, &
      model_forward_f32_5, model_forward_f64_1, model_forward_f64_2, model_forward_f64_3, model_forward_f64_4, &
      model_forward_f64_5, model_forward_views
    generic, public :: get_output => model_get_output_f32_1, model_get_output_f32_2, model_get_output_f32_3, &
      model_get_output_f32_4, model_get_output_f32_5, model_get_output_f64_1, model_get_output_f64_2, &
      model_get_output_f64_3, model_get_output_f64_4, model_get_output_f64_5
    generic, public :: loss => model_loss_classes_1, model_loss_classes_2, model_loss_classes_3, model_loss_classes_4, &
      model_loss_values_f32_1, model_loss_values_f32_2, model_loss_values_f32_3, model_loss_values_f32_4, &
      model_loss_values_f32_5, model_loss_values_f64_1, model_loss_values_f64_2, model_loss_values_f64_3, &
      model_loss_values_f64_4, model_loss_values_f64_5, model_loss_targets
    generic, public :: backward => model_backward_losses, model_backward_from_f32_1, model_backward_from_f32_2, &
      model_backward_from_f32_3, model_backward_from_f32_4, model_backward_from_f32_5, model_backward_from_f64_1, &
      model_backward_from_f64_2, model_backward_from_f64_3, model_backward_from_f64_4, model_backward_from_f64_5
    generic, public :: get_input_gradient => model_get_input_gradient_f32_1, model_get_input_gradient_f32_2, &
      model_get_input_gradient_f32_3, model_get_input_gradient_f32_4, model_get_input_gradient_f32_5, &
      model_get_input_gradient_f64_1, model_get_input_gradient_f64_2, model_get_input_gradient_f64_3, &
      model_get_input_gradient_f64_4, model_get_input_gradient_f64_5
    generic, public :: step => model_step
    generic, public :: train_batch => model_train_classes_1, model_train_classes_2, model_train_classes_3, &
      model_train_classes_4, model_train_classes_5, model_train_values_1_1, model_train_values_2_2, &
      model_train_values_3_2, model_train_values_4_2, model_train_values_5_2, model_train_values_3_3, &
      model_train_values_4_4, model_train_values_5_5
    generic, public :: get_node => model_get_node_f32_1, model_get_node_f32_2, model_get_node_f32_3, &
      model_get_node_f32_4, model_get_node_f32_5
    generic, public :: get_node_gradient => model_get_node_gradient_f32_1, model_get_node_gradient_f32_2, &
      model_get_node_gradient_f32_3, model_get_node_gradient_f32_4, model_get_node_gradient_f32_5
    generic, public :: get_array => model_get_array_1, model_get_array_2, model_get_array_3, model_get_array_4, &
      model_get_array_5
    generic, public :: get_array_gradient => model_get_array_gradient_1, model_get_array_gradient_2, &
      model_get_array_gradient_3, model_get_array_gradient_4, model_get_array_gradient_5
    generic, public :: set_array => model_set_array_1, model_set_array_2, model_set_array_3, model_set_array_4, &
      model_set_array_5
    generic, public :: evaluate => model_evaluate_plain, model_evaluate_i32, model_evaluate_i64
    generic, public :: predict => model_predict_1, model_predict_2, model_predict_3, model_predict_4, model_predict_5
    generic, public :: predict_classes => model_predict_classes_1, model_predict_classes_2, model_predict_classes_3, &
      model_predict_classes_4
    procedure, private :: model_assign
    generic, public :: assignment(=) => model_assign
    final :: model_final
  end type

  !! A training run; it is also the model that it trains.
  type, public, extends(kmc_model) :: kmc_trainer
    private
    type(c_ptr) :: trainer = c_null_ptr
  contains
    procedure, public :: destroy => trainer_destroy
    procedure, public :: fit => trainer_fit
    procedure, public :: epoch => trainer_epoch
    procedure, public :: learning_rate => trainer_learning_rate
    procedure, public :: history => trainer_history
    procedure, public :: save => trainer_save
    procedure, public :: restore => trainer_restore
    procedure, public :: request_stop => trainer_request_stop
    procedure, private :: trainer_create, trainer_step, trainer_validate_plain, trainer_validate_i32
    procedure, private :: trainer_validate_i64
    generic, public :: create => trainer_create
    generic, public :: step => trainer_step
    generic, public :: validate => trainer_validate_plain, trainer_validate_i32, trainer_validate_i64
    final :: trainer_final
  end type

  !! The geometry of a convolution or pooling, for the low-level calls.
  type, public :: kmc_window
    private
    type(c_window_t) :: c
  contains
    procedure, public :: set => window_set
    procedure, public :: output_shape => window_output_shape
  end type

  !! One input of a forward pass; it points to the array that was set, which must be a target and outlive it.
  type, public :: kmc_view
    private
    type(c_view_t) :: c
  contains
    procedure, private :: view_set_f32_2, view_set_f32_3, view_set_f32_4, view_set_f32_5
    generic, public :: set => view_set_f32_2, view_set_f32_3, view_set_f32_4, view_set_f32_5
  end type

  !! The target of one loss: a copy of the classes or values that were set; none, for a loss that takes none.
  type, public :: kmc_target
    private
    integer(c_int32_t), allocatable :: labels(:)
    real(c_float), allocatable :: values(:)
  contains
    procedure, private :: target_set_labels_1, target_set_labels_2, target_set_labels_3, target_set_labels_4
    procedure, private :: target_set_values_1, target_set_values_2, target_set_values_3, target_set_values_4
    procedure, private :: target_set_values_5
    generic, public :: set => target_set_labels_1, target_set_labels_2, target_set_labels_3, target_set_labels_4, &
      target_set_values_1, target_set_values_2, target_set_values_3, target_set_values_4, target_set_values_5
  end type

  interface
    integer(c_int32_t) function c_activation_forward_f32(y, x, n, kind, a, b, channels) &
        bind(C, name="kmc_activation_forward_f32")
      import
      type(c_ptr), value :: y, x
      integer(c_int64_t), value :: n, channels
      integer(c_int32_t), value :: kind
      real(c_double), value :: a, b
    end function
    integer(c_int32_t) function c_activation_backward_f32(dx, dy, x, y, n, kind, a, b, channels) &
        bind(C, name="kmc_activation_backward_f32")
      import
      type(c_ptr), value :: dx, dy, x, y
      integer(c_int64_t), value :: n, channels
      integer(c_int32_t), value :: kind
      real(c_double), value :: a, b
    end function
    integer(c_int32_t) function c_sgemm(order, trans_a, trans_b, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc) &
        bind(C, name="kmc_sgemm")
      import
      integer(c_int32_t), value :: order, trans_a, trans_b
      integer(c_int64_t), value :: m, n, k, lda, ldb, ldc
      real(c_float), value :: alpha, beta
      type(c_ptr), value :: a, b, c
    end function
    integer(c_int32_t) function c_dgemm(order, trans_a, trans_b, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc) &
        bind(C, name="kmc_dgemm")
      import
      integer(c_int32_t), value :: order, trans_a, trans_b
      integer(c_int64_t), value :: m, n, k, lda, ldb, ldc
      real(c_double), value :: alpha, beta
      type(c_ptr), value :: a, b, c
    end function
    integer(c_int32_t) function c_im2col_f32(columns, columns_len, x, x_len, window) bind(C, name="kmc_im2col_f32")
      import
      type(c_ptr), value :: columns, x, window
      integer(c_int64_t), value :: columns_len, x_len
    end function
    integer(c_int32_t) function c_col2im_f32(x, x_len, columns, columns_len, window) bind(C, name="kmc_col2im_f32")
      import
      type(c_ptr), value :: x, columns, window
      integer(c_int64_t), value :: x_len, columns_len
    end function
    integer(c_int32_t) function c_conv_forward_f32(y, y_len, x, x_len, w, w_len, bias, window, rows) &
        bind(C, name="kmc_conv_forward_f32")
      import
      type(c_ptr), value :: y, x, w, bias, window
      integer(c_int64_t), value :: y_len, x_len, w_len, rows
    end function
    integer(c_int32_t) function c_conv_input_gradient_f32(dx, dx_len, dy, dy_len, w, w_len, window, rows) &
        bind(C, name="kmc_conv_input_gradient_f32")
      import
      type(c_ptr), value :: dx, dy, w, window
      integer(c_int64_t), value :: dx_len, dy_len, w_len, rows
    end function
    integer(c_int32_t) function c_conv_weight_gradient_f32(dw, dw_len, db, x, x_len, dy, dy_len, window, rows) &
        bind(C, name="kmc_conv_weight_gradient_f32")
      import
      type(c_ptr), value :: dw, db, x, dy, window
      integer(c_int64_t), value :: dw_len, x_len, dy_len, rows
    end function
    integer(c_int32_t) function c_gradcheck(out, loss, user, w, gradient, n, step) bind(C, name="kmc_gradcheck")
      import
      type(c_ptr), value :: out, user, w, gradient
      type(c_funptr), value :: loss
      integer(c_int64_t), value :: n
      real(c_double), value :: step
    end function
    integer(c_int32_t) function c_kmeans_f32(out, centres, assignment, x, n, dims, k, options) bind(C, name="kmc_kmeans_f32")
      import
      type(c_ptr), value :: out, centres, assignment, x, options
      integer(c_int64_t), value :: n, dims, k
    end function
    integer(c_int32_t) function c_centres_write(path, centres, k, dims) bind(C, name="kmc_centres_write")
      import
      type(c_ptr), value :: path, centres
      integer(c_int64_t), value :: k, dims
    end function
    integer(c_int32_t) function c_softmax_cross_entropy_f32(loss, dlogits, logits, labels, rows, classes) &
        bind(C, name="kmc_softmax_cross_entropy_f32")
      import
      type(c_ptr), value :: loss, dlogits, logits, labels
      integer(c_int64_t), value :: rows, classes
    end function
    integer(c_int32_t) function c_mse_f32(loss, dy, y, t, rows, len, half) bind(C, name="kmc_mse_f32")
      import
      type(c_ptr), value :: loss, dy, y, t
      integer(c_int64_t), value :: rows, len
      integer(c_int32_t), value :: half
    end function
    integer(c_int32_t) function c_argmax_f32(out, y, rows, classes) bind(C, name="kmc_argmax_f32")
      import
      type(c_ptr), value :: out, y
      integer(c_int64_t), value :: rows, classes
    end function
    integer(c_int32_t) function c_plot_clusters(path, x, n, dims, assignment, centres, k) bind(C, name="kmc_plot_clusters")
      import
      type(c_ptr), value :: path, x, assignment, centres
      integer(c_int64_t), value :: n, dims, k
    end function
    integer(c_int32_t) function c_plot_boundary(path, x, n, labels, classify, user) bind(C, name="kmc_plot_boundary")
      import
      type(c_ptr), value :: path, x, labels, user
      integer(c_int64_t), value :: n
      type(c_funptr), value :: classify
    end function
    integer(c_int32_t) function c_pool_forward_f32(y, y_len, x, x_len, kind, window, rows) bind(C, name="kmc_pool_forward_f32")
      import
      type(c_ptr), value :: y, x, window
      integer(c_int64_t), value :: y_len, x_len, rows
      integer(c_int32_t), value :: kind
    end function
    integer(c_int32_t) function c_pool_backward_f32(dx, dx_len, dy, dy_len, x, x_len, kind, window, rows) &
        bind(C, name="kmc_pool_backward_f32")
      import
      type(c_ptr), value :: dx, dy, x, window
      integer(c_int64_t), value :: dx_len, dy_len, x_len, rows
      integer(c_int32_t), value :: kind
    end function
    integer(c_int32_t) function c_shuffle(order, n, seed) bind(C, name="kmc_shuffle")
      import
      type(c_ptr), value :: order
      integer(c_int64_t), value :: n, seed
    end function
    integer(c_int32_t) function c_random_uniform_f32(x, n, low, high, seed) bind(C, name="kmc_random_uniform_f32")
      import
      type(c_ptr), value :: x
      integer(c_int64_t), value :: n, seed
      real(c_double), value :: low, high
    end function
    integer(c_int32_t) function c_random_normal_f32(x, n, mean, sigma, seed) bind(C, name="kmc_random_normal_f32")
      import
      type(c_ptr), value :: x
      integer(c_int64_t), value :: n, seed
      real(c_double), value :: mean, sigma
    end function
    integer(c_int32_t) function c_window_output(out_dhwc, window) bind(C, name="kmc_window_output")
      import
      type(c_ptr), value :: out_dhwc, window
    end function
    integer(c_int32_t) function c_dataset_destroy(data) bind(C, name="kmc_dataset_destroy")
      import
      type(c_ptr), value :: data
    end function
    integer(c_int32_t) function c_dataset_clone(out, data) bind(C, name="kmc_dataset_clone")
      import
      type(c_ptr), intent(out) :: out
      type(c_ptr), value :: data
    end function
    integer(c_int32_t) function c_dataset_normalize(data, rule, scope, a, b, c, fitted_on) bind(C, name="kmc_dataset_normalize")
      import
      type(c_ptr), value :: data, fitted_on
      integer(c_int32_t), value :: rule, scope
      real(c_double), value :: a, b, c
    end function
    integer(c_int32_t) function c_dataset_scale(data, factor) bind(C, name="kmc_dataset_scale")
      import
      type(c_ptr), value :: data
      real(c_double), value :: factor
    end function
    integer(c_int32_t) function c_dataset_map(data, f, user) bind(C, name="kmc_dataset_map")
      import
      type(c_ptr), value :: data, user
      type(c_funptr), value :: f
    end function
    integer(c_int32_t) function c_dataset_pad(data, d, h, w, c, value) bind(C, name="kmc_dataset_pad")
      import
      type(c_ptr), value :: data
      integer(c_int64_t), value :: d, h, w, c
      real(c_double), value :: value
    end function
    integer(c_int32_t) function c_dataset_reshape(data, d, h, w, c) bind(C, name="kmc_dataset_reshape")
      import
      type(c_ptr), value :: data
      integer(c_int64_t), value :: d, h, w, c
    end function
    integer(c_int32_t) function c_dataset_one_hot(data) bind(C, name="kmc_dataset_one_hot")
      import
      type(c_ptr), value :: data
    end function
    integer(c_int32_t) function c_dataset_shuffle(data, seed) bind(C, name="kmc_dataset_shuffle")
      import
      type(c_ptr), value :: data
      integer(c_int64_t), value :: seed
    end function
    integer(c_int32_t) function c_dataset_rebalance(data, caps, classes) bind(C, name="kmc_dataset_rebalance")
      import
      type(c_ptr), value :: data, caps
      integer(c_int64_t), value :: classes
    end function
    integer(c_int32_t) function c_dataset_create_f32(out, x, n, d, h, w, c, layout) bind(C, name="kmc_dataset_create_f32")
      import
      type(c_ptr), intent(out) :: out
      type(c_ptr), value :: x
      integer(c_int64_t), value :: n, d, h, w, c
      integer(c_int32_t), value :: layout
    end function
    integer(c_int32_t) function c_dataset_add_input_f32(data, x, n, d, h, w, c, layout) &
        bind(C, name="kmc_dataset_add_input_f32")
      import
      type(c_ptr), value :: data, x
      integer(c_int64_t), value :: n, d, h, w, c
      integer(c_int32_t), value :: layout
    end function
    integer(c_int32_t) function c_dataset_add_values_f32(data, t, n, d, h, w, c, layout) &
        bind(C, name="kmc_dataset_add_values_f32")
      import
      type(c_ptr), value :: data, t
      integer(c_int64_t), value :: n, d, h, w, c
      integer(c_int32_t), value :: layout
    end function
    integer(c_int32_t) function c_dataset_add_classes(data, labels, len, classes) bind(C, name="kmc_dataset_add_classes")
      import
      type(c_ptr), value :: data, labels
      integer(c_int64_t), value :: len, classes
    end function
    integer(c_int32_t) function c_dataset_set_weights(data, weights, n) bind(C, name="kmc_dataset_set_weights")
      import
      type(c_ptr), value :: data, weights
      integer(c_int64_t), value :: n
    end function
    integer(c_int32_t) function c_dataset_set_class_names(data, names, n) bind(C, name="kmc_dataset_set_class_names")
      import
      type(c_ptr), value :: data, names
      integer(c_int64_t), value :: n
    end function
    integer(c_int32_t) function c_dataset_len(out, data) bind(C, name="kmc_dataset_len")
      import
      type(c_ptr), value :: out, data
    end function
    integer(c_int32_t) function c_dataset_extent(out_dhwc, data, input) bind(C, name="kmc_dataset_extent")
      import
      type(c_ptr), value :: out_dhwc, data
      integer(c_int64_t), value :: input
    end function
    integer(c_int32_t) function c_dataset_classes(out, data, target) bind(C, name="kmc_dataset_classes")
      import
      type(c_ptr), value :: out, data
      integer(c_int64_t), value :: target
    end function
    integer(c_int32_t) function c_dataset_inputs(out, len, data, input) bind(C, name="kmc_dataset_inputs")
      import
      type(c_ptr), value :: out, data
      integer(c_int64_t), value :: len, input
    end function
    integer(c_int32_t) function c_dataset_labels(out, len, data, target) bind(C, name="kmc_dataset_labels")
      import
      type(c_ptr), value :: out, data
      integer(c_int64_t), value :: len, target
    end function
    integer(c_int32_t) function c_dataset_values(out, len, data, target) bind(C, name="kmc_dataset_values")
      import
      type(c_ptr), value :: out, data
      integer(c_int64_t), value :: len, target
    end function
    integer(c_int32_t) function c_dataset_counts(out, n_classes, data, target) bind(C, name="kmc_dataset_counts")
      import
      type(c_ptr), value :: out, data
      integer(c_int64_t), value :: n_classes, target
    end function
    integer(c_int32_t) function c_dataset_make_galaxies(out, n, seed) bind(C, name="kmc_dataset_make_galaxies")
      import
      type(c_ptr), intent(out) :: out
      integer(c_int64_t), value :: n, seed
    end function
    integer(c_int32_t) function c_dataset_make_digits(out, n, seed) bind(C, name="kmc_dataset_make_digits")
      import
      type(c_ptr), intent(out) :: out
      integer(c_int64_t), value :: n, seed
    end function
    integer(c_int32_t) function c_dataset_make_spectra(out, classes, n, seed) bind(C, name="kmc_dataset_make_spectra")
      import
      type(c_ptr), intent(out) :: out
      type(c_ptr), value :: classes
      integer(c_int64_t), value :: n, seed
    end function
    integer(c_int32_t) function c_dataset_make_stars(out, n, seed) bind(C, name="kmc_dataset_make_stars")
      import
      type(c_ptr), intent(out) :: out
      integer(c_int64_t), value :: n, seed
    end function
    integer(c_int32_t) function c_dataset_make_clusters(out, n, dimensions, seed) bind(C, name="kmc_dataset_make_clusters")
      import
      type(c_ptr), intent(out) :: out
      integer(c_int64_t), value :: n, dimensions, seed
    end function
    integer(c_int32_t) function c_dataset_make_ring(out, n, sigma, seed) bind(C, name="kmc_dataset_make_ring")
      import
      type(c_ptr), intent(out) :: out
      integer(c_int64_t), value :: n, seed
      real(c_double), value :: sigma
    end function
    integer(c_int32_t) function c_dataset_write_points(data, path) bind(C, name="kmc_dataset_write_points")
      import
      type(c_ptr), value :: data, path
    end function
    integer(c_int32_t) function c_dataset_subset(out, data, indices, n) bind(C, name="kmc_dataset_subset")
      import
      type(c_ptr), intent(out) :: out
      type(c_ptr), value :: data, indices
      integer(c_int64_t), value :: n
    end function
    integer(c_int32_t) function c_dataset_split(first, rest, data, n_first) bind(C, name="kmc_dataset_split")
      import
      type(c_ptr), intent(out) :: first, rest
      type(c_ptr), value :: data
      integer(c_int64_t), value :: n_first
    end function
    integer(c_int32_t) function c_dataset_split_random(first, rest, data, fraction, seed) &
        bind(C, name="kmc_dataset_split_random")
      import
      type(c_ptr), intent(out) :: first, rest
      type(c_ptr), value :: data
      real(c_double), value :: fraction
      integer(c_int64_t), value :: seed
    end function
    integer(c_int32_t) function c_dataset_split_stratified(first, rest, data, fraction, seed) &
        bind(C, name="kmc_dataset_split_stratified")
      import
      type(c_ptr), intent(out) :: first, rest
      type(c_ptr), value :: data
      real(c_double), value :: fraction
      integer(c_int64_t), value :: seed
    end function
    integer(c_int32_t) function c_dataset_fold(train, test, data, k, fold, stratified, seed) bind(C, name="kmc_dataset_fold")
      import
      type(c_ptr), intent(out) :: train, test
      type(c_ptr), value :: data
      integer(c_int64_t), value :: k, fold, seed
      integer(c_int32_t), value :: stratified
    end function
    integer(c_int32_t) function c_dataset_balanced(out, data) bind(C, name="kmc_dataset_balanced")
      import
      type(c_ptr), intent(out) :: out
      type(c_ptr), value :: data
    end function
    integer(c_int32_t) function c_dataset_augmented(out, data, options) bind(C, name="kmc_dataset_augmented")
      import
      type(c_ptr), intent(out) :: out
      type(c_ptr), value :: data, options
    end function
    integer(c_int32_t) function c_dataset_read_table(out, path, options) bind(C, name="kmc_dataset_read_table")
      import
      type(c_ptr), intent(out) :: out
      type(c_ptr), value :: path, options
    end function
    integer(c_int32_t) function c_dataset_read_pair(out, inputs, targets) bind(C, name="kmc_dataset_read_pair")
      import
      type(c_ptr), intent(out) :: out
      type(c_ptr), value :: inputs, targets
    end function
    integer(c_int32_t) function c_dataset_read_points(out, path) bind(C, name="kmc_dataset_read_points")
      import
      type(c_ptr), intent(out) :: out
      type(c_ptr), value :: path
    end function
    integer(c_int32_t) function c_dataset_read_idx(out, images, labels) bind(C, name="kmc_dataset_read_idx")
      import
      type(c_ptr), intent(out) :: out
      type(c_ptr), value :: images, labels
    end function
    integer(c_int32_t) function c_dataset_read_npy(out, x, labels) bind(C, name="kmc_dataset_read_npy")
      import
      type(c_ptr), intent(out) :: out
      type(c_ptr), value :: x, labels
    end function
    integer(c_int32_t) function c_dataset_read_npz(out, path, x, labels) bind(C, name="kmc_dataset_read_npz")
      import
      type(c_ptr), intent(out) :: out
      type(c_ptr), value :: path, x, labels
    end function
    integer(c_int32_t) function c_dataset_read_raw(out, path, kind, n, d, h, w, c, layout) bind(C, name="kmc_dataset_read_raw")
      import
      type(c_ptr), intent(out) :: out
      type(c_ptr), value :: path
      integer(c_int32_t), value :: kind, layout
      integer(c_int64_t), value :: n, d, h, w, c
    end function
    integer(c_int32_t) function c_dataset_read_cifar(out, paths, n, variant) bind(C, name="kmc_dataset_read_cifar")
      import
      type(c_ptr), intent(out) :: out
      type(c_ptr), value :: paths
      integer(c_int64_t), value :: n
      integer(c_int32_t), value :: variant
    end function
    integer(c_int32_t) function c_device_count(out_gpus) bind(C, name="kmc_device_count")
      import
      type(c_ptr), value :: out_gpus
    end function
    integer(c_int32_t) function c_device_name(out, device) bind(C, name="kmc_device_name")
      import
      type(c_ptr), intent(out) :: out
      type(c_ptr), value :: device
    end function
    integer(c_int32_t) function c_doctor(out) bind(C, name="kmc_doctor")
      import
      type(c_ptr), intent(out) :: out
    end function
    integer(c_int32_t) function c_default_threads(out) bind(C, name="kmc_default_threads")
      import
      type(c_ptr), value :: out
    end function
    integer(c_int32_t) function c_confusion_count(counts, n_classes, truth, predicted, n) bind(C, name="kmc_confusion_count")
      import
      type(c_ptr), value :: counts, truth, predicted
      integer(c_int64_t), value :: n_classes, n
    end function
    integer(c_int32_t) function c_confusion_text(out, counts, n_classes, names) bind(C, name="kmc_confusion_text")
      import
      type(c_ptr), intent(out) :: out
      type(c_ptr), value :: counts, names
      integer(c_int64_t), value :: n_classes
    end function
    integer(c_int32_t) function c_confusion_scores(recall, precision, f1, accuracy, counts, n_classes) &
        bind(C, name="kmc_confusion_scores")
      import
      type(c_ptr), value :: recall, precision, f1, accuracy, counts
      integer(c_int64_t), value :: n_classes
    end function
    integer(c_int32_t) function c_roc_auc(out, scores, positive, n) bind(C, name="kmc_roc_auc")
      import
      type(c_ptr), value :: out, scores, positive
      integer(c_int64_t), value :: n
    end function
    integer(c_int32_t) function c_roc_recall_at(out, scores, positive, n, false_alarms) bind(C, name="kmc_roc_recall_at")
      import
      type(c_ptr), value :: out, scores, positive
      integer(c_int64_t), value :: n
      real(c_double), value :: false_alarms
    end function
    integer(c_int32_t) function c_temperature_fit(out, logits, n_classes, truth, n) bind(C, name="kmc_temperature_fit")
      import
      type(c_ptr), value :: out, logits, truth
      integer(c_int64_t), value :: n_classes, n
    end function
    integer(c_int32_t) function c_temperature_apply(probabilities, logits, n_classes, n, temperature) &
        bind(C, name="kmc_temperature_apply")
      import
      type(c_ptr), value :: probabilities, logits
      integer(c_int64_t), value :: n_classes, n
      real(c_double), value :: temperature
    end function
    integer(c_int32_t) function c_crps(out, probabilities, edges, n_bins, truth, n) bind(C, name="kmc_crps")
      import
      type(c_ptr), value :: out, probabilities, edges, truth
      integer(c_int64_t), value :: n_bins, n
    end function
    integer(c_int32_t) function c_pit(out, probabilities, edges, n_bins, truth, n) bind(C, name="kmc_pit")
      import
      type(c_ptr), value :: out, probabilities, edges, truth
      integer(c_int64_t), value :: n_bins, n
    end function
    integer(c_int32_t) function c_fits_write_f32(path, x, shape, n_axes, like) bind(C, name="kmc_fits_write_f32")
      import
      type(c_ptr), value :: path, x, shape, like
      integer(c_int64_t), value :: n_axes
    end function
    integer(c_int32_t) function c_dataset_read_fits(out, path, options) bind(C, name="kmc_dataset_read_fits")
      import
      type(c_ptr), intent(out) :: out
      type(c_ptr), value :: path, options
    end function
    integer(c_int32_t) function c_dataset_read_fits_table(out, path, columns, n_columns, label, targets, n_targets, &
      options) &
        bind(C, name="kmc_dataset_read_fits_table")
      import
      type(c_ptr), intent(out) :: out
      type(c_ptr), value :: path, columns, label, targets, options
      integer(c_int64_t), value :: n_columns, n_targets
    end function
    integer(c_int32_t) function c_dataset_open_folders(out, folder, options) bind(C, name="kmc_dataset_open_folders")
      import
      type(c_ptr), intent(out) :: out
      type(c_ptr), value :: folder, options
    end function
    integer(c_int32_t) function c_dataset_open_labels(out, path, options) bind(C, name="kmc_dataset_open_labels")
      import
      type(c_ptr), intent(out) :: out
      type(c_ptr), value :: path, options
    end function
    integer(c_int32_t) function c_dataset_open_files(out, paths, n, options) bind(C, name="kmc_dataset_open_files")
      import
      type(c_ptr), intent(out) :: out
      type(c_ptr), value :: paths, options
      integer(c_int64_t), value :: n
    end function
    integer(c_int32_t) function c_dataset_skipped(out, data) bind(C, name="kmc_dataset_skipped")
      import
      type(c_ptr), intent(inout) :: out
      type(c_ptr), value :: data
    end function
    integer(c_int32_t) function c_dataset_load(out, data, prepare) bind(C, name="kmc_dataset_load")
      import
      type(c_ptr), intent(out) :: out
      type(c_ptr), value :: data, prepare
    end function
    integer(c_int32_t) function c_model_saliency(maps, len, model, x, channels, n, kind, draws, noise, seed) &
        bind(C, name="kmc_model_saliency")
      import
      type(c_ptr), value :: maps, model, x, channels
      integer(c_int64_t), value :: len, n, draws, seed
      integer(c_int32_t), value :: kind
      real(c_double), value :: noise
    end function
    integer(c_int32_t) function c_model_grad_cam(maps, maps_len, model, x, x_len, channels, n, node) &
        bind(C, name="kmc_model_grad_cam")
      import
      type(c_ptr), value :: maps, model, x, channels
      integer(c_int64_t), value :: maps_len, x_len, n
      integer(c_int32_t), value :: node
    end function
    integer(c_int32_t) function c_model_predict_fits(model, from, to, d, h, w, options) bind(C, name="kmc_model_predict_fits")
      import
      type(c_ptr), value :: model, from, to, options
      integer(c_int64_t), value :: d, h, w
    end function
    integer(c_int32_t) function c_top_k(out, scores, n_classes, truth, n, k) bind(C, name="kmc_top_k")
      import
      type(c_ptr), value :: out, scores, truth
      integer(c_int64_t), value :: n_classes, n, k
    end function
    integer(c_int32_t) function c_residuals_of(out, predicted, truth, n, redshift, limit) bind(C, name="kmc_residuals_of")
      import
      type(c_ptr), value :: out, predicted, truth
      integer(c_int64_t), value :: n
      integer(c_int32_t), value :: redshift
      real(c_double), value :: limit
    end function
    integer(c_int32_t) function c_calibration(out_ece, out_brier, probabilities, n_classes, truth, n, bins) &
        bind(C, name="kmc_calibration")
      import
      type(c_ptr), value :: out_ece, out_brier, probabilities, truth
      integer(c_int64_t), value :: n_classes, n, bins
    end function
    integer(c_int32_t) function c_model_create(out, net, options) bind(C, name="kmc_model_create")
      import
      type(c_ptr), intent(out) :: out
      type(c_ptr), value :: net, options
    end function
    integer(c_int32_t) function c_model_load(out, path, device) bind(C, name="kmc_model_load")
      import
      type(c_ptr), intent(out) :: out
      type(c_ptr), value :: path, device
    end function
    integer(c_int32_t) function c_model_destroy(model) bind(C, name="kmc_model_destroy")
      import
      type(c_ptr), value :: model
    end function
    integer(c_int32_t) function c_model_save(model, path) bind(C, name="kmc_model_save")
      import
      type(c_ptr), value :: model, path
    end function
    integer(c_int32_t) function c_model_restore(model, path) bind(C, name="kmc_model_restore")
      import
      type(c_ptr), value :: model, path
    end function
    integer(c_int32_t) function c_model_restore_some(out_arrays, model, path, prefix) bind(C, name="kmc_model_restore_some")
      import
      type(c_ptr), value :: out_arrays, model, path, prefix
    end function
    integer(c_int32_t) function c_model_device(out, model) bind(C, name="kmc_model_device")
      import
      type(c_ptr), intent(out) :: out
      type(c_ptr), value :: model
    end function
    integer(c_int32_t) function c_model_updates(out, model) bind(C, name="kmc_model_updates")
      import
      type(c_ptr), value :: out, model
    end function
    integer(c_int32_t) function c_model_summary(out, model) bind(C, name="kmc_model_summary")
      import
      type(c_ptr), intent(out) :: out
      type(c_ptr), value :: model
    end function
    integer(c_int32_t) function c_model_freeze(model, node) bind(C, name="kmc_model_freeze")
      import
      type(c_ptr), value :: model
      integer(c_int32_t), value :: node
    end function
    integer(c_int32_t) function c_model_unfreeze(model, node) bind(C, name="kmc_model_unfreeze")
      import
      type(c_ptr), value :: model
      integer(c_int32_t), value :: node
    end function
    integer(c_int32_t) function c_model_scale_learning_rate(model, node, factor) bind(C, name="kmc_model_scale_learning_rate")
      import
      type(c_ptr), value :: model
      integer(c_int32_t), value :: node
      real(c_double), value :: factor
    end function
    integer(c_int32_t) function c_model_keep(model, node) bind(C, name="kmc_model_keep")
      import
      type(c_ptr), value :: model
      integer(c_int32_t), value :: node
    end function
    integer(c_int32_t) function c_model_network(out, model) bind(C, name="kmc_model_network")
      import
      type(c_ptr), intent(out) :: out
      type(c_ptr), value :: model
    end function
    integer(c_int32_t) function c_model_array_count(out, model) bind(C, name="kmc_model_array_count")
      import
      type(c_ptr), value :: out, model
    end function
    integer(c_int32_t) function c_model_array_name(out, model, index) bind(C, name="kmc_model_array_name")
      import
      type(c_ptr), intent(out) :: out
      type(c_ptr), value :: model
      integer(c_int64_t), value :: index
    end function
    integer(c_int32_t) function c_model_array_shape(out_shape, out_rank, model, name) bind(C, name="kmc_model_array_shape")
      import
      type(c_ptr), value :: out_shape, out_rank, model, name
    end function
    integer(c_int32_t) function c_model_array_get(out, len, model, name) bind(C, name="kmc_model_array_get")
      import
      type(c_ptr), value :: out, model, name
      integer(c_int64_t), value :: len
    end function
    integer(c_int32_t) function c_model_array_set(model, name, values, len) bind(C, name="kmc_model_array_set")
      import
      type(c_ptr), value :: model, name, values
      integer(c_int64_t), value :: len
    end function
    integer(c_int32_t) function c_model_array_gradient(out, len, model, name) bind(C, name="kmc_model_array_gradient")
      import
      type(c_ptr), value :: out, model, name
      integer(c_int64_t), value :: len
    end function
    integer(c_int32_t) function c_model_evaluate(out, confusion, confusion_len, model, data, batch) &
        bind(C, name="kmc_model_evaluate")
      import
      type(c_ptr), value :: out, confusion, model, data
      integer(c_int64_t), value :: confusion_len, batch
    end function
    integer(c_int32_t) function c_model_predict(y, len, model, data, batch) bind(C, name="kmc_model_predict")
      import
      type(c_ptr), value :: y, model, data
      integer(c_int64_t), value :: len, batch
    end function
    integer(c_int32_t) function c_model_predict_classes(out, len, model, data, batch) bind(C, name="kmc_model_predict_classes")
      import
      type(c_ptr), value :: out, model, data
      integer(c_int64_t), value :: len, batch
    end function
    integer(c_int32_t) function c_model_predict_monte_carlo(mean, deviation, quantiles, len, entropies, n_rows, &
      model, data, q, n_q, draws, batch) &
        bind(C, name="kmc_model_predict_monte_carlo")
      import
      type(c_ptr), value :: mean, deviation, quantiles, entropies, model, data, q
      integer(c_int64_t), value :: len, n_rows, n_q, draws, batch
    end function
    integer(c_int32_t) function c_model_forward_f32(model, mode, x, len) bind(C, name="kmc_model_forward_f32")
      import
      type(c_ptr), value :: model, x
      integer(c_int32_t), value :: mode
      integer(c_int64_t), value :: len
    end function
    integer(c_int32_t) function c_model_forward_views(model, mode, x, n) bind(C, name="kmc_model_forward_views")
      import
      type(c_ptr), value :: model, x
      integer(c_int32_t), value :: mode
      integer(c_int64_t), value :: n
    end function
    integer(c_int32_t) function c_model_output_extent(out_dhwc, model, output) bind(C, name="kmc_model_output_extent")
      import
      type(c_ptr), value :: out_dhwc, model
      integer(c_int64_t), value :: output
    end function
    integer(c_int32_t) function c_model_output_f32(y, len, model, output) bind(C, name="kmc_model_output_f32")
      import
      type(c_ptr), value :: y, model
      integer(c_int64_t), value :: len, output
    end function
    integer(c_int32_t) function c_model_make_prediction(model) bind(C, name="kmc_model_make_prediction")
      import
      type(c_ptr), value :: model
    end function
    integer(c_int32_t) function c_model_loss_classes(out, model, labels, n) bind(C, name="kmc_model_loss_classes")
      import
      type(c_ptr), value :: out, model, labels
      integer(c_int64_t), value :: n
    end function
    integer(c_int32_t) function c_model_loss_values_f32(out, model, t, len) bind(C, name="kmc_model_loss_values_f32")
      import
      type(c_ptr), value :: out, model, t
      integer(c_int64_t), value :: len
    end function
    integer(c_int32_t) function c_model_loss_targets(out, model, targets, n) bind(C, name="kmc_model_loss_targets")
      import
      type(c_ptr), value :: out, model, targets
      integer(c_int64_t), value :: n
    end function
    integer(c_int32_t) function c_model_backward(model, grads) bind(C, name="kmc_model_backward")
      import
      type(c_ptr), value :: model
      integer(c_int32_t), value :: grads
    end function
    integer(c_int32_t) function c_model_backward_from_f32(model, dy, len, grads) bind(C, name="kmc_model_backward_from_f32")
      import
      type(c_ptr), value :: model, dy
      integer(c_int64_t), value :: len
      integer(c_int32_t), value :: grads
    end function
    integer(c_int32_t) function c_model_input_gradient_f32(dx, len, model, input) bind(C, name="kmc_model_input_gradient_f32")
      import
      type(c_ptr), value :: dx, model
      integer(c_int64_t), value :: len, input
    end function
    integer(c_int32_t) function c_model_node_f32(y, len, model, node) bind(C, name="kmc_model_node_f32")
      import
      type(c_ptr), value :: y, model
      integer(c_int64_t), value :: len
      integer(c_int32_t), value :: node
    end function
    integer(c_int32_t) function c_model_node_gradient_f32(dy, len, model, node) bind(C, name="kmc_model_node_gradient_f32")
      import
      type(c_ptr), value :: dy, model
      integer(c_int64_t), value :: len
      integer(c_int32_t), value :: node
    end function
    integer(c_int32_t) function c_model_step(model, optimizer) bind(C, name="kmc_model_step")
      import
      type(c_ptr), value :: model, optimizer
    end function
    integer(c_int32_t) function c_model_step_clipped(out_factor, model, optimizer, clip, bound) &
        bind(C, name="kmc_model_step_clipped")
      import
      type(c_ptr), value :: out_factor, model, optimizer
      integer(c_int32_t), value :: clip
      real(c_double), value :: bound
    end function
    integer(c_int32_t) function c_model_average(model, decay, warm_up) bind(C, name="kmc_model_average")
      import
      type(c_ptr), value :: model
      real(c_double), value :: decay
      integer(c_int32_t), value :: warm_up
    end function
    integer(c_int32_t) function c_model_swap_average(model) bind(C, name="kmc_model_swap_average")
      import
      type(c_ptr), value :: model
    end function
    integer(c_int32_t) function c_model_train_batch_classes(loss, model, x, x_len, labels, n, optimizer) &
        bind(C, name="kmc_model_train_batch_classes")
      import
      type(c_ptr), value :: loss, model, x, labels, optimizer
      integer(c_int64_t), value :: x_len, n
    end function
    integer(c_int32_t) function c_model_train_batch_values(loss, model, x, x_len, t, t_len, optimizer) &
        bind(C, name="kmc_model_train_batch_values")
      import
      type(c_ptr), value :: loss, model, x, t, optimizer
      integer(c_int64_t), value :: x_len, t_len
    end function
    integer(c_int32_t) function c_network_create(out, d, h, w, c) bind(C, name="kmc_network_create")
      import
      type(c_ptr), intent(out) :: out
      integer(c_int64_t), value :: d, h, w, c
    end function
    integer(c_int32_t) function c_network_destroy(net) bind(C, name="kmc_network_destroy")
      import
      type(c_ptr), value :: net
    end function
    integer(c_int32_t) function c_network_clone(out, net) bind(C, name="kmc_network_clone")
      import
      type(c_ptr), intent(out) :: out
      type(c_ptr), value :: net
    end function
    integer(c_int32_t) function c_network_input(net, name, d, h, w, c) bind(C, name="kmc_network_input")
      import
      type(c_ptr), value :: net, name
      integer(c_int64_t), value :: d, h, w, c
    end function
    integer(c_int32_t) function c_network_last(out, net) bind(C, name="kmc_network_last")
      import
      type(c_ptr), value :: out, net
    end function
    integer(c_int32_t) function c_network_node(out, net, name) bind(C, name="kmc_network_node")
      import
      type(c_ptr), value :: out, net, name
    end function
    integer(c_int32_t) function c_network_node_name(out, net, node) bind(C, name="kmc_network_node_name")
      import
      type(c_ptr), intent(out) :: out
      type(c_ptr), value :: net
      integer(c_int32_t), value :: node
    end function
    integer(c_int32_t) function c_network_set_name(net, node, name) bind(C, name="kmc_network_set_name")
      import
      type(c_ptr), value :: net, name
      integer(c_int32_t), value :: node
    end function
    integer(c_int32_t) function c_network_output(net, name, node) bind(C, name="kmc_network_output")
      import
      type(c_ptr), value :: net, name
      integer(c_int32_t), value :: node
    end function
    integer(c_int32_t) function c_network_up_to(out, net, last) bind(C, name="kmc_network_up_to")
      import
      type(c_ptr), intent(out) :: out
      type(c_ptr), value :: net
      integer(c_int32_t), value :: last
    end function
    integer(c_int32_t) function c_network_summary(out, net, batch) bind(C, name="kmc_network_summary")
      import
      type(c_ptr), intent(out) :: out
      type(c_ptr), value :: net
      integer(c_int64_t), value :: batch
    end function
    integer(c_int32_t) function c_network_parameters(out, net) bind(C, name="kmc_network_parameters")
      import
      type(c_ptr), value :: out, net
    end function
    integer(c_int32_t) function c_network_dense(net, units, activation, options) bind(C, name="kmc_network_dense")
      import
      type(c_ptr), value :: net, options
      integer(c_int64_t), value :: units
      integer(c_int32_t), value :: activation
    end function
    integer(c_int32_t) function c_network_bayes_dense(net, units, activation, options) bind(C, name="kmc_network_bayes_dense")
      import
      type(c_ptr), value :: net, options
      integer(c_int64_t), value :: units
      integer(c_int32_t), value :: activation
    end function
    integer(c_int32_t) function c_network_conv(net, filters, kernel, stride, pad, activation, options) &
        bind(C, name="kmc_network_conv")
      import
      type(c_ptr), value :: net, options
      integer(c_int64_t), value :: filters, kernel, stride, pad
      integer(c_int32_t), value :: activation
    end function
    integer(c_int32_t) function c_network_conv_transpose(net, filters, kernel, stride, pad, activation, options) &
        bind(C, name="kmc_network_conv_transpose")
      import
      type(c_ptr), value :: net, options
      integer(c_int64_t), value :: filters, kernel, stride, pad
      integer(c_int32_t), value :: activation
    end function
    integer(c_int32_t) function c_network_pool(net, kind, kernel, options) bind(C, name="kmc_network_pool")
      import
      type(c_ptr), value :: net, options
      integer(c_int32_t), value :: kind
      integer(c_int64_t), value :: kernel
    end function
    integer(c_int32_t) function c_network_norm(net, kind, options) bind(C, name="kmc_network_norm")
      import
      type(c_ptr), value :: net, options
      integer(c_int32_t), value :: kind
    end function
    integer(c_int32_t) function c_network_lrn(net, range, k, alpha, beta, options) bind(C, name="kmc_network_lrn")
      import
      type(c_ptr), value :: net, options
      integer(c_int64_t), value :: range
      real(c_double), value :: k, alpha, beta
    end function
    integer(c_int32_t) function c_network_dropout(net, rate, channels, options) bind(C, name="kmc_network_dropout")
      import
      type(c_ptr), value :: net, options
      real(c_double), value :: rate
      integer(c_int32_t), value :: channels
    end function
    integer(c_int32_t) function c_network_activation(net, activation, a, b, options) bind(C, name="kmc_network_activation")
      import
      type(c_ptr), value :: net, options
      integer(c_int32_t), value :: activation
      real(c_double), value :: a, b
    end function
    integer(c_int32_t) function c_network_prelu(net, slope, shared, options) bind(C, name="kmc_network_prelu")
      import
      type(c_ptr), value :: net, options
      real(c_double), value :: slope
      integer(c_int32_t), value :: shared
    end function
    integer(c_int32_t) function c_network_flatten(net, options) bind(C, name="kmc_network_flatten")
      import
      type(c_ptr), value :: net, options
    end function
    integer(c_int32_t) function c_network_reshape(net, d, h, w, c, options) bind(C, name="kmc_network_reshape")
      import
      type(c_ptr), value :: net, options
      integer(c_int64_t), value :: d, h, w, c
    end function
    integer(c_int32_t) function c_network_upsample(net, factor, linear, align_corners, options) &
        bind(C, name="kmc_network_upsample")
      import
      type(c_ptr), value :: net, options
      integer(c_int64_t), value :: factor
      integer(c_int32_t), value :: linear, align_corners
    end function
    integer(c_int32_t) function c_network_zero_pad(net, before, after, options) bind(C, name="kmc_network_zero_pad")
      import
      type(c_ptr), value :: net, before, after, options
    end function
    integer(c_int32_t) function c_network_crop(net, before, after, options) bind(C, name="kmc_network_crop")
      import
      type(c_ptr), value :: net, before, after, options
    end function
    integer(c_int32_t) function c_network_add(net, nodes, n, name) bind(C, name="kmc_network_add")
      import
      type(c_ptr), value :: net, nodes, name
      integer(c_int64_t), value :: n
    end function
    integer(c_int32_t) function c_network_concat(net, nodes, n, name) bind(C, name="kmc_network_concat")
      import
      type(c_ptr), value :: net, nodes, name
      integer(c_int64_t), value :: n
    end function
    function c_status_name(status) bind(C, name="kmc_status_name") result(answer)
      import
      integer(c_int32_t), value :: status
      type(c_ptr) :: answer
    end function
    function c_last_error() bind(C, name="kmc_last_error") result(answer)
      import
      type(c_ptr) :: answer
    end function
    function c_version() bind(C, name="kmc_version") result(answer)
      import
      type(c_ptr) :: answer
    end function
    function c_abi_version() bind(C, name="kmc_abi_version") result(answer)
      import
      integer(c_int32_t) :: answer
    end function
    integer(c_int32_t) function c_trainer_create(out, net, train, valid, options) bind(C, name="kmc_trainer_create")
      import
      type(c_ptr), intent(out) :: out
      type(c_ptr), value :: net, train, valid, options
    end function
    integer(c_int32_t) function c_trainer_destroy(trainer) bind(C, name="kmc_trainer_destroy")
      import
      type(c_ptr), value :: trainer
    end function
    integer(c_int32_t) function c_trainer_model(out, trainer) bind(C, name="kmc_trainer_model")
      import
      type(c_ptr), intent(out) :: out
      type(c_ptr), value :: trainer
    end function
    integer(c_int32_t) function c_trainer_step(loss, trainer) bind(C, name="kmc_trainer_step")
      import
      type(c_ptr), value :: loss, trainer
    end function
    integer(c_int32_t) function c_trainer_validate(out, confusion, confusion_len, trainer) bind(C, name="kmc_trainer_validate")
      import
      type(c_ptr), value :: out, confusion, trainer
      integer(c_int64_t), value :: confusion_len
    end function
    integer(c_int32_t) function c_trainer_epoch(out, trainer) bind(C, name="kmc_trainer_epoch")
      import
      type(c_ptr), value :: out, trainer
    end function
    integer(c_int32_t) function c_trainer_learning_rate(out, trainer) bind(C, name="kmc_trainer_learning_rate")
      import
      type(c_ptr), value :: out, trainer
    end function
    integer(c_int32_t) function c_trainer_history(out, len, out_epochs, trainer) bind(C, name="kmc_trainer_history")
      import
      type(c_ptr), value :: out, out_epochs, trainer
      integer(c_int64_t), value :: len
    end function
    integer(c_int32_t) function c_trainer_save(trainer, path) bind(C, name="kmc_trainer_save")
      import
      type(c_ptr), value :: trainer, path
    end function
    integer(c_int32_t) function c_trainer_restore(trainer, path) bind(C, name="kmc_trainer_restore")
      import
      type(c_ptr), value :: trainer, path
    end function
    subroutine c_request_stop(trainer) bind(C, name="kmc_request_stop")
      import
      type(c_ptr), value :: trainer
    end subroutine
    integer(c_int32_t) function c_trainer_fit(out, trainer, epochs, options) bind(C, name="kmc_trainer_fit")
      import
      type(c_ptr), value :: out, trainer, options
      integer(c_int64_t), value :: epochs
    end function
    function c_strlen(text) bind(C, name="strlen") result(n)
      import
      type(c_ptr), value :: text
      integer(c_size_t) :: n
    end function
  end interface

  ! The same functions for real64.
  procedure(c_activation_forward_f32), bind(C, name="kmc_activation_forward_f64") :: c_activation_forward_f64
  procedure(c_activation_backward_f32), bind(C, name="kmc_activation_backward_f64") :: c_activation_backward_f64
  procedure(c_im2col_f32), bind(C, name="kmc_im2col_f64") :: c_im2col_f64
  procedure(c_col2im_f32), bind(C, name="kmc_col2im_f64") :: c_col2im_f64
  procedure(c_conv_forward_f32), bind(C, name="kmc_conv_forward_f64") :: c_conv_forward_f64
  procedure(c_conv_input_gradient_f32), bind(C, name="kmc_conv_input_gradient_f64") :: c_conv_input_gradient_f64
  procedure(c_conv_weight_gradient_f32), bind(C, name="kmc_conv_weight_gradient_f64") :: c_conv_weight_gradient_f64
  procedure(c_kmeans_f32), bind(C, name="kmc_kmeans_f64") :: c_kmeans_f64
  procedure(c_softmax_cross_entropy_f32), bind(C, name="kmc_softmax_cross_entropy_f64") :: c_softmax_cross_entropy_f64
  procedure(c_mse_f32), bind(C, name="kmc_mse_f64") :: c_mse_f64
  procedure(c_argmax_f32), bind(C, name="kmc_argmax_f64") :: c_argmax_f64
  procedure(c_pool_forward_f32), bind(C, name="kmc_pool_forward_f64") :: c_pool_forward_f64
  procedure(c_pool_backward_f32), bind(C, name="kmc_pool_backward_f64") :: c_pool_backward_f64
  procedure(c_random_uniform_f32), bind(C, name="kmc_random_uniform_f64") :: c_random_uniform_f64
  procedure(c_random_normal_f32), bind(C, name="kmc_random_normal_f64") :: c_random_normal_f64
  procedure(c_fits_write_f32), bind(C, name="kmc_fits_write_f64") :: c_fits_write_f64
  procedure(c_dataset_create_f32), bind(C, name="kmc_dataset_create_f64") :: c_dataset_create_f64
  procedure(c_dataset_add_input_f32), bind(C, name="kmc_dataset_add_input_f64") :: c_dataset_add_input_f64
  procedure(c_dataset_add_values_f32), bind(C, name="kmc_dataset_add_values_f64") :: c_dataset_add_values_f64
  procedure(c_model_forward_f32), bind(C, name="kmc_model_forward_f64") :: c_model_forward_f64
  procedure(c_model_output_f32), bind(C, name="kmc_model_output_f64") :: c_model_output_f64
  procedure(c_model_loss_values_f32), bind(C, name="kmc_model_loss_values_f64") :: c_model_loss_values_f64
  procedure(c_model_backward_from_f32), bind(C, name="kmc_model_backward_from_f64") :: c_model_backward_from_f64
  procedure(c_model_input_gradient_f32), bind(C, name="kmc_model_input_gradient_f64") :: c_model_input_gradient_f64

  public :: kmc_version, kmc_abi_version, kmc_status_name, kmc_device_count, kmc_device_name, kmc_doctor, &
    kmc_default_threads, kmc_confusion, kmc_confusion_text, kmc_print_confusion, kmc_confusion_scores, kmc_roc_auc, &
    kmc_recall_at, kmc_top_k, kmc_residuals_of, kmc_calibration, kmc_fit_temperature, kmc_apply_temperature, kmc_crps, &
    kmc_pit, kmc_write_fits, kmc_gemm, kmc_im2col, kmc_col2im, kmc_conv_forward, &
    kmc_conv_input_gradient, kmc_conv_weight_gradient, kmc_pool_forward, kmc_pool_backward, kmc_activation_forward, &
    kmc_activation_backward, kmc_softmax_cross_entropy, kmc_mse, kmc_argmax, kmc_shuffle, kmc_random_uniform, &
    kmc_random_normal, kmc_kmeans, kmc_write_centres, kmc_gradcheck, kmc_plot_clusters, kmc_plot_boundary, &
    kmc_request_stop

  interface kmc_confusion
    module procedure kmc_confusion_i32, kmc_confusion_i64
  end interface
  interface kmc_confusion_text
    module procedure kmc_confusion_text_i32, kmc_confusion_text_i64
  end interface
  interface kmc_print_confusion
    module procedure kmc_print_confusion_i32, kmc_print_confusion_i64
  end interface
  interface kmc_confusion_scores
    module procedure kmc_confusion_scores_i32, kmc_confusion_scores_i64
  end interface
  interface kmc_gemm
    module procedure kmc_gemm_f32, kmc_gemm_f64
  end interface
  interface kmc_im2col
    module procedure kmc_im2col_f32_3, kmc_im2col_f32_4, kmc_im2col_f32_5, kmc_im2col_f64_3, kmc_im2col_f64_4
    module procedure kmc_im2col_f64_5
  end interface
  interface kmc_col2im
    module procedure kmc_col2im_f32_3, kmc_col2im_f32_4, kmc_col2im_f32_5, kmc_col2im_f64_3, kmc_col2im_f64_4
    module procedure kmc_col2im_f64_5
  end interface
  interface kmc_conv_forward
    module procedure kmc_conv_forward_f32_3, kmc_conv_forward_f32_4, kmc_conv_forward_f32_5, kmc_conv_forward_f64_3
    module procedure kmc_conv_forward_f64_4, kmc_conv_forward_f64_5
  end interface
  interface kmc_conv_input_gradient
    module procedure kmc_conv_input_gradient_f32_3, kmc_conv_input_gradient_f32_4, kmc_conv_input_gradient_f32_5
    module procedure kmc_conv_input_gradient_f64_3, kmc_conv_input_gradient_f64_4, kmc_conv_input_gradient_f64_5
  end interface
  interface kmc_conv_weight_gradient
    module procedure kmc_conv_weight_gradient_f32_3, kmc_conv_weight_gradient_f32_4, kmc_conv_weight_gradient_f32_5
    module procedure kmc_conv_weight_gradient_f64_3, kmc_conv_weight_gradient_f64_4, kmc_conv_weight_gradient_f64_5
  end interface
  interface kmc_pool_forward
    module procedure kmc_pool_forward_f32_3, kmc_pool_forward_f32_4, kmc_pool_forward_f32_5, kmc_pool_forward_f64_3
    module procedure kmc_pool_forward_f64_4, kmc_pool_forward_f64_5
  end interface
  interface kmc_pool_backward
    module procedure kmc_pool_backward_f32_3, kmc_pool_backward_f32_4, kmc_pool_backward_f32_5
    module procedure kmc_pool_backward_f64_3, kmc_pool_backward_f64_4, kmc_pool_backward_f64_5
  end interface
  interface kmc_activation_forward
    module procedure kmc_activation_forward_f32_1, kmc_activation_forward_f32_2, kmc_activation_forward_f32_3
    module procedure kmc_activation_forward_f32_4, kmc_activation_forward_f32_5, kmc_activation_forward_f64_1
    module procedure kmc_activation_forward_f64_2, kmc_activation_forward_f64_3, kmc_activation_forward_f64_4
    module procedure kmc_activation_forward_f64_5
  end interface
  interface kmc_activation_backward
    module procedure kmc_activation_backward_f32_1, kmc_activation_backward_f32_2, kmc_activation_backward_f32_3
    module procedure kmc_activation_backward_f32_4, kmc_activation_backward_f32_5, kmc_activation_backward_f64_1
    module procedure kmc_activation_backward_f64_2, kmc_activation_backward_f64_3, kmc_activation_backward_f64_4
    module procedure kmc_activation_backward_f64_5
  end interface
  interface kmc_softmax_cross_entropy
    module procedure kmc_softmax_cross_entropy_f32, kmc_softmax_cross_entropy_f64
  end interface
  interface kmc_mse
    module procedure kmc_mse_f32, kmc_mse_f64
  end interface
  interface kmc_write_fits
    module procedure kmc_write_fits_f32_1, kmc_write_fits_f32_2, kmc_write_fits_f32_3, kmc_write_fits_f32_4
    module procedure kmc_write_fits_f64_1, kmc_write_fits_f64_2, kmc_write_fits_f64_3, kmc_write_fits_f64_4
  end interface
  interface kmc_argmax
    module procedure kmc_argmax_f32, kmc_argmax_f64
  end interface
  interface kmc_shuffle
    module procedure kmc_shuffle_i32, kmc_shuffle_i64
  end interface
  interface kmc_random_uniform
    module procedure kmc_random_uniform_f32_1_i32, kmc_random_uniform_f32_1_i64, kmc_random_uniform_f32_2_i32
    module procedure kmc_random_uniform_f32_2_i64, kmc_random_uniform_f64_1_i32, kmc_random_uniform_f64_1_i64
    module procedure kmc_random_uniform_f64_2_i32, kmc_random_uniform_f64_2_i64
  end interface
  interface kmc_random_normal
    module procedure kmc_random_normal_f32_1_i32, kmc_random_normal_f32_1_i64, kmc_random_normal_f32_2_i32
    module procedure kmc_random_normal_f32_2_i64, kmc_random_normal_f64_1_i32, kmc_random_normal_f64_1_i64
    module procedure kmc_random_normal_f64_2_i32, kmc_random_normal_f64_2_i64
  end interface
  interface kmc_kmeans
    module procedure kmc_kmeans_f32, kmc_kmeans_f64
  end interface

  interface seen
    module procedure seen_f32_1, seen_f32_2, seen_f32_3, seen_f32_4, seen_f32_5
    module procedure seen_f64_1, seen_f64_2, seen_f64_3, seen_f64_4, seen_f64_5
  end interface

contains

  ! ----------------------------------------------------------------------------------------------------
  ! The library and its devices
  ! ----------------------------------------------------------------------------------------------------

  !! The version of the library, "0.1.0".
  function kmc_version() result(version)
    character(len=:), allocatable :: version
    version = text_of(c_version())
  end function

  !! The version of the binary interface that the library has; this module was written for kmc_abi.
  function kmc_abi_version() result(version)
    integer :: version
    version = c_abi_version()
  end function

  !! The name of a status: "KMC_ERR_SHAPE".
  function kmc_status_name(status) result(name)
    integer, intent(in) :: status
    character(len=:), allocatable :: name
    name = text_of(c_status_name(int(status, c_int32_t)))
  end function

  !! How many GPUs can be used.
  function kmc_device_count(stat, errmsg) result(integer_result)
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    integer :: integer_result
    integer(c_int32_t), target :: count_
    integer_result = 0
    count_ = 0
    call finish(c_device_count(c_loc(count_)), stat, errmsg)
    integer_result = count_
  end function

  !! The name of a device ("auto", "cpu", "cuda:0"; absent: "auto").
  function kmc_device_name(device, stat, errmsg) result(name)
    character(len=*), intent(in), optional :: device
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    character(len=:), allocatable :: name
    character(len=:), allocatable, target :: store
    type(c_ptr) :: text
    integer(c_int32_t) :: status
    text = c_null_ptr
    status = c_device_name(text, hold(store, device))
    call take_text(status, text, name, stat, errmsg)
  end function

  !! What there is to compute on, and what is missing, as a text of several lines.
  function kmc_doctor(stat, errmsg) result(report)
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    character(len=:), allocatable :: report
    type(c_ptr) :: text
    integer(c_int32_t) :: status
    text = c_null_ptr
    status = c_doctor(text)
    call take_text(status, text, report, stat, errmsg)
  end function

  !! How many threads a model takes that was not told a number.
  function kmc_default_threads(stat, errmsg) result(threads)
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    integer :: threads
    integer(c_int32_t), target :: n
    n = 0
    call finish(c_default_threads(c_loc(n)), stat, errmsg)
    threads = n
  end function

  ! ----------------------------------------------------------------------------------------------------
  ! Data sets: making and releasing
  ! ----------------------------------------------------------------------------------------------------

  subroutine dataset_adopt(self, handle)
    class(kmc_dataset), intent(inout) :: self
    type(c_ptr), intent(in) :: handle
    call ignore(c_dataset_destroy(self%handle))
    self%handle = handle
  end subroutine

  ! Ends a call that made a data set.
  subroutine dataset_take(self, new, status, stat, errmsg)
    class(kmc_dataset), intent(inout) :: self
    type(c_ptr), intent(in) :: new
    integer(c_int32_t), intent(in) :: status
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    if (status == kmc_ok) call dataset_adopt(self, new)
    call finish(status, stat, errmsg)
  end subroutine

  subroutine dataset_take_two(first, one, second, two, status, stat, errmsg)
    class(kmc_dataset), intent(inout) :: first, second
    type(c_ptr), intent(in) :: one, two
    integer(c_int32_t), intent(in) :: status
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    if (status == kmc_ok) call dataset_adopt(first, one)
    call dataset_take(second, two, status, stat, errmsg)
  end subroutine

  impure elemental subroutine dataset_final(self)
    type(kmc_dataset), intent(inout) :: self
    if (c_associated(self%handle)) call dataset_adopt(self, c_null_ptr)
  end subroutine

  impure elemental subroutine dataset_assign(to, from)
    class(kmc_dataset), intent(inout) :: to
    class(kmc_dataset), intent(in) :: from
    if (c_associated(from%handle)) call refuse_copy('kmc_dataset', 'use call to%clone(from)')
    call dataset_adopt(to, c_null_ptr)
  end subroutine

  ! Creates a data set of an array, or adds it to one.
  subroutine dataset_put(self, purpose, a, layout, stat, errmsg)
    class(kmc_dataset), intent(inout) :: self
    integer, intent(in) :: purpose
    type(array_t), intent(in) :: a
    integer, intent(in), optional :: layout
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    integer(c_int64_t) :: e(4), n
    integer(c_int32_t) :: order, status
    type(c_ptr) :: new
    order = int_or(layout, kmc_channels_last)
    call extents_of(a, order, e, n)
    new = c_null_ptr
    select case (purpose + a%bytes)
    case (put_create + 4)
      status = c_dataset_create_f32(new, a%at, n, e(4), e(3), e(2), e(1), order)
    case (put_create + 8)
      status = c_dataset_create_f64(new, a%at, n, e(4), e(3), e(2), e(1), order)
    case (put_input + 4)
      status = c_dataset_add_input_f32(self%handle, a%at, n, e(4), e(3), e(2), e(1), order)
    case (put_input + 8)
      status = c_dataset_add_input_f64(self%handle, a%at, n, e(4), e(3), e(2), e(1), order)
    case (put_values + 4)
      status = c_dataset_add_values_f32(self%handle, a%at, n, e(4), e(3), e(2), e(1), order)
    case default
      status = c_dataset_add_values_f64(self%handle, a%at, n, e(4), e(3), e(2), e(1), order)
    end select
    if (purpose == put_create .and. status == kmc_ok) call dataset_adopt(self, new)
    call finish(status, stat, errmsg)
  end subroutine

  !! Releases the data set; safe twice.
  subroutine dataset_destroy(self, stat, errmsg)
    class(kmc_dataset), intent(inout) :: self
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    integer(c_int32_t) :: status
    status = c_dataset_destroy(self%handle)
    self%handle = c_null_ptr
    call finish(status, stat, errmsg)
  end subroutine

  !! Makes this a copy of another data set.
  subroutine dataset_clone(self, from, stat, errmsg)
    class(kmc_dataset), intent(inout) :: self
    class(kmc_dataset), intent(in) :: from
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    integer(c_int32_t) :: status
    type(c_ptr) :: new
    status = c_dataset_clone(new, from%handle)
    call dataset_take(self, new, status, stat, errmsg)
  end subroutine

  !! A data set of x(features, n), x(c, w, n), x(c, w, h, n) or x(c, w, h, d, n), real32 or real64, copied into the
  !! library; with layout=kmc_channels_first of x(w, h, d, c, n), with layout=kmc_feature_major of x(n, c, w, h, d).
  subroutine dataset_create_f32_2(self, x, layout, stat, errmsg)
    class(kmc_dataset), intent(inout) :: self
    real(real32), intent(in), contiguous, target :: x(:, :)
    integer, intent(in), optional :: layout
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call dataset_put(self, put_create, seen(x), layout, stat, errmsg)
  end subroutine
  subroutine dataset_create_f32_3(self, x, layout, stat, errmsg)
    class(kmc_dataset), intent(inout) :: self
    real(real32), intent(in), contiguous, target :: x(:, :, :)
    integer, intent(in), optional :: layout
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call dataset_put(self, put_create, seen(x), layout, stat, errmsg)
  end subroutine
  subroutine dataset_create_f32_4(self, x, layout, stat, errmsg)
    class(kmc_dataset), intent(inout) :: self
    real(real32), intent(in), contiguous, target :: x(:, :, :, :)
    integer, intent(in), optional :: layout
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call dataset_put(self, put_create, seen(x), layout, stat, errmsg)
  end subroutine
  subroutine dataset_create_f32_5(self, x, layout, stat, errmsg)
    class(kmc_dataset), intent(inout) :: self
    real(real32), intent(in), contiguous, target :: x(:, :, :, :, :)
    integer, intent(in), optional :: layout
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call dataset_put(self, put_create, seen(x), layout, stat, errmsg)
  end subroutine
  subroutine dataset_create_f64_2(self, x, layout, stat, errmsg)
    class(kmc_dataset), intent(inout) :: self
    real(real64), intent(in), contiguous, target :: x(:, :)
    integer, intent(in), optional :: layout
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call dataset_put(self, put_create, seen(x), layout, stat, errmsg)
  end subroutine
  subroutine dataset_create_f64_3(self, x, layout, stat, errmsg)
    class(kmc_dataset), intent(inout) :: self
    real(real64), intent(in), contiguous, target :: x(:, :, :)
    integer, intent(in), optional :: layout
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call dataset_put(self, put_create, seen(x), layout, stat, errmsg)
  end subroutine
  subroutine dataset_create_f64_4(self, x, layout, stat, errmsg)
    class(kmc_dataset), intent(inout) :: self
    real(real64), intent(in), contiguous, target :: x(:, :, :, :)
    integer, intent(in), optional :: layout
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call dataset_put(self, put_create, seen(x), layout, stat, errmsg)
  end subroutine
  subroutine dataset_create_f64_5(self, x, layout, stat, errmsg)
    class(kmc_dataset), intent(inout) :: self
    real(real64), intent(in), contiguous, target :: x(:, :, :, :, :)
    integer, intent(in), optional :: layout
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call dataset_put(self, put_create, seen(x), layout, stat, errmsg)
  end subroutine

  !! A data set of x(n, features), samples first, transposed while it is copied.
  subroutine dataset_create_transposed_f32_2(self, x, stat, errmsg)
    class(kmc_dataset), intent(inout) :: self
    real(real32), intent(in), contiguous, target :: x(:, :)
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call dataset_put(self, put_create, seen(x), kmc_feature_major, stat, errmsg)
  end subroutine
  subroutine dataset_create_transposed_f64_2(self, x, stat, errmsg)
    class(kmc_dataset), intent(inout) :: self
    real(real64), intent(in), contiguous, target :: x(:, :)
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call dataset_put(self, put_create, seen(x), kmc_feature_major, stat, errmsg)
  end subroutine

  !! A further input of as many samples, for networks of several inputs; shapes as in `create`.
  subroutine dataset_add_input_f32_2(self, x, layout, stat, errmsg)
    class(kmc_dataset), intent(inout) :: self
    real(real32), intent(in), contiguous, target :: x(:, :)
    integer, intent(in), optional :: layout
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call dataset_put(self, put_input, seen(x), layout, stat, errmsg)
  end subroutine
  subroutine dataset_add_input_f32_3(self, x, layout, stat, errmsg)
    class(kmc_dataset), intent(inout) :: self
    real(real32), intent(in), contiguous, target :: x(:, :, :)
    integer, intent(in), optional :: layout
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call dataset_put(self, put_input, seen(x), layout, stat, errmsg)
  end subroutine
  subroutine dataset_add_input_f32_4(self, x, layout, stat, errmsg)
    class(kmc_dataset), intent(inout) :: self
    real(real32), intent(in), contiguous, target :: x(:, :, :, :)
    integer, intent(in), optional :: layout
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call dataset_put(self, put_input, seen(x), layout, stat, errmsg)
  end subroutine
  subroutine dataset_add_input_f32_5(self, x, layout, stat, errmsg)
    class(kmc_dataset), intent(inout) :: self
    real(real32), intent(in), contiguous, target :: x(:, :, :, :, :)
    integer, intent(in), optional :: layout
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call dataset_put(self, put_input, seen(x), layout, stat, errmsg)
  end subroutine
  subroutine dataset_add_input_f64_2(self, x, layout, stat, errmsg)
    class(kmc_dataset), intent(inout) :: self
    real(real64), intent(in), contiguous, target :: x(:, :)
    integer, intent(in), optional :: layout
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call dataset_put(self, put_input, seen(x), layout, stat, errmsg)
  end subroutine
  subroutine dataset_add_input_f64_3(self, x, layout, stat, errmsg)
    class(kmc_dataset), intent(inout) :: self
    real(real64), intent(in), contiguous, target :: x(:, :, :)
    integer, intent(in), optional :: layout
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call dataset_put(self, put_input, seen(x), layout, stat, errmsg)
  end subroutine
  subroutine dataset_add_input_f64_4(self, x, layout, stat, errmsg)
    class(kmc_dataset), intent(inout) :: self
    real(real64), intent(in), contiguous, target :: x(:, :, :, :)
    integer, intent(in), optional :: layout
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call dataset_put(self, put_input, seen(x), layout, stat, errmsg)
  end subroutine
  subroutine dataset_add_input_f64_5(self, x, layout, stat, errmsg)
    class(kmc_dataset), intent(inout) :: self
    real(real64), intent(in), contiguous, target :: x(:, :, :, :, :)
    integer, intent(in), optional :: layout
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call dataset_put(self, put_input, seen(x), layout, stat, errmsg)
  end subroutine

  !! A target of values t(outputs, n), t(c, w, n), t(c, w, h, n) or t(c, w, h, d, n).
  subroutine dataset_add_values_f32_2(self, t, layout, stat, errmsg)
    class(kmc_dataset), intent(inout) :: self
    real(real32), intent(in), contiguous, target :: t(:, :)
    integer, intent(in), optional :: layout
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call dataset_put(self, put_values, seen(t), layout, stat, errmsg)
  end subroutine
  subroutine dataset_add_values_f32_3(self, t, layout, stat, errmsg)
    class(kmc_dataset), intent(inout) :: self
    real(real32), intent(in), contiguous, target :: t(:, :, :)
    integer, intent(in), optional :: layout
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call dataset_put(self, put_values, seen(t), layout, stat, errmsg)
  end subroutine
  subroutine dataset_add_values_f32_4(self, t, layout, stat, errmsg)
    class(kmc_dataset), intent(inout) :: self
    real(real32), intent(in), contiguous, target :: t(:, :, :, :)
    integer, intent(in), optional :: layout
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call dataset_put(self, put_values, seen(t), layout, stat, errmsg)
  end subroutine
  subroutine dataset_add_values_f32_5(self, t, layout, stat, errmsg)
    class(kmc_dataset), intent(inout) :: self
    real(real32), intent(in), contiguous, target :: t(:, :, :, :, :)
    integer, intent(in), optional :: layout
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call dataset_put(self, put_values, seen(t), layout, stat, errmsg)
  end subroutine
  subroutine dataset_add_values_f64_2(self, t, layout, stat, errmsg)
    class(kmc_dataset), intent(inout) :: self
    real(real64), intent(in), contiguous, target :: t(:, :)
    integer, intent(in), optional :: layout
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call dataset_put(self, put_values, seen(t), layout, stat, errmsg)
  end subroutine
  subroutine dataset_add_values_f64_3(self, t, layout, stat, errmsg)
    class(kmc_dataset), intent(inout) :: self
    real(real64), intent(in), contiguous, target :: t(:, :, :)
    integer, intent(in), optional :: layout
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call dataset_put(self, put_values, seen(t), layout, stat, errmsg)
  end subroutine
  subroutine dataset_add_values_f64_4(self, t, layout, stat, errmsg)
    class(kmc_dataset), intent(inout) :: self
    real(real64), intent(in), contiguous, target :: t(:, :, :, :)
    integer, intent(in), optional :: layout
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call dataset_put(self, put_values, seen(t), layout, stat, errmsg)
  end subroutine
  subroutine dataset_add_values_f64_5(self, t, layout, stat, errmsg)
    class(kmc_dataset), intent(inout) :: self
    real(real64), intent(in), contiguous, target :: t(:, :, :, :, :)
    integer, intent(in), optional :: layout
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call dataset_put(self, put_values, seen(t), layout, stat, errmsg)
  end subroutine

  subroutine dataset_add_labels(self, labels, n, classes, stat, errmsg)
    class(kmc_dataset), intent(inout) :: self
    integer(int64), intent(in) :: n
    integer, intent(in) :: labels(n), classes
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    integer(c_int32_t), allocatable, target :: from_zero(:)
    integer(int64) :: wrong
    wrong = outside(labels, n, classes)
    if (wrong > 0) then
      call fail(kmc_err_value, label_sentence(labels(wrong), wrong, classes), stat, errmsg)
      return
    end if
    allocate (from_zero, source=labels - 1)
    call finish(c_dataset_add_classes(self%handle, c_loc(from_zero), n, int(classes, c_int64_t)), stat, errmsg)
  end subroutine

  !! A target of classes from 1 to `classes`: labels(n), or one for each position, labels(w, n), labels(w, h, n),
  !! labels(w, h, d, n).
  subroutine dataset_add_classes_1(self, labels, classes, stat, errmsg)
    class(kmc_dataset), intent(inout) :: self
    integer, intent(in), contiguous :: labels(:)
    integer, intent(in) :: classes
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call dataset_add_labels(self, labels, size(labels, kind=int64), classes, stat, errmsg)
  end subroutine
  subroutine dataset_add_classes_2(self, labels, classes, stat, errmsg)
    class(kmc_dataset), intent(inout) :: self
    integer, intent(in), contiguous :: labels(:, :)
    integer, intent(in) :: classes
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call dataset_add_labels(self, labels, size(labels, kind=int64), classes, stat, errmsg)
  end subroutine
  subroutine dataset_add_classes_3(self, labels, classes, stat, errmsg)
    class(kmc_dataset), intent(inout) :: self
    integer, intent(in), contiguous :: labels(:, :, :)
    integer, intent(in) :: classes
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call dataset_add_labels(self, labels, size(labels, kind=int64), classes, stat, errmsg)
  end subroutine
  subroutine dataset_add_classes_4(self, labels, classes, stat, errmsg)
    class(kmc_dataset), intent(inout) :: self
    integer, intent(in), contiguous :: labels(:, :, :, :)
    integer, intent(in) :: classes
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call dataset_add_labels(self, labels, size(labels, kind=int64), classes, stat, errmsg)
  end subroutine

  !! A weight for every sample in the loss.
  subroutine dataset_set_weights(self, weights, stat, errmsg)
    class(kmc_dataset), intent(inout) :: self
    real(real64), intent(in), contiguous, target :: weights(:)
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call finish(c_dataset_set_weights(self%handle, c_loc(weights), size(weights, kind=c_int64_t)), stat, errmsg)
  end subroutine

  !! The names of the classes, for reports.
  subroutine dataset_set_class_names(self, names, stat, errmsg)
    class(kmc_dataset), intent(inout) :: self
    character(len=*), intent(in) :: names(:)
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    type(text_t), allocatable, target :: store(:)
    type(c_ptr), allocatable, target :: at(:)
    call hold_all(store, at, names)
    call finish(c_dataset_set_class_names(self%handle, c_loc(at), size(names, kind=c_int64_t)), stat, errmsg)
  end subroutine

  ! ----------------------------------------------------------------------------------------------------
  ! Data sets: reading and writing files
  ! ----------------------------------------------------------------------------------------------------

  !! Reads a table of text: columns separated by `separator` (absent: found out) after `skip` lines and a `header`
  !! (absent: found out); `label_column` holds the class (absent: the last; kmc_no_column: none), `targets` columns of
  !! values, `features` the inputs (absent: all others). Classes in the file begin with `first_class`.
  subroutine dataset_read_table(self, path, label_column, classes, header, first_class, skip, separator, comment, features, &
    targets, stat, errmsg)
    class(kmc_dataset), intent(inout) :: self
    character(len=*), intent(in) :: path
    integer, intent(in), optional :: label_column, classes, first_class, skip, features(:), targets(:)
    logical, intent(in), optional :: header
    character(len=1), intent(in), optional :: separator, comment
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    integer(c_int32_t) :: status
    type(c_ptr) :: new
    type(c_table_options_t), target :: c
    character(len=:), allocatable, target :: store
    integer(c_int64_t), allocatable, target :: columns(:), wanted(:)
    c%size = int(c_sizeof(c), c_int32_t)
    if (present(header)) c%header = merge(1, -1, header)
    c%label = -1
    if (present(label_column)) c%label = merge(-2, label_column - 1, label_column == kmc_no_column)
    if (present(targets) .and. .not. present(label_column)) c%label = -2
    c%classes = int_or(classes, 0)
    c%first_class = int_or(first_class, 0)
    c%skip = int_or(skip, 0)
    if (present(separator)) c%separator = iachar(separator)
    c%comment = iachar("#")
    if (present(comment)) c%comment = iachar(comment)
    if (present(features)) then
      allocate(columns, source=int(features, c_int64_t) - 1)
      c%features = c_loc(columns)
      c%n_features = size(columns)
    end if
    if (present(targets)) then
      allocate(wanted, source=int(targets, c_int64_t) - 1)
      c%targets = c_loc(wanted)
      c%n_targets = size(wanted)
    end if
    status = c_dataset_read_table(new, hold(store, path), c_loc(c))
    call dataset_take(self, new, status, stat, errmsg)
  end subroutine

  !! Reads two matrices of text, a sample a line: inputs, and one-hot classes or values.
  subroutine dataset_read_pair(self, inputs, targets, stat, errmsg)
    class(kmc_dataset), intent(inout) :: self
    character(len=*), intent(in) :: inputs, targets
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    integer(c_int32_t) :: status
    type(c_ptr) :: new
    character(len=:), allocatable, target :: first, second
    status = c_dataset_read_pair(new, hold(first, inputs), hold(second, targets))
    call dataset_take(self, new, status, stat, errmsg)
  end subroutine

  !! Reads points for k-means (kmeans_input_file_*.dat).
  subroutine dataset_read_points(self, path, stat, errmsg)
    class(kmc_dataset), intent(inout) :: self
    character(len=*), intent(in) :: path
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    integer(c_int32_t) :: status
    type(c_ptr) :: new
    character(len=:), allocatable, target :: store
    status = c_dataset_read_points(new, hold(store, path))
    call dataset_take(self, new, status, stat, errmsg)
  end subroutine

  !! Reads images and labels of IDX files (MNIST).
  subroutine dataset_read_idx(self, images, labels, stat, errmsg)
    class(kmc_dataset), intent(inout) :: self
    character(len=*), intent(in) :: images, labels
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    integer(c_int32_t) :: status
    type(c_ptr) :: new
    character(len=:), allocatable, target :: first, second
    status = c_dataset_read_idx(new, hold(first, images), hold(second, labels))
    call dataset_take(self, new, status, stat, errmsg)
  end subroutine

  !! Reads inputs, and classes if given, of NPY files.
  subroutine dataset_read_npy(self, x, labels, stat, errmsg)
    class(kmc_dataset), intent(inout) :: self
    character(len=*), intent(in) :: x
    character(len=*), intent(in), optional :: labels
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    integer(c_int32_t) :: status
    type(c_ptr) :: new
    character(len=:), allocatable, target :: first, second
    status = c_dataset_read_npy(new, hold(first, x), hold(second, labels))
    call dataset_take(self, new, status, stat, errmsg)
  end subroutine

  !! Reads the arrays of these names of an NPZ file.
  subroutine dataset_read_npz(self, path, x, labels, stat, errmsg)
    class(kmc_dataset), intent(inout) :: self
    character(len=*), intent(in) :: path, x
    character(len=*), intent(in), optional :: labels
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    integer(c_int32_t) :: status
    type(c_ptr) :: new
    character(len=:), allocatable, target :: store, first, second
    status = c_dataset_read_npz(new, hold(store, path), hold(first, x), hold(second, labels))
    call dataset_take(self, new, status, stat, errmsg)
  end subroutine

  !! Reads n samples of this shape, values of one of the kinds kmc_kind_, of a file without a header.
  subroutine dataset_read_raw_i64(self, path, kind, shape, n, layout, stat, errmsg)
    class(kmc_dataset), intent(inout) :: self
    character(len=*), intent(in) :: path
    integer, intent(in) :: kind, shape(:)
    integer(int64), intent(in) :: n
    integer, intent(in), optional :: layout
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    integer(c_int32_t) :: status
    type(c_ptr) :: new
    integer(c_int64_t) :: e(4)
    character(len=:), allocatable, target :: store
    if (.not. extents_ok(shape, stat, errmsg)) return
    e = extents(shape)
    status = c_dataset_read_raw(new, hold(store, path), int(kind, c_int32_t), n, e(4), e(3), e(2), e(1), &
      int_or(layout, kmc_channels_last))
    call dataset_take(self, new, status, stat, errmsg)
  end subroutine
  subroutine dataset_read_raw_i32(self, path, kind, shape, n, layout, stat, errmsg)
    class(kmc_dataset), intent(inout) :: self
    character(len=*), intent(in) :: path
    integer, intent(in) :: kind, shape(:)
    integer(int32), intent(in) :: n
    integer, intent(in), optional :: layout
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call dataset_read_raw_i64(self, path, kind, shape, int(n, int64), layout, stat, errmsg)
  end subroutine

  !! Reads binary CIFAR files: variant 10, 20 (coarse classes of CIFAR-100) or 100.
  subroutine dataset_read_cifar(self, paths, variant, stat, errmsg)
    class(kmc_dataset), intent(inout) :: self
    character(len=*), intent(in) :: paths(:)
    integer, intent(in) :: variant
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    integer(c_int32_t) :: status
    type(c_ptr) :: new
    type(text_t), allocatable, target :: store(:)
    type(c_ptr), allocatable, target :: at(:)
    call hold_all(store, at, paths)
    status = c_dataset_read_cifar(new, c_loc(at), size(paths, kind=c_int64_t), int(variant, c_int32_t))
    call dataset_take(self, new, status, stat, errmsg)
  end subroutine

  !! Reads an image or cube of a FITS file as one sample, (1, w, h) or (1, w, h, d), or with `stacked` as many as its last
  !! axis is long; with `bands` the last axis before that counts channels. `hdu` (the primary one is 0; absent: the first
  !! image) or `hdu_name`; `missing`: what becomes of NaN and blank values, one of kmc_missing_ (absent: refused), with `fill`.
  subroutine dataset_read_fits(self, path, hdu, hdu_name, missing, fill, stacked, bands, stat, errmsg)
    class(kmc_dataset), intent(inout) :: self
    character(len=*), intent(in) :: path
    integer, intent(in), optional :: hdu, missing
    character(len=*), intent(in), optional :: hdu_name
    real(real64), intent(in), optional :: fill
    logical, intent(in), optional :: stacked, bands
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    integer(c_int32_t) :: status
    type(c_ptr) :: new
    type(c_fits_options_t), target :: c
    character(len=:), allocatable, target :: store, name
    c = fits_options(name, hdu, hdu_name, missing, fill)
    c%stacked = flag(stacked, .false.)
    c%bands = flag(bands, .false.)
    status = c_dataset_read_fits(new, hold(store, path), c_loc(c))
    call dataset_take(self, new, status, stat, errmsg)
  end subroutine

  !! Reads columns of a table in a FITS file, a sample for each row: (columns), or of arrays (columns, w). `label`: a column
  !! of classes, numbers or names; `targets`: columns of values to be predicted; the others as for `read_fits`.
  subroutine dataset_read_fits_table(self, path, columns, label, targets, hdu, hdu_name, missing, fill, stat, errmsg)
    class(kmc_dataset), intent(inout) :: self
    character(len=*), intent(in) :: path, columns(:)
    character(len=*), intent(in), optional :: label, targets(:), hdu_name
    integer, intent(in), optional :: hdu, missing
    real(real64), intent(in), optional :: fill
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    integer(c_int32_t) :: status
    type(c_ptr) :: new, at_targets
    type(c_fits_options_t), target :: c
    character(len=:), allocatable, target :: store, name, second
    type(text_t), allocatable, target :: names(:), more(:)
    type(c_ptr), allocatable, target :: at(:), at_more(:)
    integer(c_int64_t) :: n_targets
    c = fits_options(name, hdu, hdu_name, missing, fill)
    call hold_all(names, at, columns)
    at_targets = c_null_ptr
    n_targets = 0
    if (present(targets)) then
      call hold_all(more, at_more, targets)
      at_targets = c_loc(at_more)
      n_targets = size(targets, kind=c_int64_t)
    end if
    status = c_dataset_read_fits_table(new, hold(store, path), c_loc(at), size(columns, kind=c_int64_t), hold(second, label), &
      at_targets, n_targets, c_loc(c))
    call dataset_take(self, new, status, stat, errmsg)
  end subroutine

  !! Writes points in the format that `read_points` reads.
  subroutine dataset_write_points(self, path, stat, errmsg)
    class(kmc_dataset), intent(in) :: self
    character(len=*), intent(in) :: path
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    character(len=:), allocatable, target :: store
    call finish(c_dataset_write_points(self%handle, hold(store, path)), stat, errmsg)
  end subroutine

  !! Opens the files in the folders of a folder, a class for each (from 1, in the order of their letters, or as `classes`
  !! lists them): FITS or NPY files, read as they are needed. `prepare`: what is done to each sample, "astronomy" or steps in
  !! JSON as for `load`; `columns`: of a table in each file, flux then wavelength; `bands`: planes are channels; `hdu` (the
  !! primary one is 0) or `hdu_name`; `skip_bad`: what cannot be read is left out, and named by `skipped`.
  subroutine dataset_open_folders(self, path, prepare, classes, values, columns, bands, hdu, hdu_name, &
    skip_bad, stat, errmsg)
    class(kmc_dataset), intent(inout) :: self
    character(len=*), intent(in) :: path
    character(len=*), intent(in), optional :: prepare, classes(:), columns(:), hdu_name
    integer, intent(in), optional :: hdu
    logical, intent(in), optional :: values, bands, skip_bad
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    integer(c_int32_t) :: status
    type(c_ptr) :: new
    type(c_files_options_t), target :: c
    type(files_store_t), target :: store
    character(len=:), allocatable, target :: first
    call fill_files(c, store, prepare, classes, values, columns, bands, hdu, hdu_name, skip_bad)
    status = c_dataset_open_folders(new, hold(first, path), c_loc(c))
    call dataset_take(self, new, status, stat, errmsg)
  end subroutine

  !! Opens the files that a text file lists in lines `filename,label`, relative to its folder or to `folder`; with `values`
  !! labels are numbers to predict. Otherwise as `open_folders`.
  subroutine dataset_open_labels(self, path, folder, prepare, classes, values, columns, bands, hdu, hdu_name, &
    skip_bad, stat, errmsg)
    class(kmc_dataset), intent(inout) :: self
    character(len=*), intent(in) :: path
    character(len=*), intent(in), optional :: prepare, classes(:), columns(:), hdu_name, folder
    integer, intent(in), optional :: hdu
    logical, intent(in), optional :: values, bands, skip_bad
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    integer(c_int32_t) :: status
    type(c_ptr) :: new
    type(c_files_options_t), target :: c
    type(files_store_t), target :: store
    character(len=:), allocatable, target :: first
    call fill_files(c, store, prepare, classes, values, columns, bands, hdu, hdu_name, skip_bad, folder)
    status = c_dataset_open_labels(new, hold(first, path), c_loc(c))
    call dataset_take(self, new, status, stat, errmsg)
  end subroutine

  !! Opens files without labels, to predict; otherwise as `open_folders`.
  subroutine dataset_open_files(self, paths, prepare, classes, values, columns, bands, hdu, hdu_name, &
    skip_bad, stat, errmsg)
    class(kmc_dataset), intent(inout) :: self
    character(len=*), intent(in) :: paths(:)
    character(len=*), intent(in), optional :: prepare, classes(:), columns(:), hdu_name
    integer, intent(in), optional :: hdu
    logical, intent(in), optional :: values, bands, skip_bad
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    integer(c_int32_t) :: status
    type(c_ptr) :: new
    type(c_files_options_t), target :: c
    type(files_store_t), target :: store
    type(text_t), allocatable, target :: names(:)
    type(c_ptr), allocatable, target :: at(:)
    call fill_files(c, store, prepare, classes, values, columns, bands, hdu, hdu_name, skip_bad)
    call hold_all(names, at, paths)
    status = c_dataset_open_files(new, c_loc(at), size(paths, kind=c_int64_t), c_loc(c))
    call dataset_take(self, new, status, stat, errmsg)
  end subroutine

  !! Makes this a copy in memory of another set, also of a view, as it is in the first epoch; skipped files are left out.
  !! `prepare`: what is done to each sample, "astronomy" (missing values to 0, clip to the 1st and 99th percentile, logarithm,
  !! 0 to 1) or steps in JSON: '[{"missing": "Zero"}, {"clip": {"low": 0.01, "high": 0.99}}, {"min_max": {"epsilon": 1e-8}}]'.
  subroutine dataset_load(self, from, prepare, stat, errmsg)
    class(kmc_dataset), intent(inout) :: self
    class(kmc_dataset), intent(in) :: from
    character(len=*), intent(in), optional :: prepare
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    integer(c_int32_t) :: status
    type(c_ptr) :: new
    character(len=:), allocatable, target :: store
    status = c_dataset_load(new, from%handle, hold(store, prepare))
    call dataset_take(self, new, status, stat, errmsg)
  end subroutine

  !! The files that could not be read so far, and why: a line for each.
  function dataset_skipped(self, stat, errmsg) result(answer)
    class(kmc_dataset), intent(in) :: self
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    character(len=:), allocatable :: answer
    type(c_ptr) :: text
    integer(c_int32_t) :: status
    text = c_null_ptr
    status = c_dataset_skipped(text, self%handle)
    call take_text(status, text, answer, stat, errmsg)
  end function

  ! ----------------------------------------------------------------------------------------------------
  ! Data sets that the library makes
  ! ----------------------------------------------------------------------------------------------------

  !! Makes n stamps of galaxies of five kinds, (3, 48, 48).
  subroutine dataset_make_galaxies_i64(self, n, seed, stat, errmsg)
    class(kmc_dataset), intent(inout) :: self
    integer(int64), intent(in) :: n, seed
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    integer(c_int32_t) :: status
    type(c_ptr) :: new
    status = c_dataset_make_galaxies(new, n, seed)
    call dataset_take(self, new, status, stat, errmsg)
  end subroutine
  subroutine dataset_make_galaxies_i32(self, n, seed, stat, errmsg)
    class(kmc_dataset), intent(inout) :: self
    integer(int32), intent(in) :: n, seed
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call dataset_make_galaxies_i64(self, int(n, int64), int(seed, int64), stat, errmsg)
  end subroutine

  !! Makes n digits, (1, 28, 28), ten classes.
  subroutine dataset_make_digits_i64(self, n, seed, stat, errmsg)
    class(kmc_dataset), intent(inout) :: self
    integer(int64), intent(in) :: n, seed
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    integer(c_int32_t) :: status
    type(c_ptr) :: new
    status = c_dataset_make_digits(new, n, seed)
    call dataset_take(self, new, status, stat, errmsg)
  end subroutine
  subroutine dataset_make_digits_i32(self, n, seed, stat, errmsg)
    class(kmc_dataset), intent(inout) :: self
    integer(int32), intent(in) :: n, seed
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call dataset_make_digits_i64(self, int(n, int64), int(seed, int64), stat, errmsg)
  end subroutine

  !! Makes n stars: the temperature from a colour.
  subroutine dataset_make_stars_i64(self, n, seed, stat, errmsg)
    class(kmc_dataset), intent(inout) :: self
    integer(int64), intent(in) :: n, seed
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    integer(c_int32_t) :: status
    type(c_ptr) :: new
    status = c_dataset_make_stars(new, n, seed)
    call dataset_take(self, new, status, stat, errmsg)
  end subroutine
  subroutine dataset_make_stars_i32(self, n, seed, stat, errmsg)
    class(kmc_dataset), intent(inout) :: self
    integer(int32), intent(in) :: n, seed
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call dataset_make_stars_i64(self, int(n, int64), int(seed, int64), stat, errmsg)
  end subroutine

  !! Makes n points of the plane around eight places on a circle, blurred by sigma; the class is the place.
  subroutine dataset_make_ring_i64(self, n, sigma, seed, stat, errmsg)
    class(kmc_dataset), intent(inout) :: self
    integer(int64), intent(in) :: n, seed
    real(real64), intent(in) :: sigma
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    integer(c_int32_t) :: status
    type(c_ptr) :: new
    status = c_dataset_make_ring(new, n, sigma, seed)
    call dataset_take(self, new, status, stat, errmsg)
  end subroutine
  subroutine dataset_make_ring_i32(self, n, sigma, seed, stat, errmsg)
    class(kmc_dataset), intent(inout) :: self
    integer(int32), intent(in) :: n, seed
    real(real64), intent(in) :: sigma
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call dataset_make_ring_i64(self, int(n, int64), sigma, int(seed, int64), stat, errmsg)
  end subroutine

  !! Makes n points of five clusters in 2 or 3 dimensions.
  subroutine dataset_make_clusters_i64(self, n, dimensions, seed, stat, errmsg)
    class(kmc_dataset), intent(inout) :: self
    integer(int64), intent(in) :: n, seed
    integer, intent(in) :: dimensions
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    integer(c_int32_t) :: status
    type(c_ptr) :: new
    status = c_dataset_make_clusters(new, n, int(dimensions, c_int64_t), seed)
    call dataset_take(self, new, status, stat, errmsg)
  end subroutine
  subroutine dataset_make_clusters_i32(self, n, dimensions, seed, stat, errmsg)
    class(kmc_dataset), intent(inout) :: self
    integer(int32), intent(in) :: n, seed
    integer, intent(in) :: dimensions
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call dataset_make_clusters_i64(self, int(n, int64), dimensions, int(seed, int64), stat, errmsg)
  end subroutine

  !! Makes a stellar spectrum of 3753 pixels for each of these classes (1 to 7).
  subroutine dataset_make_spectra_i64(self, classes, seed, stat, errmsg)
    class(kmc_dataset), intent(inout) :: self
    integer, intent(in) :: classes(:)
    integer(int64), intent(in) :: seed
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    integer(c_int32_t) :: status
    type(c_ptr) :: new
    integer(c_int32_t), allocatable, target :: from_zero(:)
    allocate(from_zero, source=int(classes, c_int32_t) - 1)
    status = c_dataset_make_spectra(new, c_loc(from_zero), size(classes, kind=c_int64_t), seed)
    call dataset_take(self, new, status, stat, errmsg)
  end subroutine
  subroutine dataset_make_spectra_i32(self, classes, seed, stat, errmsg)
    class(kmc_dataset), intent(inout) :: self
    integer, intent(in) :: classes(:)
    integer(int32), intent(in) :: seed
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call dataset_make_spectra_i64(self, classes, int(seed, int64), stat, errmsg)
  end subroutine

  ! ----------------------------------------------------------------------------------------------------
  ! Data sets: what is in them
  ! ----------------------------------------------------------------------------------------------------

  !! The number of samples.
  function dataset_length(self, stat, errmsg) result(answer)
    class(kmc_dataset), intent(in) :: self
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    integer(int64) :: answer
    integer(c_int64_t), target :: n
    n = 0
    call finish(c_dataset_len(c_loc(n), self%handle), stat, errmsg)
    answer = n
  end function

  !! The shape (c, w, h, d) of a sample of an input (absent: the first).
  function dataset_shape(self, input, stat, errmsg) result(answer)
    class(kmc_dataset), intent(in) :: self
    integer, intent(in), optional :: input
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    integer :: answer(4)
    integer(c_int64_t), target :: e(4)
    e = 0
    call finish(c_dataset_extent(c_loc(e), self%handle, int(int_or(input, 1), c_int64_t) - 1), stat, errmsg)
    answer = int(e(4:1:-1))
  end function

  !! The number of classes of a target (absent: the first); 0 where it is not one of classes.
  function dataset_classes(self, target, stat, errmsg) result(answer)
    class(kmc_dataset), intent(in) :: self
    integer, intent(in), optional :: target
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    integer :: answer
    integer(c_int64_t), target :: n
    n = 0
    call finish(c_dataset_classes(c_loc(n), self%handle, int(int_or(target, 1), c_int64_t) - 1), stat, errmsg)
    answer = int(n)
  end function

  ! Checks the shape of an array against what an input of the set holds.
  logical function dataset_fits(self, a, input, stat, errmsg) result(ok)
    class(kmc_dataset), intent(in) :: self
    type(array_t), intent(in) :: a
    integer, intent(in), optional :: input
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    integer(c_int64_t), target :: e(4), n
    integer(c_int32_t) :: status
    ok = .false.
    status = c_dataset_extent(c_loc(e), self%handle, int(int_or(input, 1), c_int64_t) - 1)
    if (status == kmc_ok) status = c_dataset_len(c_loc(n), self%handle)
    if (status /= kmc_ok) then
      call finish(status, stat, errmsg)
    else
      ok = fits('x', a, e(4:1:-1), n, stat, errmsg)
    end if
  end function

  subroutine dataset_copy_inputs(self, x, input, stat, errmsg)
    class(kmc_dataset), intent(in) :: self
    type(array_t), intent(in) :: x
    integer, intent(in), optional :: input
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    if (.not. dataset_fits(self, x, input, stat, errmsg)) return
    call finish(c_dataset_inputs(x%at, values_in(x), self%handle, int(int_or(input, 1), c_int64_t) - 1), stat, errmsg)
  end subroutine

  !! Copies an input (absent: the first) into x(features, n), x(c, w, n), x(c, w, h, n) or x(c, w, h, d, n).
  subroutine dataset_get_inputs_1(self, x, input, stat, errmsg)
    class(kmc_dataset), intent(in) :: self
    real(real32), intent(out), contiguous, target :: x(:)
    integer, intent(in), optional :: input
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call dataset_copy_inputs(self, seen(x), input, stat, errmsg)
  end subroutine
  subroutine dataset_get_inputs_2(self, x, input, stat, errmsg)
    class(kmc_dataset), intent(in) :: self
    real(real32), intent(out), contiguous, target :: x(:, :)
    integer, intent(in), optional :: input
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call dataset_copy_inputs(self, seen(x), input, stat, errmsg)
  end subroutine
  subroutine dataset_get_inputs_3(self, x, input, stat, errmsg)
    class(kmc_dataset), intent(in) :: self
    real(real32), intent(out), contiguous, target :: x(:, :, :)
    integer, intent(in), optional :: input
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call dataset_copy_inputs(self, seen(x), input, stat, errmsg)
  end subroutine
  subroutine dataset_get_inputs_4(self, x, input, stat, errmsg)
    class(kmc_dataset), intent(in) :: self
    real(real32), intent(out), contiguous, target :: x(:, :, :, :)
    integer, intent(in), optional :: input
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call dataset_copy_inputs(self, seen(x), input, stat, errmsg)
  end subroutine
  subroutine dataset_get_inputs_5(self, x, input, stat, errmsg)
    class(kmc_dataset), intent(in) :: self
    real(real32), intent(out), contiguous, target :: x(:, :, :, :, :)
    integer, intent(in), optional :: input
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call dataset_copy_inputs(self, seen(x), input, stat, errmsg)
  end subroutine

  subroutine dataset_copy_values(self, t, target, stat, errmsg)
    class(kmc_dataset), intent(in) :: self
    type(array_t), intent(in) :: t
    integer, intent(in), optional :: target
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call finish(c_dataset_values(t%at, values_in(t), self%handle, int(int_or(target, 1), c_int64_t) - 1), stat, errmsg)
  end subroutine

  !! Copies the values of a target (absent: the first) into t(outputs, n) or t(c, w, h, d, n).
  subroutine dataset_get_values_1(self, t, target, stat, errmsg)
    class(kmc_dataset), intent(in) :: self
    real(real32), intent(out), contiguous, target :: t(:)
    integer, intent(in), optional :: target
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call dataset_copy_values(self, seen(t), target, stat, errmsg)
  end subroutine
  subroutine dataset_get_values_2(self, t, target, stat, errmsg)
    class(kmc_dataset), intent(in) :: self
    real(real32), intent(out), contiguous, target :: t(:, :)
    integer, intent(in), optional :: target
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call dataset_copy_values(self, seen(t), target, stat, errmsg)
  end subroutine
  subroutine dataset_get_values_3(self, t, target, stat, errmsg)
    class(kmc_dataset), intent(in) :: self
    real(real32), intent(out), contiguous, target :: t(:, :, :)
    integer, intent(in), optional :: target
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call dataset_copy_values(self, seen(t), target, stat, errmsg)
  end subroutine
  subroutine dataset_get_values_4(self, t, target, stat, errmsg)
    class(kmc_dataset), intent(in) :: self
    real(real32), intent(out), contiguous, target :: t(:, :, :, :)
    integer, intent(in), optional :: target
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call dataset_copy_values(self, seen(t), target, stat, errmsg)
  end subroutine
  subroutine dataset_get_values_5(self, t, target, stat, errmsg)
    class(kmc_dataset), intent(in) :: self
    real(real32), intent(out), contiguous, target :: t(:, :, :, :, :)
    integer, intent(in), optional :: target
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call dataset_copy_values(self, seen(t), target, stat, errmsg)
  end subroutine

  subroutine dataset_copy_labels(self, labels, n, target, stat, errmsg)
    class(kmc_dataset), intent(in) :: self
    integer(int64), intent(in) :: n
    integer, intent(out), target :: labels(n)
    integer, intent(in), optional :: target
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    integer(c_int32_t) :: status
    labels = 0
    status = c_dataset_labels(c_loc(labels), n, self%handle, int(int_or(target, 1), c_int64_t) - 1)
    if (status == kmc_ok) labels = labels + 1
    call finish(status, stat, errmsg)
  end subroutine

  !! Copies the classes (from 1) of a target (absent: the first) into labels(n), or labels(w, h, d, n).
  subroutine dataset_get_labels_1(self, labels, target, stat, errmsg)
    class(kmc_dataset), intent(in) :: self
    integer, intent(out), contiguous, target :: labels(:)
    integer, intent(in), optional :: target
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call dataset_copy_labels(self, labels, size(labels, kind=int64), target, stat, errmsg)
  end subroutine
  subroutine dataset_get_labels_2(self, labels, target, stat, errmsg)
    class(kmc_dataset), intent(in) :: self
    integer, intent(out), contiguous, target :: labels(:, :)
    integer, intent(in), optional :: target
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call dataset_copy_labels(self, labels, size(labels, kind=int64), target, stat, errmsg)
  end subroutine
  subroutine dataset_get_labels_3(self, labels, target, stat, errmsg)
    class(kmc_dataset), intent(in) :: self
    integer, intent(out), contiguous, target :: labels(:, :, :)
    integer, intent(in), optional :: target
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call dataset_copy_labels(self, labels, size(labels, kind=int64), target, stat, errmsg)
  end subroutine
  subroutine dataset_get_labels_4(self, labels, target, stat, errmsg)
    class(kmc_dataset), intent(in) :: self
    integer, intent(out), contiguous, target :: labels(:, :, :, :)
    integer, intent(in), optional :: target
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call dataset_copy_labels(self, labels, size(labels, kind=int64), target, stat, errmsg)
  end subroutine

  !! How many samples each class has: n(classes).
  subroutine dataset_counts_i64(self, n, target, stat, errmsg)
    class(kmc_dataset), intent(in) :: self
    integer(int64), intent(out) :: n(:)
    integer, intent(in), optional :: target
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    integer(c_int32_t) :: status
    integer(c_int64_t), target :: classes
    integer(c_int64_t), allocatable, target :: all_of(:)
    n = 0
    status = c_dataset_classes(c_loc(classes), self%handle, int(int_or(target, 1), c_int64_t) - 1)
    if (status == kmc_ok) then
      if (.not. same_shape("n", shape(n, int64), [classes], stat, errmsg)) return
    end if
    allocate(all_of(size(n)))
    all_of = 0
    status = c_dataset_counts(c_loc(all_of), size(n, kind=c_int64_t), self%handle, int(int_or(target, 1), c_int64_t) - 1)
    n = int(all_of, int64)
    call finish(status, stat, errmsg)
  end subroutine
  subroutine dataset_counts_i32(self, n, target, stat, errmsg)
    class(kmc_dataset), intent(in) :: self
    integer(int32), intent(out) :: n(:)
    integer, intent(in), optional :: target
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    integer(int64), allocatable :: wide(:)
    allocate (wide(size(n)))
    call dataset_counts_i64(self, wide, target, stat, errmsg)
    n = int(wide, int32)
  end subroutine

  ! ----------------------------------------------------------------------------------------------------
  ! Data sets: changes in place
  ! ----------------------------------------------------------------------------------------------------

  !! Normalises the inputs by a rule (kmc_mean_max_abs, kmc_standard, ...) over a scope (absent: kmc_per_feature),
  !! with numbers found in `fitted_on` (absent: here); a, b, c are the rule's own.
  subroutine dataset_normalize(self, rule, scope, a, b, c, fitted_on, stat, errmsg)
    class(kmc_dataset), intent(inout) :: self
    integer, intent(in) :: rule
    integer, intent(in), optional :: scope
    real(real64), intent(in), optional :: a, b, c
    class(kmc_dataset), intent(in), optional :: fitted_on
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    type(c_ptr) :: other
    other = c_null_ptr
    if (present(fitted_on)) other = fitted_on%handle
    call finish(c_dataset_normalize(self%handle, int(rule, c_int32_t), int_or(scope, kmc_per_feature), real_or(a, &
      0.0_real64), real_or(b, 0.0_real64), real_or(c, 0.0_real64), other), stat, errmsg)
  end subroutine

  !! Multiplies the inputs by a factor.
  subroutine dataset_scale(self, factor, stat, errmsg)
    class(kmc_dataset), intent(inout) :: self
    real(real64), intent(in) :: factor
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call finish(c_dataset_scale(self%handle, factor), stat, errmsg)
  end subroutine

  !! Replaces every value x of the first input by f(x).
  subroutine dataset_map(self, f, stat, errmsg)
    class(kmc_dataset), intent(inout) :: self
    procedure(kmc_value_function) :: f
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    type(hook_t), target :: hook
    hook%f = c_funloc(f)
    call finish(c_dataset_map(self%handle, c_funloc(call_value), c_loc(hook)), stat, errmsg)
  end subroutine

  !! Enlarges the samples to [c], [c, w], [c, w, h] or [c, w, h, d], filled up with `value` (absent: 0).
  subroutine dataset_pad(self, shape, value, stat, errmsg)
    class(kmc_dataset), intent(inout) :: self
    integer, intent(in) :: shape(:)
    real(real64), intent(in), optional :: value
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    integer(c_int64_t) :: e(4)
    if (.not. extents_ok(shape, stat, errmsg)) return
    e = extents(shape)
    call finish(c_dataset_pad(self%handle, e(4), e(3), e(2), e(1), real_or(value, 0.0_real64)), stat, errmsg)
  end subroutine

  !! Another shape of as many values: [c], [c, w], [c, w, h] or [c, w, h, d].
  subroutine dataset_reshape(self, shape, stat, errmsg)
    class(kmc_dataset), intent(inout) :: self
    integer, intent(in) :: shape(:)
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    integer(c_int64_t) :: e(4)
    if (.not. extents_ok(shape, stat, errmsg)) return
    e = extents(shape)
    call finish(c_dataset_reshape(self%handle, e(4), e(3), e(2), e(1)), stat, errmsg)
  end subroutine

  !! Makes values 0 and 1 of the classes, for regression losses.
  subroutine dataset_one_hot(self, stat, errmsg)
    class(kmc_dataset), intent(inout) :: self
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call finish(c_dataset_one_hot(self%handle), stat, errmsg)
  end subroutine

  !! Puts the samples in another order.
  subroutine dataset_shuffle_i64(self, seed, stat, errmsg)
    class(kmc_dataset), intent(inout) :: self
    integer(int64), intent(in) :: seed
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call finish(c_dataset_shuffle(self%handle, seed), stat, errmsg)
  end subroutine
  subroutine dataset_shuffle_i32(self, seed, stat, errmsg)
    class(kmc_dataset), intent(inout) :: self
    integer(int32), intent(in) :: seed
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call dataset_shuffle_i64(self, int(seed, int64), stat, errmsg)
  end subroutine

  !! Keeps the first caps(i) samples of class i, in their order.
  subroutine dataset_rebalance_i64(self, caps, stat, errmsg)
    class(kmc_dataset), intent(inout) :: self
    integer(int64), intent(in) :: caps(:)
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    integer(c_int64_t), allocatable, target :: limits(:)
    allocate(limits, source=int(caps, c_int64_t))
    call finish(c_dataset_rebalance(self%handle, c_loc(limits), size(caps, kind=c_int64_t)), stat, errmsg)
  end subroutine
  subroutine dataset_rebalance_i32(self, caps, stat, errmsg)
    class(kmc_dataset), intent(inout) :: self
    integer(int32), intent(in) :: caps(:)
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call dataset_rebalance_i64(self, int(caps, int64), stat, errmsg)
  end subroutine

  ! ----------------------------------------------------------------------------------------------------
  ! Data sets made of others
  ! ----------------------------------------------------------------------------------------------------

  !! The samples of these numbers (from 1), in this order.
  subroutine dataset_subset_i64(self, indices, part, stat, errmsg)
    class(kmc_dataset), intent(in) :: self
    integer(int64), intent(in) :: indices(:)
    class(kmc_dataset), intent(inout) :: part
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    integer(c_int32_t) :: status
    type(c_ptr) :: new
    integer(c_int64_t), allocatable, target :: which(:)
    allocate(which, source=int(indices, c_int64_t) - 1)
    status = c_dataset_subset(new, self%handle, c_loc(which), size(which, kind=c_int64_t))
    call dataset_take(part, new, status, stat, errmsg)
  end subroutine
  subroutine dataset_subset_i32(self, indices, part, stat, errmsg)
    class(kmc_dataset), intent(in) :: self
    integer(int32), intent(in) :: indices(:)
    class(kmc_dataset), intent(inout) :: part
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call dataset_subset_i64(self, int(indices, int64), part, stat, errmsg)
  end subroutine

  !! The first n_first samples, and the rest.
  subroutine dataset_split_i64(self, n_first, first, rest, stat, errmsg)
    class(kmc_dataset), intent(in) :: self
    integer(int64), intent(in) :: n_first
    class(kmc_dataset), intent(inout) :: first, rest
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    integer(c_int32_t) :: status
    type(c_ptr) :: one, two
    status = c_dataset_split(one, two, self%handle, n_first)
    call dataset_take_two(first, one, rest, two, status, stat, errmsg)
  end subroutine
  subroutine dataset_split_i32(self, n_first, first, rest, stat, errmsg)
    class(kmc_dataset), intent(in) :: self
    integer(int32), intent(in) :: n_first
    class(kmc_dataset), intent(inout) :: first, rest
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call dataset_split_i64(self, int(n_first, int64), first, rest, stat, errmsg)
  end subroutine

  !! A fraction of the samples, drawn at random, and the rest.
  subroutine dataset_split_random_i64(self, fraction, seed, first, rest, stat, errmsg)
    class(kmc_dataset), intent(in) :: self
    real(real64), intent(in) :: fraction
    integer(int64), intent(in) :: seed
    class(kmc_dataset), intent(inout) :: first, rest
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    integer(c_int32_t) :: status
    type(c_ptr) :: one, two
    status = c_dataset_split_random(one, two, self%handle, fraction, seed)
    call dataset_take_two(first, one, rest, two, status, stat, errmsg)
  end subroutine
  subroutine dataset_split_random_i32(self, fraction, seed, first, rest, stat, errmsg)
    class(kmc_dataset), intent(in) :: self
    real(real64), intent(in) :: fraction
    integer(int32), intent(in) :: seed
    class(kmc_dataset), intent(inout) :: first, rest
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call dataset_split_random_i64(self, fraction, int(seed, int64), first, rest, stat, errmsg)
  end subroutine

  !! As `split_random`, the same fraction of every class.
  subroutine dataset_split_stratified_i64(self, fraction, seed, first, rest, stat, errmsg)
    class(kmc_dataset), intent(in) :: self
    real(real64), intent(in) :: fraction
    integer(int64), intent(in) :: seed
    class(kmc_dataset), intent(inout) :: first, rest
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    integer(c_int32_t) :: status
    type(c_ptr) :: one, two
    status = c_dataset_split_stratified(one, two, self%handle, fraction, seed)
    call dataset_take_two(first, one, rest, two, status, stat, errmsg)
  end subroutine
  subroutine dataset_split_stratified_i32(self, fraction, seed, first, rest, stat, errmsg)
    class(kmc_dataset), intent(in) :: self
    real(real64), intent(in) :: fraction
    integer(int32), intent(in) :: seed
    class(kmc_dataset), intent(inout) :: first, rest
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call dataset_split_stratified_i64(self, fraction, int(seed, int64), first, rest, stat, errmsg)
  end subroutine

  !! Fold number `fold` (1 to k) of a k-fold cross-validation.
  subroutine dataset_fold_i64(self, k, fold, seed, train, test, stratified, stat, errmsg)
    class(kmc_dataset), intent(in) :: self
    integer(int64), intent(in) :: k, fold, seed
    class(kmc_dataset), intent(inout) :: train, test
    logical, intent(in), optional :: stratified
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    integer(c_int32_t) :: status
    type(c_ptr) :: one, two
    status = c_dataset_fold(one, two, self%handle, k, fold - 1, flag(stratified, .false.), &
      seed)
    call dataset_take_two(train, one, test, two, status, stat, errmsg)
  end subroutine
  subroutine dataset_fold_i32(self, k, fold, seed, train, test, stratified, stat, errmsg)
    class(kmc_dataset), intent(in) :: self
    integer(int32), intent(in) :: k, fold, seed
    class(kmc_dataset), intent(inout) :: train, test
    logical, intent(in), optional :: stratified
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call dataset_fold_i64(self, int(k, int64), int(fold, int64), int(seed, int64), train, test, stratified, stat, errmsg)
  end subroutine

  !! A view of this set, for training, that draws all classes equally often.
  subroutine dataset_balanced(self, view, stat, errmsg)
    class(kmc_dataset), intent(in) :: self
    class(kmc_dataset), intent(inout) :: view
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    integer(c_int32_t) :: status
    type(c_ptr) :: new
    status = c_dataset_balanced(new, self%handle)
    call dataset_take(view, new, status, stat, errmsg)
  end subroutine

  !! A view of this set, for training, that changes samples at random: flips with these probabilities, quarter turns,
  !! shifts by pixels, zooms, rotations by degrees, brightness, gain, contrast, noise; what is not given is not done.
  !! `with_target`: the values of the target move along.
  subroutine dataset_augmented(self, view, flip_h, flip_v, flip_d, quarter_turns, shift, zoom_low, zoom_high, rotation, &
    brightness_low, brightness_high, gain_low, gain_high, contrast_low, contrast_high, noise, border, with_target, stat, errmsg)
    class(kmc_dataset), intent(in) :: self
    class(kmc_dataset), intent(inout) :: view
    real(real64), intent(in), optional :: flip_h, flip_v, flip_d, zoom_low, zoom_high, rotation, brightness_low, &
      brightness_high, gain_low, gain_high, contrast_low, contrast_high, noise
    logical, intent(in), optional :: quarter_turns, with_target
    integer, intent(in), optional :: shift, border
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    integer(c_int32_t) :: status
    type(c_ptr) :: new
    type(c_augment_options_t), target :: c
    c%size = int(c_sizeof(c), c_int32_t)
    if (present(flip_h)) c%flip_h = flip_h
    if (present(flip_v)) c%flip_v = flip_v
    if (present(flip_d)) c%flip_d = flip_d
    if (present(zoom_low)) c%zoom_low = zoom_low
    if (present(zoom_high)) c%zoom_high = zoom_high
    if (present(rotation)) c%rotation = rotation
    if (present(brightness_low)) c%brightness_low = brightness_low
    if (present(brightness_high)) c%brightness_high = brightness_high
    if (present(gain_low)) c%gain_low = gain_low
    if (present(gain_high)) c%gain_high = gain_high
    if (present(contrast_low)) c%contrast_low = contrast_low
    if (present(contrast_high)) c%contrast_high = contrast_high
    if (present(noise)) c%noise = noise
    c%quarter_turns = flag(quarter_turns, .false.)
    c%shift = int_or(shift, 0)
    c%border = int_or(border, 0)
    c%with_target = flag(with_target, .false.)
    status = c_dataset_augmented(new, self%handle, c_loc(c))
    call dataset_take(view, new, status, stat, errmsg)
  end subroutine

  ! ----------------------------------------------------------------------------------------------------
  ! Networks
  ! ----------------------------------------------------------------------------------------------------

  subroutine network_adopt(self, handle, input_shape)
    class(kmc_network), intent(inout) :: self
    type(c_ptr), intent(in) :: handle
    integer(int64), intent(in) :: input_shape(4)
    call ignore(c_network_destroy(self%handle))
    self%handle = handle
    self%input_shape = input_shape
  end subroutine

  impure elemental subroutine network_final(self)
    type(kmc_network), intent(inout) :: self
    if (c_associated(self%handle)) call network_adopt(self, c_null_ptr, [integer(int64) :: 0, 0, 0, 0])
  end subroutine

  impure elemental subroutine network_assign(to, from)
    class(kmc_network), intent(inout) :: to
    class(kmc_network), intent(in) :: from
    if (c_associated(from%handle)) call refuse_copy('kmc_network', 'use call to%clone(from)')
    call network_adopt(to, c_null_ptr, [integer(int64) :: 0, 0, 0, 0])
  end subroutine

  ! The node that was added last, where the caller asked for it.
  subroutine network_added(self, status, node, stat, errmsg)
    class(kmc_network), intent(in) :: self
    integer(c_int32_t), intent(in) :: status
    integer, intent(out), optional :: node, stat
    character(len=*), intent(inout), optional :: errmsg
    integer(c_int32_t) :: last_status
    integer(c_int32_t), target :: last
    last_status = status
    if (present(node)) then
      node = 0
      if (status == kmc_ok) then
        last_status = c_network_last(c_loc(last), self%handle)
        if (last_status == kmc_ok) node = last
      end if
    end if
    call finish(last_status, stat, errmsg)
  end subroutine

  !! A network with one input of shape [c], [c, w], [c, w, h] or [c, w, h, d]; that input is node 0.
  subroutine network_create(self, shape, stat, errmsg)
    class(kmc_network), intent(inout) :: self
    integer, intent(in) :: shape(:)
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    integer(c_int32_t) :: status
    type(c_ptr) :: new
    integer(c_int64_t) :: e(4)
    if (.not. extents_ok(shape, stat, errmsg)) return
    e = extents(shape)
    new = c_null_ptr
    status = c_network_create(new, e(4), e(3), e(2), e(1))
    if (status == kmc_ok) call network_adopt(self, new, e)
    call finish(status, stat, errmsg)
  end subroutine

  !! Releases the network; safe twice.
  subroutine network_destroy(self, stat, errmsg)
    class(kmc_network), intent(inout) :: self
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    integer(c_int32_t) :: status
    status = c_network_destroy(self%handle)
    self%handle = c_null_ptr
    call finish(status, stat, errmsg)
  end subroutine

  !! Makes this a copy of another network.
  subroutine network_clone(self, from, stat, errmsg)
    class(kmc_network), intent(inout) :: self
    class(kmc_network), intent(in) :: from
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    integer(c_int32_t) :: status
    type(c_ptr) :: new
    new = c_null_ptr
    status = c_network_clone(new, from%handle)
    if (status == kmc_ok) call network_adopt(self, new, from%input_shape)
    call finish(status, stat, errmsg)
  end subroutine

  !! A further input.
  subroutine network_input(self, name, shape, node, stat, errmsg)
    class(kmc_network), intent(inout) :: self
    character(len=*), intent(in) :: name
    integer, intent(in) :: shape(:)
    integer, intent(out), optional :: node, stat
    character(len=*), intent(inout), optional :: errmsg
    integer(c_int64_t) :: e(4)
    character(len=:), allocatable, target :: store
    if (.not. extents_ok(shape, stat, errmsg)) return
    e = extents(shape)
    call network_added(self, c_network_input(self%handle, hold(store, name), e(4), e(3), e(2), e(1)), node, stat, errmsg)
  end subroutine

  !! The node that was added last.
  function network_last_node(self, stat, errmsg) result(answer)
    class(kmc_network), intent(in) :: self
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    integer :: answer
    integer(c_int32_t), target :: n
    n = 0
    call finish(c_network_last(c_loc(n), self%handle), stat, errmsg)
    answer = n
  end function

  !! The node of this name.
  function network_find_node(self, name, stat, errmsg) result(answer)
    class(kmc_network), intent(in) :: self
    character(len=*), intent(in) :: name
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    integer :: answer
    integer(c_int32_t), target :: n
    character(len=:), allocatable, target :: store
    n = 0
    call finish(c_network_node(c_loc(n), self%handle, hold(store, name)), stat, errmsg)
    answer = n
  end function

  !! The name of a node.
  function network_node_name(self, node, stat, errmsg) result(name)
    class(kmc_network), intent(in) :: self
    integer, intent(in) :: node
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    character(len=:), allocatable :: name
    type(c_ptr) :: text
    integer(c_int32_t) :: status
    text = c_null_ptr
    status = c_network_node_name(text, self%handle, int(node, c_int32_t))
    call take_text(status, text, name, stat, errmsg)
  end function

  !! Names a node.
  subroutine network_set_name(self, node, name, stat, errmsg)
    class(kmc_network), intent(inout) :: self
    integer, intent(in) :: node
    character(len=*), intent(in) :: name
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    character(len=:), allocatable, target :: store
    call finish(c_network_set_name(self%handle, int(node, c_int32_t), hold(store, name)), stat, errmsg)
  end subroutine

  !! Declares a node (absent: the last) an output; a network without declared outputs has one, its last node.
  subroutine network_output(self, name, node, stat, errmsg)
    class(kmc_network), intent(inout) :: self
    character(len=*), intent(in) :: name
    integer, intent(in), optional :: node
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    character(len=:), allocatable, target :: store
    call finish(c_network_output(self%handle, hold(store, name), int_or(node, kmc_last)), stat, errmsg)
  end subroutine

  !! The part of this network that ends with a node.
  subroutine network_up_to(self, node, part, stat, errmsg)
    class(kmc_network), intent(in) :: self
    integer, intent(in) :: node
    class(kmc_network), intent(inout) :: part
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    integer(c_int32_t) :: status
    type(c_ptr) :: new
    new = c_null_ptr
    status = c_network_up_to(new, self%handle, int(node, c_int32_t))
    if (status == kmc_ok) call network_adopt(part, new, self%input_shape)
    call finish(status, stat, errmsg)
  end subroutine

  !! A table of layers, shapes, parameters and memory for a batch (absent: 32).
  function network_summary(self, batch, stat, errmsg) result(answer)
    class(kmc_network), intent(in) :: self
    integer, intent(in), optional :: batch
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    character(len=:), allocatable :: answer
    type(c_ptr) :: text
    integer(c_int32_t) :: status
    text = c_null_ptr
    status = c_network_summary(text, self%handle, int(int_or(batch, 32), c_int64_t))
    call take_text(status, text, answer, stat, errmsg)
  end function

  !! The number of parameters.
  function network_parameters(self, stat, errmsg) result(answer)
    class(kmc_network), intent(in) :: self
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    integer(int64) :: answer
    integer(c_int64_t), target :: n
    n = 0
    call finish(c_network_parameters(c_loc(n), self%handle), stat, errmsg)
    answer = n
  end function

  ! ----------------------------------------------------------------------------------------------------
  ! Networks: layers
  ! ----------------------------------------------------------------------------------------------------
  ! All take `from` (the node they read; absent: the last), `name`, and `node`, which receives
  ! their number (the first input is 0). Layers with
  ! weights take `bias` (.false.: none), `init` (kmc_init_) with `init_value`, `bias_init`, and the numbers a, b of the
  ! activation. Sizes are given as one number for every direction that the network has, or as [w], [w, h], [w, h, d].

  !! A dense layer: y = act(W x + b) over all values of a sample.
  subroutine network_dense(self, units, activation, from, name, bias, init, init_value, bias_init, a, b, node, stat, errmsg)
    class(kmc_network), intent(inout) :: self
    integer, intent(in) :: units
    integer, intent(in), optional :: activation, from, init
    character(len=*), intent(in), optional :: name
    integer, intent(out), optional :: node, stat
    logical, intent(in), optional :: bias
    real(real64), intent(in), optional :: init_value, bias_init, a, b
    character(len=*), intent(inout), optional :: errmsg
    type(c_dense_options_t), target :: c
    character(len=:), allocatable, target :: store
    c%size = int(c_sizeof(c), c_int32_t)
    c%input = int_or(from, kmc_last)
    c%name = hold(store, name)
    c%no_bias = flag(bias, .true., .true.)
    c%init = int_or(init, 0)
    c%init_value = real_or(init_value, 0.0_real64)
    c%bias_init = real_or(bias_init, 0.0_real64)
    c%a = real_or(a, 0.0_real64)
    c%b = real_or(b, 0.0_real64)
    call network_added(self, c_network_dense(self%handle, int(units, c_int64_t), int_or(activation, kmc_linear), c_loc(c)), &
      node, stat, errmsg)
  end subroutine

  !! A dense layer whose weights have distributions (Bayes by backprop), drawn in training and in Monte-Carlo prediction;
  !! `prior`: the standard deviation of the prior (absent: 1); `deviation`: that at which weights begin (absent: 0.03);
  !! `samples`: what their divergence from the prior is divided by (absent: the training samples).
  subroutine network_bayes_dense(self, units, activation, prior, deviation, samples, from, name, bias, init, init_value, &
    a, b, node, stat, errmsg)
    class(kmc_network), intent(inout) :: self
    integer, intent(in) :: units
    integer, intent(in), optional :: activation, samples, from, init
    character(len=*), intent(in), optional :: name
    integer, intent(out), optional :: node, stat
    logical, intent(in), optional :: bias
    real(real64), intent(in), optional :: prior, deviation, init_value, a, b
    character(len=*), intent(inout), optional :: errmsg
    type(c_bayes_dense_options_t), target :: c
    character(len=:), allocatable, target :: store
    c%size = int(c_sizeof(c), c_int32_t)
    c%input = int_or(from, kmc_last)
    c%name = hold(store, name)
    c%no_bias = flag(bias, .true., .true.)
    c%init = int_or(init, 0)
    c%init_value = real_or(init_value, 0.0_real64)
    c%a = real_or(a, 0.0_real64)
    c%b = real_or(b, 0.0_real64)
    c%prior = real_or(prior, 0.0_real64)
    c%deviation = real_or(deviation, 0.0_real64)
    c%samples = int_or(samples, 0)
    call network_added(self, c_network_bayes_dense(self%handle, int(units, c_int64_t), int_or(activation, kmc_linear), &
      c_loc(c)), node, stat, errmsg)
  end subroutine

  !! A convolution: `filters` filters of this kernel; `stride`, `pad` zeros on both sides (`pad_after`: another number
  !! behind), `dilation`, `gap` zeros between inputs, `same` padding, `groups`; `depthwise`: `filters` for each
  !! channel.
  subroutine network_conv_number(self, filters, kernel, stride, pad, activation, dilation, gap, same, depthwise, groups, &
    from, name, bias, init, init_value, bias_init, a, b, node, stat, errmsg)
    class(kmc_network), intent(inout) :: self
    integer, intent(in) :: filters, kernel
    integer, intent(in), optional :: stride, pad, dilation, gap, activation, groups, from, init
    logical, intent(in), optional :: same, depthwise, bias
    character(len=*), intent(in), optional :: name
    integer, intent(out), optional :: node, stat
    real(real64), intent(in), optional :: init_value, bias_init, a, b
    character(len=*), intent(inout), optional :: errmsg
    type(c_conv_options_t), target :: c
    character(len=:), allocatable, target :: store
    call fill_conv(c, store, from, name, bias, init, init_value, bias_init, a, b)
    c%groups = int_or(groups, 0)
    c%same = flag(same, .false.)
    c%depthwise = flag(depthwise, .false.)
    if (present(dilation)) c%dilation = sizes([dilation, dilation, dilation], 1)
    if (present(gap)) c%gap = sizes([gap, gap, gap], 0)
    call network_added(self, c_network_conv(self%handle, int(filters, c_int64_t), int(kernel, c_int64_t), int(int_or(stride, &
      1), c_int64_t), int(int_or(pad, 0), c_int64_t), int_or(activation, kmc_linear), c_loc(c)), node, stat, errmsg)
  end subroutine

  subroutine network_conv_sizes(self, filters, kernel, stride, pad, activation, dilation, gap, pad_after, same, depthwise, &
    groups, from, name, bias, init, init_value, bias_init, a, b, node, stat, errmsg)
    class(kmc_network), intent(inout) :: self
    integer, intent(in) :: filters, kernel(:)
    integer, intent(in), optional :: stride(:), pad(:), dilation(:), gap(:), pad_after(:), activation, groups, from, init
    logical, intent(in), optional :: same, depthwise, bias
    character(len=*), intent(in), optional :: name
    integer, intent(out), optional :: node, stat
    real(real64), intent(in), optional :: init_value, bias_init, a, b
    character(len=*), intent(inout), optional :: errmsg
    type(c_conv_options_t), target :: c
    character(len=:), allocatable, target :: store
    call fill_conv(c, store, from, name, bias, init, init_value, bias_init, a, b)
    c%groups = int_or(groups, 0)
    c%same = flag(same, .false.)
    c%depthwise = flag(depthwise, .false.)
    if (.not. sizes_ok(stat, errmsg, kernel, stride, pad, dilation, gap, pad_after)) return
    c%kernel = sizes(kernel, 1)
    c%stride = sizes(stride, 1)
    c%pad_before = sizes(pad, 0)
    c%pad_after = sizes(pad_after, 0)
    if (.not. present(pad_after)) c%pad_after = c%pad_before
    c%dilation = sizes(dilation, 1)
    c%gap = sizes(gap, 0)
    call network_added(self, c_network_conv(self%handle, int(filters, c_int64_t), int(kernel(1), c_int64_t), 1_c_int64_t, &
      0_c_int64_t, int_or(activation, kmc_linear), c_loc(c)), node, stat, errmsg)
  end subroutine

  !! A transposed convolution, which enlarges by its stride; `pad` cuts, `output_pad` adds behind.
  subroutine network_conv_transpose_number(self, filters, kernel, stride, pad, activation, dilation, groups, output_pad, &
    from, name, bias, init, init_value, bias_init, a, b, node, stat, errmsg)
    class(kmc_network), intent(inout) :: self
    integer, intent(in) :: filters, kernel
    integer, intent(in), optional :: stride, pad, dilation, activation, groups, output_pad(:), from, init
    character(len=*), intent(in), optional :: name
    integer, intent(out), optional :: node, stat
    logical, intent(in), optional :: bias
    real(real64), intent(in), optional :: init_value, bias_init, a, b
    character(len=*), intent(inout), optional :: errmsg
    type(c_conv_options_t), target :: c
    character(len=:), allocatable, target :: store
    call fill_conv(c, store, from, name, bias, init, init_value, bias_init, a, b)
    c%groups = int_or(groups, 0)
    c%output_pad = sizes(output_pad, 0)
    if (.not. sizes_ok(stat, errmsg, output_pad)) return
    if (present(dilation)) c%dilation = sizes([dilation, dilation, dilation], 1)
    call network_added(self, c_network_conv_transpose(self%handle, int(filters, c_int64_t), int(kernel, c_int64_t), &
      int(int_or(stride, 1), c_int64_t), int(int_or(pad, 0), c_int64_t), int_or(activation, kmc_linear), c_loc(c)), node, &
        stat, errmsg)
  end subroutine

  subroutine network_conv_transpose_sizes(self, filters, kernel, stride, pad, activation, dilation, pad_after, groups, &
    output_pad, from, name, bias, init, init_value, bias_init, a, b, node, stat, errmsg)
    class(kmc_network), intent(inout) :: self
    integer, intent(in) :: filters, kernel(:)
    integer, intent(in), optional :: stride(:), pad(:), dilation(:), pad_after(:), activation, groups, output_pad(:), from
    character(len=*), intent(in), optional :: name
    integer, intent(out), optional :: node, stat
    logical, intent(in), optional :: bias
    integer, intent(in), optional :: init
    real(real64), intent(in), optional :: init_value, bias_init, a, b
    character(len=*), intent(inout), optional :: errmsg
    type(c_conv_options_t), target :: c
    character(len=:), allocatable, target :: store
    call fill_conv(c, store, from, name, bias, init, init_value, bias_init, a, b)
    c%groups = int_or(groups, 0)
    c%output_pad = sizes(output_pad, 0)
    if (.not. sizes_ok(stat, errmsg, kernel, stride, pad, dilation, pad_after, output_pad)) return
    c%kernel = sizes(kernel, 1)
    c%stride = sizes(stride, 1)
    c%pad_before = sizes(pad, 0)
    c%pad_after = sizes(pad_after, 0)
    if (.not. present(pad_after)) c%pad_after = c%pad_before
    c%dilation = sizes(dilation, 1)
    call network_added(self, c_network_conv_transpose(self%handle, int(filters, c_int64_t), int(kernel(1), c_int64_t), &
      1_c_int64_t, 0_c_int64_t, int_or(activation, kmc_linear), c_loc(c)), node, stat, errmsg)
  end subroutine

  !! Pooling, kmc_pool_max or kmc_pool_average, over windows of this kernel (0: the whole input), `stride` apart
  !! (absent: the kernel); `count_padding`: averages count the padding.
  subroutine network_pool_number(self, kind, kernel, stride, same, count_padding, from, name, node, stat, errmsg)
    class(kmc_network), intent(inout) :: self
    integer, intent(in) :: kind, kernel
    integer, intent(in), optional :: stride, from
    logical, intent(in), optional :: same, count_padding
    character(len=*), intent(in), optional :: name
    integer, intent(out), optional :: node, stat
    character(len=*), intent(inout), optional :: errmsg
    type(c_pool_options_t), target :: c
    character(len=:), allocatable, target :: store
    c%size = int(c_sizeof(c), c_int32_t)
    c%input = int_or(from, kmc_last)
    c%name = hold(store, name)
    c%same = flag(same, .false.)
    c%count_padding = flag(count_padding, .false.)
    if (present(stride)) c%stride = sizes([stride, stride, stride], 1)
    call network_added(self, c_network_pool(self%handle, int(kind, c_int32_t), int(kernel, c_int64_t), c_loc(c)), node, stat, &
      errmsg)
  end subroutine

  subroutine network_pool_sizes(self, kind, kernel, stride, pad, pad_after, same, count_padding, from, name, node, stat, errmsg)
    class(kmc_network), intent(inout) :: self
    integer, intent(in) :: kind, kernel(:)
    integer, intent(in), optional :: stride(:), pad(:), pad_after(:), from
    logical, intent(in), optional :: same, count_padding
    character(len=*), intent(in), optional :: name
    integer, intent(out), optional :: node, stat
    character(len=*), intent(inout), optional :: errmsg
    type(c_pool_options_t), target :: c
    character(len=:), allocatable, target :: store
    c%size = int(c_sizeof(c), c_int32_t)
    c%input = int_or(from, kmc_last)
    c%name = hold(store, name)
    c%same = flag(same, .false.)
    c%count_padding = flag(count_padding, .false.)
    if (.not. sizes_ok(stat, errmsg, kernel, stride, pad, pad_after)) return
    c%kernel = sizes(kernel, 1)
    c%stride = sizes(stride, 1)
    c%pad_before = sizes(pad, 0)
    c%pad_after = sizes(pad_after, 0)
    if (.not. present(pad_after)) c%pad_after = c%pad_before
    call network_added(self, c_network_pool(self%handle, int(kind, c_int32_t), int(kernel(1), c_int64_t), c_loc(c)), node, &
      stat, errmsg)
  end subroutine

  !! A normalisation: kmc_norm_batch, kmc_norm_layer, kmc_norm_instance, kmc_norm_group or kmc_norm_cianna; `affine` =
  !! .false.: without scale and shift.
  subroutine network_norm(self, kind, eps, momentum, affine, groups, set_off, from, name, node, stat, errmsg)
    class(kmc_network), intent(inout) :: self
    integer, intent(in) :: kind
    real(real64), intent(in), optional :: eps, momentum
    logical, intent(in), optional :: affine
    integer, intent(in), optional :: groups, set_off, from
    character(len=*), intent(in), optional :: name
    integer, intent(out), optional :: node, stat
    character(len=*), intent(inout), optional :: errmsg
    type(c_norm_options_t), target :: c
    character(len=:), allocatable, target :: store
    c%size = int(c_sizeof(c), c_int32_t)
    c%input = int_or(from, kmc_last)
    c%name = hold(store, name)
    c%eps = real_or(eps, 0.0_real64)
    c%momentum = real_or(momentum, 0.0_real64)
    c%no_affine = flag(affine, .true., .true.)
    c%groups = int_or(groups, 0)
    c%set_off = int_or(set_off, 0)
    call network_added(self, c_network_norm(self%handle, int(kind, c_int32_t), c_loc(c)), node, stat, errmsg)
  end subroutine

  !! Local response normalisation over `range` channels.
  subroutine network_lrn(self, range, k, alpha, beta, from, name, node, stat, errmsg)
    class(kmc_network), intent(inout) :: self
    integer, intent(in) :: range
    real(real64), intent(in) :: k, alpha, beta
    integer, intent(in), optional :: from
    character(len=*), intent(in), optional :: name
    integer, intent(out), optional :: node, stat
    character(len=*), intent(inout), optional :: errmsg
    type(c_node_options_t), target :: c
    character(len=:), allocatable, target :: store
    c = node_options(store, from, name)
    call network_added(self, c_network_lrn(self%handle, int(range, c_int64_t), k, alpha, beta, c_loc(c)), node, stat, errmsg)
  end subroutine

  !! Dropout at this rate, of values, or of whole `channels`.
  subroutine network_dropout(self, rate, channels, from, name, node, stat, errmsg)
    class(kmc_network), intent(inout) :: self
    real(real64), intent(in) :: rate
    logical, intent(in), optional :: channels
    integer, intent(in), optional :: from
    character(len=*), intent(in), optional :: name
    integer, intent(out), optional :: node, stat
    character(len=*), intent(inout), optional :: errmsg
    type(c_node_options_t), target :: c
    character(len=:), allocatable, target :: store
    c = node_options(store, from, name)
    call network_added(self, c_network_dropout(self%handle, rate, flag(channels, .false.), c_loc(c)), node, stat, errmsg)
  end subroutine

  !! An activation as a layer of its own.
  subroutine network_activation(self, activation, a, b, from, name, node, stat, errmsg)
    class(kmc_network), intent(inout) :: self
    integer, intent(in) :: activation
    real(real64), intent(in), optional :: a, b
    integer, intent(in), optional :: from
    character(len=*), intent(in), optional :: name
    integer, intent(out), optional :: node, stat
    character(len=*), intent(inout), optional :: errmsg
    type(c_node_options_t), target :: c
    character(len=:), allocatable, target :: store
    c = node_options(store, from, name)
    call network_added(self, c_network_activation(self%handle, int(activation, c_int32_t), real_or(a, 0.0_real64), real_or(b, &
      0.0_real64), c_loc(c)), node, stat, errmsg)
  end subroutine

  !! A rectifier whose slope is learnt, for each channel or `shared`; it begins at `slope` (absent: 0.25).
  subroutine network_prelu(self, slope, shared, from, name, node, stat, errmsg)
    class(kmc_network), intent(inout) :: self
    real(real64), intent(in), optional :: slope
    logical, intent(in), optional :: shared
    integer, intent(in), optional :: from
    character(len=*), intent(in), optional :: name
    integer, intent(out), optional :: node, stat
    character(len=*), intent(inout), optional :: errmsg
    type(c_node_options_t), target :: c
    character(len=:), allocatable, target :: store
    c = node_options(store, from, name)
    call network_added(self, c_network_prelu(self%handle, real_or(slope, 0.25_real64), flag(shared, .false.), c_loc(c)), &
      node, stat, errmsg)
  end subroutine

  !! All values of a sample as channels.
  subroutine network_flatten(self, from, name, node, stat, errmsg)
    class(kmc_network), intent(inout) :: self
    integer, intent(in), optional :: from
    character(len=*), intent(in), optional :: name
    integer, intent(out), optional :: node, stat
    character(len=*), intent(inout), optional :: errmsg
    type(c_node_options_t), target :: c
    character(len=:), allocatable, target :: store
    c = node_options(store, from, name)
    call network_added(self, c_network_flatten(self%handle, c_loc(c)), node, stat, errmsg)
  end subroutine

  !! Another shape of as many values: [c], [c, w], [c, w, h] or [c, w, h, d].
  subroutine network_reshape(self, shape, from, name, node, stat, errmsg)
    class(kmc_network), intent(inout) :: self
    integer, intent(in) :: shape(:)
    integer, intent(in), optional :: from
    character(len=*), intent(in), optional :: name
    integer, intent(out), optional :: node, stat
    character(len=*), intent(inout), optional :: errmsg
    integer(c_int64_t) :: e(4)
    type(c_node_options_t), target :: c
    character(len=:), allocatable, target :: store
    if (.not. extents_ok(shape, stat, errmsg)) return
    e = extents(shape)
    c = node_options(store, from, name)
    call network_added(self, c_network_reshape(self%handle, e(4), e(3), e(2), e(1), c_loc(c)), node, stat, errmsg)
  end subroutine

  !! Enlarges by a factor: nearest, or `linear`.
  subroutine network_upsample(self, factor, linear, align_corners, from, name, node, stat, errmsg)
    class(kmc_network), intent(inout) :: self
    integer, intent(in) :: factor
    logical, intent(in), optional :: linear, align_corners
    integer, intent(in), optional :: from
    character(len=*), intent(in), optional :: name
    integer, intent(out), optional :: node, stat
    character(len=*), intent(inout), optional :: errmsg
    type(c_node_options_t), target :: c
    character(len=:), allocatable, target :: store
    c = node_options(store, from, name)
    call network_added(self, c_network_upsample(self%handle, int(factor, c_int64_t), flag(linear, .false.), &
      flag(align_corners, .false.), c_loc(c)), node, stat, errmsg)
  end subroutine

  !! Adds zeros `before` and `after` (absent: as before) each direction, [w], [w, h] or [w, h, d].
  subroutine network_zero_pad(self, before, after, from, name, node, stat, errmsg)
    class(kmc_network), intent(inout) :: self
    integer, intent(in) :: before(:)
    integer, intent(in), optional :: after(:), from
    character(len=*), intent(in), optional :: name
    integer, intent(out), optional :: node, stat
    character(len=*), intent(inout), optional :: errmsg
    type(c_sizes_t), target :: first, last
    type(c_node_options_t), target :: c
    character(len=:), allocatable, target :: store
    if (.not. sizes_ok(stat, errmsg, before, after)) return
    c = node_options(store, from, name)
    first = sizes(before, 0)
    last = sizes(after, 0)
    if (.not. present(after)) last = first
    call network_added(self, c_network_zero_pad(self%handle, c_loc(first), c_loc(last), c_loc(c)), node, stat, errmsg)
  end subroutine

  !! Cuts off `before` and `after` (absent: as before) each direction, [w], [w, h] or [w, h, d].
  subroutine network_crop(self, before, after, from, name, node, stat, errmsg)
    class(kmc_network), intent(inout) :: self
    integer, intent(in) :: before(:)
    integer, intent(in), optional :: after(:), from
    character(len=*), intent(in), optional :: name
    integer, intent(out), optional :: node, stat
    character(len=*), intent(inout), optional :: errmsg
    type(c_sizes_t), target :: first, last
    type(c_node_options_t), target :: c
    character(len=:), allocatable, target :: store
    if (.not. sizes_ok(stat, errmsg, before, after)) return
    c = node_options(store, from, name)
    first = sizes(before, 0)
    last = sizes(after, 0)
    if (.not. present(after)) last = first
    call network_added(self, c_network_crop(self%handle, c_loc(first), c_loc(last), c_loc(c)), node, stat, errmsg)
  end subroutine

  !! The sum of these nodes, of one shape.
  subroutine network_add(self, nodes, name, node, stat, errmsg)
    class(kmc_network), intent(inout) :: self
    integer, intent(in) :: nodes(:)
    character(len=*), intent(in), optional :: name
    integer, intent(out), optional :: node, stat
    character(len=*), intent(inout), optional :: errmsg
    integer(c_int32_t), allocatable, target :: ids(:)
    character(len=:), allocatable, target :: store
    allocate(ids, source=int(nodes, c_int32_t))
    call network_added(self, c_network_add(self%handle, c_loc(ids), size(ids, kind=c_int64_t), hold(store, name)), node, &
      stat, errmsg)
  end subroutine

  !! These nodes side by side: their channels one after the other.
  subroutine network_concat(self, nodes, name, node, stat, errmsg)
    class(kmc_network), intent(inout) :: self
    integer, intent(in) :: nodes(:)
    character(len=*), intent(in), optional :: name
    integer, intent(out), optional :: node, stat
    character(len=*), intent(inout), optional :: errmsg
    integer(c_int32_t), allocatable, target :: ids(:)
    character(len=:), allocatable, target :: store
    allocate(ids, source=int(nodes, c_int32_t))
    call network_added(self, c_network_concat(self%handle, c_loc(ids), size(ids, kind=c_int64_t), hold(store, name)), node, &
      stat, errmsg)
  end subroutine

  ! ----------------------------------------------------------------------------------------------------
  ! Models: making and releasing
  ! ----------------------------------------------------------------------------------------------------

  subroutine model_adopt(self, handle, owned, input_shape)
    class(kmc_model), intent(inout) :: self
    type(c_ptr), intent(in) :: handle
    logical, intent(in) :: owned
    integer(int64), intent(in) :: input_shape(4)
    if (self%owned) call ignore(c_model_destroy(self%handle))
    self%handle = handle
    self%owned = owned
    self%input_shape = input_shape
  end subroutine

  impure elemental subroutine model_final(self)
    type(kmc_model), intent(inout) :: self
    if (c_associated(self%handle)) call model_adopt(self, c_null_ptr, .false., [integer(int64) :: 0, 0, 0, 0])
  end subroutine

  impure elemental subroutine model_assign(to, from)
    class(kmc_model), intent(inout) :: to
    class(kmc_model), intent(in) :: from
    if (c_associated(from%handle)) call refuse_copy('kmc_model or kmc_trainer', 'save one and load the other')
    call to%destroy()
  end subroutine

  ! A trainer's own model cannot be replaced.
  logical function model_is_plain(self, stat, errmsg) result(ok)
    class(kmc_model), intent(in) :: self
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    select type (self)
    class is (kmc_trainer)
      ok = .false.
      call fail(kmc_err_order, 'a trainer makes its own model: use create(net, train, ...), and restore(path)', stat, &
          errmsg)
    class default
      ok = .true.
    end select
  end function

  !! A model of a network, with fresh weights.
  subroutine model_create(self, net, options, stat, errmsg)
    class(kmc_model), intent(inout) :: self
    class(kmc_network), intent(in) :: net
    type(kmc_model_options), intent(in), optional :: options
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    integer(c_int32_t) :: status
    type(c_ptr) :: new
    type(c_model_options_t), target :: c
    type(trainer_store_t), target :: store
    if (.not. model_is_plain(self, stat, errmsg)) return
    c%size = int(c_sizeof(c), c_int32_t)
    if (present(options)) then
      c%precision = options%precision
      c%seed = options%seed
      c%device = hold_component(store%device, options%device)
      c%threads = options%threads
      c%no_input_gradients = flag(options%input_gradients, .true., .true.)
      c%spare_biases = flag(options%spare_biases, .false.)
      c%samples = options%samples
      call hold_losses(store, options%losses)
      if (allocated(store%more_losses)) then
        c%losses = c_loc(store%more_losses)
        c%n_losses = size(store%more_losses)
      end if
    end if
    new = c_null_ptr
    status = c_model_create(new, net%handle, c_loc(c))
    if (status == kmc_ok) call model_adopt(self, new, .true., net%input_shape)
    call finish(status, stat, errmsg)
  end subroutine

  !! A model out of a file, its network included.
  subroutine model_load(self, path, device, stat, errmsg)
    class(kmc_model), intent(inout) :: self
    character(len=*), intent(in) :: path
    character(len=*), intent(in), optional :: device
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    integer(c_int32_t) :: status
    type(c_ptr) :: new
    character(len=:), allocatable, target :: first, second
    if (.not. model_is_plain(self, stat, errmsg)) return
    new = c_null_ptr
    status = c_model_load(new, hold(first, path), hold(second, device))
    if (status == kmc_ok) call model_adopt(self, new, .true., [integer(int64) :: 0, 0, 0, 0])
    call finish(status, stat, errmsg)
  end subroutine

  !! Releases the model; safe twice.
  subroutine model_destroy(self, stat, errmsg)
    class(kmc_model), intent(inout) :: self
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    integer(c_int32_t) :: status
    status = kmc_ok
    if (self%owned) status = c_model_destroy(self%handle)
    self%handle = c_null_ptr
    self%owned = .false.
    call finish(status, stat, errmsg)
  end subroutine

  !! Writes network and weights; a trainer writes all that a resumed run needs.
  subroutine model_save(self, path, stat, errmsg)
    class(kmc_model), intent(in) :: self
    character(len=*), intent(in) :: path
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    character(len=:), allocatable, target :: store
    call finish(c_model_save(self%handle, hold(store, path)), stat, errmsg)
  end subroutine

  !! Reads the weights of a file of the same network; a trainer reads its whole state.
  subroutine model_restore(self, path, stat, errmsg)
    class(kmc_model), intent(inout) :: self
    character(len=*), intent(in) :: path
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    character(len=:), allocatable, target :: store
    call finish(c_model_restore(self%handle, hold(store, path)), stat, errmsg)
  end subroutine

  !! Reads the arrays whose names begin with `prefix` and that this model has; `arrays`: how many.
  subroutine model_restore_some(self, path, prefix, arrays, stat, errmsg)
    class(kmc_model), intent(inout) :: self
    character(len=*), intent(in) :: path
    character(len=*), intent(in), optional :: prefix
    integer, intent(out), optional :: arrays, stat
    character(len=*), intent(inout), optional :: errmsg
    integer(c_int32_t) :: status
    integer(c_int64_t), target :: n
    character(len=:), allocatable, target :: store, second
    n = 0
    status = c_model_restore_some(c_loc(n), self%handle, hold(store, path), hold(second, text_or(prefix, "")))
    if (present(arrays)) arrays = int(n)
    call finish(status, stat, errmsg)
  end subroutine

  !! A copy of its network.
  subroutine model_network(self, net, stat, errmsg)
    class(kmc_model), intent(in) :: self
    class(kmc_network), intent(inout) :: net
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    integer(c_int32_t) :: status
    type(c_ptr) :: new
    new = c_null_ptr
    status = c_model_network(new, self%handle)
    if (status == kmc_ok) call network_adopt(net, new, self%input_shape)
    call finish(status, stat, errmsg)
  end subroutine

  !! The device that it is on.
  function model_device(self, stat, errmsg) result(answer)
    class(kmc_model), intent(in) :: self
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    character(len=:), allocatable :: answer
    type(c_ptr) :: text
    integer(c_int32_t) :: status
    text = c_null_ptr
    status = c_model_device(text, self%handle)
    call take_text(status, text, answer, stat, errmsg)
  end function

  !! How often the weights were updated.
  function model_updates(self, stat, errmsg) result(answer)
    class(kmc_model), intent(in) :: self
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    integer(int64) :: answer
    integer(c_int64_t), target :: n
    n = 0
    call finish(c_model_updates(c_loc(n), self%handle), stat, errmsg)
    answer = n
  end function

  !! A table of layers, shapes, parameters and memory.
  function model_summary(self, stat, errmsg) result(answer)
    class(kmc_model), intent(in) :: self
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    character(len=:), allocatable :: answer
    type(c_ptr) :: text
    integer(c_int32_t) :: status
    text = c_null_ptr
    status = c_model_summary(text, self%handle)
    call take_text(status, text, answer, stat, errmsg)
  end function

  ! ----------------------------------------------------------------------------------------------------
  ! Models: the open loop
  ! ----------------------------------------------------------------------------------------------------

  subroutine model_run(self, a, mode, stat, errmsg)
    class(kmc_model), intent(inout) :: self
    type(array_t), intent(in) :: a
    integer, intent(in), optional :: mode
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    if (.not. fits('x', a, self%input_shape, -1_int64, stat, errmsg)) return
    if (a%bytes == 4) then
      call finish(c_model_forward_f32(self%handle, int_or(mode, kmc_mode_infer), a%at, values_in(a)), stat, errmsg)
    else
      call finish(c_model_forward_f64(self%handle, int_or(mode, kmc_mode_infer), a%at, values_in(a)), stat, errmsg)
    end if
  end subroutine

  subroutine model_take_output(self, a, output, stat, errmsg)
    class(kmc_model), intent(in) :: self
    type(array_t), intent(in) :: a
    integer, intent(in), optional :: output
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    integer(c_int64_t), target :: e(4)
    integer(c_int64_t) :: which
    integer(c_int32_t) :: status
    which = int_or(output, 1) - 1
    status = c_model_output_extent(c_loc(e), self%handle, which)
    if (status == kmc_ok) then
      if (.not. fits('y', a, e(4:1:-1), -1_int64, stat, errmsg)) return
      if (a%bytes == 4) then
        status = c_model_output_f32(a%at, values_in(a), self%handle, which)
      else
        status = c_model_output_f64(a%at, values_in(a), self%handle, which)
      end if
    end if
    call finish(status, stat, errmsg)
  end subroutine

  subroutine model_loss_of_values(self, a, loss, stat, errmsg)
    class(kmc_model), intent(inout) :: self
    type(array_t), intent(in) :: a
    real(real64), intent(out) :: loss
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    real(c_double), target :: answer
    integer(c_int32_t) :: status
    answer = 0
    if (a%bytes == 4) then
      status = c_model_loss_values_f32(c_loc(answer), self%handle, a%at, values_in(a))
    else
      status = c_model_loss_values_f64(c_loc(answer), self%handle, a%at, values_in(a))
    end if
    loss = answer
    call finish(status, stat, errmsg)
  end subroutine

  subroutine model_loss_of_labels(self, labels, n, loss, stat, errmsg)
    class(kmc_model), intent(inout) :: self
    integer(int64), intent(in) :: n
    integer, intent(in) :: labels(n)
    real(real64), intent(out) :: loss
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    integer(c_int32_t), allocatable, target :: from_zero(:)
    real(c_double), target :: answer
    integer(c_int32_t) :: status
    answer = 0
    allocate (from_zero, source=labels - 1)
    status = c_model_loss_classes(c_loc(answer), self%handle, c_loc(from_zero), n)
    loss = answer
    call finish_labels(self, status, labels, n, stat, errmsg)
  end subroutine

  ! Classes count from 1 here: says so where the library refused classes that count from 0.
  subroutine finish_labels(self, status, labels, n, stat, errmsg)
    class(kmc_model), intent(in) :: self
    integer(c_int32_t), intent(in) :: status
    integer(int64), intent(in) :: n
    integer, intent(in) :: labels(n)
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    integer(c_int64_t), target :: e(4)
    integer(int64) :: wrong
    if (status == kmc_err_value .or. status == kmc_err_shape) then
      e(4) = huge(1)
      if (any(labels > 0)) call ignore(c_model_output_extent(c_loc(e), self%handle, 0_c_int64_t))
      wrong = outside(labels, n, int(max(e(4), 2_c_int64_t)))
      if (wrong > 0) then
        call fail(kmc_err_value, label_sentence(labels(wrong), wrong, int(max(e(4), 2_c_int64_t))), stat, errmsg)
        return
      end if
    end if
    call finish(status, stat, errmsg)
  end subroutine

  subroutine model_back(self, a, grads, stat, errmsg)
    class(kmc_model), intent(inout) :: self
    type(array_t), intent(in) :: a
    integer, intent(in), optional :: grads
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    if (a%bytes == 4) then
      call finish(c_model_backward_from_f32(self%handle, a%at, values_in(a), int_or(grads, kmc_grads_write)), stat, errmsg)
    else
      call finish(c_model_backward_from_f64(self%handle, a%at, values_in(a), int_or(grads, kmc_grads_write)), stat, errmsg)
    end if
  end subroutine

  subroutine model_take_input_gradient(self, a, input, stat, errmsg)
    class(kmc_model), intent(in) :: self
    type(array_t), intent(in) :: a
    integer, intent(in), optional :: input
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    integer(c_int64_t) :: which
    which = int_or(input, 1) - 1
    if (which == 0) then
      if (.not. fits('dx', a, self%input_shape, -1_int64, stat, errmsg)) return
    end if
    if (a%bytes == 4) then
      call finish(c_model_input_gradient_f32(a%at, values_in(a), self%handle, which), stat, errmsg)
    else
      call finish(c_model_input_gradient_f64(a%at, values_in(a), self%handle, which), stat, errmsg)
    end if
  end subroutine

  !! A forward pass in a mode (absent: kmc_mode_infer) over x(features, n), x(c, w, n), x(c, w, h, n), x(c, w, h, d,
  !! n); real64 for models of precision kmc_fp64.
  subroutine model_forward_f32_1(self, x, mode, stat, errmsg)
    class(kmc_model), intent(inout) :: self
    real(real32), intent(in), contiguous, target :: x(:)
    integer, intent(in), optional :: mode
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call model_run(self, seen(x), mode, stat, errmsg)
  end subroutine
  subroutine model_forward_f32_2(self, x, mode, stat, errmsg)
    class(kmc_model), intent(inout) :: self
    real(real32), intent(in), contiguous, target :: x(:, :)
    integer, intent(in), optional :: mode
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call model_run(self, seen(x), mode, stat, errmsg)
  end subroutine
  subroutine model_forward_f32_3(self, x, mode, stat, errmsg)
    class(kmc_model), intent(inout) :: self
    real(real32), intent(in), contiguous, target :: x(:, :, :)
    integer, intent(in), optional :: mode
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call model_run(self, seen(x), mode, stat, errmsg)
  end subroutine
  subroutine model_forward_f32_4(self, x, mode, stat, errmsg)
    class(kmc_model), intent(inout) :: self
    real(real32), intent(in), contiguous, target :: x(:, :, :, :)
    integer, intent(in), optional :: mode
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call model_run(self, seen(x), mode, stat, errmsg)
  end subroutine
  subroutine model_forward_f32_5(self, x, mode, stat, errmsg)
    class(kmc_model), intent(inout) :: self
    real(real32), intent(in), contiguous, target :: x(:, :, :, :, :)
    integer, intent(in), optional :: mode
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call model_run(self, seen(x), mode, stat, errmsg)
  end subroutine
  subroutine model_forward_f64_1(self, x, mode, stat, errmsg)
    class(kmc_model), intent(inout) :: self
    real(real64), intent(in), contiguous, target :: x(:)
    integer, intent(in), optional :: mode
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call model_run(self, seen(x), mode, stat, errmsg)
  end subroutine
  subroutine model_forward_f64_2(self, x, mode, stat, errmsg)
    class(kmc_model), intent(inout) :: self
    real(real64), intent(in), contiguous, target :: x(:, :)
    integer, intent(in), optional :: mode
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call model_run(self, seen(x), mode, stat, errmsg)
  end subroutine
  subroutine model_forward_f64_3(self, x, mode, stat, errmsg)
    class(kmc_model), intent(inout) :: self
    real(real64), intent(in), contiguous, target :: x(:, :, :)
    integer, intent(in), optional :: mode
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call model_run(self, seen(x), mode, stat, errmsg)
  end subroutine
  subroutine model_forward_f64_4(self, x, mode, stat, errmsg)
    class(kmc_model), intent(inout) :: self
    real(real64), intent(in), contiguous, target :: x(:, :, :, :)
    integer, intent(in), optional :: mode
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call model_run(self, seen(x), mode, stat, errmsg)
  end subroutine
  subroutine model_forward_f64_5(self, x, mode, stat, errmsg)
    class(kmc_model), intent(inout) :: self
    real(real64), intent(in), contiguous, target :: x(:, :, :, :, :)
    integer, intent(in), optional :: mode
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call model_run(self, seen(x), mode, stat, errmsg)
  end subroutine

  subroutine model_forward_views(self, views, mode, stat, errmsg)
    class(kmc_model), intent(inout) :: self
    type(kmc_view), intent(in) :: views(:)
    integer, intent(in), optional :: mode
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    type(c_view_t), allocatable, target :: c(:)
    integer :: i
    allocate (c(size(views)))
    do i = 1, size(views)
      c(i) = views(i)%c
    end do
    call finish(c_model_forward_views(self%handle, int_or(mode, kmc_mode_infer), c_loc(c), size(c, kind=c_int64_t)), stat, &
      errmsg)
  end subroutine

  !! The shape (c, w, h, d) of an output (absent: the first) for one sample, after a forward pass.
  function model_output_shape(self, output, stat, errmsg) result(answer)
    class(kmc_model), intent(in) :: self
    integer, intent(in), optional :: output
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    integer :: answer(4)
    integer(c_int64_t), target :: e(4)
    e = 0
    call finish(c_model_output_extent(c_loc(e), self%handle, int(int_or(output, 1), c_int64_t) - 1), stat, errmsg)
    answer = int(e(4:1:-1))
  end function

  !! Copies an output (absent: the first) of the last forward pass into y(outputs, n) or y(c, w, h, d, n).
  subroutine model_get_output_f32_1(self, y, output, stat, errmsg)
    class(kmc_model), intent(in) :: self
    real(real32), intent(out), contiguous, target :: y(:)
    integer, intent(in), optional :: output
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call model_take_output(self, seen(y), output, stat, errmsg)
  end subroutine
  subroutine model_get_output_f32_2(self, y, output, stat, errmsg)
    class(kmc_model), intent(in) :: self
    real(real32), intent(out), contiguous, target :: y(:, :)
    integer, intent(in), optional :: output
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call model_take_output(self, seen(y), output, stat, errmsg)
  end subroutine
  subroutine model_get_output_f32_3(self, y, output, stat, errmsg)
    class(kmc_model), intent(in) :: self
    real(real32), intent(out), contiguous, target :: y(:, :, :)
    integer, intent(in), optional :: output
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call model_take_output(self, seen(y), output, stat, errmsg)
  end subroutine
  subroutine model_get_output_f32_4(self, y, output, stat, errmsg)
    class(kmc_model), intent(in) :: self
    real(real32), intent(out), contiguous, target :: y(:, :, :, :)
    integer, intent(in), optional :: output
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call model_take_output(self, seen(y), output, stat, errmsg)
  end subroutine
  subroutine model_get_output_f32_5(self, y, output, stat, errmsg)
    class(kmc_model), intent(in) :: self
    real(real32), intent(out), contiguous, target :: y(:, :, :, :, :)
    integer, intent(in), optional :: output
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call model_take_output(self, seen(y), output, stat, errmsg)
  end subroutine
  subroutine model_get_output_f64_1(self, y, output, stat, errmsg)
    class(kmc_model), intent(in) :: self
    real(real64), intent(out), contiguous, target :: y(:)
    integer, intent(in), optional :: output
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call model_take_output(self, seen(y), output, stat, errmsg)
  end subroutine
  subroutine model_get_output_f64_2(self, y, output, stat, errmsg)
    class(kmc_model), intent(in) :: self
    real(real64), intent(out), contiguous, target :: y(:, :)
    integer, intent(in), optional :: output
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call model_take_output(self, seen(y), output, stat, errmsg)
  end subroutine
  subroutine model_get_output_f64_3(self, y, output, stat, errmsg)
    class(kmc_model), intent(in) :: self
    real(real64), intent(out), contiguous, target :: y(:, :, :)
    integer, intent(in), optional :: output
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call model_take_output(self, seen(y), output, stat, errmsg)
  end subroutine
  subroutine model_get_output_f64_4(self, y, output, stat, errmsg)
    class(kmc_model), intent(in) :: self
    real(real64), intent(out), contiguous, target :: y(:, :, :, :)
    integer, intent(in), optional :: output
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call model_take_output(self, seen(y), output, stat, errmsg)
  end subroutine
  subroutine model_get_output_f64_5(self, y, output, stat, errmsg)
    class(kmc_model), intent(in) :: self
    real(real64), intent(out), contiguous, target :: y(:, :, :, :, :)
    integer, intent(in), optional :: output
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call model_take_output(self, seen(y), output, stat, errmsg)
  end subroutine

  !! Turns the outputs of the last forward pass into predictions, in place: probabilities where the loss is a softmax.
  subroutine model_make_prediction(self, stat, errmsg)
    class(kmc_model), intent(inout) :: self
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call finish(c_model_make_prediction(self%handle), stat, errmsg)
  end subroutine

  !! The loss of the last forward pass against classes (from 1), values of the output's shape, or one kmc_target for
  !! each attached loss.
  subroutine model_loss_classes_1(self, labels, loss, stat, errmsg)
    class(kmc_model), intent(inout) :: self
    integer, intent(in), contiguous :: labels(:)
    real(real64), intent(out) :: loss
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call model_loss_of_labels(self, labels, size(labels, kind=int64), loss, stat, errmsg)
  end subroutine
  subroutine model_loss_classes_2(self, labels, loss, stat, errmsg)
    class(kmc_model), intent(inout) :: self
    integer, intent(in), contiguous :: labels(:, :)
    real(real64), intent(out) :: loss
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call model_loss_of_labels(self, labels, size(labels, kind=int64), loss, stat, errmsg)
  end subroutine
  subroutine model_loss_classes_3(self, labels, loss, stat, errmsg)
    class(kmc_model), intent(inout) :: self
    integer, intent(in), contiguous :: labels(:, :, :)
    real(real64), intent(out) :: loss
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call model_loss_of_labels(self, labels, size(labels, kind=int64), loss, stat, errmsg)
  end subroutine
  subroutine model_loss_classes_4(self, labels, loss, stat, errmsg)
    class(kmc_model), intent(inout) :: self
    integer, intent(in), contiguous :: labels(:, :, :, :)
    real(real64), intent(out) :: loss
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call model_loss_of_labels(self, labels, size(labels, kind=int64), loss, stat, errmsg)
  end subroutine

  subroutine model_loss_values_f32_1(self, t, loss, stat, errmsg)
    class(kmc_model), intent(inout) :: self
    real(real32), intent(in), contiguous, target :: t(:)
    real(real64), intent(out) :: loss
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call model_loss_of_values(self, seen(t), loss, stat, errmsg)
  end subroutine
  subroutine model_loss_values_f32_2(self, t, loss, stat, errmsg)
    class(kmc_model), intent(inout) :: self
    real(real32), intent(in), contiguous, target :: t(:, :)
    real(real64), intent(out) :: loss
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call model_loss_of_values(self, seen(t), loss, stat, errmsg)
  end subroutine
  subroutine model_loss_values_f32_3(self, t, loss, stat, errmsg)
    class(kmc_model), intent(inout) :: self
    real(real32), intent(in), contiguous, target :: t(:, :, :)
    real(real64), intent(out) :: loss
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call model_loss_of_values(self, seen(t), loss, stat, errmsg)
  end subroutine
  subroutine model_loss_values_f32_4(self, t, loss, stat, errmsg)
    class(kmc_model), intent(inout) :: self
    real(real32), intent(in), contiguous, target :: t(:, :, :, :)
    real(real64), intent(out) :: loss
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call model_loss_of_values(self, seen(t), loss, stat, errmsg)
  end subroutine
  subroutine model_loss_values_f32_5(self, t, loss, stat, errmsg)
    class(kmc_model), intent(inout) :: self
    real(real32), intent(in), contiguous, target :: t(:, :, :, :, :)
    real(real64), intent(out) :: loss
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call model_loss_of_values(self, seen(t), loss, stat, errmsg)
  end subroutine
  subroutine model_loss_values_f64_1(self, t, loss, stat, errmsg)
    class(kmc_model), intent(inout) :: self
    real(real64), intent(in), contiguous, target :: t(:)
    real(real64), intent(out) :: loss
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call model_loss_of_values(self, seen(t), loss, stat, errmsg)
  end subroutine
  subroutine model_loss_values_f64_2(self, t, loss, stat, errmsg)
    class(kmc_model), intent(inout) :: self
    real(real64), intent(in), contiguous, target :: t(:, :)
    real(real64), intent(out) :: loss
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call model_loss_of_values(self, seen(t), loss, stat, errmsg)
  end subroutine
  subroutine model_loss_values_f64_3(self, t, loss, stat, errmsg)
    class(kmc_model), intent(inout) :: self
    real(real64), intent(in), contiguous, target :: t(:, :, :)
    real(real64), intent(out) :: loss
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call model_loss_of_values(self, seen(t), loss, stat, errmsg)
  end subroutine
  subroutine model_loss_values_f64_4(self, t, loss, stat, errmsg)
    class(kmc_model), intent(inout) :: self
    real(real64), intent(in), contiguous, target :: t(:, :, :, :)
    real(real64), intent(out) :: loss
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call model_loss_of_values(self, seen(t), loss, stat, errmsg)
  end subroutine
  subroutine model_loss_values_f64_5(self, t, loss, stat, errmsg)
    class(kmc_model), intent(inout) :: self
    real(real64), intent(in), contiguous, target :: t(:, :, :, :, :)
    real(real64), intent(out) :: loss
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call model_loss_of_values(self, seen(t), loss, stat, errmsg)
  end subroutine

  subroutine model_loss_targets(self, targets, loss, stat, errmsg)
    class(kmc_model), intent(inout) :: self
    type(kmc_target), intent(in), target :: targets(:)
    real(real64), intent(out) :: loss
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    type(c_target_t), allocatable, target :: c(:)
    real(c_double), target :: answer
    integer :: i
    integer(c_int32_t) :: status
    allocate(c(size(targets)))
    do i = 1, size(targets)
      if (allocated(targets(i)%labels)) then
        c(i)%labels = c_loc(targets(i)%labels)
        c(i)%len = size(targets(i)%labels, kind=c_int64_t)
      else if (allocated(targets(i)%values)) then
        c(i)%values = c_loc(targets(i)%values)
        c(i)%len = size(targets(i)%values, kind=c_int64_t)
      end if
    end do
    answer = 0
    status = c_model_loss_targets(c_loc(answer), self%handle, c_loc(c), size(c, kind=c_int64_t))
    loss = answer
    call finish(status, stat, errmsg)
  end subroutine

  !! The backward pass, from the losses or from the gradient dy of the first output; parameter gradients are written
  !! (absent), added (kmc_grads_add) or skipped (kmc_grads_skip).
  subroutine model_backward_losses(self, grads, stat, errmsg)
    class(kmc_model), intent(inout) :: self
    integer, intent(in), optional :: grads
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call finish(c_model_backward(self%handle, int_or(grads, kmc_grads_write)), stat, errmsg)
  end subroutine

  subroutine model_backward_from_f32_1(self, dy, grads, stat, errmsg)
    class(kmc_model), intent(inout) :: self
    real(real32), intent(in), contiguous, target :: dy(:)
    integer, intent(in), optional :: grads
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call model_back(self, seen(dy), grads, stat, errmsg)
  end subroutine
  subroutine model_backward_from_f32_2(self, dy, grads, stat, errmsg)
    class(kmc_model), intent(inout) :: self
    real(real32), intent(in), contiguous, target :: dy(:, :)
    integer, intent(in), optional :: grads
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call model_back(self, seen(dy), grads, stat, errmsg)
  end subroutine
  subroutine model_backward_from_f32_3(self, dy, grads, stat, errmsg)
    class(kmc_model), intent(inout) :: self
    real(real32), intent(in), contiguous, target :: dy(:, :, :)
    integer, intent(in), optional :: grads
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call model_back(self, seen(dy), grads, stat, errmsg)
  end subroutine
  subroutine model_backward_from_f32_4(self, dy, grads, stat, errmsg)
    class(kmc_model), intent(inout) :: self
    real(real32), intent(in), contiguous, target :: dy(:, :, :, :)
    integer, intent(in), optional :: grads
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call model_back(self, seen(dy), grads, stat, errmsg)
  end subroutine
  subroutine model_backward_from_f32_5(self, dy, grads, stat, errmsg)
    class(kmc_model), intent(inout) :: self
    real(real32), intent(in), contiguous, target :: dy(:, :, :, :, :)
    integer, intent(in), optional :: grads
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call model_back(self, seen(dy), grads, stat, errmsg)
  end subroutine
  subroutine model_backward_from_f64_1(self, dy, grads, stat, errmsg)
    class(kmc_model), intent(inout) :: self
    real(real64), intent(in), contiguous, target :: dy(:)
    integer, intent(in), optional :: grads
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call model_back(self, seen(dy), grads, stat, errmsg)
  end subroutine
  subroutine model_backward_from_f64_2(self, dy, grads, stat, errmsg)
    class(kmc_model), intent(inout) :: self
    real(real64), intent(in), contiguous, target :: dy(:, :)
    integer, intent(in), optional :: grads
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call model_back(self, seen(dy), grads, stat, errmsg)
  end subroutine
  subroutine model_backward_from_f64_3(self, dy, grads, stat, errmsg)
    class(kmc_model), intent(inout) :: self
    real(real64), intent(in), contiguous, target :: dy(:, :, :)
    integer, intent(in), optional :: grads
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call model_back(self, seen(dy), grads, stat, errmsg)
  end subroutine
  subroutine model_backward_from_f64_4(self, dy, grads, stat, errmsg)
    class(kmc_model), intent(inout) :: self
    real(real64), intent(in), contiguous, target :: dy(:, :, :, :)
    integer, intent(in), optional :: grads
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call model_back(self, seen(dy), grads, stat, errmsg)
  end subroutine
  subroutine model_backward_from_f64_5(self, dy, grads, stat, errmsg)
    class(kmc_model), intent(inout) :: self
    real(real64), intent(in), contiguous, target :: dy(:, :, :, :, :)
    integer, intent(in), optional :: grads
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call model_back(self, seen(dy), grads, stat, errmsg)
  end subroutine

  !! Copies the gradient with respect to an input (absent: the first) of the last backward pass.
  subroutine model_get_input_gradient_f32_1(self, dx, input, stat, errmsg)
    class(kmc_model), intent(in) :: self
    real(real32), intent(out), contiguous, target :: dx(:)
    integer, intent(in), optional :: input
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call model_take_input_gradient(self, seen(dx), input, stat, errmsg)
  end subroutine
  subroutine model_get_input_gradient_f32_2(self, dx, input, stat, errmsg)
    class(kmc_model), intent(in) :: self
    real(real32), intent(out), contiguous, target :: dx(:, :)
    integer, intent(in), optional :: input
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call model_take_input_gradient(self, seen(dx), input, stat, errmsg)
  end subroutine
  subroutine model_get_input_gradient_f32_3(self, dx, input, stat, errmsg)
    class(kmc_model), intent(in) :: self
    real(real32), intent(out), contiguous, target :: dx(:, :, :)
    integer, intent(in), optional :: input
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call model_take_input_gradient(self, seen(dx), input, stat, errmsg)
  end subroutine
  subroutine model_get_input_gradient_f32_4(self, dx, input, stat, errmsg)
    class(kmc_model), intent(in) :: self
    real(real32), intent(out), contiguous, target :: dx(:, :, :, :)
    integer, intent(in), optional :: input
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call model_take_input_gradient(self, seen(dx), input, stat, errmsg)
  end subroutine
  subroutine model_get_input_gradient_f32_5(self, dx, input, stat, errmsg)
    class(kmc_model), intent(in) :: self
    real(real32), intent(out), contiguous, target :: dx(:, :, :, :, :)
    integer, intent(in), optional :: input
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call model_take_input_gradient(self, seen(dx), input, stat, errmsg)
  end subroutine
  subroutine model_get_input_gradient_f64_1(self, dx, input, stat, errmsg)
    class(kmc_model), intent(in) :: self
    real(real64), intent(out), contiguous, target :: dx(:)
    integer, intent(in), optional :: input
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call model_take_input_gradient(self, seen(dx), input, stat, errmsg)
  end subroutine
  subroutine model_get_input_gradient_f64_2(self, dx, input, stat, errmsg)
    class(kmc_model), intent(in) :: self
    real(real64), intent(out), contiguous, target :: dx(:, :)
    integer, intent(in), optional :: input
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call model_take_input_gradient(self, seen(dx), input, stat, errmsg)
  end subroutine
  subroutine model_get_input_gradient_f64_3(self, dx, input, stat, errmsg)
    class(kmc_model), intent(in) :: self
    real(real64), intent(out), contiguous, target :: dx(:, :, :)
    integer, intent(in), optional :: input
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call model_take_input_gradient(self, seen(dx), input, stat, errmsg)
  end subroutine
  subroutine model_get_input_gradient_f64_4(self, dx, input, stat, errmsg)
    class(kmc_model), intent(in) :: self
    real(real64), intent(out), contiguous, target :: dx(:, :, :, :)
    integer, intent(in), optional :: input
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call model_take_input_gradient(self, seen(dx), input, stat, errmsg)
  end subroutine
  subroutine model_get_input_gradient_f64_5(self, dx, input, stat, errmsg)
    class(kmc_model), intent(in) :: self
    real(real64), intent(out), contiguous, target :: dx(:, :, :, :, :)
    integer, intent(in), optional :: input
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call model_take_input_gradient(self, seen(dx), input, stat, errmsg)
  end subroutine

  !! As `step`, with the gradients clipped, kmc_clip_norm or kmc_clip_value, to a bound; `factor`: by what they were
  !! multiplied.
  subroutine model_step_clipped(self, optimizer, kind, bound, factor, stat, errmsg)
    class(kmc_model), intent(inout) :: self
    type(kmc_optimizer_options), intent(in) :: optimizer
    integer, intent(in) :: kind
    real(real64), intent(in) :: bound
    real(real64), intent(out), optional :: factor
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    integer(c_int32_t) :: status
    type(c_optimizer_options_t), target :: c
    real(c_double), target :: answer
    c = optimizer_of(optimizer)
    answer = 0
    status = c_model_step_clipped(c_loc(answer), self%handle, c_loc(c), int(kind, c_int32_t), bound)
    if (present(factor)) factor = answer
    call finish(status, stat, errmsg)
  end subroutine

  !! Moves a running mean of the weights: mean = decay mean + (1 - decay) weights.
  subroutine model_average(self, decay, warm_up, stat, errmsg)
    class(kmc_model), intent(inout) :: self
    real(real64), intent(in) :: decay
    logical, intent(in), optional :: warm_up
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call finish(c_model_average(self%handle, decay, flag(warm_up, .false.)), stat, errmsg)
  end subroutine

  !! Exchanges the weights and their running mean.
  subroutine model_swap_average(self, stat, errmsg)
    class(kmc_model), intent(inout) :: self
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call finish(c_model_swap_average(self%handle), stat, errmsg)
  end subroutine

  !! Updates the weights with the gradients of the last backward pass.
  subroutine model_step(self, optimizer, stat, errmsg)
    class(kmc_model), intent(inout) :: self
    type(kmc_optimizer_options), intent(in) :: optimizer
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    type(c_optimizer_options_t), target :: c
    c = optimizer_of(optimizer)
    call finish(c_model_step(self%handle, c_loc(c)), stat, errmsg)
  end subroutine

  subroutine model_train_labels(self, a, labels, n, optimizer, loss, stat, errmsg)
    class(kmc_model), intent(inout) :: self
    type(array_t), intent(in) :: a
    integer(int64), intent(in) :: n
    integer, intent(in) :: labels(n)
    type(kmc_optimizer_options), intent(in) :: optimizer
    real(real64), intent(out), optional :: loss
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    integer(c_int32_t), target :: few(64)
    integer(c_int32_t), allocatable, target :: many(:)
    type(c_optimizer_options_t), target :: c
    real(c_double), target :: answer
    type(c_ptr) :: from_zero
    integer(c_int32_t) :: status
    answer = 0
    if (present(loss)) loss = 0
    if (.not. fits('x', a, self%input_shape, -1_int64, stat, errmsg)) return
    if (n <= size(few)) then                    ! nothing is allocated in a step of a few samples
      few(1:n) = labels - 1
      from_zero = c_loc(few)
    else
      allocate (many, source=labels - 1)
      from_zero = c_loc(many)
    end if
    c = optimizer_of(optimizer)
    status = c_model_train_batch_classes(c_loc(answer), self%handle, a%at, values_in(a), from_zero, n, c_loc(c))
    if (present(loss)) loss = answer
    call finish_labels(self, status, labels, n, stat, errmsg)
  end subroutine

  subroutine model_train_values(self, a, t, optimizer, loss, stat, errmsg)
    class(kmc_model), intent(inout) :: self
    type(array_t), intent(in) :: a, t
    type(kmc_optimizer_options), intent(in) :: optimizer
    real(real64), intent(out), optional :: loss
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    type(c_optimizer_options_t), target :: c
    real(c_double), target :: answer
    integer(c_int32_t) :: status
    answer = 0
    if (present(loss)) loss = 0
    if (.not. fits('x', a, self%input_shape, -1_int64, stat, errmsg)) return
    c = optimizer_of(optimizer)
    status = c_model_train_batch_values(c_loc(answer), self%handle, a%at, values_in(a), t%at, values_in(t), c_loc(c))
    if (present(loss)) loss = answer
    call finish(status, stat, errmsg)
  end subroutine

  !! One step: forward, loss against classes labels(n) or values t, backward, update; x(:, i) with labels(i:i) is a
  !! step of one sample.
  subroutine model_train_classes_1(self, x, labels, optimizer, loss, stat, errmsg)
    class(kmc_model), intent(inout) :: self
    real(real32), intent(in), contiguous, target :: x(:)
    integer, intent(in), contiguous :: labels(:)
    type(kmc_optimizer_options), intent(in) :: optimizer
    real(real64), intent(out), optional :: loss
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call model_train_labels(self, seen(x), labels, size(labels, kind=int64), optimizer, loss, stat, errmsg)
  end subroutine
  subroutine model_train_classes_2(self, x, labels, optimizer, loss, stat, errmsg)
    class(kmc_model), intent(inout) :: self
    real(real32), intent(in), contiguous, target :: x(:, :)
    integer, intent(in), contiguous :: labels(:)
    type(kmc_optimizer_options), intent(in) :: optimizer
    real(real64), intent(out), optional :: loss
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call model_train_labels(self, seen(x), labels, size(labels, kind=int64), optimizer, loss, stat, errmsg)
  end subroutine
  subroutine model_train_classes_3(self, x, labels, optimizer, loss, stat, errmsg)
    class(kmc_model), intent(inout) :: self
    real(real32), intent(in), contiguous, target :: x(:, :, :)
    integer, intent(in), contiguous :: labels(:)
    type(kmc_optimizer_options), intent(in) :: optimizer
    real(real64), intent(out), optional :: loss
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call model_train_labels(self, seen(x), labels, size(labels, kind=int64), optimizer, loss, stat, errmsg)
  end subroutine
  subroutine model_train_classes_4(self, x, labels, optimizer, loss, stat, errmsg)
    class(kmc_model), intent(inout) :: self
    real(real32), intent(in), contiguous, target :: x(:, :, :, :)
    integer, intent(in), contiguous :: labels(:)
    type(kmc_optimizer_options), intent(in) :: optimizer
    real(real64), intent(out), optional :: loss
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call model_train_labels(self, seen(x), labels, size(labels, kind=int64), optimizer, loss, stat, errmsg)
  end subroutine
  subroutine model_train_classes_5(self, x, labels, optimizer, loss, stat, errmsg)
    class(kmc_model), intent(inout) :: self
    real(real32), intent(in), contiguous, target :: x(:, :, :, :, :)
    integer, intent(in), contiguous :: labels(:)
    type(kmc_optimizer_options), intent(in) :: optimizer
    real(real64), intent(out), optional :: loss
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call model_train_labels(self, seen(x), labels, size(labels, kind=int64), optimizer, loss, stat, errmsg)
  end subroutine

  subroutine model_train_values_1_1(self, x, t, optimizer, loss, stat, errmsg)
    class(kmc_model), intent(inout) :: self
    real(real32), intent(in), contiguous, target :: x(:), t(:)
    type(kmc_optimizer_options), intent(in) :: optimizer
    real(real64), intent(out), optional :: loss
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call model_train_values(self, seen(x), seen(t), optimizer, loss, stat, errmsg)
  end subroutine
  subroutine model_train_values_2_2(self, x, t, optimizer, loss, stat, errmsg)
    class(kmc_model), intent(inout) :: self
    real(real32), intent(in), contiguous, target :: x(:, :), t(:, :)
    type(kmc_optimizer_options), intent(in) :: optimizer
    real(real64), intent(out), optional :: loss
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call model_train_values(self, seen(x), seen(t), optimizer, loss, stat, errmsg)
  end subroutine
  subroutine model_train_values_3_2(self, x, t, optimizer, loss, stat, errmsg)
    class(kmc_model), intent(inout) :: self
    real(real32), intent(in), contiguous, target :: x(:, :, :), t(:, :)
    type(kmc_optimizer_options), intent(in) :: optimizer
    real(real64), intent(out), optional :: loss
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call model_train_values(self, seen(x), seen(t), optimizer, loss, stat, errmsg)
  end subroutine
  subroutine model_train_values_4_2(self, x, t, optimizer, loss, stat, errmsg)
    class(kmc_model), intent(inout) :: self
    real(real32), intent(in), contiguous, target :: x(:, :, :, :), t(:, :)
    type(kmc_optimizer_options), intent(in) :: optimizer
    real(real64), intent(out), optional :: loss
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call model_train_values(self, seen(x), seen(t), optimizer, loss, stat, errmsg)
  end subroutine
  subroutine model_train_values_5_2(self, x, t, optimizer, loss, stat, errmsg)
    class(kmc_model), intent(inout) :: self
    real(real32), intent(in), contiguous, target :: x(:, :, :, :, :), t(:, :)
    type(kmc_optimizer_options), intent(in) :: optimizer
    real(real64), intent(out), optional :: loss
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call model_train_values(self, seen(x), seen(t), optimizer, loss, stat, errmsg)
  end subroutine
  subroutine model_train_values_3_3(self, x, t, optimizer, loss, stat, errmsg)
    class(kmc_model), intent(inout) :: self
    real(real32), intent(in), contiguous, target :: x(:, :, :), t(:, :, :)
    type(kmc_optimizer_options), intent(in) :: optimizer
    real(real64), intent(out), optional :: loss
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call model_train_values(self, seen(x), seen(t), optimizer, loss, stat, errmsg)
  end subroutine
  subroutine model_train_values_4_4(self, x, t, optimizer, loss, stat, errmsg)
    class(kmc_model), intent(inout) :: self
    real(real32), intent(in), contiguous, target :: x(:, :, :, :), t(:, :, :, :)
    type(kmc_optimizer_options), intent(in) :: optimizer
    real(real64), intent(out), optional :: loss
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call model_train_values(self, seen(x), seen(t), optimizer, loss, stat, errmsg)
  end subroutine
  subroutine model_train_values_5_5(self, x, t, optimizer, loss, stat, errmsg)
    class(kmc_model), intent(inout) :: self
    real(real32), intent(in), contiguous, target :: x(:, :, :, :, :), t(:, :, :, :, :)
    type(kmc_optimizer_options), intent(in) :: optimizer
    real(real64), intent(out), optional :: loss
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call model_train_values(self, seen(x), seen(t), optimizer, loss, stat, errmsg)
  end subroutine

  ! ----------------------------------------------------------------------------------------------------
  ! Models: inside
  ! ----------------------------------------------------------------------------------------------------

  !! Keeps what a node computes, for `get_node` and `get_node_gradient`.
  subroutine model_keep(self, node, stat, errmsg)
    class(kmc_model), intent(inout) :: self
    integer, intent(in) :: node
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call finish(c_model_keep(self%handle, int(node, c_int32_t)), stat, errmsg)
  end subroutine

  subroutine model_copy_node(self, node, y, stat, errmsg)
    class(kmc_model), intent(in) :: self
    integer, intent(in) :: node
    type(array_t), intent(in) :: y
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call finish(c_model_node_f32(y%at, values_in(y), self%handle, int(node, c_int32_t)), stat, errmsg)
  end subroutine

  !! Copies what a kept node computed in the last forward pass.
  subroutine model_get_node_f32_1(self, node, y, stat, errmsg)
    class(kmc_model), intent(in) :: self
    real(real32), intent(out), contiguous, target :: y(:)
    integer, intent(in) :: node
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call model_copy_node(self, node, seen(y), stat, errmsg)
  end subroutine
  subroutine model_get_node_f32_2(self, node, y, stat, errmsg)
    class(kmc_model), intent(in) :: self
    real(real32), intent(out), contiguous, target :: y(:, :)
    integer, intent(in) :: node
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call model_copy_node(self, node, seen(y), stat, errmsg)
  end subroutine
  subroutine model_get_node_f32_3(self, node, y, stat, errmsg)
    class(kmc_model), intent(in) :: self
    real(real32), intent(out), contiguous, target :: y(:, :, :)
    integer, intent(in) :: node
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call model_copy_node(self, node, seen(y), stat, errmsg)
  end subroutine
  subroutine model_get_node_f32_4(self, node, y, stat, errmsg)
    class(kmc_model), intent(in) :: self
    real(real32), intent(out), contiguous, target :: y(:, :, :, :)
    integer, intent(in) :: node
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call model_copy_node(self, node, seen(y), stat, errmsg)
  end subroutine
  subroutine model_get_node_f32_5(self, node, y, stat, errmsg)
    class(kmc_model), intent(in) :: self
    real(real32), intent(out), contiguous, target :: y(:, :, :, :, :)
    integer, intent(in) :: node
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call model_copy_node(self, node, seen(y), stat, errmsg)
  end subroutine

  subroutine model_copy_node_gradient(self, node, dy, stat, errmsg)
    class(kmc_model), intent(in) :: self
    integer, intent(in) :: node
    type(array_t), intent(in) :: dy
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call finish(c_model_node_gradient_f32(dy%at, values_in(dy), self%handle, int(node, c_int32_t)), stat, errmsg)
  end subroutine

  !! Copies the gradient of a kept node of the last backward pass.
  subroutine model_get_node_gradient_f32_1(self, node, dy, stat, errmsg)
    class(kmc_model), intent(in) :: self
    real(real32), intent(out), contiguous, target :: dy(:)
    integer, intent(in) :: node
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call model_copy_node_gradient(self, node, seen(dy), stat, errmsg)
  end subroutine
  subroutine model_get_node_gradient_f32_2(self, node, dy, stat, errmsg)
    class(kmc_model), intent(in) :: self
    real(real32), intent(out), contiguous, target :: dy(:, :)
    integer, intent(in) :: node
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call model_copy_node_gradient(self, node, seen(dy), stat, errmsg)
  end subroutine
  subroutine model_get_node_gradient_f32_3(self, node, dy, stat, errmsg)
    class(kmc_model), intent(in) :: self
    real(real32), intent(out), contiguous, target :: dy(:, :, :)
    integer, intent(in) :: node
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call model_copy_node_gradient(self, node, seen(dy), stat, errmsg)
  end subroutine
  subroutine model_get_node_gradient_f32_4(self, node, dy, stat, errmsg)
    class(kmc_model), intent(in) :: self
    real(real32), intent(out), contiguous, target :: dy(:, :, :, :)
    integer, intent(in) :: node
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call model_copy_node_gradient(self, node, seen(dy), stat, errmsg)
  end subroutine
  subroutine model_get_node_gradient_f32_5(self, node, dy, stat, errmsg)
    class(kmc_model), intent(in) :: self
    real(real32), intent(out), contiguous, target :: dy(:, :, :, :, :)
    integer, intent(in) :: node
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call model_copy_node_gradient(self, node, seen(dy), stat, errmsg)
  end subroutine

  !! No longer updates the weights of a node.
  subroutine model_freeze(self, node, stat, errmsg)
    class(kmc_model), intent(inout) :: self
    integer, intent(in) :: node
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call finish(c_model_freeze(self%handle, int(node, c_int32_t)), stat, errmsg)
  end subroutine

  !! Updates the weights of a node again.
  subroutine model_unfreeze(self, node, stat, errmsg)
    class(kmc_model), intent(inout) :: self
    integer, intent(in) :: node
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call finish(c_model_unfreeze(self%handle, int(node, c_int32_t)), stat, errmsg)
  end subroutine

  !! Multiplies the learning rate of a node.
  subroutine model_scale_learning_rate(self, node, factor, stat, errmsg)
    class(kmc_model), intent(inout) :: self
    integer, intent(in) :: node
    real(real64), intent(in) :: factor
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call finish(c_model_scale_learning_rate(self%handle, int(node, c_int32_t), factor), stat, errmsg)
  end subroutine

  !! How many arrays of weights there are.
  function model_array_count(self, stat, errmsg) result(answer)
    class(kmc_model), intent(in) :: self
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    integer :: answer
    integer(c_int64_t), target :: n
    n = 0
    call finish(c_model_array_count(c_loc(n), self%handle), stat, errmsg)
    answer = int(n)
  end function

  !! The name of an array (index from 1).
  function model_array_name(self, index, stat, errmsg) result(name)
    class(kmc_model), intent(in) :: self
    integer, intent(in) :: index
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    character(len=:), allocatable :: name
    type(c_ptr) :: text
    integer(c_int32_t) :: status
    text = c_null_ptr
    status = c_model_array_name(text, self%handle, int(index, c_int64_t) - 1)
    call take_text(status, text, name, stat, errmsg)
  end function

  !! The Fortran shape of an array: a dense layer's weights are (units, inputs), those of a convolution (filters, c /
  !! groups, w, h, d), biases (units).
  function model_array_shape(self, name, stat, errmsg) result(answer)
    class(kmc_model), intent(in) :: self
    character(len=*), intent(in) :: name
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    integer, allocatable :: answer(:)
    integer(c_int64_t), target :: e(8), n
    character(len=:), allocatable, target :: store
    n = 0
    e = 1
    call finish(c_model_array_shape(c_loc(e), c_loc(n), self%handle, hold(store, name)), stat, errmsg)
    answer = int(e(n:1:-1))
  end function

  ! Has an array the shape of the weights of this name? Rank 1 fits any; extents of 1 at the end do not count.
  logical function array_fits(self, a, name, stat, errmsg) result(ok)
    class(kmc_model), intent(in) :: self
    type(array_t), intent(in) :: a
    character(len=*), intent(in) :: name
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    integer(c_int64_t), target :: e(8), n
    integer(int64) :: given(8), wanted(8)
    integer(c_int32_t) :: status
    character(len=:), allocatable, target :: store
    ok = .false.
    n = 0
    e = 1
    status = c_model_array_shape(c_loc(e), c_loc(n), self%handle, hold(store, name))
    if (status /= kmc_ok) then
      call finish(status, stat, errmsg)
      return
    end if
    given = 1
    given(1:a%rank) = a%shape(1:a%rank)
    wanted = 1
    wanted(1:n) = e(n:1:-1)
    ok = a%rank == 1 .or. all(given == wanted)
    if (.not. ok) call fail(kmc_err_shape, 'values of "' // trim(name) // '": expected ' // tuple(e(n:1:-1)) // ', got ' // &
        tuple(a%shape(1:a%rank)), stat, errmsg)
  end function

  subroutine model_copy_array(self, name, values, stat, errmsg)
    class(kmc_model), intent(in) :: self
    character(len=*), intent(in) :: name
    type(array_t), intent(in) :: values
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    character(len=:), allocatable, target :: store
    if (.not. array_fits(self, values, name, stat, errmsg)) return
    call finish(c_model_array_get(values%at, values_in(values), self%handle, hold(store, name)), stat, errmsg)
  end subroutine

  !! Copies the weights of this name into an array of their shape (see `array_shape`; extents of 1 at its end may be
  !! left out), or of rank 1 in memory order.
  subroutine model_get_array_1(self, name, values, stat, errmsg)
    class(kmc_model), intent(in) :: self
    character(len=*), intent(in) :: name
    real(real64), intent(out), contiguous, target :: values(:)
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call model_copy_array(self, name, seen(values), stat, errmsg)
  end subroutine
  subroutine model_get_array_2(self, name, values, stat, errmsg)
    class(kmc_model), intent(in) :: self
    character(len=*), intent(in) :: name
    real(real64), intent(out), contiguous, target :: values(:, :)
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call model_copy_array(self, name, seen(values), stat, errmsg)
  end subroutine
  subroutine model_get_array_3(self, name, values, stat, errmsg)
    class(kmc_model), intent(in) :: self
    character(len=*), intent(in) :: name
    real(real64), intent(out), contiguous, target :: values(:, :, :)
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call model_copy_array(self, name, seen(values), stat, errmsg)
  end subroutine
  subroutine model_get_array_4(self, name, values, stat, errmsg)
    class(kmc_model), intent(in) :: self
    character(len=*), intent(in) :: name
    real(real64), intent(out), contiguous, target :: values(:, :, :, :)
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call model_copy_array(self, name, seen(values), stat, errmsg)
  end subroutine
  subroutine model_get_array_5(self, name, values, stat, errmsg)
    class(kmc_model), intent(in) :: self
    character(len=*), intent(in) :: name
    real(real64), intent(out), contiguous, target :: values(:, :, :, :, :)
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call model_copy_array(self, name, seen(values), stat, errmsg)
  end subroutine

  subroutine model_copy_array_gradient(self, name, values, stat, errmsg)
    class(kmc_model), intent(in) :: self
    character(len=*), intent(in) :: name
    type(array_t), intent(in) :: values
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    character(len=:), allocatable, target :: store
    if (.not. array_fits(self, values, name, stat, errmsg)) return
    call finish(c_model_array_gradient(values%at, values_in(values), self%handle, hold(store, name)), stat, errmsg)
  end subroutine

  !! Copies the gradient of the weights of this name.
  subroutine model_get_array_gradient_1(self, name, values, stat, errmsg)
    class(kmc_model), intent(in) :: self
    character(len=*), intent(in) :: name
    real(real64), intent(out), contiguous, target :: values(:)
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call model_copy_array_gradient(self, name, seen(values), stat, errmsg)
  end subroutine
  subroutine model_get_array_gradient_2(self, name, values, stat, errmsg)
    class(kmc_model), intent(in) :: self
    character(len=*), intent(in) :: name
    real(real64), intent(out), contiguous, target :: values(:, :)
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call model_copy_array_gradient(self, name, seen(values), stat, errmsg)
  end subroutine
  subroutine model_get_array_gradient_3(self, name, values, stat, errmsg)
    class(kmc_model), intent(in) :: self
    character(len=*), intent(in) :: name
    real(real64), intent(out), contiguous, target :: values(:, :, :)
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call model_copy_array_gradient(self, name, seen(values), stat, errmsg)
  end subroutine
  subroutine model_get_array_gradient_4(self, name, values, stat, errmsg)
    class(kmc_model), intent(in) :: self
    character(len=*), intent(in) :: name
    real(real64), intent(out), contiguous, target :: values(:, :, :, :)
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call model_copy_array_gradient(self, name, seen(values), stat, errmsg)
  end subroutine
  subroutine model_get_array_gradient_5(self, name, values, stat, errmsg)
    class(kmc_model), intent(in) :: self
    character(len=*), intent(in) :: name
    real(real64), intent(out), contiguous, target :: values(:, :, :, :, :)
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call model_copy_array_gradient(self, name, seen(values), stat, errmsg)
  end subroutine

  subroutine model_replace_array(self, name, values, stat, errmsg)
    class(kmc_model), intent(inout) :: self
    character(len=*), intent(in) :: name
    type(array_t), intent(in) :: values
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    character(len=:), allocatable, target :: store
    if (.not. array_fits(self, values, name, stat, errmsg)) return
    call finish(c_model_array_set(self%handle, hold(store, name), values%at, values_in(values)), stat, errmsg)
  end subroutine

  !! Replaces the weights of this name.
  subroutine model_set_array_1(self, name, values, stat, errmsg)
    class(kmc_model), intent(inout) :: self
    character(len=*), intent(in) :: name
    real(real64), intent(in), contiguous, target :: values(:)
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call model_replace_array(self, name, seen(values), stat, errmsg)
  end subroutine
  subroutine model_set_array_2(self, name, values, stat, errmsg)
    class(kmc_model), intent(inout) :: self
    character(len=*), intent(in) :: name
    real(real64), intent(in), contiguous, target :: values(:, :)
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call model_replace_array(self, name, seen(values), stat, errmsg)
  end subroutine
  subroutine model_set_array_3(self, name, values, stat, errmsg)
    class(kmc_model), intent(inout) :: self
    character(len=*), intent(in) :: name
    real(real64), intent(in), contiguous, target :: values(:, :, :)
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call model_replace_array(self, name, seen(values), stat, errmsg)
  end subroutine
  subroutine model_set_array_4(self, name, values, stat, errmsg)
    class(kmc_model), intent(inout) :: self
    character(len=*), intent(in) :: name
    real(real64), intent(in), contiguous, target :: values(:, :, :, :)
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call model_replace_array(self, name, seen(values), stat, errmsg)
  end subroutine
  subroutine model_set_array_5(self, name, values, stat, errmsg)
    class(kmc_model), intent(inout) :: self
    character(len=*), intent(in) :: name
    real(real64), intent(in), contiguous, target :: values(:, :, :, :, :)
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call model_replace_array(self, name, seen(values), stat, errmsg)
  end subroutine

  ! ----------------------------------------------------------------------------------------------------
  ! Models: over data sets
  ! ----------------------------------------------------------------------------------------------------

  ! Evaluates; counts(true, predicted) of so many classes where `classes` > 0.
  subroutine model_evaluate_counts(self, data, scores, classes, counts, batch, stat, errmsg)
    class(kmc_model), intent(inout) :: self
    class(kmc_dataset), intent(in) :: data
    type(kmc_scores), intent(out) :: scores
    integer, intent(in) :: classes
    integer(int64), intent(inout), target :: counts(classes, classes)
    integer, intent(in), optional :: batch
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    type(c_scores_t), target :: c
    type(c_ptr) :: at
    integer(c_int32_t) :: status
    c%size = int(c_sizeof(c), c_int32_t)
    at = c_null_ptr
    if (classes > 0) at = c_loc(counts)
    status = c_model_evaluate(c_loc(c), at, int(classes, c_int64_t)**2, self%handle, data%handle, int(int_or(batch, 0), c_int64_t))
    if (status == kmc_ok) then
      scores = scores_of(c)
      if (classes > 0) counts = transpose(counts)
    end if
    call finish(status, stat, errmsg)
  end subroutine

  !! Loss and accuracy (or rmse and r2) over a data set, and confusion(true, predicted) where it is wanted; `batch`:
  !! samples in one pass.
  subroutine model_evaluate_plain(self, data, scores, batch, stat, errmsg)
    class(kmc_model), intent(inout) :: self
    class(kmc_dataset), intent(in) :: data
    type(kmc_scores), intent(out) :: scores
    integer, intent(in), optional :: batch
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    integer(int64), target :: none(0, 0)
    call model_evaluate_counts(self, data, scores, 0, none, batch, stat, errmsg)
  end subroutine

  subroutine model_evaluate_i64(self, data, scores, confusion, batch, stat, errmsg)
    class(kmc_model), intent(inout) :: self
    class(kmc_dataset), intent(in) :: data
    type(kmc_scores), intent(out) :: scores
    integer(int64), intent(out) :: confusion(:, :)
    integer, intent(in), optional :: batch
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    integer(int64), allocatable, target :: counts(:, :)
    confusion = 0
    if (.not. is_square(shape(confusion), stat, errmsg)) return
    allocate(counts(size(confusion, 1), size(confusion, 1)))
    counts = 0
    call model_evaluate_counts(self, data, scores, size(confusion, 1), counts, batch, stat, errmsg)
    confusion = int(counts, int64)
  end subroutine
  subroutine model_evaluate_i32(self, data, scores, confusion, batch, stat, errmsg)
    class(kmc_model), intent(inout) :: self
    class(kmc_dataset), intent(in) :: data
    type(kmc_scores), intent(out) :: scores
    integer(int32), intent(out) :: confusion(:, :)
    integer, intent(in), optional :: batch
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    integer(int64), allocatable :: wide(:, :)
    allocate (wide(size(confusion, 1), size(confusion, 2)))
    call model_evaluate_i64(self, data, scores, wide, batch, stat, errmsg)
    confusion = int(wide, int32)
  end subroutine

  subroutine model_copy_predictions(self, data, y, batch, stat, errmsg)
    class(kmc_model), intent(inout) :: self
    class(kmc_dataset), intent(in) :: data
    type(array_t), intent(in) :: y
    integer, intent(in), optional :: batch
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    if (.not. predicts(self, y, stat, errmsg)) return
    call finish(c_model_predict(y%at, values_in(y), self%handle, data%handle, int(int_or(batch, 0), c_int64_t)), stat, errmsg)
  end subroutine

  !! Predictions y(outputs, n) or y(c, w, h, d, n) of a data set: probabilities where the loss is a softmax.
  subroutine model_predict_1(self, data, y, batch, stat, errmsg)
    class(kmc_model), intent(inout) :: self
    class(kmc_dataset), intent(in) :: data
    real(real32), intent(out), contiguous, target :: y(:)
    integer, intent(in), optional :: batch
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call model_copy_predictions(self, data, seen(y), batch, stat, errmsg)
  end subroutine
  subroutine model_predict_2(self, data, y, batch, stat, errmsg)
    class(kmc_model), intent(inout) :: self
    class(kmc_dataset), intent(in) :: data
    real(real32), intent(out), contiguous, target :: y(:, :)
    integer, intent(in), optional :: batch
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call model_copy_predictions(self, data, seen(y), batch, stat, errmsg)
  end subroutine
  subroutine model_predict_3(self, data, y, batch, stat, errmsg)
    class(kmc_model), intent(inout) :: self
    class(kmc_dataset), intent(in) :: data
    real(real32), intent(out), contiguous, target :: y(:, :, :)
    integer, intent(in), optional :: batch
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call model_copy_predictions(self, data, seen(y), batch, stat, errmsg)
  end subroutine
  subroutine model_predict_4(self, data, y, batch, stat, errmsg)
    class(kmc_model), intent(inout) :: self
    class(kmc_dataset), intent(in) :: data
    real(real32), intent(out), contiguous, target :: y(:, :, :, :)
    integer, intent(in), optional :: batch
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call model_copy_predictions(self, data, seen(y), batch, stat, errmsg)
  end subroutine
  subroutine model_predict_5(self, data, y, batch, stat, errmsg)
    class(kmc_model), intent(inout) :: self
    class(kmc_dataset), intent(in) :: data
    real(real32), intent(out), contiguous, target :: y(:, :, :, :, :)
    integer, intent(in), optional :: batch
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call model_copy_predictions(self, data, seen(y), batch, stat, errmsg)
  end subroutine

  ! Checks the shape of predictions against the first output; before the first forward pass that is left to the library,
  ! which counts values.
  logical function predicts(self, a, stat, errmsg) result(ok)
    class(kmc_model), intent(in) :: self
    type(array_t), intent(in) :: a
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    integer(c_int64_t), target :: e(4)
    ok = .true.
    if (c_model_output_extent(c_loc(e), self%handle, 0_c_int64_t) == kmc_ok) &
        ok = fits('y', a, e(4:1:-1), -1_int64, stat, errmsg)
  end function

  subroutine model_copy_classes(self, data, classes, n, batch, stat, errmsg)
    class(kmc_model), intent(inout) :: self
    class(kmc_dataset), intent(in) :: data
    integer(int64), intent(in) :: n
    integer, intent(out), target :: classes(n)
    integer, intent(in), optional :: batch
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    integer(c_int32_t) :: status
    classes = 0
    status = c_model_predict_classes(c_loc(classes), n, self%handle, data%handle, int(int_or(batch, 0), c_int64_t))
    if (status == kmc_ok) classes = classes + 1
    call finish(status, stat, errmsg)
  end subroutine

  !! The likeliest class (from 1; the first of equals) of every sample, classes(n), or of every position, classes(w,
  !! h, d, n).
  subroutine model_predict_classes_1(self, data, classes, batch, stat, errmsg)
    class(kmc_model), intent(inout) :: self
    class(kmc_dataset), intent(in) :: data
    integer, intent(out), contiguous, target :: classes(:)
    integer, intent(in), optional :: batch
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call model_copy_classes(self, data, classes, size(classes, kind=int64), batch, stat, errmsg)
  end subroutine
  subroutine model_predict_classes_2(self, data, classes, batch, stat, errmsg)
    class(kmc_model), intent(inout) :: self
    class(kmc_dataset), intent(in) :: data
    integer, intent(out), contiguous, target :: classes(:, :)
    integer, intent(in), optional :: batch
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call model_copy_classes(self, data, classes, size(classes, kind=int64), batch, stat, errmsg)
  end subroutine
  subroutine model_predict_classes_3(self, data, classes, batch, stat, errmsg)
    class(kmc_model), intent(inout) :: self
    class(kmc_dataset), intent(in) :: data
    integer, intent(out), contiguous, target :: classes(:, :, :)
    integer, intent(in), optional :: batch
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call model_copy_classes(self, data, classes, size(classes, kind=int64), batch, stat, errmsg)
  end subroutine
  subroutine model_predict_classes_4(self, data, classes, batch, stat, errmsg)
    class(kmc_model), intent(inout) :: self
    class(kmc_dataset), intent(in) :: data
    integer, intent(out), contiguous, target :: classes(:, :, :, :)
    integer, intent(in), optional :: batch
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call model_copy_classes(self, data, classes, size(classes, kind=int64), batch, stat, errmsg)
  end subroutine

  !! Predictions with dropout at work, and weights drawn: mean(outputs, n) and deviation(outputs, n) over so many draws,
  !! quantiles(outputs, n, size(q)) at q, and of class probabilities entropies in nats, for each sample (or each position of
  !! each): `predictive` of the mean, `expected` the mean of those of the draws, `mutual_information` their difference.
  subroutine model_predict_monte_carlo(self, data, draws, mean, deviation, q, quantiles, batch, predictive, expected, &
    mutual_information, stat, errmsg)
    class(kmc_model), intent(inout) :: self
    class(kmc_dataset), intent(in) :: data
    integer, intent(in) :: draws
    real(real32), intent(out), contiguous, target :: mean(:, :)
    real(real32), intent(out), contiguous, target, optional :: deviation(:, :), quantiles(:, :, :)
    real(real64), intent(in), contiguous, target, optional :: q(:)
    integer, intent(in), optional :: batch
    real(real32), intent(out), optional :: predictive(:), expected(:), mutual_information(:)
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    type(c_ptr) :: at_deviation, at_quantiles, at_q, at_entropies
    integer(c_int64_t) :: n_q, n_rows
    integer(c_int32_t) :: status
    real(real32), allocatable, target :: entropies(:, :)
    if (.not. predicts(self, seen(mean), stat, errmsg)) return
    at_deviation = c_null_ptr
    at_quantiles = c_null_ptr
    at_q = c_null_ptr
    n_q = 0
    if (present(deviation)) then
      if (.not. same_shape("deviation", shape(deviation, int64), shape(mean, int64), stat, errmsg)) return
      at_deviation = c_loc(deviation)
    end if
    if (present(q) .neqv. present(quantiles)) then
      call fail(kmc_err_value, "q and quantiles: expected both or none, got one", stat, errmsg)
      return
    end if
    if (present(q)) then
      n_q = size(q, kind=c_int64_t)
      if (.not. same_shape("quantiles", shape(quantiles, int64), [shape(mean, int64), n_q], stat, errmsg)) return
      at_q = c_loc(q)
      at_quantiles = c_loc(quantiles)
    end if
    at_entropies = c_null_ptr
    n_rows = max(sized(predictive), sized(expected), sized(mutual_information))
    if (n_rows >= 0) then
      if (present(predictive)) then
        if (.not. same_shape("predictive", shape(predictive, int64), [n_rows], stat, errmsg)) return
      end if
      if (present(expected)) then
        if (.not. same_shape("expected", shape(expected, int64), [n_rows], stat, errmsg)) return
      end if
      if (present(mutual_information)) then
        if (.not. same_shape("mutual_information", shape(mutual_information, int64), [n_rows], stat, errmsg)) return
      end if
    end if
    allocate (entropies(max(n_rows, 0_c_int64_t), 3))
    if (n_rows >= 0) at_entropies = c_loc(entropies)
    status = c_model_predict_monte_carlo(c_loc(mean), at_deviation, at_quantiles, size(mean, kind=c_int64_t), at_entropies, &
      size(entropies, 1, c_int64_t), self%handle, data%handle, at_q, n_q, int(draws, c_int64_t), int(int_or(batch, 0), c_int64_t))
    if (status == kmc_ok .and. n_rows >= 0) then
      if (present(predictive)) predictive = entropies(:, 1)
      if (present(expected)) expected = entropies(:, 2)
      if (present(mutual_information)) mutual_information = entropies(:, 3)
    end if
    call finish(status, stat, errmsg)
  contains
    ! The length of an array, -1 where there is none.
    pure integer(c_int64_t) function sized(x)
      real(real32), intent(in), optional :: x(:)
      sized = -1
      if (present(x)) sized = size(x, kind=c_int64_t)
    end function
  end subroutine

  !! Predicts an image or cube of any size, from FITS file to FITS file, in tiles of tile = [w, h] or [w, h, d] that share
  !! `overlap` pixels, of which `margin` at inner edges are left out (as many as the network reaches to one side); `batch`
  !! tiles at once; `prepare`: what is done to each tile, as for `load`; the others as for `read_fits`.
  subroutine model_predict_fits(self, from, to, tile, overlap, margin, batch, prepare, hdu, hdu_name, missing, fill, stat, &
    errmsg)
    class(kmc_model), intent(inout) :: self
    character(len=*), intent(in) :: from, to
    integer, intent(in) :: tile(:)
    integer, intent(in), optional :: overlap, margin, batch, hdu, missing
    character(len=*), intent(in), optional :: prepare, hdu_name
    real(real64), intent(in), optional :: fill
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    type(c_mosaic_options_t), target :: c
    character(len=:), allocatable, target :: first, second, steps, name
    integer(c_int64_t) :: dhw(3)
    if (.not. sizes_ok(stat, errmsg, tile)) return
    dhw = axes(tile, 1)
    c%size = int(c_sizeof(c), c_int32_t)
    c%hdu = int_or(hdu, kmc_first_hdu)
    c%hdu_name = hold(name, hdu_name)
    c%overlap = int_or(overlap, 0)
    c%margin = int_or(margin, 0)
    c%batch = int_or(batch, 0)
    c%missing = int_or(missing, kmc_missing_error)
    c%fill = real_or(fill, 0.0_real64)
    c%prepare = hold(steps, prepare)
    call finish(c_model_predict_fits(self%handle, hold(first, from), hold(second, to), dhw(1), dhw(2), dhw(3), c_loc(c)), &
      stat, errmsg)
  end subroutine

  ! ----------------------------------------------------------------------------------------------------
  ! Models: what they look at
  ! ----------------------------------------------------------------------------------------------------

  subroutine model_find_saliency(self, x, channels, maps, kind, draws, noise, seed, stat, errmsg)
    class(kmc_model), intent(inout) :: self
    type(array_t), intent(in) :: x, maps
    integer, intent(in) :: channels(:)
    integer, intent(in), optional :: kind, draws, seed
    real(real64), intent(in), optional :: noise
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    integer(c_int32_t), allocatable, target :: from_zero(:)
    if (.not. fits('x', x, self%input_shape, -1_int64, stat, errmsg)) return
    if (.not. alike('maps', maps, x, stat, errmsg)) return
    allocate (from_zero, source=int(channels, c_int32_t) - 1)
    call finish(c_model_saliency(maps%at, values_in(x), self%handle, x%at, c_loc(from_zero), size(from_zero, kind=c_int64_t), &
      int_or(kind, kmc_gradient_plain), int(int_or(draws, 0), c_int64_t), real_or(noise, 0.15_real64), &
      int(int_or(seed, 0), c_int64_t)), stat, errmsg)
  end subroutine

  !! The gradients of a channel of the first output (from 1; one for each sample, its class say), without its activation, wrt
  !! the inputs x, as maps of their shape. `kind`: one of kmc_gradient_; with `draws` SmoothGrad, the mean over so many copies
  !! with `noise`, a share of each sample's range (absent: 0.15).
  subroutine model_saliency_2(self, x, channels, maps, kind, draws, noise, seed, stat, errmsg)
    class(kmc_model), intent(inout) :: self
    real(real32), intent(in), contiguous, target :: x(:, :)
    integer, intent(in) :: channels(:)
    real(real32), intent(out), contiguous, target :: maps(:, :)
    integer, intent(in), optional :: kind, draws, seed
    real(real64), intent(in), optional :: noise
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call model_find_saliency(self, seen(x), channels, seen(maps), kind, draws, noise, seed, stat, errmsg)
  end subroutine
  subroutine model_saliency_3(self, x, channels, maps, kind, draws, noise, seed, stat, errmsg)
    class(kmc_model), intent(inout) :: self
    real(real32), intent(in), contiguous, target :: x(:, :, :)
    integer, intent(in) :: channels(:)
    real(real32), intent(out), contiguous, target :: maps(:, :, :)
    integer, intent(in), optional :: kind, draws, seed
    real(real64), intent(in), optional :: noise
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call model_find_saliency(self, seen(x), channels, seen(maps), kind, draws, noise, seed, stat, errmsg)
  end subroutine
  subroutine model_saliency_4(self, x, channels, maps, kind, draws, noise, seed, stat, errmsg)
    class(kmc_model), intent(inout) :: self
    real(real32), intent(in), contiguous, target :: x(:, :, :, :)
    integer, intent(in) :: channels(:)
    real(real32), intent(out), contiguous, target :: maps(:, :, :, :)
    integer, intent(in), optional :: kind, draws, seed
    real(real64), intent(in), optional :: noise
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call model_find_saliency(self, seen(x), channels, seen(maps), kind, draws, noise, seed, stat, errmsg)
  end subroutine
  subroutine model_saliency_5(self, x, channels, maps, kind, draws, noise, seed, stat, errmsg)
    class(kmc_model), intent(inout) :: self
    real(real32), intent(in), contiguous, target :: x(:, :, :, :, :)
    integer, intent(in) :: channels(:)
    real(real32), intent(out), contiguous, target :: maps(:, :, :, :, :)
    integer, intent(in), optional :: kind, draws, seed
    real(real64), intent(in), optional :: noise
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call model_find_saliency(self, seen(x), channels, seen(maps), kind, draws, noise, seed, stat, errmsg)
  end subroutine

  subroutine model_find_cam(self, x, channels, node, maps, stat, errmsg)
    class(kmc_model), intent(inout) :: self
    type(array_t), intent(in) :: x, maps
    integer, intent(in) :: channels(:), node
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    integer(c_int32_t), allocatable, target :: from_zero(:)
    if (.not. fits('x', x, self%input_shape, -1_int64, stat, errmsg)) return
    if (.not. same_shape('maps', maps%shape(1:maps%rank), x%shape(2:x%rank), stat, errmsg)) return
    allocate (from_zero, source=int(channels, c_int32_t) - 1)
    call finish(c_model_grad_cam(maps%at, values_in(maps), self%handle, x%at, values_in(x), c_loc(from_zero), size(from_zero, &
      kind=c_int64_t), int(node, c_int32_t)), stat, errmsg)
  end subroutine

  !! The Grad-CAM maps of a node, most often the last convolution, for a channel of the first output (from 1; one for each
  !! sample): maps(w, n), maps(w, h, n) or maps(w, h, d, n) on the positions of the inputs x(c, w[, h[, d]], n).
  subroutine model_grad_cam_3(self, x, channels, node, maps, stat, errmsg)
    class(kmc_model), intent(inout) :: self
    real(real32), intent(in), contiguous, target :: x(:, :, :)
    integer, intent(in) :: channels(:), node
    real(real32), intent(out), contiguous, target :: maps(:, :)
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call model_find_cam(self, seen(x), channels, node, seen(maps), stat, errmsg)
  end subroutine
  subroutine model_grad_cam_4(self, x, channels, node, maps, stat, errmsg)
    class(kmc_model), intent(inout) :: self
    real(real32), intent(in), contiguous, target :: x(:, :, :, :)
    integer, intent(in) :: channels(:), node
    real(real32), intent(out), contiguous, target :: maps(:, :, :)
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call model_find_cam(self, seen(x), channels, node, seen(maps), stat, errmsg)
  end subroutine
  subroutine model_grad_cam_5(self, x, channels, node, maps, stat, errmsg)
    class(kmc_model), intent(inout) :: self
    real(real32), intent(in), contiguous, target :: x(:, :, :, :, :)
    integer, intent(in) :: channels(:), node
    real(real32), intent(out), contiguous, target :: maps(:, :, :, :)
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call model_find_cam(self, seen(x), channels, node, seen(maps), stat, errmsg)
  end subroutine

  ! ----------------------------------------------------------------------------------------------------
  ! Inputs and targets of networks that have several
  ! ----------------------------------------------------------------------------------------------------

  !! Points to x(features, n), x(c, w, n), x(c, w, h, n) or x(c, w, h, d, n), which must be a target and contiguous.
  subroutine view_set_f32_2(self, x, stat, errmsg)
    class(kmc_view), intent(inout) :: self
    real(real32), intent(in), contiguous, target :: x(:, :)
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call set_view(self%c, seen(x), stat, errmsg)
  end subroutine
  subroutine view_set_f32_3(self, x, stat, errmsg)
    class(kmc_view), intent(inout) :: self
    real(real32), intent(in), contiguous, target :: x(:, :, :)
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call set_view(self%c, seen(x), stat, errmsg)
  end subroutine
  subroutine view_set_f32_4(self, x, stat, errmsg)
    class(kmc_view), intent(inout) :: self
    real(real32), intent(in), contiguous, target :: x(:, :, :, :)
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call set_view(self%c, seen(x), stat, errmsg)
  end subroutine
  subroutine view_set_f32_5(self, x, stat, errmsg)
    class(kmc_view), intent(inout) :: self
    real(real32), intent(in), contiguous, target :: x(:, :, :, :, :)
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call set_view(self%c, seen(x), stat, errmsg)
  end subroutine

  subroutine set_view(view, a, stat, errmsg)
    type(c_view_t), intent(out) :: view
    type(array_t), intent(in) :: a
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    integer(int64) :: e(4), n
    call extents_of(a, kmc_channels_last, e, n)
    view%x = a%at
    view%rows = n
    view%c = e(1)
    view%w = e(2)
    view%h = e(3)
    view%d = e(4)
    call finish(kmc_ok, stat, errmsg)
  end subroutine

  subroutine target_copy_labels(self, labels, n, stat, errmsg)
    class(kmc_target), intent(inout) :: self
    integer, intent(in) :: n, labels(n)
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    if (allocated(self%labels)) deallocate (self%labels)
    if (allocated(self%values)) deallocate (self%values)
    allocate (self%labels, source=labels - 1)
    call finish(kmc_ok, stat, errmsg)
  end subroutine

  !! Takes classes (from 1), labels(n) or labels(w, h, d, n), or values in the shape of the output.
  subroutine target_set_labels_1(self, labels, stat, errmsg)
    class(kmc_target), intent(inout) :: self
    integer, intent(in) :: labels(:)
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call target_copy_labels(self, labels, size(labels), stat, errmsg)
  end subroutine
  subroutine target_set_labels_2(self, labels, stat, errmsg)
    class(kmc_target), intent(inout) :: self
    integer, intent(in) :: labels(:, :)
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call target_copy_labels(self, labels, size(labels), stat, errmsg)
  end subroutine
  subroutine target_set_labels_3(self, labels, stat, errmsg)
    class(kmc_target), intent(inout) :: self
    integer, intent(in) :: labels(:, :, :)
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call target_copy_labels(self, labels, size(labels), stat, errmsg)
  end subroutine
  subroutine target_set_labels_4(self, labels, stat, errmsg)
    class(kmc_target), intent(inout) :: self
    integer, intent(in) :: labels(:, :, :, :)
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call target_copy_labels(self, labels, size(labels), stat, errmsg)
  end subroutine

  subroutine target_copy_values(self, values, n, stat, errmsg)
    class(kmc_target), intent(inout) :: self
    integer, intent(in) :: n
    real(real32), intent(in) :: values(n)
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    if (allocated(self%labels)) deallocate (self%labels)
    if (allocated(self%values)) deallocate (self%values)
    allocate (self%values, source=values)
    call finish(kmc_ok, stat, errmsg)
  end subroutine

  subroutine target_set_values_1(self, values, stat, errmsg)
    class(kmc_target), intent(inout) :: self
    real(real32), intent(in) :: values(:)
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call target_copy_values(self, values, size(values), stat, errmsg)
  end subroutine
  subroutine target_set_values_2(self, values, stat, errmsg)
    class(kmc_target), intent(inout) :: self
    real(real32), intent(in) :: values(:, :)
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call target_copy_values(self, values, size(values), stat, errmsg)
  end subroutine
  subroutine target_set_values_3(self, values, stat, errmsg)
    class(kmc_target), intent(inout) :: self
    real(real32), intent(in) :: values(:, :, :)
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call target_copy_values(self, values, size(values), stat, errmsg)
  end subroutine
  subroutine target_set_values_4(self, values, stat, errmsg)
    class(kmc_target), intent(inout) :: self
    real(real32), intent(in) :: values(:, :, :, :)
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call target_copy_values(self, values, size(values), stat, errmsg)
  end subroutine
  subroutine target_set_values_5(self, values, stat, errmsg)
    class(kmc_target), intent(inout) :: self
    real(real32), intent(in) :: values(:, :, :, :, :)
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call target_copy_values(self, values, size(values), stat, errmsg)
  end subroutine

  ! ----------------------------------------------------------------------------------------------------
  ! Trainers
  ! ----------------------------------------------------------------------------------------------------

  subroutine trainer_release(self)
    class(kmc_trainer), intent(inout) :: self
    call ignore(c_trainer_destroy(self%trainer))
    self%trainer = c_null_ptr
    self%handle = c_null_ptr
  end subroutine

  impure elemental subroutine trainer_final(self)
    type(kmc_trainer), intent(inout) :: self
    if (c_associated(self%trainer)) call trainer_release(self)
  end subroutine

  !! A training run of a network on a data set, watched on another (absent: on none).
  subroutine trainer_create(self, net, train, valid, options, stat, errmsg)
    class(kmc_trainer), intent(inout) :: self
    class(kmc_network), intent(in) :: net
    class(kmc_dataset), intent(in) :: train
    class(kmc_dataset), intent(in), optional :: valid
    type(kmc_trainer_options), intent(in), optional :: options
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    integer(c_int32_t) :: status
    type(c_ptr) :: new, model, other
    type(c_trainer_options_t), target :: c
    type(trainer_store_t), target :: store
    type(kmc_trainer_options) :: plain
    if (present(options)) then
      call fill_trainer(c, store, options)
    else
      call fill_trainer(c, store, plain)
    end if
    other = c_null_ptr
    if (present(valid)) other = valid%handle
    new = c_null_ptr
    status = c_trainer_create(new, net%handle, train%handle, other, c_loc(c))
    if (status == kmc_ok) then
      status = c_trainer_model(model, new)
      if (status /= kmc_ok) call ignore(c_trainer_destroy(new))
    end if
    if (status == kmc_ok) then
      call trainer_release(self)
      self%trainer = new
      call model_adopt(self, model, .false., net%input_shape)
    end if
    call finish(status, stat, errmsg)
  end subroutine

  subroutine trainer_destroy(self, stat, errmsg)
    class(kmc_trainer), intent(inout) :: self
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    integer(c_int32_t) :: status
    status = c_trainer_destroy(self%trainer)
    self%trainer = c_null_ptr
    self%handle = c_null_ptr
    call finish(status, stat, errmsg)
  end subroutine

  !! Trains until so many epochs are done in all; `verbose`: 1 lines on standard output, 2 a progress bar; `on_epoch`
  !! and `on_batch` are called with the progress and may stop the run; `log` is called with every line; `csv`,
  !! `json_lines` and `plots` are files.
  subroutine trainer_fit(self, epochs, report, verbose, on_epoch, on_batch, log, csv, json_lines, plots, stat, errmsg)
    class(kmc_trainer), intent(inout) :: self
    integer, intent(in) :: epochs
    type(kmc_report), intent(out), optional :: report
    integer, intent(in), optional :: verbose
    procedure(kmc_progress_hook), optional :: on_epoch, on_batch
    procedure(kmc_log_hook), optional :: log
    character(len=*), intent(in), optional :: csv, json_lines, plots
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    integer(c_int32_t) :: status
    type(c_fit_options_t), target :: c
    type(c_report_t), target :: r
    type(hooks_t), target :: hooks
    character(len=:), allocatable, target :: first, second, third
    c%size = int(c_sizeof(c), c_int32_t)
    r%size = int(c_sizeof(r), c_int32_t)
    r%valid%size = int(c_sizeof(r%valid), c_int32_t)
    c%verbose = int_or(verbose, 0)
    if (c%verbose == 1) then                      ! written here, in order with what the program writes
      c%verbose = 0
      hooks%aloud = 1
      c%log = c_funloc(call_log)
    end if
    c%user = c_loc(hooks)
    if (present(on_epoch)) then
      hooks%on_epoch = c_funloc(on_epoch)
      c%on_epoch = c_funloc(call_on_epoch)
    end if
    if (present(on_batch)) then
      hooks%on_batch = c_funloc(on_batch)
      c%on_batch = c_funloc(call_on_batch)
    end if
    if (present(log)) then
      hooks%log = c_funloc(log)
      c%log = c_funloc(call_log)
    end if
    c%csv = hold(first, csv)
    c%json_lines = hold(second, json_lines)
    c%plots = hold(third, plots)
    flush(output_unit)
    status = c_trainer_fit(c_loc(r), self%trainer, int(epochs, c_int64_t), c_loc(c))
    if (present(report) .and. status == kmc_ok) report = report_of(r)
    call finish(status, stat, errmsg)
  end subroutine

  !! Trains on the next batch.
  subroutine trainer_step(self, loss, stat, errmsg)
    class(kmc_trainer), intent(inout) :: self
    real(real64), intent(out) :: loss
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    integer(c_int32_t) :: status
    real(c_double), target :: answer
    answer = 0
    status = c_trainer_step(c_loc(answer), self%trainer)
    loss = answer
    call finish(status, stat, errmsg)
  end subroutine

  subroutine trainer_validate_counts(self, scores, classes, counts, stat, errmsg)
    class(kmc_trainer), intent(inout) :: self
    type(kmc_scores), intent(out) :: scores
    integer, intent(in) :: classes
    integer(int64), intent(inout), target :: counts(classes, classes)
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    type(c_scores_t), target :: c
    type(c_ptr) :: at
    integer(c_int32_t) :: status
    c%size = int(c_sizeof(c), c_int32_t)
    at = c_null_ptr
    if (classes > 0) at = c_loc(counts)
    status = c_trainer_validate(c_loc(c), at, int(classes, c_int64_t)**2, self%trainer)
    if (status == kmc_ok) then
      scores = scores_of(c)
      if (classes > 0) counts = transpose(counts)
    end if
    call finish(status, stat, errmsg)
  end subroutine

  !! Scores on the data set that watches the run, and confusion(true, predicted) where it is wanted.
  subroutine trainer_validate_plain(self, scores, stat, errmsg)
    class(kmc_trainer), intent(inout) :: self
    type(kmc_scores), intent(out) :: scores
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    integer(int64), target :: none(0, 0)
    call trainer_validate_counts(self, scores, 0, none, stat, errmsg)
  end subroutine

  subroutine trainer_validate_i64(self, scores, confusion, stat, errmsg)
    class(kmc_trainer), intent(inout) :: self
    type(kmc_scores), intent(out) :: scores
    integer(int64), intent(out) :: confusion(:, :)
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    integer(int64), allocatable, target :: counts(:, :)
    confusion = 0
    if (.not. is_square(shape(confusion), stat, errmsg)) return
    allocate(counts(size(confusion, 1), size(confusion, 1)))
    counts = 0
    call trainer_validate_counts(self, scores, size(confusion, 1), counts, stat, errmsg)
    confusion = int(counts, int64)
  end subroutine
  subroutine trainer_validate_i32(self, scores, confusion, stat, errmsg)
    class(kmc_trainer), intent(inout) :: self
    type(kmc_scores), intent(out) :: scores
    integer(int32), intent(out) :: confusion(:, :)
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    integer(int64), allocatable :: wide(:, :)
    allocate (wide(size(confusion, 1), size(confusion, 2)))
    call trainer_validate_i64(self, scores, wide, stat, errmsg)
    confusion = int(wide, int32)
  end subroutine

  !! How many epochs have been trained.
  function trainer_epoch(self, stat, errmsg) result(answer)
    class(kmc_trainer), intent(in) :: self
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    integer(int64) :: answer
    integer(c_int64_t), target :: n
    n = 0
    call finish(c_trainer_epoch(c_loc(n), self%trainer), stat, errmsg)
    answer = n
  end function

  !! The learning rate of the next step.
  function trainer_learning_rate(self, stat, errmsg) result(answer)
    class(kmc_trainer), intent(in) :: self
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    real(real64) :: answer
    real(c_double), target :: n
    n = 0
    call finish(c_trainer_learning_rate(c_loc(n), self%trainer), stat, errmsg)
    answer = n
  end function

  !! One record for each epoch.
  subroutine trainer_history(self, records, stat, errmsg)
    class(kmc_trainer), intent(in) :: self
    type(kmc_record), intent(out), allocatable, target :: records(:)
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    integer(c_int32_t) :: status
    integer(c_int64_t), target :: n
    n = 0
    status = c_trainer_history(c_null_ptr, 0_c_int64_t, c_loc(n), self%trainer)
    allocate(records(n))
    if (status == kmc_ok .and. n > 0) status = c_trainer_history(c_loc(records), n, c_loc(n), self%trainer)
    call finish(status, stat, errmsg)
  end subroutine

  subroutine trainer_save(self, path, stat, errmsg)
    class(kmc_trainer), intent(in) :: self
    character(len=*), intent(in) :: path
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    character(len=:), allocatable, target :: store
    call finish(c_trainer_save(self%trainer, hold(store, path)), stat, errmsg)
  end subroutine

  subroutine trainer_restore(self, path, stat, errmsg)
    class(kmc_trainer), intent(inout) :: self
    character(len=*), intent(in) :: path
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    character(len=:), allocatable, target :: store
    call finish(c_trainer_restore(self%trainer, hold(store, path)), stat, errmsg)
  end subroutine

  !! Asks a run to stop after its batch; may be called while `fit` runs, from a callback or a signal handler.
  subroutine trainer_request_stop(self)
    class(kmc_trainer), intent(in) :: self
    if (c_associated(self%trainer)) call c_request_stop(self%trainer)
  end subroutine

  ! ----------------------------------------------------------------------------------------------------
  ! Metrics on arrays
  ! ----------------------------------------------------------------------------------------------------

  !! Counts confusion(true, predicted) of classes from 1.
  subroutine kmc_confusion_i64(truth, predicted, confusion, stat, errmsg)
    integer, intent(in) :: truth(:), predicted(:)
    integer(int64), intent(out) :: confusion(:, :)
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    integer(c_int32_t) :: status
    integer(c_int32_t), allocatable, target :: t(:), p(:)
    integer(c_int64_t), allocatable, target :: counts(:, :)
    confusion = 0
    if (.not. is_square(shape(confusion), stat, errmsg)) return
    if (.not. same_shape("predicted", shape(predicted, int64), shape(truth, int64), stat, errmsg)) return
    if (.not. labels_ok(truth, size(confusion, 1), stat, errmsg)) return
    if (.not. labels_ok(predicted, size(confusion, 1), stat, errmsg)) return
    allocate(t, source=int(truth, c_int32_t) - 1)
    allocate(p, source=int(predicted, c_int32_t) - 1)
    allocate(counts(size(confusion, 1), size(confusion, 1)))
    counts = 0
    status = c_confusion_count(c_loc(counts), size(counts, 1, c_int64_t), c_loc(t), c_loc(p), size(t, kind=c_int64_t))
    confusion = int(transpose(counts), int64)
    call finish(status, stat, errmsg)
  end subroutine
  subroutine kmc_confusion_i32(truth, predicted, confusion, stat, errmsg)
    integer, intent(in) :: truth(:), predicted(:)
    integer(int32), intent(out) :: confusion(:, :)
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    integer(int64), allocatable :: wide(:, :)
    allocate (wide(size(confusion, 1), size(confusion, 2)))
    call kmc_confusion_i64(truth, predicted, wide, stat, errmsg)
    confusion = int(wide, int32)
  end subroutine

  !! The table of a confusion matrix, with recall, precision and accuracy, as a text of several lines.
  function kmc_confusion_text_i64(confusion, names, stat, errmsg) result(answer)
    integer(int64), intent(in) :: confusion(:, :)
    character(len=*), intent(in), optional :: names(:)
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    character(len=:), allocatable :: answer
    integer(c_int64_t), allocatable, target :: counts(:, :)
    type(c_ptr) :: text
    integer :: i
    type(text_t), allocatable, target :: store(:)
    type(c_ptr), allocatable, target :: at(:)
    integer(c_int32_t) :: status
    answer = ""
    if (.not. is_square(shape(confusion), stat, errmsg)) return
    allocate(counts, source=transpose(int(confusion, c_int64_t)))
    if (present(names)) then
      if (.not. same_shape("names", shape(names, int64), [size(confusion, 1, int64)], stat, errmsg)) return
      call hold_all(store, at, names)
    else
      call hold_all(store, at, [(numbered(i), i = 1, size(confusion, 1))])
    end if
    text = c_null_ptr
    status = c_confusion_text(text, c_loc(counts), size(counts, 1, c_int64_t), c_loc(at))
    call take_text(status, text, answer, stat, errmsg)
  end function
  function kmc_confusion_text_i32(confusion, names, stat, errmsg) result(answer)
    integer(int32), intent(in) :: confusion(:, :)
    character(len=*), intent(in), optional :: names(:)
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    character(len=:), allocatable :: answer
    answer = kmc_confusion_text_i64(int(confusion, int64), names, stat, errmsg)
  end function

  !! Writes the table of a confusion matrix to the output unit.
  subroutine kmc_print_confusion_i64(confusion, names, stat, errmsg)
    integer(int64), intent(in) :: confusion(:, :)
    character(len=*), intent(in), optional :: names(:)
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    character(len=:), allocatable :: text
    integer :: status
    status = 0
    text = kmc_confusion_text(confusion, names, status, errmsg)
    if (status == 0) then
      write (output_unit, "(a)") text
      if (present(stat)) stat = 0
    else if (present(stat)) then
      stat = status
    else
      text = kmc_confusion_text(confusion, names)
    end if
  end subroutine
  subroutine kmc_print_confusion_i32(confusion, names, stat, errmsg)
    integer(int32), intent(in) :: confusion(:, :)
    character(len=*), intent(in), optional :: names(:)
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call kmc_print_confusion_i64(int(confusion, int64), names, stat, errmsg)
  end subroutine

  !! Recall, precision and F1 of every class, and accuracy, as fractions; NaN where a class has no samples.
  subroutine kmc_confusion_scores_i64(confusion, recall, precision, f1, accuracy, stat, errmsg)
    integer(int64), intent(in) :: confusion(:, :)
    real(real64), intent(out), optional :: recall(:), precision(:), f1(:), accuracy
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    integer(c_int32_t) :: status
    integer :: k
    real(c_double), allocatable, target :: r(:), p(:), f(:)
    real(c_double), target :: a
    integer(c_int64_t), allocatable, target :: counts(:, :)
    if (.not. is_square(shape(confusion), stat, errmsg)) return
    k = size(confusion, 1)
    if (present(recall)) then
      if (.not. same_shape("recall", shape(recall, int64), [int(k, int64)], stat, errmsg)) return
    end if
    if (present(precision)) then
      if (.not. same_shape("precision", shape(precision, int64), [int(k, int64)], stat, errmsg)) return
    end if
    if (present(f1)) then
      if (.not. same_shape("f1", shape(f1, int64), [int(k, int64)], stat, errmsg)) return
    end if
    allocate(counts, source=transpose(int(confusion, c_int64_t)))
    allocate(r(k), p(k), f(k))
    status = c_confusion_scores(c_loc(r), c_loc(p), c_loc(f), c_loc(a), c_loc(counts), int(k, c_int64_t))
    if (status == kmc_ok) then
      if (present(recall)) recall = r
      if (present(precision)) precision = p
      if (present(f1)) f1 = f
      if (present(accuracy)) accuracy = a
    end if
    call finish(status, stat, errmsg)
  end subroutine
  subroutine kmc_confusion_scores_i32(confusion, recall, precision, f1, accuracy, stat, errmsg)
    integer(int32), intent(in) :: confusion(:, :)
    real(real64), intent(out), optional :: recall(:), precision(:), f1(:), accuracy
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call kmc_confusion_scores_i64(int(confusion, int64), recall, precision, f1, accuracy, stat, errmsg)
  end subroutine

  !! The area under the receiver operating characteristic of scores.
  function kmc_roc_auc(scores, positive, stat, errmsg) result(answer)
    real(real64), intent(in), contiguous, target :: scores(:)
    logical, intent(in) :: positive(:)
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    real(real64), target :: answer
    integer(c_int32_t), allocatable, target :: p(:)
    answer = 0
    if (.not. same_shape("positive", shape(positive, int64), shape(scores, int64), stat, errmsg)) return
    allocate(p, source=merge(1_c_int32_t, 0_c_int32_t, positive))
    call finish(c_roc_auc(c_loc(answer), c_loc(scores), c_loc(p), size(p, kind=c_int64_t)), stat, errmsg)
  end function

  !! The fraction of the positive samples that are found where at most so large a fraction of the negative ones is.
  function kmc_recall_at(scores, positive, false_alarms, stat, errmsg) result(answer)
    real(real64), intent(in), contiguous, target :: scores(:)
    logical, intent(in) :: positive(:)
    real(real64), intent(in) :: false_alarms
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    real(real64), target :: answer
    integer(c_int32_t), allocatable, target :: p(:)
    answer = 0
    if (.not. same_shape("positive", shape(positive, int64), shape(scores, int64), stat, errmsg)) return
    allocate(p, source=merge(1_c_int32_t, 0_c_int32_t, positive))
    call finish(c_roc_recall_at(c_loc(answer), c_loc(scores), c_loc(p), size(p, kind=c_int64_t), false_alarms), stat, errmsg)
  end function

  !! The fraction of samples whose class is among the k highest of scores(classes, n).
  function kmc_top_k(scores, truth, k, stat, errmsg) result(answer)
    real(real32), intent(in), contiguous, target :: scores(:, :)
    integer, intent(in) :: truth(:), k
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    real(real64), target :: answer
    integer(c_int32_t), allocatable, target :: t(:)
    answer = 0
    if (.not. same_shape("truth", shape(truth, int64), [size(scores, 2, int64)], stat, errmsg)) return
    if (.not. labels_ok(truth, size(scores, 1), stat, errmsg)) return
    allocate(t, source=int(truth, c_int32_t) - 1)
    call finish(c_top_k(c_loc(answer), c_loc(scores), size(scores, 1, c_int64_t), c_loc(t), size(t, kind=c_int64_t), int(k, &
      c_int64_t)), stat, errmsg)
  end function

  !! How far predictions are from the truth; with `redshift`, differences are divided by 1 + truth; `outliers` is the
  !! share beyond `limit`.
  subroutine kmc_residuals_of(predicted, truth, residuals, redshift, limit, stat, errmsg)
    real(real64), intent(in), contiguous, target :: predicted(:), truth(:)
    type(kmc_residuals), intent(out) :: residuals
    logical, intent(in), optional :: redshift
    real(real64), intent(in), optional :: limit
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    integer(c_int32_t) :: status
    type(c_residuals_t), target :: c
    if (.not. same_shape("truth", shape(truth, int64), shape(predicted, int64), stat, errmsg)) return
    c%size = int(c_sizeof(c), c_int32_t)
    status = c_residuals_of(c_loc(c), c_loc(predicted), c_loc(truth), size(truth, kind=c_int64_t), flag(redshift, .false.), &
      real_or(limit, huge(1.0_real64)))
    if (status == kmc_ok) residuals = kmc_residuals(c%bias, c%mse, c%rmse, c%mae, c%mad, c%normalised_mad, c%r2, c%outliers)
    call finish(status, stat, errmsg)
  end subroutine

  !! Expected calibration error in so many bins, and Brier score, of probabilities(classes, n).
  subroutine kmc_calibration(probabilities, truth, bins, error, brier, stat, errmsg)
    real(real32), intent(in), contiguous, target :: probabilities(:, :)
    integer, intent(in) :: truth(:), bins
    real(real64), intent(out), optional :: error, brier
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    integer(c_int32_t) :: status
    real(c_double), target :: e, b
    integer(c_int32_t), allocatable, target :: t(:)
    if (.not. same_shape("truth", shape(truth, int64), [size(probabilities, 2, int64)], stat, errmsg)) return
    if (.not. labels_ok(truth, size(probabilities, 1), stat, errmsg)) return
    allocate(t, source=int(truth, c_int32_t) - 1)
    status = c_calibration(c_loc(e), c_loc(b), c_loc(probabilities), size(probabilities, 1, c_int64_t), c_loc(t), size(t, &
      kind=c_int64_t), int(bins, c_int64_t))
    if (status == kmc_ok) then
      if (present(error)) error = e
      if (present(brier)) brier = b
    end if
    call finish(status, stat, errmsg)
  end subroutine

  !! The temperature at which softmax(logits / temperature) makes the true classes the likeliest, of logits(classes, n);
  !! logarithms of probabilities are logits as well.
  function kmc_fit_temperature(logits, truth, stat, errmsg) result(answer)
    real(real32), intent(in), contiguous, target :: logits(:, :)
    integer, intent(in) :: truth(:)
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    real(real64), target :: answer
    integer(c_int32_t), allocatable, target :: t(:)
    answer = 0
    if (.not. same_shape("truth", shape(truth, int64), [size(logits, 2, int64)], stat, errmsg)) return
    if (.not. labels_ok(truth, size(logits, 1), stat, errmsg)) return
    allocate(t, source=int(truth, c_int32_t) - 1)
    call finish(c_temperature_fit(c_loc(answer), c_loc(logits), size(logits, 1, c_int64_t), c_loc(t), size(t, &
      kind=c_int64_t)), stat, errmsg)
  end function

  !! The probabilities(classes, n) that logits(classes, n) have at a temperature.
  subroutine kmc_apply_temperature(logits, temperature, probabilities, stat, errmsg)
    real(real32), intent(in), contiguous, target :: logits(:, :)
    real(real64), intent(in) :: temperature
    real(real32), intent(out), contiguous, target :: probabilities(:, :)
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    if (.not. same_shape("probabilities", shape(probabilities, int64), shape(logits, int64), stat, errmsg)) return
    call finish(c_temperature_apply(c_loc(probabilities), c_loc(logits), size(logits, 1, c_int64_t), size(logits, 2, &
      c_int64_t), temperature), stat, errmsg)
  end subroutine

  !! The mean continuous ranked probability score of densities, probabilities(bins, n) between edges(bins + 1), in the units
  !! of the edges.
  function kmc_crps(probabilities, edges, truth, stat, errmsg) result(answer)
    real(real32), intent(in), contiguous, target :: probabilities(:, :)
    real(real64), intent(in), contiguous, target :: edges(:), truth(:)
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    real(real64), target :: answer
    answer = 0
    if (.not. same_shape("edges", shape(edges, int64), [size(probabilities, 1, int64) + 1], stat, errmsg)) return
    if (.not. same_shape("truth", shape(truth, int64), [size(probabilities, 2, int64)], stat, errmsg)) return
    call finish(c_crps(c_loc(answer), c_loc(probabilities), c_loc(edges), size(probabilities, 1, c_int64_t), c_loc(truth), &
      size(truth, kind=c_int64_t)), stat, errmsg)
  end function

  !! The probability integral transform of each sample, values(n), of densities as for `kmc_crps`: the share below the truth.
  subroutine kmc_pit(probabilities, edges, truth, values, stat, errmsg)
    real(real32), intent(in), contiguous, target :: probabilities(:, :)
    real(real64), intent(in), contiguous, target :: edges(:), truth(:)
    real(real64), intent(out), contiguous, target :: values(:)
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    if (.not. same_shape("edges", shape(edges, int64), [size(probabilities, 1, int64) + 1], stat, errmsg)) return
    if (.not. same_shape("truth", shape(truth, int64), [size(probabilities, 2, int64)], stat, errmsg)) return
    if (.not. same_shape("values", shape(values, int64), [size(probabilities, 2, int64)], stat, errmsg)) return
    call finish(c_pit(c_loc(values), c_loc(probabilities), c_loc(edges), size(probabilities, 1, c_int64_t), c_loc(truth), &
      size(truth, kind=c_int64_t)), stat, errmsg)
  end subroutine

  ! ----------------------------------------------------------------------------------------------------
  ! FITS files written
  ! ----------------------------------------------------------------------------------------------------

  subroutine write_fits(path, a, like, stat, errmsg)
    character(len=*), intent(in) :: path
    type(array_t), intent(in) :: a
    character(len=*), intent(in), optional :: like
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    integer(c_int64_t), target :: slowest_first(5)
    character(len=:), allocatable, target :: first, second
    slowest_first = 1
    slowest_first(1:a%rank) = a%shape(a%rank:1:-1)
    if (a%bytes == 4) then
      call finish(c_fits_write_f32(hold(first, path), a%at, c_loc(slowest_first), int(a%rank, c_int64_t), hold(second, like)), &
        stat, errmsg)
    else
      call finish(c_fits_write_f64(hold(first, path), a%at, c_loc(slowest_first), int(a%rank, c_int64_t), hold(second, like)), &
        stat, errmsg)
    end if
  end subroutine

  !! Writes a FITS file of one spectrum x(w), image x(w, h) or cube x(w, h, d), real32 or real64: the first index is NAXIS1.
  !! `like`: a file whose first image has the same place on the sky, which is copied.
  subroutine kmc_write_fits_f32_1(path, x, like, stat, errmsg)
    character(len=*), intent(in) :: path
    real(real32), intent(in), contiguous, target :: x(:)
    character(len=*), intent(in), optional :: like
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call write_fits(path, seen(x), like, stat, errmsg)
  end subroutine
  subroutine kmc_write_fits_f32_2(path, x, like, stat, errmsg)
    character(len=*), intent(in) :: path
    real(real32), intent(in), contiguous, target :: x(:, :)
    character(len=*), intent(in), optional :: like
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call write_fits(path, seen(x), like, stat, errmsg)
  end subroutine
  subroutine kmc_write_fits_f32_3(path, x, like, stat, errmsg)
    character(len=*), intent(in) :: path
    real(real32), intent(in), contiguous, target :: x(:, :, :)
    character(len=*), intent(in), optional :: like
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call write_fits(path, seen(x), like, stat, errmsg)
  end subroutine
  subroutine kmc_write_fits_f32_4(path, x, like, stat, errmsg)
    character(len=*), intent(in) :: path
    real(real32), intent(in), contiguous, target :: x(:, :, :, :)
    character(len=*), intent(in), optional :: like
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call write_fits(path, seen(x), like, stat, errmsg)
  end subroutine
  subroutine kmc_write_fits_f64_1(path, x, like, stat, errmsg)
    character(len=*), intent(in) :: path
    real(real64), intent(in), contiguous, target :: x(:)
    character(len=*), intent(in), optional :: like
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call write_fits(path, seen(x), like, stat, errmsg)
  end subroutine
  subroutine kmc_write_fits_f64_2(path, x, like, stat, errmsg)
    character(len=*), intent(in) :: path
    real(real64), intent(in), contiguous, target :: x(:, :)
    character(len=*), intent(in), optional :: like
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call write_fits(path, seen(x), like, stat, errmsg)
  end subroutine
  subroutine kmc_write_fits_f64_3(path, x, like, stat, errmsg)
    character(len=*), intent(in) :: path
    real(real64), intent(in), contiguous, target :: x(:, :, :)
    character(len=*), intent(in), optional :: like
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call write_fits(path, seen(x), like, stat, errmsg)
  end subroutine
  subroutine kmc_write_fits_f64_4(path, x, like, stat, errmsg)
    character(len=*), intent(in) :: path
    real(real64), intent(in), contiguous, target :: x(:, :, :, :)
    character(len=*), intent(in), optional :: like
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call write_fits(path, seen(x), like, stat, errmsg)
  end subroutine

  ! ----------------------------------------------------------------------------------------------------
  ! Low-level compute: matrices
  ! ----------------------------------------------------------------------------------------------------

  subroutine gemm(a, b, c, trans_a, trans_b, alpha, beta, stat, errmsg)
    type(array_t), intent(in) :: a, b, c
    logical, intent(in), optional :: trans_a, trans_b
    real(real64), intent(in) :: alpha, beta
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    integer(c_int64_t) :: m, n, k, lda, ldb, ldc
    integer(c_int32_t) :: ta, tb, status
    ta = flag(trans_a, .false.)
    tb = flag(trans_b, .false.)
    m = c%shape(1)
    n = c%shape(2)
    k = a%shape(2 - ta)
    if (a%shape(1 + ta) /= m .or. b%shape(1 + tb) /= k .or. b%shape(2 - tb) /= n) then
      call fail(kmc_err_shape, 'kmc_gemm: op(a) is ' // tuple([a%shape(1 + ta), k]) // ', op(b) ' // &
        tuple([b%shape(1 + tb), b%shape(2 - tb)]) // ', c ' // tuple([m, n]) // '; expected (m, k), (k, n) and (m, n)', &
        stat, errmsg)
      return
    end if
    lda = max(1_c_int64_t, a%shape(1))
    ldb = max(1_c_int64_t, b%shape(1))
    ldc = max(1_c_int64_t, m)
    if (a%bytes == 4) then
      status = c_sgemm(102_c_int32_t, 111 + ta, 111 + tb, m, n, k, real(alpha, c_float), a%at, lda, b%at, ldb, &
        real(beta, c_float), c%at, ldc)
    else
      status = c_dgemm(102_c_int32_t, 111 + ta, 111 + tb, m, n, k, alpha, a%at, lda, b%at, ldb, beta, c%at, ldc)
    end if
    call finish(status, stat, errmsg)
  end subroutine

  !! c = alpha op(a) op(b) + beta c, where op transposes with trans_a, trans_b: c(m, n), op(a)(m, k), op(b)(k, n);
  !! alpha is 1 and beta 0 where absent.
  subroutine kmc_gemm_f32(a, b, c, trans_a, trans_b, alpha, beta, stat, errmsg)
    real(real32), intent(in), contiguous, target :: a(:, :), b(:, :)
    real(real32), intent(inout), contiguous, target :: c(:, :)
    logical, intent(in), optional :: trans_a, trans_b
    real(real32), intent(in), optional :: alpha, beta
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    real(real64) :: one, zero
    one = 1
    if (present(alpha)) one = alpha
    zero = 0
    if (present(beta)) zero = beta
    call gemm(seen(a), seen(b), seen(c), trans_a, trans_b, one, zero, stat, errmsg)
  end subroutine
  subroutine kmc_gemm_f64(a, b, c, trans_a, trans_b, alpha, beta, stat, errmsg)
    real(real64), intent(in), contiguous, target :: a(:, :), b(:, :)
    real(real64), intent(inout), contiguous, target :: c(:, :)
    logical, intent(in), optional :: trans_a, trans_b
    real(real64), intent(in), optional :: alpha, beta
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call gemm(seen(a), seen(b), seen(c), trans_a, trans_b, real_or(alpha, 1.0_real64), real_or(beta, 0.0_real64), stat, &
      errmsg)
  end subroutine

  ! ----------------------------------------------------------------------------------------------------
  ! Low-level compute: convolution and pooling
  ! ----------------------------------------------------------------------------------------------------
  ! Arrays are x(c, w, n), x(c, w, h, n) or x(c, w, h, d, n), weights w(filters, c / groups, kw[, kh[, kd]]).

  !! A window over samples of this shape, [c, w], [c, w, h] or [c, w, h, d]; kernel, stride, pad (on both sides;
  !! pad_after: another number behind) and dilation are [w], [w, h] or [w, h, d].
  subroutine window_set(self, shape, filters, kernel, stride, pad, pad_after, dilation, groups, stat, errmsg)
    class(kmc_window), intent(inout) :: self
    integer, intent(in) :: shape(:)
    integer, intent(in), optional :: filters, kernel(:), stride(:), pad(:), pad_after(:), dilation(:), groups
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    integer(c_int64_t) :: e(4)
    if (.not. extents_ok(shape, stat, errmsg)) return
    if (.not. sizes_ok(stat, errmsg, kernel, stride, pad, pad_after, dilation)) return
    self%c = c_window_t()
    e = extents(shape)
    self%c%c = e(1)
    self%c%w = e(2)
    self%c%h = e(3)
    self%c%d = e(4)
    self%c%filters = int_or(filters, 1)
    self%c%kernel = axes(kernel, 1)
    self%c%stride = axes(stride, 1)
    self%c%before = axes(pad, 0)
    self%c%after = axes(pad_after, 0)
    if (.not. present(pad_after)) self%c%after = self%c%before
    self%c%dilation = axes(dilation, 1)
    self%c%groups = int_or(groups, 1)
    self%c%size = int(c_sizeof(self%c), c_int32_t)
    call finish(kmc_ok, stat, errmsg)
  end subroutine

  !! The shape (c, w, h, d) of one sample of the result; c is the number of filters.
  function window_output_shape(self, stat, errmsg) result(answer)
    class(kmc_window), intent(in), target :: self
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    integer :: answer(4)
    integer(c_int64_t), target :: e(4)
    e = 0
    call finish(c_window_output(c_loc(e), c_loc(self%c)), stat, errmsg)
    answer = int(e(4:1:-1))
  end function

  subroutine im2col(x, window, columns, stat, errmsg)
    type(array_t), intent(in) :: x, columns
    class(kmc_window), intent(in), target :: window
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    if (.not. window_fits('x', x, window, .true., .false., stat, errmsg)) return
    if (x%bytes == 4) then
      call finish(c_im2col_f32(columns%at, values_in(columns), x%at, values_in(x), c_loc(window%c)), stat, errmsg)
    else
      call finish(c_im2col_f64(columns%at, values_in(columns), x%at, values_in(x), c_loc(window%c)), stat, errmsg)
    end if
  end subroutine

  !! The windows of one sample x(c, w[, h[, d]]) as columns(taps * c, positions).
  subroutine kmc_im2col_f32_3(x, window, columns, stat, errmsg)
    real(real32), intent(in), contiguous, target :: x(:, :)
    class(kmc_window), intent(in), target :: window
    real(real32), intent(out), contiguous, target :: columns(:, :)
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call im2col(seen(x), window, seen(columns), stat, errmsg)
  end subroutine
  subroutine kmc_im2col_f32_4(x, window, columns, stat, errmsg)
    real(real32), intent(in), contiguous, target :: x(:, :, :)
    class(kmc_window), intent(in), target :: window
    real(real32), intent(out), contiguous, target :: columns(:, :)
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call im2col(seen(x), window, seen(columns), stat, errmsg)
  end subroutine
  subroutine kmc_im2col_f32_5(x, window, columns, stat, errmsg)
    real(real32), intent(in), contiguous, target :: x(:, :, :, :)
    class(kmc_window), intent(in), target :: window
    real(real32), intent(out), contiguous, target :: columns(:, :)
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call im2col(seen(x), window, seen(columns), stat, errmsg)
  end subroutine
  subroutine kmc_im2col_f64_3(x, window, columns, stat, errmsg)
    real(real64), intent(in), contiguous, target :: x(:, :)
    class(kmc_window), intent(in), target :: window
    real(real64), intent(out), contiguous, target :: columns(:, :)
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call im2col(seen(x), window, seen(columns), stat, errmsg)
  end subroutine
  subroutine kmc_im2col_f64_4(x, window, columns, stat, errmsg)
    real(real64), intent(in), contiguous, target :: x(:, :, :)
    class(kmc_window), intent(in), target :: window
    real(real64), intent(out), contiguous, target :: columns(:, :)
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call im2col(seen(x), window, seen(columns), stat, errmsg)
  end subroutine
  subroutine kmc_im2col_f64_5(x, window, columns, stat, errmsg)
    real(real64), intent(in), contiguous, target :: x(:, :, :, :)
    class(kmc_window), intent(in), target :: window
    real(real64), intent(out), contiguous, target :: columns(:, :)
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call im2col(seen(x), window, seen(columns), stat, errmsg)
  end subroutine

  subroutine col2im(columns, window, x, stat, errmsg)
    type(array_t), intent(in) :: columns, x
    class(kmc_window), intent(in), target :: window
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    if (.not. window_fits('x', x, window, .true., .false., stat, errmsg)) return
    if (x%bytes == 4) then
      call finish(c_col2im_f32(x%at, values_in(x), columns%at, values_in(columns), c_loc(window%c)), stat, errmsg)
    else
      call finish(c_col2im_f64(x%at, values_in(x), columns%at, values_in(columns), c_loc(window%c)), stat, errmsg)
    end if
  end subroutine

  !! The transpose of `kmc_im2col`: adds columns(taps * c, positions) up in one sample x(c, w[, h[, d]]).
  subroutine kmc_col2im_f32_3(columns, window, x, stat, errmsg)
    real(real32), intent(in), contiguous, target :: columns(:, :)
    class(kmc_window), intent(in), target :: window
    real(real32), intent(out), contiguous, target :: x(:, :)
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call col2im(seen(columns), window, seen(x), stat, errmsg)
  end subroutine
  subroutine kmc_col2im_f32_4(columns, window, x, stat, errmsg)
    real(real32), intent(in), contiguous, target :: columns(:, :)
    class(kmc_window), intent(in), target :: window
    real(real32), intent(out), contiguous, target :: x(:, :, :)
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call col2im(seen(columns), window, seen(x), stat, errmsg)
  end subroutine
  subroutine kmc_col2im_f32_5(columns, window, x, stat, errmsg)
    real(real32), intent(in), contiguous, target :: columns(:, :)
    class(kmc_window), intent(in), target :: window
    real(real32), intent(out), contiguous, target :: x(:, :, :, :)
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call col2im(seen(columns), window, seen(x), stat, errmsg)
  end subroutine
  subroutine kmc_col2im_f64_3(columns, window, x, stat, errmsg)
    real(real64), intent(in), contiguous, target :: columns(:, :)
    class(kmc_window), intent(in), target :: window
    real(real64), intent(out), contiguous, target :: x(:, :)
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call col2im(seen(columns), window, seen(x), stat, errmsg)
  end subroutine
  subroutine kmc_col2im_f64_4(columns, window, x, stat, errmsg)
    real(real64), intent(in), contiguous, target :: columns(:, :)
    class(kmc_window), intent(in), target :: window
    real(real64), intent(out), contiguous, target :: x(:, :, :)
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call col2im(seen(columns), window, seen(x), stat, errmsg)
  end subroutine
  subroutine kmc_col2im_f64_5(columns, window, x, stat, errmsg)
    real(real64), intent(in), contiguous, target :: columns(:, :)
    class(kmc_window), intent(in), target :: window
    real(real64), intent(out), contiguous, target :: x(:, :, :, :)
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call col2im(seen(columns), window, seen(x), stat, errmsg)
  end subroutine

  subroutine conv_forward(x, w, window, y, bias, stat, errmsg)
    type(array_t), intent(in) :: x, w, y, bias
    class(kmc_window), intent(in), target :: window
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    integer(c_int32_t) :: status
    if (.not. window_fits('x', x, window, .true., .true., stat, errmsg)) return
    if (.not. window_fits('y', y, window, .false., .true., stat, errmsg)) return
    if (.not. weights_fit(w, window, stat, errmsg)) return
    if (.not. bias_fits('bias', bias, window, stat, errmsg)) return
    if (x%bytes == 4) then
      status = c_conv_forward_f32(y%at, values_in(y), x%at, values_in(x), w%at, values_in(w), bias%at, c_loc(window%c), &
        samples_in(x))
    else
      status = c_conv_forward_f64(y%at, values_in(y), x%at, values_in(x), w%at, values_in(w), bias%at, c_loc(window%c), &
        samples_in(x))
    end if
    call finish(status, stat, errmsg)
  end subroutine

  !! y = w * x + bias (a cross-correlation): x(c, w, h, d, n) to y(filters, w, h, d, n).
  subroutine kmc_conv_forward_f32_3(x, w, window, y, bias, stat, errmsg)
    real(real32), intent(in), contiguous, target :: x(:, :, :), w(:, :, :)
    class(kmc_window), intent(in), target :: window
    real(real32), intent(out), contiguous, target :: y(:, :, :)
    real(real32), intent(in), contiguous, target, optional :: bias(:)
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    type(array_t) :: b
    if (present(bias)) b = seen(bias)
    call conv_forward(seen(x), seen(w), window, seen(y), b, stat, errmsg)
  end subroutine
  subroutine kmc_conv_forward_f32_4(x, w, window, y, bias, stat, errmsg)
    real(real32), intent(in), contiguous, target :: x(:, :, :, :), w(:, :, :, :)
    class(kmc_window), intent(in), target :: window
    real(real32), intent(out), contiguous, target :: y(:, :, :, :)
    real(real32), intent(in), contiguous, target, optional :: bias(:)
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    type(array_t) :: b
    if (present(bias)) b = seen(bias)
    call conv_forward(seen(x), seen(w), window, seen(y), b, stat, errmsg)
  end subroutine
  subroutine kmc_conv_forward_f32_5(x, w, window, y, bias, stat, errmsg)
    real(real32), intent(in), contiguous, target :: x(:, :, :, :, :), w(:, :, :, :, :)
    class(kmc_window), intent(in), target :: window
    real(real32), intent(out), contiguous, target :: y(:, :, :, :, :)
    real(real32), intent(in), contiguous, target, optional :: bias(:)
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    type(array_t) :: b
    if (present(bias)) b = seen(bias)
    call conv_forward(seen(x), seen(w), window, seen(y), b, stat, errmsg)
  end subroutine
  subroutine kmc_conv_forward_f64_3(x, w, window, y, bias, stat, errmsg)
    real(real64), intent(in), contiguous, target :: x(:, :, :), w(:, :, :)
    class(kmc_window), intent(in), target :: window
    real(real64), intent(out), contiguous, target :: y(:, :, :)
    real(real64), intent(in), contiguous, target, optional :: bias(:)
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    type(array_t) :: b
    if (present(bias)) b = seen(bias)
    call conv_forward(seen(x), seen(w), window, seen(y), b, stat, errmsg)
  end subroutine
  subroutine kmc_conv_forward_f64_4(x, w, window, y, bias, stat, errmsg)
    real(real64), intent(in), contiguous, target :: x(:, :, :, :), w(:, :, :, :)
    class(kmc_window), intent(in), target :: window
    real(real64), intent(out), contiguous, target :: y(:, :, :, :)
    real(real64), intent(in), contiguous, target, optional :: bias(:)
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    type(array_t) :: b
    if (present(bias)) b = seen(bias)
    call conv_forward(seen(x), seen(w), window, seen(y), b, stat, errmsg)
  end subroutine
  subroutine kmc_conv_forward_f64_5(x, w, window, y, bias, stat, errmsg)
    real(real64), intent(in), contiguous, target :: x(:, :, :, :, :), w(:, :, :, :, :)
    class(kmc_window), intent(in), target :: window
    real(real64), intent(out), contiguous, target :: y(:, :, :, :, :)
    real(real64), intent(in), contiguous, target, optional :: bias(:)
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    type(array_t) :: b
    if (present(bias)) b = seen(bias)
    call conv_forward(seen(x), seen(w), window, seen(y), b, stat, errmsg)
  end subroutine

  subroutine conv_input_gradient(dy, w, window, dx, stat, errmsg)
    type(array_t), intent(in) :: dy, w, dx
    class(kmc_window), intent(in), target :: window
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    integer(c_int32_t) :: status
    if (.not. window_fits('dy', dy, window, .false., .true., stat, errmsg)) return
    if (.not. window_fits('dx', dx, window, .true., .true., stat, errmsg)) return
    if (.not. weights_fit(w, window, stat, errmsg)) return
    if (dx%bytes == 4) then
      status = c_conv_input_gradient_f32(dx%at, values_in(dx), dy%at, values_in(dy), w%at, values_in(w), c_loc(window%c), &
        samples_in(dx))
    else
      status = c_conv_input_gradient_f64(dx%at, values_in(dx), dy%at, values_in(dy), w%at, values_in(w), c_loc(window%c), &
        samples_in(dx))
    end if
    call finish(status, stat, errmsg)
  end subroutine

  !! The gradient dx of a convolution with respect to its input.
  subroutine kmc_conv_input_gradient_f32_3(dy, w, window, dx, stat, errmsg)
    real(real32), intent(in), contiguous, target :: dy(:, :, :), w(:, :, :)
    class(kmc_window), intent(in), target :: window
    real(real32), intent(out), contiguous, target :: dx(:, :, :)
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call conv_input_gradient(seen(dy), seen(w), window, seen(dx), stat, errmsg)
  end subroutine
  subroutine kmc_conv_input_gradient_f32_4(dy, w, window, dx, stat, errmsg)
    real(real32), intent(in), contiguous, target :: dy(:, :, :, :), w(:, :, :, :)
    class(kmc_window), intent(in), target :: window
    real(real32), intent(out), contiguous, target :: dx(:, :, :, :)
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call conv_input_gradient(seen(dy), seen(w), window, seen(dx), stat, errmsg)
  end subroutine
  subroutine kmc_conv_input_gradient_f32_5(dy, w, window, dx, stat, errmsg)
    real(real32), intent(in), contiguous, target :: dy(:, :, :, :, :), w(:, :, :, :, :)
    class(kmc_window), intent(in), target :: window
    real(real32), intent(out), contiguous, target :: dx(:, :, :, :, :)
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call conv_input_gradient(seen(dy), seen(w), window, seen(dx), stat, errmsg)
  end subroutine
  subroutine kmc_conv_input_gradient_f64_3(dy, w, window, dx, stat, errmsg)
    real(real64), intent(in), contiguous, target :: dy(:, :, :), w(:, :, :)
    class(kmc_window), intent(in), target :: window
    real(real64), intent(out), contiguous, target :: dx(:, :, :)
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call conv_input_gradient(seen(dy), seen(w), window, seen(dx), stat, errmsg)
  end subroutine
  subroutine kmc_conv_input_gradient_f64_4(dy, w, window, dx, stat, errmsg)
    real(real64), intent(in), contiguous, target :: dy(:, :, :, :), w(:, :, :, :)
    class(kmc_window), intent(in), target :: window
    real(real64), intent(out), contiguous, target :: dx(:, :, :, :)
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call conv_input_gradient(seen(dy), seen(w), window, seen(dx), stat, errmsg)
  end subroutine
  subroutine kmc_conv_input_gradient_f64_5(dy, w, window, dx, stat, errmsg)
    real(real64), intent(in), contiguous, target :: dy(:, :, :, :, :), w(:, :, :, :, :)
    class(kmc_window), intent(in), target :: window
    real(real64), intent(out), contiguous, target :: dx(:, :, :, :, :)
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call conv_input_gradient(seen(dy), seen(w), window, seen(dx), stat, errmsg)
  end subroutine

  subroutine conv_weight_gradient(x, dy, window, dw, db, stat, errmsg)
    type(array_t), intent(in) :: x, dy, dw, db
    class(kmc_window), intent(in), target :: window
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    integer(c_int32_t) :: status
    if (.not. window_fits('x', x, window, .true., .true., stat, errmsg)) return
    if (.not. window_fits('dy', dy, window, .false., .true., stat, errmsg)) return
    if (.not. weights_fit(dw, window, stat, errmsg)) return
    if (.not. bias_fits('db', db, window, stat, errmsg)) return
    if (x%bytes == 4) then
      status = c_conv_weight_gradient_f32(dw%at, values_in(dw), db%at, x%at, values_in(x), dy%at, values_in(dy), &
        c_loc(window%c), samples_in(x))
    else
      status = c_conv_weight_gradient_f64(dw%at, values_in(dw), db%at, x%at, values_in(x), dy%at, values_in(dy), &
        c_loc(window%c), samples_in(x))
    end if
    call finish(status, stat, errmsg)
  end subroutine

  !! The gradients dw and db of a convolution with respect to weights and bias, summed over samples.
  subroutine kmc_conv_weight_gradient_f32_3(x, dy, window, dw, db, stat, errmsg)
    real(real32), intent(in), contiguous, target :: x(:, :, :), dy(:, :, :)
    class(kmc_window), intent(in), target :: window
    real(real32), intent(out), contiguous, target :: dw(:, :, :)
    real(real32), intent(out), contiguous, target, optional :: db(:)
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    type(array_t) :: b
    if (present(db)) b = seen(db)
    call conv_weight_gradient(seen(x), seen(dy), window, seen(dw), b, stat, errmsg)
  end subroutine
  subroutine kmc_conv_weight_gradient_f32_4(x, dy, window, dw, db, stat, errmsg)
    real(real32), intent(in), contiguous, target :: x(:, :, :, :), dy(:, :, :, :)
    class(kmc_window), intent(in), target :: window
    real(real32), intent(out), contiguous, target :: dw(:, :, :, :)
    real(real32), intent(out), contiguous, target, optional :: db(:)
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    type(array_t) :: b
    if (present(db)) b = seen(db)
    call conv_weight_gradient(seen(x), seen(dy), window, seen(dw), b, stat, errmsg)
  end subroutine
  subroutine kmc_conv_weight_gradient_f32_5(x, dy, window, dw, db, stat, errmsg)
    real(real32), intent(in), contiguous, target :: x(:, :, :, :, :), dy(:, :, :, :, :)
    class(kmc_window), intent(in), target :: window
    real(real32), intent(out), contiguous, target :: dw(:, :, :, :, :)
    real(real32), intent(out), contiguous, target, optional :: db(:)
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    type(array_t) :: b
    if (present(db)) b = seen(db)
    call conv_weight_gradient(seen(x), seen(dy), window, seen(dw), b, stat, errmsg)
  end subroutine
  subroutine kmc_conv_weight_gradient_f64_3(x, dy, window, dw, db, stat, errmsg)
    real(real64), intent(in), contiguous, target :: x(:, :, :), dy(:, :, :)
    class(kmc_window), intent(in), target :: window
    real(real64), intent(out), contiguous, target :: dw(:, :, :)
    real(real64), intent(out), contiguous, target, optional :: db(:)
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    type(array_t) :: b
    if (present(db)) b = seen(db)
    call conv_weight_gradient(seen(x), seen(dy), window, seen(dw), b, stat, errmsg)
  end subroutine
  subroutine kmc_conv_weight_gradient_f64_4(x, dy, window, dw, db, stat, errmsg)
    real(real64), intent(in), contiguous, target :: x(:, :, :, :), dy(:, :, :, :)
    class(kmc_window), intent(in), target :: window
    real(real64), intent(out), contiguous, target :: dw(:, :, :, :)
    real(real64), intent(out), contiguous, target, optional :: db(:)
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    type(array_t) :: b
    if (present(db)) b = seen(db)
    call conv_weight_gradient(seen(x), seen(dy), window, seen(dw), b, stat, errmsg)
  end subroutine
  subroutine kmc_conv_weight_gradient_f64_5(x, dy, window, dw, db, stat, errmsg)
    real(real64), intent(in), contiguous, target :: x(:, :, :, :, :), dy(:, :, :, :, :)
    class(kmc_window), intent(in), target :: window
    real(real64), intent(out), contiguous, target :: dw(:, :, :, :, :)
    real(real64), intent(out), contiguous, target, optional :: db(:)
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    type(array_t) :: b
    if (present(db)) b = seen(db)
    call conv_weight_gradient(seen(x), seen(dy), window, seen(dw), b, stat, errmsg)
  end subroutine

  subroutine pool_forward(x, kind, window, y, stat, errmsg)
    type(array_t), intent(in) :: x, y
    integer(c_int32_t), intent(in) :: kind
    class(kmc_window), intent(in), target :: window
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    integer(c_int32_t) :: status
    if (.not. window_fits('x', x, window, .true., .true., stat, errmsg)) return
    if (x%bytes == 4) then
      status = c_pool_forward_f32(y%at, values_in(y), x%at, values_in(x), kind, c_loc(window%c), samples_in(x))
    else
      status = c_pool_forward_f64(y%at, values_in(y), x%at, values_in(x), kind, c_loc(window%c), samples_in(x))
    end if
    call finish(status, stat, errmsg)
  end subroutine

  !! Pools x, kmc_pool_max or kmc_pool_average, into y(c, w, h, d, n).
  subroutine kmc_pool_forward_f32_3(x, kind, window, y, stat, errmsg)
    real(real32), intent(in), contiguous, target :: x(:, :, :)
    integer, intent(in) :: kind
    class(kmc_window), intent(in), target :: window
    real(real32), intent(out), contiguous, target :: y(:, :, :)
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call pool_forward(seen(x), kind, window, seen(y), stat, errmsg)
  end subroutine
  subroutine kmc_pool_forward_f32_4(x, kind, window, y, stat, errmsg)
    real(real32), intent(in), contiguous, target :: x(:, :, :, :)
    integer, intent(in) :: kind
    class(kmc_window), intent(in), target :: window
    real(real32), intent(out), contiguous, target :: y(:, :, :, :)
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call pool_forward(seen(x), kind, window, seen(y), stat, errmsg)
  end subroutine
  subroutine kmc_pool_forward_f32_5(x, kind, window, y, stat, errmsg)
    real(real32), intent(in), contiguous, target :: x(:, :, :, :, :)
    integer, intent(in) :: kind
    class(kmc_window), intent(in), target :: window
    real(real32), intent(out), contiguous, target :: y(:, :, :, :, :)
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call pool_forward(seen(x), kind, window, seen(y), stat, errmsg)
  end subroutine
  subroutine kmc_pool_forward_f64_3(x, kind, window, y, stat, errmsg)
    real(real64), intent(in), contiguous, target :: x(:, :, :)
    integer, intent(in) :: kind
    class(kmc_window), intent(in), target :: window
    real(real64), intent(out), contiguous, target :: y(:, :, :)
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call pool_forward(seen(x), kind, window, seen(y), stat, errmsg)
  end subroutine
  subroutine kmc_pool_forward_f64_4(x, kind, window, y, stat, errmsg)
    real(real64), intent(in), contiguous, target :: x(:, :, :, :)
    integer, intent(in) :: kind
    class(kmc_window), intent(in), target :: window
    real(real64), intent(out), contiguous, target :: y(:, :, :, :)
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call pool_forward(seen(x), kind, window, seen(y), stat, errmsg)
  end subroutine
  subroutine kmc_pool_forward_f64_5(x, kind, window, y, stat, errmsg)
    real(real64), intent(in), contiguous, target :: x(:, :, :, :, :)
    integer, intent(in) :: kind
    class(kmc_window), intent(in), target :: window
    real(real64), intent(out), contiguous, target :: y(:, :, :, :, :)
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call pool_forward(seen(x), kind, window, seen(y), stat, errmsg)
  end subroutine

  subroutine pool_backward(dy, x, kind, window, dx, stat, errmsg)
    type(array_t), intent(in) :: dy, x, dx
    integer(c_int32_t), intent(in) :: kind
    class(kmc_window), intent(in), target :: window
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    integer(c_int32_t) :: status
    if (.not. window_fits('x', x, window, .true., .true., stat, errmsg)) return
    if (.not. window_fits('dx', dx, window, .true., .true., stat, errmsg)) return
    if (x%bytes == 4) then
      status = c_pool_backward_f32(dx%at, values_in(dx), dy%at, values_in(dy), x%at, values_in(x), kind, c_loc(window%c), &
        samples_in(x))
    else
      status = c_pool_backward_f64(dx%at, values_in(dx), dy%at, values_in(dy), x%at, values_in(x), kind, c_loc(window%c), &
        samples_in(x))
    end if
    call finish(status, stat, errmsg)
  end subroutine

  !! The gradient dx of a pooling of x.
  subroutine kmc_pool_backward_f32_3(dy, x, kind, window, dx, stat, errmsg)
    real(real32), intent(in), contiguous, target :: dy(:, :, :), x(:, :, :)
    integer, intent(in) :: kind
    class(kmc_window), intent(in), target :: window
    real(real32), intent(out), contiguous, target :: dx(:, :, :)
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call pool_backward(seen(dy), seen(x), kind, window, seen(dx), stat, errmsg)
  end subroutine
  subroutine kmc_pool_backward_f32_4(dy, x, kind, window, dx, stat, errmsg)
    real(real32), intent(in), contiguous, target :: dy(:, :, :, :), x(:, :, :, :)
    integer, intent(in) :: kind
    class(kmc_window), intent(in), target :: window
    real(real32), intent(out), contiguous, target :: dx(:, :, :, :)
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call pool_backward(seen(dy), seen(x), kind, window, seen(dx), stat, errmsg)
  end subroutine
  subroutine kmc_pool_backward_f32_5(dy, x, kind, window, dx, stat, errmsg)
    real(real32), intent(in), contiguous, target :: dy(:, :, :, :, :), x(:, :, :, :, :)
    integer, intent(in) :: kind
    class(kmc_window), intent(in), target :: window
    real(real32), intent(out), contiguous, target :: dx(:, :, :, :, :)
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call pool_backward(seen(dy), seen(x), kind, window, seen(dx), stat, errmsg)
  end subroutine
  subroutine kmc_pool_backward_f64_3(dy, x, kind, window, dx, stat, errmsg)
    real(real64), intent(in), contiguous, target :: dy(:, :, :), x(:, :, :)
    integer, intent(in) :: kind
    class(kmc_window), intent(in), target :: window
    real(real64), intent(out), contiguous, target :: dx(:, :, :)
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call pool_backward(seen(dy), seen(x), kind, window, seen(dx), stat, errmsg)
  end subroutine
  subroutine kmc_pool_backward_f64_4(dy, x, kind, window, dx, stat, errmsg)
    real(real64), intent(in), contiguous, target :: dy(:, :, :, :), x(:, :, :, :)
    integer, intent(in) :: kind
    class(kmc_window), intent(in), target :: window
    real(real64), intent(out), contiguous, target :: dx(:, :, :, :)
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call pool_backward(seen(dy), seen(x), kind, window, seen(dx), stat, errmsg)
  end subroutine
  subroutine kmc_pool_backward_f64_5(dy, x, kind, window, dx, stat, errmsg)
    real(real64), intent(in), contiguous, target :: dy(:, :, :, :, :), x(:, :, :, :, :)
    integer, intent(in) :: kind
    class(kmc_window), intent(in), target :: window
    real(real64), intent(out), contiguous, target :: dx(:, :, :, :, :)
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call pool_backward(seen(dy), seen(x), kind, window, seen(dx), stat, errmsg)
  end subroutine

  ! Checks an array against one side of a window: its input, or the output of its convolution; with or without samples.
  logical function window_fits(name, a, window, input, samples, stat, errmsg) result(ok)
    character(len=*), intent(in) :: name
    type(array_t), intent(in) :: a
    class(kmc_window), intent(in), target :: window
    logical, intent(in) :: input, samples
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    integer(c_int64_t), target :: e(4)
    integer(int64) :: given(4)
    integer :: r
    integer(c_int32_t) :: status
    ok = .false.
    if (input) then
      e = [window%c%d, window%c%h, window%c%w, window%c%c]
    else
      status = c_window_output(c_loc(e), c_loc(window%c))
      if (status /= kmc_ok) then
        call finish(status, stat, errmsg)
        return
      end if
    end if
    r = a%rank
    if (samples) r = r - 1
    given = 1
    given(1:r) = a%shape(1:r)
    ok = all(given == e(4:1:-1))
    if (.not. ok) call fail(kmc_err_shape, name // ': expected ' // wanted_shape(e(4:1:-1), samples) // ', got ' // &
         tuple(a%shape(1:a%rank)), stat, errmsg)
  end function

  logical function weights_fit(a, window, stat, errmsg) result(ok)
    type(array_t), intent(in) :: a
    class(kmc_window), intent(in) :: window
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    integer(int64) :: wanted(5), given(5)
    wanted = [window%c%filters, window%c%c / max(1_c_int64_t, window%c%groups), window%c%kernel(3), window%c%kernel(2), &
      window%c%kernel(1)]
    given = 1
    given(1:a%rank) = a%shape(1:a%rank)
    ok = all(given == wanted)
    if (.not. ok) call fail(kmc_err_shape, 'weights: expected ' // tuple(wanted(1:a%rank)) // ', got ' // &
         tuple(a%shape(1:a%rank)), stat, errmsg)
  end function

  ! An array of rank 0 is absent.
  logical function bias_fits(name, a, window, stat, errmsg) result(ok)
    character(len=*), intent(in) :: name
    type(array_t), intent(in) :: a
    class(kmc_window), intent(in) :: window
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    ok = a%rank == 0
    if (.not. ok) ok = same_shape(name, a%shape(1:1), [int(window%c%filters, int64)], stat, errmsg)
  end function

  ! ----------------------------------------------------------------------------------------------------
  ! Low-level compute: activations and losses
  ! ----------------------------------------------------------------------------------------------------

  subroutine activation_forward(x, kind, y, a, b, stat, errmsg)
    type(array_t), intent(in) :: x, y
    integer(c_int32_t), intent(in) :: kind
    real(real64), intent(in), optional :: a, b
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    integer(c_int32_t) :: status
    if (.not. alike('y', y, x, stat, errmsg)) return
    if (x%bytes == 4) then
      status = c_activation_forward_f32(y%at, x%at, values_in(x), kind, real_or(a, 0.0_real64), real_or(b, 0.0_real64), &
        x%shape(1))
    else
      status = c_activation_forward_f64(y%at, x%at, values_in(x), kind, real_or(a, 0.0_real64), real_or(b, 0.0_real64), &
        x%shape(1))
    end if
    call finish(status, stat, errmsg)
  end subroutine

  !! y = act(x), with the numbers a, b of the activation; a softmax is over the first dimension.
  subroutine kmc_activation_forward_f32_1(x, kind, y, a, b, stat, errmsg)
    real(real32), intent(in), contiguous, target :: x(:)
    integer, intent(in) :: kind
    real(real32), intent(out), contiguous, target :: y(:)
    real(real64), intent(in), optional :: a, b
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call activation_forward(seen(x), kind, seen(y), a, b, stat, errmsg)
  end subroutine
  subroutine kmc_activation_forward_f32_2(x, kind, y, a, b, stat, errmsg)
    real(real32), intent(in), contiguous, target :: x(:, :)
    integer, intent(in) :: kind
    real(real32), intent(out), contiguous, target :: y(:, :)
    real(real64), intent(in), optional :: a, b
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call activation_forward(seen(x), kind, seen(y), a, b, stat, errmsg)
  end subroutine
  subroutine kmc_activation_forward_f32_3(x, kind, y, a, b, stat, errmsg)
    real(real32), intent(in), contiguous, target :: x(:, :, :)
    integer, intent(in) :: kind
    real(real32), intent(out), contiguous, target :: y(:, :, :)
    real(real64), intent(in), optional :: a, b
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call activation_forward(seen(x), kind, seen(y), a, b, stat, errmsg)
  end subroutine
  subroutine kmc_activation_forward_f32_4(x, kind, y, a, b, stat, errmsg)
    real(real32), intent(in), contiguous, target :: x(:, :, :, :)
    integer, intent(in) :: kind
    real(real32), intent(out), contiguous, target :: y(:, :, :, :)
    real(real64), intent(in), optional :: a, b
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call activation_forward(seen(x), kind, seen(y), a, b, stat, errmsg)
  end subroutine
  subroutine kmc_activation_forward_f32_5(x, kind, y, a, b, stat, errmsg)
    real(real32), intent(in), contiguous, target :: x(:, :, :, :, :)
    integer, intent(in) :: kind
    real(real32), intent(out), contiguous, target :: y(:, :, :, :, :)
    real(real64), intent(in), optional :: a, b
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call activation_forward(seen(x), kind, seen(y), a, b, stat, errmsg)
  end subroutine
  subroutine kmc_activation_forward_f64_1(x, kind, y, a, b, stat, errmsg)
    real(real64), intent(in), contiguous, target :: x(:)
    integer, intent(in) :: kind
    real(real64), intent(out), contiguous, target :: y(:)
    real(real64), intent(in), optional :: a, b
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call activation_forward(seen(x), kind, seen(y), a, b, stat, errmsg)
  end subroutine
  subroutine kmc_activation_forward_f64_2(x, kind, y, a, b, stat, errmsg)
    real(real64), intent(in), contiguous, target :: x(:, :)
    integer, intent(in) :: kind
    real(real64), intent(out), contiguous, target :: y(:, :)
    real(real64), intent(in), optional :: a, b
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call activation_forward(seen(x), kind, seen(y), a, b, stat, errmsg)
  end subroutine
  subroutine kmc_activation_forward_f64_3(x, kind, y, a, b, stat, errmsg)
    real(real64), intent(in), contiguous, target :: x(:, :, :)
    integer, intent(in) :: kind
    real(real64), intent(out), contiguous, target :: y(:, :, :)
    real(real64), intent(in), optional :: a, b
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call activation_forward(seen(x), kind, seen(y), a, b, stat, errmsg)
  end subroutine
  subroutine kmc_activation_forward_f64_4(x, kind, y, a, b, stat, errmsg)
    real(real64), intent(in), contiguous, target :: x(:, :, :, :)
    integer, intent(in) :: kind
    real(real64), intent(out), contiguous, target :: y(:, :, :, :)
    real(real64), intent(in), optional :: a, b
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call activation_forward(seen(x), kind, seen(y), a, b, stat, errmsg)
  end subroutine
  subroutine kmc_activation_forward_f64_5(x, kind, y, a, b, stat, errmsg)
    real(real64), intent(in), contiguous, target :: x(:, :, :, :, :)
    integer, intent(in) :: kind
    real(real64), intent(out), contiguous, target :: y(:, :, :, :, :)
    real(real64), intent(in), optional :: a, b
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call activation_forward(seen(x), kind, seen(y), a, b, stat, errmsg)
  end subroutine

  subroutine activation_backward(dy, x, y, kind, dx, a, b, stat, errmsg)
    type(array_t), intent(in) :: dy, x, y, dx
    integer(c_int32_t), intent(in) :: kind
    real(real64), intent(in), optional :: a, b
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    integer(c_int32_t) :: status
    if (.not. alike('x', x, dy, stat, errmsg)) return
    if (.not. alike('y', y, dy, stat, errmsg)) return
    if (.not. alike('dx', dx, dy, stat, errmsg)) return
    if (x%bytes == 4) then
      status = c_activation_backward_f32(dx%at, dy%at, x%at, y%at, values_in(x), kind, real_or(a, 0.0_real64), &
        real_or(b, 0.0_real64), x%shape(1))
    else
      status = c_activation_backward_f64(dx%at, dy%at, x%at, y%at, values_in(x), kind, real_or(a, 0.0_real64), &
        real_or(b, 0.0_real64), x%shape(1))
    end if
    call finish(status, stat, errmsg)
  end subroutine

  !! dx = dy act'(x), where y = act(x).
  subroutine kmc_activation_backward_f32_1(dy, x, y, kind, dx, a, b, stat, errmsg)
    real(real32), intent(in), contiguous, target :: dy(:), x(:), y(:)
    integer, intent(in) :: kind
    real(real32), intent(out), contiguous, target :: dx(:)
    real(real64), intent(in), optional :: a, b
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call activation_backward(seen(dy), seen(x), seen(y), kind, seen(dx), a, b, stat, errmsg)
  end subroutine
  subroutine kmc_activation_backward_f32_2(dy, x, y, kind, dx, a, b, stat, errmsg)
    real(real32), intent(in), contiguous, target :: dy(:, :), x(:, :), y(:, :)
    integer, intent(in) :: kind
    real(real32), intent(out), contiguous, target :: dx(:, :)
    real(real64), intent(in), optional :: a, b
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call activation_backward(seen(dy), seen(x), seen(y), kind, seen(dx), a, b, stat, errmsg)
  end subroutine
  subroutine kmc_activation_backward_f32_3(dy, x, y, kind, dx, a, b, stat, errmsg)
    real(real32), intent(in), contiguous, target :: dy(:, :, :), x(:, :, :), y(:, :, :)
    integer, intent(in) :: kind
    real(real32), intent(out), contiguous, target :: dx(:, :, :)
    real(real64), intent(in), optional :: a, b
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call activation_backward(seen(dy), seen(x), seen(y), kind, seen(dx), a, b, stat, errmsg)
  end subroutine
  subroutine kmc_activation_backward_f32_4(dy, x, y, kind, dx, a, b, stat, errmsg)
    real(real32), intent(in), contiguous, target :: dy(:, :, :, :), x(:, :, :, :), y(:, :, :, :)
    integer, intent(in) :: kind
    real(real32), intent(out), contiguous, target :: dx(:, :, :, :)
    real(real64), intent(in), optional :: a, b
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call activation_backward(seen(dy), seen(x), seen(y), kind, seen(dx), a, b, stat, errmsg)
  end subroutine
  subroutine kmc_activation_backward_f32_5(dy, x, y, kind, dx, a, b, stat, errmsg)
    real(real32), intent(in), contiguous, target :: dy(:, :, :, :, :), x(:, :, :, :, :), y(:, :, :, :, :)
    integer, intent(in) :: kind
    real(real32), intent(out), contiguous, target :: dx(:, :, :, :, :)
    real(real64), intent(in), optional :: a, b
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call activation_backward(seen(dy), seen(x), seen(y), kind, seen(dx), a, b, stat, errmsg)
  end subroutine
  subroutine kmc_activation_backward_f64_1(dy, x, y, kind, dx, a, b, stat, errmsg)
    real(real64), intent(in), contiguous, target :: dy(:), x(:), y(:)
    integer, intent(in) :: kind
    real(real64), intent(out), contiguous, target :: dx(:)
    real(real64), intent(in), optional :: a, b
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call activation_backward(seen(dy), seen(x), seen(y), kind, seen(dx), a, b, stat, errmsg)
  end subroutine
  subroutine kmc_activation_backward_f64_2(dy, x, y, kind, dx, a, b, stat, errmsg)
    real(real64), intent(in), contiguous, target :: dy(:, :), x(:, :), y(:, :)
    integer, intent(in) :: kind
    real(real64), intent(out), contiguous, target :: dx(:, :)
    real(real64), intent(in), optional :: a, b
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call activation_backward(seen(dy), seen(x), seen(y), kind, seen(dx), a, b, stat, errmsg)
  end subroutine
  subroutine kmc_activation_backward_f64_3(dy, x, y, kind, dx, a, b, stat, errmsg)
    real(real64), intent(in), contiguous, target :: dy(:, :, :), x(:, :, :), y(:, :, :)
    integer, intent(in) :: kind
    real(real64), intent(out), contiguous, target :: dx(:, :, :)
    real(real64), intent(in), optional :: a, b
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call activation_backward(seen(dy), seen(x), seen(y), kind, seen(dx), a, b, stat, errmsg)
  end subroutine
  subroutine kmc_activation_backward_f64_4(dy, x, y, kind, dx, a, b, stat, errmsg)
    real(real64), intent(in), contiguous, target :: dy(:, :, :, :), x(:, :, :, :), y(:, :, :, :)
    integer, intent(in) :: kind
    real(real64), intent(out), contiguous, target :: dx(:, :, :, :)
    real(real64), intent(in), optional :: a, b
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call activation_backward(seen(dy), seen(x), seen(y), kind, seen(dx), a, b, stat, errmsg)
  end subroutine
  subroutine kmc_activation_backward_f64_5(dy, x, y, kind, dx, a, b, stat, errmsg)
    real(real64), intent(in), contiguous, target :: dy(:, :, :, :, :), x(:, :, :, :, :), y(:, :, :, :, :)
    integer, intent(in) :: kind
    real(real64), intent(out), contiguous, target :: dx(:, :, :, :, :)
    real(real64), intent(in), optional :: a, b
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call activation_backward(seen(dy), seen(x), seen(y), kind, seen(dx), a, b, stat, errmsg)
  end subroutine

  subroutine softmax_cross_entropy(logits, labels, loss, gradient, stat, errmsg)
    type(array_t), intent(in) :: logits, gradient
    integer, intent(in) :: labels(:)
    real(real64), intent(out) :: loss
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    integer(c_int32_t) :: status
    integer(c_int32_t), allocatable, target :: t(:)
    real(c_double), target :: answer
    loss = 0
    answer = 0
    if (.not. same_shape('labels', shape(labels, int64), logits%shape(2:2), stat, errmsg)) return
    if (.not. labels_ok(labels, int(logits%shape(1)), stat, errmsg)) return
    if (gradient%rank > 0) then
      if (.not. alike('gradient', gradient, logits, stat, errmsg)) return
    end if
    allocate (t, source=int(labels, c_int32_t) - 1)
    if (logits%bytes == 4) then
      status = c_softmax_cross_entropy_f32(c_loc(answer), gradient%at, logits%at, c_loc(t), logits%shape(2), logits%shape(1))
    else
      status = c_softmax_cross_entropy_f64(c_loc(answer), gradient%at, logits%at, c_loc(t), logits%shape(2), logits%shape(1))
    end if
    loss = answer
    call finish(status, stat, errmsg)
  end subroutine

  !! The mean over samples of -log softmax(logits)(label) for logits(classes, n), and its gradient.
  subroutine kmc_softmax_cross_entropy_f32(logits, labels, loss, gradient, stat, errmsg)
    real(real32), intent(in), contiguous, target :: logits(:, :)
    integer, intent(in) :: labels(:)
    real(real64), intent(out) :: loss
    real(real32), intent(out), contiguous, target, optional :: gradient(:, :)
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    type(array_t) :: g
    if (present(gradient)) g = seen(gradient)
    call softmax_cross_entropy(seen(logits), labels, loss, g, stat, errmsg)
  end subroutine
  subroutine kmc_softmax_cross_entropy_f64(logits, labels, loss, gradient, stat, errmsg)
    real(real64), intent(in), contiguous, target :: logits(:, :)
    integer, intent(in) :: labels(:)
    real(real64), intent(out) :: loss
    real(real64), intent(out), contiguous, target, optional :: gradient(:, :)
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    type(array_t) :: g
    if (present(gradient)) g = seen(gradient)
    call softmax_cross_entropy(seen(logits), labels, loss, g, stat, errmsg)
  end subroutine

  subroutine mse(y, t, loss, gradient, half, stat, errmsg)
    type(array_t), intent(in) :: y, t, gradient
    real(real64), intent(out) :: loss
    logical, intent(in), optional :: half
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    integer(c_int32_t) :: status
    real(c_double), target :: answer
    loss = 0
    answer = 0
    if (.not. alike('t', t, y, stat, errmsg)) return
    if (gradient%rank > 0) then
      if (.not. alike('gradient', gradient, y, stat, errmsg)) return
    end if
    if (y%bytes == 4) then
      status = c_mse_f32(c_loc(answer), gradient%at, y%at, t%at, y%shape(2), y%shape(1), flag(half, .false.))
    else
      status = c_mse_f64(c_loc(answer), gradient%at, y%at, t%at, y%shape(2), y%shape(1), flag(half, .false.))
    end if
    loss = answer
    call finish(status, stat, errmsg)
  end subroutine

  !! The squared error of y(outputs, n) against t, and its gradient; `half`: half the sum over outputs, as the course
  !! has it.
  subroutine kmc_mse_f32(y, t, loss, gradient, half, stat, errmsg)
    real(real32), intent(in), contiguous, target :: y(:, :), t(:, :)
    real(real64), intent(out) :: loss
    real(real32), intent(out), contiguous, target, optional :: gradient(:, :)
    logical, intent(in), optional :: half
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    type(array_t) :: g
    if (present(gradient)) g = seen(gradient)
    call mse(seen(y), seen(t), loss, g, half, stat, errmsg)
  end subroutine
  subroutine kmc_mse_f64(y, t, loss, gradient, half, stat, errmsg)
    real(real64), intent(in), contiguous, target :: y(:, :), t(:, :)
    real(real64), intent(out) :: loss
    real(real64), intent(out), contiguous, target, optional :: gradient(:, :)
    logical, intent(in), optional :: half
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    type(array_t) :: g
    if (present(gradient)) g = seen(gradient)
    call mse(seen(y), seen(t), loss, g, half, stat, errmsg)
  end subroutine

  subroutine argmax(y, classes, stat, errmsg)
    type(array_t), intent(in) :: y
    integer, intent(out), contiguous, target :: classes(:)
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    integer(c_int32_t) :: status
    classes = 0
    if (.not. same_shape('classes', shape(classes, int64), y%shape(2:2), stat, errmsg)) return
    if (y%bytes == 4) then
      status = c_argmax_f32(c_loc(classes), y%at, y%shape(2), y%shape(1))
    else
      status = c_argmax_f64(c_loc(classes), y%at, y%shape(2), y%shape(1))
    end if
    if (status == kmc_ok) classes = classes + 1
    call finish(status, stat, errmsg)
  end subroutine

  !! The place (from 1) of the first maximum of every column of y(classes, n).
  subroutine kmc_argmax_f32(y, classes, stat, errmsg)
    real(real32), intent(in), contiguous, target :: y(:, :)
    integer, intent(out), contiguous, target :: classes(:)
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call argmax(seen(y), classes, stat, errmsg)
  end subroutine
  subroutine kmc_argmax_f64(y, classes, stat, errmsg)
    real(real64), intent(in), contiguous, target :: y(:, :)
    integer, intent(out), contiguous, target :: classes(:)
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call argmax(seen(y), classes, stat, errmsg)
  end subroutine

  ! ----------------------------------------------------------------------------------------------------
  ! Low-level compute: random numbers, k-means, gradients
  ! ----------------------------------------------------------------------------------------------------

  !! A random permutation of 1 to size(order).
  subroutine kmc_shuffle_i64(order, seed, stat, errmsg)
    integer(int64), intent(out) :: order(:)
    integer(int64), intent(in) :: seed
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    integer(c_int32_t) :: status
    integer(c_int64_t), allocatable, target :: o(:)
    allocate(o(size(order)))
    o = 0
    status = c_shuffle(c_loc(o), size(o, kind=c_int64_t), seed)
    order = int(o + 1, int64)
    call finish(status, stat, errmsg)
  end subroutine
  subroutine kmc_shuffle_i32(order, seed, stat, errmsg)
    integer(int32), intent(out) :: order(:)
    integer(int32), intent(in) :: seed
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    integer(int64), allocatable :: wide(:)
    allocate (wide(size(order)))
    call kmc_shuffle_i64(wide, int(seed, int64), stat, errmsg)
    order = int(wide, int32)
  end subroutine

  subroutine random_uniform(x, low, high, seed, stat, errmsg)
    type(array_t), intent(in) :: x
    real(real64), intent(in) :: low, high
    integer(int64), intent(in) :: seed
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    if (x%bytes == 4) then
      call finish(c_random_uniform_f32(x%at, values_in(x), low, high, seed), stat, errmsg)
    else
      call finish(c_random_uniform_f64(x%at, values_in(x), low, high, seed), stat, errmsg)
    end if
  end subroutine

  !! Numbers evenly distributed in [low, high).
  subroutine kmc_random_uniform_f32_1_i32(x, low, high, seed, stat, errmsg)
    real(real32), intent(out), contiguous, target :: x(:)
    real(real64), intent(in) :: low, high
    integer(int32), intent(in) :: seed
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call random_uniform(seen(x), low, high, int(seed, int64), stat, errmsg)
  end subroutine
  subroutine kmc_random_uniform_f32_1_i64(x, low, high, seed, stat, errmsg)
    real(real32), intent(out), contiguous, target :: x(:)
    real(real64), intent(in) :: low, high
    integer(int64), intent(in) :: seed
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call random_uniform(seen(x), low, high, int(seed, int64), stat, errmsg)
  end subroutine
  subroutine kmc_random_uniform_f32_2_i32(x, low, high, seed, stat, errmsg)
    real(real32), intent(out), contiguous, target :: x(:, :)
    real(real64), intent(in) :: low, high
    integer(int32), intent(in) :: seed
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call random_uniform(seen(x), low, high, int(seed, int64), stat, errmsg)
  end subroutine
  subroutine kmc_random_uniform_f32_2_i64(x, low, high, seed, stat, errmsg)
    real(real32), intent(out), contiguous, target :: x(:, :)
    real(real64), intent(in) :: low, high
    integer(int64), intent(in) :: seed
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call random_uniform(seen(x), low, high, int(seed, int64), stat, errmsg)
  end subroutine
  subroutine kmc_random_uniform_f64_1_i32(x, low, high, seed, stat, errmsg)
    real(real64), intent(out), contiguous, target :: x(:)
    real(real64), intent(in) :: low, high
    integer(int32), intent(in) :: seed
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call random_uniform(seen(x), low, high, int(seed, int64), stat, errmsg)
  end subroutine
  subroutine kmc_random_uniform_f64_1_i64(x, low, high, seed, stat, errmsg)
    real(real64), intent(out), contiguous, target :: x(:)
    real(real64), intent(in) :: low, high
    integer(int64), intent(in) :: seed
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call random_uniform(seen(x), low, high, int(seed, int64), stat, errmsg)
  end subroutine
  subroutine kmc_random_uniform_f64_2_i32(x, low, high, seed, stat, errmsg)
    real(real64), intent(out), contiguous, target :: x(:, :)
    real(real64), intent(in) :: low, high
    integer(int32), intent(in) :: seed
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call random_uniform(seen(x), low, high, int(seed, int64), stat, errmsg)
  end subroutine
  subroutine kmc_random_uniform_f64_2_i64(x, low, high, seed, stat, errmsg)
    real(real64), intent(out), contiguous, target :: x(:, :)
    real(real64), intent(in) :: low, high
    integer(int64), intent(in) :: seed
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call random_uniform(seen(x), low, high, int(seed, int64), stat, errmsg)
  end subroutine

  subroutine random_normal(x, mean, sigma, seed, stat, errmsg)
    type(array_t), intent(in) :: x
    real(real64), intent(in) :: mean, sigma
    integer(int64), intent(in) :: seed
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    if (x%bytes == 4) then
      call finish(c_random_normal_f32(x%at, values_in(x), mean, sigma, seed), stat, errmsg)
    else
      call finish(c_random_normal_f64(x%at, values_in(x), mean, sigma, seed), stat, errmsg)
    end if
  end subroutine

  !! Numbers of a normal distribution.
  subroutine kmc_random_normal_f32_1_i32(x, mean, sigma, seed, stat, errmsg)
    real(real32), intent(out), contiguous, target :: x(:)
    real(real64), intent(in) :: mean, sigma
    integer(int32), intent(in) :: seed
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call random_normal(seen(x), mean, sigma, int(seed, int64), stat, errmsg)
  end subroutine
  subroutine kmc_random_normal_f32_1_i64(x, mean, sigma, seed, stat, errmsg)
    real(real32), intent(out), contiguous, target :: x(:)
    real(real64), intent(in) :: mean, sigma
    integer(int64), intent(in) :: seed
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call random_normal(seen(x), mean, sigma, int(seed, int64), stat, errmsg)
  end subroutine
  subroutine kmc_random_normal_f32_2_i32(x, mean, sigma, seed, stat, errmsg)
    real(real32), intent(out), contiguous, target :: x(:, :)
    real(real64), intent(in) :: mean, sigma
    integer(int32), intent(in) :: seed
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call random_normal(seen(x), mean, sigma, int(seed, int64), stat, errmsg)
  end subroutine
  subroutine kmc_random_normal_f32_2_i64(x, mean, sigma, seed, stat, errmsg)
    real(real32), intent(out), contiguous, target :: x(:, :)
    real(real64), intent(in) :: mean, sigma
    integer(int64), intent(in) :: seed
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call random_normal(seen(x), mean, sigma, int(seed, int64), stat, errmsg)
  end subroutine
  subroutine kmc_random_normal_f64_1_i32(x, mean, sigma, seed, stat, errmsg)
    real(real64), intent(out), contiguous, target :: x(:)
    real(real64), intent(in) :: mean, sigma
    integer(int32), intent(in) :: seed
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call random_normal(seen(x), mean, sigma, int(seed, int64), stat, errmsg)
  end subroutine
  subroutine kmc_random_normal_f64_1_i64(x, mean, sigma, seed, stat, errmsg)
    real(real64), intent(out), contiguous, target :: x(:)
    real(real64), intent(in) :: mean, sigma
    integer(int64), intent(in) :: seed
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call random_normal(seen(x), mean, sigma, int(seed, int64), stat, errmsg)
  end subroutine
  subroutine kmc_random_normal_f64_2_i32(x, mean, sigma, seed, stat, errmsg)
    real(real64), intent(out), contiguous, target :: x(:, :)
    real(real64), intent(in) :: mean, sigma
    integer(int32), intent(in) :: seed
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call random_normal(seen(x), mean, sigma, int(seed, int64), stat, errmsg)
  end subroutine
  subroutine kmc_random_normal_f64_2_i64(x, mean, sigma, seed, stat, errmsg)
    real(real64), intent(out), contiguous, target :: x(:, :)
    real(real64), intent(in) :: mean, sigma
    integer(int64), intent(in) :: seed
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call random_normal(seen(x), mean, sigma, int(seed, int64), stat, errmsg)
  end subroutine

  subroutine kmeans(x, centres, assignment, result, start, restarts, max_iterations, tolerance, seed, stat, errmsg)
    type(array_t), intent(in) :: x, centres
    integer, intent(out), contiguous, target, optional :: assignment(:)
    type(kmc_kmeans_result), intent(out), optional :: result
    integer, intent(in), optional :: start, restarts, max_iterations
    real(real64), intent(in), optional :: tolerance
    integer(int64), intent(in), optional :: seed
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    integer(c_int32_t) :: status
    type(c_ptr) :: at
    type(c_kmeans_options_t), target :: o
    type(c_kmeans_result_t), target :: r
    if (.not. same_shape('centres', centres%shape(1:2), [x%shape(1), centres%shape(2)], stat, errmsg)) return
    at = c_null_ptr
    if (present(assignment)) then
      if (.not. same_shape('assignment', shape(assignment, int64), x%shape(2:2), stat, errmsg)) return
      assignment = 0
      at = c_loc(assignment)
    end if
    o%size = int(c_sizeof(o), c_int32_t)
    r%size = int(c_sizeof(r), c_int32_t)
    o%start = int_or(start, kmc_kmeans_plus_plus)
    o%restarts = int_or(restarts, 0)
    o%max_iterations = int_or(max_iterations, 0)
    o%tolerance = real_or(tolerance, 0.0_real64)
    if (present(seed)) o%seed = seed
    if (x%bytes == 4) then
      status = c_kmeans_f32(c_loc(r), centres%at, at, x%at, x%shape(2), x%shape(1), centres%shape(2), c_loc(o))
    else
      status = c_kmeans_f64(c_loc(r), centres%at, at, x%at, x%shape(2), x%shape(1), centres%shape(2), c_loc(o))
    end if
    if (status == kmc_ok) then
      if (present(assignment)) assignment = assignment + 1
      if (present(result)) result = kmc_kmeans_result(r%converged == 1, int(r%iterations), int(r%empty), r%mean_squared_distance)
    end if
    call finish(status, stat, errmsg)
  end subroutine

  !! k-means of points x(dimensions, n): centres(dimensions, k), assignment(n) to clusters from 1; `start` is
  !! kmc_kmeans_plus_plus (absent) or kmc_kmeans_points, the best of `restarts` is kept.
  subroutine kmc_kmeans_f32(x, centres, assignment, result, start, restarts, max_iterations, tolerance, seed, stat, errmsg)
    real(real32), intent(in), contiguous, target :: x(:, :)
    real(real32), intent(out), contiguous, target :: centres(:, :)
    integer, intent(out), contiguous, target, optional :: assignment(:)
    type(kmc_kmeans_result), intent(out), optional :: result
    integer, intent(in), optional :: start, restarts, max_iterations
    real(real64), intent(in), optional :: tolerance
    integer(int64), intent(in), optional :: seed
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call kmeans(seen(x), seen(centres), assignment, result, start, restarts, max_iterations, tolerance, seed, stat, errmsg)
  end subroutine
  subroutine kmc_kmeans_f64(x, centres, assignment, result, start, restarts, max_iterations, tolerance, seed, stat, errmsg)
    real(real64), intent(in), contiguous, target :: x(:, :)
    real(real64), intent(out), contiguous, target :: centres(:, :)
    integer, intent(out), contiguous, target, optional :: assignment(:)
    type(kmc_kmeans_result), intent(out), optional :: result
    integer, intent(in), optional :: start, restarts, max_iterations
    real(real64), intent(in), optional :: tolerance
    integer(int64), intent(in), optional :: seed
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call kmeans(seen(x), seen(centres), assignment, result, start, restarts, max_iterations, tolerance, seed, stat, errmsg)
  end subroutine

  !! Writes centres(dimensions, k) in the format of the course (kmeans_output_*.dat).
  subroutine kmc_write_centres(path, centres, stat, errmsg)
    character(len=*), intent(in) :: path
    real(real32), intent(in), contiguous, target :: centres(:, :)
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    character(len=:), allocatable, target :: store
    call finish(c_centres_write(hold(store, path), c_loc(centres), size(centres, 2, c_int64_t), size(centres, 1, c_int64_t)), &
      stat, errmsg)
  end subroutine

  !! Compares the gradient of a loss at w with finite differences of this step (absent: chosen).
  subroutine kmc_gradcheck(loss, w, gradient, result, step, stat, errmsg)
    procedure(kmc_loss_function) :: loss
    real(real64), intent(in), contiguous, target :: w(:), gradient(:)
    type(kmc_gradcheck_result), intent(out) :: result
    real(real64), intent(in), optional :: step
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    integer(c_int32_t) :: status
    type(hook_t), target :: hook
    type(c_gradcheck_result_t), target :: r
    if (.not. same_shape("gradient", shape(gradient, int64), shape(w, int64), stat, errmsg)) return
    hook%f = c_funloc(loss)
    r%size = int(c_sizeof(r), c_int32_t)
    status = c_gradcheck(c_loc(r), c_funloc(call_loss), c_loc(hook), c_loc(w), c_loc(gradient), size(w, kind=c_int64_t), &
      real_or(step, 0.0_real64))
    if (status == kmc_ok) result = kmc_gradcheck_result(int(r%worst) + 1, r%deviation, r%analytic, r%numeric)
    call finish(status, stat, errmsg)
  end subroutine

  ! ----------------------------------------------------------------------------------------------------
  ! Pictures
  ! ----------------------------------------------------------------------------------------------------

  !! Draws points x(dimensions, n), coloured by their clusters, and centres(dimensions, k), as SVG or PNG.
  subroutine kmc_plot_clusters(path, x, assignment, centres, stat, errmsg)
    character(len=*), intent(in) :: path
    real(real32), intent(in), contiguous, target :: x(:, :)
    integer, intent(in), optional :: assignment(:)
    real(real32), intent(in), contiguous, target, optional :: centres(:, :)
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    integer(c_int32_t), allocatable, target :: a(:)
    type(c_ptr) :: at, at_centres
    integer(c_int64_t) :: k
    character(len=:), allocatable, target :: store
    at_centres = c_null_ptr
    k = 0
    if (present(centres)) then
      if (.not. same_shape("centres", shape(centres, int64), [size(x, 1, int64), size(centres, 2, int64)], stat, errmsg)) return
      at_centres = c_loc(centres)
      k = size(centres, 2, c_int64_t)
    end if
    at = c_null_ptr
    if (present(assignment)) then
      if (.not. same_shape("assignment", shape(assignment, int64), [size(x, 2, int64)], stat, errmsg)) return
      allocate(a, source=int(assignment, c_int32_t) - 1)
      at = c_loc(a)
      if (k == 0 .and. size(assignment) > 0) k = maxval(assignment)
    end if
    call finish(c_plot_clusters(hold(store, path), c_loc(x), size(x, 2, c_int64_t), size(x, 1, c_int64_t), at, at_centres, &
      k), stat, errmsg)
  end subroutine

  !! Draws points x(2, n) of the plane, coloured by their classes, over the classes that `classify` gives the plane,
  !! as SVG, or PNG where the path ends in .png.
  subroutine kmc_plot_boundary(path, x, labels, classify, stat, errmsg)
    character(len=*), intent(in) :: path
    real(real32), intent(in), contiguous, target :: x(:, :)
    integer, intent(in) :: labels(:)
    procedure(kmc_classifier) :: classify
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    integer(c_int32_t), allocatable, target :: t(:)
    type(hook_t), target :: hook
    character(len=:), allocatable, target :: store
    if (.not. same_shape("x", shape(x, int64), [2_int64, size(labels, kind=int64)], stat, errmsg)) return
    allocate(t, source=int(labels, c_int32_t) - 1)
    hook%f = c_funloc(classify)
    call finish(c_plot_boundary(hold(store, path), c_loc(x), size(x, 2, c_int64_t), c_loc(t), c_funloc(call_classify), &
      c_loc(hook)), stat, errmsg)
  end subroutine

  !! Asks every run that is training now to stop after its batch.
  subroutine kmc_request_stop()
    call c_request_stop(c_null_ptr)
  end subroutine

  ! ----------------------------------------------------------------------------------------------------
  ! Private: callbacks, from C to Fortran
  ! ----------------------------------------------------------------------------------------------------

  function call_on_epoch(progress, user) bind(C, name="") result(answer)
    type(kmc_progress), intent(in) :: progress
    type(c_ptr), value :: user
    integer(c_int32_t) :: answer
    type(hooks_t), pointer :: hooks
    procedure(kmc_progress_hook), pointer :: hook
    logical :: stop_now
    call c_f_pointer(user, hooks)
    call c_f_procpointer(hooks%on_epoch, hook)
    stop_now = .false.
    call hook(progress, stop_now)
    answer = merge(1_c_int32_t, 0_c_int32_t, stop_now)
  end function

  function call_on_batch(progress, user) bind(C, name="") result(answer)
    type(kmc_progress), intent(in) :: progress
    type(c_ptr), value :: user
    integer(c_int32_t) :: answer
    type(hooks_t), pointer :: hooks
    procedure(kmc_progress_hook), pointer :: hook
    logical :: stop_now
    call c_f_pointer(user, hooks)
    call c_f_procpointer(hooks%on_batch, hook)
    stop_now = .false.
    call hook(progress, stop_now)
    answer = merge(1_c_int32_t, 0_c_int32_t, stop_now)
  end function

  subroutine call_log(line, user) bind(C, name="")
    type(c_ptr), value :: line, user
    type(hooks_t), pointer :: hooks
    procedure(kmc_log_hook), pointer :: hook
    call c_f_pointer(user, hooks)
    if (hooks%aloud == 1) write (output_unit, '(a)') text_of(line)
    if (.not. c_associated(hooks%log)) return
    call c_f_procpointer(hooks%log, hook)
    call hook(text_of(line))
  end subroutine

  function call_value(x, user) bind(C, name="") result(y)
    real(c_double), value :: x
    type(c_ptr), value :: user
    real(c_double) :: y
    type(hook_t), pointer :: hook
    procedure(kmc_value_function), pointer :: f
    call c_f_pointer(user, hook)
    call c_f_procpointer(hook%f, f)
    y = f(x)
  end function

  function call_loss(loss, w, n, user) bind(C, name="") result(status)
    real(c_double), intent(out) :: loss
    type(c_ptr), value :: w, user
    integer(c_int64_t), value :: n
    integer(c_int32_t) :: status
    type(hook_t), pointer :: hook
    procedure(kmc_loss_function), pointer :: f
    real(c_double), pointer :: values(:)
    call c_f_pointer(user, hook)
    call c_f_procpointer(hook%f, f)
    call c_f_pointer(w, values, [n])
    loss = f(values)
    status = kmc_ok
  end function

  function call_classify(point, user) bind(C, name="") result(class)
    real(c_float), intent(in) :: point(2)
    type(c_ptr), value :: user
    integer(c_int32_t) :: class
    type(hook_t), pointer :: hook
    procedure(kmc_classifier), pointer :: f
    call c_f_pointer(user, hook)
    call c_f_procpointer(hook%f, f)
    class = f(point) - 1
  end function

  ! ----------------------------------------------------------------------------------------------------
  ! Private: outcomes
  ! ----------------------------------------------------------------------------------------------------

  ! The end of every procedure: what the library answered, as ALLOCATE would say it.
  subroutine finish(status, stat, errmsg)
    integer(c_int32_t), intent(in) :: status
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    if (status == kmc_ok) then
      if (present(stat)) stat = kmc_ok
    else
      call fail(status, text_of(c_last_error()), stat, errmsg)
    end if
  end subroutine

  subroutine fail(status, sentence, stat, errmsg)
    integer(c_int32_t), intent(in) :: status
    character(len=*), intent(in) :: sentence
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    if (present(errmsg)) errmsg = sentence
    if (present(stat)) then
      stat = status
    else
      write (error_unit, '(4a)') 'kamacite: ', text_of(c_status_name(status)), ': ', sentence
      error stop 1
    end if
  end subroutine

  subroutine refuse_copy(what, hint)
    character(len=*), intent(in) :: what, hint
    call fail(kmc_err_order, 'assignment of a ' // what // ' would give it two owners: ' // hint)
  end subroutine

  ! What a final procedure does with a status: nothing can be done about it there.
  subroutine ignore(status)
    integer(c_int32_t), intent(in) :: status
    if (status == kmc_ok) return
  end subroutine

  subroutine take_text(status, text, answer, stat, errmsg)
    integer(c_int32_t), intent(in) :: status
    type(c_ptr), intent(in) :: text
    character(len=:), allocatable, intent(out) :: answer
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    answer = ''
    if (status == kmc_ok) answer = text_of(text)
    call finish(status, stat, errmsg)
  end subroutine

  ! ----------------------------------------------------------------------------------------------------
  ! Private: texts
  ! ----------------------------------------------------------------------------------------------------

  function text_of(text) result(answer)
    type(c_ptr), intent(in) :: text
    character(len=:), allocatable :: answer
    character(kind=c_char), pointer :: letters(:)
    integer :: i, n
    if (.not. c_associated(text)) then
      answer = ''
      return
    end if
    n = int(c_strlen(text))
    call c_f_pointer(text, letters, [n])
    allocate(character(len=n) :: answer)
    do i = 1, n
      answer(i:i) = letters(i)
    end do
  end function

  ! The address of a copy of the text that C can read, or NULL where there is none.
  function hold(store, text) result(at)
    character(len=:), allocatable, target, intent(inout) :: store
    character(len=*), intent(in), optional :: text
    type(c_ptr) :: at
    at = c_null_ptr
    if (.not. present(text)) return
    store = trim(text) // c_null_char
    at = c_loc(store)
  end function

  ! The same for a component that may not be allocated.
  function hold_component(store, text) result(at)
    character(len=:), allocatable, target, intent(inout) :: store
    character(len=:), allocatable, intent(in) :: text
    type(c_ptr) :: at
    at = c_null_ptr
    if (allocated(text)) at = hold(store, text)
  end function

  subroutine hold_all(store, at, texts)
    type(text_t), allocatable, target, intent(inout) :: store(:)
    type(c_ptr), allocatable, intent(out) :: at(:)
    character(len=*), intent(in) :: texts(:)
    integer :: i
    if (allocated(store)) deallocate (store)
    allocate (store(size(texts)), at(size(texts)))
    do i = 1, size(texts)
      at(i) = hold(store(i)%text, texts(i))
    end do
  end subroutine

  ! "(4, 150)"
  pure function tuple(n) result(text)
    integer(int64), intent(in) :: n(:)
    character(len=:), allocatable :: text
    character(len=20) :: digits
    integer :: i
    text = '('
    do i = 1, size(n)
      write (digits, '(i0)') n(i)
      if (i > 1) text = text // ', '
      text = text // trim(digits)
    end do
    text = text // ')'
  end function

  ! The shape of an array for samples (c, w, h, d): "(3, 48, 48, n)".
  pure function wanted_shape(e, samples) result(text)
    integer(int64), intent(in) :: e(:)
    logical, intent(in) :: samples
    character(len=:), allocatable :: text
    integer :: last
    do last = 4, 2, -1
      if (e(last) /= 1) exit
    end do
    text = tuple(e(1:last))
    if (samples) text = text(1:len(text) - 1) // ', n)'
  end function

  pure function label_sentence(label, sample, classes) result(text)
    integer, intent(in) :: label, classes
    integer(int64), intent(in) :: sample
    character(len=:), allocatable :: text
    character(len=100) :: line
    write (line, '(a, i0, a, i0, a, i0)') 'class of sample ', sample, ': expected 1 to ', classes, ', got ', label
    text = trim(line)
  end function

  ! ----------------------------------------------------------------------------------------------------
  ! Private: arguments
  ! ----------------------------------------------------------------------------------------------------

  pure integer(c_int32_t) function int_or(value, otherwise)
    integer, intent(in), optional :: value
    integer, intent(in) :: otherwise
    int_or = otherwise
    if (present(value)) int_or = value
  end function

  pure real(c_double) function real_or(value, otherwise)
    real(real64), intent(in), optional :: value
    real(real64), intent(in) :: otherwise
    real_or = otherwise
    if (present(value)) real_or = value
  end function

  pure function text_or(value, otherwise)
    character(len=*), intent(in), optional :: value
    character(len=*), intent(in) :: otherwise
    character(len=:), allocatable :: text_or
    text_or = otherwise
    if (present(value)) text_or = value
  end function

  ! A truth value as C has it, or its opposite.
  pure integer(c_int32_t) function flag(value, otherwise, opposite)
    logical, intent(in), optional :: value, opposite
    logical, intent(in) :: otherwise
    logical :: it
    it = otherwise
    if (present(value)) it = value
    if (present(opposite)) it = it .neqv. opposite
    flag = merge(1_c_int32_t, 0_c_int32_t, it)
  end function

  ! The arrays that the boundary takes.
  type(array_t) function seen_f32_1(x) result(a)
    real(real32), intent(in), contiguous, target :: x(:)
    a = array_at(c_loc(x), 4, shape(x, int64))
  end function
  type(array_t) function seen_f32_2(x) result(a)
    real(real32), intent(in), contiguous, target :: x(:, :)
    a = array_at(c_loc(x), 4, shape(x, int64))
  end function
  type(array_t) function seen_f32_3(x) result(a)
    real(real32), intent(in), contiguous, target :: x(:, :, :)
    a = array_at(c_loc(x), 4, shape(x, int64))
  end function
  type(array_t) function seen_f32_4(x) result(a)
    real(real32), intent(in), contiguous, target :: x(:, :, :, :)
    a = array_at(c_loc(x), 4, shape(x, int64))
  end function
  type(array_t) function seen_f32_5(x) result(a)
    real(real32), intent(in), contiguous, target :: x(:, :, :, :, :)
    a = array_at(c_loc(x), 4, shape(x, int64))
  end function
  type(array_t) function seen_f64_1(x) result(a)
    real(real64), intent(in), contiguous, target :: x(:)
    a = array_at(c_loc(x), 8, shape(x, int64))
  end function
  type(array_t) function seen_f64_2(x) result(a)
    real(real64), intent(in), contiguous, target :: x(:, :)
    a = array_at(c_loc(x), 8, shape(x, int64))
  end function
  type(array_t) function seen_f64_3(x) result(a)
    real(real64), intent(in), contiguous, target :: x(:, :, :)
    a = array_at(c_loc(x), 8, shape(x, int64))
  end function
  type(array_t) function seen_f64_4(x) result(a)
    real(real64), intent(in), contiguous, target :: x(:, :, :, :)
    a = array_at(c_loc(x), 8, shape(x, int64))
  end function
  type(array_t) function seen_f64_5(x) result(a)
    real(real64), intent(in), contiguous, target :: x(:, :, :, :, :)
    a = array_at(c_loc(x), 8, shape(x, int64))
  end function

  pure type(array_t) function array_at(at, bytes, extent) result(a)
    type(c_ptr), intent(in) :: at
    integer, intent(in) :: bytes
    integer(int64), intent(in) :: extent(:)
    a%at = at
    a%bytes = bytes
    a%rank = size(extent)
    a%shape(1:size(extent)) = extent
  end function

  pure integer(c_int64_t) function values_in(a)
    type(array_t), intent(in) :: a
    values_in = product(a%shape(1:a%rank))
  end function

  pure integer(c_int64_t) function samples_in(a)
    type(array_t), intent(in) :: a
    samples_in = a%shape(a%rank)
  end function

  ! c, w, h, d and the number of samples of an array in a layout.
  pure subroutine extents_of(a, layout, e, n)
    type(array_t), intent(in) :: a
    integer, intent(in) :: layout
    integer(c_int64_t), intent(out) :: e(4), n
    integer :: r
    r = a%rank
    e = 1
    n = a%shape(r)
    select case (layout)
    case (kmc_feature_major)
      n = a%shape(1)
      e(1:r - 1) = a%shape(2:r)
    case (kmc_channels_first)
      e(1) = a%shape(r - 1)
      e(2:r - 1) = a%shape(1:r - 2)
    case default
      e(1:r - 1) = a%shape(1:r - 1)
    end select
  end subroutine

  ! Checks an array against samples (c, w, h, d) and their number (negative: any); e(1) = 0: not known. Rank 1 is left to
  ! the library, which counts values; rank 2 is (features, n).
  logical function fits(name, a, e, n, stat, errmsg) result(ok)
    character(len=*), intent(in) :: name
    type(array_t), intent(in) :: a
    integer(int64), intent(in) :: e(:), n
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    integer(int64) :: given(4)
    ok = .true.
    if (a%rank == 1 .or. e(1) == 0) return
    if (a%rank == 2) then
      ok = a%shape(1) == product(e)
    else
      given = 1
      given(1:a%rank - 1) = a%shape(1:a%rank - 1)
      ok = all(given == e)
    end if
    if (n >= 0) ok = ok .and. a%shape(a%rank) == n
    if (ok) return
    if (n >= 0) then
      call fail(kmc_err_shape, name // ': expected ' // wanted_shape(e, .true.) // ' with n = ' // count_text(n) // ', got ' // &
          tuple(a%shape(1:a%rank)), stat, errmsg)
    else
      call fail(kmc_err_shape, name // ': expected ' // wanted_shape(e, .true.) // ', got ' // tuple(a%shape(1:a%rank)), &
          stat, errmsg)
    end if
  end function

  pure function count_text(n) result(text)
    integer(int64), intent(in) :: n
    character(len=:), allocatable :: text
    character(len=20) :: digits
    write (digits, '(i0)') n
    text = trim(digits)
  end function

  ! A number as the name of a class.
  pure character(len=11) function numbered(i)
    integer, intent(in) :: i
    write (numbered, '(i0)') i
  end function

  logical function same_shape(name, given, wanted, stat, errmsg) result(ok)
    character(len=*), intent(in) :: name
    integer(int64), intent(in) :: given(:), wanted(:)
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    ok = all(given == wanted)
    if (.not. ok) call fail(kmc_err_shape, name // ': expected ' // tuple(wanted) // ', got ' // tuple(given), stat, errmsg)
  end function

  logical function alike(name, given, wanted, stat, errmsg) result(ok)
    character(len=*), intent(in) :: name
    type(array_t), intent(in) :: given, wanted
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    ok = same_shape(name, given%shape(1:given%rank), wanted%shape(1:wanted%rank), stat, errmsg)
  end function

  logical function is_square(extent, stat, errmsg) result(ok)
    integer, intent(in) :: extent(2)
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    ok = extent(1) == extent(2) .and. extent(1) > 0
    if (.not. ok) call fail(kmc_err_shape, 'confusion: expected (classes, classes), got ' // &
        tuple(int(extent, int64)), stat, errmsg)
  end function

  ! The first label outside 1 to classes; 0: none is.
  pure integer(int64) function outside(labels, n, classes)
    integer(int64), intent(in) :: n
    integer, intent(in) :: labels(n), classes
    integer(int64) :: i
    outside = 0
    do i = 1, n
      if (labels(i) < 1 .or. labels(i) > classes) then
        outside = i
        return
      end if
    end do
  end function

  logical function labels_ok(labels, classes, stat, errmsg) result(ok)
    integer, intent(in) :: labels(:), classes
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    integer(int64) :: wrong
    wrong = outside(labels, size(labels, kind=int64), classes)
    ok = wrong == 0
    if (.not. ok) call fail(kmc_err_value, label_sentence(labels(wrong), wrong, classes), stat, errmsg)
  end function

  logical function extents_ok(shape, stat, errmsg) result(ok)
    integer, intent(in) :: shape(:)
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    ok = size(shape) >= 1 .and. size(shape) <= 4
    if (.not. ok) call fail(kmc_err_shape, 'shape: expected [c], [c, w], [c, w, h] or [c, w, h, d], got ' // &
        tuple(int(shape, int64)), stat, errmsg)
  end function

  ! [c], [c, w], [c, w, h] or [c, w, h, d] as c, w, h, d.
  pure function extents(shape) result(e)
    integer, intent(in) :: shape(:)
    integer(c_int64_t) :: e(4)
    e = 1
    e(1:size(shape)) = shape
  end function

  ! One, two or three sizes each?
  logical function sizes_ok(stat, errmsg, a, b, c, d, e, f) result(ok)
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    integer, intent(in), optional :: a(:), b(:), c(:), d(:), e(:), f(:)
    ok = few(a) .and. few(b) .and. few(c) .and. few(d) .and. few(e) .and. few(f)
    if (.not. ok) call fail(kmc_err_shape, 'sizes along directions: expected [w], [w, h] or [w, h, d]', stat, errmsg)
  contains
    pure logical function few(n)
      integer, intent(in), optional :: n(:)
      few = .true.
      if (present(n)) few = size(n) >= 1 .and. size(n) <= 3
    end function
  end function

  ! [w], [w, h] or [w, h, d] as d, h, w; `neutral` along the others, and everywhere where nothing is given.
  pure function axes(n, neutral) result(dhw)
    integer, intent(in), optional :: n(:)
    integer, intent(in) :: neutral
    integer(c_int64_t) :: dhw(3)
    dhw = neutral
    if (present(n)) dhw(3:4 - size(n):-1) = n
  end function

  ! The same for a layer, where all 0 means: not given.
  pure function sizes(n, neutral) result(c)
    integer, intent(in), optional :: n(:)
    integer, intent(in) :: neutral
    type(c_sizes_t) :: c
    integer(c_int64_t) :: dhw(3)
    if (.not. present(n)) return
    dhw = axes(n, neutral)
    c%d = dhw(1)
    c%h = dhw(2)
    c%w = dhw(3)
  end function

  ! ----------------------------------------------------------------------------------------------------
  ! Private: options and results, between Fortran and C
  ! ----------------------------------------------------------------------------------------------------

  ! What every layer has.
  type(c_node_options_t) function node_options(store, from, name) result(c)
    character(len=:), allocatable, target, intent(inout) :: store
    integer, intent(in), optional :: from
    character(len=*), intent(in), optional :: name
    c%size = int(c_sizeof(c), c_int32_t)
    c%input = int_or(from, kmc_last)
    c%name = hold(store, name)
  end function

  type(c_fits_options_t) function fits_options(store, hdu, hdu_name, missing, fill) result(c)
    character(len=:), allocatable, target, intent(inout) :: store
    integer, intent(in), optional :: hdu, missing
    character(len=*), intent(in), optional :: hdu_name
    real(real64), intent(in), optional :: fill
    c%size = int(c_sizeof(c), c_int32_t)
    c%hdu = int_or(hdu, kmc_first_hdu)
    c%hdu_name = hold(store, hdu_name)
    c%missing = int_or(missing, kmc_missing_error)
    c%fill = real_or(fill, 0.0_real64)
  end function

  subroutine fill_files(c, store, prepare, classes, values, columns, bands, hdu, hdu_name, skip_bad, folder)
    type(c_files_options_t), intent(inout) :: c
    type(files_store_t), target, intent(inout) :: store
    character(len=*), intent(in), optional :: folder, prepare, classes(:), columns(:), hdu_name
    logical, intent(in), optional :: values, bands, skip_bad
    integer, intent(in), optional :: hdu
    c%size = int(c_sizeof(c), c_int32_t)
    c%skip_bad = flag(skip_bad, .false.)
    c%prepare = hold(store%prepare, prepare)
    if (present(classes)) then
      call hold_all(store%classes, store%at_classes, classes)
      c%classes = c_loc(store%at_classes)
      c%n_classes = size(classes, kind=c_int64_t)
    end if
    c%folder = hold(store%folder, folder)
    if (present(columns)) then
      call hold_all(store%columns, store%at_columns, columns)
      c%columns = c_loc(store%at_columns)
      c%n_columns = size(columns, kind=c_int64_t)
    end if
    c%hdu = int_or(hdu, kmc_first_hdu)
    c%values = flag(values, .false.)
    c%hdu_name = hold(store%hdu_name, hdu_name)
    c%bands = flag(bands, .false.)
  end subroutine

  ! What convolutions have, however their sizes are given.
  subroutine fill_conv(c, store, from, name, bias, init, init_value, bias_init, a, b)
    type(c_conv_options_t), intent(inout) :: c
    character(len=:), allocatable, target, intent(inout) :: store
    integer, intent(in), optional :: from, init
    character(len=*), intent(in), optional :: name
    logical, intent(in), optional :: bias
    real(real64), intent(in), optional :: init_value, bias_init, a, b
    c%size = int(c_sizeof(c), c_int32_t)
    c%input = int_or(from, kmc_last)
    c%name = hold(store, name)
    c%no_bias = flag(bias, .true., .true.)
    c%init = int_or(init, 0)
    c%init_value = real_or(init_value, 0.0_real64)
    c%bias_init = real_or(bias_init, 0.0_real64)
    c%a = real_or(a, 0.0_real64)
    c%b = real_or(b, 0.0_real64)
  end subroutine

  type(c_optimizer_options_t) function optimizer_of(o) result(c)
    type(kmc_optimizer_options), intent(in) :: o
    c%size = int(c_sizeof(c), c_int32_t)
    c%kind = o%kind
    c%learning_rate = o%learning_rate
    c%momentum = o%momentum
    c%weight_decay = o%weight_decay
    c%nesterov = flag(o%nesterov, .false.)
    c%velocity_form = flag(o%velocity_form, .false.)
    c%beta1 = o%beta1
    c%beta2 = o%beta2
    c%eps = o%eps
    c%rho = o%rho
    c%amsgrad = flag(o%amsgrad, .false.)
    c%centered = flag(o%centered, .false.)
  end function

  subroutine fill_loss(c, store, o)
    type(c_loss_options_t), intent(out) :: c
    type(loss_store_t), target, intent(inout) :: store
    type(kmc_loss_options), intent(in) :: o
    c%size = int(c_sizeof(c), c_int32_t)
    c%kind = o%kind
    c%output = hold_component(store%output, o%output)
    c%factor = o%factor
    c%smoothing = o%smoothing
    c%delta = o%delta
    c%positive = o%positive
    c%lowest = o%lowest
    c%highest = o%highest
    c%temperature = o%temperature
    if (allocated(o%class_weights)) then
      allocate (store%class_weights, source=o%class_weights)
      c%class_weights = c_loc(store%class_weights)
      c%n_class_weights = size(store%class_weights, kind=c_int64_t)
    end if
  end subroutine

  subroutine hold_losses(store, losses)
    type(trainer_store_t), target, intent(inout) :: store
    type(kmc_loss_options), allocatable, intent(in) :: losses(:)
    integer :: i
    if (.not. allocated(losses)) return
    if (size(losses) == 0) return
    allocate (store%more(size(losses)), store%more_losses(size(losses)))
    do i = 1, size(losses)
      call fill_loss(store%more_losses(i), store%more(i), losses(i))
    end do
  end subroutine

  subroutine fill_trainer(c, store, o)
    type(c_trainer_options_t), intent(out) :: c
    type(trainer_store_t), target, intent(inout) :: store
    type(kmc_trainer_options), intent(in) :: o
    c%size = int(c_sizeof(c), c_int32_t)
    c%batch = o%batch
    c%seed = o%seed
    c%device = hold_component(store%device, o%device)
    c%threads = o%threads
    c%precision = o%precision
    call fill_loss(c%loss, store%loss, o%loss)
    c%optimizer = optimizer_of(o%optimizer)
    c%schedule%size = int(c_sizeof(c%schedule), c_int32_t)
    c%schedule%kind = o%schedule%kind
    c%schedule%period = o%schedule%period
    c%schedule%growth = o%schedule%growth
    c%schedule%factor = o%schedule%factor
    c%schedule%floor = o%schedule%floor
    c%schedule%rate = o%schedule%rate
    c%schedule%power = o%schedule%power
    if (allocated(o%schedule%milestones)) then
      allocate (store%milestones, source=o%schedule%milestones)
      c%schedule%milestones = c_loc(store%milestones)
      c%schedule%n_milestones = size(store%milestones, kind=c_int64_t)
    end if
    c%schedule%warm_up = o%schedule%warm_up
    c%schedule%per_epoch = flag(o%schedule%per_epoch, .false.)
    call hold_losses(store, o%more_losses)
    if (allocated(store%more_losses)) then
      c%more_losses = c_loc(store%more_losses)
      c%n_more_losses = size(store%more_losses, kind=c_int64_t)
    end if
    c%clip = o%clip
    c%clip_bound = o%clip_bound
    c%spare_biases = flag(o%spare_biases, .false.)
    c%ema_decay = o%ema_decay
    c%ema_warm_up = flag(o%ema_warm_up, .false.)
    c%keep_order = flag(o%keep_order, .false.)
    c%accumulate = o%accumulate
    c%validate_every = o%validate_every
    c%early_patience = o%early_patience
    c%early_min_delta = o%early_min_delta
    c%early_warm_up = o%early_warm_up
    c%watch_accuracy = flag(o%watch_accuracy, .false.)
    c%plateau_factor = o%plateau_factor
    c%plateau_patience = o%plateau_patience
    c%plateau_threshold = o%plateau_threshold
    c%plateau_cooldown = o%plateau_cooldown
    c%plateau_floor = o%plateau_floor
    c%checkpoint = hold_component(store%checkpoint, o%checkpoint)
    c%checkpoint_every = o%checkpoint_every
    c%best = hold_component(store%best, o%best)
    c%resume = hold_component(store%resume, o%resume)
  end subroutine

  pure type(kmc_scores) function scores_of(c) result(scores)
    type(c_scores_t), intent(in) :: c
    scores%samples = c%samples
    scores%classes = int(c%classes)
    scores%loss = c%loss
    scores%accuracy = c%accuracy
    scores%rmse = c%rmse
    scores%r2 = c%r2
  end function

  pure type(kmc_report) function report_of(c) result(report)
    type(c_report_t), intent(in) :: c
    report%ended = c%ended
    report%epochs = c%epochs
    report%steps = c%steps
    report%loss = c%loss
    report%seconds = c%seconds
    report%rate = c%rate
    report%valid = scores_of(c%valid)
  end function

end module kamacite
