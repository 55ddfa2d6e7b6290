"""Which of MLflow's routes only read, which write what was tracked, and that nobody reaches any other."""

import json
import re
from collections.abc import Callable
from typing import Any

from falaj.kernel.errors import AccessDenied, InputError, NotFound
from falaj.models.mlflow_server import MlflowRoute

_API = re.compile(r"^/(?:ajax-)?api/[23]\.0/")

READS = frozenset(
    {
        "GET /",
        "GET /static-files/<path:path>",
        "GET /health",
        "GET /version",
        "GET /get-artifact",
        "GET /model-versions/get-artifact",
        "POST /graphql",  # MLflow's schema has queries, and one mutation that echoes a text
        "GET mlflow-artifacts/artifacts",
        "GET mlflow-artifacts/artifacts/<path:artifact_path>",
        "GET mlflow/artifacts/list",
        "GET mlflow/experiments/get",
        "GET mlflow/experiments/get-by-name",
        "GET mlflow/experiments/search",
        "POST mlflow/experiments/search",
        "POST mlflow/experiments/search-datasets",
        "GET mlflow/runs/get",
        "POST mlflow/runs/search",
        "GET mlflow/metrics/get-history",
        "GET mlflow/metrics/get-history-bulk",
        "GET mlflow/metrics/get-history-bulk-interval",
        "GET mlflow/registered-models/get",
        "GET mlflow/registered-models/search",
        "GET mlflow/registered-models/alias",
        "GET mlflow/registered-models/get-latest-versions",
        "POST mlflow/registered-models/get-latest-versions",
        "GET mlflow/model-versions/get",
        "GET mlflow/model-versions/search",
        "GET mlflow/model-versions/get-download-uri",
        "GET mlflow/logged-models/<model_id>",
        "GET mlflow/logged-models/<model_id>/artifacts/directories",
        "GET mlflow/logged-models/<model_id>/artifacts/files",
        "POST mlflow/logged-models/search",
        "GET mlflow/server-info",
        "GET mlflow/ui-telemetry",  # says that it is off
        "GET mlflow/gateway-proxy",  # says that there is none, since no target is set; its pages ask each time
        "GET mlflow/traces/<trace_id>",
        "GET mlflow/traces/get",
        "GET mlflow/traces/batchGet",
        "GET mlflow/get-trace-artifact",
        "POST mlflow/traces/batchGetInfos",
        "POST mlflow/traces/metrics",
        "POST mlflow/traces/search",
        "POST mlflow/traces/calculate-filter-correlation",
        "GET mlflow/traces/<trace_id>/assessments/<assessment_id>",
        "GET mlflow/datasets/<dataset_id>",
        "GET mlflow/datasets/<dataset_id>/experiment-ids",
        "GET mlflow/datasets/<dataset_id>/records",
        "GET mlflow/datasets/search",
        "POST mlflow/datasets/search",
        "GET mlflow/scorers/list",
        "GET mlflow/scorers/get",
        "GET mlflow/scorers/versions",
    }
)
"""Method and route, the API's prefix left out; where MLflow searches by POST, that too reads."""

WRITES = frozenset(
    {
        "POST mlflow/experiments/create",
        "POST mlflow/experiments/set-experiment-tag",
        "POST mlflow/runs/create",
        "POST mlflow/runs/update",
        "POST mlflow/runs/log-metric",
        "POST mlflow/runs/log-parameter",
        "POST mlflow/runs/log-batch",
        "POST mlflow/runs/log-inputs",
        "POST mlflow/runs/log-model",
        "POST mlflow/runs/outputs",
        "POST mlflow/runs/set-tag",
        "POST mlflow/runs/delete-tag",
        "POST mlflow/logged-models",
        "PATCH mlflow/logged-models/<model_id>",
        "POST mlflow/logged-models/<model_id>/params",
        "PATCH mlflow/logged-models/<model_id>/tags",
        "PUT mlflow-artifacts/artifacts/<path:artifact_path>",
    }
)
"""What a client needs to log runs. Nothing deletes, and nothing changes the registry: stages change in Falaj."""

ARTIFACTS = frozenset(
    {
        "GET /get-artifact",
        "GET /model-versions/get-artifact",
        "GET mlflow-artifacts/artifacts/<path:artifact_path>",
        "GET mlflow/logged-models/<model_id>/artifacts/files",
        "GET mlflow/get-trace-artifact",
    }
)
"""Routes that answer with the bytes of a file that somebody logged."""

_NOTES = frozenset({"POST mlflow/runs/set-tag", "POST mlflow/runs/delete-tag"})
"""What may be said of Falaj's own runs too: notes beside what they measured."""

OWN = "falaj."
"""How the names of tags begin that Falaj writes, and nobody else."""


def name_of(route: MlflowRoute) -> str:
    """Return a route as the lists above name it.

    Example:
        >>> name_of(MlflowRoute("GET", "/ajax-api/2.0/mlflow/runs/get"))
        'GET mlflow/runs/get'
    """
    method = "GET" if route.method == "HEAD" else route.method
    return f"{method} {_API.sub('', route.rule)}"


def is_write(route: MlflowRoute | None, path: str) -> bool:
    """Return whether a route writes.

    Raises:
        NotFound: MLflow has no such route.
        AccessDenied: It is on neither list, as every route is that a later MLflow may bring.
    """
    if route is None:
        raise NotFound(f"MLflow has no route {path[:200]!r} for this method")
    name = name_of(route)
    if name in READS:
        return False
    if name in WRITES:
        return True
    raise AccessDenied(
        f"MLflow's {name} is closed to everybody",
        hint="versions and stages are changed in Falaj, as by 'falaj promote'; the open routes only read, or log runs",
    )


def check_written(route: MlflowRoute, body: bytes, is_own: Callable[[str], bool]) -> None:
    """Return if what a request wants to log is its own to say.

    Args:
        route: Where it writes.
        body: What it says.
        is_own: Returns whether a run, by its identifier, is one of Falaj's.

    Raises:
        InputError: It is not JSON, or an object of it.
        AccessDenied: It says where artifacts lie, which would let it read any file, writes Falaj's own tags, or changes
            what a run of Falaj's measured: whoever approves its version reads that.
    """
    try:
        said = json.loads(body or b"{}")
        said = json.loads(said) if isinstance(said, str) else said  # as MLflow does: old clients encode twice
        own = _names_own(said)
    except RecursionError:
        raise InputError("the body is nested too deep") from None
    except ValueError:
        raise InputError("the body is not JSON") from None
    if not isinstance(said, dict):
        raise InputError("the body is not a JSON object")
    if any(key.replace("_", "").lower() == "artifactlocation" and value for key, value in said.items()):
        raise AccessDenied("an experiment's artifacts lie where Falaj keeps them", hint="leave artifact_location out")
    if own:
        raise AccessDenied(f"tags that begin with {OWN!r} are written by Falaj alone", hint="take another name")
    if name_of(route) not in _NOTES and any(is_own(run) for run in _runs_in(said)):
        raise AccessDenied(
            "what a run of Falaj's measured is said by Falaj alone", hint="log to a run of your own: mlflow.start_run()"
        )


def _runs_in(said: dict[str, Any]) -> list[str]:
    named = [value for key, value in said.items() if key.replace("_", "").lower() in ("runid", "runuuid")]
    return [run for run in named if isinstance(run, str)]


def _names_own(value: Any) -> bool:
    if isinstance(value, dict):
        return any(
            (key == "key" and isinstance(one, str) and one.startswith(OWN)) or _names_own(one)
            for key, one in value.items()
        )
    return isinstance(value, list) and any(_names_own(one) for one in value)
