"""A run or an export as one callable: gray patches in, probabilities out. Always computed by TensorFlow."""

from pathlib import Path

import numpy as np

from plankton_keras.allowed import check_graph, check_saved_model
from plankton_keras.config import ENCODERS
from plankton_keras.errors import ArtefactError, InputError
from plankton_keras.export import REEXPORT, load_saved_model, newest_version, read_metadata, version_digest
from plankton_keras.fusion import Judge, Weights
from plankton_keras.models import tempered
from plankton_keras.models.stored import load_model
from plankton_keras.predictors import Classifier, Predictor, Signature
from plankton_keras.runs import Run
from plankton_keras.taxa import Target

# Vignettes classified at once.
VIGNETTES = 128


def load_predictor(path):
    """Loads a run or an export.

    Args:
        path: A run folder, or an export folder (its newest version is taken) or one version in it.

    Returns:
        A `Predictor`.

    Raises:
        ArtefactError: If it is neither, damaged, or of vignettes.
    """
    path = Path(path)
    if is_classifier(path):
        raise _finds_nothing(path)
    run = Run(path)
    return _of_run(run.open()) if run.config.is_file() else _of_export(*_open_export(path))


def _finds_nothing(path):
    return ArtefactError(
        f"{path} classifies vignettes; it finds nothing on a scan.",
        "a run of patches, or its export.",
        "score vignettes with plankton evaluate.",
    )


def _open_export(path):
    """Finds the newest version in an export folder.

    Returns:
        `(folder, metadata)`.
    """
    version = newest_version(path)
    if version is None:
        raise ArtefactError(
            f"{path} is neither a run nor an export.",
            "a folder with config.json and model.keras, or one with 1/saved_model.pb.",
            "give what plankton train or plankton export wrote.",
        )
    return version, read_metadata(version)


def _of_run(run):
    """Compiles the Keras model of a run."""
    import keras
    import tensorflow as tf

    provenance, thresholds = run.read_provenance(), run.read_thresholds()
    model = tempered(load_model(run.check(run.model)), run.temperature())

    @tf.function(input_signature=[tf.TensorSpec((None, None, None), tf.uint8)])
    def serve(images):
        return keras.ops.softmax(model(tf.cast(images, tf.float32)[..., None], training=False))

    judge = None
    if thresholds.get("objects"):
        judge = Judge(_classify_with(load_model(run.check(run.judge)), run.judge), Weights(**thresholds["objects"]))
    return Predictor(
        probabilities=_constant(serve.get_concrete_function(), run.model),
        classes=tuple(provenance["classes"]),
        threshold=thresholds["foreground"],
        judge=judge,
        digest=run.digest(),
        source=str(run.folder),
        target=Target.from_json(provenance["target"]),
        training_scans=provenance["training_scans"],
        curves=thresholds.get("curves", {}),
        validation_scans=provenance.get("validation_scans", {}),
        looks=tuple(run.looks()),
        pixel_threshold=thresholds.get("pixel", {}).get("threshold"),
    )


def _classify_with(model, path):
    """Compiles a Keras model of vignettes; the path is for messages."""
    import keras
    import tensorflow as tf

    shape = (None, None, None, 1)

    @tf.function(input_signature=[tf.TensorSpec(shape, tf.uint8), tf.TensorSpec((None, 1), tf.float32)])
    def classify(image, side):
        return keras.ops.softmax(model({"image": tf.cast(image, tf.float32), "side": side}, training=False))

    return _in_batches(_constant(classify.get_concrete_function(), path), model.output_shape[-1])


def _constant(function, path):
    """Makes constants of the variables of a concrete function: TensorFlow then computes a quarter faster.

    Returns:
        A function of the same arrays to the one array that it gives.
    """
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    constant = convert_variables_to_constants_v2(function)

    def compute(*arrays):
        found = tf.nest.flatten(constant(*map(tf.constant, arrays)))[0].numpy()
        # One number that is none makes the sum one; as a class it would be ground, without a word.
        if np.isnan(found.sum()):
            raise ArtefactError(f"{path} gives numbers that are none.", "probabilities.", "train or export it again.")
        return found

    return compute


def _in_batches(classify, num_classes):
    """Makes a function of vignettes one of any number of them, in bounded memory."""

    def all_of(images, sides):
        found = [np.zeros((0, num_classes), np.float32)]
        for start in range(0, len(images), VIGNETTES):
            found.append(classify(images[start : start + VIGNETTES], sides[start : start + VIGNETTES]))
        return np.concatenate(found)

    return all_of


