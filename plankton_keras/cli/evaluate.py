"""`plankton evaluate`: scores of runs and exports on whole scans, and the report."""

import shlex
import sys
from pathlib import Path

import click

from plankton_keras.cli import options, output
from plankton_keras.config import PredictConfig, parse_gray_range
from plankton_keras.errors import and_others, counted

BASELINES = {"threshold": "plain threshold", "all ground": "all ground", "all living": "all living"}


@click.command()
@click.argument("runs", type=options.FOLDER, nargs=-1, required=True, metavar="[RUN]... DATA")
@options.out_option
@click.option(
    "--split", default="val", show_default=True, help="Split to score; a folder without splits is scored whole."
)
@click.option("--masks", type=options.FOLDER, help="Masks that any other tool predicted, to be scored (too).")
@click.option("--allow-training-scans", is_flag=True, help="Score what a run was trained on; the report says so.")
@options.config_options(PredictConfig, leave_out=("probabilities",))
@options.flags("overwrite", "json", "quiet")
def evaluate(runs, out, split, masks, allow_training_scans, config_file, flags, **settings):
    """Score runs, exports or the masks of other tools on whole scans that they were not trained on.

    DATA is a records folder, or a folder of scan/mask pairs. A plain threshold is scored beside them, and the average
    of several runs. Runs of vignettes are scored on records of vignettes or on folders CLASS/NAME.jpg. The result is
    report.html, a page to read, and the same figures in metrics.json.

    \b
    Example:
        plankton evaluate runs/unet scans --out evaluations/unet
    """
    *models, data = runs
    if not models and not masks:
        raise click.UsageError("Missing argument 'DATA': give a run and what to score it on.")
    if not models:
        idle = {**settings, "gray_range": None, "allow_training_scans": allow_training_scans or None}
        _check_idle(idle, "masks without a run", "a run beside them.")
    config = options.build_config(PredictConfig, settings, config_file)
    options.keep_apart(out, flags.overwrite, [*runs, masks])
    from plankton_keras.files import claim_folder

    # A folder that is in the way is said now, not after all scans are scored; it is made when there is a result.
    if (not flags.overwrite) if out.exists() else out.is_symlink():
        claim_folder(out)
    output.prepare(flags.quiet)
    from plankton_keras.inference import is_classifier, load_classifier, load_predictor

    what = {"data": str(data), "split": split, "provenance": _provenance(models)}
    if models and is_classifier(models[0]):
        _check_idle({"masks": masks, **settings, "turns": None}, f"{models[0]}, a run of vignettes", "--turns.")
        classifiers = _asked([load_classifier(model) for model in models], config)
        result, lines, crops = *_evaluate_classifiers(classifiers, data, split, allow_training_scans), ()
    else:
        predictors = _asked([load_predictor(model) for model in models], config)
        result, lines, crops = _evaluate_scans(predictors, masks, (data, split), config, allow_training_scans, flags)
    _finish({**result, **what}, lines, crops, out, flags)


def _check_idle(given, what, expected):
    """Refuses options that do nothing for what is scored; a --config names all settings, and is not asked."""
    from plankton_keras.errors import SettingError

    for flag in ("--" + name.replace("_", "-") for name, value in given.items() if value is not None):
        raise SettingError(f"{flag} has no effect on {what}.", expected, f"leave {flag} out.")


def _finish(result, lines, crops, out, flags):
    """Writes the report and the figures."""
    from plankton_keras.files import claim_folder
    from plankton_keras.report import write_report

    out = claim_folder(out, flags.overwrite)
    write_report(out / "report.html", result, crops)
    lines = [*lines, f"Report: {out / 'report.html'}, every figure: {out / 'metrics.json'}"]
    output.finish(result, lines, flags.json, out / "metrics.json")


def _asked(models, config):
    """Adds the average of several models, and turns each about where that is asked for."""
    from plankton_keras.averaging import over_models, over_turns

    asked = [*models, over_models(models)] if len(models) > 1 else models
    return [over_turns(model) for model in asked] if config.turns else asked


def _provenance(models):
    """Says what made the figures, and what made the models."""
    from plankton_keras.describe import describe
    from plankton_keras.runs import now, versions

    training = {str(model): describe(model) for model in models}
    command = shlex.join(["plankton", *sys.argv[1:]])
    return {"created": now(), "command": command, "versions": versions(), "training": training}


