import logging

import cv2
import numpy as np
import pytest
import tifffile

from plankton_keras.errors import InputError
from plankton_keras.pairs import ScanPair
from plankton_keras.scans import check_ids, gray_limits, open_mask, open_pair, open_scan, read_padded
from plankton_keras.tiles import Window

ALL = Window(0, 0, 60, 80)


def test_a_16_bit_scan_becomes_8_bits_by_the_rule_of_zooprocess(tmp_path, caplog):
    deep = np.full((60, 80), 40000, np.uint16)
    deep[10, 10], deep[11, 11] = 551, 20000
    tifffile.imwrite(tmp_path / "a.tif", deep)
    with open_scan(tmp_path / "a.tif") as scan:
        gray = scan.read(ALL)
    # median 40000: high = floor(46000) = 46000, low = floor(40000 / 72.5599) = 551;
    # ground (40000 - 551) * 256 / 45450 + 0.5 = 222.7; 20000 gives 110.05; 551 gives 0.5.
    assert (gray[0, 0], gray[11, 11], gray[10, 10]) == (222, 110, 0)
    assert caplog.messages == [f"{tmp_path / 'a.tif'} has 16 bits: gray levels 551 to 46000 become 0 to 255"]


def test_a_gray_range_of_ones_own_replaces_the_rule(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.array([[0, 100, 150, 199, 500]], np.uint16))
    with open_scan(tmp_path / "a.tif", (100, 199)) as scan:
        # 100 gray levels become 256: 2.56 each, rounded.
        assert scan.read(Window(0, 0, 1, 5)).tolist() == [[0, 0, 128, 253, 255]]


def test_the_limits_saturate_at_16_bits():
    assert gray_limits(65535) == (903, 65536)


def test_the_white_of_a_netpbm_scan_is_255_and_the_ids_of_its_mask_stay(tmp_path, caplog):
    path = tmp_path / "a.pgm"
    path.write_bytes(b"P5 4 1 100 " + bytes([0, 50, 90, 100]))
    with open_scan(path) as scan, open_mask(path) as mask:
        assert scan.read(Window(0, 0, 1, 4)).tolist() == [[0, 128, 230, 255]]
        assert mask.read(Window(0, 0, 1, 4)).tolist() == [[0, 50, 90, 100]]
    assert f"{path} has gray levels 0 to 100: they become 0 to 255" in caplog.text


def test_a_gray_range_for_8_bits_is_said_and_not_applied(tmp_path, caplog):
    cv2.imwrite(str(tmp_path / "a.png"), np.full((60, 80), 99, np.uint8))
    with open_scan(tmp_path / "a.png", (1, 2)) as scan:
        assert (scan.read(ALL) == 99).all()
    assert caplog.messages == [f"{tmp_path / 'a.png'} has 8 bits: --gray-range is not applied"]


def test_a_coloured_scan_becomes_gray_and_says_so(tmp_path, caplog):
    blue_green_red = np.zeros((60, 80, 3), np.uint8)
    blue_green_red[..., 2] = 200
    cv2.imwrite(str(tmp_path / "a.png"), blue_green_red)
    with open_scan(tmp_path / "a.png") as scan:
        # Red weighs 0.299 in ITU-R BT.601.
        assert (scan.read(ALL) == 60).all()
    assert caplog.messages == [f"{tmp_path / 'a.png'} is in colour: it is converted to gray"]


def test_opacity_is_left_out(tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), np.full((60, 80, 4), (70, 70, 70, 3), np.uint8))
    with open_scan(tmp_path / "a.png") as scan:
        assert (scan.read(ALL) == 70).all()


def test_ids_of_a_mask_are_counted(tmp_path):
    mask = np.zeros((1300, 80), np.uint16)
    mask[600:700, 10:20], mask[1299, 79] = 134, 65535
    cv2.imwrite(str(tmp_path / "m.png"), mask)
    with open_mask(tmp_path / "m.png") as opened:
        assert opened.ids() == {0: 1300 * 80 - 1001, 134: 1000, 65535: 1}


def test_swapped_bytes_are_told_from_real_ids():
    check_ids({0: 5, 256: 1, 8: 1}, "m")
    check_ids({0: 5}, "m")
    with pytest.raises(InputError, match=r"m holds only ids that are multiples of 256, such as 2048: byte order\?"):
        check_ids({0: 5, 2048: 1, 2304: 2}, "m")


def test_a_jpeg_mask_is_refused(tmp_path):
    cv2.imwrite(str(tmp_path / "m.jpg"), np.zeros((60, 80), np.uint8))
    with pytest.raises(InputError) as caught:
        open_mask(tmp_path / "m.jpg")
    assert str(caught.value) == (
        f"{tmp_path / 'm.jpg'} is compressed as JPEG is, which changes the ids of a mask.\n"
        "Expected: PNG, TIFF, BMP, GIF or netpbm.\n"
        "Fix: export it anew."
    )


def test_a_mask_in_gray_colours_is_read_and_one_in_real_colours_refused(tmp_path):
    cv2.imwrite(str(tmp_path / "gray.png"), np.full((60, 80, 3), 8, np.uint8))
    cv2.imwrite(str(tmp_path / "red.png"), np.full((60, 80, 3), (0, 0, 8), np.uint8))
    with open_mask(tmp_path / "gray.png") as mask:
        assert mask.ids() == {8: 4800}
    with open_mask(tmp_path / "red.png") as mask, pytest.raises(InputError, match=r"red.png is a coloured mask."):
        mask.ids()


def test_a_mask_of_another_size_is_refused_with_both_sizes(tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((60, 80), np.uint8))
    cv2.imwrite(str(tmp_path / "m.png"), np.zeros((60, 81), np.uint8))
    with pytest.raises(InputError) as caught:
        open_pair(ScanPair("a", tmp_path / "a.png", tmp_path / "m.png", None))
    assert str(caught.value) == (
        f"{tmp_path / 'a.png'} has 80 x 60 pixels, but {tmp_path / 'm.png'} has 81 x 60.\n"
        "Expected: a mask of the scan's size.\n"
        "Fix: check which mask belongs to the scan."
    )


def test_reading_beyond_a_small_scan_mirrors_it(tmp_path):
    pixels = np.arange(6, dtype=np.uint8).reshape(2, 3)
    cv2.imwrite(str(tmp_path / "a.png"), pixels)
    with open_scan(tmp_path / "a.png") as scan:
        assert (read_padded(scan, Window(0, 0, 7, 8)) == np.pad(pixels, ((0, 5), (0, 5)), mode="symmetric")).all()
        assert (read_padded(scan, Window(1, 0, 1, 3)) == pixels[1:]).all()


def test_real_crops_are_read(shared, caplog):
    caplog.set_level(logging.WARNING)
    folder = shared / "real" / "challenge_crops"
    with open_scan(folder / "unknown_patch_scan.png") as scan:
        gray = scan.read(Window(0, 0, scan.height, scan.width))
    assert np.array_equal(gray, cv2.imread(str(folder / "unknown_patch_scan.png"), cv2.IMREAD_GRAYSCALE))