def load_classifier(path):
    """Loads a run of vignettes, or its export.

    Args:
        path: The run folder, or an export folder (its newest version is taken) or one version in it.

    Returns:
        A `Classifier`.

    Raises:
        ArtefactError: If it is none, not finished or damaged.
    """
    path = Path(path)
    if not is_classifier(path):
        raise ArtefactError(
            f"{path} is of patches.", "a run of vignettes, like the first one.", "evaluate it by itself."
        )
    run = Run(path)
    if run.config.is_file():
        known, digest = {**run.open().read_provenance(), "confusion": run.confusion()}, run.digest()
        classify = _classify_with(tempered(load_model(run.check(run.model)), run.temperature()), run.model)
    else:
        folder, known = _open_export(path)
        classify = _in_batches(_signature(_loaded(folder), folder, "serving_default"), len(known["classes"]))
        digest = version_digest(folder)
    return Classifier(
        classify=classify,
        classes=tuple(known["classes"]),
        living=known["target"]["living"],
        living_share=known["target"]["living_share"],
        size=known["vignette_size"],
        digest=digest,
        source=str(path),
        training_scans=known["training_scans"],
        training_vignettes=frozenset(known.get("training_vignettes", "").split()),
        confusion=known.get("confusion") and np.array(known["confusion"]["counts"]),
    )


def is_model(path):
    """Tells a run or an export from anything else, such as a folder of scans."""
    return Run(Path(path)).config.is_file() or newest_version(path) is not None


def is_classifier(path):
    """Tells a run of vignettes, or its export, from one of patches.

    Raises:
        ArtefactError: If it is neither a run nor an export.
    """
    run = Run(Path(path))
    if run.config.is_file():
        return run.classifies_vignettes()
    return _open_export(Path(path))[1]["model"] in ENCODERS


def _loaded(folder):
    """Loads a SavedModel that is allowed, as `export.load_saved_model`."""
    check_saved_model(folder)
    try:
        return load_saved_model(folder)
    except (OSError, ValueError) as error:
        raise _damaged(folder, error) from error


def load_export(path):
    """Loads an export for a service: as a predictor, and each signature as it is.

    Args:
        path: The folder of one version.

    Returns:
        `(predictor, signatures, metadata)`: a `Predictor`, `Signature` by name, and what metadata.json says.

    Raises:
        ArtefactError: If it is none, damaged, or of vignettes.
    """
    if is_classifier(path):
        raise _finds_nothing(path)
    folder, metadata = _open_export(path)
    loaded = _loaded(folder)
    names = [name for name in loaded.signatures if not name.startswith("__")]
    functions = {name: _signature(loaded, folder, name) for name in names}
    signatures = {name: _described(loaded.signatures[name], functions[name]) for name in names}
    return _predictor(folder, metadata, functions), signatures, metadata


def _described(function, compute):
    """Makes the `Signature` of a function that TensorFlow loaded."""
    import tensorflow as tf

    def told(spec):
        return "bytes" if spec.dtype == tf.string else spec.dtype.name, tuple(spec.shape)

    def checked(*arrays):
        try:
            return compute(*arrays)
        except tf.errors.InvalidArgumentError as error:
            # The lines before name nodes and source files; those after, the graph.
            reason = error.message.partition("\n\t [[")[0].strip().splitlines()[-1]
            raise InputError(f"The patches cannot be computed: {reason}.", "whole images.", "send others.") from None

    given = function.structured_input_signature[1]
    ((name, output),) = function.structured_outputs.items()
    return Signature({key: told(given[key]) for key in sorted(given)}, (name, *told(output)), checked)


def _damaged(folder, error):
    return ArtefactError(
        f"{folder} cannot be read: {str(error).splitlines()[0]}", "a whole SavedModel.", f"export again: {REEXPORT}."
    )


def _signature(loaded, folder, name):
    """Makes a function of arrays to probabilities out of a signature."""
    try:
        function = loaded.signatures[name]
        check_graph(function.graph.as_graph_def(), folder)
        return _constant(function, folder)
    except (OSError, ValueError, KeyError) as error:
        raise _damaged(folder, error) from error


def _of_export(folder, metadata):
    """Makes the predictor of a SavedModel."""
    loaded = _loaded(folder)
    names = ["serving_default", *(["serving_vignettes"] if metadata.get("objects") else [])]
    return _predictor(folder, metadata, {name: _signature(loaded, folder, name) for name in names})


def _predictor(folder, metadata, functions):
    """Makes the predictor of an export's functions."""
    probabilities, judge = functions["serving_default"], None
    if metadata.get("objects"):
        classify = _in_batches(functions["serving_vignettes"], len(metadata["classes"]))
        judge = Judge(classify, Weights(**metadata["objects"]))
    return Predictor(
        probabilities=lambda images: probabilities(images[..., None]),
        classes=tuple(metadata["classes"]),
        threshold=metadata["threshold"],
        judge=judge,
        digest=version_digest(folder),
        source=str(folder),
        target=Target.from_json(metadata["target"]),
        training_scans=metadata["training_scans"],
        curves=metadata.get("curves", {}),
        validation_scans=metadata.get("validation_scans", {}),
        looks=tuple(metadata.get("looks", ())),
        pixel_threshold=metadata.get("pixel_threshold"),
    )
