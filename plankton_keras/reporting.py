"""A page and plots of each sample: what was measured, gathered by sample."""

import dataclasses
import re
from pathlib import Path

import cv2

from plankton_keras.files import free_name
from plankton_keras.measuring import AS_FOUND, Grouping
from plankton_keras.naming import Named
from plankton_keras.plots import plot_abundance, plot_spectrum
from plankton_keras.runs import now, versions
from plankton_keras.sample_report import CONVENTIONS, MODEL, Content, write_sample_report
from plankton_keras.sample_tables import Sample

OBJECTS, ABUNDANCE, SPECTRA, SLOPES = "measured objects", "abundance and biovolume", "size spectra", "their slopes"
# Larger overlays are reduced.
OVERLAY_SIDE = 1600


@dataclasses.dataclass(frozen=True)
class MeasuredScan:
    """What is kept of a scan once it is measured.

    Attributes:
        stem: Its stem.
        sample: Its `sample_tables.Sample`, or None.
        rows: Rows of objects.csv as dictionaries.
        named: `naming.Named` of its objects, or None.
        packages: Paths of its packages for EcoTaxa.
        vignettes: What `sample_vignettes.keep` gave.
        grouping: The `measuring.Grouping`.
        dpi: Resolution that its millimetres are of, or None.
        too_large: Names of objects that no package has, since EcoTaxa takes no vignettes of their size.
        mixed: Names of objects whose pixels are of several classes.
    """

    stem: str
    sample: Sample | None
    rows: list
    named: Named | None
    packages: list
    vignettes: list
    grouping: Grouping = AS_FOUND
    dpi: float | None = None
    too_large: tuple = ()
    mixed: tuple = ()

    @property
    def name(self):
        """The sample, or the scan where nothing is known of a sample."""
        return self.sample.sample if self.sample else self.stem


def write_reports(folder, prediction, measured, tables, out, lost):
    """Writes a page of each sample, or of each scan without metadata, and the plots of samples.

    Args:
        folder: The prediction folder.
        prediction: Dictionary of its prediction.json.
        measured: List of `MeasuredScan`.
        tables: Rows of each table by its name.
        out: Where to write.
        lost: Stems of scans that are not measured, by sample.

    Returns:
        The paths of the pages `report_NAME.html`, and those of the plots.
    """
    groups, reports, plots, taken = {}, [], [], set()
    for scan in measured:
        groups.setdefault(scan.name, []).append(scan)
    taxa = _taxa(prediction, measured)
    for name, scans in groups.items():
        file = free_name(re.sub(r"[^\w.-]+", "_", name), taken)
        mine = {
            table: [row for row in rows if row["sample"] == name]
            for table, rows in tables.items()
            if table != OBJECTS and scans[0].sample
        }
        drawn = _plots(out, file, name, mine)
        page = Path(out) / f"report_{file}.html"
        written = [path.name for path in (page, *drawn, *(path for scan in scans for path in scan.packages))]
        written += ["objects.csv"] if tables.get(OBJECTS) else []
        content = Content(
            name,
            [_scan(folder, prediction, scan.stem) for scan in scans],
            taxa,
            tuple(prediction["classes"]),
            _known(scans[0].sample),
            [row for scan in scans for row in scan.rows],
            mine.get(ABUNDANCE, []),
            mine.get(SPECTRA, []),
            mine.get(SLOPES, []),
            [each for scan in scans for each in scan.vignettes],
            _provenance(prediction, scans, written),
            lost.get(name, ()),
        )
        write_sample_report(page, content)
        reports.append(page)
        plots += drawn
    return reports, plots


def _taxa(prediction, measured):
    """Gives every taxon that there could be, and whether it is living."""
    named = next((scan.named for scan in measured if scan.named), None)
    if named:
        return dict(zip(named.names, map(bool, named.living), strict=True))
    return prediction["living"]


def _plots(out, file, name, tables):
    of_plot = {"model": MODEL, "convention": CONVENTIONS[0]}
    classes, fits = (
        [row for row in tables.get(table, ()) if of_plot.items() <= row.items()] for table in (SPECTRA, SLOPES)
    )
    title = f"{name}: size spectrum, {CONVENTIONS[0]} of volume, {MODEL} model"
    spectrum = plot_spectrum(Path(out) / f"{file}_spectrum", classes, fits, title)
    abundance = plot_abundance(
        Path(out) / f"{file}_abundance", tables.get(ABUNDANCE, ()), f"{name}: abundance (objects in brackets)"
    )
    return spectrum + abundance


def _scan(folder, prediction, stem):
    """Gives what the page shows of a scan itself."""
    entry = next(entry for entry in prediction["scans"] if entry["scan"] == stem)
    overlay = cv2.imread(str(Path(folder) / f"{stem}_overlay.jpg"), cv2.IMREAD_COLOR)
    if overlay is not None and max(overlay.shape) > OVERLAY_SIDE:
        height, width = overlay.shape[:2]
        factor = OVERLAY_SIDE / max(height, width)
        size = max(1, round(width * factor)), max(1, round(height * factor))
        overlay = cv2.resize(overlay, size, interpolation=cv2.INTER_AREA)
    return {"scan": stem, "unlike_training": entry.get("unlike_training", []), "overlay": overlay}


def _known(sample):
    """Gives what is known of a sample, by columns of samples.csv."""
    if sample is None:
        return None
    fields = [field.name for field in dataclasses.fields(sample) if field.name not in ("sample", "fractions")]
    return {name: getattr(sample, name) for name in fields if getattr(sample, name) not in (None, "")}


def _provenance(prediction, scans, written):
    """Gives what made the numbers."""
    known = {"model": prediction["model"], "model_sha256": prediction["model_sha256"]}
    known |= {"threshold": prediction["threshold"], "objects named by": "the segmentation"}
    known |= {name.replace("_", " "): said for name, said in scans[0].grouping.said.items()}
    if any(scan.named for scan in scans):
        known["objects named by"] = "a classifier of vignettes"
    sample = scans[0].sample
    if sample:
        parts = {part.scan: part.sub_part for part in sample.fractions}
        known["sample"] = {**_known(sample), "sub_part": parts}
    return {
        **known,
        "predicted with": prediction.get("versions", {}),
        "measured with": {"plankton_keras": versions()["plankton_keras"]},
        "measured": now(),
        "files": written,
    }
