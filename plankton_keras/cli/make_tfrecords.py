"""`plankton make-tfrecords`: scans and masks to records."""

import time
from pathlib import Path

import click

from plankton_keras.cli import options, output
from plankton_keras.config import RecordsConfig
from plankton_keras.errors import counted

# Settings that records of vignettes have; all others are for scans.
OF_VIGNETTES = ("val_fraction", "vignette_size", "patches_per_shard", "seed")


@click.command("make-tfrecords")
@click.argument("scans", type=options.FOLDER)
@options.out_option
@options.masks_option
@options.config_options(RecordsConfig)
@options.flags("workers", "scheduler", "dry_run", "resume", "overwrite", "json", "quiet")
def make_tfrecords(scans, out, masks, config_file, flags, **settings):
    """Slice scans and masks into patches, in sharded TFRecords.

    SCANS is a folder of pairs STEM_scan.EXT and STEM_mask.EXT, or of sub-folders train/, val/ and test/ with such
    pairs; or a folder of labelled vignettes, CLASS/NAME.jpg; or what EcoTaxa exports, a .zip or folder, of which the
    validated objects are taken.

    \b
    Example:
        plankton make-tfrecords scans --out tfrecords/pointb --patch-size 512
    """
    config = options.build_config(RecordsConfig, settings, config_file)
    options.keep_apart(out, flags.overwrite, [scans, masks])
    output.listen(flags.quiet)
    from plankton_keras.cluster import Crew
    from plankton_keras.data.records import write_records
    from plankton_keras.ecotaxa.tables import is_ecotaxa_package
    from plankton_keras.files import claim_folder
    from plankton_keras.vignettes import is_vignette_folder

    crew = Crew(flags.workers, flags.scheduler)
    if is_ecotaxa_package(scans) or is_vignette_folder(scans):
        idle = {name: value for name, value in settings.items() if name not in OF_VIGNETTES}
        _write_vignettes(scans, {"masks": masks, "scheduler": flags.scheduler, **idle}, out, config, flags)
        return
    pairs, target = _plan(scans, masks, config)
    if flags.dry_run:
        _say_cost(pairs, target, config, flags)
        return
    crew.check()
    claim_folder(out, flags.overwrite, flags.resume)
    started = time.monotonic()
    progress = output.Progress("make-tfrecords", flags.quiet)
    manifest = write_records(pairs, target, config, out, crew, progress)
    seconds = time.monotonic() - started
    pixels = sum(source.height * source.width for source in manifest.sources)
    result = {
        "out": str(out),
        "splits": {
            split: {
                "scans": [source.stem for source in manifest.sources if source.split == split],
                "patches": manifest.count(split),
                "shards": len(shards),
            }
            for split, shards in manifest.splits.items()
        },
        "classes": list(manifest.classes),
        "class_share": manifest.class_share,
        "seconds": round(seconds, 1),
        "megapixels_per_second": round(pixels / 1e6 / seconds, 1),
    }
    size = sum(shard.bytes for shards in manifest.splits.values() for shard in shards)
    lines = [
        *_split_lines(result),
        *_candidate_lines(manifest),
        f"{size / 1000000.0:.0f} MB in {output.duration(seconds)}, {result['megapixels_per_second']} Mpx/s",
        f"Next: plankton train {out} --out runs/NAME",
    ]
    if "val" not in manifest.splits:
        output.say("There is no val split: train will refuse these records. Give two scans or more, or a val/ folder.")
    output.finish(result, lines, flags.json, Path(out) / "make-tfrecords.json")


