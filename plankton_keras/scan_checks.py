"""Checks of scans and masks: every problem is a finding. Commands that work on them check their headers first.

Limits are those of ZooProcess and of the field's quality control (ZQC) where they have one; others are marks at which a
person should look.
"""

import shutil
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np

from plankton_keras.errors import and_others
from plankton_keras.findings import ERROR, WARNING, Finding, found_by
from plankton_keras.images import open_image
from plankton_keras.leaks import equal_files
from plankton_keras.pairs import survey
from plankton_keras.sample_tables import read_samples
from plankton_keras.samples import SAMPLES, listed, read_table
from plankton_keras.scans import BAND, check_ids, check_place, open_mask, open_scan
from plankton_keras.taxa import find_taxa, read_taxa
from plankton_keras.tiles import Window

# Darker than this share of the ground is an object, as for candidates.
DARK = 0.95
# ZooProcess calls a background bad where more than a quarter of the scan is dark.
MOST_DARK = 0.25
# A scan on which fewer pixels than this share are dark holds nothing.
LEAST_DARK = 1e-6
# Share of the pixels that may be quite black or quite white; a ground that is white hides thin animals.
MOST_CLIPPED = 0.5
# Gray levels that the ground of a scan may differ from that of the others.
DRIFT = 12
# A mask with more ids than this holds gray levels or numbers of objects rather than taxa.
MOST_IDS = 1000
COPY = "copy the file again from where it came."


@dataclass(frozen=True)
class Looked:
    """What was seen of a scan.

    Attributes:
        stem: Its name.
        ground: Gray level of the ground, 0..255: the median.
        dark: Share of pixels darker than `DARK` of it.
        black: Share of pixels at gray level 0.
        white: Share of pixels at gray level 255.
        dpi: Resolution as the file says, or None.
        pixels: Number of pixels.
        marked: Share of pixels of the mask's objects; 0 without a mask.
        inside: Share of these that are so dark; 0 without any.
    """

    stem: str
    ground: int
    dark: float
    black: float
    white: float
    dpi: float | None
    pixels: int
    marked: float = 0
    inside: float = 0


def check_scans(folder, masks=None, progress=None, whole=True):
    """Checks a folder of scans, with or without masks.

    Args:
        folder: As in `pairs.find_pairs`.
        masks: As in `pairs.find_pairs`.
        progress: Called with `(scans done, scans in all, stem)`, or None.
        whole: Whether every pixel is read; else names, headers and sizes are checked, in no time.

    Returns:
        A list of `findings.Finding`; empty if all is well.

    Raises:
        InputError: If a folder does not exist.
    """
    pairs, problems = survey(folder, masks)
    findings = [Finding.of("names", each) for each in problems]
    # Who names a folder of masks wants one of each scan, as make-tfrecords does.
    if masks or any(pair.mask for pair in pairs):
        findings += [_lonely(pair) for pair in pairs if not pair.mask]
    table = find_taxa(folder)
    taxa, bad = found_by("taxa.csv", read_taxa, table) if table else (None, [])
    findings += bad
    looks, readable = [], []
    for done, pair in enumerate(pairs):
        look, found = check_pair(pair, None if taxa is None else {taxon.id for taxon in taxa}, whole)
        findings += found
        looks += [look] if look else []
        # Of files that fail, no bytes can be compared.
        readable += [] if any(each.group == "files" for each in found) else [pair]
        if progress:
            progress(done + 1, len(pairs), pair.stem)
    if whole and (samples := Path(folder) / SAMPLES).is_file():
        findings += _samples(samples, [pair.stem for pair in pairs])
    return findings + between(looks) + _twins(readable) + _disk(folder, looks)


def check_headers(pairs):
    """Checks what can be told of scans and masks by opening them, before the work on their pixels.

    PNG, BMP, GIF and JPEG are decoded for it, since nothing less tells that they are whole; of netpbm and TIFF no pixel
    is read.

    Args:
        pairs: List of `pairs.ScanPair`.

    Returns:
        A list of `findings.Finding`.
    """
    return [finding for pair in pairs for finding in check_pair(pair, whole=False)[1]]


