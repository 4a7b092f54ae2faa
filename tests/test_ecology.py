"""ecology, adjusting, resampling: abundance and biovolume of known water."""

import math

import numpy as np
import pytest
from scipy import stats

from plankton_keras.ecology import adjusting, resampling
from plankton_keras.ecology.abundance import MODELS, TOTAL, Objects, abundances
from plankton_keras.ecology.resampling import drawn_sums, ends
from plankton_keras.errors import InputError
from plankton_keras.measures.sizes import millimetres
from plankton_keras.sample_tables import Fraction, Sample

# The reference's object: 2400 dpi, a quarter of the sample, 203.5 m3.
GOLDEN = millimetres({"area": 2173, "area_exc": 2156, "feret": 71.281, "major": 62.823, "minor": 44.041}, 25.4 / 2400)
VOLUMES = [GOLDEN[f"biovolume_{model}_mm3"] for model in MODELS]
NAMES, LIVING = ("copepod", "jelly", "detritus"), (True, True, False)


def sample(*fractions, name="s", **values):
    parts = tuple(Fraction(scan=scan, fraction=scan, sub_part=part) for scan, part in fractions)
    return Sample(sample=name, fractions=parts, **{"volume_m3": 203.5, "depth_min_m": 312, "depth_max_m": 419} | values)


def objects(scans, taxa, volumes=None, chances=None):
    volumes = None if volumes is None else np.asarray(volumes, float).reshape(-1, 3)
    return Objects(np.array(list(scans), str), np.array(taxa, int), NAMES, LIVING, volumes, chances)


def picked(rows, taxon, quantity="abundance", model="", per="m3", name="s"):
    (row,) = (
        row
        for row in rows
        if (row["sample"], row["taxon"], row["quantity"], row["model"]) == (name, taxon, quantity, model)
        and row["unit"].endswith(per)
    )
    return row


def test_the_golden_object():
    rows = abundances(objects("a", [0], VOLUMES), [sample(("a", 4))])
    assert f"{picked(rows, 'copepod')['value']:.7f}" == "0.0196560"
    assert f"{picked(rows, 'copepod', 'biovolume', 'plain')['value']:.8f}" == "0.00177548"
    assert f"{picked(rows, 'copepod', 'biovolume', 'ellipsoid')['value']:.8f}" == "0.00148660"
    assert picked(rows, "copepod", "biovolume", "riddled")["value"] == pytest.approx(0.0892698 * 4 / 203.5, rel=1e-6)
    assert {row["unit"] for row in rows} == {"ind/m3", "ind/m2", "mm3/m3", "mm3/m2"}


def test_per_square_metre_is_per_cubic_metre_times_the_range_of_depths():
    rows = abundances(objects("aab", [0, 1, 2], VOLUMES * 3), [sample(("a", 4), ("b", 16))])
    for deep, flat in zip(rows[::2], rows[1::2], strict=True):
        for name in ("value", "low", "high"):
            assert flat[name] == (None if deep[name] is None else pytest.approx(107 * deep[name]))
    level = abundances(objects("a", [0]), [sample(("a", 4), depth_min_m=50, depth_max_m=50)])
    assert picked(level, "copepod", per="m2")["value"] is None


def test_fractions_are_summed_and_parts_of_the_catch_count():
    found = objects("aaab", [0, 0, 1, 0], VOLUMES * 4)
    rows = abundances(found, [sample(("a", 2), ("b", 16), onboard_part=2, volume_m3=100)])
    assert picked(rows, "copepod")["value"] == pytest.approx((2 * 2 * 2 + 16 * 2) / 100)
    assert picked(rows, "copepod")["objects"] == 3
    assert picked(rows, "copepod", "biovolume", "plain")["value"] == pytest.approx(0.4 * VOLUMES[0])
    assert picked(rows, TOTAL)["value"] == pytest.approx(0.44)


def test_taxa_that_a_sample_does_not_have_get_rows_of_zeros():
    samples = [sample(("a", 4)), sample(("b", 4), name="t")]
    rows = abundances(objects("ab", [0, 2], VOLUMES * 2), samples)
    assert len(rows) == 2 * 4 * 8
    row = picked(rows, "copepod", name="t")
    assert (row["value"], row["low"], row["objects"], row["living"]) == (0, 0, 0, True)
    # Up to 3.69 animals could have been missed; how large, nobody knows.
    assert row["high"] == pytest.approx(3.689 * 4 / 203.5, rel=0.01)
    assert picked(rows, "copepod", "biovolume", "plain", name="t")["high"] is None
    assert picked(rows, TOTAL, name="t")["value"] == 0
    assert picked(rows, TOTAL, "biovolume", "plain")["value"] == pytest.approx(VOLUMES[0] * 4 / 203.5)


