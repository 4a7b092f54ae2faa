"""What stands in two splits is found and named; a clean set passes."""

import json
import logging

import cv2
import numpy as np
import pytest
from click.testing import CliRunner
from conftest import tiny_scan, write_p5

from plankton_keras import leaks, lookalikes, schema
from plankton_keras.cli import main
from plankton_keras.config import RecordsConfig
from plankton_keras.data.records import read_manifest, write_records
from plankton_keras.data.vignette_records import read_sources, read_vignettes, training_digests, write_vignettes
from plankton_keras.errors import ArtefactError, InputError
from plankton_keras.leaks import Place, find_equal
from plankton_keras.pairs import find_pairs
from plankton_keras.predictors import Classifier
from plankton_keras.samples import read_groups
from plankton_keras.taxa import living_target
from plankton_keras.truths import Truth, seen_scans, seen_vignettes, truths_of_vignettes
from plankton_keras.vignettes import find_vignettes, squared

CONFIG = RecordsConfig(patch_size=64, vignette_size=32)


def run(*words, code=0):
    result = CliRunner().invoke(main, [str(word) for word in words])
    assert result.exit_code == code, result.output
    return result


def text_of(kind, call, *args):
    with pytest.raises(kind) as caught:
        call(*args)
    return str(caught.value)


def scans_in(folder, **scans):
    """Writes scans `SPLIT_STEM=(scan, mask)`."""
    for name, (scan, mask) in scans.items():
        split, stem = name.split("_")
        (folder / split).mkdir(parents=True, exist_ok=True)
        write_p5(folder / split / f"{stem}_scan.pgm", scan)
        write_p5(folder / split / f"{stem}_mask.pgm", mask)
    return folder


def drawn(seed, height=60, width=48):
    """A vignette of some dark blobs with texture on white, as different from others as animals are."""
    generator = np.random.default_rng(seed)
    pixels = np.full((height, width), 255.0)
    rows, columns = np.mgrid[:height, :width]
    for _ in range(6):
        top, left, size = generator.uniform((0.2 * height, 0.2 * width, 3), (0.8 * height, 0.8 * width, 9))
        pixels -= 90 * np.exp(-((rows - top) ** 2 + (columns - left) ** 2) / size**2)
    pixels -= (pixels < 240) * generator.uniform(0, 25, pixels.shape)
    return pixels.clip(15, 255).astype(np.uint8)


def draw(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), pixels)
    return path


# Equal files.


def test_every_pair_of_places_is_found_once_between_splits_and_within():
    entries = [
        (digest, Place(split, name))
        for digest, split, name in (("d", "train", "a"), ("e", "val", "b"), ("d", "train", "c"), ("d", "test", "d"))
    ]
    between, inside = find_equal(entries)
    assert [(str(first), str(second)) for first, second in between] == [("a (train)", "d (test)")]
    assert [(str(first), str(second)) for first, second in inside] == [("a (train)", "c (train)")]


def test_a_scan_in_two_splits_is_refused_with_both_places_before_anything_is_written(tmp_path):
    scans = scans_in(tmp_path / "scans", train_a=tiny_scan(0), val_b=tiny_scan(0), val_c=tiny_scan(1))
    out = tmp_path / "out"
    out.mkdir()
    (out / "earlier").touch()
    said = run("make-tfrecords", scans, "--out", out, "--patch-size", 64, "--overwrite", code=3)
    assert said.stderr == (
        f"{scans}/train/a_scan.pgm (train) and {scans}/val/b_scan.pgm (val) are the same scan.\n"
        "Expected: each scan in one split only.\n"
        "Fix: remove one of the two.\n"
    )
    assert (out / "earlier").exists()


def test_other_pairs_are_counted(tmp_path):
    files = [(split, tmp_path / f"{split}{index}") for split in ("train", "val", "test") for index in range(2)]
    for _, path in files:
        path.write_text(path.name[-1])
    said = text_of(InputError, leaks.check_files, files[:4])
    assert said.startswith(f"{tmp_path}/train0 (train) and {tmp_path}/val0 (val) are the same scan, and so is another")
    assert "are the same scan, and so are 3 other pairs.\n" in text_of(InputError, leaks.check_files, files)


