"""Patches to sharded TFRecords and back: shards appear whole, the manifest last.

Each scan becomes a spool first; shards are then put together from the spools in the order of a hash, so that neither
the number of workers nor an interruption changes a byte.

What encodes and decodes is imported where it is needed: it loads TensorFlow, for which a process that only deals out
scans would keep its workers waiting.
"""

import functools
import hashlib
import json
import shutil
import struct
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from plankton_keras import schema
from plankton_keras.cluster import HERE, deal
from plankton_keras.config import parse_gray_range
from plankton_keras.errors import ArtefactError, InputError
from plankton_keras.files import read_json, scratch, sha256, whole_file, write_json
from plankton_keras.leaks import check_windows
from plankton_keras.noise import no_noise
from plankton_keras.patches import check_classes, class_pixels, class_table, kept_rows, windows_of
from plankton_keras.scans import open_pair
from plankton_keras.schema import AFTER, BEFORE, REWRITE

SPOOLS = ".spools"
# A vignette takes about this part of a patch's bytes.
VIGNETTES_PER_PATCH = 32


def write_records(pairs, target, config, out, crew=HERE, progress=None):
    """Writes the records folder: all shards, then the manifest.

    What an interrupted call left in the folder is used again.

    Args:
        pairs: List of `pairs.ScanPair` with a split and a mask each.
        target: A `taxa.Target`.
        config: A `config.RecordsConfig`.
        out: The folder; it exists.
        crew: The `cluster.Crew` that reads the scans.
        progress: Called with `(pixels done, pixels in all, text)`, or None.

    Returns:
        The `schema.Manifest`.

    Raises:
        InputError: If scans or masks are bad; the others are kept, so that only these are missing. Or if scans of two
            splits share a window.
        ArtefactError: If the folder holds records of other settings.
    """
    out = Path(out)
    _claim_settings(out, target, config)
    spools = _spools(pairs, target, config, out / SPOOLS, crew, progress)
    check_windows((spool.source.split, spool.source.stem, spool.windows) for spool in spools)
    splits, candidates = {}, {}
    for split in schema.SPLITS:
        members = [spool for spool in spools if spool.source.split == split]
        if members:
            splits[split] = _write_split(split, _order(members, "patches"), config.patches_per_shard, out)
        if any(spool.candidates for spool in members):
            per_shard = VIGNETTES_PER_PATCH * config.patches_per_shard
            candidates[split] = _write_split(f"{split}-candidates", _order(members, "candidates"), per_shard, out)
    members = [spool for spool in spools if spool.source.split == "train"]
    train_pixels = np.sum([spool.class_pixels for spool in members] or [[0] * len(target.names)], axis=0)
    held, looked_for = np.sum([spool.held for spool in members] or [(0, 0)], axis=0)
    manifest = schema.Manifest(
        patch_size=config.patch_size,
        classes=target.names,
        target=target.to_json(),
        class_share=_class_share(train_pixels, target.names),
        splits=splits,
        sources=tuple(spool.source for spool in spools),
        settings=config.to_json(),
        candidates=candidates,
        candidate_share=float(held / looked_for) if looked_for else None,
    )
    write_json(out / schema.MANIFEST, manifest.to_json(), sealed=True)
    shutil.rmtree(out / SPOOLS)
    return manifest


def _spools(pairs, target, config, folder, crew, progress):
    """Has the crew write the spool of each pair; gives them in the order of the pairs."""
    work = functools.partial(_spool, target=target, config=config, folder=crew.reach(folder))
    reached = [replace(pair, scan=crew.reach(pair.scan), mask=crew.reach(pair.mask)) for pair in pairs]
    spools, errors = {}, {}
    for outcome in deal(work, reached, crew, progress, [pair.stem for pair in pairs]):
        (errors if outcome.error else spools)[outcome.index] = outcome.error or outcome.value
    if errors:
        first, *others = (errors[index] for index in sorted(errors))
        more = f" {len(others)} others are bad too: {' '.join(error.what for error in others)}" if others else ""
        raise InputError(first.what + more, first.expected, first.fix)
    crew.check_written(spool.path for spool in spools.values())
    return [spools[index] for index in range(len(pairs))]


