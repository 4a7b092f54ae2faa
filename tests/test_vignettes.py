"""vignettes: squared with white around them, and found by folders named after classes."""

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from plankton_keras.cli import main
from plankton_keras.errors import InputError
from plankton_keras.vignettes import (
    Labelled,
    find_vignettes,
    is_vignette_folder,
    living_by_name,
    load_vignettes,
    read_vignette,
    split_folders,
    squared,
)


def touch(folder, *names):
    """Files whose bytes are their own name, so that no two are equal."""
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)


def draw(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), pixels)
    return path


def noise(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width)).astype(np.uint8)


@pytest.mark.parametrize("size", [1, 7, 32])
def test_a_square_picture_of_the_size_is_left_as_it_is(size):
    assert (squared(noise(size, size), size) == noise(size, size)).all()


def test_a_picture_whose_longer_side_is_the_size_is_only_padded_with_white():
    # 5 - 2 = 3 rows to add: 1 above, 2 below.
    expected = np.full((5, 5), 255, np.uint8)
    expected[1:3] = noise(2, 5)
    assert (squared(noise(2, 5), 5) == expected).all()
    assert (squared(noise(2, 5).T, 5) == expected.T).all()


def test_a_black_bar_keeps_its_aspect_when_it_is_scaled_down():
    # 20 x 40 to 8: scale 1/5, so 4 rows of 8; 2 rows of white on either side.
    result = squared(np.zeros((20, 40), np.uint8), 8)
    assert (result == np.repeat([255, 0, 255], [2, 4, 2])[:, None]).all()


@pytest.mark.parametrize("shape", [(1, 1), (7, 3), (3, 8), (31, 18), (33, 64), (101, 37), (1, 500)])
@pytest.mark.parametrize("size", [32, 45])
def test_the_black_share_of_the_square_is_that_of_the_picture(shape, size):
    result = squared(np.zeros(shape, np.uint8), size)
    assert (result.shape, result.dtype) == ((size, size), np.uint8)
    share = shape[0] * shape[1] / max(shape) ** 2
    assert 1 - result.mean() / 255 == pytest.approx(share, abs=0.005)


def test_a_folder_of_scans_is_no_vignette_folder(tmp_path):
    touch(tmp_path, "a/1_scan.png", "a/1_mask.png", "b/train/1_scan.png", "b/val/2_scan.png")
    touch(tmp_path, "c/1_scan.png", "c/x/1.png", "c/y/2.png")
    assert [is_vignette_folder(tmp_path / name) for name in ("a", "b", "c", "missing")] == [False] * 4
    assert not is_vignette_folder(tmp_path / "a" / "1_scan.png")


def test_scans_in_folders_of_splits_are_no_vignettes_whatever_lies_beside_them(tmp_path):
    touch(tmp_path, "train/a_scan.png", "train/a_mask.png", "val/b_scan.png", "val/b_mask.png", "previews/x.jpg")
    assert not is_vignette_folder(tmp_path)
    touch(tmp_path, "classes/train/1.png", "classes/previews/x.jpg")
    assert is_vignette_folder(tmp_path / "classes")


def test_two_classes_are_a_vignette_folder_and_one_is_not(tmp_path):
    touch(tmp_path, "one/copepod/1.jpg", "two/copepod/1.jpg", "two/detritus/2.TIF", "two/taxa.csv", "two/.cache/x.txt")
    touch(tmp_path, "none/copepod/1.txt", "none/detritus/2.txt")
    assert [is_vignette_folder(tmp_path / name) for name in ("one", "two", "none")] == [False, True, False]


def test_classes_below_splits_are_a_vignette_folder(tmp_path):
    touch(tmp_path, "train/copepod/1.png", "train/detritus/2.png", "val/copepod/3.png")
    assert is_vignette_folder(tmp_path)


@pytest.mark.parametrize("name", ["mask", "masks"])
def test_scans_beside_their_masks_are_no_vignette_folder(tmp_path, name):
    touch(tmp_path, "scans/1.png", "scans/2.png", f"{name}/1.png", f"{name}/2.png")
    assert not is_vignette_folder(tmp_path)


def test_a_folder_without_pictures_beside_two_classes_does_not_matter(tmp_path):
    touch(tmp_path, "a notes/x.txt", "copepod/1.png", "detritus/2.png")
    assert is_vignette_folder(tmp_path)


def test_a_class_may_be_called_like_a_split(tmp_path):
    touch(tmp_path, "test/1.png", "copepod/2.png")
    assert {each.label for each in find_vignettes(tmp_path, val_fraction=0)} == {"test", "copepod"}
    assert split_folders(tmp_path) == []


def test_hidden_folders_are_no_classes(tmp_path):
    touch(tmp_path, "train/a/1.png", "train/b/2.png", "train/.cache/3.png", ".git/4.png")
    assert {each.label for each in find_vignettes(tmp_path, val_fraction=0)} == {"a", "b"}


