"""spectra and slopes: classes of both conventions, and power laws of known exponent."""

import math

import numpy as np
import pytest
from scipy import integrate

from plankton_keras.ecology.abundance import Objects
from plankton_keras.ecology.slopes import least_squares, likeliest_slope, usable_classes
from plankton_keras.ecology.spectra import CONVENTIONS, OCTAVES, QUARTER_OCTAVES, spectra
from plankton_keras.errors import InputError
from plankton_keras.measures.sizes import millimetres
from plankton_keras.sample_tables import Fraction, Sample

GOLDEN = millimetres({"area": 2173, "area_exc": 2156, "feret": 71.281, "major": 62.823, "minor": 44.041}, 25.4 / 2400)


def water(*parts, volume_m3=203.5, name="s"):
    return Sample(
        sample=name,
        volume_m3=volume_m3,
        fractions=tuple(Fraction(scan=scan, fraction=scan, sub_part=part) for scan, part in parts),
    )


def objects(volumes, scans="a", taxa=0, chances=None):
    volumes = np.asarray(volumes, float)
    volumes = np.tile(volumes[:, None], 3) if volumes.ndim == 1 else volumes
    scans, taxa = np.broadcast_to(scans, len(volumes)), np.broadcast_to(taxa, len(volumes))
    return Objects(scans, taxa, ("copepod", "detritus"), (True, False), volumes, chances)


def power_law(generator, exponent, low, high, count):
    """Draws volumes with a density proportional to volume^-exponent."""
    power = 1 - exponent
    return (low**power + generator.random(count) * (high**power - low**power)) ** (1 / power)


def test_the_golden_object():
    volumes = [[GOLDEN[f"biovolume_{model}_mm3"] for model in ("plain", "riddled", "ellipsoid")]]
    classes, fits = spectra(objects(volumes), [water(("a", 4))])
    found = {(row["model"], row["convention"]): row for row in classes}
    assert len(found) == len(classes) == 6
    plain = found["plain", "quarter octaves"]
    assert (plain["class"], f"{plain['nbss']:.6f}") == (145, "0.114826")
    assert (f"{plain['volume_low_mm3']:.7f}", f"{plain['volume_high_mm3']:.7f}") == ("0.0817217", "0.0971840")
    ellipsoid = found["ellipsoid", "quarter octaves"]
    assert (ellipsoid["class"], f"{ellipsoid['nbss']:.6f}") == (144, "0.114335")
    assert f"{ellipsoid['volume_low_mm3']:.7f}" == "0.0687195"
    octave = found["plain", "octaves"]
    assert (f"{octave['esd_low_um']:.2f}", f"{octave['esd_high_um']:.2f}") == ("512.00", "645.08")
    assert f"{octave['nbss']:.7f}" == "0.0252643"
    # One object is no spectrum.
    assert len(fits) == 12
    assert {row["slope"] for row in fits} == {None}


def test_an_object_on_an_edge_belongs_to_one_class():
    edge = QUARTER_OCTAVES.edges[144]
    assert QUARTER_OCTAVES.number([np.nextafter(edge, 0), edge]).tolist() == [143, 144]
    low, high = OCTAVES.between([27])
    assert OCTAVES.number([low[0], np.nextafter(low[0], 1), high[0]]).tolist() == [26, 27, 27]
    with pytest.raises(InputError) as caught:
        QUARTER_OCTAVES.number([0.1, 1e-13])
    assert str(caught.value) == (
        "An object has a volume of 1e-13 mm3.\n"
        "Expected: volumes between 1e-12 and 1.84467e+07 mm3.\n"
        "Fix: check the resolution that the scans' files say, or --dpi."
    )


