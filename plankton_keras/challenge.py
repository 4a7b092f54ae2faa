"""The CSV of the 2025 ZooScan segmentation challenge on Kaggle (3md4040-2025-challenge): a line is a row of a mask.

The columns are `Id,Target`. An Id is `STEM_mask.png.ppm_ROW`, with rows from 0. A Target is that row in quotes, six
pixels a character: `chr(48 + bits)`, the first pixel in the highest bit, zeros after the last pixel.
"""

import csv
import re
from pathlib import Path

import numpy as np

from plankton_keras.errors import ArtefactError, InputError
from plankton_keras.files import whole_file
from plankton_keras.journal import read_journal
from plankton_keras.pairs import stem_of
from plankton_keras.scans import BAND, open_mask
from plankton_keras.threads import in_order
from plankton_keras.tiles import Window

BITS, OFFSET = 6, 48
COLUMNS = ["Id", "Target"]
MASK_NAME = "{stem}_mask.png.ppm"
WRITE_ANEW = "write it anew with plankton submit."


def encode(mask, padding="always"):
    """Encodes rows of a mask.

    Args:
        mask: `(height, width)`, foreground where it is not 0.
        padding: `always` ends a row whose width divides by 6 with one more character of zeros, as the course's code
            does; `needed` does not. Other widths come out alike.

    Returns:
        A list of one string a row.

    Example:

    >>> encode(np.array([[1, 1, 1, 1, 0, 0]])), encode(np.array([[1, 1, 1, 1, 0, 0]]), "needed")
    (['l0'], ['l'])
    >>> encode(np.array([[1, 1, 1, 1]])), encode(np.array([[1, 1, 1, 1]]), "needed")
    (['l'], ['l'])
    """
    height, width = mask.shape
    characters = width // BITS + 1 if padding == "always" else -(-width // BITS)
    bits = np.zeros((height, characters * BITS), np.uint8)
    bits[:, :width] = mask != 0
    # A byte is packed from the highest bit on, and its last two bits stay empty.
    codes = (np.packbits(bits.reshape(height, characters, BITS), axis=2)[..., 0] >> 2) + OFFSET
    return [row.tobytes().decode("ascii") for row in codes]


