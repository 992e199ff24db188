"""TensorFlow and Keras, channels last, oneDNN on. Variants: fn (a tf.function around a Keras model, momentum by TensorFlow's own fused
update), i1 (the same with one inter-op thread), xla (fn, jit_compile), fit (Keras' model.fit and model.predict)."""
import os
import time

import common
import workload

VARIANTS = ["fn", "i1", "xla", "fit"]
o = common.cli(VARIANTS)
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ["CUDA_VISIBLE_DEVICES"] = ""
begun = time.perf_counter()
import numpy as np
import tensorflow as tf
import keras

tf.config.threading.set_intra_op_parallelism_threads(o.threads)
tf.config.threading.set_inter_op_parallelism_threads(1 if "i1" in o.variants else o.threads)
IMPORT = time.perf_counter() - begun
L = keras.layers
CONV = {1: L.Conv1D, 2: L.Conv2D, 3: L.Conv3D}
TRANSPOSED = {1: L.Conv1DTranspose, 2: L.Conv2DTranspose, 3: L.Conv3DTranspose}
PAD = {1: L.ZeroPadding1D, 2: L.ZeroPadding2D, 3: L.ZeroPadding3D}
CROP = {1: L.Cropping1D, 2: L.Cropping2D, 3: L.Cropping3D}
POOL = {1: L.MaxPooling1D, 2: L.MaxPooling2D, 3: L.MaxPooling3D}
AVERAGE = {1: L.GlobalAveragePooling1D, 2: L.GlobalAveragePooling2D, 3: L.GlobalAveragePooling3D}


def sides(p):
    return p[0] if len(p) == 1 else tuple(p)


def convolution(l, h, nd):
    """'same' pads inside of the kernel where the stride is 1; other padding needs a layer of its own."""
    same = all(s == 1 and 2 * p == k - 1 for k, s, p in zip(l["k"], l["s"], l["p"]))
    if not same and any(l["p"]):
        h = PAD[nd](sides(l["p"]))(h)
    return CONV[nd](l["c"], tuple(l["k"]), tuple(l["s"]), padding="same" if same else "valid")(h)


def model_of(spec):
    nd = len(spec["input"]) - 1
    inputs = h = keras.Input(tuple(workload.last(spec["input"])))
    saved = {}
    for l in spec["layers"]:
        t = l["t"]
        if t == "conv":
            h = convolution(l, h, nd)
        elif t == "convt":
            h = TRANSPOSED[nd](l["c"], tuple(l["k"]), tuple(l["s"]), padding="valid")(h)
            h = CROP[nd](sides(l["p"]))(h) if any(l["p"]) else h
        elif t == "save":
            saved[l["n"]] = h
        elif t == "concat":
            h = L.Concatenate()([h, saved[l["n"]]])
        else:
            h = {"bn": lambda: L.BatchNormalization(momentum=0.9, epsilon=1e-5), "gn": lambda: L.GroupNormalization(l["g"], epsilon=1e-5),
                 "relu": L.ReLU, "maxpool": lambda: POOL[nd](l["k"]), "gap": lambda: AVERAGE[nd](), "flatten": L.Flatten,
                 "dense": lambda: L.Dense(l["n"]), "dropout": lambda: L.Dropout(l["p"])}[t]()(h)
    return keras.Model(inputs, h)


def count(model):
    """Multiply-accumulates of one sample from the kernels and the outputs (transposed: inputs) of the model's layers."""
    macs = 0
    for layer in model.layers:
        if "Transpose" in type(layer).__name__:
            macs += workload.product(layer.kernel.shape) * workload.product(layer.input.shape[1:-1])
        elif hasattr(layer, "kernel"):
            macs += workload.product(layer.kernel.shape) * workload.product(layer.output.shape[1:-1])
    return macs


def load(model, path):
    """Trainable variables stand in the order of the layers, weights before biases, axes as in the file."""
    f = workload.read(path)
    for j, v in enumerate(model.trainable_variables):
        v.assign(f["p%d" % j])


def updates(var):
    """One fused update of each variable: TensorFlow's own kernels for momentum and Adam."""
    slots = [[tf.Variable(tf.zeros_like(v)) for _ in range(1 + (o.optimizer == "adam"))] for v in var]
    powers = [tf.Variable(0.9), tf.Variable(0.999)]

    def update(grads):
        for v, s, g in zip(var, slots, grads):
            if o.optimizer == "adam":
                tf.raw_ops.ResourceApplyAdam(var=v.value.handle, m=s[0].handle, v=s[1].handle, beta1_power=powers[0], beta2_power=powers[1],
                                             lr=o.lr, beta1=0.9, beta2=0.999, epsilon=1e-8, grad=g)
            else:
                tf.raw_ops.ResourceApplyMomentum(var=v.value.handle, accum=s[0].handle, lr=o.lr, grad=g, momentum=0.9)
        if o.optimizer == "adam":
            powers[0].assign(powers[0] * 0.9)
            powers[1].assign(powers[1] * 0.999)

    return update


def keras_loops(model, spec, xs, ys):
    """What a user writes: model.fit and model.predict over a data set in memory."""
    ce = spec["loss"] == "ce"
    rule = keras.optimizers.Adam(o.lr) if o.optimizer == "adam" else keras.optimizers.SGD(o.lr, momentum=0.9)
    model.compile(optimizer=rule, loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True) if ce else keras.losses.MeanSquaredError())
    both = tf.data.Dataset.from_tensors((xs, ys)).cache().repeat().prefetch(2)
    only = tf.data.Dataset.from_tensors(xs).cache().repeat().prefetch(2)
    if o.mode == "train":
        return lambda n: model.fit(both, steps_per_epoch=n, epochs=1, verbose=0)
    return lambda n: model.predict(only, steps=n, verbose=0)


def build(o, variant):
    keras.backend.clear_session()
    keras.utils.set_random_seed(0)
    spec = o.spec
    ce = spec["loss"] == "ce"
    model = model_of(spec)
    want = workload.last(spec["output"])
    assert list(model.output.shape[1:]) == want, (model.output.shape, want)
    if o.weights:
        load(model, o.weights)
    params = int(sum(np.prod(v.shape) for v in model.trainable_variables))
    data = workload.batch(spec, o.batch)
    if variant == "fit":
        return common.Built(params, count(model), keras_loops(model, spec, data["x"], data["y"]))
    x, y = tf.constant(data["x"]), tf.constant(data["y"])
    update = updates(model.trainable_variables)

    def error(p, y):
        if ce:
            return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(y, p))
        return tf.reduce_mean(tf.square(p - y))

    @tf.function(jit_compile=variant == "xla")
    def train(x, y):
        with tf.GradientTape() as tape:
            loss = error(model(x, training=True), y)
        update(tape.gradient(loss, model.trainable_variables))
        return loss

    @tf.function(jit_compile=variant == "xla")
    def infer(x):
        return model(x, training=False)

    def step(n):
        for _ in range(n):
            r = train(x, y) if o.mode == "train" else infer(x)
        r.numpy()

    return common.Built(params, count(model), step, lambda x, y: train(tf.constant(x), tf.constant(y)).numpy(),
                        lambda x, y: error(infer(tf.constant(x)), tf.constant(y)).numpy())


common.main(o, "tensorflow", tf.__version__ + "/keras " + keras.__version__, IMPORT, build)