def _spool(pair, tell, **what):
    """Does what a worker does: `spools.spool_scan`."""
    with no_noise():
        from plankton_keras.data.spools import spool_scan
    return spool_scan(pair, tell, **what)


def _claim_settings(out, target, config):
    """Notes the settings beside the spools; refuses to complete a folder of other settings."""
    path, known = out / SPOOLS / "settings.json", None
    ours = {"config": config.to_json(), "target": target.to_json(), "version": schema.FORMAT_VERSION}
    ours = json.loads(json.dumps(ours))
    if path.is_file():
        known = read_json(path, REWRITE)
    elif (out / schema.MANIFEST).is_file():
        manifest = read_manifest(out)
        known = {"config": manifest.settings, "target": manifest.target, "version": manifest.version}
    if known not in (None, ours):
        raise ArtefactError(
            f"{out} was begun with other settings, or by another version.",
            "the settings of the interrupted command.",
            "give the same options, or --overwrite.",
        )
    write_json(path, ours)


def _order(spools, kind):
    """Lists the framed records of spools in the order of their hash: `(hash, stem, offset, length, spool's path)`."""
    return sorted(
        (entry[0], spool.source.stem, *entry[1:], spool.path) for spool in spools for entry in getattr(spool, kind)
    )


def _write_split(split, order, per_shard, out):
    """Puts the shards of a split together from the spools; what an earlier call left of them is replaced."""
    count = max(1, round(len(order) / per_shard))
    cuts = [round(len(order) * index / count) for index in range(count + 1)]
    shards = []
    for index in range(count):
        members = order[cuts[index] : cuts[index + 1]]
        path = out / schema.shard_name(split, index, count)
        size = sum(length for *_, length, _ in members)
        shards.append(schema.Shard(path.name, len(members), size, _copy_frames(members, path)))
    return tuple(shards)


def _copy_frames(members, path):
    """Copies framed records, checksums and all, from the spools into a shard; gives its digest."""
    spools, digest = {}, hashlib.sha256()
    try:
        with whole_file(path) as partial, open(partial, "wb") as shard:
            for _, _, offset, length, spool in members:
                file = spools.get(spool) or spools.setdefault(spool, open(spool, "rb"))  # noqa: SIM115
                file.seek(offset)
                frame = file.read(length)
                digest.update(frame)
                shard.write(frame)
    finally:
        for file in spools.values():
            file.close()
    return digest.hexdigest()


def _class_share(pixels, names):
    """Share of the pixels by class name."""
    return {name: float(count / max(1, sum(pixels))) for name, count in zip(names, pixels, strict=True)}


def estimate(pairs, target, config):
    """Says what `write_records` would write, from the masks and every eighth patch encoded.

    Args:
        pairs: As for `write_records`.
        target: As for `write_records`.
        config: As for `write_records`.

    Returns:
        A dictionary of `splits`, `class_share`, `megabytes` and `seconds`, without workers.
    """
    from plankton_keras.data.codec import encode

    started = time.monotonic()
    splits, pixels, encoded, encoding = (
        {},
        {split: np.zeros(len(target.names), np.int64) for split in schema.SPLITS},
        0,
        0.0,
    )
    for pair in pairs:
        part = splits.setdefault(pair.split, {"scans": [], "patches": 0, "shards": 0})
        part["scans"].append(pair.stem)
        scan, mask = open_pair(pair, parse_gray_range(config.gray_range))
        with scan, mask:
            ids = set()
            for found, patches in kept_rows(scan, mask, class_table(target), config, pair.split):
                ids |= found
                for patch in patches:
                    if part["patches"] % 8 == 0:
                        begun = time.monotonic()
                        encoded += 8 * len(encode(patch))
                        encoding += 7 * (time.monotonic() - begun)
                    part["patches"] += 1
                    pixels[pair.split] += class_pixels(patch.mask, len(target.names))
            check_classes(target, ids, mask.path)
    for part in splits.values():
        part["shards"] = max(1, round(part["patches"] / config.patches_per_shard))
    return {
        "splits": splits,
        "class_share": _class_share(pixels["train"], target.names),
        "megabytes": round(encoded / 1e6, 1),
        "seconds": round(time.monotonic() - started + encoding, 1),
    }


