"""A run to a SavedModel that carries its own preprocessing, with its metadata beside it.

Checked against the Keras model, and written into a folder of numbered versions, as TensorFlow Serving wants it.
"""

import re
import shutil
import tempfile
from pathlib import Path

import numpy as np

from plankton_keras.config import STRIDE, PredictConfig
from plankton_keras.errors import ArtefactError
from plankton_keras.files import read_json, sha256, sha256_of_files, whole_file, write_json
from plankton_keras.images import pixel_mm
from plankton_keras.runs import now, versions
from plankton_keras.schema import check_version

METADATA = "metadata.json"
FORMAT_VERSION = "1.0"
REEXPORT = "plankton export RUN --out DIR"
# What TensorFlow does not take as it stands in a path.
PATTERN = re.compile(r"[][*?\\]")
# More than rounding in float32 would mean that the export computes something else.
MAX_DIFFERENCE = 1e-4
# Side of the vignettes that are compared, in pixels.
VIGNETTE = 96


def export_run(run, out, overwrite=False):
    """Exports the model of a run.

    Args:
        run: A `runs.Run`, finished.
        out: Folder of numbered versions; the next free number is written, starting with 1.
        overwrite: Whether the newest version is replaced instead.

    Returns:
        The `export` object of design/cli.md, with the `version` and its metadata.

    Raises:
        ArtefactError: If the run is not finished, or the export differs from the model by more than 1e-4.
    """
    import keras
    import tensorflow as tf

    pixels, vignettes = _models(run.open())
    version = next_version(out, overwrite)
    folder = Path(out) / f".partial-{version}"
    shutil.rmtree(folder, ignore_errors=True)
    _write_saved_model(tf, keras, pixels, vignettes, folder)
    difference = _difference(tf, pixels, vignettes, folder)
    if not difference <= MAX_DIFFERENCE:
        shutil.rmtree(folder)
        raise ArtefactError(
            f"The export differs from the model by {difference:.2g}.",
            f"at most {MAX_DIFFERENCE:.0e}.",
            "report this: the network has a layer that does not export.",
        )
    metadata = describe(run, difference)
    _write_warmup(tf, bool(pixels), folder)
    write_json(folder / METADATA, metadata)
    final = Path(out) / str(version)
    shutil.rmtree(final, ignore_errors=True)
    folder.replace(final)
    signatures = ["serving_default"]
    if pixels:
        signatures += ["serving_bytes", *(["serving_vignettes"] if vignettes else [])]
    return {
        "out": str(out),
        "version": version,
        "signatures": signatures,
        "max_difference": difference,
        "metadata": metadata,
    }


def export_encoder(run, out, overwrite=False):
    """Writes the weights of a run's encoder as one small file, from which other trainings can start.

    Args:
        run: A `runs.Run`, finished.
        out: The file, `.npz`.
        overwrite: Whether the file may be there already.

    Returns:
        A dictionary of `out`, `model`, `megabytes` and `sha256`.

    Raises:
        ArtefactError: If the run is not finished, its network has no encoder, or the file is there.
    """
    from plankton_keras.models.encoders import save_encoder
    from plankton_keras.models.stored import load_model

    model, out = load_model(run.open().model), Path(out)
    name = run.read_config().model
    if "encoder" not in [layer.name for layer in model.layers]:
        raise ArtefactError(
            f"{run.folder} is a {name}: it has no encoder.", "a run of an encoder.", "choose another run."
        )
    if out.suffix != ".npz" or (out.exists() and not overwrite):
        raise ArtefactError(
            f"{out} cannot be written.", "a new file FILE.npz.", "choose another --out, or --overwrite."
        )
    with whole_file(out) as partial:
        save_encoder(model.get_layer("encoder"), partial)
    return {"out": str(out), "model": name, "megabytes": round(out.stat().st_size / 1e6, 1), "sha256": sha256(out)}


def _models(run):
    """Loads the model of pixels and that of vignettes; None for what a run has not."""
    from plankton_keras.models import tempered
    from plankton_keras.models.stored import load_model

    model = tempered(load_model(run.check(run.model)), run.temperature())
    if run.classifies_vignettes():
        return None, model
    judged = run.read_thresholds().get("objects")
    return model, load_model(run.check(run.judge)) if judged else None


def next_version(out, overwrite):
    """Chooses the number of the version to write.

    Args:
        out: Folder of numbered versions, there or not.
        overwrite: Whether to replace the newest, if it is a version: a folder may be called by a year, too.

    Returns:
        The number, from 1.

    Example:

    >>> next_version("no/such/folder", overwrite=False)
    1
    """
    newest = max(numbers(out), default=0)
    return newest if overwrite and (Path(out) / str(newest) / METADATA).is_file() else newest + 1


