"""ecology, adjusting, resampling: abundance and biovolume of known water."""

import math

import numpy as np
import pytest
from scipy import stats

from plankton_keras.ecology import adjusting, resampling
from plankton_keras.ecology.abundance import MODELS, TOTAL, Objects, abundances, check_samples, seed_of
from plankton_keras.ecology.resampling import drawn_sums, ends, one_more
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
    ("scans", "volumes", "what"),
    [
        ("ab", [100], "No sample has the scan b."),
        ("cab", [100], "No sample has the scans b, c."),
        ("a", [None], "There is no volume_m3 of s0."),
        ("a", [None, 0, 5], "There is no volume_m3 of s0, s1."),
    ],
)
def test_what_would_be_lost_silently_is_named(scans, volumes, what):
    samples = [sample(("a", 4), name=f"s{index}", volume_m3=volume) for index, volume in enumerate(volumes)]
    with pytest.raises(InputError) as caught:
        check_samples(objects(scans, [0] * len(scans)), samples)
    assert str(caught.value).split("\n")[0] == what


def test_a_sample_has_draws_of_its_own_by_its_name():
    # 123456789 has the checksum 0xCBF43926 by the definition of CRC-32.
    assert seed_of(sample(name="123456789"), 0) == 0xCBF43926
    assert seed_of(sample(name="123456789"), 2**32 - 1) == 0xCBF43926 - 1


def test_adjusted_intervals_and_all_others_are_those_of_the_seed():
    found, confusion = objects("a" * 9, [0, 0, 0, 0, 1, 1, 2, 2, 2], VOLUMES * 9), np.diag([5, 6, 7])
    first, again, other = (abundances(found, [sample(("a", 4))], confusion, *seed) for seed in ((), (0,), (1,)))
    assert first == again
    row, different = picked(first, "copepod"), picked(other, "copepod")
    for name in ("low", "high", "adjusted_low", "adjusted_high"):
        assert row[name] != different[name], name
    assert row["adjusted"] == different["adjusted"]


def test_a_row_has_all_that_is_known_of_an_abundance():
    rows = abundances(objects("aab", [0, 0, 2], VOLUMES * 3), [sample(("a", 4), ("b", 2))])
    assert [(row["taxon"], row["living"]) for row in rows[::8]] == [
        ("copepod", True),
        ("jelly", True),
        ("detritus", False),
        ("all living", True),
    ]
    kinds = [("abundance", "", "ind"), *(("biovolume", model, "mm3") for model in ("plain", "riddled", "ellipsoid"))]
    assert [(row["quantity"], row["model"], row["unit"]) for row in rows[:8]] == [
        (quantity, model, f"{unit}/{per}") for quantity, model, unit in kinds for per in ("m3", "m2")
    ]
    assert [row["objects"] for row in rows[::8]] == [2, 0, 1, 2]
    head = ["sample", "taxon", "living", "objects", "quantity", "model", "unit", "value", "expected"]
    assert list(rows[0]) == [*head, "low", "high", "adjusted", "adjusted_low", "adjusted_high"]


def test_the_largest_of_a_taxon_could_have_been_missed_once_more():
    # Of nothing but two jellies of 1 and 3 mm3, 8 and 2 animals each: what is missed is 8 animals, or 8 mm3 of one.
    volumes = np.repeat([[1.0], [3.0]], 3, axis=1)
    rows = abundances(objects("ab", [1, 1], volumes), [sample(("a", 8), ("b", 2), volume_m3=1)])
    sums = drawn_sums(np.array([[8.0, 8.0], [2.0, 6.0]]), np.zeros((2, 1), int), 1, None, seed_of(sample(), 0))
    want = ends(sums, np.array([[8.0, 8.0]]), seed_of(sample(), 0))
    for column, (quantity, model) in enumerate((("abundance", ""), ("biovolume", "plain"))):
        row = picked(rows, "jelly", quantity, model)
        assert (row["low"], row["high"]) == pytest.approx((want[0][0, column], want[1][0, column]))
        assert (row["value"], picked(rows, TOTAL, quantity, model)["high"]) == pytest.approx(
            (10 + 4 * column, row["high"])
        )