def test_classes_beside_splits_are_refused_not_dropped(tmp_path):
    touch(tmp_path, "train/a/1.png", "train/b/2.png", "c/3.png")
    with pytest.raises(InputError) as caught:
        find_vignettes(tmp_path, val_fraction=0.2)
    assert str(caught.value) == (
        f"{tmp_path} has the folder 'c' beside those of splits.\n"
        "Expected: folders of classes alone, or in train/, val/ and test/.\n"
        "Fix: move it into a split, or elsewhere."
    )


def test_sub_folders_give_the_split_and_the_class(tmp_path):
    touch(tmp_path, "train/b/2.png", "train/b/1.jpg", "train/a/3.bmp", "val/a/4.tiff", "test/b/5.jpeg", "train/a/x.txt")
    found = find_vignettes(tmp_path, val_fraction=0.9)
    assert sorted((each.split, each.label, each.path.name) for each in found) == [
        ("test", "b", "5.jpeg"),
        ("train", "a", "3.bmp"),
        ("train", "b", "1.jpg"),
        ("train", "b", "2.png"),
        ("val", "a", "4.tiff"),
    ]


def test_without_splits_vignettes_come_by_class_and_name(tmp_path):
    touch(tmp_path, "b/1.png", "a/2.png", "a/10.png")
    assert find_vignettes(tmp_path, val_fraction=0) == [
        Labelled(tmp_path / "a" / "10.png", "a", "train"),
        Labelled(tmp_path / "a" / "2.png", "a", "train"),
        Labelled(tmp_path / "b" / "1.png", "b", "train"),
    ]


def test_the_name_of_the_folder_itself_is_no_split(tmp_path):
    touch(tmp_path / "test", "a/1.png", "b/2.png")
    assert {each.split for each in find_vignettes(tmp_path / "test", val_fraction=0)} == {"train"}


def test_equal_files_of_different_names_and_classes_go_to_the_same_split(tmp_path):
    touch(tmp_path, *(f"a/{index}.png" for index in range(40)))
    for path in sorted((tmp_path / "a").iterdir()):
        for copy in (tmp_path / "b" / f"copy of {path.name}", tmp_path / "a" / f"again {path.name}"):
            copy.parent.mkdir(exist_ok=True)
            copy.write_bytes(path.read_bytes())
    splits = {}
    for each in find_vignettes(tmp_path, val_fraction=0.5):
        splits.setdefault(each.path.read_bytes(), []).append(each.split)
    assert all(len(names) == 3 and len(set(names)) == 1 for names in splits.values())
    assert {names[0] for names in splits.values()} == {"train", "val"}


def test_the_share_of_validation_is_about_what_was_asked_and_grows_by_adding(tmp_path):
    touch(tmp_path, *(f"{label}/{index}.png" for label in "ab" for index in range(200)))

    def validation(share):
        return {each.path for each in find_vignettes(tmp_path, share) if each.split == "val"}

    # 400 draws: three standard deviations at 0.25 are 26 files.
    assert len(validation(0)) == 0
    assert 74 <= len(validation(0.25)) <= 126
    assert validation(0.1) < validation(0.25)


def test_the_seed_decides_which_vignettes_are_for_validation(tmp_path):
    touch(tmp_path, *(f"{label}/{index}.png" for label in "ab" for index in range(50)))

    def validation(seed):
        return {each.path for each in find_vignettes(tmp_path, 0.5, seed) if each.split == "val"}

    assert validation(0) == {each.path for each in find_vignettes(tmp_path, 0.5) if each.split == "val"}
    assert validation(1) == validation(1)
    # Of 100 draws by two seeds 25 are expected in both, with a standard deviation of 4.3.
    assert 10 <= len(validation(0) & validation(1)) <= 40
    assert 10 <= len(validation(2) & validation(1)) <= 40
    for seed in range(3):
        words = [str(tmp_path), "--out", str(tmp_path / "r"), "--val-fraction", "0.5", "--seed", str(seed), "--dry-run"]
        assert f"val: {len(validation(seed))} vignettes" in CliRunner().invoke(main, ["make-tfrecords", *words]).stdout


def test_pictures_below_a_class_are_said_to_be_left_out(tmp_path, caplog):
    touch(tmp_path, "a/1.png", "b/2.png", "b/notes/x.txt")
    assert len(find_vignettes(tmp_path, val_fraction=0)) == 2
    assert caplog.messages == []
    touch(tmp_path, "a/young/3.png", "a/young/4.png", "c/d/5.png")
    assert len(find_vignettes(tmp_path, val_fraction=0)) == 2
    assert caplog.messages == [
        f"{tmp_path / 'a' / 'young'} and 1 other: pictures below the folder of a class are left out"
    ]
    touch(tmp_path / "more", "train/a/1.png", "val/b/2.png", "val/b/old/3.png")
    caplog.clear()
    assert len(find_vignettes(tmp_path / "more", val_fraction=0)) == 2
    assert caplog.messages == [
        f"{tmp_path / 'more' / 'val' / 'b' / 'old'}: pictures below the folder of a class are left out"
    ]


