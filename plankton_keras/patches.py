"""Which windows of which scans become patches, and the cutting of them. Whole scans go to splits, never patches.

Decides and cuts; `data.records` writes.
"""

import hashlib
from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage

from plankton_keras.errors import InputError, SettingError
from plankton_keras.scans import open_mask
from plankton_keras.taxa import MAX_ID
from plankton_keras.tiles import Window, tile_rows

# Rows read at once when objects are counted.
COUNT_BAND = 1024


@dataclass(frozen=True)
class Patch:
    """A square cut of a scan and its mask.

    Attributes:
        scan: Stem of the scan.
        window: Where it was cut, in pixels of the scan.
        image: uint8 `(size, size)`, 0 black to 255 white.
        mask: uint8 `(size, size)`, class indices.
    """

    scan: str
    window: Window
    image: np.ndarray
    mask: np.ndarray


def unit_hash(*parts):
    """Hashes words and numbers to a number in [0, 1), the same on every machine.

    Example:

    >>> 0 <= unit_hash("rg20090114", 512, 0) < 1
    True
    """
    text = "/".join(str(part) for part in parts)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") / 2**64


def assign_splits(pairs, val_fraction, seed, groups=None):
    """Gives each scan without a split one of `train` and `val`.

    Args:
        pairs: List of `pairs.ScanPair`; those with a split keep it.
        val_fraction: Share of the scans for validation; at least one group where there are two or more.
        seed: Decides which.
        groups: Group by stem, such as the day; a group stays together, and is taken where it brings the share nearer.
            Without it each scan is its own group.

    Returns:
        A list of pairs, all with a split, in the order given.

    Example:

    >>> from plankton_keras.pairs import ScanPair
    >>> pairs = [ScanPair(stem=name, scan=None, mask=None, split=None) for name in "abcde"]
    >>> [pair.split for pair in assign_splits(pairs, 0.2, seed=0)].count("val")
    1
    """
    members = _members((pair.stem for pair in pairs if pair.split is None), groups)
    wanted = round(sum(map(len, members.values())) * val_fraction)
    order = sorted(members, key=lambda group: unit_hash(seed, group))
    taken, count = [], 0
    for group in order:
        nearer = abs(count + len(members[group]) - wanted) < abs(count - wanted)
        if nearer and len(taken) < max(1, len(order) - 1):
            taken.append(group)
            count += len(members[group])
    if val_fraction and not taken and len(order) > 1:
        taken = [min(order, key=lambda group: len(members[group]))]
    chosen = {stem for group in taken for stem in members[group]}
    return [replace(pair, split=pair.split or ("val" if pair.stem in chosen else "train")) for pair in pairs]


def _members(stems, groups):
    """Lists the stems of each group."""
    members = {}
    for stem in stems:
        members.setdefault(groups[stem] if groups else stem, []).append(stem)
    return members


def assign_fold(pairs, folds, fold, seed, groups=None):
    """Gives one of several parts of the scans to `val` and the others to `train`, for cross-validation by scan.

    Args:
        pairs: List of `pairs.ScanPair`; those of the split `test` keep it, those of `train` and `val` are dealt anew.
        folds: Number of parts, whose sizes differ by one scan at most, or by as little as whole groups allow.
        fold: Which part becomes `val`, from 0.
        seed: Decides which scan is in which part.
        groups: Group by stem, as for `assign_splits`.

    Returns:
        A list of pairs, all with a split, in the order given.

    Raises:
        SettingError: If there is no such part, or there are fewer scans or groups than parts.

    Example:

    >>> from plankton_keras.pairs import ScanPair
    >>> pairs = [ScanPair(stem=name, scan=None, mask=None, split=None) for name in "abcde"]
    >>> [pair.split for pair in assign_fold(pairs, 5, 2, seed=0)].count("val")
    1
    """
    members = _members((pair.stem for pair in pairs if pair.split != "test"), groups)
    if not (2 <= folds <= len(members) and fold < folds):
        kind = "group" if groups else "scan"
        raise SettingError(
            f"--folds is {folds} and --fold {fold}, of {len(members)} {kind}s.",
            f"2 folds or more, at most one a {kind}, and a fold below their number.",
            "choose another --folds or --fold.",
        )
    # The largest first, each to the part that is smallest so far.
    parts = [[] for _ in range(folds)]
    for group in sorted(members, key=lambda group: (-len(members[group]), unit_hash(seed, group))):
        min(parts, key=len).extend(members[group])
    chosen = set(parts[fold])
    splits = ["val" if pair.stem in chosen else "test" if pair.split == "test" else "train" for pair in pairs]
    return [replace(pair, split=split) for pair, split in zip(pairs, splits, strict=True)]


