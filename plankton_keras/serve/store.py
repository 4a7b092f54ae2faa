"""Jobs in SQLite: what is to outlive the service. One row a job; every change is whole or not at all."""

import json
import threading
from dataclasses import dataclass, fields

import sqlalchemy as sql

from plankton_keras.errors import ArtefactError

# Raised when the table changes in a way that older services cannot read.
FORMAT = 1
WAITING_STATES = ("uploading", "waiting", "predicting", "measuring")
FINAL_STATES = ("done", "failed", "cancelled")


@dataclass(frozen=True, kw_only=True)
class Row:
    """What is known of a job.

    Attributes:
        id: 32 hexadecimal digits.
        scan: Stem of the scan: what the client calls it, cleaned.
        state: One of `WAITING_STATES` and `FINAL_STATES`.
        bytes: Size of the scan's file; 0 of scans of a folder on the server.
        created: Seconds since 1970.
        started: When work on it began, or None.
        finished: When it reached a final state, or None.
        expires: When it is deleted, or None.
        error: `error`, `expected` and `fix` of a job that failed, or None.
        given_dpi: Resolution that the client gave, or None.
        dpi: Resolution that counts: that of the file, or else the given one.
        height: Rows of the scan, or None.
        width: Columns of the scan, or None.
        objects: Number of objects that were found, or None.
        model: Path of the model that found them, or None.
        version: Its version, or None.
        attempts: Times that work on it began.
        model_sha256: Its digest, or None.
        source: Prediction folder on the server that holds the prediction, or None for an upload.
        made: Digest of what made that prediction, or None.
        revision: Number of corrections, undone ones and undoing included.
        file: Path of the scan: a name in the job's folder, or a path on the server where `source` is given.
    """

    id: str
    scan: str
    state: str
    bytes: int
    created: float
    started: float | None = None
    finished: float | None = None
    expires: float | None = None
    error: dict | None = None
    given_dpi: float | None = None
    dpi: float | None = None
    height: int | None = None
    width: int | None = None
    objects: int | None = None
    model: str | None = None
    version: int | None = None
    model_sha256: str | None = None
    source: str | None = None
    revision: int = 0
    attempts: int = 0
    file: str | None = None
    made: str | None = None

    @property
    def is_final(self):
        """Whether nothing will change it but its deletion."""
        return self.state in FINAL_STATES


_TYPES = {int: sql.Integer, float: sql.Float, str: sql.Text, dict: sql.JSON}


def _column(field):
    kinds = [kind for kind in getattr(field.type, "__args__", (field.type,)) if kind in _TYPES]
    return sql.Column(field.name, _TYPES[kinds[0]], primary_key=field.name == "id")


_METADATA = sql.MetaData()
JOBS = sql.Table("jobs", _METADATA, *map(_column, fields(Row)))


class Store:
    """The table of jobs; any thread may use it.

    Args:
        path: The file; it is made where it is missing.
        begin: Called before a table is made, since there is none.

    Raises:
        ArtefactError: If the file is none of ours, or of another format.
    """

    def __init__(self, path, begin=lambda: None):
        self._engine = sql.create_engine(f"sqlite:///{path}", json_serializer=json.dumps)
        self._lock = threading.Lock()
        sql.event.listen(self._engine, "connect", _prepare)
        # Not the file alone: the folders of its jobs would be without a table.
        elsewhere = f"move {path.parent} away, all of it, or choose another --data."
        try:
            with self._engine.begin() as connection:
                found = connection.exec_driver_sql("PRAGMA user_version").scalar()
                if found == 0:
                    begin()
                    _METADATA.create_all(connection)
                    connection.exec_driver_sql(f"PRAGMA user_version = {FORMAT}")
                elif found == FORMAT:
                    # Damage elsewhere than at the beginning shows only where it is read.
                    if (said := connection.exec_driver_sql("PRAGMA integrity_check(1)").scalar()) != "ok":
                        raise ValueError(said)
                    _complete(connection)
            if found == FORMAT:
                self.all()
        except (sql.exc.DatabaseError, ValueError) as error:
            why = getattr(error, "orig", error)
            raise ArtefactError(f"{path} cannot be read: {why}.", "a file of jobs.", elsewhere) from None
        if found not in (0, FORMAT):
            raise ArtefactError(
                f"{path} is of format {found}.", f"format {FORMAT}.", f"use the version that wrote it, {elsewhere}"
            )

    def add(self, row):
        """Adds a job."""
        with self._lock, self._engine.begin() as connection:
            connection.execute(sql.insert(JOBS).values(_values(row)))

    def change(self, id, states=None, **values):
        """Changes a job.

        Args:
            id: Of the job.
            states: The states in which it may be changed, or None for all.
            values: What changes.

        Returns:
            Whether it was changed: it is there, and in one of these states.
        """
        change = sql.update(JOBS).where(JOBS.c.id == id).values(values)
        if states is not None:
            change = change.where(JOBS.c.state.in_(states))
        with self._lock, self._engine.begin() as connection:
            return connection.execute(change).rowcount == 1

    def remove(self, id, expired=None):
        """Removes a job.

        Args:
            id: Of the job.
            expired: A time, and it is removed only if its own has come by then; or None.

        Returns:
            Whether it was removed.
        """
        gone = sql.delete(JOBS).where(JOBS.c.id == id)
        if expired is not None:
            gone = gone.where(JOBS.c.expires <= expired)
        with self._lock, self._engine.begin() as connection:
            return connection.execute(gone).rowcount == 1

    def get(self, id):
        """Gives the `Row` of a job, or None."""
        found = self._rows(sql.select(JOBS).where(JOBS.c.id == id))
        return found[0] if found else None

    def all(self, *states):
        """Gives all rows, or those in these states, the newest first."""
        wanted = sql.select(JOBS).order_by(JOBS.c.created.desc(), JOBS.c.id)
        return self._rows(wanted.where(JOBS.c.state.in_(states)) if states else wanted)

    def counts(self):
        """Counts the jobs by state."""
        with self._engine.connect() as connection:
            return dict(connection.execute(sql.select(JOBS.c.state, sql.func.count()).group_by(JOBS.c.state)).all())

    def expired(self, now):
        """Gives the rows whose time has come."""
        return self._rows(sql.select(JOBS).where(JOBS.c.expires <= now))

    def close(self):
        """Lets go of the file."""
        self._engine.dispose()

    def _rows(self, wanted):
        with self._engine.connect() as connection:
            return [Row(**found) for found in connection.execute(wanted).mappings()]


def _prepare(connection, _):
    # Readers go on while one writes, and what is committed is on the disk: a kill loses nothing.
    for pragma in ("journal_mode = WAL", "synchronous = FULL", "busy_timeout = 5000"):
        connection.execute(f"PRAGMA {pragma}")


def _complete(connection):
    """Adds the columns that an earlier service did not know; it reads the table all the same."""
    known = {name for _, name, *_ in connection.exec_driver_sql(f"PRAGMA table_info({JOBS.name})")}
    for column in JOBS.columns:
        if column.name not in known:
            connection.exec_driver_sql(f"ALTER TABLE {JOBS.name} ADD COLUMN {column.name} {column.type}")


def _values(row):
    return {field.name: getattr(row, field.name) for field in fields(row)}