def check_pair(pair, known=None, whole=True):
    """Checks a scan and its mask.

    Args:
        pair: A `pairs.ScanPair`.
        known: Set of the ids that taxa.csv has, or None without one.
        whole: As for `check_scans`.

    Returns:
        `(look, findings)`: `Looked`, None if the scan was or could not be read; and a list of `findings.Finding`.
    """
    # How gray levels of 16 bits become 8 is found in the pixels, or said by the user of a command.
    scan, bad_scan = found_by("files", open_scan if whole else open_image, pair.scan)
    mask, bad_mask = found_by("files", open_mask, pair.mask) if pair.mask else (None, [])
    findings = bad_scan + bad_mask
    try:
        if apart := scan and mask and (scan.height, scan.width) != (mask.height, mask.width):
            findings.append(_sizes(pair, scan, mask))
        if not whole:
            return None, findings
        ids, unreadable = found_by("files", mask.ids) if mask else (None, [])
        findings += unreadable
        # A mask that cannot be read hides nothing of its scan; one of another size is of another scan, most likely.
        readable = mask if ids and not apart else None
        look, unreadable = found_by("files", _look, scan, readable) if scan else (None, [])
        findings += unreadable + (doubts(look, pair.scan) if look else [])
        return look, findings + (_ids(ids, pair.mask, known) if readable else []) + _place(look, pair)
    finally:
        for opened in filter(None, (scan, mask)):
            opened.close()


