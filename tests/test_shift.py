"""shift: figures by hand on drawn scans, and what counts as another kind."""

import numpy as np
import pytest

from plankton_keras.candidates import bands_of, find_candidates
from plankton_keras.scans import ArrayScan
from plankton_keras.shift import confidence, look, unlike


def looked(pixels):
    scan = ArrayScan("a", pixels)
    return look(find_candidates(scan, bands_of(scan.height)))


@pytest.fixture
def squares():
    """Ground of 200, three dark squares of 100 and one of 50: each 40 x 40 pixels, and 100 x 100."""
    pixels = np.full((600, 1000), 200, np.uint8)
    for left in (100, 300, 500):
        pixels[100:140, left : left + 40] = 100
    pixels[300:400, 300:400] = 50
    return pixels


def test_figures_by_hand(squares):
    found = looked(squares)
    assert (found["ground"], found["fall_off"]) == (200, 0)
    # Each square is one pixel larger on each side by the mean over 3 x 3: 42 x 42 or 41 x 41.
    assert found["diameter"] == pytest.approx(2 * np.sqrt(1680 / np.pi), rel=0.05)
    assert found["large"] == pytest.approx(2 * np.sqrt(10_300 / np.pi), rel=0.35)
    assert found["density"] == pytest.approx(4 / 0.6, abs=0.01)
    # Most dark pixels are in the large square: darker by 3/4 of the ground.
    assert found["darkness"] == pytest.approx(0.75, abs=0.01)


def test_a_bare_scan_has_no_objects():
    found = looked(np.full((300, 400), 230, np.uint8))
    assert found == {"ground": 230, "fall_off": 0, "darkness": 0, "diameter": 0, "large": 0, "density": 0}


def test_an_uneven_ground_is_measured(squares):
    ramp = np.linspace(240, 160, 1000)[None] * np.ones((600, 1))
    # From 5 to 95 % of the width: 72 of 80 gray levels, of 200 in the middle.
    assert looked(ramp.astype(np.uint8))["fall_off"] == pytest.approx(72 / 200, abs=0.03)


@pytest.mark.parametrize(("levels", "expected"), [([255], 1), ([128], 1 / 255), ([255, 128], 0.5), ([0], 0)])
def test_confidence_by_hand(levels, expected):
    histogram = np.zeros((2, 256))
    histogram[0, levels] = 7
    assert confidence(histogram) == pytest.approx(expected, abs=0.003)


@pytest.mark.parametrize(
    ("ground", "is_unlike"),
    # Of 200 to 240 the range is 160 to 280.
    [(160, False), (280, False), (159, True), (281, True)],
)
def test_the_range_is_widened_by_its_width(ground, is_unlike):
    texts = unlike({"ground": ground}, [{"ground": 200}, {"ground": 240}])
    expected = [f"gray level of the ground {ground} (training scans: 200 to 240)"]
    assert texts == (expected if is_unlike else [])


@pytest.mark.parametrize(("ground", "is_unlike"), [(198, False), (242, False), (197, True), (243, True)])
def test_the_range_of_equal_scans_is_widened_by_a_tenth(ground, is_unlike):
    assert bool(unlike({"ground": ground}, [{"ground": 220}] * 3)) == is_unlike


def test_what_is_not_known_of_the_training_scans_is_not_compared():
    assert unlike({"ground": 10}, []) == unlike({"ground": 10}, [{"density": 5}]) == []


def test_a_scan_is_like_itself_and_unlike_one_of_another_scanner(squares):
    assert unlike(looked(squares), [looked(squares)]) == []
    dim = looked((squares * 0.6).astype(np.uint8))
    assert unlike(dim, [looked(squares)]) == ["gray level of the ground 120 (training scans: 200 to 200)"]
