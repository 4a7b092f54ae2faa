"""Scans and masks in folders: which files they are, which belong together, and which split the folder gives them."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

from plankton_keras.errors import InputError, did_you_mean
from plankton_keras.schema import SPLITS

MASK_SUFFIXES = (".png.ppm", ".ppm", ".pgm", ".png", ".tif", ".tiff", ".bmp", ".gif")
SCAN_SUFFIXES = (*MASK_SUFFIXES, ".jpg", ".jpeg")
# Characters that terminals obey, and what Python makes of bytes that are no UTF-8: tables and pages cannot hold them.
UNWRITABLE = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
# Bytes of a name that file systems take, and the longest of those that predict makes of a stem.
MOST_BYTES = 255
LONGEST = ".partial-{}_probability.tif"


@dataclass(frozen=True)
class ScanPair:
    """A scan and its mask.

    Attributes:
        stem: Name without suffix and without `_scan`.
        scan: Path of the scan.
        mask: Path of the mask, or None.
        split: `train`, `val`, `test`, or None where the folder does not say.
    """

    stem: str
    scan: Path
    mask: Path | None
    split: str | None


def stem_of(path):
    """Gives the name that a scan and its mask share.

    Example:

    >>> stem_of("train/rg20090114_scan.png.ppm"), stem_of("masks/a.tif")
    ('rg20090114', 'a')
    """
    name = Path(path).name
    suffix = next((each for each in SCAN_SUFFIXES if name.lower().endswith(each)), "")
    stem = name[: len(name) - len(suffix)]
    return stem.removesuffix("_scan").removesuffix("_mask")


def find_pairs(folder, masks=None):
    """Finds the scans of a folder and their masks.

    Args:
        folder: A folder of `STEM_scan.EXT` and `STEM_mask.EXT`; sub-folders `train`, `val` and `test` are the splits
            where they exist.
        masks: A folder of masks with the stems of the scans, with the same sub-folders, or None.

    Returns:
        A list of `ScanPair` in the order of split and stem; scans without a mask have None.

    Raises:
        InputError: If there is no scan, a mask has no scan, or two files have one stem.
    """
    pairs, problems = survey(folder, masks)
    if problems:
        raise problems[0]
    return pairs


def survey(folder, masks=None):
    """Finds pairs, and everything that is wrong with their names.

    Args:
        folder: As in `find_pairs`.
        masks: As in `find_pairs`.

    Returns:
        The list of `ScanPair`, and a list of `InputError` which nobody has raised.

    Raises:
        InputError: If a folder does not exist.
    """
    folder = _existing(folder, is_folder=True)
    pairs, problems = [], []
    places = _split_folders(folder, masks and _existing(masks, is_folder=True), problems)
    for split, scans_in, masks_in in places:
        scans = _scan_files(scans_in, masks_in is not None, problems)
        found = _mask_files(masks_in or scans_in, masks_in is not None, problems)
        if masks_in is None:
            problems += [
                InputError(
                    f"{found[stem]} has no scan.", f"a scan {stem}_scan.EXT.", "add the scan, or remove the mask."
                )
                for stem in sorted(set(found) - set(scans))
            ]
        pairs += [ScanPair(stem, scan, found.get(stem), split) for stem, scan in sorted(scans.items())]
    scans = [pair.scan for pair in pairs]
    beside = _beside(folder, scans, masks is not None, problems) if places[0][0] else []
    problems += beside
    if not pairs and not beside:
        problems.append(
            InputError(
                f"{folder} holds no scan.",
                f"files STEM_scan.EXT, EXT one of {' '.join(SCAN_SUFFIXES)}.",
                "check the folder; with masks elsewhere give --masks.",
            )
        )
    paths = [path for pair in pairs for path in (pair.scan, pair.mask) if path]
    return pairs, problems + _unwritable(paths) + _twins(scans)


def _twins(paths):
    """Names scans of one stem: their results would have one name, and one could stand in two splits."""
    seen = {}
    return [_same_name(seen[stem_of(path)], path) for path in paths if seen.setdefault(stem_of(path), path) != path]


def _beside(folder, found, any_name, problems):
    """Names scans beside folders of splits, which would be left out.

    Args:
        folder: The folder that they and the folders of splits lie in.
        found: Scans in those of splits.
        any_name: As for `_scan_files`; but where names of scans end with `_scan`, those beside them must too.
        problems: As for `_files`.

    Returns:
        A list of `InputError`.
    """
    any_name = any_name and not any(map(is_named_scan, found))
    return [
        InputError(
            f"{folder} has the scan {path.name!r} beside the folders of splits.",
            "scans in the folder alone, or in train/, val/ and test/.",
            "move it into a split, or elsewhere.",
        )
        for path in sorted(_scan_files(folder, any_name, problems).values())
    ]


def _is_there(path):
    """Tells whether what is listed can be reached; a disk that fails may list it all the same."""
    try:
        return path.exists()
    except OSError:
        return False


def _unreachable(path):
    """Words the error of what is listed but not there, such as a link to a disk that is not mounted."""
    what = f"is a link to {path.readlink()}, which" if path.is_symlink() else "is listed, but"
    return InputError(
        f"{path} {what} cannot be reached.", "what can be read.", "mount the disk that it lies on, or remove it."
    )


def _unwritable(paths):
    """Names files whose name, or that of a folder of theirs, cannot be written into a table."""
    bad = {path: path.name if UNWRITABLE.search(path.name) else str(path) for path in paths}
    return [
        InputError(
            f"The name {name!a} has a character that cannot be written.",
            "letters, digits and signs in UTF-8.",
            f"rename the {'file' if name == path.name else 'folder'}.",
        )
        for path, name in bad.items()
        if UNWRITABLE.search(name)
    ]


def _too_long(paths):
    """Names scans of whose names no names of results can be made."""
    most = MOST_BYTES - len(LONGEST.format(""))
    return [
        InputError(
            f"The name {path.name!r} is too long for what is made of it.",
            f"at most {most} bytes before _scan and the suffix.",
            "rename the file.",
        )
        for path in paths
        if len(os.fsencode(stem_of(path))) > most
    ]


def _same_name(one, other):
    return InputError(f"{one} and {other} have the same name.", "one file a scan.", "remove or rename one of them.")


def find_scans(paths):
    """Finds the scans to predict.

    Args:
        paths: Files, or folders of scans, with sub-folders `train`, `val` and `test` or without; of a folder with
            `*_scan.*` files only those are taken, and never masks.

    Returns:
        A list of paths, each once.

    Raises:
        InputError: If a path does not exist or a folder holds no scan.
    """
    found, problems = [], []
    for path in map(_existing, paths):
        if path.is_file():
            found.append(path)
            continue
        folders = [folder for _, folder, _ in _split_folders(path, None, problems)]
        files = [file for folder in folders for file in sorted(_scan_files(folder, True, problems).values())]
        problems += _beside(path, files, True, problems) if folders != [path] else []
        if not files and not problems:
            raise InputError(f"{path} holds no scan.", f"files with {' '.join(SCAN_SUFFIXES)}.", "check the folder.")
        found += files
    once = {}
    for path in found:
        # One file may be given by two paths, such as an absolute one and one by a link.
        once.setdefault((stem_of(path), os.path.realpath(path)), path)
    found = list(once.values())
    problems += _unwritable(found) + _too_long(found) + _twins(found)
    if problems:
        raise problems[0]
    return found


def _existing(path, is_folder=False):
    path = Path(path)
    if is_folder and path.is_file():
        raise InputError(f"{path} is a file.", "a folder of scans.", "give the folder that the scans lie in.")
    if path.is_symlink() and not _is_there(path):
        raise _unreachable(path)
    if not path.exists():
        beside = [each.name for each in path.parent.iterdir()] if path.parent.is_dir() else []
        raise InputError(
            f"{path} does not exist.{did_you_mean(path.name, beside)}", "a folder or file of scans.", "check the path."
        )
    return path


def _split_folders(folder, masks, problems):
    """Lists `(split, folder of scans, folder of masks or None)`."""
    links = [folder / split for split in SPLITS if (folder / split).is_symlink()]
    problems += [_unreachable(path) for path in links if not _is_there(path)]
    splits = [split for split in SPLITS if (folder / split).is_dir()]
    if not splits:
        return [(None, folder, masks)]
    return [
        (split, folder / split, masks and (masks / split if (masks / split).is_dir() else masks)) for split in splits
    ]


def is_named_scan(path):
    """Tells whether a file is called `STEM_scan.EXT`.

    Example:

    >>> is_named_scan("train/a_scan.png"), is_named_scan("train/a_mask.png"), is_named_scan("a_scan.csv")
    (True, False, False)
    """
    return _ends(Path(path), "_scan$")


def _ends(path, ending):
    """Tells whether the name of an image, without its suffix, ends so."""
    suffix = next((each for each in SCAN_SUFFIXES if path.name.lower().endswith(each)), None)
    hidden = path.name.startswith(".")  # such as the ._ twins that macOS leaves, and our own partial files
    return bool(suffix and not hidden and re.search(ending, path.name[: -len(suffix)]))


def _files(folder, ending, problems):
    """Finds files by the end of their stem; gives them by the stem that scan and mask share."""
    try:
        listed = sorted(folder.iterdir())
    except OSError as error:
        what = f"{folder} cannot be read: {error.strerror}."
        raise InputError(what, "a folder that can be listed.", "check the disk, and the right to read it.") from None
    found = {}
    for path in filter(lambda each: _ends(each, ending), listed):
        if not _is_there(path):
            problems.append(_unreachable(path))
        elif path.is_file():
            first = found.setdefault(stem_of(path), path)
            if first != path:
                problems.append(_same_name(first, path))
    return found


def _scan_files(folder, any_name, problems):
    """Finds `*_scan.*`; where there are none and other names are allowed, everything that is no mask."""
    named = _files(folder, "_scan$", problems)
    return named or (_files(folder, "(?<!_scan)(?<!_mask)$", problems) if any_name else {})


def _mask_files(folder, any_name, problems):
    """Finds `*_mask.*`; where there are none and other names are allowed, everything that is no scan."""
    named = _files(folder, "_mask$", problems)
    return named or (_files(folder, "(?<!_scan)(?<!_mask)$", problems) if any_name else {})
