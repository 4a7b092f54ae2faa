"""Synthetic scans: their truth is what can be seen in them, their bytes follow from the seed, their files parse."""

import cv2
import numpy as np
import pytest

from plankton_keras.errors import SettingError
from plankton_keras.synthetic import TAXA, DrawnObject, DrawnScan, draw_scan, write_netpbm, write_scans
from plankton_keras.taxa import read_taxa


@pytest.fixture(scope="module")
def drawn():
    return draw_scan(768, 1024, seed=3)


def threshold(scan):
    """What a user would try first: darker than 0.95 of the local ground, in pieces of at least 120 pixels."""
    small = cv2.resize(scan, None, fx=1 / 8, fy=1 / 8, interpolation=cv2.INTER_AREA)
    ground = cv2.resize(cv2.medianBlur(small, 101), scan.shape[::-1]).astype(np.float32)
    dark = (cv2.blur(scan.astype(np.float32), (3, 3)) < 0.95 * ground).astype(np.uint8)
    _, labels, statistics, _ = cv2.connectedComponentsWithStats(dark, connectivity=8)
    return (statistics[:, cv2.CC_STAT_AREA] >= 120)[labels] & (labels > 0)


def read_by_hand(path):
    """Reads a netpbm file as the challenge's students do: three lines, then the pixels."""
    magic, size, largest, pixels = path.read_bytes().split(b"\n", 3)
    width, height = map(int, size.split())
    stored = np.uint8 if int(largest) < 256 else ">u2"
    assert magic == b"P5"
    assert len(pixels) == width * height * np.dtype(stored).itemsize
    return np.frombuffer(pixels, stored).reshape(height, width)


def test_the_same_seed_gives_the_same_bytes(drawn):
    again = draw_scan(768, 1024, seed=3)
    assert again.scan.tobytes() == drawn.scan.tobytes()
    assert again.mask.tobytes() == drawn.mask.tobytes()
    assert again.objects == drawn.objects


def test_a_seed_gives_the_scan_that_it_always_gave(drawn):
    places = [(found.id, found.top, found.left) for found in drawn.objects]
    assert places == [
        *((9, 82, 599), (1, 721, 499), (1, 324, 969), (1, 283, 881), (3, 355, 596), (2, 441, 446), (2, 436, 146)),
        *((11, 577, 512), (1, 197, 313), (8, 456, 666), (1, 152, 230), (1, 656, 353), (8, 343, 162)),
    ]
    # Blurs differ in their last bits from one processor to another.
    ids, counts = np.unique(drawn.mask, return_counts=True)
    assert ids.tolist() == [0, 1, 2, 3, 8, 9, 11]
    assert counts == pytest.approx([753405, 6452, 3256, 695, 7775, 10412, 4437], rel=1e-3)
    assert (drawn.scan.mean(), drawn.scan.std()) == pytest.approx((215.07193, 15.98933), rel=1e-4)


def test_another_seed_gives_another_scan(drawn):
    other = draw_scan(768, 1024, seed=4)
    assert other.objects != drawn.objects
    assert (other.mask != drawn.mask).any()


def test_taxa_keep_the_numbers_of_the_challenge():
    assert [taxon.id for taxon in TAXA if not taxon.living] == [0, 1, 2, 3, 4]
    assert all(taxon.id >= 8 for taxon in TAXA if taxon.living)


def test_the_mask_holds_the_listed_objects_and_nothing_else(drawn):
    assert set(np.unique(drawn.mask)) == {0} | {found.id for found in drawn.objects}
    assert {found.id for found in drawn.objects} <= {taxon.id for taxon in TAXA}
    covered = np.zeros(drawn.mask.shape, int)
    for found in drawn.objects:
        covered[found.top : found.top + found.height, found.left : found.left + found.width] += 1
    assert not drawn.mask[covered == 0].any()
    alone = 0
    for found in drawn.objects:
        box = slice(found.top, found.top + found.height), slice(found.left, found.left + found.width)
        if covered[box].max() == 1:
            alone += 1
            assert (drawn.mask[box] == found.id).sum() == found.area
            assert (drawn.mask[box].any(axis=0)[[0, -1]]).all()  # the box is tight
            assert (drawn.mask[box].any(axis=1)[[0, -1]]).all()
    assert alone >= 5


def test_where_objects_overlap_the_one_on_top_owns_the_pixel():
    objects = [DrawnObject(8, 0, 0, 2, 3, 6), DrawnObject(1, 1, 2, 2, 2, 3)]
    shapes = [np.ones((2, 3), bool), np.array([[True, True], [False, True]])]
    drawn = DrawnScan(np.zeros((3, 5), np.uint8), np.zeros((3, 5), np.uint16), objects, shapes)
    owners = drawn.instances()
    assert owners.tolist() == [[1, 1, 1, 0, 0], [1, 1, 2, 2, 0], [0, 0, 0, 2, 0]]
    assert owners.dtype == np.int32


def test_every_pixel_of_the_mask_has_one_owner_of_its_id():
    drawn = draw_scan(768, 768, seed=2, coverage=0.2)
    owners = drawn.instances()
    assert (np.array([0, *(found.id for found in drawn.objects)])[owners] == drawn.mask).all()
    areas = np.bincount(owners.ravel(), minlength=len(drawn.objects) + 1)[1:]
    listed = np.array([found.area for found in drawn.objects])
    assert (areas <= listed).all()
    # Some lie under others, and nothing lies over the last.
    assert 0 < (areas < listed).sum() < len(listed)
    assert areas[-1] == listed[-1]


