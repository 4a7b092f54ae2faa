"""The run folder: the names of its files, how it is opened, and the provenance that makes a run repeatable."""

import datetime
import importlib.metadata
import platform
from dataclasses import dataclass
from pathlib import Path

from plankton_keras import __version__
from plankton_keras.config import ENCODERS, TrainConfig
from plankton_keras.errors import ArtefactError
from plankton_keras.files import read_json, sha256, sha256_of_files
from plankton_keras.schema import check_version

PACKAGES = (
    "tensorflow",
    "tensorflow-cpu",
    "keras",
    "keras-cv",
    "jax",
    "numpy",
    "opencv-python-headless",
    "scikit-learn",
    "scikit-image",
    "click",
)
FORMAT_VERSION = "1.0"
RETRAIN = "train again: plankton train RECORDS --out RUN."


class _Stored(dict):
    """What a file of a run holds; what is missing there is an error that names the file."""

    def __init__(self, path):
        super().__init__(read_json(path, RETRAIN))
        self.path = path

    def __missing__(self, name):
        raise ArtefactError(f"{self.path} is damaged: it has no {name}.", "the file that train wrote.", RETRAIN)


@dataclass(frozen=True)
class Run:
    """The paths of a run folder.

    Example:

    >>> Run(Path("runs/unet")).model.as_posix()
    'runs/unet/model.keras'
    """

    folder: Path

    @property
    def config(self):
        """Settings of the training, as JSON."""
        return self.folder / "config.json"

    @property
    def provenance(self):
        """Versions, data and command, as JSON."""
        return self.folder / "provenance.json"

    @property
    def begun(self):
        """The records that the training began with, as JSON."""
        return self.folder / "records.json"

    @property
    def model(self):
        """The best model on validation."""
        return self.folder / "model.keras"

    @property
    def history(self):
        """One row an epoch, as CSV."""
        return self.folder / "history.csv"

    @property
    def metrics(self):
        """Scores of the best model on the validation patches, as JSON; written last."""
        return self.folder / "metrics.json"

    @property
    def thresholds(self):
        """Thresholds fitted on validation, as JSON."""
        return self.folder / "thresholds.json"

    @property
    def judge(self):
        """The classifier of candidates, if the run has one."""
        return self.folder / "judge.keras"

    @property
    def backup(self):
        """State of the last whole epoch."""
        return self.folder / "backup"

    @property
    def logs(self):
        """TensorBoard's log folder."""
        return self.folder / "logs"

    def open(self):
        """Checks that the run is finished.

        Returns:
            The run itself.

        Raises:
            ArtefactError: If the folder is no run, or its training did not end.
        """
        if not self.config.is_file():
            raise ArtefactError(
                f"{self.folder} is no run: it has no config.json.", "a folder that train wrote.", RETRAIN
            )
        if not self.metrics.is_file():
            raise ArtefactError(
                f"The training in {self.folder} has not ended.",
                "a run with metrics.json.",
                "complete it: the same plankton train command with --resume.",
            )
        return self

    def read_config(self):
        """Reads the settings of the training.

        Raises:
            ArtefactError: If the run is of another major version: its settings would not be ours.
        """
        if self.provenance.is_file():
            self.read_provenance()
        return TrainConfig.of_file(read_json(self.config, RETRAIN), self.config)

    def classifies_vignettes(self):
        """Tells a run of vignettes from one of patches."""
        return self.read_config().model in ENCODERS

    def read_provenance(self):
        """Reads the provenance; it also holds the classes and the record settings.

        Raises:
            ArtefactError: If it is missing, damaged or of another major version.
        """
        found = _Stored(self.provenance)
        # The first runs say no version; they are 1.0 as well.
        check_version(found.get("format_version", FORMAT_VERSION), self.provenance, "plankton train RECORDS --out RUN")
        return found

    def records(self):
        """Gives the digest of the manifest of the records that the run is of; None of runs that noted none."""
        path = self.provenance if self.provenance.is_file() else self.begun
        return _Stored(path).get("manifest_sha256") if path.is_file() else None

    def read_thresholds(self):
        """Reads the thresholds: `foreground` and, where the run has a judge, `objects`, the weights of its word."""
        return _Stored(self.thresholds)

    def temperature(self):
        """Gives what the model's logits are divided by for probabilities that are what they say; 1 of older runs."""
        return self.read_thresholds().get("temperature", 1.0) if self.thresholds.is_file() else 1.0

    def confusion(self):
        """Gives what `judging.calibrate` counted of a classifier of vignettes; None of older runs."""
        return self.read_thresholds().get("confusion") if self.thresholds.is_file() else None

    def looks(self):
        """Gives what `shift.unlike` compares scans with: `shift.look` at the training scans, and the confidences."""
        confidences = [{"confidence": value} for value in self.read_thresholds().get("confidences", ())]
        return [*self.read_provenance().get("training_looks", ()), *confidences]

    def check(self, path):
        """Checks a model file of the run by the digest that training noted; older runs have none.

        Args:
            path: `model` or `judge`.

        Returns:
            The path.

        Raises:
            ArtefactError: If the file is missing or damaged.
        """
        if not path.is_file():
            raise ArtefactError(f"{path} does not exist.", f"a file {path.name} in {path.parent}.", RETRAIN)
        if self.read_provenance().get("digests", {}).get(path.name) not in (None, sha256(path)):
            raise ArtefactError(f"{path} is damaged.", "the file whose digest stands in provenance.json.", RETRAIN)
        return path

    def digest(self):
        """Digests what its predictions come of: the model and, where the run has them, the judge and the thresholds.

        Returns:
            64 hexadecimal digits, those of `sha256sum model.keras judge.keras thresholds.json | sha256sum` in the
            folder, of the files that are there.
        """
        beside = [path for path in (self.judge, self.thresholds) if path.is_file()]
        return sha256_of_files(self.folder, [self.model, *beside])


def versions():
    """Gives the versions of what computes: plankton_keras, Python, the machine and the packages installed.

    Returns:
        A dictionary of texts.

    Example:

    >>> "python" in versions() and "keras" in versions()
    True
    """
    found = {"plankton_keras": __version__, "python": platform.python_version(), "machine": platform.platform()}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def now():
    """Gives the time as ISO 8601 in UTC, to the second."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