def test_the_first_and_the_last_class_are_those_of_the_field():
    # 64 octaves from 1e-12 mm3; spheres of 1/8 to 2^18 um.
    assert (len(QUARTER_OCTAVES.edges), len(OCTAVES.edges)) == (257, 64)
    assert QUARTER_OCTAVES.edges[[0, 4, -1]] == pytest.approx([1e-12, 2e-12, 1e-12 * 2**64])
    assert OCTAVES.edges[[0, -1]] == pytest.approx(np.pi / 6 * (np.array([1 / 8, 2**18]) / 1000) ** 3)
    assert QUARTER_OCTAVES.number([1e-12, 1.01e-12, 1.8e7]).tolist() == [0, 0, 255]
    assert OCTAVES.number([OCTAVES.edges[1], OCTAVES.edges[-1]]).tolist() == [-9, 53]
    assert [float(edge[0]) for edge in OCTAVES.between([0])] == pytest.approx([np.pi / 6e9, np.pi / 3e9])
    for classes, outside in ((QUARTER_OCTAVES, 1.9e7), (OCTAVES, OCTAVES.edges[0]), (OCTAVES, 1e10)):
        with pytest.raises(InputError, match=r"^An object has a volume of "):
            classes.number([outside])


def hand_made():
    """16, 8 and 4 objects in the middles of three octaves, 4 and 1 animals each, and the smallest volume."""
    low, high = OCTAVES.between([20, 21, 22])
    volumes = np.repeat(np.sqrt(low * high), [16, 8, 4])
    return (
        objects(volumes, np.where(np.arange(28) < 24, "a", "b")),
        water(("a", 4), ("b", 8), volume_m3=2000),
        volumes[0],
    )


def test_both_slopes_by_hand():
    found, sample, smallest = hand_made()
    classes, fits = spectra(found, [sample])
    rows = [row for row in classes if (row["model"], row["convention"]) == ("plain", "octaves")]
    # An octave is as wide as its lower edge, and its middle is the square root of 2 of it.
    assert [row["nbss"] for row in rows] == pytest.approx([2**0.5 * animals for animals in (0.032, 0.016, 0.016)])
    assert [row["biovolume_mm3_m3"] for row in rows] == pytest.approx(
        [smallest * share for share in (0.032, 0.032, 0.064)]
    )
    assert [row["used"] for row in rows] == [True] * 3
    least, likeliest = (row for row in fits if (row["model"], row["convention"]) == ("plain", "octaves"))
    # Densities of 1, 1/2 and 1/2 of the first over volumes of 1, 2 and 4: the line falls by half of it on the whole.
    x, y = np.log10([1, 2, 4]) + math.log10(smallest), np.log10([0.032, 0.016, 0.016]) + math.log10(2) / 2
    slope, intercept = np.polyfit(x, y, 1)
    assert (least["slope"], least["intercept"]) == pytest.approx((-0.5, intercept))
    assert slope == pytest.approx(-0.5)
    assert (least["r2"], least["exponent"]) == pytest.approx((np.corrcoef(x, y)[0, 1] ** 2, 1.5))
    # Shares of 2, 1 and 1 of ln 1, 2 and 4: the mean is 3/4 of ln 2, and so is that of exp(slope t) up to ln 4.
    span = math.log(4)
    total, moment = (integrate.quad(lambda t, n=n: t**n * math.exp(likeliest["slope"] * t), 0, span)[0] for n in (0, 1))
    assert moment / total == pytest.approx(3 / 4 * math.log(2))
    assert likeliest["exponent"] == 1 - likeliest["slope"]
    for row in (least, likeliest):
        assert row["low"] < row["slope"] < row["high"]
        assert (row["classes"], row["objects"]) == (3, 28)


def test_rows_say_what_they_are_of():
    found, sample, _ = hand_made()
    classes, fits = spectra(found, [sample])
    head = ["sample", "model", "convention"]
    edges = ["volume_low_mm3", "volume_high_mm3", "esd_low_um", "esd_high_um"]
    assert list(classes[0]) == [*head, "class", *edges, "objects", "biovolume_mm3_m3", "nbss", "low", "high", "used"]
    fit = [*head, "method", "slope", "low", "high", "exponent", "intercept", "r2", "classes", "objects"]
    assert [list(row) for row in fits] == [fit] * 12
    kinds = [(model, kind) for model in ("plain", "riddled", "ellipsoid") for kind in ("quarter octaves", "octaves")]
    assert [(row["sample"], row["model"], row["convention"]) for row in fits[::2]] == [("s", *kind) for kind in kinds]
    assert [row["method"] for row in fits] == ["least squares", "maximum likelihood"] * 6
    # Three quarter octaves are empty between the octaves, which ends the spectrum after its first class.
    quarter = fits[:2]
    assert [(row["classes"], row["objects"], row["slope"], row["r2"]) for row in quarter] == [(1, 16, None, None)] * 2


