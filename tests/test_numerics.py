"""Numbers and shapes at the edge, through every step: empty, full, one pixel, one row, no number, too many."""

import csv
import json
import math
from itertools import islice

import keras
import numpy as np
import pytest
import tifffile
from click.testing import CliRunner
from conftest import write_p5
from untrained import untrained_run

from plankton_keras import training
from plankton_keras.artefact_checks import check_artefact
from plankton_keras.cli import main
from plankton_keras.config import PredictConfig, TrainConfig
from plankton_keras.counting import count_scan
from plankton_keras.data.records import read_manifest, rebuild_scans
from plankton_keras.errors import ArtefactError, InputError
from plankton_keras.inference import load_predictor
from plankton_keras.measuring import measure_scan, read_objects
from plankton_keras.models import build_model
from plankton_keras.prediction import predict_scan, write_prediction
from plankton_keras.scans import ArrayScan, open_scan
from plankton_keras.weighing import best_threshold

SIZE = 130, 170
# Height and width of scans that hold nothing unusual but their shape; a patch has 64 pixels.
SHAPES = {"row": (1, 400), "column": (400, 1), "small": (40, 50), "pixel": (1, 1)}


def run(*words, code=0):
    result = CliRunner().invoke(main, [str(word) for word in words])
    assert result.exit_code == code, f"{result.output}\n{result.exception!r}"
    return result


def drawn(name, seed):
    """Draws ids of a kind and a scan on which they are dark; no two seeds give the same."""
    ids = np.zeros(SHAPES.get(name, SIZE), np.uint16)
    if name in SHAPES:
        ids[:30, :30] = 8
    elif name == "full":
        ids[:] = 8
    elif name == "dots":
        ids[5::9, 5::9] = 8
    elif name == "ids":
        ids[10:40, 10:40], ids[60:90, 60:90], ids[100:120, 100:130] = 65535, 65534, 7
    ground = np.random.default_rng([seed, len(name)]).integers(222, 228, ids.shape).astype(np.uint8)
    return np.where(ids > 0, ground - 160, ground), ids


NAMES = ("empty", "full", "dots", "ids", *SHAPES)
# Pixels with id 8 or more, and their pieces.
LIVING = {"empty": 0, "full": 130 * 170, "dots": 14 * 19, "ids": 1800, "row": 30, "column": 30}
LIVING |= {"small": 900, "pixel": 1}
OBJECTS = {"empty": 0, "full": 1, "dots": 14 * 19, "ids": 2} | dict.fromkeys(SHAPES, 1)


@pytest.fixture(scope="module")
def scans(tmp_path_factory):
    """Each of them for training, which a scan of one pixel could not tell from another, and for validation."""
    folder = tmp_path_factory.mktemp("edge")
    for seed, split in enumerate(("train", "val")):
        (folder / split).mkdir()
        for name in NAMES if split == "val" else NAMES[:-1]:
            scan, ids = drawn(name, seed)
            write_p5(folder / split / f"{name}{seed}_scan.pgm", scan)
            write_p5(folder / split / f"{name}{seed}_mask.pgm", ids)
    return folder


@pytest.fixture(scope="module")
def records(scans, tmp_path_factory):
    out = tmp_path_factory.mktemp("records")
    run("make-tfrecords", scans, "--out", out, "--patch-size", 64, "--quiet", "--overwrite")
    return out


def strict(text):
    """Reads JSON as other programs do, for which NaN and Infinity are none."""

    def refuse(word):
        raise AssertionError(f"{word} in JSON")

    return json.loads(text, parse_constant=refuse)


