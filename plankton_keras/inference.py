"""A run or an export as one callable: gray patches in, probabilities out. Always computed by TensorFlow."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from plankton_keras.config import ENCODERS
from plankton_keras.errors import ArtefactError
from plankton_keras.export import METADATA, numbers
from plankton_keras.files import read_json, sha256
from plankton_keras.fusion import Judge, Weights
from plankton_keras.judging import classify_with
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
        judge: The `fusion.Judge` whose word on whole objects counts too, or None.
        digest: SHA-256 of the model.
        source: Path of the run or export.
        target: The `taxa.Target` that it learned.
        training_scans: Stem by SHA-256 of the scans that it was trained on.
    """

    probabilities: Callable
    classes: tuple
    threshold: float
    judge: Judge | None
    digest: str
    source: str
    target: Target
    training_scans: dict


@dataclass(frozen=True)
class Classifier:
    """What is needed of a run of vignettes.

    Attributes:
        classify: As for `fusion.Judge`.
        classes: Class names by index.
        living: Whether each class is alive, by name, or None.
        size: Side of the vignettes in pixels.
        digest: SHA-256 of the model.
        source: Path of the run.
    """

    classify: Callable
    classes: tuple
    living: dict | None
    size: int
    digest: str
    source: str


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

    model = _load(run.model)

    @tf.function(reduce_retracing=True)
    def serve(images):
        return keras.ops.softmax(model(tf.cast(images, tf.float32)[..., None], training=False))

    provenance, thresholds = run.read_provenance(), run.read_thresholds()
    judge = None
    if thresholds.get("objects"):
        judge = Judge(classify_with(_load(run.judge)), Weights(**thresholds["objects"]))
    return Predictor(
        probabilities=lambda images: serve(tf.constant(images)).numpy(),
        classes=tuple(provenance["classes"]),
        threshold=thresholds["foreground"],
        judge=judge,
        digest=run.digest(),
        source=str(run.folder),
        target=Target.from_json(provenance["target"]),
        training_scans=provenance["training_scans"],
    )


def _load(path):
    """Loads a Keras model."""
    import keras

    try:
        return keras.saving.load_model(path, compile=False)
    except (OSError, ValueError, KeyError) as error:
        raise ArtefactError(
            f"{path} cannot be read: {str(error).splitlines()[0]}", "a whole Keras model.", "train again."
        ) from error


def load_classifier(path):
    """Loads a run of vignettes.

    Args:
        path: The run folder.

    Returns:
        A `Classifier`.

    Raises:
        ArtefactError: If it is none, not finished or damaged.
    """
    run = Run(Path(path)).open()
    config, provenance = run.read_config(), run.read_provenance()
    if config.model not in ENCODERS:
        raise ArtefactError(
            f"{path} is a run of patches.", "a run of vignettes, like the first one.", "evaluate it by itself."
        )
    return Classifier(
        classify=classify_with(_load(run.model)),
        classes=tuple(provenance["classes"]),
        living=provenance["target"].get("living"),
        size=provenance["vignette_size"],
        digest=run.digest(),
        source=str(run.folder),
    )


def is_classifier(path):
    """Tells whether a folder is a run of vignettes."""
    run = Run(Path(path))
    return run.config.is_file() and run.read_config().model in ENCODERS


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

    def classify(images, sides):
        return loaded.signatures["serving_vignettes"](image=tf.constant(images), side=tf.constant(sides))[
            "probabilities"
        ].numpy()

    return Predictor(
        probabilities=probabilities,
        classes=tuple(metadata["classes"]),
        threshold=metadata["threshold"],
        judge=Judge(classify, Weights(**metadata["objects"])) if metadata.get("objects") else None,
        digest=sha256(folder / "saved_model.pb"),
        source=str(folder),
        target=Target.from_json(metadata["target"]),
        training_scans=metadata["training_scans"],
    )
