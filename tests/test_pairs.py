from pathlib import Path

import pytest

from plankton_keras.errors import InputError
from plankton_keras.pairs import find_pairs, find_scans, stem_of


def touch(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def names(pairs):
    return [(pair.stem, pair.scan.name, pair.mask and pair.mask.name, pair.split) for pair in pairs]


def test_pairs_are_found_by_stem_and_not_by_order(tmp_path):
    touch(tmp_path, "b_scan.tif", "a_mask.png.ppm", "a_scan.png.ppm", "b_mask.gif", "c_scan.jpg", "notes.txt")
    assert names(find_pairs(tmp_path)) == [
        ("a", "a_scan.png.ppm", "a_mask.png.ppm", None),
        ("b", "b_scan.tif", "b_mask.gif", None),
        ("c", "c_scan.jpg", None, None),
    ]


def test_sub_folders_are_splits(tmp_path):
    touch(tmp_path, "val/b_scan.png", "val/b_mask.png", "train/a_scan.png", "train/a_mask.png", "test/c_scan.png")
    assert [(pair.split, pair.stem) for pair in find_pairs(tmp_path)] == [("train", "a"), ("val", "b"), ("test", "c")]


def test_masks_may_lie_in_a_folder_of_their_own(tmp_path):
    touch(tmp_path, "scans/a.png", "scans/b.png", "masks/a.gif", "masks/z.gif")
    assert names(find_pairs(tmp_path / "scans", tmp_path / "masks")) == [
        ("a", "a.png", "a.gif", None),
        ("b", "b.png", None, None),
    ]


def test_masks_in_the_folder_of_the_scans_may_be_named_too(tmp_path):
    touch(tmp_path, "007_scan.png", "007_mask.png", "008_mask.png")
    assert names(find_pairs(tmp_path, tmp_path)) == [("007", "007_scan.png", "007_mask.png", None)]


def test_a_mask_without_a_scan_is_refused(tmp_path):
    touch(tmp_path, "a_scan.png", "a_mask.png", "b_mask.png")
    with pytest.raises(InputError) as caught:
        find_pairs(tmp_path)
    assert str(caught.value) == (
        f"{tmp_path / 'b_mask.png'} has no scan.\nExpected: a scan b_scan.EXT.\nFix: add the scan, or remove the mask."
    )


def test_two_files_of_one_stem_are_refused(tmp_path):
    touch(tmp_path, "a_scan.png", "a_scan.tif", "a_mask.png")
    with pytest.raises(InputError, match="have the same name"):
        find_pairs(tmp_path)


def test_a_folder_without_scans_and_a_missing_one_are_refused(tmp_path):
    with pytest.raises(InputError, match="holds no scan"):
        find_pairs(tmp_path)
    touch(tmp_path, "scans/a_scan.png")
    with pytest.raises(InputError) as caught:
        find_pairs(tmp_path / "scnas")
    assert str(caught.value).startswith(f'{tmp_path / "scnas"} does not exist. Did you mean "scans"?\n')


def test_scans_to_predict_are_never_masks(tmp_path):
    touch(tmp_path, "a_scan.png", "a_mask.png", "other.png", "plain/a.tif", "plain/a_mask.tif", "plain/b.jpg")
    assert find_scans([tmp_path]) == [tmp_path / "a_scan.png"]
    assert find_scans([tmp_path / "plain"]) == [tmp_path / "plain" / "a.tif", tmp_path / "plain" / "b.jpg"]
    assert find_scans([tmp_path / "other.png", tmp_path / "other.png"]) == [tmp_path / "other.png"]


@pytest.mark.parametrize(
    ("name", "stem"),
    [("rg20090114_scan.png.ppm", "rg20090114"), ("x/y_mask.GIF", "y"), ("a.b.tif", "a.b"), ("no_suffix", "no_suffix")],
)
def test_stems(name, stem):
    assert stem_of(Path(name)) == stem


def test_one_stem_in_two_splits_is_refused(tmp_path):
    touch(tmp_path, "train/a_scan.png", "train/a_mask.png", "val/a_scan.png", "val/a_mask.png")
    with pytest.raises(InputError) as caught:
        find_pairs(tmp_path)
    assert str(caught.value) == (
        f"{tmp_path / 'train/a_scan.png'} and {tmp_path / 'val/a_scan.png'} have the same name.\n"
        "Expected: one file a scan.\n"
        "Fix: remove or rename one of them."
    )


def test_scans_to_predict_are_found_in_split_folders_and_each_name_once(tmp_path):
    touch(tmp_path, "x/val/a_scan.png", "x/test/b_scan.png", "y/a_scan.tif")
    assert [path.name for path in find_scans([tmp_path / "x"])] == ["a_scan.png", "b_scan.png"]
    with pytest.raises(InputError, match="have the same name"):
        find_scans([tmp_path / "x", tmp_path / "y"])


def test_hidden_files_are_no_scans(tmp_path):
    touch(tmp_path, "a_scan.png", "._a_scan.png", ".partial-b_scan.png")
    assert [path.name for path in find_scans([tmp_path])] == ["a_scan.png"]


def test_a_file_is_no_folder_of_pairs(tmp_path):
    touch(tmp_path, "a_scan.png")
    with pytest.raises(InputError, match="is a file"):
        find_pairs(tmp_path / "a_scan.png")


@pytest.mark.parametrize("stem", ["a\nb", "a\x1b[31m", "caf\udce9", "a\x7f", "tab\t"])
def test_names_that_no_table_can_hold_are_refused(tmp_path, stem):
    write_scan = tmp_path / f"{stem}_scan.png"
    write_scan.touch()
    expected = (
        f"The name {write_scan.name!a} has a character that cannot be written.\n"
        "Expected: letters, digits and signs in UTF-8.\nFix: rename the file."
    )
    for find in (find_pairs, lambda folder: find_scans([folder]), lambda folder: find_scans([write_scan])):
        with pytest.raises(InputError) as caught:
            find(tmp_path)
        assert str(caught.value) == expected
        expected.encode("ascii")


@pytest.mark.parametrize("stem", ["Été 2009", "a b", "=1", "日本", "a&b<c>"])
def test_other_names_are_taken(tmp_path, stem):
    (tmp_path / f"{stem}_scan.png").touch()
    assert [pair.stem for pair in find_pairs(tmp_path)] == [stem]
