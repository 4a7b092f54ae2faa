"""prediction.json: what made a prediction folder, and which of its scans are done."""

from pathlib import Path

from plankton_keras.errors import ArtefactError
from plankton_keras.files import read_json, write_json
from plankton_keras.runs import versions

NAME = "prediction.json"


class Journal:
    """The journal of a prediction folder; prediction goes on where it says that it stopped.

    Args:
        out: The prediction folder.
        predictor: The `inference.Predictor`.
        config: The `config.PredictConfig`.

    Attributes:
        path: The file.
        scans: Entries of the scans that are done, as `predicting.predict_file` gives them, by path as text.
        threshold: Probability from which a pixel counts as found.

    Raises:
        ArtefactError: If the folder holds predictions of another model or with other settings.
        SettingError: As `inference.Predictor.threshold_for`.
    """

    def __init__(self, out, predictor, config):
        threshold = predictor.threshold_for(config)
        self.path, self.scans, self.threshold = Path(out) / NAME, {}, threshold
        self._head = {
            "model": predictor.source,
            "model_sha256": predictor.digest,
            "threshold": threshold,
            "classes": list(predictor.classes),
            "settings": config.to_json(),
        }
        if self.path.is_file():
            known = read_json(self.path, "predict into a new folder.")
            if {name: known.get(name) for name in self._head} != self._head:
                raise ArtefactError(
                    f"{out} holds predictions of another model or with other settings.",
                    f"those of {known.get('model')}.",
                    "choose another --out, or --overwrite.",
                )
            self.scans = {entry["path"]: entry for entry in known["scans"]}
        self._head["versions"] = versions()

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
        """Writes the file.

        Args:
            status: `running`, `done` or `failed`.
            failed: Entries of the scans that failed.
        """
        # In the order of the paths, since scans are done in any order.
        scans = [self.scans[path] for path in sorted(self.scans)]
        write_json(self.path, {**self._head, "status": status, "scans": scans, "failed": list(failed)})