def rebuild_scans(folder, manifest, split):
    """Puts the patches of a split together to the scans they were cut from.

    Of validation and test scans every patch is in the records, so that the scans come back whole.

    Args:
        folder: The records folder.
        manifest: Its manifest.
        split: Name of the split.

    Returns:
        A dictionary from stem to `(image, mask)`: uint8 `(height, width)` gray levels and class indices, memory-mapped.

    Raises:
        ArtefactError: If the records are of vignettes, or patches of the split were left out: their place would be
            black.
    """
    if manifest.kind != schema.PATCHES:
        raise ArtefactError(
            f"{folder} holds {manifest.kind}, not scans.",
            "records of scans and masks, or a folder of them.",
            "score a run of vignettes on it.",
        )
    scans, cut = {}, 0
    for source in manifest.sources:
        if source.split == split:
            cut += sum(map(len, windows_of(source.height, source.width, manifest.patch_size)))
            scans[source.stem] = scratch(source.height, source.width), scratch(source.height, source.width)
    found = manifest.count(split)
    if split == "train" and found < cut:
        raise ArtefactError(
            f"{folder} holds {found} of {cut} patches of the split 'train': scans cannot be put together of them.",
            "the split val or test, of which every patch is kept.",
            "choose another --split, or give the folder of scans and masks.",
        )
    for patch in read_patches(folder, manifest, split):
        # Where the scan is smaller than a patch, numpy's slices cut the padding off.
        for whole, part in zip(scans[patch.scan], (patch.image, patch.mask), strict=True):
            target = whole[patch.window.slices]
            target[:] = part[: target.shape[0], : target.shape[1]]
    return scans


def read_manifest(folder):
    """Reads and checks the manifest of a records folder.

    Args:
        folder: The folder.

    Returns:
        The `schema.Manifest`.

    Raises:
        ArtefactError: If it is missing, damaged or of another version.
    """
    path = Path(folder) / schema.MANIFEST
    return schema.Manifest.from_json(read_json(path, "give a folder that plankton make-tfrecords has finished."), path)


def check_shards(folder, manifest, split, kind=None):
    """Checks that the shards of a split are whole.

    Args:
        folder: The records folder.
        manifest: Its manifest.
        split: Name of the split.
        kind: `patches` or `vignettes`; without it what the splits hold.

    Returns:
        Paths of the shards, in order.

    Raises:
        ArtefactError: If the split is missing, or a shard is missing or damaged; the shard is named.
    """
    if not manifest.count(split, kind):
        raise ArtefactError(
            f"{folder} has no {kind or manifest.kind} in the split {split!r}; it has {', '.join(manifest.splits)}.",
            f"a split {split!r}.",
            "give scans in train/ and val/ folders, or a --val-fraction, to make-tfrecords.",
        )
    paths = []
    for shard in manifest.shards(split, kind):
        path = Path(folder) / shard.file
        found = path.stat().st_size if path.is_file() else None
        if found is None or found != shard.bytes or sha256(path) != shard.sha256:
            raise ArtefactError(
                f"The shard {path} is {'missing' if found is None else 'damaged'}.",
                f"{shard.bytes} bytes with the digest {shard.sha256[:12]}....",
                REWRITE,
            )
        paths.append(path)
    return paths


def read_patches(folder, manifest, split):
    """Reads the patches of a split one by one.

    Args:
        folder: The records folder.
        manifest: Its manifest.
        split: Name of the split.

    Yields:
        `patches.Patch`, shard by shard.
    """
    from plankton_keras.data.codec import decode

    for path in check_shards(folder, manifest, split):
        with open(path, "rb") as file:
            while header := file.read(BEFORE):
                (length,) = struct.unpack("<Q", header[:8])
                yield decode(file.read(length))
                file.seek(AFTER, 1)
