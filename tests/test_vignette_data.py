"""Vignettes to records and back, and to batches: nothing is lost, nothing depends on workers or interruptions."""

import itertools
import json

import cv2
import numpy as np
import pytest
import tensorflow as tf
from click.testing import CliRunner

from plankton_keras import schema
from plankton_keras.cli import main
from plankton_keras.config import RecordsConfig
from plankton_keras.data.codec import encode_vignette, parse_vignettes
from plankton_keras.data.dataset import Stream
from plankton_keras.data.records import read_manifest
from plankton_keras.data.vignette_dataset import evaluation_vignettes, training_vignettes
from plankton_keras.data.vignette_records import read_vignettes, write_vignettes
from plankton_keras.errors import ArtefactError
from plankton_keras.vignettes import find_vignettes, load_vignettes

CONFIG = RecordsConfig(vignette_size=32, patches_per_shard=4)
LIVING = {"copepod": True, "detritus": False, "salp": True}
COUNTS = {"train": (6, 3, 1), "val": (2, 1, 0), "test": (1, 1, 1)}


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Three classes in three splits, each picture of its own size."""
    folder, generator = tmp_path_factory.mktemp("pictures"), np.random.default_rng(0)
    for split, counts in COUNTS.items():
        for label, count in zip(LIVING, counts, strict=True):
            (folder / split / label).mkdir(parents=True)
            for index in range(count):
                pixels = generator.integers(0, 256, generator.integers(9, 90, 2)).astype(np.uint8)
                assert cv2.imwrite(str(folder / split / label / f"{index}.png"), pixels)
    return find_vignettes(folder, val_fraction=0)


@pytest.fixture(scope="module")
def records(pictures, tmp_path_factory):
    out = tmp_path_factory.mktemp("vignettes")
    write_vignettes(pictures, LIVING, CONFIG, out)
    return out


@pytest.fixture(scope="module")
def unequal():
    """Vignettes of three classes of 64, 16 and 4; the side is the index of the vignette."""
    labels = np.repeat(np.arange(3, dtype=np.int32), [64, 16, 4])
    images = np.random.default_rng(0).integers(0, 256, (84, 32, 32, 1)).astype(np.uint8)
    return images, np.arange(84, dtype=np.float32)[:, None], labels


def batches(vignettes, count, **changes):
    stream = Stream(**{"batch_size": 4, "window": 32, "augmentation": "strong", "seed": 3, **changes})
    dataset = training_vignettes(vignettes, stream).take(count)
    return [(each["image"], each["side"], labels) for each, labels in dataset.as_numpy_iterator()]


def same(first, second):
    pairs = zip(itertools.chain(*first), itertools.chain(*second), strict=True)
    return all(np.array_equal(one, other) for one, other in pairs)


def content(images, sides, labels):
    rows = zip(images, sides.tolist(), labels.tolist(), strict=True)
    return sorted((image.tobytes(), side, label) for image, side, label in rows)


def test_an_encoded_vignette_is_parsed_to_the_same():
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32)).astype(np.uint8)
    images, sides, labels = parse_vignettes(tf.constant([encode_vignette(pixels, 37, 410, "salp/é.png")]), 32)
    assert (images.dtype, images.shape) == (tf.uint8, (1, 32, 32, 1))
    assert (images.numpy()[0, ..., 0] == pixels).all()
    assert (sides.numpy().tolist(), labels.numpy().tolist()) == ([410], [37])


def test_encoding_is_deterministic_and_keeps_the_source():
    record = encode_vignette(np.eye(32, dtype=np.uint8), 1, 90, "salp/1.png")
    assert record == encode_vignette(np.eye(32, dtype=np.uint8), 1, 90, "salp/1.png")
    fields = tf.train.Example.FromString(record).features.feature
    assert fields[schema.SCAN].bytes_list.value[0].decode() == "salp/1.png"


@pytest.mark.parametrize("split", COUNTS)
def test_write_then_read_gives_pixels_sides_and_labels_back(pictures, records, split):
    manifest = read_manifest(records)
    images, sides, labels = read_vignettes(records, manifest, split)
    assert (images.dtype, sides.dtype, labels.dtype) == (np.uint8, np.float32, np.int32)
    members = [each for each in pictures if each.split == split]
    assert content(images, sides, labels) == content(*load_vignettes(members, manifest.classes, 32))


def test_shards_hold_vignettes_of_several_classes_in_mixed_order(records):
    labels = read_vignettes(records, read_manifest(records), "train")[2].tolist()
    assert labels not in (sorted(labels), sorted(labels, reverse=True))


def test_the_bytes_depend_on_neither_workers_nor_the_order_of_the_list(pictures, records, tmp_path):
    write_vignettes(pictures[::-1], LIVING, CONFIG, tmp_path, workers=3)
    written = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert written == {path.name: path.read_bytes() for path in records.iterdir()}


def test_the_manifest_says_what_the_records_hold(records):
    manifest = read_manifest(records)
    assert (manifest.kind, manifest.patch_size, manifest.classes) == ("vignettes", 32, tuple(LIVING))
    share = sum({"copepod": 0.6, "detritus": 0.3, "salp": 0.1}[name] for name in LIVING if LIVING[name])
    assert manifest.target == {"names": list(LIVING), "living": LIVING, "living_share": pytest.approx(share)}
    assert manifest.class_share == pytest.approx({"copepod": 0.6, "detritus": 0.3, "salp": 0.1})
    assert {split: manifest.count(split) for split in COUNTS} == {"train": 10, "val": 3, "test": 3}
    # 10 vignettes at 4 a shard are 2.5 shards, rounded to 2.
    assert [shard.file for shard in manifest.splits["train"]] == [
        "train-00000-of-00002.tfrecord",
        "train-00001-of-00002.tfrecord",
    ]
    assert manifest.settings == CONFIG.to_json()


@pytest.mark.parametrize(("ground", "border"), [(0, 0), (20, 20), (255, 0)])
def test_a_ground_that_is_dark_in_most_vignettes_is_said(tmp_path, caplog, ground, border):
    for index in range(5):
        path = tmp_path / "pictures" / "ab"[index % 2] / f"{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.full((60, 40), ground if index < 3 else 255, np.uint8)
        pixels[20 + index : 40, 10:30] = 128
        if index < 3:
            pixels[:4], pixels[-4:], pixels[:, :4], pixels[:, -4:] = [border] * 4
        cv2.imwrite(str(path), pixels)
    found = find_vignettes(tmp_path / "pictures", val_fraction=0)
    (tmp_path / "records").mkdir()
    write_vignettes(found[1:], None, CONFIG, tmp_path / "records")
    assert caplog.messages == []
    write_vignettes(found, None, CONFIG, tmp_path / "records")
    assert caplog.messages == [
        f"{tmp_path / 'pictures' / 'a' / '0.png'} and 2 others of 5 vignettes are dark at their corners, but ground is "
        "taken to be white: invert them, or cut a dark border off"
    ]


def test_progress_counts_up_to_all_vignettes(pictures, tmp_path):
    said = []
    write_vignettes(pictures, None, CONFIG, tmp_path, progress=lambda *words: said.append(words))
    assert said == [(5, 16, "train"), (10, 16, "train"), (13, 16, "val"), (16, 16, "test")]
    target = read_manifest(tmp_path).target
    assert (target["living"], target["living_share"]) == (None, None)


def test_a_damaged_shard_is_named(pictures, tmp_path):
    manifest = write_vignettes(pictures, None, CONFIG, tmp_path)
    shard = tmp_path / manifest.splits["train"][1].file
    damaged = bytearray(shard.read_bytes())
    damaged[len(damaged) // 2] ^= 4
    shard.write_bytes(damaged)
    with pytest.raises(ArtefactError) as caught:
        read_vignettes(tmp_path, manifest, "train")
    assert str(caught.value).startswith(
        f"The shard {shard} is damaged.\nExpected: {len(damaged)} bytes with the digest "
    )


def test_a_missing_split_is_said_with_those_there(records):
    with pytest.raises(ArtefactError, match=r"has no vignettes in the split 'live'; it has train, val, test."):
        read_vignettes(records, read_manifest(records), "live")


@pytest.mark.slow
def test_a_dry_run_of_training_says_how_many_vignettes_and_steps(records, tmp_path):
    words = ("--model", "mobilenetv2_035", "--weights", "none", "--batch-size", "4", "--epochs", "2", "--dry-run")
    said = CliRunner().invoke(main, ["train", str(records), "--out", str(tmp_path / "run"), *words, "--json"])
    assert said.exit_code == 0, said.exception
    plan = json.loads(said.stdout)
    assert (plan["model"], plan["vignettes"], plan["steps"]) == ("mobilenetv2_035", 10, 6)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("option", "value"), [("--loss", "focal"), ("--window", "64"), ("--width", "8")])
def test_training_refuses_options_that_vignettes_do_not_have(records, tmp_path, option, value):
    said = CliRunner().invoke(main, ["train", str(records), "--out", str(tmp_path / "run"), option, value])
    assert said.exit_code == 2, said.exception
    assert said.stderr == (
        f"{option} has no effect on mobilenet_075.\nExpected: options of that network.\nFix: leave {option} out.\n"
    )
    assert not (tmp_path / "run").exists()


def test_the_same_seed_gives_the_same_batches_and_another_does_not(unequal):
    whole = batches(unequal, 3)
    assert same(whole, batches(unequal, 3))
    assert not same(whole, batches(unequal, 3, seed=4))


def test_a_stream_that_starts_later_gives_the_batches_of_the_undisturbed_one(unequal):
    whole = batches(unequal, 6)
    for first in (1, 4):
        assert same(batches(unequal, 6 - first, first_step=first), whole[first:])


@pytest.mark.parametrize("augmentation", ["none", "light", "strong"])
def test_batches_hold_float_pixels_of_0_to_255_with_sides_and_labels(unequal, augmentation):
    for images, sides, labels in batches(unequal, 2, augmentation=augmentation):
        assert (images.dtype, sides.dtype, labels.dtype) == (np.float32, np.float32, np.int32)
        assert (images.shape, sides.shape, labels.shape) == ((4, 32, 32, 1), (4, 1), (4,))
        assert 0 <= images.min() < 100 < images.max() <= 255


def test_white_ground_stays_white_when_it_is_turned_and_contrast_changes(unequal):
    white = np.full_like(unequal[0], 255), *unequal[1:]
    assert all((images == 255).all() for images, _, _ in batches(white, 3, augmentation="light"))


def test_rare_classes_are_drawn_by_the_root_of_their_share_and_come_unchanged(unequal):
    drawn = batches(unequal, 40, batch_size=100, augmentation="none")
    indices = np.concatenate([sides[:, 0] for _, sides, _ in drawn]).astype(int)
    labels = np.concatenate([labels for _, _, labels in drawn])
    assert (labels == unequal[2][indices]).all()
    assert (drawn[0][0] == unequal[0][indices[:100]]).all()
    # The roots of 64, 16 and 4 are 8, 4 and 2. 4000 draws: four standard deviations are 0.031.
    assert np.bincount(labels) / 4000 == pytest.approx(np.array([8, 4, 2]) / 14, abs=0.031)
    assert set(indices) == set(range(84))


def test_evaluation_vignettes_come_once_in_order_and_as_they_are(unequal):
    inputs, labels = zip(*evaluation_vignettes(unequal, 32).as_numpy_iterator(), strict=True)
    assert [len(each) for each in labels] == [32, 32, 20]
    assert inputs[0]["image"].dtype == np.float32
    assert (np.concatenate([each["image"] for each in inputs]) == unequal[0]).all()
    assert (np.concatenate([each["side"] for each in inputs]) == unequal[1]).all()
    assert (np.concatenate(labels) == unequal[2]).all()
