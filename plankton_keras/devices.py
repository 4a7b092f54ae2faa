"""Devices and arithmetic: which precision pays where, and that the same seed gives the same run."""

import keras

from plankton_keras.errors import SettingError


def choose_precision(wish, has_gpu):
    """Decides the Keras dtype policy.

    Args:
        wish: `auto` or the name of a policy.
        has_gpu: Whether an accelerator computes.

    Returns:
        `float32`, `mixed_float16` or `mixed_bfloat16`.

    Example:

    >>> choose_precision("auto", has_gpu=False), choose_precision("auto", has_gpu=True)
    ('float32', 'mixed_float16')
    """
    if wish != "auto":
        return wish
    return "mixed_float16" if has_gpu else "float32"


def has_gpu():
    """Tells whether Keras' backend sees an accelerator."""
    return any(not device.lower().startswith("cpu") for device in keras.distribution.list_devices())


def prepare(precision, seed):
    """Sets precision and seeds for everything that follows in this process.

    Under the JAX backend TensorFlow only feeds data, and must not take the GPU's memory.

    Args:
        precision: `auto` or the name of a Keras dtype policy.
        seed: Seed of Python, NumPy and the backend.

    Returns:
        The policy chosen.

    Raises:
        SettingError: If the backend of Keras is neither TensorFlow nor JAX.
    """
    import tensorflow as tf

    if keras.config.backend() not in ("tensorflow", "jax"):
        raise SettingError(
            f"KERAS_BACKEND is {keras.config.backend()}.", "tensorflow or jax.", "unset KERAS_BACKEND or choose jax."
        )
    if keras.config.backend() == "jax":
        tf.config.set_visible_devices([], "GPU")
    chosen = choose_precision(precision, has_gpu())
    keras.mixed_precision.set_global_policy(chosen)
    keras.utils.set_random_seed(seed)
    tf.config.experimental.enable_op_determinism()
    # Grappler rewrites a large graph differently in each process, which changes the order of sums: two runs of an
    # EfficientNet with the same seed then differ in the last digits.
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
    return chosen
