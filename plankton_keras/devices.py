"""Devices and arithmetic: which precision pays where, what trains together, and the same run from the same seed."""

import contextlib
import os
from dataclasses import dataclass

import keras

from plankton_keras.errors import SettingError

# What tells Keras which other processes train with this one.
JOB = ("KERAS_DISTRIBUTION_JOB_ADDRESSES", "KERAS_DISTRIBUTION_NUM_PROCESSES", "KERAS_DISTRIBUTION_PROCESS_ID")


@dataclass(frozen=True)
class Team:
    """The devices that train one model together, and of the processes that feed them, which this one is.

    Example:

    >>> Team(devices=2).share(4), Team(devices=2).fill(3)
    (2, 4)
    """

    devices: int = 1
    processes: int = 1
    process: int = 0

    def share(self, batch_size):
        """Gives how many rows of a batch each device takes; raises a SettingError if they do not come out even."""
        if batch_size % self.devices:
            raise SettingError(
                f"--batch-size is {batch_size}, but {self.devices} devices train together.",
                f"a multiple of {self.devices}.",
                f"add --batch-size {self.fill(batch_size)}, or show fewer devices with CUDA_VISIBLE_DEVICES.",
            )
        return batch_size // self.devices

    def fill(self, count):
        """Rounds a number up, so that every device gets as many."""
        return -(-count // self.devices) * self.devices


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
    """Sets precision and seeds for everything that follows in this process, and joins the others that train with it.

    Under the JAX backend TensorFlow only feeds data, and must not take the GPU's memory.

    Args:
        precision: `auto` or the name of a Keras dtype policy.
        seed: Seed of Python, NumPy and the backend.

    Returns:
        The policy chosen.

    Raises:
        SettingError: If the backend of Keras is neither TensorFlow nor JAX, or the other processes cannot be joined.
    """
    import tensorflow as tf

    if keras.config.backend() not in ("tensorflow", "jax"):
        raise SettingError(
            f"KERAS_BACKEND is {keras.config.backend()}.", "tensorflow or jax.", "unset KERAS_BACKEND or choose jax."
        )
    if keras.config.backend() == "jax":
        tf.config.set_visible_devices([], "GPU")
    # Before the processes meet, or Keras has them agree on a seed of its own.
    keras.utils.set_random_seed(seed)
    # Before anything asks for devices: JAX takes no others after that.
    _join(os.environ)
    chosen = choose_precision(precision, has_gpu())
    keras.mixed_precision.set_global_policy(chosen)
    tf.config.experimental.enable_op_determinism()
    # Grappler rewrites a large graph differently in each process, which changes the order of sums: two runs of an
    # EfficientNet with the same seed then differ in the last digits.
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
    return chosen


def _join(environment):
    """Meets the other processes, if the environment names any."""
    missing = [name for name in JOB if not environment.get(name)]
    if len(missing) == len(JOB):
        return
    if missing or keras.config.backend() != "jax":
        raise SettingError(
            f"{', '.join(missing)} is not set." if missing else f"KERAS_BACKEND is {keras.config.backend()}.",
            f"jax and all of {', '.join(JOB)}, or none of them.",
            "see docs/train.md, More devices.",
        )
    keras.distribution.initialize()


def team():
    """Tells which devices train together: all accelerators of the backend, in all processes."""
    devices = len(keras.distribution.list_devices())
    if keras.config.backend() != "jax" or devices == 1:
        return Team(devices)
    spread = keras.distribution.DataParallel(auto_shard_dataset=False)
    return Team(devices, spread.num_processes, spread.data_shard_id)


def scope():
    """Gives the context, to be entered once, in which all devices build, compile and train one model.

    Under TensorFlow each device has a replica of the model, and batch normalisation and Dice see its part of the batch.
    JAX computes as if one device had the whole batch.
    """
    names = keras.distribution.list_devices()
    if len(names) == 1:
        return contextlib.nullcontext()
    if keras.config.backend() == "jax":
        return keras.distribution.DataParallel(auto_shard_dataset=False).scope()
    import tensorflow as tf

    return tf.distribute.MirroredStrategy(names).scope()
