"""Faults of the machine and of other programs: found and said, or harmless; never a wrong result.

What becomes of whole commands is in `test_fault_runs.py`.
"""

import os
import random
import shutil
import subprocess
import sys

import numpy as np
import pytest

from plankton_keras.config import RecordsConfig
from plankton_keras.data import records
from plankton_keras.data.spools import spool_scan
from plankton_keras.errors import ArtefactError, InputError, in_words
from plankton_keras.files import claim_folder, read_json, release_folders, unchanged, whole_file, write_json
from plankton_keras.images import CLASS_PNG, open_image
from plankton_keras.journal import Journal
from plankton_keras.pairs import find_pairs
from plankton_keras.prediction import write_picture
from plankton_keras.taxa import living_target
from plankton_keras.tiles import Window

CONFIG = RecordsConfig(patch_size=64, patches_per_shard=8, ground_keep=0.5)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def content(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


# A disk that is full, or cannot be written to.


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 64 KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if subprocess.call(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", folder], stderr=subprocess.DEVNULL):
        pytest.skip("a file system can only be mounted by root")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


def noise(side):
    return np.random.default_rng(0).integers(0, 255, (side, side)).astype(np.uint8)


def fill_records(path):
    import tensorflow as tf

    with tf.io.TFRecordWriter(str(path)) as writer:
        for _ in range(100):
            writer.write(bytes(10_000))


def fill_parquet(path):
    import pyarrow
    from pyarrow import parquet

    parquet.write_table(pyarrow.table({"x": noise(1000).ravel()}), path)


def fill_model(path):
    import keras

    image = keras.Input((8, 8, 1))
    keras.Model(image, keras.layers.Conv2D(40_000, 1)(image)).save(path)


FILLERS = {
    "a.png": lambda path: write_picture(path, noise(600), CLASS_PNG),
    "a.jpg": lambda path: write_picture(path, noise(600), ()),
    "a.csv": lambda path: path.write_text("1,2,3\n" * 50_000),
    "a.tfrecord": fill_records,
    "a.parquet": fill_parquet,
    "a.keras": fill_model,
}


@pytest.mark.parametrize("name", FILLERS)
def test_a_full_disk_is_said_whatever_writes_and_leaves_no_half_file(small_disk, name):
    (small_disk / name).write_text("earlier")
    with pytest.raises(OSError, match="No space left on device") as caught, whole_file(small_disk / name) as partial:
        FILLERS[name](partial)
    error = in_words(caught.value)
    assert (error.what, error.exit_code) == (f"{small_disk / name} cannot be written: No space left on device.", 1)
    assert names(small_disk) == [name]
    assert (small_disk / name).read_text() == "earlier"


def test_a_disk_that_is_full_under_the_temporary_files_is_an_error_not_the_end_of_the_process(small_disk, monkeypatch):
    from plankton_keras.files import scratch

    monkeypatch.setattr("tempfile.tempdir", str(small_disk))
    with pytest.raises(OSError, match="No space left on device") as caught:
        scratch(1000, 1000)
    assert in_words(caught.value).what == f"{small_disk} cannot be written: No space left on device."


def test_a_folder_that_cannot_be_written_to_is_said(small_disk):
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    for write in (lambda: claim_folder(small_disk / "out"), lambda: write_json(small_disk / "a.json", {})):
        with pytest.raises(OSError, match="Read-only file system") as caught:
            write()
        assert in_words(caught.value).what.endswith(" cannot be written: Read-only file system.")


def test_a_path_below_a_file_is_said(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError) as caught:
        claim_folder(tmp_path / "file" / "out")
    assert in_words(caught.value).what == f"{tmp_path / 'file' / 'out'} cannot be read or written: Not a directory."


# Files that change or vanish while they are read.


@pytest.mark.parametrize("change", ["write", "replace", "remove"])
def test_a_file_that_changes_while_it_is_read_is_an_error_that_names_it(tmp_path, change):
    path = tmp_path / "scan.pgm"
    path.write_bytes(b"one")
    (tmp_path / "other").write_bytes(b"one")
    changes = {
        "write": lambda: path.write_bytes(b"two!"),
        "replace": (tmp_path / "other").replace,
        "remove": path.unlink,
    }
    with pytest.raises(InputError) as caught, unchanged(path):
        changes[change](*([path] if change == "replace" else []))
    said = "cannot be read: No such file or directory." if change == "remove" else "changed while it was read."
    assert caught.value.what == f"{path} {said}"


@pytest.mark.parametrize("change", ["cut", "remove"])
def test_a_mapped_scan_that_is_cut_off_while_it_is_read_is_an_error_not_the_end_of_the_process(tmp_path, change):
    path = tmp_path / "scan.pgm"
    path.write_bytes(b"P5\n100 1000\n255\n" + bytes(100_000))
    with open_image(path) as image:
        image.read(Window(0, 0, 10, 100))
        if change == "cut":
            os.truncate(path, 5000)
        else:
            path.unlink()
        with pytest.raises(InputError) as caught:
            image.read(Window(900, 0, 10, 100))
    assert caught.value.what == f"{path} is cut off: it changed while it was read."


def test_a_scan_that_changes_while_its_patches_are_cut_gets_no_index(tiny_scans, tmp_path):
    shutil.copytree(tiny_scans / "train", tmp_path / "train")
    pair, told = find_pairs(tmp_path)[0], []

    def tell(done, total):
        if not told:
            os.utime(pair.scan, ns=(1, 1))
        told.append(done)

    with pytest.raises(InputError, match="changed while it was read"):
        spool_scan(pair, tell, living_target(), CONFIG, tmp_path)
    assert not list(tmp_path.glob("*.json"))


# Bits that flip.


def flipped(path, generator):
    """Flips a random bit of a file; gives what puts it back."""
    whole = path.read_bytes()
    place, bit = generator.randrange(len(whole)), 1 << generator.randrange(8)
    path.write_bytes(whole[:place] + bytes([whole[place] ^ bit]) + whole[place + 1 :])
    return lambda: path.write_bytes(whole)


def outcome(function):
    """Gives what an error says of an artefact, or else what the function gave."""
    try:
        return None, function()
    except ArtefactError as error:
        return error.what, None


def everything_in(folder):
    """Reads records as train does: the manifest, every shard checked, every patch."""
    manifest = records.read_manifest(folder)
    patches = [patch for split in manifest.splits for patch in records.read_patches(folder, manifest, split)]
    shards = [
        (path.name, path.read_bytes())
        for split in manifest.candidates
        for path in records.check_shards(folder, manifest, split, "vignettes")
    ]
    return manifest, [(each.scan, each.window, each.image.tobytes(), each.mask.tobytes()) for each in patches], shards


def test_each_of_200_flipped_bits_of_records_is_found_and_the_file_named_or_harmless(tiny_records, tmp_path):
    folder, generator, found = tmp_path / "records", random.Random(0), 0
    shutil.copytree(tiny_records, folder)
    undisturbed, shards = everything_in(folder), sorted(folder.glob("*.tfrecord"))
    for number in range(200):
        path = folder / "manifest.json" if number % 4 == 0 else shards[number % len(shards)]
        put_back = flipped(path, generator)
        said, read = outcome(lambda: everything_in(folder))
        assert str(path) in said if said else read == undisturbed
        found += bool(said)
        put_back()
    assert found == 200


def test_a_flipped_bit_in_what_an_interrupted_call_left_changes_no_byte(
    tiny_scans, tiny_records, tmp_path, monkeypatch
):
    out, generator, found = tmp_path / "out", random.Random(0), 0
    out.mkdir()
    undisturbed = content(tiny_records)
    write = lambda: records.write_records(find_pairs(tiny_scans), living_target(), CONFIG, out)  # noqa: E731
    monkeypatch.setattr(records.shutil, "rmtree", lambda _: None)  # The spools stay, as after a kill.
    write()
    left = [*sorted((out / ".spools").glob("train-*")), *sorted(out.glob("train-0*"))]
    for number in range(24):
        put_back = flipped(left[number % len(left)], generator)
        said, _ = outcome(write)
        if said:
            assert str(left[number % len(left)]) in said
            put_back()
        else:
            assert content(out) == undisturbed
        found += bool(said)
    assert 0 < found < 12


def test_a_sealed_file_says_when_it_is_not_what_was_written(tmp_path):
    path = tmp_path / "a.json"
    write_json(path, {"threshold": 0.35, "by": {8: "Copepoda", 10: (1, 2)}}, sealed=True)
    assert read_json(path, "") == {"threshold": 0.35, "by": {"8": "Copepoda", "10": [1, 2]}}
    path.write_text(path.read_text().replace("0.35", "0.45"))
    with pytest.raises(ArtefactError) as caught:
        read_json(path, "train again.")
    assert str(caught.value) == (
        f"{path} is damaged: it is not what its digest was made of.\n"
        "Expected: a file as it was written.\nFix: train again."
    )


def test_a_file_without_a_seal_is_read_as_it_is(tmp_path):
    (tmp_path / "a.json").write_text('{"threshold": 0.35}')
    assert read_json(tmp_path / "a.json", "") == {"threshold": 0.35}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[]", "holds a list.\nExpected: a JSON object."),
        ("{}", "is damaged: scans is missing.\nExpected: the journal of a prediction."),
        ('{"scans": 3}', "is damaged: scans is 3.\nExpected: the journal of a prediction."),
        ('{"scans": [[]]}', "is damaged: [] is no JSON object.\nExpected: the journal of a prediction."),
        ('{"scans": [{"scan": "a"}]}', "is damaged: path is missing.\nExpected: the journal of a prediction."),
    ],
)
def test_a_journal_that_is_none_is_said(tmp_path, text, problem):
    (tmp_path / "prediction.json").write_text(text)
    with pytest.raises(ArtefactError) as caught:
        Journal(tmp_path)
    assert str(caught.value) == f"{tmp_path / 'prediction.json'} {problem}\nFix: predict into a new folder."