def test_the_same_scan_twice_in_one_split_is_a_warning(tmp_path, caplog):
    scans = scans_in(tmp_path, train_a=tiny_scan(0), train_b=tiny_scan(0), train_c=tiny_scan(0), val_d=tiny_scan(1))
    leaks.check_scans(find_pairs(scans))
    assert [record.getMessage() for record in caplog.records] == [
        f"{tmp_path}/train/a_scan.pgm (train) and {tmp_path}/train/b_scan.pgm (train) are the same scan, "
        "and 1 more pairs: it counts twice"
    ]


def test_scans_of_equal_size_that_differ_pass_and_only_equal_middles_are_read_whole(tmp_path, caplog, monkeypatch):
    digested = []
    monkeypatch.setattr(leaks, "sha256", lambda path: digested.append(path.name) or path.read_bytes())
    monkeypatch.setattr(leaks, "PROBE", 4)
    for name, content in {"a": b"12--34", "b": b"12..34", "c": b"21--34", "d": b"12--3"}.items():
        (tmp_path / name).write_bytes(content)
    leaks.check_files([("train", tmp_path / "a"), ("val", tmp_path / "b"), ("val", tmp_path / "d")])
    assert digested == []
    (tmp_path / "c").write_bytes(b"02--31")
    leaks.check_files([("train", tmp_path / "a"), ("val", tmp_path / "c")])
    assert (digested, caplog.records) == (["a", "c"], [])


def test_records_of_earlier_versions_with_a_scan_in_two_splits_are_refused(tiny_records):
    manifest = read_manifest(tiny_records)
    leaks.check_records(manifest, tiny_records)
    first, second, third, _ = (vars(source) for source in manifest.sources)
    twin = schema.Source(**{**third, "scan_sha256": second["scan_sha256"]})
    planted = schema.Manifest(**{**vars(manifest), "sources": (schema.Source(**first), manifest.sources[1], twin)})
    assert text_of(ArtefactError, leaks.check_records, planted, "records") == (
        "b (train) and c (val) are the same scan in the records records.\n"
        "Expected: each scan in one split only.\n"
        "Fix: remove one of the two scans, and write the records anew: "
        "plankton make-tfrecords SCANS --out DIR --overwrite."
    )


# Equal windows.


def test_a_scan_in_another_format_in_another_split_is_found_by_its_windows(tmp_path):
    scan, mask = tiny_scan(0)
    scans = scans_in(tmp_path / "scans", train_a=(scan, mask), val_c=tiny_scan(1))
    draw(scans / "val" / "b_scan.png", scan)
    draw(scans / "val" / "b_mask.png", mask.astype(np.uint8))
    said = run("make-tfrecords", scans, "--out", tmp_path / "out", "--patch-size", 64, "--quiet", code=3).stderr
    what, expected, fix = said.splitlines()
    assert what.startswith("a (train, row 0, column ")
    assert ") and b (val, row 0, column " in what
    assert " are windows of equal pixels, and so are " in what
    assert expected == "Expected: scans in different splits that share no picture."
    assert fix == "Fix: remove one of the two scans, or put both into one split."
    assert not (tmp_path / "out" / "manifest.json").exists()


def test_a_part_of_a_scan_at_the_grid_is_found_and_named(tmp_path):
    scan, mask = tiny_scan(0, 256, 320)
    part = scan[64:, 128:].copy(), mask[64:, 128:]
    scans = scans_in(tmp_path / "scans", train_a=(scan, mask), val_b=part)
    (tmp_path / "out").mkdir()
    said = text_of(InputError, write_records, find_pairs(scans), living_target(), CONFIG, tmp_path / "out")
    first, second = (part.split(", ") for part in said.splitlines()[0].split(" and ")[:2])
    assert (first[0], second[0]) == ("a (train", "b (val")
    numbers = [[int(word.split()[1].split(")")[0]) for word in words[1:3]] for words in (first, second)]
    assert [numbers[0][0] - 64, numbers[0][1] - 128] == numbers[1]