@pytest.mark.parametrize(
    ("volumes", "chances", "text"),
    [
        ([[1, 1, 0]], None, "volumes must be positive"),
        (None, np.array([[0.5, 0.2, 0.2]]), "chances of an object must add up to 1"),
        (None, np.array([[0.5, 0.2, 0.3011]]), "chances of an object must add up to 1"),
        (None, np.ones((1, 2)), "of 1 objects and 3 names, the shape of chances is wrong"),
        ([[1, 1, 1]] * 2, np.ones((1, 2)), "of 1 objects and 3 names, the shape of volumes, chances is wrong"),
    ],
)
def test_tables_that_do_not_fit_are_refused(volumes, chances, text):
    with pytest.raises(ValueError, match=f"^{text}$"):
        objects("a", [0], volumes, chances)


def test_taxa_and_what_is_living_must_be_as_many_as_they_are_of():
    with pytest.raises(ValueError, match=r"^of 2 objects and 1 names, the shape of taxa, living is wrong$"):
        Objects(np.array(["a", "b"]), np.array([0]), ("copepod",), (True, False))
    # A little more or less than 1 is what rounding leaves.
    assert objects("a", [0], [[1e-9] * 3], np.array([[0.5, 0.2, 0.3009]])).chances.sum() == pytest.approx(1.0009)


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


def test_one_object_more_is_spread_evenly_over_the_exponential_distribution():
    # The middles of four equal chances, in any order.
    assert sorted(one_more(4)) == pytest.approx([-math.log(share) for share in (7 / 8, 5 / 8, 3 / 8, 1 / 8)])
    assert sorted(one_more(4, seed=1)) == pytest.approx(sorted(one_more(4)))


def test_draws_are_those_of_their_seed_which_is_0():
    values, groups, chances = np.ones((5, 1)), np.tile([0, 1], (5, 1)), np.full((5, 2), 0.5)
    sums = drawn_sums(values, groups, 2, chances)
    calls = {
        "sums": lambda *seed: drawn_sums(values, groups, 2, chances, *seed),
        "more": lambda *seed: one_more(100, *seed),
        "ends": lambda *seed: ends(sums, np.ones((2, 1)), *seed)[1],
        "adjusted": lambda *seed: adjusting.adjusted_draws(sums[..., 0], np.diag([5, 6]), *seed),
    }
    for name, call in calls.items():
        assert (call() == call(0)).all(), name
        assert (call() != call(1)).any(), name


def test_sums_are_of_what_each_object_adds():
    # Three objects of 1, 10 and 100 in one group, each as often as it was drawn: all quantities by the same draws.
    values = np.array([[1.0, 2.0], [10.0, 20.0], [100.0, 200.0]])
    sums = drawn_sums(values, np.zeros((3, 1), int), 1)
    assert sums[..., 1] == pytest.approx(2 * sums[..., 0])
    assert sums[:, 0, 0].mean() == pytest.approx(111, rel=0.1)
    # Variance of the exponential distribution is its mean squared.
    assert sums[:, 0, 0].std() == pytest.approx(math.sqrt(1 + 100 + 10_000), rel=0.1)


def test_chances_need_not_add_up_to_1_to_be_drawn_by():
    sums = drawn_sums(np.ones((1, 1)), np.array([[0, 1]]), 2, np.array([[0.3, 0.1]]))
    assert (sums[:, 0, 0] > 0).mean() == pytest.approx(0.75, abs=0.05)
    assert ((sums > 0).sum(axis=1) == 1).all()


def test_ends_nobody_knows_stay_unknown():
    low, high = ends(np.ones((1000, 1, 2)), np.array([[1.0, np.nan]]))
    assert low.tolist() == [[1, 1]]
    assert high[0, 0] > 1
    assert np.isnan(high[0, 1])


def test_shares_of_each_true_class_add_up_to_1_and_one_without_vignettes_is_never_confused():
    assert adjusting.shares([[0, 0], [1, 3]]).tolist() == [[1, 0], [0.25, 0.75]]
    # Fractions of a vignette too.
    assert adjusting.shares([[0.3, 0.1], [0, 0]]) == pytest.approx(np.array([[0.75, 0.25], [0, 1]]))


