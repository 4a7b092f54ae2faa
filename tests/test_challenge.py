"""The challenge's CSV, both ways: against strings built bit by bit, over widths and both paddings, and its errors."""

import csv
import tracemalloc

import cv2
import numpy as np
import pytest

from plankton_keras.challenge import decode, encode, read_csv, write_csv
from plankton_keras.errors import InputError
from plankton_keras.scans import BAND

HERE = "write it anew with plankton submit."


def by_hand(row, padding):
    """One row as the course's code has it: text of 0 and 1, six at a time."""
    text = "".join(str(int(pixel > 0)) for pixel in row)
    rest = len(text) % 6
    text += "0" * (6 - rest if rest or padding == "always" else 0)
    return "".join(chr(48 + int(text[at : at + 6], 2)) for at in range(0, len(text), 6))


def random_mask(height, width, seed=0, classes=2):
    return np.random.default_rng(seed).integers(0, classes, (height, width), np.uint8)


def write_mask(path, mask):
    assert cv2.imwrite(str(path), mask)
    return path


def ids_of(count):
    return [f"a_mask.png.ppm_{row}" for row in range(count)]


def error_of(function, *arguments):
    with pytest.raises(InputError) as caught:
        function(*arguments)
    return str(caught.value).splitlines()


@pytest.mark.parametrize(
    ("bits", "always", "needed"),
    [
        ("111100", "l0", "l"),
        ("1111", "l", "l"),
        ("000000", "00", "0"),
        ("111111", "o0", "o"),
        ("1", "P", "P"),
        ("0000001", "0P", "0P"),
        ("100000000001", "P10", "P1"),
    ],
)
def test_rows_known_by_hand(bits, always, needed):
    row = np.array([[int(bit) for bit in bits]], np.uint8)
    assert (encode(row), encode(row, "needed")) == ([always], [needed])
    assert decode([always], len(bits), ids_of(1)).tolist() == decode([needed], len(bits), ids_of(1)).tolist()
    assert decode([always], len(bits), ids_of(1)).tolist() == row.tolist()


@pytest.mark.parametrize("padding", ["always", "needed"])
@pytest.mark.parametrize("width", [1, 5, 6, 7, 11, 12, 13, 24, 59, 60, 61])
def test_bands_of_any_width_go_there_and_back(width, padding):
    mask = random_mask(9, width, seed=width)
    targets = encode(mask * 7, padding)
    assert targets == [by_hand(row, padding) for row in mask]
    assert np.array_equal(decode(targets, width, ids_of(9)), mask)


def test_rows_of_both_paddings_may_stand_side_by_side():
    assert decode(["l", "l0"], 6, ids_of(2)).tolist() == [[1, 1, 1, 1, 0, 0]] * 2


def test_every_damage_of_a_row_names_it():
    ids = ids_of(2)
    belongs = "Fix: check that the mask belongs to the scan."
    short = ["a_mask.png.ppm_1 has 1 characters.", "Expected: 2 or 3 for a width of 12 pixels.", belongs]
    assert error_of(decode, ["00", "0"], 12, ids) == short
    long = ["a_mask.png.ppm_0 has 4 characters.", "Expected: 3 for a width of 13 pixels.", belongs]
    assert error_of(decode, ["0000", "000"], 13, ids) == long
    beyond = ["a_mask.png.ppm_1 has pixels beyond the width of 4.", "Expected: zeros after the last pixel.", belongs]
    assert error_of(decode, ["l", "m"], 4, ids) == beyond
    # One more character is taken for padding, but only if it is empty.
    assert error_of(decode, ["l0", "l1"], 6, ids)[0] == "a_mask.png.ppm_1 has pixels beyond the width of 6."
    for wrong in ("/", "p", "\x00", "\ufffd", "\N{GRINNING FACE}"):
        message = [f"a_mask.png.ppm_1 has the character {wrong!r}.", "Expected: characters from '0' to 'o'."]
        assert error_of(decode, ["00", "0" + wrong], 12, ids) == [*message, f"Fix: {HERE}"]


def test_the_file_is_what_the_challenge_takes_byte_for_byte(tmp_path):
    write_mask(tmp_path / "rg1_mask.png", np.array([[1, 1, 1, 1, 0, 0], [0, 0, 0, 0, 0, 3]], np.uint8))
    said = write_csv(tmp_path / "s.csv", [tmp_path / "rg1_mask.png"])
    assert (tmp_path / "s.csv").read_bytes() == (b'Id,Target\nrg1_mask.png.ppm_0,"l0"\nrg1_mask.png.ppm_1,"10"\n')
    assert said == [{"scan": "rg1", "width_px": 6, "height_px": 2, "living_share": 0.416667}]