def test_bare_and_flat_windows_may_be_equal(tmp_path):
    scan, mask = tiny_scan(0)
    bare = scan.copy()
    bare[mask > 0] = 224
    flat = np.full((64, 64), 255, np.uint8), np.full((64, 64), 8, np.uint16)
    scans = scans_in(tmp_path / "scans", train_a=(scan, mask), val_b=(bare, np.zeros_like(mask)))
    scans_in(scans, train_c=flat, val_d=(flat[0], flat[1]))
    (tmp_path / "out").mkdir()
    write_records(find_pairs(scans), living_target(), CONFIG, tmp_path / "out")
    assert (tmp_path / "out" / "manifest.json").is_file()


# Vignettes.


def vignettes_in(folder, **more):
    """Two classes in two splits, all different; then what is planted, as `SPLIT_LABEL=pixels`."""
    for index in range(8):
        split, label = ("train", "val")[index % 2], ("copepod", "salp")[index // 4]
        draw(folder / split / label / f"{index}.png", drawn(index))
    for name, pixels in more.items():
        split, label = name.split("_")
        draw(folder / split / label / "planted.png", pixels)
    return folder


def write(folder, out):
    out.mkdir(exist_ok=True)
    return write_vignettes(find_vignettes(folder, 0), None, CONFIG, out)


def test_different_vignettes_pass_without_a_word(tmp_path, caplog):
    write(vignettes_in(tmp_path / "clean"), tmp_path / "out")
    assert (tmp_path / "out" / "manifest.json").is_file()
    assert caplog.records == []


def test_a_vignette_of_equal_bytes_in_two_splits_is_refused_before_anything_is_written(tmp_path):
    folder = vignettes_in(tmp_path / "v", val_salp=drawn(0))
    said = run("make-tfrecords", folder, "--out", tmp_path / "out", code=3).stderr
    assert said == (
        f"{folder}/train/copepod/0.png (train) and {folder}/val/salp/planted.png (val) are the same vignette.\n"
        "Expected: each vignette in one split only.\n"
        "Fix: remove one of the two.\n"
    )
    assert not (tmp_path / "out").exists()


def test_a_vignette_of_equal_pixels_in_two_splits_is_refused(tmp_path):
    folder = vignettes_in(tmp_path / "v")
    draw(folder / "val" / "salp" / "again.bmp", drawn(0))
    assert text_of(InputError, write, folder, tmp_path / "out") == (
        f"{folder}/train/copepod/0.png (train, copepod) and {folder}/val/salp/again.bmp (val, salp) "
        "are equal pixel by pixel.\n"
        "Expected: each vignette in one split only.\n"
        "Fix: remove one of the two."
    )
    assert not (tmp_path / "out" / "manifest.json").exists()


def test_equal_vignettes_of_two_classes_in_one_split_are_a_warning(tmp_path, caplog):
    folder = vignettes_in(tmp_path / "v", train_salp=drawn(0))
    draw(folder / "train" / "salp" / "planted too.png", drawn(2))
    draw(folder / "train" / "copepod" / "planted, same class.png", drawn(2))
    write(folder, tmp_path / "out")
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert record.getMessage().startswith("Equal vignettes stand in different classes: ")
    assert record.getMessage().endswith(", and 1 more pairs")


CHANGES = {
    "darker": lambda pixels: np.maximum(pixels.astype(int) - 12, 0).astype(np.uint8),
    "less contrast": lambda pixels: (255 - 0.85 * (255 - pixels.astype(float))).astype(np.uint8),
    "jpeg": lambda pixels: cv2.imdecode(cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, 75])[1], 0),
    "scaled": lambda pixels: cv2.resize(pixels, None, fx=0.97, fy=0.97, interpolation=cv2.INTER_AREA),
}


@pytest.mark.parametrize("change", CHANGES)
def test_near_duplicates_between_splits_are_a_warning_with_both_names(tmp_path, caplog, change):
    folder = vignettes_in(tmp_path / "v", val_salp=CHANGES[change](drawn(0)))
    write(folder, tmp_path / "out")
    assert [record.getMessage() for record in caplog.records] == [
        f"Vignettes in different splits look the same: {folder}/train/copepod/0.png (train, copepod) and "
        f"{folder}/val/salp/planted.png (val, salp)"
    ]


def test_near_duplicates_within_a_split_are_not_mentioned(tmp_path, caplog):
    write(vignettes_in(tmp_path / "v", train_salp=CHANGES["jpeg"](drawn(0))), tmp_path / "out")
    assert caplog.records == []


