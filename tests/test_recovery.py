"""Known truth recovered: drawn scans through a trained network, `measure` and the tables, beside their true animals.

A sample is one scan. The number of its animals is drawn from the Poisson distribution, as if water of a known
concentration had been filtered, and whose each pixel is, is known (`DrawnScan.instances`). The truth is measured and
tabulated by the same functions as what was found. `pytest -m slow -s tests/test_recovery.py` prints the figures.
"""

import csv
from types import SimpleNamespace

import numpy as np
import pytest
from click.testing import CliRunner

from plankton_keras.candidates import LocalGround
from plankton_keras.cli import main
from plankton_keras.config import PredictConfig
from plankton_keras.ecology.abundance import MODELS, TOTAL, Objects, abundances
from plankton_keras.ecology.spectra import spectra
from plankton_keras.images import pixel_mm
from plankton_keras.measures.zooprocess import measure
from plankton_keras.measuring import measure_scan
from plankton_keras.predicting import Job, load, predict_file
from plankton_keras.sample_tables import Fraction, Sample
from plankton_keras.scans import open_scan
from plankton_keras.synthetic import TAXA, draw_scan, write_netpbm, write_scans
from plankton_keras.tiles import Window

pytestmark = pytest.mark.slow

SAMPLES, MEAN_ANIMALS, SIDE = 100, 60, 2240
DPI, SUB_PART, VOLUME_M3 = 2400, 4, 10.0
LIVING = {taxon.id for taxon in TAXA if taxon.living}
TOTALS = [("abundance", ""), *(("biovolume", model) for model in MODELS)]
LIKELIEST = "maximum likelihood"


def command(*words):
    result = CliRunner().invoke(main, [*map(str, words)], catch_exceptions=False)
    assert result.exit_code == 0, result.output


def water(*stems):
    """A sample of scans that a quarter of its catch lies on."""
    parts = tuple(Fraction(scan=stem, fraction=stem, sub_part=SUB_PART) for stem in stems)
    return Sample(sample=stems[0], fractions=parts, volume_m3=VOLUME_M3 * len(stems))


def drawn_sample(index):
    """Draws the scan of a sample, with a number of animals of its own."""
    animals = np.random.default_rng([2027, index]).poisson(MEAN_ANIMALS)
    return draw_scan(SIDE, SIDE, [2026, index], animals=animals, power_law=True)


def true_measures(drawn, scan):
    """Measures the living animals of a drawn scan, each on the pixels that are its own."""
    ground, owners, found = LocalGround(scan), drawn.instances(), []
    for number, each in enumerate(drawn.objects, 1):
        window = Window(each.top, each.left, each.height, each.width)
        own = owners[window.slices] == number
        if each.id in LIVING and own.any():
            found.append(measure(ground.whitened(window), own, (each.left, each.top), pixel_mm(DPI)))
    return found


