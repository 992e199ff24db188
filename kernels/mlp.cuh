// What the parts of mlp.cu share: its arguments, and how a batch comes into shared memory.
#pragma once
#include "mma.cuh"
#include "optim.cuh"
#include "loss.cuh"

const u32 THREADS = 256, LAYERS = 8, RUNS = 8, STEPS = 256, AHEAD = 32, FROZEN = 0xffffffffu;

// As in network/mlp.rs. Places are in floats from the start of the shared memory, or of the flat arenas of parameters.
struct Layer {
    u32 k, n;                // inputs, units
    u32 terms;               // of a sum: the inputs, and the constant 1 of a bias
    u32 w, pitch;            // its weights in shared memory, a row of units for each term; a pitch that is odd avoids conflicts
    u32 x, x_pitch;          // inputs; those of the first layer are in two places in turn
    u32 y, y_pitch;          // outputs; behind them in each row the constant 1
    u32 z;                   // what the activation was applied to, where its slope wants that; with the pitch of y
    u32 dz, dz_pitch;        // gradients before the activation
    u32 weight, bias;        // in the arenas
    u32 weight_run, bias_run;
    u32 tiles;               // of weight gradients
    u32 forward_lanes, backward_lanes, forward_rows, backward_rows; // how sums are shared: see `sums`
    Divisor by_n, by_k;
    Activation act;
    u32 unused;
};

enum LossKind : u32 { SQUARE, ABSOLUTE, HUBER, CROSS_ENTROPY, BCE, GAUSSIAN, SOFTMAX_CROSS_ENTROPY };
enum TargetKind : u32 { NUMBERS, LABELS, ONE_HOT };
// As MlpLoss in loss/cuda.rs.
struct LossOf {
    const float* weights; // of classes or channels, or null
    double factor;        // on the sum over items
    u32 kind;
    u32 items, team; // as Rows in loss.cu; a team is part of a warp
    u32 c;           // classes, or channels
    float p, q;      // what the kind has for numbers
};

enum RuleKind : u32 { SGD, SGD_MOMENTUM, ADAM, ADAM_AMSGRAD, RMSPROP, RMSPROP_MOMENTUM, RMSPROP_CENTERED, RMSPROP_BOTH, ADADELTA };
struct RunOf { double lr_scale, decay; };

struct MlpArgs {
    Control* control;
    const u32* order;
    const float* x;
    const u32* t; // numbers or labels
    const float* w;
    float* weights;
    float* grads;
    float* word[3];
    float* average; // or null
    float* y;       // of the last step
    float* value;
    double factor;  // of the loss in the sum
    double ema;
    double rule[4]; // SgdRule, AdamRule, RmsPropRule or AdadeltaRule
    u64 update, cursor, samples;
    u32 batch, steps, layers, runs;
    u32 words, rule_kind, ema_flags, target_kind;
    u32 inputs, targets;
    u32 parameters; // floats of one array of parameters in shared memory
    u32 tile, tile_lanes; // terms of a weight gradient in a thread (1 or 4), and threads for each
    u32 tiles;
    u32 at_t, at_w, at_value, at_index, at_rules; // two batches of targets, weights and samples; losses; rules
    u32 equal_rates;                              // all rates are the first
    Divisor by_inputs, by_targets;
    LossOf loss;
    RunOf run[RUNS];
    Layer layer[LAYERS];
    double rate[STEPS];
};

// Of averages: their memory grows at first; they begin as the weights after the first update of this launch.
enum EmaFlag : u32 { WARM_UP = 1, BEGINS = 2 };

// What the block keeps of the control block.
struct Sums { double loss, last; u64 at; u32 diverged; };

// ----------------------------------------------------------------------------------------------------------- the batch

// A step: its number in the launch, its place in the epoch, its rows, and which of two places its batch lies in.
struct Now { u32 step, rows, half; };
DEVICE Now now_at(const MlpArgs& a, u32 step) {
    u64 from = a.cursor + (u64)step * a.batch;
    u64 left = step < a.steps && from < a.samples ? a.samples - from : 0;
    return {step, (u32)(left < a.batch ? left : a.batch), step & 1};
}

// Asks for which samples a step takes.
DEVICE void ask_index(const MlpArgs& a, float* s, Now to) {
    const u32* from = a.order + a.cursor + (u64)to.step * a.batch;
    float* at = s + a.at_index + to.half * a.batch;
    for (u32 i = threadIdx.x; i < to.rows; i += THREADS) copy_async<4>(shared_address(at + i), from + i);
}
// Asks for the samples themselves, once it is known which.
DEVICE void ask_batch(const MlpArgs& a, float* s, Now to) {
    const u32* sample = (const u32*)(s + a.at_index + to.half * a.batch);
    const Layer& l = a.layer[0];
    float *x = s + l.x + to.half * a.batch * l.x_pitch, *t = s + a.at_t + to.half * a.batch * a.targets;
    for (u32 i = threadIdx.x; i < to.rows * a.inputs; i += THREADS) {
        u32 row = quotient(i, a.by_inputs), k = i - row * a.inputs;
        copy_async<4>(shared_address(x + row * l.x_pitch + k), a.x + (u64)sample[row] * a.inputs + k);
    }
    for (u32 i = threadIdx.x; i < to.rows * a.targets; i += THREADS) {
        u32 row = quotient(i, a.by_targets);
        copy_async<4>(shared_address(t + i), a.t + (u64)sample[row] * a.targets + (i - row * a.targets));
    }
    float* w = s + a.at_w + to.half * a.batch;
    for (u32 i = threadIdx.x; i < to.rows; i += THREADS) copy_async<4>(shared_address(w + i), a.w + sample[i]);
}

// The sum over `lanes` neighbouring threads, a power of two.
DEVICE float lanes_sum(float v, u32 lanes) {
    for (u32 o = lanes / 2; o; o /= 2) v += __shfl_xor_sync(0xffffffffu, v, o);
    return v;
}
