"""allowed: what a model from a stranger may run, tried with files that want more."""

import json
import re
import tarfile
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
import tensorflow as tf
from untrained import untrained_run

from plankton_keras.allowed import PARTS, check_model, check_saved_model, parts_of
from plankton_keras.config import PredictConfig
from plankton_keras.errors import ArtefactError, SettingError
from plankton_keras.export import export_encoder, export_run, version_digest
from plankton_keras.files import write_json
from plankton_keras.inference import load_predictor
from plankton_keras.journal import Journal
from plankton_keras.models.encoders import build_encoder
from plankton_keras.models.stored import load_model
from plankton_keras.taxa import living_target


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return untrained_run(tmp_path_factory.mktemp("run"))


@pytest.fixture
def export(tmp_path):
    with tarfile.open(Path(__file__).parent / "fixtures" / "v1" / "v1.tar.xz") as archive:
        members = [each for each in archive.getmembers() if each.name.startswith("export/1/")]
        archive.extractall(tmp_path, members, filter="data")
    return tmp_path / "export" / "1"


def layer(name, module="keras.layers", **config):
    return {"module": module, "class_name": name, "config": config, "registered_name": None}


def with_layer(run, path, each):
    """Writes the model of a run with one more layer named in its configuration."""
    with zipfile.ZipFile(run.model) as known, zipfile.ZipFile(path, "w") as file:
        for name in known.namelist():
            content = known.read(name)
            if name == "config.json":
                config = json.loads(content)
                config["config"]["layers"].append(each)
                content = json.dumps(config).encode()
            file.writestr(name, content)
    return path