def check_groups(pairs, groups, column):
    """Refuses splits that share a group.

    Args:
        pairs: List of `pairs.ScanPair` with a split each.
        groups: Group by stem.
        column: What the groups are, for the message.

    Raises:
        InputError: If a group stands in two splits; all of them are named.
    """
    splits = {}
    for pair in pairs:
        splits.setdefault(groups[pair.stem], {}).setdefault(pair.split, pair.stem)
    shared = {group: stems for group, stems in splits.items() if len(stems) > 1}
    if shared:
        named = (
            f"{group} ({', '.join(f'{stem} in {split}' for split, stem in stems.items())})"
            for group, stems in sorted(shared.items())
        )
        raise InputError(
            f"Splits share the {column} {', '.join(named)}.",
            f"scans of one {column} in one split.",
            "move them to one of the folders, or leave --split-by out.",
        )


def check_classes(target, ids, path):
    """Refuses a mask with ids that have no class.

    Args:
        target: A `taxa.Target`.
        ids: The ids that stand in the mask.
        path: The mask, for the message.

    Raises:
        InputError: If an id has no class.
    """
    unknown = sorted(mask_id for mask_id in ids if target.class_of(mask_id) is None)
    if unknown:
        raise InputError(
            f"{path} holds the id {unknown[0]}"
            + (f" and {len(unknown) - 1} other unknown ids." if unknown[1:] else "."),
            "ids that the class table lists.",
            "add them to taxa.csv (or to the file of --target).",
        )


def lookup_table(target, ids, path):
    """Checks the ids of a mask and makes the table that turns them into class indices.

    Args:
        target: As for `check_classes`.
        ids: As for `check_classes`.
        path: As for `check_classes`.

    Returns:
        As `class_table`.

    Raises:
        InputError: As `check_classes`.
    """
    check_classes(target, ids, path)
    return class_table(target)


def class_table(target):
    """Makes the table that turns ids into class indices, before it is known which ids a mask has.

    Args:
        target: A `taxa.Target`.

    Returns:
        uint8 `(65536,)`: class index by id, 0 where an id has no class.
    """
    return np.array([target.class_of(mask_id) or 0 for mask_id in range(MAX_ID + 1)], np.uint8)


def windows_of(height, width, size):
    """Lists the rows of windows that cover a scan; the last of each row and column is moved back to the edge.

    Args:
        height: Height of the scan in pixels.
        width: Width of the scan in pixels.
        size: Side of the windows.

    Returns:
        A list of rows, each a list of `Window`.

    Example:

    >>> [window.left for window in windows_of(64, 150, 64)[0]]
    [0, 43, 86]
    """
    return [[tile.read for tile in row] for row in tile_rows(height, width, (size, size))]


def is_kept(has_object, split, keep, key):
    """Decides whether a window becomes a patch.

    All windows of the validation and test scans do, since a score must not depend on what was left out.

    Args:
        has_object: Whether any pixel of the window belongs to an object, living or not.
        split: Split of the scan.
        keep: Share of the empty training windows to keep, 0..1.
        key: Words and numbers that name the window; its hash decides.

    Example:

    >>> is_kept(False, "val", 0.0, ("scan", 0, 0)), is_kept(False, "train", 0.0, ("scan", 0, 0))
    (True, False)
    """
    return has_object or split != "train" or unit_hash(*key) < keep


