"""What commands refuse, and what they say then."""

import errno
import shutil

import cv2
import numpy as np
import pytest
from click.testing import CliRunner
from conftest import tiny_scan
from untrained import untrained_run

from plankton_keras.cli import main, output
from plankton_keras.files import claim_folder, read_json, release_folders, write_json
from plankton_keras.findings import ERROR
from plankton_keras.pairs import find_pairs
from plankton_keras.scan_checks import check_headers
from plankton_keras.taxa import living_target
from plankton_keras.tiles import Window
from plankton_keras.truths import truths_of_pairs, truths_of_records


def run(*words, code=0):
    result = CliRunner().invoke(main, [str(word) for word in words])
    assert result.exit_code == code, (result.output, result.exception)
    return result


@pytest.fixture
def deep_scans(tmp_path):
    """A folder of one pair whose scan has 16 bits."""
    folder = tmp_path / "deep"
    folder.mkdir()
    scan, mask = tiny_scan(1)
    cv2.imwrite(str(folder / "a_scan.png"), scan.astype(np.uint16) * 180 + 1000)
    cv2.imwrite(str(folder / "a_mask.png"), mask)
    return folder


def test_headers_are_checked_without_the_gray_levels_of_16_bits(deep_scans, caplog):
    assert check_headers(find_pairs(deep_scans)) == []
    assert caplog.messages == []
    (deep_scans / "a_mask.png").unlink()
    cv2.imwrite(str(deep_scans / "a_mask.png"), np.zeros((5, 7), np.uint8))
    (finding,) = check_headers(find_pairs(deep_scans))
    assert (finding.group, finding.severity) == ("sizes", ERROR)


@pytest.mark.parametrize(("gray_range", "level"), [((0, 50000), 212), ((1000, 41000), 255), (None, 222)])
def test_scans_are_scored_in_the_gray_range_that_was_asked_for(deep_scans, gray_range, level):
    (truth,) = truths_of_pairs(deep_scans, "val", gray_range)
    with truth.opened(living_target()) as (scan, _):
        assert np.median(scan.read(Window(0, 0, scan.height, scan.width))) == level


