import json
import shutil
import subprocess
import sys

import cv2
import keras
import numpy as np
import pytest
import tensorflow as tf
from click.testing import CliRunner
from untrained import untrained_run

from plankton_keras import export as export_module
from plankton_keras.cli import main
from plankton_keras.config import TrainConfig
from plankton_keras.errors import ArtefactError
from plankton_keras.export import export_encoder, export_run, next_version, version_digest
from plankton_keras.files import sha256, write_json
from plankton_keras.inference import is_model, load_classifier, load_predictor
from plankton_keras.models import build_model
from plankton_keras.models.encoders import build_encoder
from plankton_keras.predictors import Classifier
from plankton_keras.runs import Run
from plankton_keras.truths import truths_of_vignettes

CONFUSION = [[5, 1, 0], [0, 0, 0], [2, 0, 7]]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A finished run whose model is untrained."""
    curves = {"threshold": [0.4], "precision": [0.9], "recall": [0.8], "f1": [0.85]}
    return untrained_run(tmp_path_factory.mktemp("run"), curves=curves)


@pytest.fixture(scope="module")
def exported(run, tmp_path_factory):
    out = tmp_path_factory.mktemp("export")
    return out, export_run(run, out)


@pytest.fixture(scope="module")
def vignette_run(tmp_path_factory):
    """A finished run of vignettes whose model is untrained."""
    run = Run(tmp_path_factory.mktemp("vignettes"))
    config = TrainConfig(model="mobilenetv2_035", weights="none")
    build_model(config, 3).save(run.model)
    write_json(run.config, config.to_json())
    write_json(run.metrics, {"val": {}})
    write_json(run.thresholds, {"temperature": 0.5, "confusion": {"classes": ["a", "b", "c"], "counts": CONFUSION}})
    target = {"names": ["a", "b", "c"], "living": {"a": True, "b": False, "c": True}, "living_share": 0.75}
    known = {"classes": ["a", "b", "c"], "dpi": None, "target": target, "vignette_size": 32, "training_scans": {}}
    write_json(run.provenance, known)
    return run


def image(*shape):
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def test_run_and_export_give_the_same_probabilities_at_any_size_and_batch(run, exported):
    of_run, of_export = load_predictor(run.folder), load_predictor(exported[0])
    for shape in ((1, 64, 64), (3, 128, 64), (2, 192, 256)):
        first, second = of_run.probabilities(image(*shape)), of_export.probabilities(image(*shape))
        assert np.abs(first - second).max() <= 1e-4
        assert first.shape == (*shape, 2)
        assert first.sum(axis=-1) == pytest.approx(1, abs=1e-5)


@pytest.mark.slow
def test_run_and_export_divide_logits_by_the_temperature(run, exported, vignette_run, tmp_path):
    pixels = image(1, 64, 64)
    logits = keras.saving.load_model(run.model, compile=False)(pixels[..., None].astype(np.float32))
    expected = keras.ops.softmax(logits / 2.0).numpy()
    for path in (run.folder, exported[0]):
        assert np.abs(load_predictor(path).probabilities(pixels) - expected).max() <= 1e-4
    export_run(vignette_run, tmp_path)
    images, sides = image(3, 32, 32, 1), np.full((3, 1), 50, np.float32)
    model = keras.saving.load_model(vignette_run.model, compile=False)
    logits = model({"image": images.astype(np.float32), "side": sides}, training=False)
    expected = keras.ops.softmax(logits / 0.5).numpy()
    for path in (vignette_run.folder, tmp_path):
        assert np.abs(load_classifier(path).classify(images, sides) - expected).max() <= 1e-4


def test_run_and_export_know_the_same(run, exported):
    of_run, of_export = load_predictor(run.folder), load_predictor(exported[0])
    for name in ("classes", "threshold", "target", "training_scans", "curves"):
        assert getattr(of_run, name) == getattr(of_export, name)


def test_the_metadata_tells_what_a_stranger_needs(run, exported):
    metadata = json.loads((exported[0] / "1" / "metadata.json").read_text())
    assert metadata["classes"] == ["non-living", "living"]
    assert metadata["threshold"] == 0.4
    assert metadata["pixel_mm"] == pytest.approx(25.4 / 2400)
    assert metadata["model_sha256"] == run.digest()
    assert metadata["max_difference"] == exported[1]["max_difference"] <= 1e-4


def test_the_digest_of_a_run_is_of_all_that_its_predictions_come_of(tmp_path):
    run = untrained_run(tmp_path)
    digests = [run.digest()]
    run.judge.write_bytes(b"judge")
    digests.append(run.digest())
    run.judge.write_bytes(b"another judge")
    digests.append(run.digest())
    shell = "sha256sum model.keras judge.keras thresholds.json | sha256sum"
    done = subprocess.run(shell, shell=True, cwd=tmp_path, capture_output=True, check=True)
    assert digests[-1] == done.stdout.decode().split()[0]
    write_json(run.thresholds, {**run.read_thresholds(), "temperature": 1.5})
    digests.append(run.digest())
    assert len(set(digests)) == 4


def test_the_digest_is_of_the_graph_and_the_weights(exported, tmp_path):
    folder = exported[0] / "1"
    copy = shutil.copytree(folder, tmp_path / "1")
    digest = load_predictor(folder).digest
    assert load_predictor(copy).digest == digest
    done = subprocess.run(
        "sha256sum saved_model.pb variables/* | sha256sum", shell=True, cwd=folder, capture_output=True, check=True
    )
    assert digest == done.stdout.decode().split()[0]
    weights = copy / "variables" / "variables.data-00000-of-00001"
    weights.write_bytes(weights.read_bytes()[:-1] + b"?")
    assert version_digest(copy) != digest


def test_it_loads_where_there_is_only_tensorflow_and_takes_bytes_too(exported, tmp_path):
    pixels = image(64, 128)
    png = cv2.imencode(".png", pixels)[1].tobytes()
    (tmp_path / "a.png").write_bytes(png)
    np.save(tmp_path / "a.npy", pixels)
    code = f"""