def is_version(path):
    """Tells whether a folder is called by a number, in the digits that TensorFlow Serving reads.

    Example:

    >>> is_version("export/12"), is_version("export/2\u00b2"), is_version("export/\uff19")
    (True, False, False)
    """
    name = Path(path).name
    return name.isascii() and name.isdigit()


def numbers(folder):
    """Lists the version numbers in an export folder, in order."""
    folder = Path(folder)
    return sorted(int(path.name) for path in folder.iterdir() if is_version(path)) if folder.is_dir() else []


def newest_version(path):
    """Finds the newest version of an export.

    Args:
        path: An export folder, or one version in it.

    Returns:
        The folder of the version, or None if this is no export. Years are numbers too: a name alone makes no version.
    """
    path = Path(path)
    versions_of = [path, *(path / str(number) for number in reversed(numbers(path)))]
    return next((version for version in versions_of if (version / METADATA).is_file()), None)


def read_metadata(version):
    """Reads what stands beside an export.

    Args:
        version: The folder of one version.

    Returns:
        The dictionary of metadata.json.

    Raises:
        ArtefactError: If it is missing, damaged or of another major version.
    """
    fix = f"export again: {REEXPORT}."
    metadata = read_json(version / METADATA, fix)
    check_version(metadata.get("format_version"), version / METADATA, REEXPORT)
    return metadata


def load_saved_model(folder):
    """Loads a SavedModel with TensorFlow, which takes brackets and the like in a path for a pattern.

    Args:
        folder: The folder of `saved_model.pb`.

    Returns:
        What TensorFlow makes of it; it loses its variables with the last reference to it.
    """
    import tensorflow as tf

    if not PATTERN.search(str(folder)):
        return tf.saved_model.load(str(folder))
    # With the name as it is the variables of another folder could be loaded.
    with tempfile.TemporaryDirectory() as place:
        link = Path(place) / "model"
        link.symlink_to(Path(folder).absolute())
        return tf.saved_model.load(str(link))


def version_digest(folder):
    """Digests what a version computes with: the graph, and the variables, which stand in files of their own.

    Args:
        folder: The folder of the version.

    Returns:
        64 hexadecimal digits, those of `sha256sum saved_model.pb variables/* | sha256sum` in the folder.

    Example:

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> _ = (folder / "saved_model.pb").write_bytes(b"graph")
    >>> (folder / "variables").mkdir()
    >>> before = version_digest(folder)
    >>> _ = (folder / "variables" / "variables.index").write_bytes(b"weights")
    >>> len(before), version_digest(folder) == before
    (64, False)
    """
    folder = Path(folder)
    return sha256_of_files(folder, [folder / "saved_model.pb", *sorted(folder.glob("variables/*"))])


def describe(run, difference):
    """Gathers what someone who has only the export must know.

    Args:
        run: A `runs.Run`.
        difference: Largest difference to the Keras model that was measured.

    Returns:
        The dictionary of metadata.json.
    """
    provenance = run.read_provenance()
    return {
        "format_version": FORMAT_VERSION,
        "model": run.read_config().model,
        "classes": provenance["classes"],
        **(_of_vignettes(run, provenance) if run.classifies_vignettes() else _of_patches(run, provenance)),
        "target": provenance["target"],
        "training_scans": provenance["training_scans"],
        "validation_scans": provenance.get("validation_scans", {}),
        "model_sha256": run.digest(),
        "max_difference": difference,
        "created": now(),
        "versions": versions(),
    }


def _of_patches(run, provenance):
    """Gathers what only a model of patches has."""
    thresholds = run.read_thresholds()
    predict = PredictConfig().for_classes(len(provenance["classes"]))
    return {
        "threshold": thresholds["foreground"],
        "pixel_threshold": thresholds["pixel"]["threshold"],
        "objects": thresholds.get("objects"),
        "curves": thresholds.get("curves", {}),
        "looks": run.looks(),
        "input": {
            "image": f"uint8 (N, H, W, 1), 0 black to 255 white; H and W multiples of {STRIDE}",
            "image_bytes": "string (N,), PNG or JPEG files, all of one size",
        },
        "output": {"probabilities": "float32 (N, H, W, classes), sums to 1 over the classes"},
        "tile": predict.tile,
        "context": predict.context,
        "dpi": provenance["dpi"],
        "pixel_mm": pixel_mm(provenance["dpi"]),
    }