def test_without_living_objects_there_is_a_row_of_fits_but_none_of_classes():
    classes, fits = spectra(objects([0.1], taxa=1), [water(("a", 4))])
    assert classes == []
    values = ["slope", "low", "high", "exponent", "intercept", "r2"]
    assert list(fits[0]) == ["sample", "model", "convention", "method", *values, "classes", "objects"]
    assert {(row["slope"], row["classes"], row["objects"]) for row in fits} == {(None, 0, 0)}
    assert len(fits) == 12


def test_spectra_are_those_of_their_seed():
    found, sample, _ = hand_made()
    assert spectra(found, [sample]) == spectra(found, [sample], 0)
    (classes, fits), (others, slopes) = spectra(found, [sample]), spectra(found, [sample], 1)
    for one, other in ((classes[0], others[0]), (fits[2], slopes[2])):
        assert one["low"] != other["low"]
        assert one["high"] != other["high"]


def test_what_is_living_only_perhaps_is_not_counted_but_adds_to_the_ends():
    low, high = OCTAVES.between([20])
    middle = math.sqrt(low[0] * high[0])
    # Beside an object that is living for certain, nine that are detritus, each with a chance of a half.
    chances = np.array([[1.0, 0.0]] + [[0.5, 0.5]] * 9)
    volumes, taxa = np.full(10, middle), np.array([0] + [1] * 9)
    alone, beside = (
        next(row for row in spectra(found, [water(("a", 1), volume_m3=1)])[0] if row["convention"] == "octaves")
        for found in (objects(volumes[:1]), objects(volumes, taxa=taxa, chances=chances))
    )
    assert alone["objects"] == beside["objects"] == 1
    assert alone["nbss"] == pytest.approx(beside["nbss"]) == pytest.approx(2**0.5)
    # 1 + 9/2 are expected: of 2.5 % of the draws less than some two, of a Poisson number of one next to nothing.
    assert alone["low"] < 0.1
    assert 1 < beside["low"] < 5.5 * 2**0.5 < beside["high"]


def test_classes_without_objects_stand_between_others_and_have_an_upper_end():
    low, high = OCTAVES.between([20, 24])
    classes, _ = spectra(objects(np.sqrt(low * high)), [water(("a", 8))])
    rows = [row for row in classes if (row["model"], row["convention"]) == ("plain", "octaves")]
    assert [(row["class"], row["objects"]) for row in rows] == [(20, 1), (21, 0), (22, 0), (23, 0), (24, 1)]
    assert [row["nbss"] == 0 for row in rows] == [False, True, True, True, False]
    middle = rows[2]
    width = middle["volume_high_mm3"] - middle["volume_low_mm3"]
    one_more = math.sqrt(middle["volume_low_mm3"] * middle["volume_high_mm3"]) * 8 / 203.5 / width
    assert (middle["low"], middle["high"]) == (0, pytest.approx(3.689 * one_more, rel=0.01))


def test_only_living_objects_count():
    classes, _ = spectra(objects([0.1, 0.1, 5], taxa=[0, 1, 1]), [water(("a", 4))])
    assert [row["objects"] for row in classes] == [1] * 6
    assert spectra(objects([0.1], taxa=1), [water(("a", 4))])[0] == []
    with pytest.raises(ValueError, match="spectra need volumes"):
        spectra(Objects(np.array(["a"]), np.array([0]), ("copepod",), (True,)), [water(("a", 4))])


def test_which_classes_are_used():
    # From the highest, without those of fewer than four, until three are empty.
    density, counts = [1, 5, 9, 4, 3, 0, 0, 2, 0, 0, 0, 1], [9, 9, 9, 3, 4, 0, 0, 5, 0, 0, 0, 9]
    assert np.flatnonzero(usable_classes(density, counts)).tolist() == [2, 4, 7]
    assert usable_classes([], []).tolist() == []


