"""A run to a SavedModel that carries its own preprocessing, with its metadata beside it.

Checked against the Keras model, and written into a folder of numbered versions, as TensorFlow Serving wants it.
"""

import shutil
from pathlib import Path

import numpy as np

from plankton_keras.config import STRIDE, PredictConfig
from plankton_keras.errors import ArtefactError
from plankton_keras.files import write_json
from plankton_keras.runs import now, versions

METADATA = "metadata.json"
FORMAT_VERSION = "1.0"
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

    run.open()
    model = keras.saving.load_model(run.model, compile=False)
    judge = keras.saving.load_model(run.judge, compile=False) if run.read_thresholds().get("objects") else None
    version = next_version(out, overwrite)
    folder = Path(out) / f".partial-{version}"
    shutil.rmtree(folder, ignore_errors=True)
    _write_saved_model(tf, keras, model, judge, folder)
    difference = _difference(tf, model, judge, folder)
    if not difference <= MAX_DIFFERENCE:
        shutil.rmtree(folder)
        raise ArtefactError(
            f"The export differs from the model by {difference:.2g}.",
            f"at most {MAX_DIFFERENCE:.0e}.",
            "report this: the network has a layer that does not export.",
        )
    metadata = describe(run, difference)
    _write_warmup(tf, folder)
    write_json(folder / METADATA, metadata)
    final = Path(out) / str(version)
    shutil.rmtree(final, ignore_errors=True)
    folder.replace(final)
    return {
        "out": str(out),
        "version": version,
        "signatures": ["serving_default", "serving_bytes", *(["serving_vignettes"] if judge else [])],
        "max_difference": difference,
        "metadata": metadata,
    }


def next_version(out, overwrite):
    """Chooses the number of the version to write.

    Args:
        out: Folder of numbered versions, there or not.
        overwrite: Whether to replace the newest.

    Returns:
        The number, from 1.

    Example:

    >>> next_version("no/such/folder", overwrite=False)
    1
    """
    newest = max(numbers(out), default=0)
    return max(1, newest if overwrite else newest + 1)


def numbers(folder):
    """Lists the version numbers in an export folder, in order."""
    folder = Path(folder)
    return sorted(int(path.name) for path in folder.iterdir() if path.name.isdigit()) if folder.is_dir() else []


def describe(run, difference):
    """Gathers what someone who has only the export must know.

    Args:
        run: A `runs.Run`.
        difference: Largest difference to the Keras model that was measured.

    Returns:
        The dictionary of metadata.json.
    """
    config, provenance, predict = run.read_config(), run.read_provenance(), PredictConfig()
    thresholds = run.read_thresholds()
    return {
        "format_version": FORMAT_VERSION,
        "model": config.model,
        "classes": provenance["classes"],
        "threshold": thresholds["foreground"],
        "pixel_threshold": thresholds["pixel"]["threshold"],
        "objects": thresholds.get("objects"),
        "input": {
            "image": f"uint8 (N, H, W, 1), 0 black to 255 white; H and W multiples of {STRIDE}",
            "image_bytes": "string (N,), PNG, JPEG, BMP or GIF files, all of one size",
        },
        "output": {"probabilities": "float32 (N, H, W, classes), sums to 1 over the classes"},
        "tile": predict.tile,
        "context": predict.context,
        "target": provenance["target"],
        "training_scans": provenance["training_scans"],
        "dpi": provenance["dpi"],
        "pixel_mm": 25.4 / provenance["dpi"] if provenance["dpi"] else None,
        "model_sha256": run.digest(),
        "max_difference": difference,
        "created": now(),
        "versions": versions(),
    }