def _of_vignettes(run, provenance):
    """Gathers what only a classifier of vignettes has."""
    size = provenance["vignette_size"]
    return {
        "vignette_size": size,
        "training_vignettes": provenance.get("training_vignettes", ""),
        "confusion": run.confusion(),
        "input": {
            "image": f"uint8 (N, {size}, {size}, 1), padded to a square with the ground at 255, then scaled",
            "side": "float32 (N, 1), the longer side of the object in pixels before that",
        },
        "output": {"probabilities": "float32 (N, classes), sums to 1"},
    }


def _write_saved_model(tf, keras, pixels, vignettes, folder):
    """Writes the signatures; pixels are rescaled by the models themselves."""
    archive, gray = keras.export.ExportArchive(), tf.TensorSpec((None, None, None, 1), tf.uint8, name="image")
    if pixels:
        archive.track(pixels)

        def serve(image):
            return {"probabilities": keras.ops.softmax(pixels(tf.cast(image, tf.float32), training=False))}

        def serve_bytes(image_bytes):
            def decode(data):
                return tf.io.decode_image(data, channels=1, expand_animations=False)

            return serve(tf.map_fn(decode, image_bytes, fn_output_signature=tf.TensorSpec((None, None, 1), tf.uint8)))

        encoded = tf.TensorSpec((None,), tf.string, name="image_bytes")
        archive.add_endpoint("serving_default", serve, input_signature=[gray])
        archive.add_endpoint("serving_bytes", serve_bytes, input_signature=[encoded])
    if vignettes:
        archive.track(vignettes)

        def serve_vignettes(image, side):
            logits = vignettes({"image": tf.cast(image, tf.float32), "side": side}, training=False)
            return {"probabilities": keras.ops.softmax(logits)}

        sides = tf.TensorSpec((None, 1), tf.float32, name="side")
        name = "serving_vignettes" if pixels else "serving_default"
        archive.add_endpoint(name, serve_vignettes, input_signature=[gray, sides])
    archive.write_out(str(folder), verbose=False)


def _difference(tf, pixels, vignettes, folder):
    """Largest difference of probabilities between the Keras models and the SavedModel, over sizes and batches."""
    loaded = load_saved_model(folder).signatures
    generator, found = np.random.default_rng(0), []

    def compare(model, signature, inputs, floats):
        import keras

        ours = keras.ops.softmax(model(floats, training=False)).numpy()
        theirs = loaded[signature](**{name: tf.constant(value) for name, value in inputs.items()})
        found.append(np.abs(ours - theirs["probabilities"].numpy()).max())

    if pixels:
        for batch, size in ((1, 2 * STRIDE), (2, 4 * STRIDE)):
            image = generator.integers(0, 256, (batch, size, size, 1), dtype=np.uint8)
            compare(pixels, "serving_default", {"image": image}, image.astype(np.float32))
    if vignettes:
        image = generator.integers(0, 256, (3, VIGNETTE, VIGNETTE, 1), dtype=np.uint8)
        inputs = {"image": image, "side": np.array([[20.0], [64.0], [900.0]], np.float32)}
        signature = "serving_vignettes" if pixels else "serving_default"
        compare(vignettes, signature, inputs, {**inputs, "image": image.astype(np.float32)})
    # Python's `max` passes over what is no number.
    return float(np.max(found))


def _write_warmup(tf, pixels, folder):
    """Writes requests that TensorFlow Serving sends itself before it takes traffic.

    The messages are `tensorflow.serving.PredictionLog`, whose package is not installed for two fields: predict_log = 6
    > request = 1 > model_spec = 1 (name = 1, signature_name = 3), inputs = 2 (key = 1, value = 2).
    """

    def message(number, content):
        return bytes([number << 3 | 2]) + _varint(len(content)) + content

    def white(size):
        return np.full((1, size, size, 1), 255, np.uint8)

    requests = [("serving_default", {"image": white(VIGNETTE), "side": np.full((1, 1), 64, np.float32)})]
    if pixels:
        png = tf.io.encode_png(white(4 * STRIDE)[0]).numpy()
        requests = [
            ("serving_default", {"image": white(4 * STRIDE)}),
            ("serving_bytes", {"image_bytes": np.array([png], object)}),
        ]
    target = folder / "assets.extra" / "tf_serving_warmup_requests"
    target.parent.mkdir(exist_ok=True)
    with tf.io.TFRecordWriter(str(target)) as writer:
        for signature, inputs in requests:
            content = message(1, message(1, b"plankton") + message(3, signature.encode()))
            for key, value in inputs.items():
                tensor = tf.make_tensor_proto(value).SerializeToString()
                content += message(2, message(1, key.encode()) + message(2, tensor))
            writer.write(message(6, message(1, content)))


def _varint(number):
    """Encodes a length as protobuf does, seven bits a byte."""
    encoded = bytearray()
    while number > 127:
        encoded.append(number & 127 | 128)
        number >>= 7
    return bytes([*encoded, number])