@pytest.mark.parametrize(("trace", "known"), [(1e-6, False), (0.009, False), (0.02, True)])
def test_a_trace_of_probability_does_not_tell_how_large_one_more_would_be(trace, known):
    chances = np.tile([1 - trace, 0, trace], (100, 1))
    rows = abundances(objects("a" * 100, [0] * 100, VOLUMES * 100, chances), [sample(("a", 4))])
    assert picked(rows, "detritus")["high"] >= 3.6 * 4 / 203.5
    assert (picked(rows, "detritus", "biovolume", "plain")["high"] is not None) == known
    assert picked(rows, "copepod", "biovolume", "plain")["high"] > 0


def test_a_sample_without_any_object():
    rows = abundances(objects("", [], np.zeros((0, 3)), np.zeros((0, 3))), [sample(("a", 4))])
    assert {row["value"] for row in rows} == {0}


@pytest.mark.parametrize("count", [1, 5, 40])
def test_intervals_of_counts_are_the_exact_ones_of_poisson(count):
    row = picked(abundances(objects("a" * count, [0] * count), [sample(("a", 8))]), "copepod")
    low, high = stats.chi2.ppf(0.025, 2 * count) / 2, stats.chi2.ppf(0.975, 2 * count + 2) / 2
    sure = 8 / 203.5
    # Of a thousand draws.
    assert row["low"] / sure == pytest.approx(low, rel=0.06, abs=0.02)
    assert row["high"] / sure == pytest.approx(high, rel=0.06)


def test_less_of_a_sample_gives_wider_intervals():
    def width(part, count):
        row = picked(abundances(objects("a" * count, [0] * count), [sample(("a", part))]), "copepod")
        assert row["value"] == pytest.approx(160 / 203.5)
        return row["high"] - row["low"]

    # The same abundance from 160 animals and from 10.
    assert width(16, 10) / width(1, 160) == pytest.approx(4, rel=0.15)


def test_uncertain_classes_widen_intervals_and_are_expected_beside():
    count = 400
    chances = np.tile([0.7, 0.0, 0.3], (count, 1))
    sure, unsure = (
        abundances(objects("a" * count, [0] * count, VOLUMES * count, each), [sample(("a", 1), volume_m3=1)])
        for each in (None, chances)
    )
    row = picked(unsure, "copepod")
    assert (row["value"], row["expected"]) == (400, pytest.approx(280))
    assert picked(sure, "copepod")["expected"] is None
    assert row["low"] < 280 < row["high"] < 400
    # Variance of n p (2 - p): n p of counting, n p (1 - p) of classes.
    assert row["high"] - row["low"] == pytest.approx(2 * 1.96 * math.sqrt(400 * 0.7 * 1.3), rel=0.08)
    assert picked(unsure, "detritus")["low"] > 0
    assert picked(unsure, "jelly")["value"] == picked(unsure, "jelly")["expected"] == 0


def test_the_same_seed_gives_the_same_rows_whatever_else_there_is():
    chances = np.tile([0.7, 0.1, 0.2], (3, 1))
    found = objects("aab", [0, 1, 2], VOLUMES * 3, chances)
    one, two = sample(("a", 4)), sample(("b", 2), name="t")
    rows = abundances(found, [one, two])
    assert rows == abundances(found, [one, two])
    assert [row for row in rows if row["sample"] == "s"] == abundances(
        objects("aa", [0, 1], VOLUMES * 2, chances[:2]), [one]
    )
    assert rows != abundances(found, [one, two], seed=1)


def test_objects_of_no_sample_and_samples_of_no_volume_are_refused():
    with pytest.raises(InputError) as caught:
        abundances(objects("ab", [0, 0]), [sample(("a", 4), volume_m3=None)])
    assert str(caught.value) == (
        "No sample has the scan b. There is no volume_m3 of s.\n"
        "Expected: a sample, with the water filtered, of every scan.\n"
        "Fix: complete samples.csv."
    )


@pytest.mark.parametrize(
    ("volumes", "chances", "text"),
    [
        ([[1, 1, 0]], None, "volumes must be positive"),
        (None, np.array([[0.5, 0.2, 0.2]]), "chances of an object must add up to 1"),
        (None, np.ones((1, 2)), "of 1 objects and 3 names, the shape of chances is wrong"),
    ],
)
def test_tables_that_do_not_fit_are_refused(volumes, chances, text):
    with pytest.raises(ValueError, match=text):
        objects("a", [0], volumes, chances)