def test_fewer_than_two_classes_are_refused(tmp_path):
    touch(tmp_path, "train/a/1.png", "val/a/2.png", "val/b/2.txt")
    with pytest.raises(InputError) as caught:
        find_vignettes(tmp_path, val_fraction=0.2)
    assert str(caught.value) == (
        f"{tmp_path} has fewer than two classes of vignettes.\n"
        "Expected: folders named after classes, with pictures in them: CLASS/NAME.jpg.\n"
        "Fix: check the path."
    )


@pytest.mark.parametrize("content", [b"", b"no picture"])
def test_what_is_no_picture_is_refused_by_name(tmp_path, content):
    (tmp_path / "a.jpg").write_bytes(content)
    with pytest.raises(InputError) as caught:
        read_vignette(tmp_path / "a.jpg")
    assert str(caught.value) == (
        f"{tmp_path / 'a.jpg'} is no picture.\n"
        "Expected: JPEG, PNG, TIFF or BMP.\n"
        "Fix: remove the file or export it anew."
    )


@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
def test_what_is_transparent_is_ground(tmp_path, depth):
    full = np.iinfo(depth).max
    pixels = np.zeros((1, 3, 4), depth)
    pixels[0, :, 3] = 0, full, full // 5
    # A fifth of black over white: 255 - 255 / 5.
    assert read_vignette(draw(tmp_path / "a.png", pixels)).tolist() == [[255, 0, 204]]


def test_a_split_without_vignettes_is_refused():
    with pytest.raises(InputError) as caught:
        load_vignettes([], ("a", "b"), 16)
    assert str(caught.value) == (
        "There are no vignettes of this split.\nExpected: at least one.\nFix: choose another --split or another folder."
    )


def test_loaded_vignettes_have_the_labels_of_the_given_classes(tmp_path):
    draw(tmp_path / "a" / "1.png", noise(16, 8, seed=1))
    draw(tmp_path / "b" / "2.png", noise(24, 48, seed=2))
    images, sides, labels = load_vignettes(find_vignettes(tmp_path, val_fraction=0), ("b", "other", "a"), 16)
    assert (images.dtype, sides.dtype, labels.dtype) == (np.uint8, np.float32, np.int32)
    assert images.shape == (2, 16, 16, 1)
    assert (images[0, ..., 0] == squared(noise(16, 8, seed=1), 16)).all()
    assert (images[1, ..., 0] == squared(noise(24, 48, seed=2), 16)).all()
    assert (sides.tolist(), labels.tolist()) == ([[16], [48]], [2, 0])


@pytest.mark.parametrize(("classes", "more"), [(("b", "c"), "."), (("c",), ", and 1 more.")])
def test_a_class_that_the_model_does_not_know_is_refused(tmp_path, classes, more):
    found = [Labelled(tmp_path / "1.png", "b", "train"), Labelled(tmp_path / "2.png", "a", "train")]
    with pytest.raises(InputError) as caught:
        load_vignettes(found, classes, 16)
    assert str(caught.value) == (
        f"The class 'a' is unknown to the model{more}\n"
        f"Expected: the {len(classes)} classes that it was trained on.\n"
        "Fix: rename or remove the folder."
    )


def test_what_is_alive_stands_in_taxa_csv_in_the_folder_or_beside_it(tmp_path):
    folder = tmp_path / "vignettes"
    folder.mkdir()
    assert living_by_name(folder, ["copepod"]) is None
    (tmp_path / "taxa.csv").write_text("id,name,living\n1,detritus,0\n8,copepod,1\n9,salp,1\n")
    assert living_by_name(folder, ["copepod", "detritus"]) == {"copepod": True, "detritus": False}
    (folder / "taxa.csv").write_text("id,name,living\n1,copepod,0\n")
    assert living_by_name(folder, ["copepod"]) == {"copepod": False}


def test_a_class_that_lives_in_one_line_and_not_in_another_is_refused(tmp_path):
    (tmp_path / "taxa.csv").write_text("id,name,living\n1,salp,0\n8,copepod,1\n9,salp,1\n10,copepod,1\n")
    assert living_by_name(tmp_path, ["copepod"]) == {"copepod": True}
    with pytest.raises(InputError) as caught:
        living_by_name(tmp_path, ["copepod", "salp"])
    assert str(caught.value) == (
        f"{tmp_path.resolve() / 'taxa.csv'} says of the class 'salp' both that it lives and that it does not.\n"
        "Expected: one value of living for a class.\n"
        "Fix: correct one of the lines, or name the two apart."
    )


@pytest.mark.parametrize(("names", "more"), [(["copepod", "salp"], "."), (["squid", "salp"], " and 1 more.")])
def test_a_class_without_a_line_in_taxa_csv_is_refused(tmp_path, names, more):
    (tmp_path / "taxa.csv").write_text("id,name,living\n8,copepod,1\n")
    with pytest.raises(InputError) as caught:
        living_by_name(tmp_path, names)
    assert str(caught.value) == (
        f"{tmp_path.resolve() / 'taxa.csv'} has no line for the class 'salp'{more}\n"
        "Expected: a line id,name,living for each folder of vignettes.\n"
        "Fix: add it."
    )
