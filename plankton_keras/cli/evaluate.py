"""`plankton evaluate`: scores of runs and exports on whole scans."""

from pathlib import Path

import click

from plankton_keras.cli import options, output
from plankton_keras.config import PredictConfig


@click.command()
@click.argument("runs", type=options.FOLDER, nargs=-1, required=True, metavar="RUN... DATA")
@options.out_option
@click.option(
    "--split", default="val", show_default=True, help="Split to score; a folder without splits is scored whole."
)
@options.masks_option
@options.config_options(PredictConfig, leave_out=("probabilities",))
@options.flags("overwrite", "json", "quiet")
def evaluate(runs, out, split, masks, config_file, flags, **settings):
    """Score one or more runs or exports on whole scans that they were not trained on.

    DATA is a records folder, or a folder of scan/mask pairs. A plain threshold is scored beside them, and the average
    of several runs. Runs of vignettes are scored on records of vignettes or on folders CLASS/NAME.jpg.

    \b
    Example:
        plankton evaluate runs/unet scans --out evaluations/unet
    """
    *models, data = runs
    if not models:
        raise click.UsageError("Missing argument 'DATA': give a run and what to score it on.")
    config = options.build_config(PredictConfig, settings, config_file)
    output.prepare(flags.quiet)
    from plankton_keras.evaluation import gain_over, score_baseline, score_model
    from plankton_keras.files import claim_folder
    from plankton_keras.inference import is_classifier, load_classifier, load_predictor

    if is_classifier(models[0]):
        _evaluate_classifiers(_asked([load_classifier(model) for model in models], config), data, out, split, flags)
        return
    predictors = _asked([load_predictor(model) for model in models], config)
    truths = _find_truths(data, split, masks, predictors)
    out = claim_folder(out, flags.overwrite)

    def progress_of(stem):
        return output.Progress(f"evaluate {stem}", flags.quiet)

    scored = [score_model(predictor, truths, config, progress_of) for predictor in predictors]
    baseline = score_baseline(truths, predictors[0].target)
    scored = [{**scores, "gain": gain_over(scores, baseline)} for scores in scored]
    result = {**scored[0], "baselines": {"threshold": baseline}, "split": split, "data": str(data)}
    if len(scored) > 1:
        result["runs"] = scored
    lines = [f"{len(truths)} scans of {data}", "pixels of the foreground    F1   precision  recall"]
    for name, scores in [*((each["model"], each["pixel"]) for each in scored), ("plain threshold", baseline["pixel"])]:
        lines.append(f"{name:<25} {scores['f1']:.4f}   {scores['precision']:.4f}   {scores['recall']:.4f}")
    lines += [*_say_classes(result["classes"]), *(_say_gain(scores) for scores in scored)]
    objects = result["objects"]
    lines.append(
        f"objects at IoU 0.5: F1 {objects['f1']:.3f}, precision {objects['precision']:.3f}, "
        f"recall {objects['recall']:.3f}"
    )
    output.finish(result, [*lines, f"Every figure: {out / 'metrics.json'}"], flags.json, Path(out) / "metrics.json")


def _say_classes(classes):
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


def _say_gain(scores):
    """Words what a run has over the plain threshold."""
    gain = scores["gain"]
    sure = f"{gain['low']:+.4f} to {gain['high']:+.4f} in 95 % of bootstraps over {gain['scans']} scans"
    if gain["scans"] == 1:
        sure = "one scan says nothing of how sure that is"
    return f"{scores['model']}: F1 {gain['f1']:+.4f} over the plain threshold ({sure})"


def _asked(models, config):
    """Adds the average of several models, and turns each about where that is asked for."""
    from plankton_keras.averaging import over_models, over_turns

    asked = [*models, over_models(models)] if len(models) > 1 else models
    return [over_turns(model) for model in asked] if config.turns else asked


def _evaluate_classifiers(classifiers, data, out, split, flags):
    """Scores classifiers of vignettes."""
    from plankton_keras.files import claim_folder
    from plankton_keras.truths import truths_of_vignettes
    from plankton_keras.vignette_scores import score_vignettes

    scored = []
    for classifier in classifiers:
        images, sides, labels = truths_of_vignettes(data, split, classifier)
        known = classifier.classes, classifier.living, classifier.living_share
        scores = score_vignettes(classifier.classify(images, sides), labels, *known)
        scored.append({"model": classifier.source, "model_sha256": classifier.digest, **scores})
    result = {**scored[0], "split": split, "data": str(data)}
    if len(scored) > 1:
        result["runs"] = scored
    names = ("accuracy", "balanced_accuracy", "macro_precision", "macro_recall", "macro_f1", "top3_accuracy")
    lines = [f"{result['vignettes']} vignettes of {data}"]
    for scores in scored:
        shown = [name for name in (*names, "living_balanced_accuracy") if name in scores]
        lines.append(f"{scores['model']}: " + ", ".join(f"{name} {scores[name]:.3f}" for name in shown))
    out = claim_folder(out, flags.overwrite)
    output.finish(result, [*lines, f"Every figure: {out / 'metrics.json'}"], flags.json, Path(out) / "metrics.json")


def _find_truths(data, split, masks, predictors):
    """Finds the scans to score and refuses those that a model was trained on.

    Returns:
        A list of `truths.Truth`.
    """
    from plankton_keras.errors import ArtefactError
    from plankton_keras.schema import MANIFEST
    from plankton_keras.truths import truths_of_pairs, truths_of_records

    is_records = (Path(data) / MANIFEST).is_file()
    truths = truths_of_records(data, split) if is_records else truths_of_pairs(data, split, masks)
    for predictor in predictors:
        known = [truth.stem for truth in truths if truth.digest in predictor.training_scans]
        if known:
            raise ArtefactError(
                f"{predictor.source} was trained on {known[0]}"
                + (f" and {len(known) - 1} others." if known[1:] else "."),
                "scans that it has not seen.",
                "give other scans, or --split val of the records.",
            )
    return truths
