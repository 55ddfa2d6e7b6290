"""Aside: jobs that Python models decide wait here, and are logged and answered when their rows have scores."""

from collections.abc import Callable

import msgspec

from falaj.kernel.errors import FalajError, Unavailable
from falaj.models.python.runtime import PythonRuntime
from falaj.models.runtimes.port import Matrix, Scores
from falaj.serving.batching import Later
from falaj.serving.boundary import contain
from falaj.serving.deadline import too_late
from falaj.serving.model_processes import ModelProcesses
from falaj.serving.rows import Job, Row
from falaj.serving.stages import Left, Stages
from falaj.serving.stats import WorkerStats
from falaj.serving.variants import LoadedVariant

Groups = list[tuple[LoadedVariant, list[Row]]]

Encode = Callable[[LoadedVariant, list[Row]], Matrix]
"""Returns the rows' matrix; what training never saw is noted in their statuses."""

Answer = Callable[[list[Job], Groups], None]
"""Logs, answers and counts decided jobs."""


class _Waiting(msgspec.Struct, eq=False):
    job: Job
    groups: Groups
    answer: Answer
    left: int
    stages: Left | None
    refused: FalajError | None = None
    late: bool = False


class Aside:
    """Hands the rows of Python models to their processes, job by job: what one job brings touches no other.

    Args:
        processes: Where Python models compute.
        stats: Counts refusals.
        later: The loop's `call_soon`.
        stages: Measures batches while somebody asks.
    """

    def __init__(self, processes: ModelProcesses, stats: WorkerStats, later: Later, stages: Stages) -> None:
        self._stages = stages
        self._processes = processes
        self._stats = stats
        self._later = later
        self._decided: list[_Waiting] = []

    def begin(self, jobs: list[Job], encode: Encode, answer: Answer) -> tuple[list[Job], Groups]:
        """Set those jobs aside that a Python model decides, and return what is decided already.

        Args:
            jobs: A batch, with features; the rows of other models have scores.
            encode: Makes the matrix of rows.
            answer: Is called with the jobs that were set aside and their groups, several together, in a later turn.
        """
        here = []
        if self._stages.running:
            self._stages.lap("features")
        for job in jobs:
            if any(row.variant.aside for row in job.rows):
                self._ask(job, encode, answer)
            else:
                here.append(job)
        return here, _grouped([row for job in here for row in job.rows])

    def _ask(self, job: Job, encode: Encode, answer: Answer) -> None:
        groups = _grouped(job.rows)
        asked = [(variant, rows) for variant, rows in groups if variant.aside]
        waiting = _Waiting(job, groups, answer, len(asked), self._stages.leave() if self._stages.running else None)
        for variant, rows in asked:
            sound = [row for row in rows if row.error is None]
            error = contain_refusal(self._submit, waiting, variant, sound, encode)
            if error is not None:
                if isinstance(error, Unavailable):
                    waiting.refused = error
                _fail(variant, sound, error)
                self._part_done(waiting)

    def _submit(self, waiting: _Waiting, variant: LoadedVariant, rows: list[Row], encode: Encode) -> None:
        if not rows:
            self._part_done(waiting)
            return

        def done(result: Scores | FalajError) -> None:
            if self._processes.is_late(result, waiting.job.deadline_s):
                waiting.late = True
                _fail(variant, rows, too_late())
            elif isinstance(result, FalajError):
                _fail(variant, rows, result)
            else:
                _take(variant, rows, result.tolist())
            self._part_done(waiting)

        assert isinstance(variant.runtime, PythonRuntime)
        self._processes.submit(variant.runtime, encode(variant, rows), done, waiting.job.deadline_s)

    def _part_done(self, waiting: _Waiting) -> None:
        waiting.left -= 1
        if not waiting.left:
            if not self._decided:
                self._later(self._flush)
            self._decided.append(waiting)

    def _flush(self) -> None:
        decided, self._decided = self._decided, []
        for one in decided:
            if one.late:  # the caller's own deadline is no fault of the version
                self._stats.late += len(one.job.rows)
                one.job.rows[0].error = too_late()
            elif one.refused is not None:  # not decided, and so not logged
                self._stats.rejected += 1
            else:
                continue
            one.job.shadows = []
            contain(one.job.finish, one.job)
        left = [one for one in decided if one.refused is None and not one.late]
        if self._stages.asked:
            for one in left:
                self._answer_measured(one)
        elif left:
            merged: dict[int, tuple[LoadedVariant, list[Row]]] = {}
            for one in left:
                for variant, rows in one.groups:
                    merged.setdefault(id(variant), (variant, []))[1].extend(rows)
            left[0].answer([one.job for one in left], list(merged.values()))

    def _answer_measured(self, one: _Waiting) -> None:
        """Answer one job by itself, since each waited for its own model."""
        if one.stages is not None:
            self._stages.resume(one.stages)
            self._stages.lap("model")
        try:
            one.answer([one.job], one.groups)
        finally:
            self._stages.end()


def _grouped(rows: list[Row]) -> Groups:
    groups: dict[int, tuple[LoadedVariant, list[Row]]] = {}
    for row in rows:
        groups.setdefault(id(row.variant), (row.variant, []))[1].append(row)
    return list(groups.values())


def named(variant: LoadedVariant, error: FalajError) -> FalajError:
    """Return the error with the model that it is about."""
    about = f"version {variant.spec.version} of model {variant.spec.model!r}: {error.message}"
    return type(error)(about, hint=error.hint)


def contain_refusal(work: Callable[..., None], *args: object) -> FalajError | None:
    """Run the work and return what it raised; a refusal is no fault, and is not written down as one."""
    refused: list[FalajError] = []

    def guarded() -> None:
        try:
            work(*args)
        except FalajError as error:
            refused.append(error)

    fault = contain(guarded)
    if fault is not None:
        return FalajError("the gateway failed on this request")
    return refused[0] if refused else None


def _fail(variant: LoadedVariant, rows: list[Row], error: FalajError) -> None:
    told = named(variant, error)
    for row in rows:
        row.error = told


def _take(variant: LoadedVariant, rows: list[Row], scores: list[float]) -> None:
    for row, score in zip(rows, scores, strict=True):
        if score - score != 0.0:  # NaN or infinite: only this row has no answer
            row.error = FalajError(f"version {variant.spec.version} of model {variant.spec.model!r} answered {score}")
        else:
            row.score = score