def _evaluate_scans(predictors, masks, data_and_split, config, allow_training_scans, flags):
    """Scores models, and the masks of another tool, on scans; gives the result, its lines and the crops."""
    from plankton_keras.comparison import compare
    from plankton_keras.evaluation import model_contestant
    from plankton_keras.given_masks import mask_contestant
    from plankton_keras.truths import seen_scans

    truths, target, is_sure = _find_truths(*data_and_split, parse_gray_range(config.gray_range))
    for predictor in predictors:
        if masks or (is_sure and predictor.target.by_life):
            _check_target(predictor, target, data_and_split[0])
    _check_one_meaning(predictors, data_and_split[0])
    seen = {predictor.source: seen_scans(truths, predictor.training_scans) for predictor in predictors}
    warnings = _check_unseen(seen, "scans", allow_training_scans)
    for predictor in predictors:
        known = seen_scans(truths, predictor.validation_scans)
        if known:
            text = f"{predictor.source} chose its best epoch and threshold on {_named(known)}"
            warnings.append({"severe": False, "text": f"{text} A test split is free of that."})

    def progress_of(stem):
        return output.Progress(f"evaluate {stem}", flags.quiet)

    contestants = [model_contestant(predictor, config, progress_of) for predictor in predictors]
    if masks:
        contestants.append(mask_contestant(masks, target, [truth.stem for truth in truths]))
    result, crops = compare(contestants, truths)
    lines = [*(warning["text"] for warning in warnings), f"{counted(len(truths), 'scan')} of {data_and_split[0]}"]
    return {**result, "warnings": warnings}, [*lines, *_comparison_lines(result)], crops


def _comparison_lines(result):
    """Words what `comparison.compare` gave."""
    scored = result.get("runs", [result])
    rows = [(each["model"], each) for each in scored]
    rows += [(BASELINES[name], each) for name, each in result["baselines"].items()]
    lines = ["pixels of the foreground    F1   precision  recall"]
    for name, scores in rows:
        pixel = scores["pixel"]
        lines.append(f"{name:<25} {pixel['f1']:.4f}   {pixel['precision']:.4f}   {pixel['recall']:.4f}")
    lines += _class_lines(result["classes"])
    for each in scored:
        lines.append(f"{each['model']}: {_difference(each['gain'])} over the plain threshold")
    for pair in result.get("comparison", ()):
        lines.append(f"{pair['one']}: {_difference(pair)} over {pair['other']}")
    objects, note = result["objects"], result["intervals"]["note"]
    # Whose they are goes without saying where one is scored.
    whose = f"{result['model']}: " if len(scored) > 1 else ""
    lines.append(
        f"{whose}objects at IoU 0.5: F1 {objects['f1']:.3f}, precision {objects['precision']:.3f}, "
        f"recall {objects['recall']:.3f}; panoptic quality {objects['pq']:.3f}; "
        f"{objects['splits']} split, {objects['merges']} merged"
    )
    for scan in result["scans"]:
        lines += [
            f"{scan['scan']} is unlike the training scans: {text}" for text in scan.get("shift", {"why": ()})["why"]
        ]
    return [*lines, *([note] if note else [])]


def _difference(gain):
    """Words a difference of F1."""
    if gain["low"] is None:
        return f"F1 {gain['f1']:+.4f} (one scan says nothing of how sure that is)"
    sure = f"{gain['low']:+.4f} to {gain['high']:+.4f} in 95 % of bootstraps over {gain['scans']} scans"
    return f"F1 {gain['f1']:+.4f} ({sure})"


def _class_lines(classes):
    """Words the scores of each class but 0 that is there, the largest first, where there are several."""
    if len(classes) == 2:
        return []
    _, *names = classes
    present = sorted((name for name in names if classes[name]["support"]), key=lambda name: -classes[name]["support"])
    lines = [f"{'pixels of':<37} {'F1':>6} {'precision':>9} {'recall':>6} {'pixels':>9}"]
    for name in present:
        f1, precision, recall, support = (classes[name][key] for key in ("f1", "precision", "recall", "support"))
        lines.append(f"{name:<37} {f1:>6.3f} {precision:>9.3f} {recall:>6.3f} {support:>9}")
    return lines


