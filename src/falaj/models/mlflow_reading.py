"""What MLflow knows of a run, read from its database: importing MLflow for it would take a second and more."""

import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path

import msgspec

from falaj.kernel.errors import StorageError
from falaj.models.mlflow_capture import KEY_TAG, PARENT_TAG, STEP_TAG

_WAIT_S = 5.0


class LoggedRun(msgspec.Struct, frozen=True):
    """One run of MLflow.

    Attributes:
        id: MLflow's identifier of it.
        name: What it is called.
        step: The step whose code logged it; empty for the mirror of a training run.
        status: "RUNNING", "FINISHED", "FAILED" or "KILLED".
        params: Parameter name to text.
        metrics: Metric name to its last value.
    """

    id: str
    name: str
    step: str
    status: str
    params: dict[str, str]
    metrics: dict[str, float]


def logged_runs(db: Path, tag: str, value: str) -> list[LoggedRun]:
    """Return the runs that bear a tag, in the order in which they began.

    Args:
        db: MLflow's database; none is there before something was logged.
        tag: The tag's name.
        value: Its value.

    Raises:
        StorageError: The database cannot be read.
    """
    if not db.exists():
        return []
    try:
        with closing(_opened(db)) as connection:
            found = connection.execute(
                "SELECT r.run_uuid, r.name, r.status FROM runs r JOIN tags t ON t.run_uuid = r.run_uuid "
                "WHERE t.key = ? AND t.value = ? AND r.lifecycle_stage = 'active' ORDER BY r.start_time, r.run_uuid",
                (tag, value),
            ).fetchall()
            runs = [_logged(connection, *row) for row in found]
    except sqlite3.OperationalError as error:
        if "no such table" in str(error):  # it is being made
            return []
        raise StorageError(f"MLflow's database {db}: {error}", hint="look at the disk") from error
    return [run for run in runs if run is not None]


def is_tagged(db: Path, run: str, beginning: str) -> bool:
    """Return whether a run bears a tag whose name begins so.

    Args:
        db: MLflow's database.
        run: MLflow's identifier of the run.
        beginning: How the name begins.

    Raises:
        StorageError: The database cannot be read.
    """
    query = "SELECT 1 FROM tags WHERE run_uuid = ? AND substr(key, 1, ?) = ? LIMIT 1"
    try:
        with closing(_opened(db)) as connection:
            return connection.execute(query, (run, len(beginning), beginning)).fetchone() is not None
    except sqlite3.OperationalError as error:
        raise StorageError(f"MLflow's database {db}: {error}", hint="look at the disk") from error


def _opened(db: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{db.resolve().as_uri()}?mode=ro", uri=True, timeout=_WAIT_S)


def values_by_name(runs: Sequence[LoggedRun]) -> dict[str, float | str]:
    """Return parameters and metrics by step and name; where a step logged several runs, by the run's name too.

    Example:
        >>> values_by_name([LoggedRun("1", "fit", "train", "FINISHED", {"trees": "5"}, {"auc": 0.9})])
        {'train.trees': '5', 'train.auc': 0.9}
    """
    found: dict[str, float | str] = {}
    for run in runs:
        several = sum(other.step == run.step for other in runs) > 1
        prefix = ".".join(part for part in (run.step, run.name if several else "") if part)
        found |= {f"{prefix}.{name}": text for name, text in run.params.items()}
        found |= {f"{prefix}.{name}": value for name, value in run.metrics.items()}
    return found


def _logged(connection: sqlite3.Connection, id: str, name: str | None, status: str) -> LoggedRun | None:
    def pairs(table: str, wanted: Iterable[str] = ()) -> dict[str, str]:
        among = f" AND key IN ({', '.join('?' * len(tuple(wanted)))})" if wanted else ""
        query = f"SELECT key, value FROM {table} WHERE run_uuid = ?{among} ORDER BY key"  # noqa: S608 - our own names
        return dict(connection.execute(query, (id, *wanted)).fetchall())

    tags = pairs("tags", (STEP_TAG, PARENT_TAG, KEY_TAG))
    if PARENT_TAG in tags:
        return None
    return LoggedRun(
        id,
        name or "",
        tags.get(STEP_TAG, ""),
        status,
        pairs("params"),
        {name: float(value) for name, value in pairs("latest_metrics").items()},
    )
