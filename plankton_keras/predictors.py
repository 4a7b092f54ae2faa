"""What is needed of a model, however it is stored: of pixels, of vignettes, or as another program calls it."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from plankton_keras.config import parse_wanted
from plankton_keras.errors import SettingError
from plankton_keras.fusion import Judge
from plankton_keras.taxa import Target


@dataclass(frozen=True)
class Predictor:
    """What prediction needs to know of a model, however it is stored.

    Attributes:
        probabilities: Function of uint8 `(batch, height, width)` to float32 `(batch, height, width, classes)`, which
            sums to 1 over the classes; height and width are multiples of `config.STRIDE`.
        classes: Class names by index; index 0 is everything that is not looked for.
        threshold: Probability of the other classes together from which a pixel counts as found.
        judge: The `fusion.Judge` whose word on whole objects counts too, or None.
        digest: SHA-256 of the model.
        source: Path of the run or export.
        target: The `taxa.Target` that it learned.
        training_scans: Stem by SHA-256 of the scans that it was trained on.
        curves: `curves.threshold_curves` on the validation scans; empty of averages and of older runs.
        validation_scans: Stem by SHA-256 of the scans that best epoch and threshold were chosen on.
        looks: List of dictionaries that `shift.unlike` compares scans with; empty of averages and of older runs.
        pixel_threshold: The threshold where the network's word alone counts, or None where that was not noted.
    """

    probabilities: Callable
    classes: tuple
    threshold: float
    judge: Judge | None
    digest: str
    source: str
    target: Target
    training_scans: dict
    curves: dict = field(default_factory=dict)
    validation_scans: dict = field(default_factory=dict)
    looks: tuple = ()
    pixel_threshold: float | None = None

    def threshold_for(self, config):
        """Gives the threshold that a `config.PredictConfig` asks for: its own, one for what is wanted, or the model's.

        Raises:
            SettingError: If no threshold had what is wanted on the validation scans, or none was noted.
        """
        wanted = parse_wanted(config.wanted)
        if config.threshold is not None or not wanted:
            return self.threshold if config.threshold is None else config.threshold
        name, share = wanted
        reached = [
            threshold
            for threshold, value in zip(self.curves.get("threshold", ()), self.curves.get(name, ()), strict=True)
            if value is not None and value >= share
        ]
        if not reached:
            best = max((value for value in self.curves.get(name, ()) if value is not None), default=None)
            raise SettingError(
                f"{self.source} has no threshold with {config.wanted}.",
                "a run of which validation scans tell it." if best is None else f"at most {name}={best:.4f}.",
                "give a --threshold.",
            )
        # The one that gives the least of the other away.
        return min(reached) if name == "precision" else max(reached)


@dataclass(frozen=True)
class Classifier:
    """What is needed of a run of vignettes, or of its export.

    Attributes:
        classify: As for `fusion.Judge`.
        classes: Class names by index.
        living: Whether each class is alive, by name, or None.
        living_share: Share of the training vignettes that is alive, or None.
        size: Side of the vignettes in pixels.
        digest: SHA-256 of the model.
        source: Path of the run or export.
        training_scans: Stem by SHA-256 of the scans whose candidates it was trained on.
        training_vignettes: `leaks.vignette_digests` of the labelled vignettes that it was trained on; none of runs from
            before these were noted.
        confusion: int64 `(classes, classes)`, vignettes of validation, rows true, columns predicted; or None.
    """

    classify: Callable
    classes: tuple
    living: dict | None
    living_share: float | None
    size: int
    digest: str
    source: str
    training_scans: dict = field(default_factory=dict)
    training_vignettes: frozenset = frozenset()
    confusion: np.ndarray | None = None


@dataclass(frozen=True)
class Signature:
    """A signature of an export, as another program calls it.

    Attributes:
        inputs: `(type, shape)` of each input by name, in the order that `compute` takes them: uint8, float32 or bytes;
            None in a shape is any size.
        output: `(name, type, shape)` of what it gives.
        compute: Function of the inputs as arrays to the array that they give; an `InputError` says what is wrong.
    """

    inputs: dict
    output: tuple
    compute: Callable
