"""A scan and its mask to a spool: one file of all its encoded records, waiting to be put into shards.

Several processes may write spools at the same time, of one scan each; `data.records` puts them together.
"""

import threading
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import tensorflow as tf

from plankton_keras import schema
from plankton_keras.candidates import bands_of, find_owned
from plankton_keras.config import parse_gray_range
from plankton_keras.data.codec import encode, encode_vignette
from plankton_keras.files import read_json, sha256, unchanged, whole_file, write_json
from plankton_keras.leaks import window_digest
from plankton_keras.patches import check_classes, class_pixels, class_table, kept_rows, unit_hash
from plankton_keras.scans import check_ids, check_place, open_pair
from plankton_keras.shift import look
from plankton_keras.threads import ahead, in_order

# Share of a scan's time that each reading of it stands for: patches, then its candidates (twice), then their classes.
PATCHES, CANDIDATES, OWNERS = 0.5, 0.15, 0.2


def spool_scan(pair, tell, target, config, folder):
    """Encodes the patches and candidates of a scan, unless that was done before the scan's files changed.

    Args:
        pair: A `pairs.ScanPair` with a split and a mask.
        tell: Called with `(pixels done, pixels in all)`.
        target: A `taxa.Target`.
        config: A `config.RecordsConfig`.
        folder: Where spools lie.

    Returns:
        The `schema.Spool`.

    Raises:
        InputError: If scan or mask is bad.
    """
    path, index = folder / f"{pair.split}-{pair.stem}.tfrecord", folder / f"{pair.split}-{pair.stem}.json"
    with ThreadPoolExecutor(2) as pool, unchanged(pair.scan, pair.mask) as check:
        # Digested beside the work, while the files are in the memory of the system anyway.
        digests = {"scan_sha256": pool.submit(sha256, pair.scan), "mask_sha256": pool.submit(sha256, pair.mask)}
        spool = _read_spool(path, index)
        if spool is None or any(getattr(spool.source, key) != each.result() for key, each in digests.items()):
            scan, mask = open_pair(pair, parse_gray_range(config.gray_range))
            with scan, mask:
                kinds, seen = _write_spool(scan, mask, target, config, pair.split, path, _Steps(scan, tell))
                digests = {key: each.result() for key, each in digests.items()}
                source = schema.Source(pair.stem, pair.split, scan.height, scan.width, scan.dpi, **digests, look=seen)
            spool = schema.Spool(path, source, **kinds)
            # Before the index says that the spool is of these digests.
            check()
            known = {**vars(spool), "path": path.name, "source": vars(source), "sha256": sha256(path)}
            write_json(index, known, sealed=True)
    pixels = spool.source.height * spool.source.width
    tell(pixels, pixels)
    return spool


def _read_spool(path, index):
    """Reads what an earlier call wrote of a spool; None if it did not finish, or has been damaged since."""
    if not index.is_file():
        return None
    known = read_json(index, schema.REWRITE)
    if not path.is_file() or known.get("sha256") != sha256(path):
        return None
    frames = {key: tuple(map(tuple, known[key])) for key in ("patches", "candidates", "windows")}
    pixels = {key: tuple(known[key]) for key in ("class_pixels", "held")}
    return schema.Spool(path, schema.Source(**known["source"]), **frames, **pixels)


class _Steps:
    """Tells how far a scan is by what was read of it, from whatever thread."""

    def __init__(self, scan, tell):
        self.pixels, self.tell = scan.height * scan.width, tell
        self.done, self.lock = 0.0, threading.Lock()

    def watch(self, read, share):
        """Gives a function that reads a window and counts it; reading all pixels counts as a share of the scan."""

        def watched(window):
            with self.lock:
                self.done += share * window.height * window.width
                self.tell(min(self.done, 0.99 * self.pixels), self.pixels)
            return read(window)

        return watched

    def watch_scan(self, scan, share):
        """Gives a scan whose reading counts."""
        read = self.watch(scan.read, share)
        return SimpleNamespace(stem=scan.stem, height=scan.height, width=scan.width, read=read)


def _write_spool(scan, mask, target, config, split, path, steps):
    """Writes the spool file of an open pair; gives the fields of a `schema.Spool` on what is in it, and a `look`."""
    table, ids, windows = class_table(target), set(), []
    pixels, offset = np.zeros(len(target.names), np.int64), 0

    def entries(records):
        nonlocal offset
        for key, record in records:
            writer.write(record)
            length = schema.BEFORE + len(record) + schema.AFTER
            yield unit_hash(config.seed, scan.stem, *key), offset, length
            offset += length

    def encoded(patch):
        return patch.window, window_digest(patch), class_pixels(patch.mask, len(pixels)), encode(patch)

    def encoded_patches():
        rows = kept_rows(steps.watch_scan(scan, PATCHES), mask, table, config, split)
        for window, digest, counts, record in in_order(encoded, _patches_of(rows, ids)):
            np.add(pixels, counts, out=pixels)
            windows.extend([(digest, window.top, window.left)] if digest else [])
            yield (window.top, window.left), record

    with whole_file(path) as partial, tf.io.TFRecordWriter(str(partial)) as writer:
        patches = tuple(entries(encoded_patches()))
        check_ids(sorted(ids), mask.path)
        check_classes(target, ids, mask.path)
        seen, truth = steps.watch_scan(scan, CANDIDATES), _truth_of(steps.watch(mask.read, OWNERS), table, len(pixels))
        found, counts, totals = find_owned(seen, bands_of(scan.height), truth, len(pixels))
        held = int(counts[:, 1:].sum()), int(totals[1:].sum())
        if held[1]:
            dark = found.objects.areas.sum() / totals.sum()
            check_place(held[0] / held[1], dark, held[1] / totals.sum(), mask.path)
        candidates = tuple(entries(_encoded_candidates(found, counts.argmax(axis=1), config.vignette_size, scan.stem)))
    kinds = {
        "patches": patches,
        "candidates": candidates,
        "windows": tuple(windows),
        "class_pixels": tuple(pixels.tolist()),
        "held": held,
    }
    return kinds, look(found)


def _truth_of(read, table, num_classes):
    """Gives what `candidates.find_owned` asks of a mask; few of its pixels are any object."""

    def truth(window, inside):
        ids = read(window)
        totals = np.bincount(table[ids[ids > 0]], minlength=num_classes)
        totals[table[0]] += ids.size - totals.sum()
        return table[ids[inside]], totals

    return truth


def _encoded_candidates(candidates, owners, size, stem):
    """Encodes a vignette of each candidate of a scan; gives it with its box."""

    def encoded(candidate):
        box, label, pixels, side = candidate
        return box, encode_vignette(pixels[..., 0], label, int(side[0]), stem)

    columns = candidates.objects.boxes.tolist(), owners.tolist(), *candidates.vignettes(size)
    return in_order(encoded, zip(*columns, strict=True))


def _patches_of(rows, ids):
    """Gives the patches of rows, which are read one ahead; adds the rows' ids to a set."""
    for found, patches in ahead(rows):
        ids |= found
        yield from patches