def _look(scan, mask):
    """Reads a scan once, by bands of rows."""
    counts, inside = np.zeros(256, np.int64), np.zeros(256, np.int64)
    for top in range(0, scan.height, BAND):
        window = Window(top, 0, min(BAND, scan.height - top), scan.width)
        gray = scan.read(window)
        counts += np.bincount(gray.ravel(), minlength=256)
        if mask:
            inside += np.bincount(gray[mask.read(window) > 0], minlength=256)
    total, levels = int(counts.sum()), np.arange(256)
    ground = int(np.searchsorted(np.cumsum(counts), (total + 1) // 2))
    return Looked(
        stem=scan.stem,
        ground=ground,
        dark=float(counts[levels < DARK * ground].sum() / total),
        black=float(counts[0] / total),
        white=float(counts[255] / total),
        dpi=scan.dpi,
        pixels=total,
        marked=float(inside.sum() / total),
        inside=float(inside[levels < DARK * ground].sum() / max(inside.sum(), 1)),
    )


def doubts(look, path):
    """Names what is doubtful about the gray levels of one scan.

    Args:
        look: `Looked`.
        path: The scan's file, for the messages.

    Returns:
        A list of `findings.Finding`.

    Example:

    >>> look = Looked("a", ground=220, dark=0.4, black=0.0, white=0.0, dpi=2400.0, pixels=100)
    >>> [finding.what for finding in doubts(look, "a_scan.tif")]
    ['40.0 % of a_scan.tif is darker than its ground of gray level 220.']
    """
    clipped = max(look.black, look.white)
    level = 255 if look.white == clipped else 0
    said = []
    if clipped == 1 or look.dark < LEAST_DARK:
        said.append((f"{path} holds nothing: gray level {look.ground} everywhere, or nearly.", "animals.", COPY))
    elif clipped > MOST_CLIPPED:
        what = f"{100 * clipped:.1f} % of {path} has the gray level {level}."
        said.append((what, "a ground that is neither black nor white.", "scan it again with the exposure locked."))
    elif look.dark > MOST_DARK:
        what = f"{100 * look.dark:.1f} % of {path} is darker than its ground of gray level {look.ground}."
        said.append((what, f"at most {100 * MOST_DARK:.0f} %, as ZooProcess has it.", "check the background."))
    return [Finding("gray levels", WARNING, *words) for words in said]


def between(looks):
    """Names scans that differ from the others, and those of which no resolution is known.

    Args:
        looks: List of `Looked`.

    Returns:
        A list of `findings.Finding`.
    """
    if not looks:
        return []
    findings, usual = [], median(look.ground for look in looks)
    for look in looks:
        if abs(look.ground - usual) > DRIFT:
            what = f"The ground of {look.stem} has gray level {look.ground}, that of the scans {usual:g} as a median."
            fix = "check lamp, cleanness and exposure of that day."
            findings.append(Finding("gray levels", WARNING, what, f"a difference of at most {DRIFT}.", fix))
    unsized = [look.stem for look in looks if not look.dpi]
    if unsized:
        words = f"There is no resolution in {listed(unsized)}.", "dots per inch in the file.", "give measure --dpi."
        findings.append(Finding("resolution", WARNING, *words))
    known = sorted({look.dpi for look in looks if look.dpi})
    if known and known[-1] > 1.01 * known[0]:
        what = f"The scans have resolutions from {known[0]:g} to {known[-1]:g} dpi."
        fix = "train and predict scans of each resolution apart."
        findings.append(Finding("resolution", WARNING, what, "one resolution.", fix))
    return findings


def _lonely(pair):
    expected = f"a mask {pair.stem}_mask.EXT beside it, or in --masks."
    fix = "add the mask, or move the scan elsewhere."
    return Finding("names", ERROR, f"{pair.scan} has no mask.", expected, fix)


def _sizes(pair, scan, mask):
    return Finding(
        "sizes",
        ERROR,
        f"{pair.scan} has {scan.width} x {scan.height} pixels, but {pair.mask} has {mask.width} x {mask.height}.",
        "a mask of the scan's size.",
        "check which mask belongs to the scan.",
    )


def _ids(ids, path, known):
    """Checks the ids of a mask: their bytes, whether taxa.csv has them, and whether they are taxa at all."""
    swapped = found_by("masks", check_ids, ids, path)[1]
    if swapped:
        return swapped
    others, findings = sorted(set(ids) - {0}), []
    unknown = [each for each in others if known is not None and each not in known]
    if unknown:
        named = ", ".join(map(str, unknown[:5])) + and_others(len(unknown) - 5)
        what = f"{path} holds ids that taxa.csv does not have: {named}."
        findings.append(Finding("masks", ERROR, what, "a line id,name,living of each.", "add them to taxa.csv."))
    if not others:
        words = f"{path} holds no object.", "animals.", "check that the mask was saved whole."
        findings.append(Finding("masks", WARNING, *words))
    elif 0 not in ids:
        words = f"{path} holds no ground: no pixel is 0.", "0 where there is no object.", "check the mask's values."
        findings.append(Finding("masks", WARNING, *words))
    if known is None and len(others) > MOST_IDS:
        words = f"{path} holds {len(others)} ids.", "ids of taxa.", "write ids of taxa instead of numbers of objects."
        findings.append(Finding("masks", WARNING, *words))
    return findings


def _place(look, pair):
    seen = look and look.marked
    return found_by("masks", check_place, look.inside, look.dark, look.marked, pair.mask)[1] if seen else []


def _twins(pairs):
    """Names scans of equal bytes; in two splits they make every score too good."""
    apart, beside = equal_files([(pair.split or "the folder", pair.scan) for pair in pairs])
    return [
        Finding(
            "names",
            severity,
            f"{one} and {other} are the same scan.",
            "each scan in one split only.",
            "remove one of the two.",
        )
        for severity, places in ((ERROR, apart), (WARNING, beside))
        for one, other in places
    ]


def _samples(path, stems):
    """Checks samples.csv; one that only says which scans belong together says nothing of water, and need not."""
    table, findings = found_by("samples.csv", read_table, path)
    if not table or "volume_m3" not in table[0]:
        return findings
    read, findings = found_by("samples.csv", read_samples, path, stems)
    fix = f"complete {path} if that is wanted."
    return findings + [
        Finding("samples.csv", WARNING, text, "nothing, if so be it.", fix) for text in (read or ((), ()))[1]
    ]


def _disk(folder, looks):
    """Checks that records of the scans, a byte a pixel at most, would find room."""
    needed, free = sum(look.pixels for look in looks), shutil.disk_usage(folder).free
    if free > needed:
        return []
    what = f"The disk of {folder} has {free / 1e9:.1f} GB left."
    return [Finding("disk", WARNING, what, f"{needed / 1e9:.1f} GB for records of these scans.", "make room.")]
