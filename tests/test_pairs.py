import os
from pathlib import Path

import pytest

from plankton_keras.errors import InputError
from plankton_keras.pairs import find_pairs, find_scans, stem_of, survey


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
    (tmp_path / "link").symlink_to(tmp_path / "plain")
    first = tmp_path / "link" / "b.jpg"
    assert find_scans([first, tmp_path / "plain"]) == [first, tmp_path / "plain" / "a.tif"]


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


@pytest.mark.parametrize("inside", ["test/z_scan.ppm", "test/notes.txt"])
def test_scans_beside_folders_of_splits_are_refused_and_not_left_out(tmp_path, inside):
    touch(tmp_path, "a_scan.ppm", "a_mask.ppm", "b_scan.ppm", inside)
    for find in (find_pairs, lambda folder: find_scans([folder])):
        with pytest.raises(InputError) as caught:
            find(tmp_path)
        assert str(caught.value) == (
            f"{tmp_path} has the scan 'a_scan.ppm' beside the folders of splits.\n"
            "Expected: scans in the folder alone, or in train/, val/ and test/.\n"
            "Fix: move it into a split, or elsewhere."
        )
    assert [problem.what.split("'")[1] for problem in survey(tmp_path)[1]] == ["a_scan.ppm", "b_scan.ppm"]


def test_scans_of_any_name_beside_folders_of_splits_are_refused_where_theirs_are_of_any_name_too(tmp_path):
    touch(tmp_path, "x/overview.jpg", "x/notes.txt", "x/train/a_scan.png", "y/b.png", "y/train/a.png", "y/a_mask.png")
    assert [path.name for path in find_scans([tmp_path / "x"])] == ["a_scan.png"]
    assert survey(tmp_path / "x")[1] == []
    with pytest.raises(InputError, match=r"has the scan 'b\.png' beside"):
        find_scans([tmp_path / "y"])
    touch(tmp_path, "masks/a.png")
    assert [problem.what for problem in survey(tmp_path / "y", tmp_path / "masks")[1]] == [
        f"{tmp_path / 'y'} has the scan 'b.png' beside the folders of splits."
    ]


@pytest.mark.parametrize("name", ["a_scan.png", "a_mask.png", "test/a_scan.png", "test", "../b.png"])
def test_links_to_what_is_not_there_are_named(tmp_path, name):
    folder = tmp_path / "scans"
    touch(folder, "val/c_scan.png", "val/c_mask.png")
    if not name.startswith("test"):
        (folder / "val").rename(tmp_path / "val")
        touch(folder, "c_scan.png", "c_mask.png")
    link = folder / name
    link.parent.mkdir(exist_ok=True)
    nothing = tmp_path / "not" / "there.png"
    link.symlink_to(nothing)
    expected = (
        f"{link} is a link to {nothing}, which cannot be reached.\n"
        "Expected: what can be read.\nFix: mount the disk that it lies on, or remove it."
    )
    problems = [str(each) for each in survey(folder)[1]]
    assert problems == ([] if name == "../b.png" else [expected])
    if name != "a_mask.png":
        with pytest.raises(InputError) as caught:
            find_scans([link if name == "../b.png" else folder])
        assert str(caught.value) == expected


def test_a_folder_that_holds_links_to_nothing_alone_says_so_once(tmp_path):
    (tmp_path / "a_scan.png").symlink_to("gone.png")
    with pytest.raises(InputError, match="is a link to gone"):
        find_scans([tmp_path])
    assert [each.what.split(" ", 1)[1] for each in survey(tmp_path)[1]] == [
        "is a link to gone.png, which cannot be reached.",
        "holds no scan.",
    ]


def test_a_folder_that_may_not_be_listed_has_three_lines(tmp_path, monkeypatch):
    def forbidden(self):
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "iterdir", forbidden)
    for find in (find_pairs, lambda folder: find_scans([folder])):
        with pytest.raises(InputError, match="cannot be read: Permission denied"):
            find(tmp_path)


def test_folders_that_prediction_json_cannot_name_are_refused(tmp_path):
    folder = tmp_path / os.fsdecode(b"campagne_\xe9t\xe9")
    touch(folder, "a_scan.png")
    for find in (find_pairs, lambda path: find_scans([path]), lambda path: find_scans([path / "a_scan.png"])):
        with pytest.raises(InputError) as caught:
            find(folder)
        assert str(caught.value) == (
            f"The name {str(folder / 'a_scan.png')!a} has a character that cannot be written.\n"
            "Expected: letters, digits and signs in UTF-8.\nFix: rename the folder."
        )


def test_names_of_whose_scans_no_names_of_results_can_be_made_are_refused_before_work(tmp_path):
    touch(tmp_path, "good/" + 230 * "a" + ".png", "long/" + 115 * "é" + "a_scan.png")
    assert len(find_scans([tmp_path / "good"])) == 1
    with pytest.raises(InputError) as caught:
        find_scans([tmp_path / "long"])
    assert caught.value.parts[1:] == ("at most 230 bytes before _scan and the suffix.", "rename the file.")
    assert len(find_pairs(tmp_path / "long")) == 1
