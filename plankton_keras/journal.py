"""prediction.json: what made a prediction folder, and which of its scans are done."""

import os
import reprlib
from pathlib import Path

from plankton_keras.errors import ArtefactError, InputError
from plankton_keras.files import claim_folder, read_json, sha256, write_json
from plankton_keras.runs import versions
from plankton_keras.scans import stem_of

NAME = "prediction.json"
# The uploads to a service that were begun, before the first prediction is there.
JOBS = "jobs.json"
# What it says of the scans; the rest says what made them.
OF_SCANS = ("status", "scans", "failed")
# What it holds, and of each scan.
KINDS = {
    "status": str,
    "scans": list,
    "failed": list,
    "classes": list,
    "model": str,
    # Masks of one's own have none.
    "model_sha256": object,
    "settings": dict,
}
KINDS_OF_SCAN = {"scan": str, "path": str, "files": list}
ANEW = "predict into a new folder."


def read_journal(folder, fix, needed=("status", "scans", "failed"), of_scan=("scan",)):
    """Reads the journal of a prediction folder.

    Args:
        folder: The prediction folder.
        fix: What to do if it is missing or damaged.
        needed: What it has to hold, by the names of `KINDS`.
        of_scan: What it has to hold of each scan, by those of `KINDS_OF_SCAN`.

    Returns:
        Its dictionary.

    Raises:
        ArtefactError: If it is missing, or is no such journal.
    """
    path = Path(folder) / NAME
    content = read_json(path, fix)
    problem = _problem(content, KINDS, needed)
    for kind, names in (("scans", of_scan), ("failed", ("scan",))):
        for entry in () if problem else content.get(kind, ()):
            problem = problem or _problem(entry, KINDS_OF_SCAN, names)
    if problem:
        raise ArtefactError(f"{path} is damaged: {problem}.", "the journal of a prediction.", fix)
    return content


def _problem(content, kinds, needed):
    """Words what is missing in a dictionary, or of another kind; None if nothing is."""
    if not isinstance(content, dict):
        return f"{reprlib.repr(content)} is no JSON object"
    for name, kind in kinds.items():
        value = content.get(name, kind())
        if name in needed and name not in content:
            return f"{name} is missing"
        texts = value if name in ("classes", "files") else ()
        if not isinstance(value, kind) or not all(isinstance(text, str) for text in texts):
            return f"{name} is {reprlib.repr(value)}"
    return None


def claim_predictions(out, overwrite):
    """Makes the folder that predictions go to, or goes on with one; as `files.claim_folder`.

    Args:
        out: The folder.
        overwrite: Whether what stands there is deleted.

    Returns:
        The folder as a `pathlib.Path`.

    Raises:
        ArtefactError: If it holds other things than predictions, such as masks drawn by hand, which would be replaced;
            or as `files.claim_folder`.
    """
    folder = claim_folder(out, overwrite, resume=not overwrite)
    found = {path.name for path in folder.iterdir() if not path.name.startswith(".")}
    if found and not found & {NAME, JOBS}:
        raise ArtefactError(
            f"{folder} holds other things than predictions.",
            f"a new folder, or one with {NAME}.",
            "choose another --out.",
        )
    return folder


class Journal:
    """The journal of a prediction folder; prediction goes on where it says that it stopped.

    Args:
        out: The prediction folder.

    Attributes:
        path: The file.
        scans: Entries of the scans that are done, as `predicting.predict_file` gives them, by path as text.
        failed: Entries of those that failed and are not done, in an earlier call either, by stem.
    """

    def __init__(self, out):
        self.path, self.scans, self.failed, self._head = Path(out) / NAME, {}, {}, {}
        if self.path.is_file():
            known = read_journal(out, ANEW, ("scans",), ("path", "files"))
            self.scans = {entry["path"]: entry for entry in known["scans"]}
            failed = [entry for entry in known.get("failed", ()) if not _is_gone(entry)]
            self.failed = {stem_of(entry["scan"]): entry for entry in failed}
            self._head = {name: value for name, value in known.items() if name not in OF_SCANS}

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
        # A model is known by its digest, as a scan is, by whatever path it is given.
        told = [name for name in head if name != "model" or head.get("model_sha256") is None]
        if self._head and any(self._head.get(name) != head[name] for name in told):
            raise ArtefactError(
                f"{self.path.parent} holds predictions of another model or with other settings.",
                f"those of {self._head.get('model')}.",
                "choose another --out, or --overwrite.",
            )
        self._head = {**head, "versions": versions}
        # What is written into the folder from now on are predictions, even if none is ever whole.
        if not self.path.is_file():
            self.write("running")

    def recognise(self, paths):
        """Finds scans that are done again under another path, such as an absolute one.

        Args:
            paths: Paths of scans to predict.

        Raises:
            ArtefactError: If another scan of the same name is done: their files would be mixed.
        """
        known = {entry.get("scan"): entry for entry in self.scans.values()}
        for path in paths:
            entry = known.get(stem_of(path))
            if entry is None or entry["path"] == str(path):
                continue
            # One file that changed is predicted anew, whichever way its path is spelled.
            is_one_file = os.path.realpath(entry["path"]) == os.path.realpath(path)
            try:
                is_same = is_one_file or entry.get("sha256") == sha256(path)
            except InputError:
                continue  # Who predicts it says so, and goes on with the others.
            if not is_same:
                raise ArtefactError(
                    f"{self.path.parent} holds the predictions of {entry['path']}, another scan than {path}.",
                    "a name of its own for each scan.",
                    "choose another --out, or rename one.",
                )
            del self.scans[entry["path"]]
            self.scans[str(path)] = {**entry, "path": str(path)}

    def digest(self, path):
        """Gives the digest of the scan whose files stand in the folder, or None if they are missing."""
        entry = self.scans.get(str(path))
        whole = entry and all((self.path.parent / name).is_file() for name in entry["files"])
        return entry["sha256"] if whole else None

    def add(self, path, entry):
        """Notes a scan that is done, under the path that the user gave."""
        self.scans[str(path)] = {**entry, "path": str(path)}
        self.failed.pop(stem_of(path), None)
        self.write("running")

    def fail(self, path, why):
        """Notes a scan that failed, under the path that the user gave; gives its entry."""
        # It was done, and is another file since.
        self.scans.pop(str(path), None)
        entry = {"scan": Path(path).name, "path": str(path), "status": "failed", "error": why}
        # What is done under another path stays, and is measured from there.
        if not any(done.get("scan") == stem_of(path) for done in self.scans.values()):
            self.failed[stem_of(path)] = entry
        return entry

    def finish(self):
        """Writes that nobody works on the folder any more."""
        self.write("failed" if self.failed else "done")

    def write(self, status):
        """Writes the file, if it is known what makes the predictions.

        Args:
            status: `running`, `done` or `failed`.
        """
        if self._head:
            # In the order of the paths, since scans are done in any order.
            scans = [self.scans[path] for path in sorted(self.scans)]
            failed = [self.failed[stem] for stem in sorted(self.failed)]
            write_json(self.path, {**self._head, "status": status, "scans": scans, "failed": failed})


def _is_gone(entry):
    """Tells whether a scan that failed was taken out of its folder since; of another machine's folder nobody knows."""
    path = Path(entry.get("path", ""))
    return path.parent.is_dir() and not path.exists()