# Two processes, one folder.

HOLDER = """
import sys, time
from plankton_keras.files import claim_folder
claim_folder(sys.argv[1], resume=True)
print("held", flush=True)
time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that writes to `out`."""
    words = [sys.executable, "-c", HOLDER, tmp_path / "out"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


@pytest.mark.parametrize("flags", [{}, {"overwrite": True}, {"resume": True}])
def test_a_folder_that_another_process_writes_to_is_refused_and_kept(tmp_path, holder, flags):
    (tmp_path / "out" / "kept").touch()
    with pytest.raises(ArtefactError) as caught:
        claim_folder(tmp_path / "out", **flags)
    assert str(caught.value) == (
        f"Another command is writing to {tmp_path / 'out'}.\n"
        "Expected: one command at a time in a folder.\n"
        "Fix: wait until it has ended, or choose another --out."
    )
    assert names(tmp_path / "out") == ["kept"]


def test_a_process_that_is_killed_gives_its_folder_back(tmp_path, holder):
    holder.kill()
    holder.wait()
    assert claim_folder(tmp_path / "out") == tmp_path / "out"


def test_a_command_gives_its_folder_back(tmp_path):
    out = claim_folder(tmp_path / "out")
    assert claim_folder(out) == out  # The same process may ask twice.
    ask = "import sys; from plankton_keras.files import claim_folder; claim_folder(sys.argv[1])"
    assert subprocess.call([sys.executable, "-c", ask, out], stderr=subprocess.DEVNULL) == 1
    release_folders()
    assert subprocess.call([sys.executable, "-c", ask, out]) == 0


def test_overwrite_empties_a_folder_behind_a_link_and_keeps_what_its_links_point_to(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "kept").touch()
    (tmp_path / "out").symlink_to(tmp_path / "real")
    (tmp_path / "real" / "link").symlink_to(tmp_path / "elsewhere")
    assert names(claim_folder(tmp_path / "out", overwrite=True)) == []
    assert names(tmp_path / "elsewhere") == ["kept"]
    release_folders()


def test_a_command_that_cannot_resume_does_not_offer_it(tmp_path):
    (tmp_path / "kept").touch()
    with pytest.raises(ArtefactError) as caught:
        claim_folder(tmp_path, resume=None)
    assert caught.value.fix == "add --overwrite to replace it, or choose another --out."


# Clocks.


def test_a_clock_that_goes_backwards_disturbs_neither_records_nor_journal(
    tiny_scans, tiny_records, tmp_path, monkeypatch
):
    clock = iter(range(2_000_000_000, 0, -1000))
    monkeypatch.setattr("time.time", lambda: float(next(clock)))
    told = []
    records.write_records(
        find_pairs(tiny_scans), living_target(), CONFIG, tmp_path, progress=lambda *words: told.append(words[0])
    )
    assert content(tmp_path) == content(tiny_records)
    assert told == sorted(told)


def test_files_of_the_future_are_no_different(tmp_path, tiny_scans, tiny_records):
    shutil.copytree(tiny_scans, tmp_path / "scans")
    for path in (tmp_path / "scans").rglob("*.ppm"):
        os.utime(path, (2**33, 2**33))
    (tmp_path / "out").mkdir()
    records.write_records(find_pairs(tmp_path / "scans"), living_target(), CONFIG, tmp_path / "out")
    assert content(tmp_path / "out") == content(tiny_records)


@pytest.mark.parametrize("now", [[0, -50, -100], [0, 0, 0]])
def test_progress_has_a_rate_and_a_time_left_whatever_the_clock_says(monkeypatch, capsys, now):
    from plankton_keras.cli import output

    times = iter(now)
    monkeypatch.setattr(output.time, "monotonic", lambda: next(times))
    monkeypatch.setattr(output, "PLAIN_SECONDS", -1000)
    progress = output.Progress("predict")
    progress(1e6, 4e6)
    progress(4e6, 4e6)
    first, last = capsys.readouterr().err.splitlines()
    assert first.startswith("predict 1/4 Mpx")
    assert "-" not in first
    assert " 0 s left" in last