def test_blocks_of_objects_add_up(monkeypatch):
    values, groups = np.ones((50, 2)), np.zeros((50, 1), int)
    monkeypatch.setattr(resampling, "BLOCK", 7)
    sums = drawn_sums(values, groups, 2)
    assert sums.shape == (1000, 2, 2)
    assert sums[:, 0].mean() == pytest.approx(50, rel=0.02)
    assert sums[:, 0].std() == pytest.approx(math.sqrt(50), rel=0.1)
    assert (sums[:, 1] == 0).all()
    assert (sums[..., 0] == sums[..., 1]).all()


def test_options_are_drawn_by_their_chances():
    chances = np.array([[0.2, 0.3, 0.5], [0, 1, 0], [1, 0, 0]])
    sums = drawn_sums(np.eye(3), np.tile([0, 1, 2], (3, 1)), 3, chances)
    assert (sums > 0).mean(axis=0) == pytest.approx(chances.T, abs=0.05)


def test_ends_nobody_knows_stay_unknown():
    low, high = ends(np.ones((1000, 1, 2)), np.array([[1.0, np.nan]]))
    assert low.tolist() == [[1, 1]]
    assert high[0, 0] > 1
    assert np.isnan(high[0, 1])


def test_adjusted_counts_invert_a_known_confusion():
    confusion = np.array([[80, 15, 5], [2, 95, 3], [10, 0, 90]])
    true = np.array([30.0, 500.0, 70.0])
    called = adjusting.shares(confusion).T @ true
    assert adjusting.adjusted(called, confusion) == pytest.approx(true)
    assert called[0] == pytest.approx(41)


def test_adjusted_counts_are_none_below_0_and_keep_their_sum():
    confusion = [[90, 10, 0], [30, 70, 0], [0, 0, 0]]
    found = adjusting.adjusted([0, 100, 7], confusion)
    assert found.min() >= 0
    assert found.sum() == pytest.approx(107)
    assert adjusting.adjusted([0, 0, 0], confusion).tolist() == [0, 0, 0]


def test_adjusted_abundances_stand_beside_the_raw_ones():
    # Of 100 copepods 10 are called detritus, of 100 detritus 40 copepods; found are 300 and 200.
    confusion = np.array([[90, 0, 10], [0, 0, 0], [40, 0, 60]])
    rows = abundances(objects("a" * 500, [0] * 300 + [2] * 200), [sample(("a", 1), volume_m3=1)], confusion)
    row = picked(rows, "copepod")
    assert (row["value"], row["adjusted"]) == (300, pytest.approx(200))
    assert row["adjusted_low"] < 200 < row["adjusted_high"]
    # That the matrix is of 200 objects only adds to what counting says, and inverting widens.
    assert row["adjusted_high"] - row["adjusted_low"] > 1.5 * (row["high"] - row["low"])
    assert picked(rows, TOTAL)["adjusted"] == pytest.approx(200)
    assert picked(rows, "detritus")["adjusted"] == pytest.approx(300)
    assert picked(rows, "copepod", "biovolume", "plain")["adjusted"] is None


def test_objects_of_no_class_of_the_matrix_count_as_the_likeliest_of_its_classes():
    # The last name is that of objects that nobody could name surely, two thirds of the copepods.
    names, living = (*NAMES, "unclassified"), (*LIVING, True)
    chances = np.tile([[0.5, 0.3, 0.2, 0.0]], (30, 1))
    found = Objects(np.array(["a"] * 30), np.array([3] * 20 + [0] * 10), names, living, None, chances)
    rows = abundances(found, [sample(("a", 1), volume_m3=1)], np.diag([50, 60, 70]))
    assert (picked(rows, "copepod")["value"], picked(rows, "unclassified")["value"]) == (10, 20)
    assert picked(rows, "copepod")["adjusted"] == picked(rows, TOTAL)["adjusted"] == pytest.approx(30)
    keys = ("adjusted", "adjusted_low", "adjusted_high")
    assert [picked(rows, "unclassified")[key] for key in keys] == [None] * 3