import sys, numpy as np, tensorflow as tf
loaded = tf.saved_model.load({str(exported[0] / "1")!r})
first = loaded.signatures["serving_default"](image=tf.constant(np.load({str(tmp_path / "a.npy")!r})[None, ..., None]))
data = tf.constant([open({str(tmp_path / "a.png")!r}, "rb").read()])
second = loaded.signatures["serving_bytes"](image_bytes=data)
assert list(first) == list(second) == ["probabilities"]
assert first["probabilities"].shape == (1, 64, 128, 2)
assert np.array_equal(first["probabilities"], second["probabilities"])
assert "plankton_keras" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("name", ["new [12]", "a*", "b?", "c\\d"])
def test_a_folder_whose_name_is_a_pattern_is_taken_as_it_is(run, exported, tmp_path, name):
    # Of another model, whose variables a pattern would find.
    shutil.copytree(exported[0] / "1", tmp_path / "new 1" / "1")
    index = tmp_path / "new 1" / "1" / "variables" / "variables.index"
    index.write_bytes(b"")
    assert export_run(run, tmp_path / name)["max_difference"] <= 1e-4
    pixels = image(1, 64, 64)
    ours, theirs = (load_predictor(path).probabilities(pixels) for path in (exported[0], tmp_path / name))
    assert np.array_equal(ours, theirs)


@pytest.mark.parametrize("name", ["\N{SUPERSCRIPT TWO}", "2\N{SUPERSCRIPT TWO}"])
def test_a_folder_with_a_raised_digit_is_no_version(tmp_path, name):
    (tmp_path / name).mkdir()
    assert (next_version(tmp_path, overwrite=True), is_model(tmp_path)) == (1, False)


def test_versions_count_up_and_overwrite_replaces_the_newest(run, exported, tmp_path):
    out = tmp_path / "export"
    assert [export_run(run, out)["version"] for _ in range(2)] == [1, 2]
    assert next_version(out, overwrite=False) == 3
    assert export_run(run, out, overwrite=True)["version"] == 2
    assert sorted(path.name for path in out.iterdir()) == ["1", "2"]


def test_a_folder_called_by_a_year_is_no_version_to_replace(tmp_path):
    (tmp_path / "2009").mkdir()
    assert next_version(tmp_path, overwrite=True) == next_version(tmp_path, overwrite=False) == 2010
    (tmp_path / "2009" / "metadata.json").touch()
    assert next_version(tmp_path, overwrite=True) == 2009