@pytest.mark.parametrize("animals", [0, 1, 12])
def test_as_many_animals_as_asked_for_are_drawn_among_the_usual_share_of_others(animals):
    drawn = draw_scan(768, 1024, seed=3, animals=animals)
    living = [found.id >= 8 for found in drawn.objects]
    assert sum(living) == animals
    if animals == 12:
        assert (drawn.mask >= 8).sum() / (drawn.mask > 0).sum() == pytest.approx(0.68, abs=0.05)


def test_sizes_follow_a_power_law_on_demand():
    drawn = draw_scan(1792, 1792, seed=6, animals=80, power_law=True)
    areas = np.array([found.area for found in drawn.objects if found.id >= 8])
    assert 600 < areas.min() < 1000
    assert areas.max() < 50_000
    # Of a density of area^-2.5 above 900 the logarithms have a mean of 1/1.5, and 0.35 are above twice that.
    assert np.log(areas / 900).mean() == pytest.approx(1 / 1.5, abs=0.15)
    assert (areas > 1800).mean() == pytest.approx(2**-1.5, abs=0.12)


def test_more_animals_than_find_a_place_are_refused():
    with pytest.raises(SettingError) as caught:
        draw_scan(256, 256, seed=0, animals=90)
    assert str(caught.value) == "90 animals find no place.\nExpected: fewer, or a larger scan.\nFix: enlarge it."


def test_coverage_is_met_and_most_of_it_lives(drawn):
    largest = max(found.area for found in drawn.objects) / drawn.mask.size
    assert 0.035 < (drawn.mask > 0).mean() < 0.04 + largest
    assert 0.35 < ((drawn.mask > 0) & (drawn.mask < 8)).sum() / (drawn.mask >= 8).sum() < 0.7


def test_objects_are_darker_than_the_ground_around(drawn):
    for found in drawn.objects:
        rows = slice(max(found.top - 10, 0), found.top + found.height + 10)
        columns = slice(max(found.left - 10, 0), found.left + found.width + 10)
        scan, mask = drawn.scan[rows, columns], drawn.mask[rows, columns]
        if (mask == found.id).any():
            assert scan[mask == found.id].mean() < 0.93 * np.median(scan[mask == 0])


def test_ground_is_pale_uneven_and_noisy(drawn):
    ground = drawn.scan[drawn.mask == 0]
    assert 210 < np.median(ground) < 240
    rows = np.array([np.median(line) for line in drawn.scan])
    assert len(np.unique(rows)) > 2
    assert 0.8 < np.std(np.diff(drawn.scan[:, :40].astype(float), axis=1)) / np.sqrt(2) < 8


def test_dust_is_seen_in_the_scan_but_is_ground_in_the_mask(drawn):
    away = cv2.dilate((drawn.mask > 0).astype(np.uint8), np.ones((21, 21))) == 0
    specks = ((drawn.scan < 0.8 * np.median(drawn.scan)) & away).astype(np.uint8)
    count, _, statistics, _ = cv2.connectedComponentsWithStats(specks)
    assert count > 10
    assert statistics[1:, cv2.CC_STAT_AREA].max() < 120


@pytest.mark.parametrize("seed", [0, 1])
def test_a_threshold_finds_all_life_but_takes_all_else_for_it_too(seed):
    drawn = draw_scan(768, 1024, seed=seed)
    found, living = threshold(drawn.scan), drawn.mask >= 8
    recall = (found & living).sum() / living.sum()
    precision = (found & living).sum() / found.sum()
    assert recall >= 0.98
    assert 0.72 <= 2 * precision * recall / (precision + recall) <= 0.82


@pytest.mark.parametrize(("height", "width"), [(256, 256), (256, 1500), (1027, 300)])
def test_any_size_can_be_drawn(height, width):
    drawn = draw_scan(height, width, seed=5)
    assert drawn.scan.shape == drawn.mask.shape == (height, width)
    assert drawn.objects


def test_settings_out_of_range_are_refused():
    with pytest.raises(SettingError, match="256 or more"):
        draw_scan(255, 512, seed=0)
    with pytest.raises(SettingError, match="coverage is 0"):
        draw_scan(256, 256, seed=0, coverage=0)


def test_netpbm_stores_masks_with_the_high_byte_first(tmp_path):
    mask = np.array([[0, 1, 258], [65535, 8, 7]], np.uint16)
    write_netpbm(tmp_path / "mask.png.ppm", mask)
    expected = b"P5\n3 2\n65535\n" + bytes([0, 0, 0, 1, 1, 2, 255, 255, 0, 8, 0, 7])
    assert (tmp_path / "mask.png.ppm").read_bytes() == expected
    assert (read_by_hand(tmp_path / "mask.png.ppm") == mask).all()


def test_written_scans_are_those_drawn_and_a_rerun_keeps_them(tmp_path):
    paths = write_scans(tmp_path, train=2, val=1, test=0, size=(320, 256), seed=9)
    assert [str(path.relative_to(tmp_path)) for path in paths] == [
        "train/rg20090107_scan.png.ppm",
        "train/rg20090121_scan.png.ppm",
        "val/rg20090204_scan.png.ppm",
    ]
    assert read_taxa(tmp_path / "taxa.csv") == list(TAXA)
    drawn = draw_scan(256, 320, seed=[9, 1])
    assert (read_by_hand(paths[1]) == drawn.scan).all()
    mask = paths[1].with_name("rg20090121_mask.png.ppm")
    assert (read_by_hand(mask) == drawn.mask).all()

    def state():
        return {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in tmp_path.rglob("*.*")}

    before = state()
    assert len(before) == 7
    assert write_scans(tmp_path, train=2, val=1, test=0, size=(320, 256), seed=9) == paths
    assert state() == before
    mask.unlink()  # as after a kill between the two files of a pair
    write_scans(tmp_path, train=2, val=1, test=0, size=(320, 256), seed=9)
    assert {path: content for path, (_, content) in state().items()} == {
        p: content for p, (_, content) in before.items()
    }
