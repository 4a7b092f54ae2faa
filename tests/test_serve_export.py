"""The service of a real export says what the SavedModel says in process, whatever the form and however many ask."""

import json
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import json_format
from patch_service import PREDICT, b64, client, listening, patch, png, predictions
from tensorflow.core.framework import tensor_pb2
from untrained import untrained_run

from plankton_keras.config import ServeConfig, TrainConfig
from plankton_keras.errors import ArtefactError, InputError
from plankton_keras.export import export_run
from plankton_keras.inference import load_export, load_predictor
from plankton_keras.models import build_model
from plankton_keras.serve.app import Service
from plankton_keras.serve.client import Client
from plankton_keras.serve.versions import Models


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A finished run of an untrained network, with a judge."""
    weights = {"pixel": 1, "mean": 1, "object": 1, "bias": 0, "darkness": 0.1, "min_area": 60, "vignette_size": 32}
    run = untrained_run(tmp_path_factory.mktemp("run"), objects=weights)
    build_model(TrainConfig(model="mobilenetv2_035", weights="none"), 2).save(run.judge)
    return run


@pytest.fixture(scope="module")
def export(run, tmp_path_factory):
    out = tmp_path_factory.mktemp("export")
    export_run(run, out)
    return out


@pytest.fixture(scope="module")
def saved(export):
    """The SavedModel in process."""
    return tf.saved_model.load(str(export / "1"))


@pytest.fixture(scope="module")
def address(export):
    with listening(Service(ServeConfig(), Models(export)), seconds=60) as found:
        yield found


@pytest.fixture
def http_client(address):
    with client(address) as made:
        yield made


def by_arrays(saved, images):
    return saved.signatures["serving_default"](image=tf.constant(images))["probabilities"].numpy()


def by_files(saved, files):
    return saved.signatures["serving_bytes"](image_bytes=tf.constant(files))["probabilities"].numpy()


def ask(http_client, request):
    answer = http_client.post(PREDICT, json=request)
    assert answer.status_code == 200, answer.text[:300]
    return predictions(answer)


@pytest.mark.parametrize(("count", "size"), [(1, 64), (2, 128), (3, 256), (20, 64)])
def test_arrays(http_client, saved, count, size):
    images = patch(size, size, count)
    expected = by_arrays(saved, images)
    for key in ("instances", "inputs"):
        assert np.abs(ask(http_client, {key: images.tolist()}) - expected).max() <= 1e-5


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_files(http_client, saved, suffix):
    files = [cv2.imencode(suffix, patch(seed, 128)[0])[1].tobytes() for seed in range(3)]
    found = ask(http_client, {"signature_name": "serving_bytes", "instances": [b64(data) for data in files]})
    assert np.abs(found - by_files(saved, files)).max() <= 1e-5


def test_files_in_colour_are_read_as_the_model_reads_them(http_client, saved):
    colours = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    data = png(colours)
    found = ask(http_client, {"signature_name": "serving_bytes", "instances": [b64(data)]})
    assert np.abs(found - by_files(saved, [data])).max() <= 1e-5


def test_vignettes(http_client, saved):
    images, sides = patch(size=32, count=3), np.array([[20], [64], [900]], np.float32)
    expected = saved.signatures["serving_vignettes"](image=tf.constant(images), side=tf.constant(sides))
    inputs = {"image": images.tolist(), "side": sides.tolist()}
    found = ask(http_client, {"signature_name": "serving_vignettes", "inputs": inputs})
    assert np.abs(found - expected["probabilities"].numpy()).max() <= 1e-5


def test_concurrent_requests(http_client, saved):
    images = [patch(seed, 64 * (1 + seed % 2)) for seed in range(48)]

    def one(index):
        image = images[index]
        if index % 3 == 0:
            return ask(http_client, {"instances": image.tolist()})
        return ask(http_client, {"signature_name": "serving_bytes", "instances": [b64(png(image[0]))]})

    with ThreadPoolExecutor(16) as pool:
        for image, found in zip(images, pool.map(one, range(48)), strict=True):
            assert np.abs(found - by_arrays(saved, image)).max() <= 1e-5


def test_the_official_messages_in_their_json_form(http_client, saved):
    images = patch(5, 64, 2)
    for tensor in (tf.make_tensor_proto(images), filled(images)):
        for names in (False, True):
            message = json_format.MessageToDict(tensor, preserving_proto_field_name=names)
            spec = {"model_spec": {"signature_name": "serving_default"}} if names else {}
            answer = http_client.post(PREDICT, json={**spec, "inputs": {"image": message}}).json()
            assert answer["modelSpec"]["version"] == "1"
            back = json_format.ParseDict(answer["outputs"]["probabilities"], tensor_pb2.TensorProto())
            # As they are: no rounding on the way.
            assert np.abs(tf.make_ndarray(back) - by_arrays(saved, images)).max() <= 1e-6
    files = [png(image) for image in images]
    message = json_format.MessageToDict(tf.make_tensor_proto(files))
    request = {"modelSpec": {"signatureName": "serving_bytes"}, "inputs": {"image_bytes": message}}
    assert np.abs(ask(http_client, request) - by_files(saved, files)).max() <= 1e-5


def filled(images):
    """The same tensor with its values one by one."""
    tensor = tensor_pb2.TensorProto(dtype=tf.uint8.as_datatype_enum, int_val=images.ravel().tolist())
    tensor.tensor_shape.CopyFrom(tf.TensorShape(images.shape).as_proto())
    return tensor


def test_the_requests_of_tensorflow_servings_own_package(http_client, saved):
    predict_pb2 = pytest.importorskip("tensorflow_serving.apis.predict_pb2")
    images = patch(6, 64)
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "plankton"
    request.model_spec.signature_name = "serving_default"
    request.inputs["image"].CopyFrom(tf.make_tensor_proto(images))
    answer = http_client.post(PREDICT, content=json_format.MessageToJson(request))
    response = json_format.Parse(answer.text, predict_pb2.PredictResponse())
    found = tf.make_ndarray(response.outputs["probabilities"])
    assert np.abs(found - by_arrays(saved, images)).max() <= 1e-6
    assert (response.model_spec.name, response.model_spec.version.value) == ("plankton", 1)


def test_the_client(address, saved):
    images = patch(7, 128, 2)
    with Client(address) as made:
        assert np.abs(made.predict(images[..., 0]) - by_arrays(saved, images)).max() <= 1e-5
        with pytest.raises(InputError, match="The patches have 100 x 100 pixels"):
            made.predict(images[:, :100, :100, 0])


def test_a_cut_file_is_refused_by_the_decoder(http_client):
    data = png(patch(size=64)[0])
    answer = http_client.post(PREDICT, json={"signature_name": "serving_bytes", "instances": [b64(data[:-40])]})
    assert answer.status_code == 400
    assert answer.json()["error"].startswith("The patches cannot be computed: ")
    # No path and no place in a source file.
    assert "/" not in answer.json()["error"]


def test_the_predictor_of_the_service_is_that_of_the_command(export):
    predictor, signatures, metadata = load_export(export / "1")
    expected = load_predictor(export)
    images = patch(8, 64, 2)[..., 0]
    assert np.abs(predictor.probabilities(images) - expected.probabilities(images)).max() <= 1e-6
    views, sides = patch(9, 32, 3), np.full((3, 1), 40, np.float32)
    assert np.abs(predictor.judge.classify(views, sides) - expected.judge.classify(views, sides)).max() <= 1e-6
    assert (predictor.digest, predictor.threshold) == (expected.digest, expected.threshold)
    assert set(signatures) == {"serving_default", "serving_bytes", "serving_vignettes"}
    assert signatures["serving_vignettes"].inputs == {
        "image": ("uint8", (None, None, None, 1)),
        "side": ("float32", (None, 1)),
    }
    assert metadata == json.loads((export / "1" / "metadata.json").read_text())


def test_a_damaged_version_is_refused(export, tmp_path):
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / "metadata.json").write_text((export / "1" / "metadata.json").read_text())
    (tmp_path / "1" / "saved_model.pb").write_bytes(b"nonsense")
    with pytest.raises(ArtefactError, match=r"cannot be read.*\nExpected: a whole SavedModel\."):
        Models(tmp_path).start()
