import json
from dataclasses import replace

import cv2
import numpy as np
import pytest
import tensorflow as tf

from plankton_keras.cluster import HERE, Crew
from plankton_keras.config import RecordsConfig
from plankton_keras.data import records, spools
from plankton_keras.data.codec import decode, encode, parse
from plankton_keras.errors import ArtefactError, InputError
from plankton_keras.pairs import find_pairs
from plankton_keras.patches import Patch, windows_of
from plankton_keras.scans import open_pair
from plankton_keras.taxa import Target, living_target
from plankton_keras.tiles import Window

TARGET = living_target()
CONFIG = RecordsConfig(patch_size=64, patches_per_shard=8, ground_keep=0.5)


def content(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def write(scans, out, crew=HERE, config=CONFIG):
    out.mkdir(parents=True, exist_ok=True)
    return records.write_records(find_pairs(scans), TARGET, config, out, crew)


def test_write_then_read_gives_the_patches_back(tiny_scans, tiny_records):
    manifest = records.read_manifest(tiny_records)
    for split in ("train", "val", "test"):
        pairs = {pair.stem: open_pair(pair) for pair in find_pairs(tiny_scans) if pair.split == split}
        for patch in records.read_patches(tiny_records, manifest, split):
            scan, mask = pairs[patch.scan]
            assert (patch.image == scan.read(patch.window)).all()
            assert (patch.mask == (mask.read(patch.window) == 8)).all()


def test_validation_and_test_scans_come_back_whole_from_their_patches(tiny_scans, tiny_records):
    manifest = records.read_manifest(tiny_records)
    for split, stem in (("val", "c"), ("test", "d")):
        image, mask = records.rebuild_scans(tiny_records, manifest, split)[stem]
        scan, ids = open_pair(next(pair for pair in find_pairs(tiny_scans) if pair.stem == stem))
        whole = Window(0, 0, scan.height, scan.width)
        assert (image == scan.read(whole)).all()
        assert (mask == (ids.read(whole) == 8)).all()


def test_training_scans_of_which_patches_were_left_out_are_not_put_together(tiny_scans, tiny_records, tmp_path):
    with pytest.raises(ArtefactError) as caught:
        records.rebuild_scans(tiny_records, records.read_manifest(tiny_records), "train")
    assert str(caught.value).startswith(f"{tiny_records} holds {records.read_manifest(tiny_records).count('train')} of")
    whole = write(tiny_scans, tmp_path / "whole", config=RecordsConfig(patch_size=64, ground_keep=1.0))
    scan = records.rebuild_scans(tmp_path / "whole", whole, "train")["a"][0]
    assert scan.min() > 0


def test_records_of_vignettes_hold_no_scan(tiny_records):
    manifest = replace(records.read_manifest(tiny_records), kind="vignettes")
    with pytest.raises(ArtefactError) as caught:
        records.rebuild_scans("cut", manifest, "val")
    assert str(caught.value) == (
        "cut holds vignettes, not scans.\n"
        "Expected: records of scans and masks, or a folder of them.\n"
        "Fix: score a run of vignettes on it."
    )


def test_every_training_patch_with_an_object_is_kept_and_some_empty_ones(tiny_scans, tiny_records):
    manifest = records.read_manifest(tiny_records)
    kept = {(patch.scan, patch.window) for patch in records.read_patches(tiny_records, manifest, "train")}
    filled, empty = set(), set()
    for pair in find_pairs(tiny_scans):
        if pair.split == "train":
            scan, mask = open_pair(pair)
            for row in windows_of(scan.height, scan.width, 64):
                for window in row:
                    (filled if mask.read(window).any() else empty).add((pair.stem, window))
    assert filled <= kept
    assert 0 < len(kept & empty) < len(empty)


def test_the_bytes_depend_on_neither_workers_nor_repetition(tiny_scans, tiny_records, tmp_path):
    write(tiny_scans, tmp_path / "three", Crew(workers=3))
    assert content(tmp_path / "three") == content(tiny_records)


def test_an_interrupted_call_is_completed_to_the_same_bytes(tiny_scans, tiny_records, tmp_path, monkeypatch):
    real, calls = spools.spool_scan, []

    def dies_at_the_third(*args, **kwargs):
        calls.append(args)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(*args, **kwargs)

    monkeypatch.setattr(spools, "spool_scan", dies_at_the_third)
    with pytest.raises(KeyboardInterrupt):
        write(tiny_scans, tmp_path / "cut")
    assert not (tmp_path / "cut" / "manifest.json").exists()
    monkeypatch.undo()
    encoded = []
    monkeypatch.setattr(spools, "encode", lambda patch: encoded.append(patch.scan) or encode(patch))
    write(tiny_scans, tmp_path / "cut")
    assert set(encoded) == {pair.stem for pair in find_pairs(tiny_scans)[2:]}
    assert content(tmp_path / "cut") == content(tiny_records)


def test_a_shard_left_half_written_is_written_again(tiny_scans, tiny_records, tmp_path):
    out = tmp_path / "half"
    out.mkdir()
    name = sorted(path.name for path in tiny_records.glob("train-*"))[0]
    (out / name).write_bytes((tiny_records / name).read_bytes()[:100])
    write(tiny_scans, out)
    assert content(out) == content(tiny_records)


def test_a_shard_of_earlier_scans_that_happens_to_have_the_size_is_written_again(tiny_scans, tiny_records, tmp_path):
    out = tmp_path / "stale"
    out.mkdir()
    name = sorted(path.name for path in tiny_records.glob("train-*"))[0]
    (out / name).write_bytes(bytes((tiny_records / name).stat().st_size))
    write(tiny_scans, out)
    assert content(out) == content(tiny_records)


def test_other_settings_are_refused_in_a_folder_that_is_finished(tiny_scans, tmp_path):
    write(tiny_scans, tmp_path / "out")
    before = content(tmp_path / "out")
    with pytest.raises(
        ArtefactError, match=f"^{tmp_path / 'out'} was begun with other settings, or by another version"
    ):
        write(tiny_scans, tmp_path / "out", config=RecordsConfig(patch_size=64, patches_per_shard=8, ground_keep=0.6))
    assert content(tmp_path / "out") == before
    write(tiny_scans, tmp_path / "out")
    assert content(tmp_path / "out") == before


def test_other_settings_are_refused_in_a_folder_that_was_begun(tiny_scans, tmp_path, monkeypatch):
    monkeypatch.setattr(records, "_write_split", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        write(tiny_scans, tmp_path / "out")
    with pytest.raises(ArtefactError) as caught:
        write(tiny_scans, tmp_path / "out", config=RecordsConfig(patch_size=128))
    assert str(caught.value) == (
        f"{tmp_path / 'out'} was begun with other settings, or by another version.\n"
        "Expected: the settings of the interrupted command.\n"
        "Fix: give the same options, or --overwrite."
    )


def test_shards_are_what_tensorflow_reads(tiny_records):
    manifest = records.read_manifest(tiny_records)
    files = [str(path) for path in records.check_shards(tiny_records, manifest, "train")]
    framed = [record.numpy() for record in tf.data.TFRecordDataset(files)]
    assert len(framed) == manifest.count("train")
    assert {decode(record).scan for record in framed} == {"a", "b"}


def test_shards_hold_patches_of_several_scans_in_mixed_order(tiny_records):
    manifest = records.read_manifest(tiny_records)
    order = [patch.scan for patch in records.read_patches(tiny_records, manifest, "train")]
    assert order != sorted(order)


def test_a_flipped_bit_is_found_and_the_shard_named(tiny_scans, tmp_path):
    manifest = write(tiny_scans, tmp_path / "out")
    shard = tmp_path / "out" / manifest.splits["val"][0].file
    damaged = bytearray(shard.read_bytes())
    damaged[len(damaged) // 2] ^= 4
    shard.write_bytes(damaged)
    with pytest.raises(ArtefactError) as caught:
        list(records.read_patches(tmp_path / "out", manifest, "val"))
    assert str(caught.value).startswith(
        f"The shard {shard} is damaged.\nExpected: {len(damaged)} bytes with the digest "
    )
    shard.unlink()
    with pytest.raises(ArtefactError, match=f"The shard {shard} is missing."):
        records.check_shards(tmp_path / "out", manifest, "val")


def test_a_missing_split_is_said_with_those_there(tiny_records):
    manifest = records.read_manifest(tiny_records)
    with pytest.raises(ArtefactError, match=r"has no patches in the split 'live'; it has train, val, test."):
        records.check_shards(tiny_records, manifest, "live")


def test_no_manifest_means_no_records(tmp_path):
    with pytest.raises(ArtefactError) as caught:
        records.read_manifest(tmp_path)
    assert str(caught.value) == (
        f"{tmp_path / 'manifest.json'} does not exist.\n"
        f"Expected: a file manifest.json in {tmp_path}.\n"
        "Fix: give a folder that plankton make-tfrecords has finished."
    )


def test_class_shares_are_those_of_the_training_patches(tiny_records):
    manifest = records.read_manifest(tiny_records)
    masks = [patch.mask for patch in records.read_patches(tiny_records, manifest, "train")]
    assert manifest.class_share["living"] == pytest.approx(np.mean(masks))
    assert sum(manifest.class_share.values()) == pytest.approx(1)


def test_the_share_that_candidates_hold_leaves_out_what_is_pale_small_or_of_other_scans(tmp_path):
    scan, mask = np.full((2, 300, 300), 200, np.uint8), np.zeros((2, 300, 300), np.uint16)
    scan[1] = 201  # or the splits would share windows
    # Dark and large: 40 x 40 pixels, all in a candidate. Pale: 20 x 20, and small: 5 x 5 pixels, in none.
    scan[:, 20:60, 20:60], mask[:, 20:60, 20:60] = 80, 9
    mask[0, 100:120, 100:120] = 8
    scan[0, 200:205, 200:205], mask[0, 200:205, 200:205] = 80, 8
    # Ids below 8 are not living.
    scan[:, 200:240, 20:60], mask[:, 200:240, 20:60] = 80, 3
    for split, index in (("train", 0), ("val", 1)):
        (tmp_path / split).mkdir()
        cv2.imwrite(str(tmp_path / split / f"{split}_scan.png"), scan[index])
        cv2.imwrite(str(tmp_path / split / f"{split}_mask.png"), mask[index])
    (tmp_path / "out").mkdir()
    manifest = records.write_records(find_pairs(tmp_path), TARGET, CONFIG, tmp_path / "out")
    assert manifest.candidate_share == pytest.approx(1600 / (1600 + 400 + 25))


def test_the_estimate_is_what_is_then_written(tiny_scans, tiny_records):
    plan, manifest = records.estimate(find_pairs(tiny_scans), TARGET, CONFIG), records.read_manifest(tiny_records)
    for split in ("train", "val", "test"):
        assert plan["splits"][split]["patches"] == manifest.count(split)
        assert plan["splits"][split]["shards"] == len(manifest.splits[split])
    assert plan["class_share"] == pytest.approx(manifest.class_share)


def test_an_id_without_a_class_is_an_error_that_names_mask_and_id(tiny_scans, tmp_path):
    with pytest.raises(InputError, match=r"a_mask.png.ppm holds the id 1 and 1 other unknown ids."):
        records.write_records(find_pairs(tiny_scans), Target(("none", "some"), {0: 0}), CONFIG, tmp_path)


def test_a_scan_smaller_than_a_patch_is_padded_by_reflection(tmp_path):
    scan = np.arange(30 * 40, dtype=np.uint8).reshape(30, 40)
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "x_scan.pgm").write_bytes(b"P5\n40 30\n255\n" + scan.tobytes())
    (tmp_path / "s" / "x_mask.pgm").write_bytes(b"P5\n40 30\n255\n" + ((scan > 0) * np.uint8(8)).tobytes())
    pairs = [records.schema and pair for pair in find_pairs(tmp_path / "s")]
    pairs = [type(pair)(pair.stem, pair.scan, pair.mask, "val") for pair in pairs]
    manifest = records.write_records(pairs, TARGET, CONFIG, tmp_path)
    (patch,) = records.read_patches(tmp_path, manifest, "val")
    assert (patch.image == np.pad(scan, ((0, 34), (0, 24)), mode="symmetric")).all()
    assert (records.rebuild_scans(tmp_path, manifest, "val")["x"][0] == scan).all()


@pytest.mark.parametrize(
    "how",
    [
        (cv2.IMWRITE_PNG_COMPRESSION, 0),
        (cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_PAETH),
        (cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_ALL_FILTERS),
        (cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_FIXED),
        (cv2.IMWRITE_PNG_BILEVEL, 1),
    ],
    ids=str,
)
def test_records_of_any_png_are_read(how):
    levels = np.random.default_rng(0).integers(0, 256, (64, 64)).astype(np.uint8)
    levels = cv2.GaussianBlur(levels, (7, 7), 0)
    if how[0] == cv2.IMWRITE_PNG_BILEVEL:
        levels = np.where(levels > 127, 255, 0).astype(np.uint8)
    example = tf.train.Example.FromString(encode(Patch("a", Window(0, 0, 64, 64), levels, levels)))
    found = example.features.feature["image"].bytes_list
    ours, found.value[0] = found.value[0], cv2.imencode(".png", levels, how)[1].tobytes()
    assert found.value[0] != ours
    record = example.SerializeToString()
    assert (decode(record).image == levels).all()
    for pictures in parse(tf.constant([record, record]), 64):
        assert (pictures.numpy() == levels[..., None]).all()


def test_a_picture_with_fewer_pixels_than_it_claims_is_an_error():
    levels = np.full((64, 64), 220, np.uint8)
    example = tf.train.Example.FromString(encode(Patch("a", Window(0, 0, 64, 64), levels, levels)))
    found = example.features.feature["image"].bytes_list
    assert found.value[0][16:24] == bytes((0, 0, 0, 64, 0, 0, 0, 64))
    found.value[0] = found.value[0][:20] + bytes((0, 0, 0, 128)) + found.value[0][24:]
    with pytest.raises(ValueError, match="cannot reshape array of size 4160 into shape"):
        decode(example.SerializeToString())


def test_encode_is_deterministic():
    patch = Patch("a", Window(3, 4, 64, 64), np.full((64, 64), 9, np.uint8), np.eye(64, dtype=np.uint8))
    assert encode(patch) == encode(patch)


def test_the_manifest_names_sizes_and_digests_of_the_sources(tiny_records):
    values = json.loads((tiny_records / "manifest.json").read_text())
    assert [(source["stem"], source["split"], source["height"], source["width"]) for source in values["sources"]] == [
        ("a", "train", 200, 300),
        ("b", "train", 200, 300),
        ("c", "val", 200, 300),
        ("d", "test", 200, 300),
    ]
    assert len({source["scan_sha256"] for source in values["sources"]}) == 4
