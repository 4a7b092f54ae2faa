"""Labelled vignettes to sharded TFRecords and back, in a folder like that of patches: shards whole, manifest last."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import tensorflow as tf

from plankton_keras import schema
from plankton_keras.data.codec import encode_vignette, parse_vignettes
from plankton_keras.data.records import check_shards
from plankton_keras.files import sha256, whole_file, write_json
from plankton_keras.leaks import Place, Vignette, check_vignettes, vignette_digests
from plankton_keras.lookalikes import thumbnail
from plankton_keras.patches import unit_hash
from plankton_keras.vignettes import read_vignette, squared, warn_of_dark_ground


def write_vignettes(vignettes, living, config, out, workers=1, progress=None):
    """Writes the records folder: all shards, then the manifest.

    Args:
        vignettes: List of `vignettes.Labelled`.
        living: Whether each class is alive, by name, or None.
        config: A `config.RecordsConfig`; `vignette_size` is the side that vignettes are scaled to.
        out: The folder; it exists.
        workers: Threads that encode.
        progress: Called with `(vignettes done, vignettes in all, text)`, or None.

    Returns:
        The `schema.Manifest`.

    Raises:
        InputError: If a file is no picture, or two splits have equal ones.
    """
    names = tuple(sorted({vignette.label for vignette in vignettes}))
    splits, looks = {}, []
    with ThreadPoolExecutor(workers) as pool:
        for split in schema.SPLITS:
            members = sorted(
                (vignette for vignette in vignettes if vignette.split == split),
                key=lambda each: unit_hash(config.seed, each.label, each.path.name),
            )
            count = max(1, round(len(members) / config.patches_per_shard)) if members else 0
            cuts = [round(len(members) * index / max(1, count)) for index in range(count + 1)]
            for index in range(count):
                some = members[cuts[index] : cuts[index + 1]]
                path = Path(out) / schema.shard_name(split, index, count)
                encoded = pool.map(lambda each: _encode(each, names.index(each.label), config.vignette_size), some)
                with whole_file(path) as partial, tf.io.TFRecordWriter(str(partial)) as writer:
                    for record, look in encoded:
                        writer.write(record)
                        looks.append(look)
                shard = schema.Shard(path.name, len(some), path.stat().st_size, sha256(path))
                splits[split] = (*splits.get(split, ()), shard)
                if progress:
                    progress(len(looks), len(vignettes), split)
    check_vignettes(looks)
    warn_of_dark_ground([look.place.name for look in looks], [look.thumbnail for look in looks])
    labels = [vignette.label for vignette in vignettes if vignette.split == "train"]
    share = {name: labels.count(name) / max(1, len(labels)) for name in names}
    manifest = schema.Manifest(
        patch_size=config.vignette_size,
        classes=names,
        target={
            "names": names,
            "living": living,
            "living_share": sum(share[name] for name in names if living[name]) if living else None,
        },
        class_share=share,
        splits=splits,
        sources=(),
        settings=config.to_json(),
        kind=schema.VIGNETTES,
    )
    write_json(Path(out) / schema.MANIFEST, manifest.to_json(), sealed=True)
    return manifest


def _encode(vignette, label, size):
    """Reads and encodes a vignette; gives the record, and the `leaks.Vignette` to compare."""
    pixels = read_vignette(vignette.path)
    source, side, square = f"{vignette.label}/{vignette.path.name}", max(pixels.shape), squared(pixels, size)
    (digest,) = vignette_digests([square], [side])
    place = Place(vignette.split, str(vignette.path), vignette.label)
    return encode_vignette(square, label, side, source), Vignette(place, digest, thumbnail(pixels), pixels.shape)


def read_vignettes(folder, manifest, split):
    """Reads all vignettes of a split.

    Args:
        folder: The records folder.
        manifest: Its manifest.
        split: Name of the split.

    Returns:
        `(images, sides, labels)`: uint8 `(count, size, size, 1)`, float32 `(count, 1)` in pixels, int32 `(count,)`.

    Raises:
        ArtefactError: If the split is missing or a shard damaged.
    """
    files = [str(path) for path in check_shards(folder, manifest, split, schema.VIGNETTES)]
    size = manifest.settings["vignette_size"]
    dataset = tf.data.TFRecordDataset(files).batch(manifest.count(split, schema.VIGNETTES))
    images, sides, labels = (each.numpy() for each in parse_vignettes(next(iter(dataset)), size))
    return images, sides.astype(np.float32)[:, None], labels.astype(np.int32)


def read_sources(folder, manifest, split):
    """Reads what the vignettes of a split were made of, in the order of `read_vignettes`.

    Args:
        folder: The records folder.
        manifest: Its manifest.
        split: Name of the split.

    Returns:
        A list of texts: `CLASS/NAME.jpg`, or the stem of a scan.

    Raises:
        ArtefactError: As `read_vignettes`.
    """
    files = [str(path) for path in check_shards(folder, manifest, split, schema.VIGNETTES)]
    feature = {schema.SCAN: tf.io.FixedLenFeature((), tf.string)}
    dataset = tf.data.TFRecordDataset(files).map(lambda record: tf.io.parse_single_example(record, feature))
    return [fields[schema.SCAN].decode() for fields in dataset.as_numpy_iterator()]


def training_digests(folder, manifest):
    """Digests the labelled vignettes that a model learns from, so that its run knows them.

    Args:
        folder: The records folder.
        manifest: Its manifest.

    Returns:
        The sorted `leaks.vignette_digests` as one text, with a space between; "" of records of scans, whose digests
        stand in the manifest.

    Raises:
        ArtefactError: As `read_vignettes`.
    """
    if manifest.kind != schema.VIGNETTES:
        return ""
    images, sides, _ = read_vignettes(folder, manifest, "train")
    return " ".join(sorted(set(vignette_digests(images[..., 0], sides))))