def test_an_export_needs_a_folder_that_nobody_else_writes(run, tmp_path):
    (tmp_path / "file").touch()
    said = CliRunner().invoke(main, ["export", str(run.folder), "--out", str(tmp_path / "file"), "--quiet"])
    assert (said.exit_code, said.stderr.splitlines()[0]) == (4, f"{tmp_path / 'file'} is a file.")


def test_an_export_that_computes_something_else_is_refused(run, tmp_path, monkeypatch):
    monkeypatch.setattr(export_module, "_difference", lambda *_: 0.02)
    with pytest.raises(ArtefactError, match=r"The export differs from the model by 0\.02\."):
        export_run(run, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_warm_up_requests_are_what_tensorflow_serving_parses(exported):
    (path,) = (exported[0] / "1" / "assets.extra").iterdir()
    assert path.name == "tf_serving_warmup_requests"
    signatures = []
    for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
        request = fields(fields(record)[6])[1]
        spec, entry = fields(fields(request)[1]), fields(fields(request)[2])
        assert spec[1] == b"plankton"
        tensor = tf.make_ndarray(type(tf.make_tensor_proto(0)).FromString(entry[2]))
        signatures.append((spec[3].decode(), entry[1].decode(), tensor.shape))
    assert signatures == [("serving_default", "image", (1, 256, 256, 1)), ("serving_bytes", "image_bytes", (1,))]


def fields(message):
    """Reads the length-delimited fields of a protobuf message."""
    found, at = {}, 0
    while at < len(message):
        key, at = varint(message, at)
        assert key & 7 == 2
        length, at = varint(message, at)
        found[key >> 3] = message[at : at + length]
        at += length
    return found


def varint(message, at):
    value = shift = 0
    while True:
        value |= (message[at] & 127) << shift
        at, shift = at + 1, shift + 7
        if message[at - 1] < 128:
            return value, at


def test_a_classifier_of_vignettes_is_exported_with_its_sizes_and_confusion(vignette_run, tmp_path, monkeypatch):
    result = export_run(vignette_run, tmp_path)
    assert (result["signatures"], result["max_difference"] <= 1e-4) == (["serving_default"], True)
    of_run, of_export = load_classifier(vignette_run.folder), load_classifier(tmp_path)
    images, sides = image(5, 32, 32, 1), np.array([[10], [20], [64], [100], [900]], np.float32)
    assert np.abs(of_run.classify(images, sides) - of_export.classify(images, sides)).max() <= 1e-4
    for name in ("classes", "living", "living_share", "size"):
        assert getattr(of_run, name) == getattr(of_export, name)
    (path,) = (tmp_path / "1" / "assets.extra").iterdir()
    (request,) = tf.data.TFRecordDataset(str(path)).as_numpy_iterator()
    assert b"serving_default" in request
    assert b"side" in request
    assert of_run.confusion.tolist() == of_export.confusion.tolist() == CONFUSION
    metadata = json.loads((tmp_path / "1" / "metadata.json").read_text())
    assert metadata["confusion"] == {"classes": metadata["classes"], "counts": CONFUSION}
    # Exports from before that was noted have no such key.
    del metadata["confusion"]
    write_json(tmp_path / "1" / "metadata.json", metadata)
    monkeypatch.setattr("plankton_keras.inference._signature", lambda *_: None)
    assert load_classifier(tmp_path).confusion is None


def test_the_encoder_of_a_run_is_written_for_other_trainings(vignette_run, tmp_path):
    result = export_encoder(vignette_run, tmp_path / "new" / "a.npz")
    assert (result["model"], result["sha256"]) == ("mobilenetv2_035", sha256(tmp_path / "new" / "a.npz"))
    encoder, start = build_encoder("mobilenetv2_035", str(tmp_path / "new" / "a.npz"))
    assert "a.npz" in start
    trained = keras.saving.load_model(vignette_run.model, compile=False).get_layer("encoder")
    for ours, theirs in zip(encoder.get_weights(), trained.get_weights(), strict=True):
        assert ours == pytest.approx(theirs, rel=1e-3, abs=1e-4)
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["a.npz"]


def test_the_command_that_is_next_has_all_it_needs(vignette_run, tmp_path):
    said = CliRunner().invoke(main, ["export", str(vignette_run.folder), "--encoder", "--out", str(tmp_path / "a.npz")])
    assert said.stdout.splitlines()[-1] == (
        f"Next: plankton train RECORDS --out runs/NAME --weights {tmp_path / 'a.npz'}"
    )


def test_an_encoder_that_is_not_there_or_would_replace_a_file_is_refused(run, vignette_run, tmp_path):
    with pytest.raises(ArtefactError, match=f"{run.folder} is a unet: it has no encoder."):
        export_encoder(run, tmp_path / "a.npz")
    (tmp_path / "b.npz").touch()
    for name in ("b.npz", "c.h5"):
        with pytest.raises(ArtefactError, match=f"{tmp_path / name} cannot be written."):
            export_encoder(vignette_run, tmp_path / name)
    assert export_encoder(vignette_run, tmp_path / "b.npz", overwrite=True)["megabytes"] > 0


@pytest.mark.parametrize("name", ["folder.npz", "file/a.npz"])
def test_an_encoder_in_place_of_a_folder_or_below_a_file_is_refused_in_words(vignette_run, tmp_path, name):
    (tmp_path / "folder.npz").mkdir()
    (tmp_path / "file").touch()
    words = ("export", vignette_run.folder, "--encoder", "--overwrite", "--out", tmp_path / name)
    done = CliRunner().invoke(main, list(map(str, words)))
    assert (done.exit_code, "cannot be read or written: " in done.stderr) == (1, True)


def test_a_classifier_of_vignettes_finds_nothing_on_scans(vignette_run):
    with pytest.raises(ArtefactError) as caught:
        load_predictor(vignette_run.folder)
    assert str(caught.value) == (
        f"{vignette_run.folder} classifies vignettes; it finds nothing on a scan.\n"
        "Expected: a run of patches, or its export.\n"
        "Fix: score vignettes with plankton evaluate."
    )


def test_a_model_of_patches_classifies_no_vignettes(exported):
    with pytest.raises(ArtefactError, match="is of patches"):
        load_classifier(exported[0])


def test_a_judge_classifies_any_number_of_vignettes_alike(vignette_run):
    classify = load_classifier(vignette_run.folder).classify
    images, sides = image(70, 32, 32, 1), np.linspace(10, 900, 70, dtype=np.float32)[:, None]
    one_by_one = np.concatenate([classify(images[[i]], sides[[i]]) for i in (0, 31, 32, 69)])
    assert classify(images, sides)[[0, 31, 32, 69]] == pytest.approx(one_by_one, abs=1e-5)
    assert classify(images[:0], sides[:0]).shape == (0, 3)


def test_a_folder_of_scans_by_year_is_no_model(exported, tmp_path):
    (tmp_path / "2009").mkdir()
    assert [is_model(path) for path in (tmp_path, exported[0], exported[0] / "1")] == [False, True, True]


def test_a_class_called_like_a_split_is_scored_with_the_others(tmp_path):
    for name in ("test", "copepod"):
        (tmp_path / name).mkdir()
        cv2.imwrite(str(tmp_path / name / "1.png"), image(20, 30))
    known = Classifier(None, ("copepod", "test"), None, None, 32, "digest", "run")
    assert truths_of_vignettes(tmp_path, "val", known)[2].tolist() == [0, 1]


def test_what_is_no_model_is_refused(tmp_path):
    with pytest.raises(ArtefactError) as caught:
        load_predictor(tmp_path)
    assert str(caught.value) == (
        f"{tmp_path} is neither a run nor an export.\n"
        "Expected: a folder with config.json and model.keras, or one with 1/saved_model.pb.\n"
        "Fix: give what plankton train or plankton export wrote."
    )


def test_no_folder_is_made_for_what_is_no_run(tmp_path):
    done = CliRunner().invoke(main, ["export", str(tmp_path), "--out", str(tmp_path / "new")])
    assert (done.exit_code, list(tmp_path.iterdir())) == (4, [])
    assert done.stderr.startswith(f"{tmp_path} is no run: it has no config.json.\n")


def test_a_run_that_has_not_ended_is_refused(run, tmp_path):
    write_json(tmp_path / "config.json", {})
    with pytest.raises(ArtefactError, match=f"The training in {tmp_path} has not ended."):
        load_predictor(tmp_path)


def test_an_export_of_another_major_version_is_refused_with_the_command(exported, tmp_path):
    write_json(tmp_path / "metadata.json", {"format_version": "2.0"})
    with pytest.raises(ArtefactError, match="write it anew: plankton export RUN --out DIR"):
        load_predictor(tmp_path)