def test_evaluate_takes_the_gray_range_and_says_that_one_alone(deep_scans, tmp_path, monkeypatch):
    monkeypatch.setattr(output, "prepare", output.listen)
    (tmp_path / "masks").mkdir()
    cv2.imwrite(str(tmp_path / "masks" / "a.png"), tiny_scan(1)[1] // 8 * 255)
    words = ("evaluate", "--masks", tmp_path / "masks", deep_scans, "--out", tmp_path / "scored", "--gray-range")
    said = run(*words, "2000:50000").stderr
    assert [line for line in said.splitlines() if "gray levels" in line] == [
        f"{deep_scans / 'a_scan.png'} has 16 bits: gray levels 2000 to 50000 become 0 to 255"
    ]
    assert "--gray-range is 'dark:light'." in run(*words, "dark:light", "--overwrite", code=2).stderr


def test_runs_that_look_for_other_ids_are_not_compared_by_the_masks(deep_scans, tiny_records, tmp_path, monkeypatch):
    monkeypatch.setattr(output, "prepare", output.listen)
    runs = []
    for name, first in (("one", 8), ("other", 5)):
        (tmp_path / name).mkdir()
        runs.append(untrained_run(tmp_path / name))
        said = {"target": living_target(living_from=first).to_json(), "records": "", "created": ""}
        write_json(runs[-1].provenance, read_json(runs[-1].provenance, "") | said)
    words = ("evaluate", runs[0].folder, runs[1].folder)
    assert run(*words, deep_scans, "--out", tmp_path / "scored", code=4).stderr.endswith(
        f"The id 5 is not what {runs[0].folder} looks for, but what {runs[1].folder} does.\n"
        "Expected: one meaning of each id.\n"
        "Fix: score each by itself, or all on records, which say the truth for all.\n"
    )
    assert not (tmp_path / "scored").exists()
    assert run(*words, tiny_records, "--out", tmp_path / "scored").stdout.count("F1") > 3


def test_records_have_their_gray_levels_and_say_so(tiny_records, caplog):
    assert len(truths_of_records(tiny_records, "val")) == 1
    assert caplog.messages == []
    assert len(truths_of_records(tiny_records, "val", (0, 1000))) == 1
    assert caplog.messages == [f"{tiny_records} holds records, of 8 bits: --gray-range is not applied"]


GOING_ON = [("make-tfrecords", ["--resume"]), ("train", ["--resume"]), ("predict", [])]


@pytest.mark.parametrize(("command", "again"), [*GOING_ON, ("evaluate", ["--overwrite"]), ("measure", ["--overwrite"])])
@pytest.mark.parametrize("claimed", [True, False])
def test_after_an_interruption_nobody_is_told_to_delete_what_is_done(tmp_path, monkeypatch, command, again, claimed):
    def interrupted(*_, **__):
        if claimed:
            claim_folder(tmp_path / "out", overwrite=True)
        raise KeyboardInterrupt

    monkeypatch.setattr(output, "prepare", interrupted)
    monkeypatch.setattr(output, "listen", interrupted)
    words = [command, "a", "b"][: 2 if command in ("make-tfrecords", "train", "measure") else 3]
    words += ["--out", str(tmp_path / "out")]
    said = run(*words, "--overwrite", code=130).stderr.splitlines()[-1]
    # Before the folder is taken, nothing is deleted.
    assert said == "Fix: go on with: plankton " + " ".join([*words, *(again if claimed else ["--overwrite"])])


@pytest.mark.parametrize("command", ["make-tfrecords", "train", "predict"])
def test_what_was_deleted_in_part_is_not_gone_on_with(tmp_path, monkeypatch, command):
    (tmp_path / "out").mkdir()
    for name in ("prediction.json", "a_mask.png"):
        (tmp_path / "out" / name).touch()

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("pathlib.Path.unlink", interrupted)
    for name in ("prepare", "listen"):
        monkeypatch.setattr(output, name, lambda *_, **__: claim_folder(tmp_path / "out", overwrite=True))
    read = ["a", "b"] if command == "predict" else ["a"]
    words = [command, *read, "--out", str(tmp_path / "out"), "--overwrite"]
    said = run(*words, code=130).stderr.splitlines()[-1]
    assert said == "Fix: go on with: plankton " + " ".join(words)
    monkeypatch.undo()
    assert not release_folders()


def test_where_a_file_system_has_no_locks_a_folder_is_claimed_all_the_same(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.flock", refuse)
    claim_folder(tmp_path / "out")
    assert release_folders()
    assert not release_folders()


@pytest.mark.parametrize("more", [(), ("--overwrite",)])
def test_evaluate_refuses_an_out_that_is_a_link_to_nothing_before_it_scores(tmp_path, deep_scans, monkeypatch, more):
    monkeypatch.setattr(output, "prepare", None)
    (tmp_path / "out").symlink_to("gone")
    said = run("evaluate", "run", deep_scans, "--out", tmp_path / "out", *more, code=4).stderr
    assert said.splitlines()[0] == f"{tmp_path / 'out'} is a link to gone, which is not there."


def test_damaged_candidates_of_records_are_said_before_an_earlier_run_is_deleted(tiny_records, tmp_path):
    records = shutil.copytree(tiny_records, tmp_path / "records")
    shard = next(records.glob("train-candidates*"))
    shard.write_bytes(shard.read_bytes()[:-1])
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "model.keras").write_bytes(b"hours of work")
    words = ("train", records, "--out", tmp_path / "run", "--overwrite", "--epochs", 1, "--width", 4, "--depth", 2)
    refused = run(*words, "--window", 64, "--quiet", code=4).stderr
    assert refused.splitlines()[0] == f"The shard {shard} is damaged."
    assert (tmp_path / "run" / "model.keras").read_bytes() == b"hours of work"


def test_an_export_of_what_is_no_run_leaves_no_folder(tmp_path):
    (tmp_path / "run").mkdir()
    refused = run("export", tmp_path / "run", "--out", tmp_path / "export", "--quiet", code=4).stderr
    assert refused.splitlines()[0] == f"{tmp_path / 'run'} is no run: it has no config.json."
    assert not (tmp_path / "export").exists()
