"""The judge of a run: a classifier of candidates, and how its word and the network's are weighed.

Its encoder stays as it comes; a linear layer is fitted on the candidates of the training scans, and what its word
weighs beside the network's on validation scans.
"""

from dataclasses import replace

import keras
import numpy as np

from plankton_keras import schema
from plankton_keras.config import STARTS, PredictConfig
from plankton_keras.curves import histogram_of, threshold_curves
from plankton_keras.data.records import rebuild_scans
from plankton_keras.data.vignette_records import read_vignettes
from plankton_keras.files import whole_file, write_json
from plankton_keras.fusion import Judge, Weights, log_odds, mirrored
from plankton_keras.models import classifier, tempered
from plankton_keras.models.encoders import build_encoder
from plankton_keras.models.stored import load_model
from plankton_keras.prediction import predict_maps
from plankton_keras.scans import ArrayScan
from plankton_keras.shift import confidence
from plankton_keras.temperature import fit_temperature, pixel_temperature
from plankton_keras.weighing import WORTH, best_edge, best_threshold, fit_weights

# 40 million multiplications a vignette, so that the objects of a scan of real size take seconds.
ENCODER = "mobilenet_075"
BATCH = 32
# Inverse strength of the penalty on standardised features.
PENALTY = 1e-3
# Log-odds, as of 0.95, that a threshold has at most after calibration.
FAR = 2.94
# Validation scans are predicted until this many pixels are, one at least: what is fitted has few parameters.
ENOUGH_PIXELS = 150_000_000


def complete(run, records, manifest, config):
    """Fits what a trained run needs beside its network, and writes it: the judge, if it helps, and the threshold.

    Args:
        run: The `runs.Run`; its best model is there.
        records: The records folder.
        manifest: Its manifest.
        config: The `config.TrainConfig`.

    Returns:
        The dictionary of thresholds.json: `foreground`, the threshold of the whole; `f1`, the F1 that it has on the
        validation scans; `temperature`, what the network's logits are divided by; `pixel`, `threshold` and `f1` of the
        network alone; and, where they help, `objects`, the `fusion.Weights`. The file also has
        `curves.threshold_curves`, and `shift.confidence` of each scan.
    """
    model = load_model(run.model)
    judge_model = None
    if not config.pixels_only and manifest.count("train", schema.VIGNETTES):
        vignettes = read_vignettes(records, manifest, "train")
        judge_model = fit_classifier(vignettes, len(manifest.classes), judge_start(config))
    judge = judge_model and Judge(classify_with(judge_model), Weights.alone(manifest.settings["vignette_size"]))

    def maps_at(temperature, judge=None):
        calibrated = tempered(model, temperature)

        def probabilities(images):
            return keras.ops.convert_to_numpy(keras.ops.softmax(calibrated.predict_on_batch(images[..., None])))

        for scan, truth in scans:
            _, classes, probability, _, evidence = predict_maps(scan, probabilities, predicting, judge=judge)
            yield evidence, classes, probability, truth

    predicting = PredictConfig().for_classes(len(manifest.classes))
    scans = _enough(rebuild_scans(records, manifest, "val"))
    temperature = pixel_temperature(sum(histogram_of(truth, likely) for *_, likely, truth in maps_at(1.0)))
    maps = [(probability, truth) for *_, probability, truth in maps_at(temperature)]
    f1, threshold = best_threshold(maps)
    found = {"foreground": threshold, "f1": f1, "temperature": temperature}
    found["pixel"] = {"threshold": threshold, "f1": f1}
    final = maps
    if judge:
        # As `predict` does it: the network sees less around what it is asked about than on whole windows.
        seen = list(maps_at(temperature, judge))
        scored = [_score(seen, each) for each in fit_weights(seen, judge.weights)]
        fused_f1, fused, weights = max(scored, key=lambda each: each[0], default=(0.0, 0.0, None))
        if fused_f1 > f1 + WORTH:
            with whole_file(run.judge) as partial:
                judge_model.save(partial)
            found["f1"] = fused_f1
            found["foreground"], weights = _calibrated(seen, weights, fused, threshold)
            found["objects"] = weights.to_json()
            final = _applied(seen, weights)
    histograms = [histogram_of(truth, probability) for probability, truth in final]
    seen_there = {"curves": threshold_curves(sum(histograms)), "confidences": list(map(confidence, histograms))}
    write_json(run.thresholds, {**found, "chosen_by": "F1 on the validation scans", **seen_there}, sealed=True)
    return found


