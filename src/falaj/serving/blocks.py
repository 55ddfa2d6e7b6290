"""Blocks: the rows of a request that brings its features itself, scored and logged without a step for each row."""

from collections.abc import Callable

import msgspec
import numpy as np

from falaj.definitions.prediction_record import BlockRecord, LogRecord
from falaj.kernel.errors import FalajError, Unavailable
from falaj.models.python.runtime import PythonRuntime
from falaj.models.runtimes.port import Matrix, Scores
from falaj.serving.aside import contain_refusal, named
from falaj.serving.batching import Batcher, Later
from falaj.serving.boundary import contain
from falaj.serving.deadline import too_late
from falaj.serving.intake import Receipt
from falaj.serving.model_processes import ModelProcesses
from falaj.serving.prediction_log import PredictionLog
from falaj.serving.predictor import Predictor, fault
from falaj.serving.redaction import Redaction
from falaj.serving.stages import Left, Stages
from falaj.serving.stats import WorkerStats
from falaj.serving.variants import LoadedVariant


class Block(msgspec.Struct, eq=False):
    """One request.

    Attributes:
        variant: Who scores.
        request_id: Made by the server; row n is the decision `request_id.n`.
        client_id: The caller's own id; may be empty.
        matrix: float32, (rows, features).
        receipt: When and from whom.
        finish: Answers the caller; called once, when there are scores or an error.
        deadline_s: On the monotonic clock: what still waits then is not computed; None for no bound.
        scores: float64, (rows,).
        error: Why there are none.
    """

    variant: LoadedVariant
    request_id: str
    client_id: str
    matrix: Matrix
    receipt: Receipt
    finish: Callable[["Block"], None]
    deadline_s: float | None = None
    scores: Scores | None = None
    error: FalajError | None = None