def test_lines_by_hand():
    slope, intercept, r2 = least_squares([0.01, 0.1, 1, 10], [[200, 20, 2, 0.2], [1, 0, 4, 1]])
    assert (slope[0], intercept[0], r2[0]) == pytest.approx((-1, math.log10(2), 1))
    # log10: (-2, 0), (0, 0.602), (1, 0); the class of nothing is left out.
    want = np.polyfit([-2, 0, 1], [0, math.log10(4), 0], 1)
    assert (slope[1], intercept[1]) == pytest.approx(tuple(want))
    assert np.isnan(least_squares([1, 10, 100], [[0, 1, 1]])[0][0])
    # Two classes are no line, whatever other draws have.
    assert np.isnan(least_squares([1, 10, 100], [[0, 1, 1], [1, 1, 1]])[0]).tolist() == [True, False]


@pytest.mark.parametrize("exponent", [0.5, 0.9, 1.0, 1.1, 1.6, 2.0, 2.7])
def test_the_likeliest_slope_is_that_whose_mean_is_found(exponent):
    span = 6.0
    density = [lambda t: math.exp(-(exponent - 1) * t), lambda t: t * math.exp(-(exponent - 1) * t)]
    total, moment = (integrate.quad(each, 0, span)[0] for each in density)
    assert likeliest_slope([moment / total], span)[0] == pytest.approx(1 - exponent, abs=1e-6)


def test_a_slope_of_nearly_nothing_is_found_as_well():
    # The mean of exp(-r t) on 0 to 1 is 1/2 - r/12 for a small r.
    assert likeliest_slope([0.5 - 6e-5 / 12, 0.5, 0.5 + 6e-5 / 12], 1.0) == pytest.approx([-6e-5, 0, 6e-5], rel=1e-4)
    found = likeliest_slope([np.nan, 1.5], 3.0)
    assert np.isnan(found).tolist() == [True, False]


@pytest.mark.parametrize("exponent", [1.6, 2.0, 2.4])
def test_slopes_of_power_laws_are_recovered_by_both_methods(exponent, monkeypatch):
    monkeypatch.setattr("plankton_keras.ecology.spectra.MODELS", ("plain",))
    volumes = power_law(np.random.default_rng(3), exponent, OCTAVES.between(25)[0], 1e4, 8_000)
    _, fits = spectra(objects(volumes), [water(("a", 4))])
    for row in fits:
        assert row["slope"] == pytest.approx(1 - exponent, abs=0.05), row
        assert row["exponent"] == 1 - row["slope"]
        assert row["low"] < row["slope"] < row["high"]
        assert (row["r2"] is not None) == (row["intercept"] is not None) == (row["method"] == "least squares")


def test_fractions_split_differently_give_one_slope(monkeypatch):
    monkeypatch.setattr("plankton_keras.ecology.spectra.MODELS", ("plain",))
    generator = np.random.default_rng(4)
    volumes = power_law(generator, 2.0, OCTAVES.between(25)[0], 1e4, 60_000)
    big = volumes > 0.5
    kept = generator.random(len(big)) < np.where(big, 1, 1 / 16)
    _, fits = spectra(objects(volumes[kept], np.where(big[kept], "a", "b")), [water(("a", 1), ("b", 16))])
    slopes = {(row["convention"], row["method"]): row["slope"] for row in fits}
    assert len(slopes) == 4
    assert list(slopes.values()) == pytest.approx([-1] * 4, abs=0.05)


def test_the_slope_lies_in_the_interval_in_90_of_100_samples(monkeypatch):
    """The likeliest slope of some 300 living among others that are told apart by calibrated probabilities."""
    monkeypatch.setattr("plankton_keras.ecology.spectra.MODELS", ("plain",))
    hits = dict.fromkeys(CONVENTIONS, 0)
    for seed in range(100):
        generator = np.random.default_rng(seed)
        count = generator.poisson(500)
        chance = generator.beta(2, 1, count)
        volumes = power_law(generator, 2.0, 0.015, 20, count)
        found = objects(volumes, taxa=(chance < 0.5) * 1, chances=np.stack([chance, 1 - chance], axis=1))
        for row in spectra(found, [water(("a", 4), name=f"s{seed}")])[1]:
            if row["method"] == "maximum likelihood":
                hits[row["convention"]] += row["low"] <= -1 <= row["high"]
    assert min(hits.values()) >= 90, hits