def rows_of(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("name", NAMES)
def test_records_give_every_pixel_back(records, name):
    manifest = read_manifest(records)
    scan, ids = drawn(name, 1)
    image, classes = rebuild_scans(records, manifest, "val")[f"{name}1"]
    assert np.array_equal(image, scan)
    assert np.array_equal(classes, ids >= 8)
    assert np.count_nonzero(classes) == LIVING[name]
    assert check_artefact(records) == []
    strict((records / "manifest.json").read_text())


def test_masks_are_scored_against_themselves(scans, tmp_path):
    out, masks = tmp_path / "out", tmp_path / "masks"
    masks.mkdir()
    for name in NAMES:
        write_p5(masks / f"{name}1_mask.pgm", (drawn(name, 1)[1] >= 8).astype(np.uint8))
    run("evaluate", scans, "--masks", masks, "--split", "val", "--out", out, "--quiet")
    found = strict((out / "metrics.json").read_text())
    assert found["pixel"]["f1"] == found["objects"]["f1"] == 1
    assert {each["scan"]: each["objects"]["f1"] for each in found["scans"]}.keys() == {f"{name}1" for name in NAMES}


def test_masks_are_measured_and_no_table_holds_what_is_no_number(scans, tmp_path):
    run("measure", scans / "val", "--dpi", 2400, "--out", tmp_path / "out", "--quiet")
    rows = rows_of(tmp_path / "out" / "objects.csv")
    counts = {name: sum(row["scan"] == f"{name}1" and row["taxon"] == "living" for row in rows) for name in NAMES}
    assert counts == OBJECTS
    areas = {name: sum(int(row["area"]) for row in rows if row["scan"] == f"{name}1") for name in NAMES}
    assert areas == LIVING
    words = {cell.lower() for row in rows for cell in row.values()}
    assert words & {"nan", "inf", "-inf", "none"} == set()


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return untrained_run(tmp_path_factory.mktemp("run"))


@pytest.mark.parametrize("threshold", [0, 1])
def test_a_network_answers_for_every_pixel(scans, model, tmp_path, threshold):
    out = tmp_path / "out"
    run("predict", model.folder, scans / "val", "--threshold", threshold, "--min-area", 0, "--out", out, "--quiet")
    found = strict((out / "prediction.json").read_text())
    assert {entry["scan"] for entry in found["scans"]} == {f"{name}1" for name in NAMES}
    for name in NAMES:
        rows = read_objects(out, f"{name}1")
        whole = math.prod(SHAPES.get(name, SIZE))
        assert [row["area_px"] for row in rows] == ([whole] if threshold == 0 else [])
    run("measure", out, "--dpi", 2400, "--out", tmp_path / "measured", "--quiet")


def test_one_step_of_training_keeps_numbers():
    keras.utils.set_random_seed(0)
    config, shape = TrainConfig(width=4, depth=2, steps_per_epoch=1), (2, 64, 64, 1)
    model = build_model(config, 2)
    training.compile_model(model, config)
    noise = np.random.default_rng(0).integers(0, 256, shape).astype(np.float32)
    one_pixel = np.zeros(shape, np.uint8)
    one_pixel[0, 5, 7] = 1
    start = model.get_weights()
    for images in (np.zeros(shape, np.float32), np.full(shape, 255, np.float32), noise):
        for masks in (np.zeros(shape, np.uint8), np.ones(shape, np.uint8), one_pixel):
            model.set_weights(start)
            found = model.train_on_batch(images, masks, return_dict=True)
            assert all(math.isfinite(float(value)) for value in found.values()), (images.mean(), masks.sum(), found)
            assert all(np.isfinite(weight).all() for weight in model.get_weights())


@pytest.mark.parametrize("probability", [0, 10, 255])
def test_where_validation_has_nothing_to_find_the_threshold_is_a_half(probability):
    """The lowest of equally bad ones would have every pixel found."""
    maps = [(np.full((4, 5), probability, np.uint8), np.zeros((4, 5), np.uint8))]
    assert best_threshold(maps) == (0, 0.5)


def test_a_network_that_gives_no_numbers_is_an_error(tmp_path):
    run_of = untrained_run(tmp_path)
    model = keras.saving.load_model(run_of.model, compile=False)
    weights = model.get_weights()
    weights[-1][:] = np.nan
    model.set_weights(weights)
    model.save(run_of.model)
    predictor = load_predictor(tmp_path)
    with pytest.raises(ArtefactError) as caught:
        predictor.probabilities(np.zeros((1, 64, 64), np.uint8))
    assert str(caught.value) == (
        f"{run_of.model} gives numbers that are none.\nExpected: probabilities.\nFix: train or export it again."
    )


@pytest.mark.parametrize("number", ["nan", "inf", "-inf", "1e9"])
def test_a_resolution_that_is_none_is_refused(tmp_path, number):
    said = run("measure", tmp_path, "--out", tmp_path / "out", "--dpi", number, code=2).output
    assert "Invalid value for '--dpi'" in said


@pytest.mark.parametrize("word", ["nan", "inf"])
@pytest.mark.parametrize(
    ("command", "option"),
    [("predict", "--threshold"), ("measure", "--confidence"), ("train", "--learning-rate"), ("train", "--patience")],
)
def test_settings_that_are_no_numbers_are_refused(tmp_path, command, option, word):
    result = CliRunner().invoke(main, [command, str(tmp_path), str(tmp_path), "--out", str(tmp_path), option, word])
    assert (result.exit_code, "Traceback" in result.output) == (2, False)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_scan_of_floats_is_refused(tmp_path, value):
    tifffile.imwrite(tmp_path / "a_scan.tif", np.full((40, 50), value, np.float32))
    with pytest.raises(InputError, match=r"a_scan\.tif"):
        open_scan(tmp_path / "a_scan.tif")


def test_more_objects_than_16_bits_count_go_through_prediction_tables_and_scores(tmp_path):
    classes = np.zeros((513, 513), np.uint8)
    classes[::2, ::2] = 1
    scan = ArrayScan("many", np.where(classes > 0, 60, 220).astype(np.uint8))

    def probabilities(images):
        dark = (images < 128).astype(np.float32)
        return np.stack([1 - dark, dark], axis=-1)

    found = predict_scan(scan, probabilities, 0.5, PredictConfig(min_area=0))
    write_prediction(tmp_path, scan, found, ("non-living", "living"))
    rows = read_objects(tmp_path, "many")
    assert len(rows) == 257 * 257 > 65536
    assert [row["label"] for row in rows] == list(range(1, 257 * 257 + 1))
    assert {row["area_px"] for row in rows} == {1}
    assert (rows[-1]["x_px"], rows[-1]["y_px"]) == (512, 512)
    assert [each.measures["area"] for each in islice(measure_scan(tmp_path, scan), 3)] == [1, 1, 1]
    counts = count_scan(lambda window: classes[window.slices], found, 2)
    assert counts.objects.scores()["f1"] == 1
