"""MLflow's own pages and API as a WSGI application, loaded when first asked for."""

import importlib
import os
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import msgspec

from falaj.kernel.errors import StorageError
from falaj.models.mlflow_reading import is_tagged
from falaj.models.mlflow_writing import load_mlflow, own_warnings_aside, prepare_database

_OFF = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    "MLFLOW_SERVER_JOB_ENABLE_PERIODIC_TASKS": "false",
    "MLFLOW_SERVER_ENABLE_CUSTOM_SCORERS": "false",
    "MLFLOW_ENABLE_AI_GATEWAY": "false",
    "MLFLOW_ENABLE_REMOTE_ASSISTANT": "false",
    "MLFLOW_ENABLE_WORKSPACES": "false",
    "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
}
_ABSENT = (
    "_MLFLOW_STATIC_PREFIX",
    "MLFLOW_SERVER_CORS_ALLOWED_ORIGINS",
    "MLFLOW_DEPLOYMENTS_TARGET",
    "prometheus_multiproc_dir",
)
"""A static prefix would leave artifact routes unguarded; no other origin may read; nothing is passed on to another
gateway; Prometheus asks control itself."""

_LOCAL_HOSTS = "localhost,127.0.0.1,[::1],localhost:*,127.0.0.1:*,[[]::1]:*"

Wsgi = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class MlflowRoute(msgspec.Struct, frozen=True):
    """What MLflow would do with a request.

    Attributes:
        method: The HTTP method.
        rule: The route's pattern, such as "/api/2.0/mlflow/logged-models/<model_id>".
    """

    method: str
    rule: str


class MlflowServer:
    """MLflow's server over one database. It is loaded at its first use: a second or two, and some 140 MB.

    MLflow keeps its stores in the module: one process serves one project.

    Args:
        db: Its database, such as `.falaj/mlflow.db`.
        uploads: The folder of what is uploaded through it.
        local: Whether it is reached by this machine's own names only; any other name is then refused.
    """

    def __init__(self, db: Path, uploads: Path, *, local: bool) -> None:
        self._db = db
        self._uri = f"sqlite:///{db.resolve()}"
        self.uploads = uploads
        self._local = local
        self._lock = threading.Lock()
        self._app: Any = None

    def load(self) -> Any:
        """Return MLflow's application, a Flask application; it is imported at the first call.

        Raises:
            StorageError: Its database cannot be opened.
        """
        with self._lock:
            if self._app is None:
                self._app = self._loaded()
            return self._app

    def route(self, method: str, path: str) -> MlflowRoute | None:
        """Return the route that takes a request, by the very table that MLflow goes by; None where none does."""
        from werkzeug.exceptions import HTTPException
        from werkzeug.routing import RequestRedirect

        try:
            rule, _ = self.load().url_map.bind("").match(path, method, return_rule=True)
        except (HTTPException, RequestRedirect):
            return None
        return MlflowRoute(method, rule.rule)

    def is_own(self, run: str) -> bool:
        """Return whether a run, by its identifier, mirrors one of Falaj's or was logged by a step of one.

        Raises:
            StorageError: MLflow's database cannot be read.
        """
        return is_tagged(self._db, run, "falaj.")

    def _loaded(self) -> Any:
        self.uploads.mkdir(parents=True, exist_ok=True)
        self._set_up()
        load_mlflow()
        with own_warnings_aside():
            # Not served, but its handlers import it at their first search.
            importlib.import_module("mlflow.server.fastapi_app")
            # Its Flask application, and not the FastAPI one around it, which adds the assistant, jobs and the gateway.
            from mlflow.exceptions import MlflowException
            from mlflow.server import app
            from mlflow.server.handlers import initialize_backend_stores
            from sqlalchemy.exc import SQLAlchemyError
        try:
            prepare_database(self._db)
            with own_warnings_aside():
                initialize_backend_stores(self._uri, self._uri, "mlflow-artifacts:/")
        except (MlflowException, SQLAlchemyError, OSError) as error:
            raise StorageError(f"MLflow at {self._uri}: {error}", hint="look at the disk and the database") from error
        return app

    def _set_up(self) -> None:
        """Say by the environment, which is how MLflow is told: some of it is read at import, some at each request."""
        for name in _ABSENT:
            os.environ.pop(name, None)
        os.environ.update(_OFF)
        os.environ["MLFLOW_SERVER_ALLOWED_HOSTS"] = _LOCAL_HOSTS if self._local else "*"
        os.environ["_MLFLOW_SERVER_FILE_STORE"] = self._uri
        os.environ["_MLFLOW_SERVER_REGISTRY_STORE"] = self._uri
        os.environ["_MLFLOW_SERVER_ARTIFACT_ROOT"] = "mlflow-artifacts:/"
        os.environ["_MLFLOW_SERVER_ARTIFACT_DESTINATION"] = self.uploads.resolve().as_uri()
        os.environ["_MLFLOW_SERVER_SERVE_ARTIFACTS"] = "true"
