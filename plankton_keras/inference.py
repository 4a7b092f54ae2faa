"""A run or an export as one callable: gray patches in, probabilities out. Always computed by TensorFlow."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from plankton_keras.errors import ArtefactError
from plankton_keras.export import METADATA, numbers
from plankton_keras.files import read_json, sha256
from plankton_keras.runs import Run
from plankton_keras.schema import check_version
from plankton_keras.taxa import Target

REEXPORT = "plankton export RUN --out DIR"


@dataclass(frozen=True)
class Predictor:
    """What prediction needs to know of a model, however it is stored.

    Attributes:
        probabilities: Function of uint8 `(batch, height, width)` to float32 `(batch, height, width, classes)`, which
            sums to 1 over the classes; height and width are multiples of `config.STRIDE`.
        classes: Class names by index; index 0 is everything that is not looked for.
        threshold: Probability of the other classes together from which a pixel counts as found.
        digest: SHA-256 of the model.
        source: Path of the run or export.
        target: The `taxa.Target` that it learned.
        training_scans: Stem by SHA-256 of the scans that it was trained on.
    """

    probabilities: Callable
    classes: tuple
    threshold: float
    digest: str
    source: str
    target: Target
    training_scans: dict


def load_predictor(path):
    """Loads a run or an export.

    Args:
        path: A run folder, or an export folder (its newest version is taken) or one version in it.

    Returns:
        A `Predictor`.

    Raises:
        ArtefactError: If it is neither, or damaged.
    """
    path = Path(path)
    run = Run(path)
    if run.config.is_file():
        return _of_run(run.open())
    version = path if (path / METADATA).is_file() else path / str(max(numbers(path), default=1))
    if not (version / METADATA).is_file():
        raise ArtefactError(
            f"{path} is neither a run nor an export.",
            "a folder with config.json and model.keras, or one with 1/saved_model.pb.",
            "give what plankton train or plankton export wrote.",
        )
    return _of_export(version)


def _of_run(run):
    """Compiles the Keras model of a run."""
    import keras
    import tensorflow as tf

    try:
        model = keras.saving.load_model(run.model, compile=False)
    except (OSError, ValueError, KeyError) as error:
        raise ArtefactError(
            f"{run.model} cannot be read: {str(error).splitlines()[0]}", "a whole Keras model.", "train again."
        ) from error

    @tf.function(reduce_retracing=True)
    def serve(images):
        return keras.ops.softmax(model(tf.cast(images, tf.float32)[..., None], training=False))

    provenance = run.read_provenance()
    return Predictor(
        probabilities=lambda images: serve(tf.constant(images)).numpy(),
        classes=tuple(provenance["classes"]),
        threshold=run.read_threshold(),
        digest=run.digest(),
        source=str(run.folder),
        target=Target.from_json(provenance["target"]),
        training_scans=provenance["training_scans"],
    )


def _of_export(folder):
    """Loads a SavedModel with nothing but TensorFlow."""
    import tensorflow as tf

    metadata = read_json(folder / METADATA, f"export again: {REEXPORT}.")
    check_version(metadata.get("format_version"), folder / METADATA, REEXPORT)
    try:
        loaded = tf.saved_model.load(str(folder))
    except (OSError, ValueError) as error:
        raise ArtefactError(
            f"{folder} cannot be read: {str(error).splitlines()[0]}",
            "a whole SavedModel.",
            f"export again: {REEXPORT}.",
        ) from error

    def probabilities(images):
        # `loaded` is named here to stay alive: a SavedModel loses its variables with the last reference to it.
        return loaded.signatures["serving_default"](image=tf.constant(images[..., None]))["probabilities"].numpy()

    return Predictor(
        probabilities=probabilities,
        classes=tuple(metadata["classes"]),
        threshold=metadata["threshold"],
        digest=sha256(folder / "saved_model.pb"),
        source=str(folder),
        target=Target.from_json(metadata["target"]),
        training_scans=metadata["training_scans"],
    )