def test_of_what_was_not_called_up_to_as_many_could_be_there_as_were_missed():
    # Half of the jellies are called copepods.
    confusion = np.array([[9000, 0, 0], [5000, 5000, 0], [0, 0, 9000]])
    rows = abundances(objects("a" * 50, [0] * 50), [sample(("a", 4), volume_m3=4)], confusion)
    jelly = picked(rows, "jelly")
    assert (jelly["adjusted"], jelly["adjusted_low"]) == (0, 0)
    assert jelly["adjusted_high"] == pytest.approx(2 * 3.689, rel=0.05)


def test_a_matrix_of_few_vignettes_is_no_sure_knowledge():
    def width(vignettes):
        found = objects("a" * 400, [0] * 200 + [2] * 200)
        row = picked(abundances(found, [sample(("a", 1), volume_m3=1)], np.diag([vignettes] * 3)), "copepod")
        assert row["adjusted"] == pytest.approx(200)
        return row["adjusted_high"] - row["adjusted_low"]

    # That all of five vignettes are named rightly does not say that all of 200 animals are.
    assert width(5) > 1.5 * width(50_000)
    assert width(50_000) == pytest.approx(2 * 1.96 * math.sqrt(200), rel=0.1)


def test_adjusted_numbers_are_nearer_to_the_truth_and_hold_it_in_90_of_100_samples(monkeypatch):
    """Water of known density, a half of it on the scan, named with errors that another finite set tells of."""
    monkeypatch.setattr(resampling, "DRAWS", 250)
    shares, vignettes = np.array([[0.85, 0.05, 0.1], [0.05, 0.9, 0.05], [0.12, 0.03, 0.85]]), (300, 100, 600)
    truth = dict(zip((*NAMES, TOTAL), (250, 20, 700, 270), strict=True))
    hits, errors = dict.fromkeys(truth, 0), {name: [] for name in ("value", "adjusted")}
    for seed in range(100):
        generator = np.random.default_rng(seed)
        confusion = np.stack([generator.multinomial(*each) for each in zip(vignettes, shares, strict=True)])
        numbers = generator.poisson([truth[name] / 2 for name in NAMES])
        called = np.concatenate([generator.choice(3, n, p=p) for n, p in zip(numbers, shares, strict=True)])
        rows = abundances(objects("a" * len(called), called), [sample(("a", 2), volume_m3=1)], confusion)
        for taxon, true in truth.items():
            row = picked(rows, taxon)
            hits[taxon] += row["adjusted_low"] <= true <= row["adjusted_high"]
            for name, found in errors.items():
                found.append(abs(row[name] - true))
    assert {taxon: count for taxon, count in hits.items() if count < 90} == {}
    raw, mine = (np.reshape(errors[name], (100, 4)).mean(axis=0) for name in ("value", "adjusted"))
    assert (mine < 0.6 * raw).all()


def test_the_truth_lies_in_the_interval_in_90_of_100_samples():
    """Water of known density, split twice, with calibrated probabilities of three taxa."""
    kinds, mix = np.array([[9, 0.3, 0.7], [1, 4, 1], [1, 0.2, 8]]), np.array([0.6, 0.05, 0.35])
    density, water = 8, 100
    shares = mix @ (kinds / kinds.sum(axis=1, keepdims=True))
    truth = dict(zip((*NAMES, TOTAL), density * np.append(shares, shares[:2].sum()), strict=True))
    # Volumes are lognormal around 0.1 mm3; those above are kept by the first sieve.
    mean_volume = 0.1 * math.exp(0.8**2 / 2)
    hits = dict.fromkeys([(taxon, quantity) for taxon in truth for quantity in ("abundance", "biovolume")], 0)
    for seed in range(100):
        generator = np.random.default_rng(seed)
        volumes = 0.1 * np.exp(0.8 * generator.standard_normal(generator.poisson(density * water)))
        big = volumes > 0.1
        kept = generator.random(len(big)) < np.where(big, 1 / 2, 1 / 8)
        chances = np.array([generator.dirichlet(kinds[kind]) for kind in generator.choice(3, kept.sum(), p=mix)])
        found = objects(np.where(big[kept], "a", "b"), chances.argmax(axis=1), np.tile(volumes[kept, None], 3), chances)
        rows = abundances(found, [sample(("a", 2), ("b", 8), volume_m3=water)])
        for (taxon, quantity), count in hits.items():
            row = picked(rows, taxon, quantity, "plain" if quantity == "biovolume" else "")
            true = truth[taxon] * (mean_volume if quantity == "biovolume" else 1)
            hits[taxon, quantity] = count + (row["low"] <= true <= row["high"])
    assert {key: count for key, count in hits.items() if count < 90} == {}
