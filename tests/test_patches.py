"""Rows of windows: cut at once, with the ids that stand in them."""

import numpy as np
import pytest
from conftest import tiny_scan, write_p5

from plankton_keras import patches
from plankton_keras.errors import InputError
from plankton_keras.patches import class_table, count_objects, cut_row, lookup_table, windows_of
from plankton_keras.scans import ArrayScan
from plankton_keras.taxa import Target, living_target
from plankton_keras.threads import ahead


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
    with pytest.raises(InputError, match=r"mask holds the id 7 and 1 other unknown ids."):
        lookup_table(target, {0, 7, 9}, "mask")


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