def test_matrices_are_drawn_around_what_validation_held_and_two_vignettes_more_a_class(monkeypatch):
    monkeypatch.setattr(adjusting, "adjusted", lambda counts, confusion: confusion)
    drawn = adjusting.adjusted_draws(np.zeros((4000, 3)), np.array([[6, 0, 1], [0, 0, 0], [1, 0, 0]]), 0)
    want = np.array([[6, 0, 1], [0, 0, 0], [1, 0, 0]]) + np.array([[2 / 3], [0], [2 / 3]])
    # Gamma: the variance is the mean.
    assert drawn.mean(axis=0) == pytest.approx(want, rel=0.1)
    assert drawn.var(axis=0) == pytest.approx(want, rel=0.2)
    assert (drawn[:, 1] == 0).all()


def test_less_than_an_animal_is_adjusted_too():
    # 0.26 and 0.84 of the example, a thousandth of its objects.
    assert adjusting.adjusted([0.26, 0.84], [[90, 10], [20, 80]]) == pytest.approx([0.057142857, 1.042857143])
    # Where more of one class were found than there can be, its share is given to the other, and the sum is kept.
    assert adjusting.adjusted([0, 0.5], [[90, 10], [30, 70]]) == pytest.approx([0, 0.5])


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


def test_what_bears_a_name_without_probabilities_has_the_interval_of_its_count():
    names, living = (*NAMES, "unclassified"), (*LIVING, True)
    chances = np.tile([[0.5, 0.3, 0.2, 0.0]], (30, 1))
    taxa, volumes = np.array([3] * 20 + [0] * 10), np.full((30, 3), 0.5)
    found = Objects(np.array(["a"] * 30), taxa, names, living, volumes, chances)
    rows = abundances(found, [sample(("a", 4), volume_m3=2)])
    counted, volume = picked(rows, "unclassified"), picked(rows, "unclassified", "biovolume", "plain")
    assert (counted["value"], counted["expected"], volume["value"], volume["expected"]) == (40, None, 20, None)
    # Garwood's ends of 20 objects, each of which stands for 2.
    for row, factor in ((counted, 2), (volume, 1)):
        assert row["low"] == pytest.approx(stats.chi2.ppf(0.025, 40) / 2 * factor, rel=0.1)
        assert row["high"] == pytest.approx(stats.chi2.ppf(0.975, 42) / 2 * factor, rel=0.1)
    # All others are as without it: of all living 24 are expected.
    assert picked(rows, TOTAL)["expected"] == pytest.approx(48)
    assert picked(rows, TOTAL)["low"] < 48 < picked(rows, TOTAL)["high"] < 80
    rest = abundances(objects("a" * 30, [0] * 30, volumes, chances[:, :3]), [sample(("a", 4), volume_m3=2)])
    for name in (*NAMES, TOTAL):
        assert all(picked(rows, name)[end] == pytest.approx(picked(rest, name)[end]) for end in ("low", "high"))


def test_of_what_was_not_called_up_to_as_many_could_be_there_as_were_missed():
    # Half of the jellies are called copepods.
    confusion = np.array([[9000, 0, 0], [5000, 5000, 0], [0, 0, 9000]])
    rows = abundances(objects("a" * 50, [0] * 50), [sample(("a", 4), volume_m3=4)], confusion)
    jelly = picked(rows, "jelly")
    assert (jelly["adjusted"], jelly["adjusted_low"]) == (0, 0)
    assert jelly["adjusted_high"] == pytest.approx(2 * 3.689, rel=0.05)


def test_where_nothing_was_found_one_animal_more_of_all_living_could_be_there():
    rows = abundances(objects("", []), [sample(("a", 4), volume_m3=4)], np.diag([9000, 9000, 9000]))
    for taxon in (*NAMES, TOTAL):
        row = picked(rows, taxon)
        assert (row["adjusted"], row["adjusted_low"]) == (0, 0)
        assert row["adjusted_high"] == pytest.approx(3.689, rel=0.05)


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