def judge_start(config):
    """Gives where the weights of the judge's encoder come from.

    Args:
        config: A `config.TrainConfig`.

    Returns:
        Its `weights`; `auto` where these are a file or a run for a network with another encoder.

    Example:

    >>> from plankton_keras.config import TrainConfig
    >>> judge_start(TrainConfig(model="resnet50_unet", weights="resnet50.h5")), judge_start(TrainConfig(weights="a.h5"))
    ('auto', 'a.h5')
    """
    fits = config.weights in STARTS or config.model in ("unet", f"{ENCODER}_unet")
    return config.weights if fits else "auto"


def check_start(config):
    """Checks the weights that the judge's encoder would start from, before hours of training.

    Args:
        config: A `config.TrainConfig`, not of pixels only.

    Raises:
        SettingError: If they are not there, or of another network.
    """
    # With these alone a judge can always begin.
    if judge_start(config) not in ("auto", "none"):
        build_encoder(ENCODER, judge_start(config))


def _enough(scans):
    """Takes scans, one at least, until they have enough pixels: a list of `(scan, truth)`."""
    taken = []
    for stem, (image, truth) in scans.items():
        taken.append((ArrayScan(stem, image), truth))
        if sum(truth.size for _, truth in taken) > ENOUGH_PIXELS:
            break
    return taken


def _calibrated(seen, weights, fused, threshold):
    """Makes the probabilities that weights give what they say.

    Args:
        seen: As for `weighing.fit_weights`.
        weights: The `fusion.Weights`.
        fused: Their threshold.
        threshold: That of the network alone, to which the edge of the scan leaves some candidates.

    Returns:
        `(threshold, weights)`, with the temperature, and the shift that makes one threshold fit both.
    """
    weights = replace(weights, shift=float(log_odds(255 * fused) - log_odds(255 * threshold)))
    temperature = pixel_temperature(sum(histogram_of(truth, likely) for likely, truth in _applied(seen, weights)))
    # Not so cold that the threshold comes to lie among the ends, where 1/255 is much.
    temperature = max(temperature, float(abs(log_odds(255 * fused))) / FAR)
    calibrated = 1 / (1 + np.exp(-log_odds(255 * fused) / temperature))
    return float(calibrated), replace(weights, temperature=temperature)


def _applied(seen, weights):
    """Gives the probabilities of all evidence by its weights, and the truth, of each scan."""
    for evidence, classes, probability, truth in seen:
        fused = np.array(probability)
        evidence.apply(weights, np.array(classes), fused)
        yield fused, truth


def _score(seen, weights):
    """Scores weights on validation scans.

    Returns:
        `(f1, threshold, weights)`, the weights with the edge that suits them.
    """

    def bands():
        for (evidence, *_), (fused, truth) in zip(seen, _applied(seen, weights), strict=True):

            def of_band(top, bottom, *inside, evidence=evidence, fused=fused, truth=truth):
                depth = np.zeros(truth[top:bottom].shape, np.uint8)
                depth.ravel()[inside[0]] = evidence.depth(top, bottom, *inside)
                return fused[top:bottom], truth[top:bottom], depth

            yield from evidence.candidates.over_bands(of_band)

    f1, threshold, edge = best_edge(bands())
    return f1, threshold, replace(weights, edge=edge) if edge else weights