@pytest.mark.parametrize("change", CHANGES)
def test_most_near_duplicates_are_found_and_no_others(change):
    pictures = [drawn(seed) for seed in range(60)]
    both = [*pictures, *(CHANGES[change](pixels) for pixels in pictures)]
    thumbnails = np.array([lookalikes.thumbnail(pixels) for pixels in both])
    splits = np.repeat(["train", "val"], 60)
    pairs = lookalikes.near_duplicates(thumbnails, np.array([pixels.shape for pixels in both]), splits)
    assert {(int(first), int(second) - 60) for first, second in pairs} <= {(index, index) for index in range(60)}
    assert len(pairs) >= 57


def test_those_of_other_size_or_without_any_contrast_are_no_near_duplicates():
    thumbnails = np.array([lookalikes.thumbnail(drawn(0))] * 2 + [np.full((24, 27), 255, np.uint8)] * 2)
    shapes, splits = np.array([[60, 48], [66, 48], [9, 9], [9, 9]]), np.array(["train", "val"] * 2)
    assert lookalikes.near_duplicates(thumbnails, shapes, splits).tolist() == []
    shapes[1, 0] = 62
    assert lookalikes.near_duplicates(thumbnails, shapes, splits).tolist() == [[0, 1]]


def test_nothing_has_no_near_duplicates():
    empty = np.zeros((0, 24, 27), np.uint8), np.zeros((0, 2)), np.zeros(0, str)
    assert lookalikes.near_duplicates(*empty).shape == (0, 2)


def test_close_pairs_are_those_of_a_comparison_of_all_with_all():
    generator = np.random.default_rng(0)
    hashes = generator.integers(0, 2**63, 40, dtype=np.uint64)
    flips = np.uint64(1) << generator.integers(0, 64, (4, 40), dtype=np.uint64)
    hashes = np.concatenate([hashes, hashes, hashes ^ flips[0], hashes ^ flips[1] ^ flips[2], hashes ^ flips.sum(0)])
    apart = np.bitwise_count(hashes[:, None] ^ hashes)
    assert lookalikes.close_pairs(hashes).tolist() == np.argwhere(np.triu(apart <= 2, 1)).tolist()


# What a run was trained on.


def test_scans_that_a_model_was_trained_on_are_named():
    truths = [Truth(stem, digest, None) for stem, digest in (("a", "1"), ("b", "2"), ("c", "3"))]
    assert seen_scans(truths, {"3": "c", "1": "old name"}) == ["a", "c"]


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    folder = tmp_path_factory.mktemp("leaks")
    write(vignettes_in(folder / "v"), folder / "records")
    return folder


def classifier(known):
    training = frozenset(known.split())
    return Classifier(None, ("copepod", "salp"), None, None, 32, "digest", "run", training_vignettes=training)


def test_a_run_knows_the_vignettes_of_its_training_in_records_and_folders(records):
    manifest = read_manifest(records / "records")
    known = training_digests(records / "records", manifest)
    assert len(set(known.split())) == manifest.count("train") == 4
    names = {"copepod/0.png", "copepod/2.png", "salp/4.png", "salp/6.png"}
    for data in (records / "records", records / "v"):
        for split, expected in (("train", names), ("val", set())):
            vignettes = truths_of_vignettes(data, split, classifier(known))
            assert set(seen_vignettes(data, split, vignettes, classifier(known))) == expected
            # A run of before has no list.
            assert seen_vignettes(data, split, vignettes, classifier("")) == []


def test_sources_of_vignettes_come_in_the_order_of_the_vignettes(records):
    manifest = read_manifest(records / "records")
    sources = read_sources(records / "records", manifest, "train")
    images, _, _ = read_vignettes(records / "records", manifest, "train")
    for source, image in zip(sources, images, strict=True):
        assert (image[..., 0] == squared(drawn(int(source.split("/")[1][0])), 32)).all()


def test_candidates_of_scans_are_known_by_their_scans(tiny_records):
    manifest = read_manifest(tiny_records)
    assert training_digests(tiny_records, manifest) == ""
    known = {source.scan_sha256: source.stem for source in manifest.sources if source.split == "train"}
    model = Classifier(None, (), None, None, 96, "digest", "run", training_scans=known)
    vignettes = np.zeros((1, 96, 96, 1)), np.ones((1, 1)), None
    assert seen_vignettes(tiny_records, "train", vignettes, model) == ["a", "b"]
    assert seen_vignettes(tiny_records, "val", vignettes, model) == []