def _write_vignettes(folder, idle, out, config, flags):
    """Writes records of labelled vignettes; refuses options that are for scans alone."""
    output.prepare(flags.quiet)
    from plankton_keras import schema
    from plankton_keras.data.vignette_records import write_vignettes
    from plankton_keras.ecotaxa.labels import find_labelled
    from plankton_keras.ecotaxa.tables import is_ecotaxa_package
    from plankton_keras.errors import SettingError
    from plankton_keras.files import claim_folder
    from plankton_keras.leaks import check_files
    from plankton_keras.threads import cores
    from plankton_keras.vignettes import find_vignettes, living_by_name

    # Of a --config, which names all settings, those that would decide the split are asked after too.
    of_scans = {name: getattr(config, name) or None for name in ("split_by", "folds", "fold")}
    for name, value in (*idle.items(), *of_scans.items()):
        if value is not None:
            flag = "--" + name.replace("_", "-")
            raise SettingError(
                f"{flag} is {str(value)!r}, but {folder} holds vignettes.",
                "a folder of scans; of their settings, vignettes have the share for validation, their own size, "
                "the size of shards, and the seed.",
                f"leave {flag} out.",
            )
    if is_ecotaxa_package(folder):
        # Equal pictures stay together: the split is by their bytes.
        found = find_labelled(folder, config.val_fraction, seed=config.seed)
    else:
        found = find_vignettes(folder, config.val_fraction, config.seed)
        check_files([(each.split, each.path) for each in found], "vignette")
    counts = {split: sum(each.split == split for each in found) for split in schema.SPLITS}
    classes = sorted({each.label for each in found})
    living = living_by_name(folder, classes)
    result = {"out": str(out), "splits": {split: {"vignettes": count} for split, count in counts.items() if count}}
    lines = [", ".join(f"{split}: {count} vignettes" for split, count in counts.items() if count)]
    lines.append(f"{len(classes)} classes")
    if flags.dry_run:
        output.finish({**result, "classes": classes}, [*lines, "nothing written"], flags.json)
        return
    claim_folder(out, flags.overwrite, flags.resume)
    started = time.monotonic()
    progress = output.Progress("make-tfrecords", flags.quiet, unit=("vignettes", 1))
    manifest = write_vignettes(found, living, config, out, cores(), progress)
    for split, part in result["splits"].items():
        part["shards"] = len(manifest.splits[split])
    result.update(classes=classes, class_share=manifest.class_share, seconds=round(time.monotonic() - started, 1))
    lines.append(f"{output.duration(result['seconds'])}. Next: plankton train {out} --out runs/NAME")
    output.finish(result, lines, flags.json, Path(out) / "make-tfrecords.json")


def _plan(scans, masks, config):
    """Finds the pairs, gives each a split, and settles the classes."""
    from plankton_keras.errors import InputError
    from plankton_keras.findings import refuse
    from plankton_keras.pairs import find_pairs
    from plankton_keras.patches import count_objects
    from plankton_keras.scan_checks import check_scans
    from plankton_keras.taxa import file_target, find_taxa, living_target, read_taxa, taxa_target

    refuse(check_scans(scans, masks, whole=False))
    found = find_pairs(scans, masks)
    lonely = [pair for pair in found if pair.mask is None]
    if lonely:
        raise InputError(
            f"{lonely[0].scan} has no mask" + (f", nor have {len(lonely) - 1} others." if lonely[1:] else "."),
            f"a mask {lonely[0].stem}_mask.EXT beside it, or in --masks.",
            "add the mask, or move the scan elsewhere.",
        )
    pairs = _dealt(found, scans, config)
    table = find_taxa(scans)
    taxa = read_taxa(table) if table else None
    if config.target == "living":
        return pairs, living_target(taxa, config.living_from)
    if config.target != "taxa":
        return pairs, file_target(config.target)
    if taxa is None:
        raise InputError(
            f"{scans} has no taxa.csv, nor has its parent.",
            "a table id,name,living for --target taxa.",
            "write taxa.csv, or use --target living.",
        )
    objects = count_objects([pair.mask for pair in pairs if pair.split == "train"])
    return pairs, taxa_target(taxa, objects, config.min_objects)


def _dealt(pairs, scans, config):
    """Gives each pair a split; refuses splits that share a scan, or a value of the column to split by."""
    from plankton_keras.leaks import check_scans
    from plankton_keras.patches import assign_fold, assign_splits, check_groups
    from plankton_keras.samples import read_groups

    groups = read_groups(scans, config.split_by, [pair.stem for pair in pairs]) if config.split_by else None
    if config.folds or config.fold:
        dealt = assign_fold(pairs, config.folds, config.fold, config.seed, groups)
    else:
        dealt = assign_splits(pairs, config.val_fraction, config.seed, groups)
    if groups:
        check_groups(dealt, groups, config.split_by)
    check_scans(dealt)
    return dealt


def _say_cost(pairs, target, config, flags):
    """Says what the command would write, from the masks and a sample of the patches."""
    output.prepare(flags.quiet)
    from plankton_keras.data.records import estimate

    plan = estimate(pairs, target, config)
    lines = [
        *_split_lines(plan),
        f"about {plan['megabytes']:.0f} MB, {output.duration(plan['seconds'])}; nothing written",
    ]
    output.finish(plan, lines, flags.json)


def _candidate_lines(manifest):
    """Words how much of what is looked for can be found at all."""
    if manifest.candidate_share is None:
        return []
    share = output.percent(manifest.candidate_share)
    return [f"candidates, darker than the local ground, hold {share} of the training pixels to be found"]


def _split_lines(result):
    """Words the splits and classes of a result."""
    lines = [
        f"{split}: {counted(len(part['scans']), 'scan')}, {part['patches']} patches in "
        f"{counted(part['shards'], 'shard')}"
        for split, part in result["splits"].items()
    ]
    shares = ", ".join(f"{name} {output.percent(share)}" for name, share in result["class_share"].items())
    return [*lines, f"pixels of the training patches: {shares}"]