HOSTILE = {
    "keras.layers.Lambda": layer("Lambda", function="4wEA"),
    "keras.layers.TFSMLayer": layer("TFSMLayer", filepath="/somewhere"),
    "keras.layers.TorchModuleWrapper": layer("TorchModuleWrapper", state="gASV"),
    "keras.layers.StringLookup": layer("StringLookup", vocabulary="/etc/passwd"),
    "os.system": layer("system", "os", command="true"),
    "builtins.function": layer("function", "builtins", config="os.system"),
    "keras.utils.get_file": layer("get_file", "keras.utils", origin="file:///etc/passwd"),
    "plankton_keras.cluster.deal": layer("deal", "plankton_keras.cluster"),
    "keras.layers.keras_cv>Other": {**layer("Dense"), "registered_name": "keras_cv>Other"},
    "__lambda__": {"class_name": "__lambda__", "config": {"code": "4wEA"}},
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_model_with_a_part_that_no_run_has_is_refused_before_it_is_loaded(run, tmp_path, name):
    path = with_layer(run, tmp_path / "model.keras", HOSTILE[name])
    with pytest.raises(ArtefactError) as caught:
        load_model(path)
    assert str(caught.value) == (
        f"{path} uses {name}, which no model of plankton_keras does.\n"
        "Expected: a run or an export of plankton_keras.\n"
        "Fix: use a model whose origin you know; docs/train.md says how one is made."
    )


def test_every_way_to_a_model_refuses_it(run, tmp_path):
    for name in ("config.json", "metrics.json", "provenance.json", "thresholds.json"):
        (tmp_path / name).write_bytes((run.folder / name).read_bytes())
    with_layer(run, tmp_path / "model.keras", HOSTILE["keras.layers.StringLookup"])
    hostile = type(run)(tmp_path)
    ways = (
        lambda: load_predictor(tmp_path),
        lambda: export_run(hostile, tmp_path / "export"),
        lambda: export_encoder(hostile, tmp_path / "encoder.npz"),
    )
    for way in ways:
        with pytest.raises(ArtefactError, match=r"uses keras\.layers\.StringLookup, which no model"):
            way()
    with pytest.raises(SettingError, match=r"has no encoder: .*uses keras\.layers\.StringLookup, which no model"):
        build_encoder("mobilenetv2_035", str(tmp_path))


@pytest.mark.parametrize(
    "content", [b"", b"nonsense", None, b"[]", b"{", b'{"module": "keras.layers", "class_name": "Dense"}']
)
def test_a_file_that_is_no_model_is_one_line(tmp_path, content):
    path = tmp_path / "model.keras"
    if content is None or (content[:1] in b"[{" and content):
        with zipfile.ZipFile(path, "w") as file:
            file.writestr("config.json" if content else "other.json", content or b"")
    else:
        path.write_bytes(content)
    with pytest.raises(ArtefactError) as caught:
        load_model(path)
    what, expected, fix = str(caught.value).splitlines()
    assert what.startswith(f"{path} cannot be read: ")
    assert (expected, fix) == ("Expected: a whole Keras model.", "Fix: train again.")


def test_a_model_keeps_its_parts_and_loads(run):
    with zipfile.ZipFile(run.model) as file:
        found = parts_of(json.loads(file.read("config.json")))
    assert ("plankton_keras.models.blocks", "Whiten") in found
    check_model(run.model)
    assert load_model(run.model).name == "unet"


@pytest.mark.parametrize("module", [module for module, names in PARTS.items() if names])
def test_what_is_listed_is_there(module):
    found = vars(__import__(module, fromlist=["it"]))
    assert PARTS[module] - set(found) == set()


def saved(folder, function):
    module = tf.Module()
    module.serve = tf.function(
        function, input_signature=[tf.TensorSpec((None, None, None, 1), tf.uint8, "image")], autograph=False
    )
    tf.saved_model.save(module, str(folder), signatures={"serving_default": module.serve})
    content = {"format_version": "1.0", "model": "unet", "classes": ["non-living", "living"], "threshold": 0.5}
    write_json(folder / "metadata.json", {**content, "target": living_target().to_json(), "training_scans": {}})


def hostile_graphs(marker):
    def answer(image):
        return {"probabilities": tf.cast(tf.concat([image, image], -1), tf.float32)}

    def writes(image):
        tf.io.write_file(str(marker), "written")
        return answer(image)

    def reads(image):
        secret = tf.strings.length(tf.io.read_file("/etc/passwd"))
        return {"probabilities": answer(image)["probabilities"] + tf.cast(secret, tf.float32)}

    def calls(image):
        return {"probabilities": tf.py_function(lambda each: each, [answer(image)["probabilities"]], tf.float32)}

    def saves(image):
        tf.raw_ops.SaveV2(prefix=str(marker), tensor_names=["a"], shape_and_slices=[""], tensors=[image])
        return answer(image)

    return {"WriteFile": writes, "ReadFile": reads, "EagerPyFunc": calls, "SaveV2": saves}


@pytest.mark.parametrize("name", ["WriteFile", "ReadFile", "EagerPyFunc", "SaveV2"])
def test_an_export_that_reaches_files_or_python_is_refused_before_it_runs(tmp_path, name):
    marker = tmp_path / "marker"
    saved(tmp_path / "1", hostile_graphs(marker)[name])
    with pytest.raises(ArtefactError) as caught:
        load_predictor(tmp_path)
    assert str(caught.value) == (
        f"{tmp_path / '1'} uses {name}, which no model of plankton_keras does.\n"
        "Expected: a run or an export of plankton_keras.\n"
        "Fix: use a model whose origin you know; docs/train.md says how one is made."
    )
    assert not list(tmp_path.glob("marker*"))


def test_a_saved_model_that_is_none_is_one_line(tmp_path):
    (tmp_path / "saved_model.pb").write_bytes(b"nonsense")
    with pytest.raises(
        ArtefactError, match=f"^{re.escape(str(tmp_path))} cannot be read: .*\nExpected: a whole SavedModel"
    ):
        check_saved_model(tmp_path)


def test_the_digest_of_an_export_changes_with_its_weights(export, tmp_path):
    """Predictions of other weights are those of another model, and are not mixed."""
    check_saved_model(export)
    predictor = load_predictor(export)
    assert predictor.digest == version_digest(export)
    Journal.of(tmp_path, predictor, PredictConfig()).finish()
    (variables,) = (export / "variables").glob("*.data-*")
    variables.write_bytes(variables.read_bytes()[:-8] + bytes(8))
    assert version_digest(export) != predictor.digest
    with pytest.raises(ArtefactError, match="holds predictions of another model"):
        Journal.of(tmp_path, replace(predictor, digest=version_digest(export)), PredictConfig())
