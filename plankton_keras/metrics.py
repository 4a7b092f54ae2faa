"""Scores that every run reports: over pixels, never averaged over patches, in float32 whatever the precision."""

import keras
from keras import ops

BINS = 256


@keras.saving.register_keras_serializable("plankton_keras")
class PixelScores(keras.metrics.Metric):
    """F1, precision, recall, IoU and accuracy of finding the foreground, at the threshold with the best F1.

    Foreground is every class but 0. The metric counts pixels by truth and by probability of the foreground in 256 bins,
    the same quantisation that predictions are stored in; the scores and the threshold follow from these counts.

    Args:
        threshold: Fixed threshold 0..1, or None for the one with the best F1.

    Call arguments:
        y_true: Integer class indices `(batch, height, width, 1)`.
        y_pred: Logits `(batch, height, width, num_classes)`.

    Example, with 2 pixels found, 1 false and 1 missed, so precision = recall = 2/3 and F1 = 2/3:

    >>> import numpy as np
    >>> metric = PixelScores(threshold=0.5)
    >>> metric.update_state(np.array([[[[1], [1], [1], [0]]]]),
    ...                     np.array([[[[-9.0, 9.0], [-9.0, 9.0], [9.0, -9.0], [-9.0, 9.0]]]]))
    >>> round(float(metric.result()["f1"]), 3)
    0.667
    """

    def __init__(self, threshold=None, name="pixel_scores", **kwargs):
        super().__init__(name=name, dtype="float32", **kwargs)
        self.threshold = threshold
        self.counts = self.add_variable((2, BINS), initializer="zeros", dtype="float32", name="counts")

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Adds the pixels of a batch; weights are not used."""
        probability = 1.0 - ops.softmax(ops.cast(y_pred, "float32"))[..., 0]
        # A NaN has no bin; the training stops on the loss, with a message.
        probability = ops.nan_to_num(probability)
        bins = ops.cast(ops.round(probability * (BINS - 1)), "int32")
        truth = ops.cast(ops.squeeze(y_true, -1) > 0, "int32")
        flat = ops.reshape(truth * BINS + bins, (-1,))
        # Not `bincount`, which JAX does not compile. A batch has fewer than 2**24 pixels, so that ones add up exactly.
        counts = ops.segment_sum(ops.ones_like(flat, dtype="float32"), flat, num_segments=2 * BINS)
        self.counts.assign_add(ops.reshape(counts, (2, BINS)))

    def result(self):
        """Gives the scores and the threshold, each a float32 scalar 0..1; a score without any pixel is 0."""
        found_or_false = ops.flip(ops.cumsum(ops.flip(self.counts, axis=1), axis=1), axis=1)
        false, found = found_or_false[0], found_or_false[1]
        missed = found[0] - found
        f1 = 2 * found / ops.maximum(2 * found + false + missed, 1.0)
        best = ops.argmax(f1) if self.threshold is None else round(self.threshold * (BINS - 1))
        found, false, missed = found[best], false[best], missed[best]
        return {
            "f1": f1[best],
            "precision": found / ops.maximum(found + false, 1.0),
            "recall": found / ops.maximum(found + missed, 1.0),
            "iou": found / ops.maximum(found + false + missed, 1.0),
            "accuracy": 1.0 - (false + missed) / ops.maximum(ops.sum(self.counts), 1.0),
            "threshold": ops.cast(best, "float32") / (BINS - 1),
        }

    def reset_state(self):
        """Forgets the pixels."""
        self.counts.assign(ops.zeros((2, BINS)))

    def get_config(self):
        """Gives what rebuilds the metric."""
        return {"name": self.name, "threshold": self.threshold}


@keras.saving.register_keras_serializable("plankton_keras")
class VignetteScores(keras.metrics.Metric):
    """Accuracy and macro precision, recall and F1 of vignettes, over the classes that are present.

    The macro recall is the balanced accuracy.

    Args:
        num_classes: Number of classes.

    Call arguments:
        y_true: Integer class indices `(batch,)`.
        y_pred: Logits `(batch, num_classes)`.

    Example, where one of two vignettes of class 0 is taken for class 1, so that its F1 is 2/3 and that of class 1 2/3:

    >>> import numpy as np
    >>> metric = VignetteScores(num_classes=3)
    >>> metric.update_state(np.array([0, 0, 1]), np.array([[9.0, 0, 0], [0, 9.0, 0], [0, 9.0, 0]]))
    >>> {name: round(float(score), 3) for name, score in metric.result().items()}
    {'f1': 0.667, 'precision': 0.75, 'recall': 0.75, 'accuracy': 0.667}
    """

    def __init__(self, num_classes, name="vignette_scores", **kwargs):
        super().__init__(name=name, dtype="float32", **kwargs)
        self.num_classes = num_classes
        self.counts = self.add_variable((num_classes,) * 2, initializer="zeros", dtype="float32", name="counts")

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Adds the vignettes of a batch; weights are not used."""
        truth = ops.reshape(ops.cast(y_true, "int32"), (-1,))
        flat = truth * self.num_classes + ops.cast(ops.argmax(y_pred, axis=-1), "int32")
        counts = ops.segment_sum(ops.ones_like(flat, dtype="float32"), flat, num_segments=self.num_classes**2)
        self.counts.assign_add(ops.reshape(counts, (self.num_classes,) * 2))

    def result(self):
        """Gives the scores, each a float32 scalar 0..1."""
        found = ops.diagonal(self.counts)
        true, predicted = ops.sum(self.counts, axis=1), ops.sum(self.counts, axis=0)
        present = ops.cast(true > 0, "float32")
        classes = ops.maximum(ops.sum(present), 1.0)
        precision, recall = found / ops.maximum(predicted, 1.0), found / ops.maximum(true, 1.0)
        f1 = 2 * found / ops.maximum(true + predicted, 1.0)
        return {
            "f1": ops.sum(f1 * present) / classes,
            "precision": ops.sum(precision * present) / classes,
            "recall": ops.sum(recall * present) / classes,
            "accuracy": ops.sum(found) / ops.maximum(ops.sum(true), 1.0),
        }

    def reset_state(self):
        """Forgets the vignettes."""
        self.counts.assign(ops.zeros((self.num_classes,) * 2))

    def get_config(self):
        """Gives what rebuilds the metric."""
        return {"name": self.name, "num_classes": self.num_classes}
