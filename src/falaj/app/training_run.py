"""A training run as its caller sees it: started, followed to its end, and what came of it."""

import threading
from collections.abc import Callable
from typing import Any

import msgspec

from falaj.app.client import Client
from falaj.app.run_left import RunLeft
from falaj.app.values.model import Adopt, Adopted, Started, Train
from falaj.app.values.run import RunDetail, RunQuery, StepStatus
from falaj.kernel.errors import RunFailed

_LOOK_EVERY_S = 0.2
OnStep = Callable[[StepStatus], None]


class TrainingResult(msgspec.Struct, frozen=True):
    """What a training run came to.

    Attributes:
        run_id: The run.
        model: The model.
        version: The version it registered.
        gate: PASS, FAIL or INCONCLUSIVE.
        checks: Each gate check with its outcome and reason.
        metrics: Test metrics.
        dataset: The dataset's digest.
        rows: Rows ingested and quarantined by the run, and rows of the dataset.
        seconds: How long it took.
    """

    run_id: str
    model: str
    version: int
    gate: str
    checks: list[dict[str, Any]]
    metrics: dict[str, float | None]
    dataset: str
    rows: dict[str, int]
    seconds: float


def train_and_follow(client: Client, params: Train, on_step: OnStep | None = None) -> TrainingResult:
    """Start a training run and follow it to its end.

    Args:
        client: Carries operations out.
        params: What to train.
        on_step: Called with each step whenever it changes.

    Raises:
        RunFailed: It did not succeed; the message names the step and its error.
    """
    started = client.perform("model.train", params, Started)
    detail = follow_run(client, started.run_id, on_step)
    return training_result(params.model, detail)


def adopt_and_follow(client: Client, params: Adopt, on_step: OnStep | None = None) -> TrainingResult | Adopted:
    """Take in a model from elsewhere and follow the run that judges it.

    Args:
        client: Carries operations out.
        params: Which model, and where it is.
        on_step: Called with each step whenever it changes.

    Returns:
        What the run came to; the version, where it became a bare model.

    Raises:
        RunFailed: It did not succeed.
    """
    started = client.perform("model.adopt", params, Adopted)
    if not started.run_id:
        return started
    return training_result(params.model, follow_run(client, started.run_id, on_step))


def training_result(model: str, detail: RunDetail) -> TrainingResult:
    """Return what a finished training run came to.

    Raises:
        RunFailed: It did not succeed.
    """
    run = detail.run
    if run.state != "SUCCEEDED":
        raise RunFailed(
            f"run {run.id} {run.state.lower()}: {run.error}",
            hint=f"look at it with 'falaj runs show {run.id}', go on with 'falaj runs resume {run.id}'",
        )
    registered, gate, features = detail.result["register"], detail.result["gate"], detail.result["features"]
    ingested = detail.result["ingest"]
    return msgspec.convert(
        {
            "run_id": run.id,
            "model": model,
            "version": registered["version"],
            "gate": gate["outcome"],
            "checks": gate["checks"],
            "metrics": detail.result["evaluate"]["metrics"],
            "dataset": features["dataset"],
            "rows": {
                "ingested": ingested["accepted"],
                "quarantined": ingested["quarantined"],
                "dataset": features["rows"],
            },
            "seconds": run.seconds or 0.0,
        },
        TrainingResult,
    )


def follow_run(client: Client, run_id: str, on_step: OnStep | None) -> RunDetail:
    """Look at a run until it has ended, and report each step that changed.

    Without a running control the run is worked on here.

    Args:
        client: Carries operations out.
        run_id: The run.
        on_step: Called with each step whenever it changes.

    Raises:
        RunLeft: Somebody stopped this process.
    """
    changes, controlled = _Changes(on_step), client.control() is not None
    try:
        if controlled:
            return _watch(client, run_id, changes)
        from falaj.app.local import work_here

        return work_here(client.folder, client.settings, client.token, run_id, changes)
    except KeyboardInterrupt:
        raise RunLeft(run_id, controlled=controlled, on_ray=changes.on_ray) from None


def _watch(client: Client, run_id: str, changes: "_Changes") -> RunDetail:
    pause = threading.Event()
    while True:
        detail = client.perform("run.show", RunQuery(run_id), RunDetail)
        changes(detail)
        if detail.run.state not in ("PENDING", "RUNNING"):
            return detail
        pause.wait(_LOOK_EVERY_S)


class _Changes:
    """Reports each step once per change."""

    def __init__(self, on_step: OnStep | None) -> None:
        self._on_step = on_step
        self._seen: dict[str, tuple[object, ...]] = {}
        self.on_ray: tuple[str, ...] = ()

    def __call__(self, detail: RunDetail) -> None:
        self.on_ray = tuple(one.name for one in detail.steps if (one.executor, one.state) == ("ray", "RUNNING"))
        for step in detail.steps:
            state = (step.state, step.text, step.tries)
            if self._seen.get(step.name) != state and step.state != "PENDING":
                self._seen[step.name] = state
                if self._on_step is not None:
                    self._on_step(step)