def cut_row(scan, mask, windows, table):
    """Reads one row of windows at once and cuts it.

    Args:
        scan: An open `scans.Scan`.
        mask: An open `scans.Mask` of the same size.
        windows: Windows with the same `top`, from left to right.
        table: uint8 `(65536,)`, class index by id.

    Returns:
        `(ids, cut)`: the ids that stand in the row, a set, and `(patch, has_object)` for each window; `has_object` says
        whether any id in it is not 0.
    """
    height, width = min(windows[0].height, scan.height), scan.width
    band = Window(windows[0].top, 0, height, width)
    image, ids = scan.read(band), mask.read(band)
    # Most pixels are ground: what is looked up and counted is the others.
    inside = ids > 0
    others = ids[inside]
    classes = np.full(ids.shape, table[0])
    classes[inside] = table[others]
    found = set(np.flatnonzero(np.bincount(others)).tolist()) | ({0} if len(others) < ids.size else set())
    # A scan smaller than a patch is padded by reflection, as prediction does.
    pad = [(0, max(0, windows[0].height - height)), (0, max(0, windows[0].width - width))]
    if any(after for _, after in pad):
        image, classes, inside = (np.pad(each, pad, mode="symmetric") for each in (image, classes, inside))
    columns = [slice(window.left, window.right) for window in windows]
    return found, [
        (Patch(scan.stem, window, image[:, part], classes[:, part]), bool(inside[:, part].any()))
        for window, part in zip(windows, columns, strict=True)
    ]


def kept_rows(scan, mask, table, config, split):
    """Cuts the patches of an open pair that belong into the records, from top to bottom.

    Args:
        scan: An open `scans.Scan`.
        mask: An open `scans.Mask` of the same size.
        table: uint8 `(65536,)`, class index by id.
        config: A `config.RecordsConfig`.
        split: Split of the scan.

    Yields:
        `(ids, patches)` of each row of windows: the ids that stand in it, a set, and a list of `Patch`.
    """

    def is_wanted(patch, has_object):
        key = config.seed, patch.scan, patch.window.top, patch.window.left
        return is_kept(has_object, split, config.ground_keep, key)

    for row in windows_of(scan.height, scan.width, config.patch_size):
        ids, cut = cut_row(scan, mask, row, table)
        yield ids, [patch for patch, has_object in cut if is_wanted(patch, has_object)]


def class_pixels(mask, num_classes):
    """Counts the pixels of each class in a mask that is ground for the most part.

    Args:
        mask: uint8 `(height, width)`, class indices.
        num_classes: Number of classes.

    Returns:
        int64 `(num_classes,)`.

    Example:

    >>> class_pixels(np.array([[0, 2, 0], [0, 2, 1]], np.uint8), 4).tolist()
    [3, 1, 2, 0]
    """
    counts = np.bincount(mask[mask > 0], minlength=num_classes)
    counts[0] = mask.size - counts.sum()
    return counts


def count_objects(masks):
    """Counts the objects of each id.

    An object is an 8-connected component of one id; one that spans several bands of rows is counted where it begins,
    and if two arms of it begin in one band and join in another, twice.

    Args:
        masks: Paths of the masks.

    Returns:
        Number of objects by id.
    """
    counts = {}
    for path in masks:
        with open_mask(path) as mask:
            above = np.zeros(mask.width, np.uint16)
            for top in range(0, mask.height, COUNT_BAND):
                ids = mask.read(Window(top, 0, min(COUNT_BAND, mask.height - top), mask.width))
                for mask_id, box in enumerate(ndimage.find_objects(ids), 1):
                    if box is not None:
                        # Pixels one column aside touch too, those beside the box as well.
                        reach = ndimage.binary_dilation(above == mask_id, structure=np.ones(3))[box[1]]
                        fresh = _fresh_objects(ids[box] == mask_id, reach, box[0].start == 0)
                        counts[mask_id] = counts.get(mask_id, 0) + fresh
                above = ids[-1]
    return counts


def _fresh_objects(inside, reach, at_top):
    """Counts the components of a band's box that do not go on from the row above it, which reaches to some columns."""
    labels, count = ndimage.label(inside, structure=np.ones((3, 3)))
    if not at_top:
        return count
    return count - len(np.unique(labels[0][reach & (labels[0] > 0)]))
