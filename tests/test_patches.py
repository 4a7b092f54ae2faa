"""Rows of windows: cut at once, with the ids that stand in them; objects counted."""

import numpy as np
import pytest
from conftest import tiny_scan, write_p5

from plankton_keras import patches
from plankton_keras.config import RecordsConfig
from plankton_keras.errors import InputError
from plankton_keras.patches import (
    check_classes,
    class_pixels,
    class_table,
    count_objects,
    cut_row,
    is_kept,
    kept_rows,
    lookup_table,
    unit_hash,
    windows_of,
)
from plankton_keras.scans import ArrayScan
from plankton_keras.taxa import Target, living_target
from plankton_keras.threads import ahead
from plankton_keras.tiles import Window


def cut(size, row, height=200, width=300):
    image, ids = tiny_scan(0, height, width)
    table, windows = class_table(living_target()), windows_of(height, width, size)[row]
    return image, ids, cut_row(ArrayScan("a", image), ArrayScan("a", ids), windows, table)


@pytest.mark.parametrize("row", [0, 1, 2, 3])
def test_a_row_is_cut_to_what_scan_and_mask_hold(row):
    image, ids, (found, patches) = cut(64, row)
    top = patches[0][0].window.top
    assert found == set(np.unique(ids[top : top + 64]).tolist())
    for patch, has_object in patches:
        assert (patch.image == image[patch.window.slices]).all()
        assert (patch.mask == (ids[patch.window.slices] >= 8)).all()
        assert has_object == ids[patch.window.slices].any()
    assert any(has_object for _, has_object in patches) == ids[top : top + 64].any()


def test_where_everything_is_an_object_no_ground_is_found():
    ids = np.full((64, 64), 9, np.uint16)
    scan = ArrayScan("a", ids.astype(np.uint8))
    found, [(patch, has_object)] = cut_row(
        scan, ArrayScan("a", ids), windows_of(64, 64, 64)[0], class_table(living_target())
    )
    assert (found, has_object, patch.mask.min()) == ({9}, True, 1)


def test_what_lies_beyond_a_small_scan_is_its_mirror_image():
    image, ids, (_, [(patch, _)]) = cut(384, 0)
    pad = [(0, 184), (0, 84)]
    assert (patch.image == np.pad(image, pad, mode="symmetric")).all()
    assert (patch.mask == np.pad(ids >= 8, pad, mode="symmetric")).all()


def test_ids_without_a_class_are_an_error_only_where_they_stand():
    target = Target(("none", "some"), {0: 0, 300: 1})
    assert np.flatnonzero(class_table(target)).tolist() == [300]
    assert (lookup_table(target, {0, 300}, "mask") == class_table(target)).all()
    for ids, named in (
        ({0, 9, 7}, "7 and 1 other unknown ids."),
        ({7}, "7."),
        ({9, 8, 7}, "7 and 2 other unknown ids."),
    ):
        with pytest.raises(InputError) as caught:
            lookup_table(target, ids, "a_mask.png")
        assert str(caught.value) == (
            f"a_mask.png holds the id {named}\n"
            "Expected: ids that the class table lists.\n"
            "Fix: add them to taxa.csv (or to the file of --target)."
        )
    check_classes(target, {0, 300}, "mask")


def test_the_table_has_an_entry_for_each_id_of_16_bits():
    table = class_table(Target(("none", "some", "other"), {0: 2, 65535: 1}))
    assert (table.shape, table.dtype) == ((65536,), np.uint8)
    # Id 0 has a class of its own, and ids without one are 0.
    assert (table[0], table[1], table[65534], table[65535]) == (2, 0, 0, 1)


def test_ground_gets_the_class_of_id_0():
    ids = np.array([[0, 1], [0, 300]], np.uint16)
    table = class_table(Target(("none", "some", "other"), {0: 2, 1: 1, 300: 0}))
    found, [(patch, has_object)] = cut_row(
        ArrayScan("a", ids.astype(np.uint8)), ArrayScan("a", ids), windows_of(2, 2, 2)[0], table
    )
    assert (found, has_object, patch.scan, patch.window) == ({0, 1, 300}, True, "a", Window(0, 0, 2, 2))
    assert patch.mask.tolist() == [[2, 1], [2, 0]]
    assert (patch.mask.dtype, patch.image.dtype) == (np.uint8, np.uint8)


def test_windows_cover_rows_and_columns_and_the_last_is_moved_back():
    rows = windows_of(150, 64, 64)
    assert rows == [[Window(0, 0, 64, 64)], [Window(43, 0, 64, 64)], [Window(86, 0, 64, 64)]]


def test_a_hash_is_the_same_on_every_machine():
    # The first eight bytes that `sha256sum` gives of rg20090114/512/0.
    assert unit_hash("rg20090114", 512, 0) == 0x96640ACB3DF7D431 / 2**64
    assert unit_hash("rg20090114/512", 0) == unit_hash("rg20090114", 512, 0)


