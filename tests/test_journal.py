"""journal: what made a prediction folder, and which scans are done."""

import json
from dataclasses import replace

import pytest

from plankton_keras.config import PredictConfig
from plankton_keras.errors import ArtefactError
from plankton_keras.files import sha256
from plankton_keras.journal import Journal, claim_predictions
from plankton_keras.predictors import Predictor
from plankton_keras.taxa import Target, living_target

ENTRY = {"scan": "a", "sha256": "1" * 64, "files": ["a_mask.png", "a_objects.csv"]}


def predictor(digest="d"):
    return Predictor(None, ("non-living", "living"), 0.3, None, digest, "runs/unet", living_target(), {})


def test_a_scan_is_done_as_long_as_all_of_its_files_stand_there(tmp_path):
    journal = Journal.of(tmp_path, predictor(), PredictConfig())
    assert journal.digest("a.png") is None
    journal.add("a.png", ENTRY)
    for name in ENTRY["files"]:
        assert Journal.of(tmp_path, predictor(), PredictConfig()).digest("a.png") is None
        (tmp_path / name).touch()
    again = Journal.of(tmp_path, predictor(), PredictConfig())
    assert again.digest("a.png") == "1" * 64
    assert again.digest("b.png") is None


def test_it_says_which_classes_do_not_live(tmp_path):
    names = ("ground", "copepod", "detritus")
    target = Target(names, {0: 0, 8: 1, 3: 2}, lifeless=("detritus",))
    Journal.of(tmp_path, replace(predictor(), classes=names, target=target), PredictConfig()).add("a.png", ENTRY)
    assert json.loads((tmp_path / "prediction.json").read_text())["living"] == {"copepod": True, "detritus": False}


def test_it_says_what_made_the_folder_and_keeps_scans_in_order(tmp_path):
    journal = Journal.of(tmp_path, predictor(), PredictConfig(threshold=0.6))
    for path in ("b.png", "a.png"):
        journal.add(path, ENTRY)
    assert json.loads((tmp_path / "prediction.json").read_text())["status"] == "running"
    said = journal.fail("c.png", "c.png is bad.")
    journal.finish()
    content = json.loads((tmp_path / "prediction.json").read_text())
    assert (content["status"], content["model"], content["threshold"]) == ("failed", "runs/unet", 0.6)
    assert [entry["path"] for entry in content["scans"]] == ["a.png", "b.png"]
    assert content["failed"] == [said]
    assert said == {"scan": "c.png", "path": "c.png", "status": "failed", "error": "c.png is bad."}


def test_what_failed_is_remembered_until_it_is_done_or_taken_out_of_its_folder(tmp_path):
    def known():
        content = json.loads((tmp_path / "prediction.json").read_text())
        return content["status"], [entry["scan"] for entry in content["failed"]]

    def opened():
        return Journal.of(tmp_path, predictor(), PredictConfig())

    scans = [tmp_path / f"{name}_scan.png" for name in "abc"]
    journal = opened()
    for path in scans:
        path.touch()
        journal.add(path, ENTRY)
        journal.fail(path, "It is bad.")
    # Of another machine, whose folders are not here.
    journal.fail("/nowhere/d_scan.png", "It is bad.")
    journal.finish()
    names = ["a_scan.png", "b_scan.png", "c_scan.png", "d_scan.png"]
    assert (known(), journal.scans) == (("failed", names), {})

    # A later call of other scans alone, which is killed; then one that ends.
    opened().add("e.png", ENTRY)
    assert known() == ("running", names)
    scans[1].unlink()
    journal = opened()
    journal.add("elsewhere/a_scan.png", ENTRY)
    # Of this call, its scan vanished or not.
    scans[2].unlink()
    journal.fail(scans[2], "It vanished.")
    journal.finish()
    assert known() == ("failed", ["c_scan.png", "d_scan.png"])
    journal = opened()
    for name in "cd":
        journal.add(f"{name}.png", ENTRY)
    journal.finish()
    assert known() == ("done", [])


@pytest.mark.parametrize("other", [(predictor("e"), PredictConfig()), (predictor(), PredictConfig(min_area=1))])
def test_another_model_or_other_settings_are_refused(tmp_path, other):
    Journal.of(tmp_path, predictor(), PredictConfig()).finish()
    with pytest.raises(ArtefactError) as caught:
        Journal.of(tmp_path, *other)
    assert str(caught.value) == (
        f"{tmp_path} holds predictions of another model or with other settings.\n"
        "Expected: those of runs/unet.\nFix: choose another --out, or --overwrite."
    )


def test_the_same_model_goes_on_under_another_path(tmp_path):
    Journal.of(tmp_path, predictor(), PredictConfig()).add("a.png", ENTRY)
    moved = Journal.of(tmp_path, replace(predictor(), source="/data/runs/unet"), PredictConfig())
    moved.finish()
    assert list(moved.scans) == ["a.png"]
    assert json.loads((tmp_path / "prediction.json").read_text())["model"] == "/data/runs/unet"


@pytest.mark.parametrize("name", ["prediction.json", "jobs.json", ".DS_Store"])
def test_predictions_that_were_begun_are_gone_on_with(tmp_path, name):
    (tmp_path / name).touch()
    assert claim_predictions(tmp_path, overwrite=False) == tmp_path
    assert (tmp_path / name).exists()


