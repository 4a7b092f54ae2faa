"""Our side of the benchmark: the network, loss and optimiser that `plankton train` uses, under JAX."""

import math
from functools import partial

import keras
import numpy as np

from plankton_keras.losses import SegmentationLoss
from plankton_keras.models import build_model
from plankton_keras.training import compile_model

NUM_CLASSES = 2


def build(config, precision):
    """Builds our network in a precision.

    Args:
        config: A `config.TrainConfig` of a unet.
        precision: Name of a Keras dtype policy.

    Returns:
        A `keras.Model` that gives logits of two classes.
    """
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(precision)
    try:
        return build_model(config, NUM_CLASSES)
    finally:
        keras.config.set_dtype_policy(before)


def forward_flops(model, window):
    """Counts the floating-point operations of the convolutions for one patch: two for each multiply-add.

    What else a network does is a few operations a pixel and is not counted, as is usual.

    Args:
        model: A functional `keras.Model` of square images.
        window: Side of the patch in pixels.

    Returns:
        A whole number; training takes three times as many, since the backward pass multiplies twice.
    """
    convolutions = [layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D)]
    outputs = keras.Model(model.inputs, [layer.output for layer in convolutions])
    shapes = outputs.compute_output_shape((1, window, window, 1))
    return sum(
        2 * math.prod(layer.kernel.shape) * height * width
        for layer, (_, height, width, _) in zip(convolutions, shapes, strict=True)
    )


def parameter_count(model):
    """Counts what is trained."""
    return sum(math.prod(variable.shape) for variable in model.trainable_variables)


def shake(model, seed=0):
    """Moves every weight and statistic a little, so that no two of a layer are alike and none can pass for another."""
    generator = np.random.default_rng(seed)
    for variable in model.weights:
        variable.assign(variable + generator.uniform(0.0, 0.2, variable.shape) * (len(variable.shape) == 1))


def weights_of(model):
    """Gives the arrays of each layer by its name, in Keras' order and layout."""
    return {layer.name: layer.get_weights() for layer in model.layers if layer.weights}


def logits_and_loss(model, images, masks):
    """Computes in float32 and without the shortcuts that accelerators take there.

    Args:
        model: A float32 `keras.Model`.
        images: float32 `(batch, height, width, 1)`, values 0..255.
        masks: uint8 class indices of the same shape.

    Returns:
        The logits `(batch, height, width, 2)` as an array, and the loss as a number.
    """
    import jax

    with jax.default_matmul_precision("highest"):
        logits = model(images, training=False)
        return np.asarray(logits), float(SegmentationLoss("bce_dice")(masks, logits))


class KerasSide:
    """A compiled model with its state on the device, stepped by the very functions that `fit` and `predict` call.

    Args:
        model: A `keras.Model` of `build`.
        config: Its `config.TrainConfig`.
        batch: `(images, masks)` as for `logits_and_loss`.
        scores: Whether training counts scores, as `plankton train` does.
    """

    name = "keras (jax)"

    def __init__(self, model, config, batch, scores):
        import jax

        compile_model(model, config)
        if not scores:
            model.compile(optimizer=model.optimizer, loss=model.loss)
        images, masks = (jax.device_put(array) for array in batch)
        # Builds optimiser and metrics, which only then have variables.
        model.train_on_batch(images, masks)
        model.make_predict_function()
        groups = (model.trainable_variables, model.non_trainable_variables)
        trained = (*groups, model.optimizer.variables, model.metrics_variables)
        self.training = _State(model.train_function, trained, (images, masks, None))
        self.prediction = _State(model.predict_function, groups, (images, None, None))

    def train(self):
        """Starts one step of training."""
        self.training.step()

    def infer(self):
        """Starts one batch of inference."""
        self.prediction.step()

    def wait(self):
        """Waits until everything that was started is done."""
        import jax

        jax.block_until_ready((self.training.results, self.prediction.results))

    def peak_bytes(self):
        """Gives the most memory of the device that JAX has held so far, or None where it does not count."""
        import jax

        return (jax.devices()[0].memory_stats() or {}).get("peak_bytes_in_use")


class _State:
    """A function of Keras' trainer, the state it hands from call to call, and a batch."""

    def __init__(self, function, groups, data):
        import jax.numpy as jnp

        # The function gives its arguments' memory to its results, so the model's own arrays stay out of it.
        self.state = tuple([jnp.copy(variable.value) for variable in group] for group in groups)
        self.function, self.data = function, data
        self.results = None

    def step(self):
        outputs, self.state = self.function(self.state, iter([self.data]))
        self.results = outputs, self.state


def device():
    """Gives `(kind, name)` of the device that JAX computes on: `gpu` or `cpu`, and what it is called."""
    import jax

    return jax.default_backend(), jax.devices()[0].device_kind


def versions():
    """Gives the versions of what computes on this side."""
    import jax
    import jaxlib

    return {"keras": keras.__version__, "jax": jax.__version__, "jaxlib": jaxlib.__version__}


def matrix_product(side):
    """Makes the large product in bfloat16 by which the device is measured.

    Args:
        side: Side of the square matrices.

    Returns:
        `(start, wait)`: a function that starts one product, and one that waits for what was started.
    """
    import jax
    import jax.numpy as jnp

    left, right = (jax.random.normal(jax.random.key(seed), (side, side), jnp.bfloat16) for seed in (0, 1))
    product, results = jax.jit(jnp.matmul), {}

    def start():
        results["last"] = product(left, right)

    return start, partial(jax.block_until_ready, results)