def test_empty_windows_of_training_scans_are_kept_by_their_hash_alone():
    key = ("scan", 0, 0)
    share = unit_hash(*key)
    assert not is_kept(False, "train", share, key)
    assert is_kept(False, "train", np.nextafter(share, 1), key)
    assert is_kept(True, "train", 0.0, key)
    assert is_kept(False, "test", 0.0, key)


@pytest.mark.parametrize("split", ["train", "val"])
def test_kept_are_windows_with_objects_and_a_share_of_the_empty_ones_of_training_scans(split):
    image, ids = tiny_scan(0, 200, 300)
    config = RecordsConfig(patch_size=64, ground_keep=0.5, seed=3)
    rows = list(kept_rows(ArrayScan("a", image), ArrayScan("a", ids), class_table(living_target()), config, split))
    windows = windows_of(200, 300, 64)
    assert [found for found, _ in rows] == [set(np.unique(ids[row[0].top : row[0].top + 64])) for row in windows]
    filled = {window for row in windows for window in row if ids[window.slices].any()}
    drawn = {window for row in windows for window in row if unit_hash(3, "a", window.top, window.left) < 0.5}
    everything = {window for row in windows for window in row}
    assert all((drawn - filled, filled - drawn, everything - drawn - filled))
    wanted = drawn | filled if split == "train" else everything
    assert [[patch.window for patch in found] for _, found in rows] == [
        [window for window in row if window in wanted] for row in windows
    ]


def test_pixels_are_counted_by_class_and_the_rest_is_ground():
    assert class_pixels(np.array([[0, 3], [3, 1]], np.uint8), 5).tolist() == [1, 1, 0, 2, 0]
    assert class_pixels(np.zeros((2, 3), np.uint8), 1).tolist() == [6]


def counted(tmp_path, rows, band, monkeypatch):
    monkeypatch.setattr(patches, "COUNT_BAND", band)
    write_p5(tmp_path / "a_mask.pgm", np.array([[int(pixel) for pixel in row] for row in rows], np.uint16))
    return count_objects([tmp_path / "a_mask.pgm"])


@pytest.mark.parametrize("band", [1, 2, 3, 4, 1024])
def test_objects_are_8_connected_pixels_of_one_id_whatever_the_bands(tmp_path, monkeypatch, band):
    rows = [
        "1000020",
        "0100020",
        "0010330",
        "0000003",
        "1110000",
        "0000022",
    ]
    # 1: a diagonal line and a bar apart from it; 2: a line and a bar; 3: one, that touches the line of another id.
    assert counted(tmp_path, rows, band, monkeypatch) == {1: 2, 2: 2, 3: 1}


@pytest.mark.parametrize("band", [1, 2, 1024])
def test_objects_that_end_above_a_band_are_not_those_that_begin_in_it(tmp_path, monkeypatch, band):
    rows = [
        "1100000",
        "0000000",
        "1100110",
        "1100110",
    ]
    assert counted(tmp_path, rows, band, monkeypatch) == {1: 3}


@pytest.mark.parametrize("band", [1, 1024])
def test_a_band_goes_on_from_above_to_either_side(tmp_path, monkeypatch, band):
    # What touches by a corner is one object, though no column has pixels of both rows.
    assert counted(tmp_path, ["0100", "1000"], band, monkeypatch) == {1: 1}
    assert counted(tmp_path, ["0100", "0010"], band, monkeypatch) == {1: 1}
    assert counted(tmp_path, ["0100", "0001"], band, monkeypatch) == {1: 2}


def test_counts_of_several_masks_add_up(tmp_path):
    for name, ids in (("a", [[1, 0, 1]]), ("b", [[1, 0, 7]]), ("c", [[0, 0, 0]])):
        write_p5(tmp_path / f"{name}.pgm", np.array(ids, np.uint16))
    assert count_objects([tmp_path / f"{name}.pgm" for name in "abc"]) == {1: 3, 7: 1}
    assert count_objects([]) == {}


def test_what_is_read_ahead_is_one_item_and_its_errors_are_those_of_who_takes():
    read = []

    def items():
        for index in range(3):
            read.append(index)
            yield index
        raise InputError("cut off.", "more.", "copy it.")

    taken = ahead(items())
    assert next(taken) == 0
    assert next(taken) == 1
    assert max(read) <= 2
    assert next(taken) == 2
    with pytest.raises(InputError, match="cut off"):
        next(taken)


def test_objects_are_counted_where_they_begin_however_they_go_on_into_the_next_band(tmp_path, monkeypatch):
    monkeypatch.setattr(patches, "COUNT_BAND", 2)
    ids = np.zeros((6, 9), np.uint16)
    # Lines into the next band: to the left, straight down, and to the right.
    ids[[1, 2], [1, 0]], ids[1:5, 4], ids[[1, 2], [7, 8]] = 8, 9, 10
    ids[[0, 3], [3, 2]] = 65535
    write_p5(tmp_path / "a_mask.pgm", ids)
    assert count_objects([tmp_path / "a_mask.pgm"]) == {8: 1, 9: 1, 10: 1, 65535: 2}