def figures(measured, sample):
    """Tabulates the measures of each scan of a sample: `(value, low, high)` by quantity and model."""
    columns = [f"biovolume_{model}_mm3" for model in MODELS]
    volumes = [[each[name] or each[columns[0]] for name in columns] for found in measured for each in found]
    scans = np.repeat([part.scan for part in sample.fractions], [len(found) for found in measured])
    objects = Objects(scans, np.zeros(len(scans), int), ("living",), (True,), np.array(volumes))
    rows = {
        (row["quantity"], row["model"]): (row["value"], row["low"], row["high"])
        for row in abundances(objects, [sample])
        if (row["taxon"], row["unit"][-2:]) == (TOTAL, "m3")
    }
    for row in spectra(objects, [sample])[1]:
        known = (row["slope"], row["low"], row["high"])
        key = f"slope, {row['convention']}, {row['method']}", row["model"]
        rows[key] = tuple(np.nan if each is None else each for each in known)
    return rows


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run trained on drawn scans, as the demo trains one."""
    folder = tmp_path_factory.mktemp("recovery")
    write_scans(folder / "scans", train=4, val=1, test=0, size=(2048, 1536), seed=7, power_law=True)
    command("make-tfrecords", folder / "scans", "--out", folder / "records", "--patch-size", 512, "--quiet")
    command("train", folder / "records", "--out", folder / "run", "--epochs", 2, "--steps-per-epoch", 60, "--quiet")
    return folder / "run"


@pytest.fixture(scope="module")
def recovered(run, tmp_path_factory):
    """Figures of all samples, found and true, and of all together as one sample."""
    folder, models = tmp_path_factory.mktemp("samples"), (str(run),)
    digest, stems = load(models).digest, [f"s{index}" for index in range(SAMPLES)]
    measured = SimpleNamespace(found=[], true=[])
    for index, stem in enumerate(stems):
        drawn, path = drawn_sample(index), folder / f"{stem}_scan.pgm"
        write_netpbm(path, drawn.scan)
        predict_file(Job(path), lambda *_: None, models, digest, PredictConfig(), folder)
        with open_scan(path) as scan:
            measured.found.append([each.measures for each in measure_scan(folder, scan, pixel_mm(DPI))])
            measured.true.append(true_measures(drawn, scan))
        path.unlink()
    result = SimpleNamespace()
    for side, scans in vars(measured).items():
        each = [figures([found], water(stem)) for found, stem in zip(scans, stems, strict=True)]
        setattr(result, side, {key: np.array([row[key] for row in each]) for key in each[0]})
        setattr(result, f"all_{side}", {key: row[0] for key, row in figures(scans, water(*stems)).items()})
    result.water = water_figures(result.all_true)
    print("", *report(result), sep="\n")  # noqa: T201
    return result


def water_figures(true):
    """What the water holds: the concentration drawn from, animals of the mean volume, and the slope of all of them."""
    mean = MEAN_ANIMALS * SUB_PART / VOLUME_M3
    scale = mean / true[TOTALS[0]]
    return {key: value if key[0].startswith("slope") else value * scale for key, value in true.items()}


def within(result, truth, key):
    """Share of the samples with an interval that holds the truth, and the number of those samples."""
    low, high = result.found[key][:, 1:].T
    known = ~(np.isnan(low) | np.isnan(truth))
    return ((low <= truth) & (truth <= high))[known].mean(), int(known.sum())


def report(result):
    """Tabulates how far all samples together and single ones are off, and how often intervals hold the truth."""
    yield "| quantity | model | all samples | single samples | scan's truth in | water's truth in | samples |"
    yield "|---|---|--:|--:|--:|--:|--:|"
    for key, found in result.all_found.items():
        true, slope = result.all_true[key], key[0].startswith("slope")
        each, known = result.found[key][:, 0], result.true[key][:, 0]
        off = each - known if slope else each / known - 1
        (scan, count), (water, _) = within(result, known, key), within(result, result.water[key], key)
        low, middle, high = np.nanquantile(off, [0.25, 0.5, 0.75])
        told = found - true if slope else found / true - 1, middle, low, high
        total, *single = (f"{each:+.3f}" if slope else f"{each:+.1%}" for each in told)
        cells = (*key, total, "{} ({} to {})".format(*single), f"{scan:.0%}", f"{water:.0%}", str(count))
        yield f"| {' | '.join(cells)} |"


def test_abundance_and_biovolume_of_all_samples_are_recovered(recovered):
    for key in TOTALS:
        assert recovered.all_found[key] == pytest.approx(recovered.all_true[key], rel=0.1), key


def test_the_slope_of_all_samples_is_recovered(recovered):
    for key in [key for key in recovered.all_found if LIKELIEST in key[0]]:
        assert recovered.all_found[key] == pytest.approx(recovered.all_true[key], abs=0.05), key


def test_what_is_on_the_scan_lies_in_the_interval_in_90_of_100_samples(recovered):
    shares = {key: within(recovered, recovered.true[key][:, 0], key) for key in TOTALS}
    assert {key: share for key, share in shares.items() if share[0] < 0.9 or share[1] < SAMPLES} == {}


def test_the_slope_of_the_scan_lies_in_the_interval_in_90_of_100_samples_that_have_one(recovered):
    for key in [key for key in recovered.all_found if LIKELIEST in key[0] and key[1] == "plain"]:
        share, count = within(recovered, recovered.true[key][:, 0], key)
        assert share >= 0.9, key
        assert count >= SAMPLES / 2, key


def test_what_is_in_the_water_lies_in_the_interval_in_90_of_100_samples(recovered):
    shares = {key: within(recovered, recovered.water[key], key) for key in TOTALS}
    assert {key: share for key, share in shares.items() if share[0] < 0.9 or share[1] < SAMPLES} == {}


def test_the_commands_write_these_figures(run, recovered, tmp_path):
    (tmp_path / "scans").mkdir()
    write_netpbm(tmp_path / "scans" / "s0_scan.pgm", drawn_sample(0).scan)
    (tmp_path / "samples.csv").write_text(f"sample,scan,fraction,sub_part,volume_m3\ns0,s0,s0,{SUB_PART},{VOLUME_M3}\n")
    command("predict", run, tmp_path / "scans", "--out", tmp_path / "p", "--quiet")
    words = ("--metadata", tmp_path / "samples.csv", "--dpi", DPI, "--quiet")
    command("measure", tmp_path / "p", "--out", tmp_path / "m", *words)
    with open(tmp_path / "m" / "abundance.csv", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["taxon"] == TOTAL and row["unit"].endswith("m3")]
    assert [(row["quantity"], row["model"]) for row in rows] == TOTALS
    for row in rows:
        said = [float(row[name]) for name in ("value", "low", "high")]
        assert said == pytest.approx(recovered.found[row["quantity"], row["model"]][0].tolist())