def calibrate(run, records, manifest):
    """Finds on its validation vignettes what a trained classifier's temperature is and what it takes for what.

    Args:
        run: The `runs.Run`; its best model is there.
        records: The records folder.
        manifest: Its manifest.

    Returns:
        The dictionary of thresholds.json, which it writes: `temperature`; and `confusion`, with the names of its
        `classes` in order and their `counts`, numbers of vignettes, rows true, columns predicted.
    """
    images, sides, labels = read_vignettes(records, manifest, "val")
    model = load_model(run.model)
    logits = model.predict({"image": images, "side": sides}, batch_size=BATCH, verbose=0)
    count = len(manifest.classes)
    counts = np.bincount(count * labels + logits.argmax(axis=1), minlength=count**2).reshape(count, count)
    found = {
        "temperature": fit_temperature(logits.astype(np.float64), labels),
        "chosen_by": "likelihood on the validation vignettes",
        "confusion": {"classes": list(manifest.classes), "counts": counts.tolist()},
    }
    write_json(run.thresholds, found, sealed=True)
    return found


def fit_classifier(vignettes, num_classes, weights):
    """Fits the linear layer of a classifier; the encoder stays as it is.

    Args:
        vignettes: `(images, sides, labels)` as `data.vignette_records.read_vignettes` gives them.
        num_classes: Number of classes.
        weights: Where the encoder's weights come from, as for `models.encoders.build_encoder`.

    Returns:
        A `keras.Model` as `models.classifier` builds it, or None if the vignettes are of fewer than two classes.
    """
    images, sides, labels = vignettes
    if len(np.unique(labels)) < 2:
        return None
    model = classifier(ENCODER, num_classes, weights)
    body = keras.Model(model.inputs, model.get_layer("features").output)
    views = mirrored(images)
    features = [body.predict({"image": view, "side": sides}, batch_size=BATCH, verbose=0) for view in views]
    head = fit_linear(np.concatenate(features), np.tile(labels, len(views)), num_classes)
    model.get_layer("logits").set_weights(head)
    return model


def fit_linear(features, labels, num_classes):
    """Fits a logistic regression.

    Args:
        features: float32 `(rows, features)`.
        labels: int `(rows,)`, class indices.
        num_classes: Number of classes; those without a row get logits that never win.

    Returns:
        `[kernel, bias]`: float32 `(features, classes)` and `(classes,)`.
    """
    from sklearn.linear_model import LogisticRegression

    center, spread = features.mean(axis=0), features.std(axis=0) + 1e-3
    model = LogisticRegression(C=PENALTY, max_iter=500).fit((features - center) / spread, labels)
    # The logits of two classes are 0 and the one that scikit-learn gives.
    two = len(model.classes_) == 2
    coefficients = np.concatenate([0 * model.coef_, model.coef_]) if two else model.coef_
    intercepts = np.concatenate([0 * model.intercept_, model.intercept_]) if two else model.intercept_
    kernel, bias = np.zeros((features.shape[1], num_classes)), np.full(num_classes, -20.0)
    kernel[:, model.classes_] = coefficients.T / spread[:, None]
    bias[model.classes_] = intercepts - (coefficients * center / spread).sum(axis=1)
    return [kernel.astype(np.float32), bias.astype(np.float32)]


def classify_with(model):
    """Makes the function that classifies vignettes.

    Args:
        model: A `keras.Model` as `models.classifier` builds it.

    Returns:
        A function of `(images, sides)`, as for `fusion.Judge`.
    """

    def classify(images, sides):
        found = [np.zeros((0, model.output_shape[-1]), np.float32)]
        for start in range(0, len(images), BATCH):
            some = images[start : start + BATCH].astype(np.float32), sides[start : start + BATCH]
            # Batches of one size, since TensorFlow builds a new graph for each.
            image, side = (np.resize(each, (BATCH, *each.shape[1:])) for each in some)
            logits = model.predict_on_batch({"image": image, "side": side})[: len(some[0])]
            found.append(keras.ops.convert_to_numpy(keras.ops.softmax(logits)))
        return np.concatenate(found)

    return classify
