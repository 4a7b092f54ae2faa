"""prediction.json: what made a prediction folder, and which of its scans are done."""

from pathlib import Path

from plankton_keras.errors import ArtefactError
from plankton_keras.files import read_json, write_json
from plankton_keras.runs import versions

NAME = "prediction.json"
# What it says of the scans; the rest says what made them.
OF_SCANS = ("status", "scans", "failed")
ANEW = "predict into a new folder."


class Journal:
    """The journal of a prediction folder; prediction goes on where it says that it stopped.

    Args:
        out: The prediction folder.

    Attributes:
        path: The file.
        scans: Entries of the scans that are done, as `predicting.predict_file` gives them, by path as text.
    """

    def __init__(self, out):
        self.path, self.scans, self._head = Path(out) / NAME, {}, {}
        if self.path.is_file():
            known = read_json(self.path, ANEW)
            try:
                self.scans = {entry["path"]: entry for entry in known["scans"]}
                self._head = {name: value for name, value in known.items() if name not in OF_SCANS}
            except (KeyError, TypeError, AttributeError):
                raise ArtefactError(f"{self.path} is damaged.", "the journal of a prediction.", ANEW) from None

    @classmethod
    def of(cls, out, predictor, config):
        """Opens the journal of a prediction by this process.

        Args:
            out: The prediction folder.
            predictor: The `predictors.Predictor`.
            config: The `config.PredictConfig`.

        Raises:
            ArtefactError: As `claim`.
            SettingError: As `predictors.Predictor.threshold_for`.
        """
        journal = cls(out)
        head = {
            "model": predictor.source,
            "model_sha256": predictor.digest,
            "threshold": predictor.threshold_for(config),
            "classes": list(predictor.classes),
            "settings": config.to_json(),
        }
        if predictor.target.lifeless:
            head["living"] = predictor.target.living
        journal.claim(head, versions())
        return journal

    def claim(self, head, versions):
        """Says what makes the predictions.

        Args:
            head: Dictionary of `model`, `model_sha256`, `threshold`, `classes` and `settings`, and of
                `living` where classes but the first do not live.
            versions: Dictionary of the versions of packages; other ones may go on.

        Raises:
            ArtefactError: If the folder holds predictions of another model or with other settings.
        """
        if self._head and {name: self._head.get(name) for name in head} != head:
            raise ArtefactError(
                f"{self.path.parent} holds predictions of another model or with other settings.",
                f"those of {self._head.get('model')}.",
                "choose another --out, or --overwrite.",
            )
        self._head = {**head, "versions": versions}

    def digest(self, path):
        """Gives the digest of the scan whose files stand in the folder, or None if they are missing."""
        entry = self.scans.get(str(path))
        whole = entry and all((self.path.parent / name).is_file() for name in entry["files"])
        return entry["sha256"] if whole else None

    def add(self, path, entry):
        """Notes a scan that is done, under the path that the user gave."""
        self.scans[str(path)] = {**entry, "path": str(path)}
        self.write("running")

    def write(self, status, failed=()):
        """Writes the file, if it is known what makes the predictions.

        Args:
            status: `running`, `done` or `failed`.
            failed: Entries of the scans that failed.
        """
        if self._head:
            # In the order of the paths, since scans are done in any order.
            scans = [self.scans[path] for path in sorted(self.scans)]
            write_json(self.path, {**self._head, "status": status, "scans": scans, "failed": list(failed)})
