"""The command line from the outside: exit codes, exact messages, JSON, and the chain from scans to a served mask."""

import csv
import json
import logging
import re
import shutil
import sys

import cv2
import numpy as np
import pytest
from click.testing import CliRunner
from conftest import tiny_scan, write_p5

from plankton_keras.cli import main
from plankton_keras.cli.output import listen
from plankton_keras.config import PredictConfig
from plankton_keras.fusion import Judge, Weights
from plankton_keras.prediction import predict_scan
from plankton_keras.predictors import Predictor
from plankton_keras.scans import open_scan
from plankton_keras.taxa import living_target

COMMANDS = sorted(main.commands)


def run(*words, code=0):
    result = CliRunner().invoke(main, [str(word) for word in words])
    if result.exit_code != code:
        raise AssertionError(f"exit code {result.exit_code}\n{result.output}\n{result.exception!r}")
    return result


def content(folder):
    """Bytes by name, of all that does not say how long it took."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix != ".json"}


@pytest.fixture(scope="module")
def chain(tiny_scans, tmp_path_factory):
    """Runs the whole chain once, on tiny scans, with the JSON of each command."""
    folder = tmp_path_factory.mktemp("chain")
    small = (
        "--width",
        4,
        "--depth",
        2,
        "--epochs",
        3,
        "--steps-per-epoch",
        20,
        "--window",
        64,
        "--learning-rate",
        0.02,
    )
    said = {
        "make-tfrecords": run(
            "make-tfrecords", tiny_scans, "--out", folder / "records", "--patch-size", 64, "--json", "--quiet"
        ),
        "train": run("train", folder / "records", "--out", folder / "run", *small, "--json", "--quiet"),
        "evaluate": run("evaluate", folder / "run", tiny_scans, "--out", folder / "evaluation", "--json", "--quiet"),
        "predict": run(
            "predict", folder / "run", tiny_scans / "test", "--out", folder / "predictions", "--json", "--quiet"
        ),
        "export": run("export", folder / "run", "--out", folder / "export", "--json", "--quiet"),
    }
    return folder, {name: json.loads(result.stdout) for name, result in said.items()}


def test_the_chain_finds_the_dark_squares_that_a_threshold_cannot_tell_from_pale_ones(chain):
    _, said = chain
    # The squares that are not living are dark too: the threshold finds 2 living of 3, precision 2/3.
    assert said["evaluate"]["baselines"]["threshold"]["pixel"]["precision"] == pytest.approx(2 / 3, abs=0.1)
    assert said["evaluate"]["pixel"]["f1"] > 0.95


def test_each_json_has_the_keys_that_scripts_rely_on(chain):
    folder, said = chain
    records = said["make-tfrecords"]
    assert set(records) == {"out", "splits", "classes", "class_share", "seconds", "megapixels_per_second"}
    assert records["splits"]["train"]["scans"] == ["a", "b"]
    assert set(records["splits"]["train"]) == {"scans", "patches", "shards"}
    assert set(said["train"]) == {
        "out",
        "model",
        "epochs",
        "best_epoch",
        "val",
        "val_scans",
        "seconds",
        "patches_per_second",
    }
    scores = said["evaluate"]
    assert {"pixel", "classes", "objects", "scans", "threshold"} <= set(scores)
    assert set(scores["pixel"]) >= {"accuracy", "precision", "recall", "f1", "iou"}
    assert set(scores["objects"]) >= {"precision", "recall", "f1", "ap50", "pq"}
    assert list(scores["classes"]) == ["non-living", "living"]
    assert [scan["scan"] for scan in scores["scans"]] == ["c"]
    assert said["predict"]["failed"] == []
    (scan,) = said["predict"]["scans"]
    keys = {"scan", "status", "megapixels", "seconds", "megapixels_per_second", "peak_memory_mb", "objects"}
    assert keys <= set(scan)
    assert said["export"]["max_difference"] <= 1e-4
    assert said["export"]["signatures"] == ["serving_default", "serving_bytes", "serving_vignettes"]
    for name, path in (
        ("make-tfrecords", "records/make-tfrecords.json"),
        ("train", "run/metrics.json"),
        ("evaluate", "evaluation/metrics.json"),
        ("export", "export/export.json"),
    ):
        assert json.loads((folder / path).read_text()) == said[name]


@pytest.mark.slow
def test_where_the_network_knows_little_whole_objects_are_judged_in_run_and_export_alike(chain, tiny_scans, tmp_path):
    folder, _ = chain
    weak = ("--width", 4, "--depth", 2, "--epochs", 1, "--steps-per-epoch", 1, "--window", 64)
    trained = json.loads(run("train", folder / "records", "--out", tmp_path / "run", *weak, "--json", "--quiet").stdout)
    assert trained["val_scans"]["f1"] > trained["val_scans"]["pixel"]["f1"] + 0.1
    assert (tmp_path / "run" / "judge.keras").is_file()
    exported = json.loads(run("export", tmp_path / "run", "--out", tmp_path / "x", "--json", "--quiet").stdout)
    assert exported["signatures"] == ["serving_default", "serving_bytes", "serving_vignettes"]
    words = (tmp_path / "run", tmp_path / "x", tiny_scans, "--split", "test", "--out", tmp_path / "e")
    first, second, _ = json.loads(run("evaluate", *words, "--json", "--quiet").stdout)["runs"]
    assert first["pixel"] == second["pixel"]
    assert first["pixel"]["f1"] > 0.9


@pytest.mark.slow
def test_taxa_are_learned_scored_drawn_and_exported_by_name(tmp_path):
    scans = tmp_path / "scans"
    for seed, (split, stem) in enumerate([("train", "a"), ("train", "b"), ("val", "c")]):
        (scans / split).mkdir(parents=True, exist_ok=True)
        scan, mask = tiny_scan(seed)
        # The right one of the two dark squares becomes a paler animal of a taxon of its own.
        right = np.zeros(mask.shape, bool)
        right[:, 180:] = mask[:, 180:] == 8
        scan[right], mask[right] = 100, 9
        write_p5(scans / split / f"{stem}_scan.png.ppm", scan)
        write_p5(scans / split / f"{stem}_mask.png.ppm", mask)
    (scans / "taxa.csv").write_text("id,name,living\n0,ground,0\n1,detritus,0\n8,Copepoda,1\n9,Salpida,1\n")
    records, trained, found = (tmp_path / name for name in ("records", "run", "found"))
    run("make-tfrecords", scans, "--out", records, "--target", "taxa", "--min-objects", 1, "--patch-size", 64)
    small = ("--width", 8, "--depth", 2, "--epochs", 4, "--steps-per-epoch", 20, "--window", 64)
    run("train", records, "--out", trained, *small, "--learning-rate", 0.02, "--quiet")
    scored = run("evaluate", trained, scans, "--out", tmp_path / "e")
    classes = json.loads((tmp_path / "e" / "metrics.json").read_text())["classes"]
    assert list(classes) == ["non-living", "Copepoda", "Salpida", "other living"]
    assert classes["Copepoda"]["support"] == classes["Salpida"]["support"] == 900
    assert min(classes["Copepoda"]["f1"], classes["Salpida"]["f1"]) > 0.8
    table = [line for line in scored.output.splitlines() if line.endswith(" 900")]
    assert [line.split()[0] for line in table] == ["Copepoda", "Salpida"]
    run("predict", trained, scans / "val", "--out", found)
    with open(found / "c_objects.csv", newline="") as file:
        assert sorted(row["class"] for row in csv.DictReader(file)) == ["Copepoda", "Salpida"]
    overlay = cv2.imread(str(found / "c_overlay.jpg")).astype(int)
    assert len({tuple(color) for color in (overlay // 64).reshape(-1, 3) if np.ptp(color) > 1}) >= 2
    run("export", trained, "--out", tmp_path / "x")
    assert json.loads((tmp_path / "x" / "1" / "metadata.json").read_text())["classes"] == list(classes)


def test_evaluate_gives_the_same_on_records_as_on_scans(chain, tiny_scans, tmp_path):
    folder, said = chain
    again = run("evaluate", folder / "run", folder / "records", "--out", tmp_path / "e", "--json", "--quiet")
    assert json.loads(again.stdout)["pixel"] == said["evaluate"]["pixel"]


def test_evaluate_compares_a_run_with_its_export_and_with_their_average(chain, tiny_scans, tmp_path):
    folder, said = chain
    both = run("evaluate", folder / "run", folder / "export", tiny_scans, "--out", tmp_path / "e", "--json", "--quiet")
    first, second, average = json.loads(both.stdout)["runs"]
    assert first["pixel"] == second["pixel"] == average["pixel"] == said["evaluate"]["pixel"]
    assert average["model"] == f"{folder / 'run'} and {folder / 'export' / '1'}"


def test_predict_averages_models_over_turns(chain, tiny_scans, tmp_path):
    folder, _ = chain
    words = (folder / "run", folder / "export", tiny_scans / "test", "--out", tmp_path / "p", "--turns", "--quiet")
    run("predict", *words)
    masks = [
        cv2.imread(str(path / "d_mask.png"), cv2.IMREAD_UNCHANGED) > 0
        for path in (tmp_path / "p", folder / "predictions")
    ]
    assert (masks[0] & masks[1]).sum() / (masks[0] | masks[1]).sum() > 0.9
    assert run("predict", folder / "run", "--out", tmp_path / "q", code=2).stderr.endswith(
        "Missing argument 'SCAN...': give scans, or folders of them.\n"
    )


def test_predictions_are_files_that_agree_with_each_other(chain):
    folder, said = chain
    mask = cv2.imread(str(folder / "predictions" / "d_mask.png"), cv2.IMREAD_UNCHANGED)
    with open(folder / "predictions" / "d_objects.csv", newline="") as file:
        objects = list(csv.DictReader(file))
    assert mask.shape == (200, 300)
    assert set(np.unique(mask)) == {0, 1}
    assert len(objects) == said["predict"]["scans"][0]["objects"]
    assert sum(int(each["area_px"]) for each in objects) == mask.sum()
    assert {each["class"] for each in objects} == {"living"}
    assert (folder / "predictions" / "d_overlay.jpg").is_file()


def test_predict_takes_an_export_and_gives_the_same_mask(chain, tiny_scans, tmp_path):
    folder, _ = chain
    run("predict", folder / "export", tiny_scans / "test", "--out", tmp_path, "--probabilities", "--quiet")
    assert (tmp_path / "d_mask.png").read_bytes() == (folder / "predictions" / "d_mask.png").read_bytes()
    assert (tmp_path / "d_probability.tif").is_file()


def test_predict_skips_what_is_done_and_refuses_another_threshold(chain, tiny_scans, tmp_path):
    folder, _ = chain
    words = ("predict", folder / "run", tiny_scans / "test", "--out", tmp_path / "p")
    run(*words)
    before = (tmp_path / "p" / "d_mask.png").stat().st_mtime_ns
    assert "is done already" in run(*words).stderr
    assert (tmp_path / "p" / "d_mask.png").stat().st_mtime_ns == before
    refused = run(*words, "--threshold", 0.99, code=4)
    assert "holds predictions of another model or with other settings." in refused.stderr


def test_a_scan_without_any_object_is_said(chain, tmp_path):
    folder, _ = chain
    bare = np.random.default_rng(1).integers(222, 228, (200, 300)).astype(np.uint8)
    write_p5(tmp_path / "bare_scan.pgm", bare)
    said = run("predict", folder / "run", tmp_path / "bare_scan.pgm", "--out", tmp_path / "p", "--quiet").stdout
    assert "bare: no object was found; look at its overlay\n" in said
    assert (tmp_path / "p" / "bare_objects.csv").read_text().count("\n") == 1


def test_predict_keeps_the_good_scans_and_lists_the_bad(chain, tiny_scans, tmp_path):
    folder, _ = chain
    bad = tmp_path / "bad_scan.png"
    bad.write_bytes(b"no image at all")
    words = ("predict", folder / "run", bad, tiny_scans / "test", "--out", tmp_path / "p", "--json")
    result = run(*words, code=3)
    assert result.stderr.startswith(f"A scan will be left out: {bad} is no image: it starts with b'no image'.\n")
    said = json.loads(result.stdout)
    assert [entry["scan"] for entry in said["scans"]] == ["d"]
    assert said["failed"][0]["error"] == f"{bad} is no image: it starts with b'no image'."
    assert json.loads((tmp_path / "p" / "prediction.json").read_text())["status"] == "failed"
    planned = run(*words[:-3], "--out", tmp_path / "q", "--dry-run", "--json")
    assert planned.stderr == result.stderr.splitlines(keepends=True)[0]
    assert json.loads(planned.stdout)["scans"] == 1
    nothing = run(*words[:3], "--out", tmp_path / "q", "--dry-run", "--json").stdout
    assert (json.loads(nothing)["scans"], json.loads(nothing)["seconds"]) == (0, 0.0)
    # Measured without it, the samples would lack it; another call does not make that unsaid.
    run(*words[:2], tiny_scans / "test", *words[4:])
    assert json.loads((tmp_path / "p" / "prediction.json").read_text())["failed"] == said["failed"]


@pytest.mark.slow
def test_two_workers_write_the_bytes_of_one_and_list_what_is_bad_as_one_does(chain, tiny_scans, tmp_path):
    folder, _ = chain
    words = ("make-tfrecords", tiny_scans, "--patch-size", 64, "--quiet", "--workers", 2)
    run(*words, "--out", tmp_path / "records")
    assert content(tmp_path / "records") == content(folder / "records")
    bad = tmp_path / "bad_scan.png"
    bad.write_bytes(b"no image at all")
    said = [
        json.loads(
            run("predict", folder / "run", bad, tiny_scans, "--out", out, *more, "--json", "--quiet", code=3).stdout
        )
        for out, more in ((tmp_path / "1", ()), (tmp_path / "2", ("--workers", 2)))
    ]
    assert content(tmp_path / "1") == content(tmp_path / "2")
    assert [scan["scan"] for scan in said[1]["scans"]] == ["a", "b", "c", "d"]
    assert said[0]["failed"] == said[1]["failed"]


def test_records_of_a_folder_with_a_bad_mask_are_completed_once_it_is_mended(tiny_scans, tiny_records, tmp_path):
    scans, words = (
        tmp_path / "scans",
        ("make-tfrecords", tmp_path / "scans", "--out", tmp_path / "r", "--patch-size", 64),
    )
    shutil.copytree(tiny_scans, scans)
    mask = scans / "train" / "a_mask.png.ppm"
    whole = mask.read_bytes()
    write_p5(mask, tiny_scan(0)[1] * 256)
    assert f"{mask} holds only ids that are multiples of 256" in run(*words, code=3).stderr
    assert sorted(path.stem for path in (tmp_path / "r" / ".spools").glob("*-*.json")) == ["test-d", "train-b", "val-c"]
    mask.write_bytes(whole)
    run(*words, "--resume")
    assert (tmp_path / "r" / "manifest.json").is_file()


def test_what_the_run_was_trained_on_is_scored_where_allowed_and_the_report_says_so(chain, tiny_scans, tmp_path):
    folder, _ = chain
    words = ("evaluate", folder / "run", tiny_scans, "--split", "train", "--out", tmp_path / "e", "--quiet")
    said = run(*words, "--allow-training-scans").stdout
    text = f"{folder / 'run'} was trained on a and 1 other. These scores say nothing of other scans."
    assert said.startswith(text)
    metrics = json.loads((tmp_path / "e" / "metrics.json").read_text())
    assert metrics["warnings"] == [{"severe": True, "text": text}]
    assert text in (tmp_path / "e" / "report.html").read_text()


def test_scans_that_the_threshold_was_chosen_on_are_named(chain, tiny_scans, tmp_path):
    folder, said = chain
    (warning,) = said["evaluate"]["warnings"]
    assert warning == {
        "severe": False,
        "text": f"{folder / 'run'} chose its best epoch and threshold on c. A test split is free of that.",
    }
    words = ("evaluate", folder / "run", tiny_scans, "--split", "test", "--out", tmp_path / "e", "--json", "--quiet")
    assert json.loads(run(*words).stdout)["warnings"] == []


def test_masks_of_another_tool_are_scored_alone_and_beside_a_run(chain, tiny_scans, tmp_path):
    folder, _ = chain
    masks = tmp_path / "masks"
    masks.mkdir()
    shutil.copy(tiny_scans / "test" / "d_mask.png.ppm", masks / "d_mask.png.ppm")
    truth = cv2.imread(str(masks / "d_mask.png.ppm"), cv2.IMREAD_UNCHANGED)
    cv2.imwrite(str(masks / "d.png"), np.where(truth == 8, 255, 0).astype(np.uint8))
    (masks / "d_mask.png.ppm").unlink()
    words = (tiny_scans, "--masks", masks, "--split", "test", "--json", "--quiet")
    alone = json.loads(run("evaluate", *words, "--out", tmp_path / "1").stdout)
    assert (alone["model"], alone["pixel"]["f1"], alone["objects"]["pq"]) == (str(masks), 1, 1)
    both = json.loads(run("evaluate", folder / "run", *words, "--out", tmp_path / "2").stdout)
    assert [each["model"] for each in both["runs"]] == [str(folder / "run"), str(masks)]
    assert both["comparison"][0]["f1"] == pytest.approx(both["pixel"]["f1"] - 1)
    words = [word for word in words if word != "--json"]
    said = run("evaluate", folder / "run", *words, "--out", tmp_path / "3").stdout
    assert f"\n{folder / 'run'}: objects at IoU 0.5: " in said


def test_a_run_is_not_scored_where_its_ids_mean_something_else(chain, tiny_scans, tmp_path):
    folder, _ = chain
    scans = tmp_path / "scans"
    shutil.copytree(tiny_scans / "test", scans)
    (scans / "taxa.csv").write_text("id,name,living\n0,ground,0\n1,jelly,1\n8,detritus,0\n")
    refused = run("evaluate", folder / "run", scans, "--out", tmp_path / "e", code=4).stderr
    assert refused == (
        f"The id 1 is not what {folder / 'run'} looks for, but living in {scans}.\n"
        "Expected: one meaning of each id.\n"
        "Fix: check taxa.csv; masks of other classes than a run's are scored without it.\n"
    )
    assert not (tmp_path / "e").exists()


def test_a_training_does_not_go_on_with_other_records(chain, tiny_records, tmp_path):
    folder, _ = chain
    run_of = tmp_path / "run"
    shutil.copytree(folder / "run", run_of)
    words = ("train", "--out", run_of, "--config", folder / "run" / "config.json", "--resume", "--quiet")
    for name in ("provenance.json", "metrics.json"):  # Of a run that has ended, then of one that was interrupted.
        refused = run(*words, tiny_records, code=4).stderr
        assert refused == (
            f"{run_of} was begun with other records than {tiny_records}.\n"
            "Expected: the records of its training, as they were.\n"
            "Fix: give these, or choose another --out.\n"
        )
        (run_of / name).unlink()


def test_a_scan_that_was_done_and_is_bad_since_is_not_done(chain, tiny_scans, tmp_path):
    folder, _ = chain
    scans = shutil.copytree(tiny_scans / "test", tmp_path / "scans")
    words = ("predict", folder / "run", scans, "--out", tmp_path / "p", "--json", "--quiet")
    run(*words)
    (path,) = scans.glob("*_scan*")
    path.write_bytes(path.read_bytes()[:100])
    said = json.loads(run(*words, code=3).stdout)
    assert (said["scans"], [entry["path"] for entry in said["failed"]]) == ([], [str(path)])
    assert json.loads((tmp_path / "p" / "prediction.json").read_text())["scans"] == []


@pytest.mark.parametrize(("quiet", "said"), [(True, ""), (False, "a.png is in colour\n")])
def test_quiet_keeps_warnings_back_too(quiet, said, capsys):
    listen(quiet)
    logging.getLogger("plankton_keras.scans").warning("%s is in colour", "a.png")
    assert capsys.readouterr().err == said


@pytest.mark.parametrize(("path", "said"), [("", "The path is empty."), ("x" * 300, "File name too long.")])
def test_paths_that_cannot_be_are_refused_before_anything_is_deleted(path, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "kept").touch()
    for words in (("/run", "/scans", "--out", path, "--overwrite"), ("/run", path, "--out", "p")):
        assert said in run("predict", *words, code=2).stderr
    assert [each.name for each in tmp_path.iterdir()] == ["kept"]


def test_only_training_is_told_of_the_settings_that_a_run_keeps():
    told = [name for name in COMMANDS if "run's config.json" in " ".join(run(name, "--help").stdout.split())]
    assert told == ["train"]


def test_a_loop_of_links_is_no_place_to_write_to(tmp_path):
    (tmp_path / "loop").symlink_to("loop")
    for words in (("export", "run", "--out"), ("demo",), ("serve", "export", "--data")):
        assert "Too many levels of symbolic links." in run(*words, tmp_path / "loop", code=2).stderr


def test_a_resolution_is_for_a_service_alone(tmp_path):
    assert run("predict", "run", "scans", "--out", tmp_path / "p", "--dpi", 2400, code=2).stderr == (
        "--dpi goes with --server alone.\nExpected: no --dpi: masks have none.\nFix: give it to plankton measure.\n"
    )


@pytest.mark.parametrize(
    ("command", "kept", "words"),
    [
        ("make-tfrecords {scans}", "records", "--gray-range dark:light"),
        ("train {folder}/records", "run", "--frozen-epochs 1"),
        ("train {folder}/records", "run", "--weights no/such/file.h5"),
        ("predict {folder}/run {scans}/test", "predictions", "--wanted precison=0.9"),
        ("predict {folder}/export {scans}/test", "predictions", "--wanted precision=0.99999"),
        ("predict {folder}/run {scans}/test", "predictions", "--tile 128 --context 64"),
    ],
)
def test_what_stands_there_is_not_deleted_for_options_that_are_wrong(chain, tiny_scans, command, kept, words):
    folder, _ = chain
    before = {path: path.stat().st_mtime_ns for path in (folder / kept).rglob("*")}
    called = command.format(folder=folder, scans=tiny_scans).split()
    run(*called, "--out", folder / kept, "--overwrite", *words.split(), code=2)
    assert {path: path.stat().st_mtime_ns for path in (folder / kept).rglob("*")} == before


def test_options_of_scans_are_refused_for_a_run_of_vignettes(tmp_path, monkeypatch):
    monkeypatch.setattr("plankton_keras.inference.is_classifier", lambda path: True)
    for name in ("inference.load_classifier", "describe.describe"):
        monkeypatch.setattr(f"plankton_keras.{name}", lambda path: None)
    for words in (("--masks", tmp_path), ("--threshold", 0.9), ("--min-area", 0)):
        refused = run("evaluate", "cls", "data", "--out", tmp_path / "e", *words, code=2).stderr
        assert refused == (
            f"{words[0]} has no effect on cls, a run of vignettes.\nExpected: --turns.\nFix: leave {words[0]} out.\n"
        )


@pytest.mark.parametrize("option", ["--threshold 0.9", "--wanted recall=0.9", "--turns", "--allow-training-scans"])
def test_options_of_runs_are_refused_where_masks_alone_are_scored(tmp_path, option):
    refused = run("evaluate", "--masks", tmp_path, "data", "--out", tmp_path / "e", *option.split(), code=2).stderr
    flag = option.split()[0]
    assert refused == (
        f"{flag} has no effect on masks without a run.\nExpected: a run beside them.\nFix: leave {flag} out.\n"
    )


def test_a_quiet_demo_has_its_commands_say_nothing_on_the_way(tmp_path, tiny_scans, monkeypatch):
    module = sys.modules["plankton_keras.cli.demo"]
    monkeypatch.setattr(module, "commands", lambda folder: [(["validate", str(tiny_scans)], None)])
    monkeypatch.setattr("plankton_keras.synthetic.write_scans", lambda folder, **_: folder.mkdir(parents=True) or [])
    for name in ("evaluation", "predictions"):
        (tmp_path / name).mkdir()
    scores = {"pixel": {"f1": 1.0}, "baselines": {"threshold": {"pixel": {"f1": 0.5}}}}
    (tmp_path / "evaluation" / "metrics.json").write_text(json.dumps(scores))
    (tmp_path / "predictions" / "a_overlay.jpg").touch()
    said = run("demo", tmp_path, "--quiet")
    assert said.stderr == ""
    assert "F1 of living pixels on the test scan: 1.000" in said.stdout


def test_the_report_opens_with_the_figures_of_metrics_json(chain):
    folder, said = chain
    page = (folder / "evaluation" / "report.html").read_text()
    assert f"{said['evaluate']['pixel']['f1']:.4f}" in page
    assert "http://" not in page.replace("http://www.w3.org", "")


def test_evaluate_refuses_the_scans_that_the_run_was_trained_on(chain, tiny_scans, tmp_path):
    folder, _ = chain
    words = ("evaluate", folder / "run", tiny_scans, "--split", "train", "--out", tmp_path / "e")
    assert run(*words, code=4).stderr == (
        f"{folder / 'run'} was trained on a and 1 other.\n"
        "Expected: scans that it has not seen.\n"
        "Fix: give other scans, or the records of its training; --allow-training-scans scores these too.\n"
    )


def test_an_out_with_content_is_refused_and_overwritten_on_demand(chain, tiny_scans, tmp_path):
    out = tmp_path / "records"
    words = ("make-tfrecords", tiny_scans, "--out", out, "--patch-size", 64)
    run(*words)
    assert run(*words, code=4).stderr == (
        f"{out} already has content.\n"
        "Expected: a new folder.\n"
        "Fix: add --resume to complete it, --overwrite to replace it, or choose another --out.\n"
    )
    run(*words, "--overwrite")


def test_an_error_is_an_object_with_json(tmp_path):
    result = run("make-tfrecords", tmp_path / "nowhere", "--out", tmp_path / "o", "--json", code=3)
    assert json.loads(result.stdout) == {
        "error": f"{tmp_path / 'nowhere'} does not exist.",
        "expected": "a folder or file of scans.",
        "fix": "check the path.",
    }
    usage = json.loads(run("train", "--json", code=2).stdout)
    assert usage["error"] == "Missing argument 'RECORDS'."
    assert usage["fix"] == "plankton train --help"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("evalute",), "Did you mean one of: 'evaluate', 'validate'?"),
        (("train", "r", "--out", "x", "--epoch", "3"), "Did you mean one of: '--depth', '--epochs',"),
        (("train", "r", "--out", "x", "--model", "unte"), "--model is 'unte'. Did you mean \"unet\"?"),
        (("train", "r", "--out", "x", "--window", "100"), "Expected: a multiple of 64, such as 128."),
        (("predict", "r", "s", "--out", "x", "--threshold", "2"), "Expected: a number from 0.0 to 1.0."),
    ],
)
def test_typos_and_bad_settings_are_answered(words, said):
    assert said in run(*words, code=2).stderr


def test_a_config_file_is_read_flags_win_and_unknown_names_are_refused(tiny_scans, tmp_path):
    config = tmp_path / "config.json"
    config.write_text('{"patch_size": 128, "ground_keep": 0.0}')
    words = ("make-tfrecords", tiny_scans, "--out", tmp_path / "r", "--config", config, "--ground-keep", 1.0)
    run(*words)
    settings = json.loads((tmp_path / "r" / "manifest.json").read_text())["settings"]
    assert (settings["patch_size"], settings["ground_keep"]) == (128, 1.0)
    config.write_text('{"patchsize": 128}')
    refused = run(*words, "--overwrite", code=2).stderr
    assert refused.startswith(f"{config}: there is no setting 'patchsize'. Did you mean \"patch_size\"?\n")


@pytest.mark.parametrize(
    ("command", "read", "out"),
    [
        ("make-tfrecords", "scans", "scans"),
        ("make-tfrecords", "all/scans", "all"),
        ("train", "records", "records/../records"),
        ("evaluate", "run scans", "scans"),
        ("evaluate", "run scans", "run"),
        ("predict", "run scans/a_scan.pgm", "scans"),
        ("measure", "predictions", "predictions"),
    ],
)
def test_what_a_command_reads_is_not_overwritten(command, read, out, tmp_path):
    paths = [tmp_path / path for path in read.split()]
    for path in paths:
        path.mkdir(parents=True)
        (path / "a").touch()
    lost = next(path for path in paths if path.is_relative_to((tmp_path / out).resolve()))
    said = run(command, *paths, "--out", tmp_path / out, "--overwrite", code=2).stderr
    assert said == (
        f"--overwrite would delete {lost}, which lies in --out {tmp_path / out}.\n"
        "Expected: an --out apart from what is read.\nFix: choose another --out.\n"
    )
    assert all((path / "a").exists() for path in paths)


def test_evaluate_says_that_its_folder_is_in_the_way_before_it_looks_at_runs_and_data(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "metrics.json").touch()
    said = run("evaluate", tmp_path / "run", tmp_path / "data", "--out", tmp_path / "out", code=4).stderr
    assert said.startswith(f"{tmp_path / 'out'} already has content.\n")


def test_dry_runs_write_nothing_and_say_the_cost(chain, tiny_scans, tmp_path):
    folder, said = chain
    out = tmp_path / "none"
    plan = run("make-tfrecords", tiny_scans, "--out", out, "--patch-size", 64, "--dry-run", "--json")
    assert json.loads(plan.stdout)["splits"] == said["make-tfrecords"]["splits"]
    small = ("--width", 4, "--depth", 2, "--epochs", 3, "--steps-per-epoch", 5, "--window", 64)
    plan = run("train", folder / "records", "--out", out, *small, "--dry-run", "--json")
    assert json.loads(plan.stdout)["steps"] == 15
    plan = run("predict", folder / "run", tiny_scans / "test", "--out", out, "--dry-run", "--json")
    # Of 256 pixels, since the run has a judge.
    assert json.loads(plan.stdout)["tiles"] == 2
    assert not out.exists()


@pytest.mark.parametrize("batch_size", [0, 10**19])
def test_a_dry_run_counts_the_windows_that_are_computed_at_most(tmp_path, monkeypatch, batch_size):
    frame = np.full((600, 700), 220, np.uint8)
    # What the edge of the scan cuts, here on all sides, the network is asked about everywhere.
    frame[[0, 1, 2, -3, -2, -1]] = frame[:, [0, 1, 2, -3, -2, -1]] = 40
    write_p5(tmp_path / "a_scan.pgm", frame)
    computed = []

    def network(images):
        computed.extend(each.size for each in images)
        return np.full((*images.shape, 2), 0.5, np.float32)

    judge = Judge(lambda images, _: np.full((len(images), 2), 0.5, np.float32), Weights.alone(96))
    model = Predictor(network, ("non-living", "living"), 0.5, judge, "d", "run", living_target(), {})
    monkeypatch.setattr("plankton_keras.predicting.load", lambda *_: model)
    monkeypatch.setattr("plankton_keras.inference.is_model", lambda path: False)
    words = ("predict", "run", tmp_path / "a_scan.pgm", "--out", tmp_path / "p", "--batch-size", batch_size)
    plan = json.loads(run(*words, "--dry-run", "--json").stdout)
    # The call is timed the second time, and is no larger than one of the prediction.
    assert len(computed) <= 2 * plan["tiles"]
    computed.clear()
    with open_scan(tmp_path / "a_scan.pgm") as scan:
        predict_scan(scan, network, 0.5, PredictConfig(batch_size=batch_size), judge=judge)
    assert plan["tiles"] == len(computed) > 1


def test_train_refuses_records_without_a_val_split(tiny_scans, tmp_path):
    said = run("make-tfrecords", tiny_scans / "train", "--out", tmp_path / "r", "--val-fraction", 0, "--patch-size", 64)
    assert "There is no val split" in said.stderr
    refused = run("train", tmp_path / "r", "--out", tmp_path / "run", "--depth", 2, "--width", 4, code=4)
    assert "has no patches in the split 'val'; it has train." in refused.stderr


def test_train_goes_on_only_with_the_same_settings(chain, tmp_path):
    folder, _ = chain
    refused = run("train", folder / "records", "--out", folder / "run", "--resume", code=4).stderr
    assert refused == (
        f"{folder / 'run'} was begun with other settings.\n"
        f"Expected: those of {folder / 'run' / 'config.json'}.\n"
        f"Fix: add --config {folder / 'run' / 'config.json'}.\n"
    )
    again = run(
        "train", folder / "records", "--out", folder / "run", "--resume", "--config", folder / "run" / "config.json"
    )
    assert "best epoch" in again.stdout


def test_train_prints_a_line_an_epoch(chain, tmp_path):
    folder, _ = chain
    small = ("--width", 4, "--depth", 2, "--epochs", 2, "--steps-per-epoch", 2, "--window", 64)
    said = run("train", folder / "records", "--out", tmp_path / "run", *small).stderr
    line = r"epoch 2/2  loss \d\.\d{3}  val_f1 \d\.\d{3} \(best \d\.\d{3} at [12]\)  \d+ s  eta 0 s"
    assert re.search(line, said)


@pytest.mark.parametrize("part", ["records", "run", "export", "evaluation", "predictions"])
def test_info_says_what_the_chain_wrote(chain, part):
    folder, _ = chain
    kind = "records" if part == "records" else part
    said = json.loads(run("info", folder / part, "--json").stdout)
    assert said["kind"] == kind
    assert said["next"].startswith(("plankton ", "look at "))


def test_info_of_a_scan_and_of_nothing(tiny_scans, tmp_path):
    said = json.loads(run("info", tiny_scans / "train" / "a_scan.png.ppm", "--json").stdout)
    assert (said["format"], said["width_px"], said["height_px"]) == ("netpbm", 300, 200)
    assert f"{tmp_path} is nothing that plankton knows." in run("info", tmp_path, code=4).stderr
    assert f"{tmp_path / 'lost'} does not exist." in run("info", tmp_path / "lost", code=4).stderr


def test_folds_are_cut_by_one_command_and_summarised_by_another(chain, tiny_scans, tmp_path):
    folder, _ = chain
    words = ("make-tfrecords", tiny_scans, "--patch-size", 64, "--folds", 3, "--quiet", "--json")
    parts = [run(*words, "--fold", fold, "--out", tmp_path / str(fold)).stdout for fold in range(3)]
    assert sorted(json.loads(part)["splits"]["val"]["scans"][0] for part in parts) == ["a", "b", "c"]
    said = run("info", folder / "evaluation", folder / "evaluation").stdout
    assert re.search(r"^f1: 0\.\d{4} \+- 0\.0000 \(sd\), 0\.\d{4} to 0\.\d{4}$", said, re.MULTILINE)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_help_ends_in_an_example_and_answers_to_h(command):
    text = run(command, "-h").stdout
    example = re.search(r"Example:\n\s+(plankton .*)\n", text)
    assert example[1].split()[1] == command


@pytest.mark.parametrize("command", ["make-tfrecords", "train"])
def test_a_folder_is_either_completed_or_replaced(tmp_path, command):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "kept").touch()
    said = run(command, tmp_path, "--out", tmp_path / "out", "--resume", "--overwrite", code=2).stderr
    assert said == (
        "--resume and --overwrite were both given.\n"
        "Expected: one of them: what stands in --out is completed, or deleted.\nFix: leave the other out.\n"
    )
    assert (tmp_path / "out" / "kept").is_file()


def test_an_interruption_says_how_to_go_on(tmp_path, monkeypatch):
    from plankton_keras.cli import output

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(output, "prepare", interrupted)
    said = run("train", tmp_path, "--out", tmp_path / "run", code=130).stderr
    again = f"plankton train {tmp_path} --out {tmp_path / 'run'} --resume"
    assert said.endswith(f"Interrupted.\nExpected: the command to end.\nFix: go on with: {again}\n")
    # Where a value is called like a command, too.
    for words in (("predict", "run", tmp_path), ("evaluate", "run", tmp_path, "--split", "train")):
        assert "--resume" not in run(*words, "--out", tmp_path / "p", code=130).stderr
