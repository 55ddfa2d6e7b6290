"""Values of the operations on run."""

from typing import Any

import msgspec

from falaj.app.values.bounds import Limit, Offset
from falaj.app.values.status import RunStatus


class RunsQuery(msgspec.Struct, frozen=True):
    """Which runs to list.

    Attributes:
        pipeline: Only of this one; empty for all.
        limit: Most runs.
        state: Only those that stand so, such as "FAILED"; empty for all.
        housekeeping: Also Falaj's own, which nobody asked for, such as those that mirror stages to MLflow.
    """

    pipeline: str = ""
    limit: Limit = 20
    state: str = ""
    housekeeping: bool = True


class RunQuery(msgspec.Struct, frozen=True):
    """Which run."""

    run_id: str


class RunResume(msgspec.Struct, frozen=True):
    """Which run goes on.

    Attributes:
        run_id: The run.
        step: A step to do anew, with all that needs what it gives; empty for those that did not succeed.
    """

    run_id: str
    step: str = ""


class StartRun(msgspec.Struct, frozen=True):
    """A run of a pipeline.

    Attributes:
        pipeline: The pipeline.
        params: Its parameters, as JSON or as text.
        reason: Why it is started.
    """

    pipeline: str
    params: dict[str, Any] = {}
    reason: str = "asked for"


class CallStep(msgspec.Struct, frozen=True):
    """A run of one of Falaj's steps on the project.

    Attributes:
        function: The step, as `module:name`.
        arguments: By parameter, plain values; what is kept as a file stands by its digest.
    """

    function: str
    arguments: dict[str, Any] = {}


class Backfill(msgspec.Struct, frozen=True):
    """Runs of a pipeline for each instant of a range.

    Attributes:
        pipeline: The pipeline; its `at` names the parameter that is given the instant.
        first: The first instant or date; in the pipeline's time zone where it names none.
        last: The last one, likewise; included.
        every: Between two, such as "1d".
        params: Its other parameters.
    """

    pipeline: str
    first: str
    last: str
    every: str = "1d"
    params: dict[str, Any] = {}


class LogsQuery(msgspec.Struct, frozen=True):
    """A piece of a run's logs.

    Attributes:
        run_id: The run.
        step: Only of this step; empty for all.
        after: By step, the byte up to which the log has been read.
    """

    run_id: str
    step: str = ""
    after: dict[str, Offset] = {}


class LogPart(msgspec.Struct, frozen=True):
    """What one step said.

    Attributes:
        step: The step.
        text: What is new of its log.
        after: Where to go on.
    """

    step: str
    text: str
    after: int


class Logs(msgspec.Struct, frozen=True):
    """A piece of a run's logs.

    Attributes:
        parts: By step, in the order of steps; none where nothing is new.
        ended: Whether nothing more will come.
    """

    parts: tuple[LogPart, ...]
    ended: bool


class CompareRuns(msgspec.Struct, frozen=True):
    """Two runs."""

    run_id: str
    other: str


class Side(msgspec.Struct, frozen=True):
    """One line of a comparison.

    Attributes:
        name: What is compared: a parameter, a step, or a value that a step gave.
        left: As the first run has it; None where it has none.
        right: As the second run has it.
    """

    name: str
    left: Any
    right: Any


class Comparison(msgspec.Struct, frozen=True):
    """Two runs side by side.

    Attributes:
        left: The first.
        right: The second.
        params: Their parameters.
        seconds: How long their steps took.
        states: How their steps ended.
        values: The numbers and short texts that their steps gave, as `step.name`.
        logged: What the code of their steps logged with MLflow: parameters, and the last value of each metric.
    """

    left: RunStatus
    right: RunStatus
    params: tuple[Side, ...]
    seconds: tuple[Side, ...]
    states: tuple[Side, ...]
    values: tuple[Side, ...]
    logged: tuple[Side, ...] = ()


class OutputQuery(msgspec.Struct, frozen=True):
    """What a run gave.

    Attributes:
        run_id: The run.
        step: What this step gave; empty for the steps that no other needs, which is what the run was for.
    """

    run_id: str
    step: str = ""


class OutputFile(msgspec.Struct, frozen=True):
    """A file that a step gave.

    Attributes:
        name: Where it stands in what the step gave, with the ending of its kind.
        kind: "table" (Arrow IPC), "lightgbm", "xgboost", "onnx" or "file".
        size_bytes: Its length.
        path: Where it is kept; not to be changed.
    """

    name: str
    kind: str
    size_bytes: int
    path: str


class StepOutput(msgspec.Struct, frozen=True):
    """What a step gave.

    Attributes:
        step: The step.
        value: What its function returned, as JSON; a file in it stands as `{"file": NAME}`.
        files: The files.
    """

    step: str
    value: Any
    files: tuple[OutputFile, ...] = ()


class StepStatus(msgspec.Struct, frozen=True):
    """One step of a run.

    Attributes:
        name: The step.
        state: Where it stands.
        seconds: How long its last try took, or has taken; None before it starts.
        progress: 0 to 1.
        text: What it is doing.
        cached: Whether its outputs were taken from an earlier run.
        tries: How often it was started.
        error: Why it did not succeed.
        log: Path of its log.
        needs: The steps that come before it.
        parts: How many steps it became, where it goes over a list; they are named after it, with a number.
        mlflow: Identifiers of the runs that its code logged with MLflow; of an earlier run's, where it was taken from
            there.
        executor: Where it is done: `child`, `in_process`, `project` or `ray`.
    """

    name: str
    state: str
    seconds: float | None
    progress: float
    text: str
    cached: bool
    tries: int
    error: str
    log: str
    needs: tuple[str, ...] = ()
    parts: int | None = None
    mlflow: tuple[str, ...] = ()
    executor: str = "child"


class RunDetail(msgspec.Struct, frozen=True):
    """One run and its steps.

    Attributes:
        run: The run.
        steps: Its steps, in order.
        result: Plain outputs of the steps that succeeded.
        mlflow: Identifier of the run that mirrors a training run in MLflow; empty for none.
    """

    run: RunStatus
    steps: tuple[StepStatus, ...]
    result: dict[str, dict[str, object]]
    mlflow: str = ""
