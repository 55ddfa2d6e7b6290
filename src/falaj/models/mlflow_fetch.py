"""Models fetched from another MLflow: from its server, its database or its folder."""

import os
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from types import ModuleType
from urllib.parse import unquote, urlsplit

from falaj.kernel.errors import InputError, Unavailable
from falaj.models.mlflow_model import MODEL_FILE
from falaj.models.mlflow_writing import load_mlflow, own_warnings_aside

_RUN = re.compile(r"[0-9a-f]{32}")
_WORDS = ("databricks", "databricks-uc", "uc")
"""Addresses of MLflow's that are neither a server's nor a place on disk."""
_PATIENCE = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "20"}
"""Its own are 7 and 120 s: a server that is not there took minutes."""
_VERSION = re.compile(r"[^/@:]+(/[^/@:]+|@[^/@:]+)")


def mlflow_uri(where: str) -> str:
    """Return what a person calls a model, as MLflow calls it.

    Args:
        where: An address of MLflow's, a registered `name/version` or `name@alias`, or the identifier of a run.

    Raises:
        InputError: It is none of these.

    Example:
        >>> mlflow_uri("churn/3"), mlflow_uri("churn@champion"), mlflow_uri("0" * 32)
        ('models:/churn/3', 'models:/churn@champion', 'runs:/00000000000000000000000000000000/model')
    """
    if re.match(r"[a-z][a-z0-9+-]*:/", where):
        return where
    if _RUN.fullmatch(where):
        return f"runs:/{where}/model"
    if _VERSION.fullmatch(where):
        return f"models:/{where}"
    raise InputError(
        f"{where!r} names no model",
        hint="give a folder, runs:/ID/PATH, models:/NAME/VERSION, NAME/VERSION or a run's id",
    )


def fetch(where: str, tracking: str | None, into: Path) -> tuple[Path, str]:
    """Fetch a model's folder.

    Args:
        where: As `mlflow_uri` takes it.
        tracking: The other MLflow: its server, its database or its folder; what MLflow's environment says by default.
        into: An empty folder.

    Returns:
        The model's folder, and MLflow's address of it.

    Raises:
        InputError: It is not there, or the other MLflow does not give it.
        Unavailable: The other MLflow does not answer.
    """
    uri = mlflow_uri(where)
    if tracking is not None:
        _refuse_absent(tracking)
    told = _without_secrets(uri)
    # Whoever names a folder of MLflow's older kind wants it read; MLflow asks to be told so.
    os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    mlflow = load_mlflow()
    with own_warnings_aside():
        from mlflow.exceptions import MlflowException
        from requests.exceptions import RequestException

    try:
        with own_warnings_aside(), _impatient(), _asking(mlflow, tracking):
            found = Path(mlflow.artifacts.download_artifacts(artifact_uri=uri, dst_path=str(into)))
    except (MlflowException, OSError, ValueError) as error:  # what its client says of a server is the second of these
        if any(isinstance(one, RequestException) for one in _causes(error)):
            at = "" if tracking is None else f", {_without_secrets(tracking)},"
            why = _first_line(_causes(error)[-1])
            raise Unavailable(f"the other MLflow{at} does not answer: {why}", hint="look at --from") from None
        raise InputError(
            f"{told} cannot be fetched: {_first_line(error)}",
            hint="name its MLflow: --from URI, or MLFLOW_TRACKING_URI",
        ) from None
    if not (found / MODEL_FILE).is_file():
        raise InputError(f"{told} is no model", hint=f"give the address of the folder that holds its {MODEL_FILE}")
    return found, told if tracking is None else f"{told} of {_without_secrets(tracking)}"


def _refuse_absent(tracking: str) -> None:
    """Raise where a database or folder is not there, or holds no MLflow: MLflow would make one of it."""
    scheme, _, rest = tracking.partition(":")
    if scheme in _WORDS:
        return
    if scheme.startswith("sqlite"):
        path = Path(rest.removeprefix("///").partition("?")[0])
        there = path.is_file() and _holds_mlflow(path)
    elif scheme == "file" or not rest:
        path = Path(unquote(urlsplit(tracking).path) if rest else tracking)
        there = path.is_dir()
    else:
        return
    if not there:
        raise InputError(f"there is no MLflow in {path}", hint="correct --from: an address, a database or a folder")


def _holds_mlflow(path: Path) -> bool:
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
            return bool(connection.execute("select 1 from sqlite_master where name = 'experiments'").fetchall())
    except sqlite3.Error:
        return False


def _causes(error: BaseException) -> list[BaseException]:
    found: list[BaseException] = []
    following: BaseException | None = error
    while following is not None and following not in found:
        found.append(following)
        following = following.__cause__ or following.__context__
    return found


@contextmanager
def _impatient() -> Iterator[None]:
    """Let MLflow ask a server that is away for seconds and not for minutes, unless the environment says how long."""
    mine = {name: value for name, value in _PATIENCE.items() if name not in os.environ}
    os.environ.update(mine)
    try:
        yield
    finally:
        for name in mine:
            os.environ.pop(name, None)


@contextmanager
def _asking(mlflow: ModuleType, tracking: str | None) -> Iterator[None]:
    """Let MLflow mean the other one for a while: parts of it heed what is set for the process, and nothing else."""
    if tracking is None:
        yield
        return
    before = {name: os.environ.get(name) for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI")}
    mlflow.set_tracking_uri(tracking)
    mlflow.set_registry_uri(tracking)
    try:
        yield
    finally:
        mlflow.set_tracking_uri(None)
        mlflow.set_registry_uri(None)
        for name, value in before.items():  # where MLflow keeps what is set, for child processes too
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


def _first_line(error: BaseException) -> str:
    return _without_secrets((str(error).strip().splitlines() or [type(error).__name__])[0])[:300]


def _without_secrets(text: str) -> str:
    """Return a text without what addresses in it say before the host or after the path: passwords and signatures.

    Who adopted what from where is kept for good, and everybody may read it.
    """
    return re.sub(r"(://[^\s?]*)\?\S*", r"\1", re.sub(r"//[^/\s]*@", "//", text))