def test_masks_drawn_by_hand_are_not_written_over(tmp_path):
    (tmp_path / "a_mask.png").write_bytes(b"hours of work")
    with pytest.raises(ArtefactError) as caught:
        claim_predictions(tmp_path, overwrite=False)
    assert str(caught.value) == (
        f"{tmp_path} holds other things than predictions.\n"
        "Expected: a new folder, or one with prediction.json.\nFix: choose another --out."
    )
    assert (tmp_path / "a_mask.png").read_bytes() == b"hours of work"
    assert list(claim_predictions(tmp_path, overwrite=True).iterdir()) == []


def test_a_folder_is_of_predictions_before_the_first_is_whole(tmp_path):
    Journal.of(tmp_path, predictor(), PredictConfig())
    (tmp_path / "a_mask.png").touch()
    assert claim_predictions(tmp_path, overwrite=False) == tmp_path


def test_a_file_that_was_scanned_anew_is_the_same_scan_however_its_path_is_spelled(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a_scan.png").write_bytes(b"scanned anew")
    (tmp_path / "link").symlink_to(tmp_path)
    journal = Journal.of(tmp_path, predictor(), PredictConfig())
    for name in ENTRY["files"]:
        (tmp_path / name).touch()
    journal.add("a_scan.png", ENTRY)
    for path in (tmp_path / "a_scan.png", tmp_path / "link" / "a_scan.png"):
        journal.recognise([path])
        assert list(journal.scans) == [str(path)]
        assert journal.digest(path) == ENTRY["sha256"]  # Not that of the file: it is predicted again.


def test_a_scan_that_cannot_be_read_does_not_keep_others_from_being_known(tmp_path):
    scans = [tmp_path / "a_scan.png", tmp_path / "b_scan.png"]
    scans[0].symlink_to("/proc/self/mem")  # Reading it from its start is an input/output error.
    scans[1].write_bytes(b"scan")
    journal = Journal.of(tmp_path, predictor(), PredictConfig())
    journal.add("scans/a_scan.png", ENTRY)
    journal.add("scans/b_scan.png", {**ENTRY, "scan": "b", "sha256": sha256(scans[1])})
    journal.recognise(scans)
    assert list(journal.scans) == ["scans/a_scan.png", str(scans[1])]


def test_a_scan_that_is_done_under_another_path_is_not_also_among_the_failed(tmp_path):
    scan = tmp_path / "a_scan.png"
    scan.symlink_to("/proc/self/mem")
    journal = Journal.of(tmp_path, predictor(), PredictConfig())
    journal.add("scans/a_scan.png", ENTRY)
    journal.recognise([scan])
    assert journal.fail(scan, "It is bad.")["path"] == str(scan)
    journal.finish()
    content = json.loads((tmp_path / "prediction.json").read_text())
    assert (content["status"], len(content["scans"]), content["failed"]) == ("done", 1, [])


def test_a_scan_that_cannot_be_read_any_more_is_not_done_whichever_way_its_path_is_spelled(tmp_path):
    scan = tmp_path / "a_scan.png"
    journal = Journal.of(tmp_path, predictor(), PredictConfig())
    journal.add(tmp_path / "scans" / ".." / scan.name, ENTRY)
    (tmp_path / "scans").mkdir()
    scan.symlink_to("/proc/self/mem")
    journal.recognise([scan])
    journal.fail(scan, "It is bad.")
    assert (journal.scans, list(journal.failed)) == ({}, ["a"])


def test_a_scan_that_became_a_loop_of_links_is_known_by_its_bytes_elsewhere(tmp_path):
    scan, loop = tmp_path / "a_scan.png", tmp_path / "old" / "a_scan.png"
    loop.parent.mkdir()
    loop.symlink_to(loop)
    scan.write_bytes(b"scan")
    journal = Journal.of(tmp_path, predictor(), PredictConfig())
    journal.add(loop, {**ENTRY, "sha256": sha256(scan)})
    journal.recognise([scan])
    assert list(journal.scans) == [str(scan)]


def test_a_scan_is_known_by_its_bytes_under_another_path(tmp_path):
    scan = tmp_path / "a_scan.png"
    scan.write_bytes(b"scan")
    journal = Journal.of(tmp_path, predictor(), PredictConfig())
    journal.add("scans/a_scan.png", {**ENTRY, "sha256": sha256(scan)})
    journal.recognise([scan])
    assert list(journal.scans) == [str(scan)]
    assert journal.scans[str(scan)]["path"] == str(scan)
    scan.write_bytes(b"another scan")
    journal.recognise([scan])  # The same path: it is predicted again.
    other = tmp_path / "b" / "a_scan.png"
    other.parent.mkdir()
    other.write_bytes(b"of the same name")
    with pytest.raises(ArtefactError) as caught:
        journal.recognise([other])
    assert str(caught.value) == (
        f"{tmp_path} holds the predictions of {scan}, another scan than {other}.\n"
        "Expected: a name of its own for each scan.\nFix: choose another --out, or rename one."
    )