@pytest.mark.parametrize("padding", ["always", "needed"])
def test_several_masks_of_several_bands_go_through_a_file(tmp_path, padding):
    masks = {"a": random_mask(BAND + 3, 31, 1, classes=3), "b": random_mask(2 * BAND, 12, 2), "c": random_mask(1, 1, 3)}
    paths, seen = [write_mask(tmp_path / f"{stem}_mask.png", mask) for stem, mask in masks.items()], []
    write_csv(tmp_path / "s.csv", paths, padding, lambda *done: seen.append(done))
    assert seen == [(1, 3), (2, 3), (3, 3)]
    with open(tmp_path / "s.csv", newline="") as file:
        lines = list(csv.reader(file))
    assert len(lines) == 1 + sum(map(len, masks.values()))
    assert lines[1 + BAND + 2] == [f"a_mask.png.ppm_{BAND + 2}", by_hand(masks["a"][-1], padding)]
    read = {stem: np.zeros_like(mask) for stem, mask in masks.items()}
    for stem, top, band in read_csv(tmp_path / "s.csv", {stem: mask.shape[1] for stem, mask in masks.items()}):
        read[stem][top : top + len(band)] = band
    assert all(np.array_equal(read[stem], mask > 0) for stem, mask in masks.items())


def test_only_the_scans_asked_for_are_read_whatever_they_are_called_and_however_they_lie(tmp_path):
    # Other tools name the rows after the scan, or quote everything, or end lines as Windows does.
    text = "Id,Target\r\n" + "".join(
        f'"{stem}_scan.png.ppm_{row}","{target}"\r\n'
        for stem, row, target in [("a", 0, "l"), ("b", 0, "?!"), ("a", 1, "0"), ("a", 2, "o")]
    )
    (tmp_path / "s.csv").write_text(text, encoding="utf-8-sig", newline="")
    bands = [(stem, top, band.tolist()) for stem, top, band in read_csv(tmp_path / "s.csv", {"a": 6})]
    assert bands == [("a", 0, [[1, 1, 1, 1, 0, 0]]), ("a", 1, [[0] * 6, [1] * 6])]


@pytest.mark.parametrize(
    ("text", "what", "expected"),
    [
        ("", "does not start with Id,Target.", "these two columns."),
        ("id,mask\n", "does not start with Id,Target.", "these two columns."),
        ("Id,Target\na_mask.png.ppm_0\n", ", line 2: no row of a mask.", 'STEM_mask.png.ppm_ROW,"TARGET".'),
        ("Id,Target\na_mask.png.ppm_x,0\n", ", line 2: no row of a mask.", 'STEM_mask.png.ppm_ROW,"TARGET".'),
        (
            "Id,Target\na_mask.png.ppm_0,0\na_mask.png.ppm_2,0\n",
            ", line 3: a_mask.png.ppm_2 comes after 1 rows.",
            "the rows of each mask from 0, in order.",
        ),
        (
            "Id,Target\na_mask.png.ppm_0,0\na_mask.png.ppm_0,0\n",
            ", line 3: a_mask.png.ppm_0 comes after 1 rows.",
            "the rows of each mask from 0, in order.",
        ),
        (
            f"Id,Target\na_mask.png.ppm_0,{'0' * 200_000}\n",
            ", line 2: field larger than field limit (131072).",
            "a CSV file.",
        ),
    ],
)
def test_other_files_are_refused_by_line(tmp_path, text, what, expected):
    path = tmp_path / "s.csv"
    path.write_text(text)
    said = error_of(lambda: list(read_csv(path, {"a": 6})))
    gap = "" if what.startswith(",") else " "
    assert said == [f"{path}{gap}{what}", f"Expected: {expected}", f"Fix: {HERE}"]


def test_a_file_that_is_not_there(tmp_path):
    said = error_of(lambda: list(read_csv(tmp_path / "s.csv", {})))
    assert said[0] == f"{tmp_path / 's.csv'} does not exist."


def test_a_bad_mask_leaves_no_file(tmp_path):
    good, bad = write_mask(tmp_path / "a_mask.png", random_mask(5, 5)), tmp_path / "b_mask.png"
    bad.write_bytes(b"no image at all")
    with pytest.raises(InputError):
        write_csv(tmp_path / "s.csv", [good, bad])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a_mask.png", "b_mask.png"]


def test_memory_does_not_grow_with_the_height_of_a_mask(tmp_path):
    path, height = tmp_path / "a_mask.pgm", 64 * BAND
    path.write_bytes(b"P5 1200 %d 255\n" % height + bytes(1200 * height))
    tracemalloc.start()
    write_csv(tmp_path / "s.csv", [path])
    for _ in read_csv(tmp_path / "s.csv", {"a": 1200}):
        pass
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # How many of the 64 bands are read ahead depends on the scheduler.
    assert peak < 1200 * height / 4