def _evaluate_classifiers(classifiers, data, split, allowed):
    """Scores classifiers of vignettes; gives the result and its lines."""
    from plankton_keras.truths import seen_vignettes, truths_of_vignettes
    from plankton_keras.vignette_scores import score_vignettes

    scored, seen = [], {}
    for classifier in classifiers:
        vignettes = images, sides, labels = truths_of_vignettes(data, split, classifier)
        seen[classifier.source] = seen_vignettes(data, split, vignettes, classifier)
        known = classifier.classes, classifier.living, classifier.living_share
        scores = score_vignettes(classifier.classify(images, sides), labels, *known)
        scored.append({"model": classifier.source, "model_sha256": classifier.digest, **scores})
    warnings = _check_unseen(seen, "vignettes", allowed)
    result = {**scored[0], **({"runs": scored} if len(scored) > 1 else {}), "warnings": warnings}
    names = ("accuracy", "balanced_accuracy", "macro_precision", "macro_recall", "macro_f1", "top3_accuracy")
    lines = [*(warning["text"] for warning in warnings), f"{result['vignettes']} vignettes of {data}"]
    for scores in scored:
        shown = [name for name in (*names, "living_balanced_accuracy") if name in scores]
        lines.append(f"{scores['model']}: " + ", ".join(f"{name} {scores[name]:.3f}" for name in shown))
    return result, lines


def _find_truths(data, split, gray_range):
    """Finds the scans to score.

    Args:
        data: A records folder, or a folder of pairs.
        split: Name of the split.
        gray_range: As for `scans.open_scan`.

    Returns:
        `(truths, target, is_sure)`: a list of `truths.Truth`, the `taxa.Target` of masks that come without a model, and
        whether a taxa.csv says which ids are living.
    """
    from plankton_keras.data.records import read_manifest
    from plankton_keras.schema import MANIFEST
    from plankton_keras.taxa import Target, find_taxa, living_target, read_taxa
    from plankton_keras.truths import truths_of_pairs, truths_of_records

    if (Path(data) / MANIFEST).is_file():
        return truths_of_records(data, split, gray_range), Target.from_json(read_manifest(data).target), False
    table = find_taxa(data)
    target = living_target(read_taxa(table) if table else None)
    return truths_of_pairs(data, split, gray_range), target, bool(table)


def _check_target(predictor, target, data):
    """Refuses to score by two truths: an id of the masks that one of two targets looks for, and the other does not."""
    from plankton_keras.errors import ArtefactError

    mask_id = predictor.target.conflict(target)
    if mask_id is not None:
        looks, lives = ("" if each.class_of(mask_id) else "not " for each in (predictor.target, target))
        raise ArtefactError(
            f"The id {mask_id} is {looks}what {predictor.source} looks for, but {lives}living in {data}.",
            "one meaning of each id.",
            "check taxa.csv; masks of other classes than a run's are scored without it.",
        )


def _check_one_meaning(predictors, data):
    """Refuses runs that look for other ids of the masks: each would be scored by a truth of its own."""
    from plankton_keras.errors import ArtefactError
    from plankton_keras.schema import MANIFEST

    if (Path(data) / MANIFEST).is_file():
        return
    for other in predictors[1:]:
        first, mask_id = predictors[0], predictors[0].target.conflict(other.target)
        if mask_id is not None:
            one, two = (first, other) if other.target.class_of(mask_id) else (other, first)
            raise ArtefactError(
                f"The id {mask_id} is not what {one.source} looks for, but what {two.source} does.",
                "one meaning of each id.",
                "score each by itself, or all on records, which say the truth for all.",
            )


def _named(names):
    """Words names as the end of a sentence."""
    return f"{names[0]}{and_others(len(names) - 1)}."


def _check_unseen(seen, what, allowed):
    """Refuses what a model was trained on, or warns of it.

    Args:
        seen: Names of what it was trained on, by model.
        what: `scans` or `vignettes`.
        allowed: Whether only to warn.

    Returns:
        A list of warnings as metrics.json has them.
    """
    from plankton_keras.errors import ArtefactError

    warnings = []
    for source, names in seen.items():
        if names:
            text = f"{source} was trained on {_named(names)}"
            if not allowed:
                fix = f"give other {what}, or the records of its training; --allow-training-scans scores these too."
                raise ArtefactError(text, f"{what} that it has not seen.", fix)
            warnings.append({"severe": True, "text": f"{text} These scores say nothing of other {what}."})
    return warnings