def decode(targets, width, ids):
    """Decodes rows of a mask, whichever padding they have.

    Args:
        targets: List of strings, one a row.
        width: Width of the mask in pixels.
        ids: Ids of the rows, for the message.

    Returns:
        uint8 `(rows, width)` of 0 and 1.

    Raises:
        InputError: If a row has another length or another character, or pixels beyond the width.

    Example:

    >>> decode(["l0", "0o"], 7, ["a_mask.png.ppm_0", "a_mask.png.ppm_1"])
    Traceback (most recent call last):
    plankton_keras.errors.InputError: a_mask.png.ppm_1 has pixels beyond the width of 7.
    Expected: zeros after the last pixel.
    Fix: check that the mask belongs to the scan.
    >>> decode(["l0"], 6, ["a_mask.png.ppm_0"]).tolist(), decode(["l"], 6, ["a_mask.png.ppm_0"]).tolist()
    ([[1, 1, 1, 1, 0, 0]], [[1, 1, 1, 1, 0, 0]])
    """
    least, most = -(-width // BITS), width // BITS + 1
    for target, row in zip(targets, ids, strict=True):
        if not least <= len(target) <= most:
            raise InputError(
                f"{row} has {len(target)} characters.",
                f"{least}" + (f" or {most}" if most > least else "") + f" for a width of {width} pixels.",
                "check that the mask belongs to the scan.",
            )
    texts = np.array([target.ljust(most, chr(OFFSET)) for target in targets], f"U{most}")
    codes = texts.view(np.uint32).reshape(len(targets), most)
    wrong = np.argwhere((codes < OFFSET) | (codes >= OFFSET + 2**BITS))
    if len(wrong):
        place, column = wrong[0]
        raise InputError(
            f"{ids[place]} has the character {chr(codes[place, column])!r}.",
            f"characters from {chr(OFFSET)!r} to {chr(OFFSET + 2**BITS - 1)!r}.",
            WRITE_ANEW,
        )
    six = ((codes - OFFSET) << 2).astype(np.uint8)
    bits = np.unpackbits(six[..., None], axis=2, count=BITS).reshape(len(targets), -1)
    beyond = bits[:, width:].any(axis=1)
    if beyond.any():
        raise InputError(
            f"{ids[beyond.argmax()]} has pixels beyond the width of {width}.",
            "zeros after the last pixel.",
            "check that the mask belongs to the scan.",
        )
    return bits[:, :width]


def write_csv(path, masks, padding="always", progress=None):
    """Writes masks as one CSV file, whole or not at all; memory does not grow with their number.

    Args:
        path: The file.
        masks: Paths of masks, `STEM_mask.EXT`; foreground is every class but 0.
        padding: As for `encode`.
        progress: Called with `(masks done, masks in all)`, or None.

    Returns:
        A list of one dictionary a mask: `scan`, its stem; `width_px`; `height_px`, which is its number of lines; and
        `living_share`, the share of its pixels that are foreground.

    Raises:
        InputError: If a mask is bad.
    """
    written = []
    with whole_file(path) as partial, open(partial, "w", encoding="utf-8", newline="\n") as file:
        file.write(",".join(COLUMNS) + "\n")
        for done, mask_path in enumerate(masks, start=1):
            with open_mask(mask_path) as mask:
                living = 0
                for lines, count in in_order(_encoder(mask, padding), range(0, mask.height, BAND)):
                    file.write(lines)
                    living += count
                size = {"width_px": mask.width, "height_px": mask.height}
            share = round(living / (mask.width * mask.height), 6)
            written.append({"scan": stem_of(mask_path), **size, "living_share": share})
            if progress:
                progress(done, len(masks))
    return written


def _encoder(mask, padding):
    """Gives the function of a band's first row to its lines and its number of foreground pixels."""
    name = MASK_NAME.format(stem=stem_of(mask.path))

    def encode_band(top):
        band = mask.read(Window(top, 0, min(BAND, mask.height - top), mask.width))
        rows = enumerate(encode(band, padding), start=top)
        return "".join(f'{name}_{row},"{target}"\n' for row, target in rows), int(np.count_nonzero(band))

    return encode_band


def read_csv(path, widths):
    """Reads masks back, band by band.

    Args:
        path: The file.
        widths: Width in pixels by stem, since the file does not say it; other scans are passed over.

    Yields:
        `(stem, top, band)`: uint8 `(rows, width)` of 0 and 1, and its first row. The bands of a scan come in order.

    Raises:
        InputError: If the file is no such CSV, or a row is missing, out of order or damaged.
    """
    stem, top, ids, targets = None, 0, [], []
    for row_id, found, row, target in _rows(path):
        if targets and (found != stem or len(targets) == BAND):
            yield stem, top, decode(targets, widths[stem], ids)
            ids, targets = [], []
        if found in widths:
            stem, top = found, top if targets else row
            ids.append(row_id)
            targets.append(target)
    if targets:
        yield stem, top, decode(targets, widths[stem], ids)


def _rows(path):
    """Reads the lines of a CSV: id, stem, row and target; the rows of each stem count from 0."""
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path} does not exist.", "the CSV file of a submission.", "check the path.")
    nexts = {}
    with open(path, encoding="utf-8-sig", errors="replace", newline="") as file:
        reader = csv.reader(file)
        try:
            if next(reader, None) != COLUMNS:
                raise InputError(f"{path} does not start with {','.join(COLUMNS)}.", "these two columns.", WRITE_ANEW)
            for line in reader:
                name, _, row = line[0].rpartition("_") if len(line) == 2 else ("", "", "")
                # The limit is that of Python's `int`, far beyond the rows of any scan.
                if not (name and re.fullmatch("[0-9]{1,18}", row)):
                    raise InputError(
                        f"{path}, line {reader.line_num}: no row of a mask.",
                        f'{MASK_NAME.format(stem="STEM")}_ROW,"TARGET".',
                        WRITE_ANEW,
                    )
                stem = stem_of(name)
                if int(row) != nexts.get(stem, 0):
                    raise InputError(
                        f"{path}, line {reader.line_num}: {line[0]} comes after {nexts.get(stem, 0)} rows.",
                        "the rows of each mask from 0, in order.",
                        WRITE_ANEW,
                    )
                nexts[stem] = int(row) + 1
                yield line[0], stem, int(row), line[1]
        except csv.Error as error:
            raise InputError(f"{path}, line {reader.line_num}: {error}.", "a CSV file.", WRITE_ANEW) from None


def predicted_masks(folder):
    """Finds the masks of a prediction folder.

    Args:
        folder: The folder that `plankton predict` wrote.

    Returns:
        `(masks, names)`: paths of masks in the order of prediction.json, and the class names by index.

    Raises:
        ArtefactError: If it is no prediction folder, holds no scan, a scan failed, or a mask is missing.
    """
    folder = Path(folder)
    again = f"run it again: plankton predict MODEL SCANS --out {folder}"
    needed = ("status", "scans", "failed", "classes")
    content = read_journal(folder, "give a folder that plankton predict wrote.", needed)
    if content["failed"]:
        names = ", ".join(entry["scan"] for entry in content["failed"])
        raise ArtefactError(f"{folder}: {names} could not be predicted.", "a prediction of every scan.", again)
    if content["status"] != "done":
        raise ArtefactError(f"{folder} is not finished.", "a prediction of every scan.", again)
    masks = [folder / f"{entry['scan']}_mask.png" for entry in content["scans"]]
    if not masks:
        raise ArtefactError(f"{folder} holds no scan.", "a prediction of one scan or more.", again)
    missing = [path for path in masks if not path.is_file()]
    if missing:
        raise ArtefactError(f"{missing[0]} does not exist.", "the mask of each predicted scan.", again)
    return masks, tuple(content["classes"])