def _write_saved_model(tf, keras, model, judge, folder):
    """Writes the signatures; pixels are rescaled by the model itself."""
    archive = keras.export.ExportArchive()
    archive.track(model)

    def serve(image):
        return {"probabilities": keras.ops.softmax(model(tf.cast(image, tf.float32), training=False))}

    def serve_bytes(image_bytes):
        def decode(data):
            return tf.io.decode_image(data, channels=1, expand_animations=False)

        return serve(tf.map_fn(decode, image_bytes, fn_output_signature=tf.TensorSpec((None, None, 1), tf.uint8)))

    image = tf.TensorSpec((None, None, None, 1), tf.uint8, name="image")
    archive.add_endpoint("serving_default", serve, input_signature=[image])
    archive.add_endpoint(
        "serving_bytes", serve_bytes, input_signature=[tf.TensorSpec((None,), tf.string, name="image_bytes")]
    )
    if judge:
        archive.track(judge)

        def serve_vignettes(image, side):
            logits = judge({"image": tf.cast(image, tf.float32), "side": side}, training=False)
            return {"probabilities": keras.ops.softmax(logits)}

        vignettes = tf.TensorSpec((None, None, None, 1), tf.uint8, name="image")
        sides = tf.TensorSpec((None, 1), tf.float32, name="side")
        archive.add_endpoint("serving_vignettes", serve_vignettes, input_signature=[vignettes, sides])
    archive.write_out(str(folder), verbose=False)


def _difference(tf, model, judge, folder):
    """Largest difference of probabilities between the Keras models and the SavedModel, over sizes and batches."""
    import keras

    loaded = tf.saved_model.load(str(folder))
    serve = loaded.signatures["serving_default"]
    generator, largest = np.random.default_rng(0), 0.0
    for batch, size in ((1, 2 * STRIDE), (2, 4 * STRIDE)):
        image = generator.integers(0, 256, (batch, size, size, 1), dtype=np.uint8)
        ours = keras.ops.softmax(model(image.astype(np.float32), training=False)).numpy()
        theirs = serve(image=tf.constant(image))["probabilities"].numpy()
        largest = max(largest, float(np.abs(ours - theirs).max()))
    if judge:
        image = generator.integers(0, 256, (3, VIGNETTE, VIGNETTE, 1), dtype=np.uint8)
        side = np.array([[20.0], [64.0], [900.0]], np.float32)
        ours = keras.ops.softmax(judge({"image": image.astype(np.float32), "side": side}, training=False)).numpy()
        serve_vignettes = loaded.signatures["serving_vignettes"]
        theirs = serve_vignettes(image=tf.constant(image), side=tf.constant(side))["probabilities"].numpy()
        largest = max(largest, float(np.abs(ours - theirs).max()))
    return largest


def _write_warmup(tf, folder):
    """Writes requests that TensorFlow Serving sends itself before it takes traffic.

    The messages are `tensorflow.serving.PredictionLog`, whose package is not installed for two fields: predict_log = 6
    > request = 1 > model_spec = 1 (name = 1, signature_name = 3), inputs = 2 (key = 1, value = 2).
    """

    def message(number, content):
        return bytes([number << 3 | 2]) + _varint(len(content)) + content

    image = np.full((1, 4 * STRIDE, 4 * STRIDE, 1), 225, np.uint8)
    png = tf.io.encode_png(image[0]).numpy()
    target = folder / "assets.extra" / "tf_serving_warmup_requests"
    target.parent.mkdir(exist_ok=True)
    with tf.io.TFRecordWriter(str(target)) as writer:
        for signature, key, value in (
            ("serving_default", "image", image),
            ("serving_bytes", "image_bytes", np.array([png], object)),
        ):
            spec = message(1, b"plankton") + message(3, signature.encode())
            tensor = tf.make_tensor_proto(value).SerializeToString()
            inputs = message(1, key.encode()) + message(2, tensor)
            writer.write(message(6, message(1, message(1, spec) + message(2, inputs))))


def _varint(number):
    """Encodes a length as protobuf does, seven bits a byte."""
    encoded = bytearray()
    while number > 127:
        encoded.append(number & 127 | 128)
        number >>= 7
    return bytes([*encoded, number])
