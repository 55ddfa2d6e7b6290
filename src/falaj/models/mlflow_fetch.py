"""Models fetched from another MLflow: from its server, its database or its folder."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from falaj.kernel.errors import InputError, Unavailable
from falaj.models.mlflow_model import MODEL_FILE
from falaj.models.mlflow_writing import load_mlflow, own_warnings_aside

_RUN = re.compile(r"[0-9a-f]{32}")
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
    told = _without_secrets(uri)
    # Whoever names a folder of MLflow's older kind wants it read; MLflow asks to be told so.
    os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    mlflow = load_mlflow()
    with own_warnings_aside():
        from mlflow.exceptions import MlflowException
        from requests.exceptions import RequestException

    try:
        with own_warnings_aside(), _asking(mlflow, tracking):
            found = Path(mlflow.artifacts.download_artifacts(artifact_uri=uri, dst_path=str(into)))
    except RequestException as error:
        raise Unavailable(f"the other MLflow does not answer: {_first_line(error)}", hint="look at --from") from None
    except (MlflowException, OSError, ValueError) as error:
        raise InputError(
            f"{told} cannot be fetched: {_first_line(error)}",
            hint="name its MLflow: --from URI, or MLFLOW_TRACKING_URI",
        ) from None
    if not (found / MODEL_FILE).is_file():
        raise InputError(f"{told} is no model", hint=f"give the address of the folder that holds its {MODEL_FILE}")
    return found, told if tracking is None else f"{told} of {_without_secrets(tracking)}"


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


def _first_line(error: Exception) -> str:
    return _without_secrets((str(error).strip().splitlines() or [type(error).__name__])[0])[:300]


def _without_secrets(text: str) -> str:
    """Return a text without what addresses in it say before the host or after the path: passwords and signatures.

    Who adopted what from where is kept for good, and everybody may read it.
    """
    return re.sub(r"(://[^\s?]*)\?\S*", r"\1", re.sub(r"//[^/\s]*@", "//", text))