class Blocks:
    """Computes blocks together, variant by variant, and logs each as one record before it is answered.

    Args:
        log: Takes the records.
        stats: Counts.
        predictor: Keeps the counts of each variant.
        monotonic: Seconds, for latencies.
        later: The loop's `call_soon`.
        max_rows: Rows that may wait.
        redaction: Keeps out of the log what policies say.
        stages: Measures the batch while somebody asks.
        max_bytes: Bytes of matrices that may wait.
        processes: Where Python models compute; None where there can be none.
    """

    def __init__(
        self, log: PredictionLog, stats: WorkerStats, predictor: Predictor, monotonic: Callable[[], float],
        later: Later, max_rows: int, redaction: Redaction, stages: Stages, max_bytes: int = 1 << 40,
        processes: ModelProcesses | None = None,
    ) -> None:  # fmt: skip
        self._log = log
        self._stats = stats
        self._predictor = predictor
        self._monotonic = monotonic
        self._redaction = redaction
        self._stages = stages
        self._batcher: Batcher[Block] = Batcher(
            self._compute, self._failed, later, max_rows=max_rows, max_bytes=max_bytes
        )
        self._later = later
        self._processes = processes
        self._decided: list[tuple[Block, Left | None]] = []

    @property
    def rows(self) -> int:
        """Rows that wait now."""
        return self._batcher.rows

    def submit(self, block: Block) -> None:
        """Take a block for the next batch.

        Raises:
            Unavailable: Too many rows wait.
        """
        if not self._batcher.submit(block, len(block.matrix), block.matrix.nbytes):
            self._stats.rejected += 1
            raise Unavailable("too many rows wait", hint="try again in a second, with fewer requests at once")

    def _compute(self, blocks: list[Block]) -> None:
        began_s = self._monotonic()
        if any(block.deadline_s is not None and block.deadline_s <= began_s for block in blocks):
            blocks = self._in_time(blocks, began_s)
        if not self._stages.asked:
            self._score(blocks)
            return
        self._stages.begin()
        try:
            self._score(blocks)
        finally:
            self._stages.end()

    def _score(self, blocks: list[Block]) -> None:
        groups: dict[int, list[Block]] = {}
        for block in blocks:
            groups.setdefault(id(block.variant), []).append(block)
        rows = sum(len(block.matrix) for block in blocks)
        self._stats.count_batch(rows)
        for group in groups.values():
            if group[0].variant.aside and self._processes is not None:
                for block in group:
                    self._ask(block, self._processes)
                blocks = [block for block in blocks if block.variant is not group[0].variant]
            else:
                _score_each(group)
        if self._stages.running:
            self._stages.lap("model")
        if blocks:
            self._answer(blocks)

    def _ask(self, block: Block, processes: ModelProcesses) -> None:
        left = self._stages.leave() if self._stages.running else None

        def done(result: Scores | FalajError) -> None:
            if processes.is_late(result, block.deadline_s):  # the caller's own deadline is no fault of the version
                self._stats.late += len(block.matrix)
                block.error = too_late()
                contain(block.finish, block)
                return
            if isinstance(result, FalajError):
                block.error = named(block.variant, result)
            elif np.isfinite(result).all():
                block.scores = result
            else:
                block.error = _no_number(block.variant)
            if not self._decided:
                self._later(self._flush)
            self._decided.append((block, left))

        runtime = block.variant.runtime
        assert isinstance(runtime, PythonRuntime)
        error = contain_refusal(processes.submit, runtime, block.matrix, done, block.deadline_s)
        if error is not None:  # not decided, and so not logged
            self._stats.rejected += 1
            block.error = named(block.variant, error)
            contain(block.finish, block)

    def _flush(self) -> None:
        decided, self._decided = self._decided, []
        if not self._stages.asked:
            self._answer([block for block, _ in decided])
            return
        for block, left in decided:  # each waited for its own model
            if left is not None:
                self._stages.resume(left)
                self._stages.lap("model")
            try:
                self._answer([block])
            finally:
                self._stages.end()

    def _answer(self, blocks: list[Block]) -> None:
        stages = self._stages
        now_s = self._monotonic()
        spent = [max(0, int((now_s - block.receipt.started_s) * 1e6)) for block in blocks]
        rows = sum(len(block.matrix) for block in blocks)
        records: list[LogRecord] = [_record(block, us) for block, us in zip(blocks, spent, strict=True)]
        if any(block.variant.restricted for block in blocks):
            records = self._redaction.apply(records, [block.variant for block in blocks])
            rows = sum(record.rows for record in records if isinstance(record, BlockRecord))
        self._log.append(records, rows)
        if stages.running:
            stages.lap("log")
        for block in blocks:
            contain(block.finish, block)
        for block, us in zip(blocks, spent, strict=True):
            count = len(block.matrix)
            self._predictor.series(block.variant).observe(us, count, 0 if block.error is None else count)

    def _in_time(self, blocks: list[Block], now_s: float) -> list[Block]:
        """Answer the blocks whose deadline has passed, and return the others."""
        late = [block for block in blocks if block.deadline_s is not None and block.deadline_s <= now_s]
        for block in late:
            self._stats.late += len(block.matrix)
            block.error = too_late()
            contain(block.finish, block)
        return [block for block in blocks if block.error is None]

    def _failed(self, blocks: list[Block], error: Exception) -> None:
        del error  # logged where it was caught
        self._stats.faults += 1
        for block in blocks:
            block.error = FalajError("the gateway failed on this request")
            contain(block.finish, block)


def _score_each(blocks: list[Block]) -> None:
    """Score all at once; when that fails, one by one, so that only the bad one has an error."""
    error = contain(_score, blocks)
    if error is None:
        return
    if len(blocks) > 1:
        for block in blocks:
            _score_each([block])
        return
    blocks[0].error = fault(blocks[0].variant, error)


def _score(blocks: list[Block]) -> None:
    variant = blocks[0].variant
    matrix = blocks[0].matrix if len(blocks) == 1 else np.concatenate([block.matrix for block in blocks])
    scores = variant.runtime.predict(matrix)
    if not np.isfinite(scores).all():
        raise _no_number(variant)
    begin = 0
    for block in blocks:
        end = begin + len(block.matrix)
        block.scores = scores[begin:end]
        begin = end


def _no_number(variant: LoadedVariant) -> FalajError:
    return FalajError(f"version {variant.spec.version} of model {variant.spec.model!r} answered what is no number")


def _record(block: Block, spent_us: int) -> BlockRecord:
    variant = block.variant
    spec = variant.spec
    failed = block.error is not None or block.scores is None
    return BlockRecord(
        block.request_id, block.client_id, variant.endpoint, spec.name, spec.role, spec.model, spec.version,
        variant.route.epoch, block.receipt.received_us, spent_us, len(block.matrix),
        block.matrix.astype("<f4", copy=False).tobytes(),
        b"" if failed else np.asarray(block.scores, "<f8").tobytes(),
        "" if block.error is None else block.error.code, block.receipt.actor, (), block.receipt.trace_id,
    )  # fmt: skip
