"""Losses over logits. Class 0 is everything that is not looked for; Dice and Tversky take the others as one.

Of sixty taxa a batch shows a few, so that an overlap a class would mostly punish what is absent; the region tells
whether something is there, the cross-entropy of the pixels what it is.

Pure Keras and always in float32: the sums of a 512x512 mask overflow float16. With two classes the cross-entropy of the
softmax is the binary one.
"""

import keras
from keras import ops


@keras.saving.register_keras_serializable("plankton_keras")
class SegmentationLoss(keras.losses.Loss):
    """Sum of a term for each pixel and a term for the overlap of the regions.

    Args:
        kind: `bce_dice`: cross-entropy and Dice; `focal`: focal cross-entropy with gamma 2 (Lin et al. 2017, arXiv
            1708.02002); `tversky`: cross-entropy and Tversky with alpha 0.3 and beta 0.7, which weighs a missed pixel
            more than a false one (Salehi et al. 2017, arXiv 1706.05721).
        class_weights: A weight a class for the pixel term, or None for ones.

    Call arguments:
        y_true: Integer class indices `(batch, height, width, 1)`.
        y_pred: Logits `(batch, height, width, num_classes)`.

    Example:

    >>> import numpy as np
    >>> y_true = np.array([[[[1]], [[0]]]])
    >>> y_pred = np.array([[[[-9.0, 9.0]], [[9.0, -9.0]]]])
    >>> round(float(SegmentationLoss("bce_dice")(y_true, y_pred)), 4)
    0.0
    """

    kinds = ("bce_dice", "focal", "tversky")

    def __init__(self, kind="bce_dice", class_weights=None, name="segmentation_loss", **kwargs):
        super().__init__(name=name, reduction=None, dtype="float32", **kwargs)
        self.kind = kind
        self.class_weights = class_weights

    def call(self, y_true, y_pred):
        """Gives the loss of the batch as a scalar."""
        logits, labels = ops.cast(y_pred, "float32"), ops.squeeze(ops.cast(y_true, "int32"), -1)
        pixel = self._pixel_term(labels, logits)
        if self.kind == "focal":
            return pixel
        alpha, beta = (0.5, 0.5) if self.kind == "bce_dice" else (0.3, 0.7)
        return pixel + _tversky_loss(ops.cast(labels > 0, "float32"), 1.0 - ops.softmax(logits)[..., 0], alpha, beta)

    def _pixel_term(self, labels, logits):
        """Cross-entropy, or its focal form, as a mean over the pixels."""
        loss = ops.sparse_categorical_crossentropy(labels, logits, from_logits=True)
        if self.kind == "focal":
            loss = loss * (1.0 - ops.exp(-loss)) ** 2
        if self.class_weights is not None:
            loss = loss * ops.take(ops.convert_to_tensor(self.class_weights, "float32"), labels)
        return ops.mean(loss)

    def get_config(self):
        """Gives what rebuilds the loss."""
        return {"kind": self.kind, "class_weights": self.class_weights, "name": self.name}


@keras.saving.register_keras_serializable("plankton_keras")
class VignetteLoss(keras.losses.Loss):
    """Cross-entropy with a truth smoothed by 0.1, since vignettes of plankton are often labelled wrongly.

    Szegedy et al. 2016 (arXiv 1512.00567).

    Call arguments:
        y_true: Integer class indices `(batch,)`.
        y_pred: Logits `(batch, num_classes)`.
    """

    smoothing = 0.1

    def __init__(self, name="vignette_loss"):
        super().__init__(name=name, dtype="float32")

    def call(self, y_true, y_pred):
        """Gives the loss of each vignette: `(batch,)`."""
        log_probability = ops.log_softmax(ops.cast(y_pred, "float32"))
        truth = ops.one_hot(ops.reshape(ops.cast(y_true, "int32"), (-1,)), y_pred.shape[-1], dtype="float32")
        hit = ops.sum(truth * log_probability, axis=-1)
        return -(1.0 - self.smoothing) * hit - self.smoothing * ops.mean(log_probability, axis=-1)

    def get_config(self):
        """Gives what rebuilds the loss."""
        return {"name": self.name}


def _tversky_loss(truth, probability, alpha, beta):
    """One minus the Tversky index over batch and pixels; with halves it is Dice."""
    found = ops.sum(truth * probability)
    false = ops.sum((1.0 - truth) * probability)
    missed = ops.sum(truth * (1.0 - probability))
    # One pixel of smoothing keeps a batch without foreground at a small finite gradient.
    return 1.0 - (found + 1.0) / (found + alpha * false + beta * missed + 1.0)


def balanced_weights(shares):
    """Weighs classes by the inverse root of their share, normalised so that the mean weight of a pixel is 1.

    Args:
        shares: Share of the pixels of each class, 0..1, by index.

    Returns:
        A list of weights; a class without pixels weighs 0.

    Example:

    >>> [round(weight, 3) for weight in balanced_weights([0.96, 0.04])]
    [0.865, 4.238]
    """
    raw = [share**-0.5 if share > 0 else 0.0 for share in shares]
    mean = sum(weight * share for weight, share in zip(raw, shares, strict=True))
    return [weight / mean for weight in raw]