def test_scans_are_dealt_by_a_column_of_samples_csv(tmp_path):
    for index in range(6):
        scan, mask = tiny_scan(index)
        write_p5(tmp_path / f"s{index}_scan.pgm", scan)
        write_p5(tmp_path / f"s{index}_mask.pgm", mask)
    rows = [f"s{index},day {index // 2},{index}" for index in range(6)]
    (tmp_path / "samples.csv").write_text("\n".join(["scan,day,depth", *rows]))
    words = ("make-tfrecords", tmp_path, "--out", tmp_path / "out", "--patch-size", 64, "--split-by", "day")
    for more in ((), ("--folds", 3, "--fold", 1)):
        splits = json.loads(run(*words, *more, "--dry-run", "--json").stdout)["splits"]
        first, second = splits["val"]["scans"]
        assert int(first[1]) // 2 == int(second[1]) // 2


def test_the_table_stands_beside_the_scans_or_above(tmp_path):
    (tmp_path / "samples.csv").write_text("\ufeffday,scan\n1, a \n2,b\n", encoding="utf-8")
    (tmp_path / "scans").mkdir()
    assert read_groups(tmp_path / "scans", "day", ["b", "a"]) == {"b": "2", "a": "1"}


def problem(folder, text, stems="ab", column="day"):
    (folder / "samples.csv").write_text(text)
    return text_of(InputError, read_groups, folder, column, list(stems))


def test_all_problems_of_a_table_are_said_at_once(tmp_path):
    expected = (
        "\nExpected: the columns scan (the stem) and day, with one value for each scan.\n"
        "Fix: complete samples.csv, or choose another --split-by."
    )
    table = tmp_path / "samples.csv"
    assert problem(tmp_path, "scan,days\nb,1\n") == (
        f"{table} has no column 'day'; it has scan, days. Did you mean \"days\"? "
        f"It has no row for the scan a.{expected}"
    )
    assert problem(tmp_path, "stem,cruise\n") == (
        f"{table} has no column 'scan'; it has stem, cruise. It has no column 'day'; it has stem, cruise.{expected}"
    )
    assert problem(tmp_path, "scan,day\nc,1\nc,2\nd,\n", "abcd") == (
        f"{table} has no row for the scans a, b. It has no day for the scan d. "
        f"It has several values of day for the scan c.{expected}"
    )
    assert "has no row for the scans s0, s1, s2, s3, s4, s5, s6, s7, s8, s9 and 2 others." in problem(
        tmp_path, "scan,day\n", [f"s{index}" for index in range(12)]
    )
    assert f"{table} has no column 'scan'; it has nothing. It has no column 'day'" in problem(tmp_path, "")


def test_a_missing_table_is_said(tmp_path):
    assert text_of(InputError, read_groups, tmp_path, "day", ["a"]) == (
        f"{tmp_path} has no samples.csv, nor has its parent.\n"
        "Expected: a table with the columns scan and day for --split-by.\n"
        "Fix: write samples.csv, or leave --split-by out."
    )


@pytest.mark.parametrize(
    ("flag", "value"),
    [
        ("split-by", "day"),
        ("folds", 5),
        ("fold", 1),
        ("masks", "m"),
        ("scheduler", "tcp://a:1"),
        ("patch-size", 256),
        ("target", "living"),
        ("ground-keep", 0.5),
        ("ground-keep", 0.0),
        ("fold", 0),
    ],
)
def test_options_of_scans_are_refused_for_vignettes(tmp_path, flag, value):
    folder = vignettes_in(tmp_path / "v")
    said = run("make-tfrecords", folder, "--out", tmp_path / "out", f"--{flag}", value, code=2).stderr
    assert said == (
        f"--{flag} is {str(value)!r}, but {folder} holds vignettes.\n"
        "Expected: a folder of scans; of their settings, vignettes have the share for validation, their own size, "
        "the size of shards, and the seed.\n"
        f"Fix: leave --{flag} out.\n"
    )
