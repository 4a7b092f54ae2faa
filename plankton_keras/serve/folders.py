"""The prediction folders on the server that the page can open."""

import hashlib
import uuid
from dataclasses import dataclass
from pathlib import Path

from plankton_keras.errors import PlanktonError
from plankton_keras.journal import NAME
from plankton_keras.serve.refusing import Refused
from plankton_keras.serve.store import Row
from plankton_keras.serve.working import made_of
from plankton_keras.tabulating import read_predictions


@dataclass(frozen=True)
class Folder:
    """A prediction folder.

    Attributes:
        id: 32 hexadecimal digits, of its name.
        name: Its name.
        path: Where it is.
        content: What `tabulating.read_predictions` gave.
    """

    id: str
    name: str
    path: Path
    content: dict

    def scan(self, entry):
        """Gives the path of the scan of an entry: as `plankton predict` was given it, or beside the folder."""
        path = Path(entry["path"])
        return path if _is_file(path) else self.path.parent / path.name

    def rows(self, clock):
        """Makes the `store.Row` of a job for each scan; `clock` gives the seconds since 1970, which are their order."""
        source = str(self.path.resolve())
        return [
            Row(
                id=uuid.uuid4().hex,
                scan=entry["scan"],
                state="waiting",
                bytes=0,
                created=clock(),
                model=Path(self.content["model"]).name,
                model_sha256=self.content["model_sha256"],
                source=source,
                made=made_of(self.content, entry),
                file=str(self.scan(entry).resolve()),
            )
            for entry in self.content["scans"]
        ]


def folders_of(root):
    """Lists the prediction folders under a folder: itself and those in it.

    Args:
        root: The folder, or None for nowhere.

    Returns:
        A list of `Folder`, by name; those that are not whole, or hold what is no name of a scan, are left out.
    """
    found = []
    for path in [Path(root), *sorted(Path(root).iterdir())] if root and Path(root).is_dir() else []:
        if _is_file(path / NAME) and not path.is_symlink():
            try:
                content = read_predictions(path)
            except PlanktonError:
                continue
            # Stems become names of files; no command writes such ones.
            if any(Path(entry["scan"]).name != entry["scan"] for entry in content["scans"]):
                continue
            name = path.resolve().name
            found.append(Folder(hashlib.sha256(str(path).encode()).hexdigest()[:32], name, path, content))
    return found


def _is_file(path):
    try:
        return path.is_file()
    except PermissionError:
        # Where one may not look, such as in lost+found.
        return False


def find_folder(root, id):
    """Finds a prediction folder.

    Raises:
        Refused: If there is none of that id.
    """
    found = [folder for folder in folders_of(root) if folder.id == id]
    if not found:
        raise Refused(404, "There is no such prediction folder.", "one of GET /v1/folders.", "look there.")
    return found[0]
