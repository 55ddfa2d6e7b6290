"""Predictor: rows to scores, whatever protocol they came by; logged before anybody is answered."""

from collections.abc import Callable, Iterable, Sequence
from operator import itemgetter
from typing import Any, Protocol

from falaj.definitions.cache import Cache
from falaj.definitions.prediction_record import EnsembleRecord, LogRecord, PredictionRecord
from falaj.definitions.service_spec import ServiceSpec
from falaj.features.online import OnlineRows
from falaj.kernel.errors import CorruptionError, DataError, FalajError, InputError, StorageError
from falaj.models.runtimes.port import Matrix
from falaj.serving.aged_readers import AgedReaders
from falaj.serving.aside import Aside
from falaj.serving.boundary import contain
from falaj.serving.deadline import too_late
from falaj.serving.ensembles import LoadedEnsemble, decide_together
from falaj.serving.prediction_log import PredictionLog
from falaj.serving.redaction import Redaction
from falaj.serving.response_cache import ResponseCache
from falaj.serving.rows import Job, Row
from falaj.serving.stages import Stages
from falaj.serving.stats import EVERY, UNSEEN_VALUE, Series, WorkerStats
from falaj.serving.variants import LoadedVariant

STORE_FAILED = "STORE_FAILED"
"""The feature store failed, and declared defaults were used."""


Monotonic = Callable[[], float]


class FeatureReader(Protocol):
    """What fetches features; `features.online.OnlineReader` is one."""

    def read(self, spec: ServiceSpec, entities: Sequence[Any], at_us: Sequence[int]) -> OnlineRows:
        """Return the features of each row at its instant."""
        ...


class Predictor:
    """Computes jobs together, variant by variant.

    Args:
        reader: Fetches features.
        log: Takes a record of every decision.
        stats: Counts.
        monotonic: Seconds, for latencies.
        redaction: Keeps out of the log what policies say.
        stages: Measures a batch while somebody asks.
        aged: Readers for endpoints that say how old a feature may be; without it they all use the first.
        aside: Takes the jobs that Python models decide; None where there can be none.
    """

    def __init__(
        self, reader: FeatureReader, log: PredictionLog, stats: WorkerStats, monotonic: Monotonic, redaction: Redaction,
        stages: Stages, aged: AgedReaders | None = None, aside: Aside | None = None,
    ) -> None:  # fmt: skip
        self._reader = reader
        self._aged = aged
        self._log = log
        self._stats = stats
        self._monotonic = monotonic
        self._redaction = redaction
        self._stages = stages
        self._aside = aside

    def compute(self, jobs: list[Job]) -> None:
        """Decide every row, log the decisions, then answer.

        A row that cannot be decided has an error; its batch-mates do not notice.
        """
        began_s = self._monotonic()
        for job in jobs:
            if job.deadline_s is not None and job.deadline_s <= began_s:
                jobs = self._in_time(jobs, began_s)
                break
        if not self._stages.asked:
            self._decide(jobs)
            return
        self._stages.begin()
        try:
            self._decide(jobs)
        finally:
            self._stages.end()

    def _decide(self, jobs: list[Job]) -> None:
        rows = [row for job in jobs for row in job.rows]
        self._stats.count_batch(len(rows))
        groups = self._score_all(rows)
        for variant, _ in groups:
            if variant.aside and self._aside is not None:
                jobs, groups = self._aside.begin(jobs, self._encode, self._answer)
                break
        self._answer(jobs, groups)

    def _answer(self, jobs: list[Job], groups: list[tuple[LoadedVariant, list[Row]]]) -> None:
        rows = [row for job in jobs for row in job.rows]
        now_s = self._monotonic()
        latencies = [max(0, int((now_s - job.started_s) * 1e6)) for job in jobs]
        records: list[LogRecord] = [
            _record(row, job, us) for job, us in zip(jobs, latencies, strict=True) for row in job.rows
        ]
        together = any([variant.ensemble is not None for variant, _ in groups])  # noqa: C419 - as below
        if together:
            records = [
                _ensemble_record(row, job, us) for job, us in zip(jobs, latencies, strict=True) for row in job.rows
            ]
        self._write(groups, rows, records)
        if self._stages.running:
            self._stages.lap("log")
        for job in jobs:
            contain(job.finish, job)
        for job, us in zip(jobs, latencies, strict=True):
            for row in job.rows:
                self.series(row.variant).observe(us, 1, 0 if row.error is None else 1)
        for variant, group in groups:
            self._count(variant, group)
        if together:
            self._count_members(jobs, latencies)

    def _in_time(self, jobs: list[Job], now_s: float) -> list[Job]:
        """Answer the jobs whose deadline has passed, undecided and so not logged, and return the others."""
        left = []
        for job in jobs:
            if job.deadline_s is None or job.deadline_s > now_s:
                left.append(job)
                continue
            self._stats.late += len(job.rows)
            job.rows[0].error = too_late()
            job.shadows = []
            contain(job.finish, job)
        return left

    def conclude(
        self, decided: list[tuple[Row, Job]], groups: list[tuple[LoadedVariant, list[Row]]], spent_us: int
    ) -> None:
        """Log and count rows that nobody waits for.

        Args:
            decided: Each row with the job that it came by.
            groups: The same rows by variant.
            spent_us: How long they took together.
        """
        rows = [row for row, _ in decided]
        self._write(groups, rows, [_record(row, job, spent_us) for row, job in decided])
        for row in rows:
            self.series(row.variant).observe(spent_us, 1, 0 if row.error is None else 1)
        for variant, group in groups:
            self._count(variant, group)

    def _count_members(self, jobs: list[Job], latencies: list[int]) -> None:
        """Count members' decisions as those of their endpoints: a canary there is judged by them too."""
        for job, us in zip(jobs, latencies, strict=True):
            for member in (member for row in job.rows for member in row.members):
                self.series(member.variant).observe(us, 1, 0 if member.error is None else 1)
                self._count(member.variant, [member])

    def _write(self, groups: list[tuple[LoadedVariant, list[Row]]], rows: list[Row], records: list[LogRecord]) -> None:
        if any([variant.restricted for variant, _ in groups]):  # noqa: C419 - a generator costs more than the batch's few
            records = self._redaction.apply(records, [row.variant for row in rows])
        self._log.append(records)

    def _score_all(self, rows: list[Row]) -> list[tuple[LoadedVariant, list[Row]]]:
        groups: dict[int, tuple[LoadedVariant, list[Row]]] = {}
        for row in rows:
            groups.setdefault(id(row.variant), (row.variant, []))[1].append(row)
        for variant, group in groups.values():
            work = self._score if variant.ensemble is None else self._decide_together
            self.each(variant, group, self.fetch if variant.aside and self._aside else work)
        return list(groups.values())

    def _decide_together(self, variant: LoadedVariant, rows: list[Row]) -> None:
        assert isinstance(variant, LoadedEnsemble)
        decide_together(variant, rows, lambda members: self._score_members(variant, members))

    def _score_members(self, ensemble: LoadedEnsemble, rows: Iterable[Row]) -> None:
        groups: dict[int, tuple[LoadedVariant, list[Row]]] = {}
        for row in rows:
            groups.setdefault(id(row.variant), (row.variant, []))[1].append(row)
        # Who reads most reads first, and the others take their features from there.
        for variant, group in sorted(groups.values(), key=lambda one: -len(one[0].inputs)):
            wanting = [row for row in group if not ensemble.take_over(row)]
            self.each(variant, wanting, self.fetch)
        if self._stages.running:
            self._stages.lap("features")
        for variant, group in groups.values():
            self.each(variant, [row for row in group if row.error is None], self._run_or_recall)
        if self._stages.running:
            self._stages.lap("model")

    def each(self, variant: LoadedVariant, rows: list[Row], work: Callable[[LoadedVariant, list[Row]], None]) -> None:
        """Do the work for all rows at once; when that fails, row by row, so that only the bad one has an error."""
        if not rows:
            return
        error = contain(work, variant, rows)
        if error is None:
            return
        if len(rows) > 1:
            for row in rows:
                self.each(variant, [row], work)
            return
        rows[0].error = fault(variant, error)

    def fetch(self, variant: LoadedVariant, rows: list[Row]) -> None:
        """Set the features of a variant's rows."""
        fetched = [row for row in rows if row.given is None]
        if fetched:
            self._fetch(variant, fetched)
        for row in rows:
            if row.given is not None:
                row.features = row.given

    def _score(self, variant: LoadedVariant, rows: list[Row]) -> None:
        self.fetch(variant, rows)
        if self._stages.running:
            self._stages.lap("features")
        self._run_or_recall(variant, rows)
        if self._stages.running:
            self._stages.lap("model")

    def _run_or_recall(self, variant: LoadedVariant, rows: list[Row]) -> None:
        if variant.route.options.cache is None:
            self.infer(variant, rows)
        else:
            self._run_cached(variant, rows, variant.route.options.cache)

    def _run_cached(self, variant: LoadedVariant, rows: list[Row], spec: Cache) -> None:
        cache = variant.responses
        if cache is None:
            cache = variant.responses = ResponseCache(spec, self._monotonic)
        asked: list[tuple[Row, bytes | None]] = []
        for row in rows:
            key = cache.key(row.features)
            answer = cache.find(key)
            if answer is None:
                row.cached = False
                asked.append((row, key))
                continue
            row.score, row.cached = answer.score, True
            if answer.unseen:
                row.statuses = _spelled_out(variant, row.statuses) | dict.fromkeys(answer.unseen, UNSEEN_VALUE)
        if asked:
            self.infer(variant, [row for row, _ in asked])
        for row, key in asked:
            unseen = tuple(name for name, status in row.statuses.items() if status == UNSEEN_VALUE)
            cache.put(key, row.score or 0.0, unseen)

    def _encode(self, variant: LoadedVariant, rows: list[Row]) -> Matrix:
        unseen: list[tuple[int, str]] = []
        matrix = variant.encoder.encode([row.features for row in rows], unseen)
        for number, name in unseen:
            rows[number].statuses = _spelled_out(variant, rows[number].statuses) | {name: UNSEEN_VALUE}
        return matrix

    def infer(self, variant: LoadedVariant, rows: list[Row]) -> None:
        """Set the scores of a variant's rows from their features; in another thread, for a shadow.

        Raises:
            FalajError: The model answered what is no number.
        """
        scores = variant.runtime.predict(self._encode(variant, rows)).tolist()
        for row, score in zip(rows, scores, strict=True):
            if score - score != 0.0:  # NaN or infinite: JSON has no such number, and no caller a use for it
                raise FalajError(f"version {variant.spec.version} of model {variant.spec.model!r} answered {score}")
            row.score = score

    def _fetch(self, variant: LoadedVariant, rows: list[Row]) -> None:
        service, on_demand = variant.service, variant.on_demand
        if service is None or on_demand is None:
            names = variant.inputs
            for row in rows:
                row.features = [row.request[name] for name in names]
            return
        online = self._read(variant, service, rows)
        on_demand.fill(online.values, [row.request for row in rows])
        patterns: dict[tuple[str, ...], dict[str, str]] = {}
        pick = None if variant.positions is None else itemgetter(*variant.positions)
        for row, values, statuses, applied in zip(
            rows, online.values, online.statuses, online.applied_seq, strict=True
        ):
            pattern = tuple(statuses)
            compact = patterns.get(pattern)
            if compact is None:
                compact = patterns[pattern] = _compact(online.columns, pattern)
            row.statuses = compact
            row.applied_seq = applied
            row.features = values if pick is None else list(pick(values)) if len(variant.inputs) > 1 else [pick(values)]

    def _read(self, variant: LoadedVariant, service: ServiceSpec, rows: list[Row]) -> OnlineRows:
        try:
            return self._reader_of(variant).read(service, [row.entities for row in rows], [row.at_us for row in rows])
        except (StorageError, CorruptionError) as error:
            self._stats.store_failures += 1
            if isinstance(error, CorruptionError) and len(rows) > 1:
                raise  # one entity's record is damaged: the others are read alone
            return self._defaults(variant, service, rows)

    def _reader_of(self, variant: LoadedVariant) -> FeatureReader:
        max_age_ms = variant.route.options.features_max_age_ms
        return self._reader if max_age_ms is None or self._aged is None else self._aged.of(max_age_ms)

    def _defaults(self, variant: LoadedVariant, service: ServiceSpec, rows: list[Row]) -> OnlineRows:
        columns = tuple(variant.stored)
        rest = [None] * (len(service.outputs) - len(columns))
        for row in rows:
            row.defaulted = True
        return OnlineRows(
            columns,
            [[*variant.stored_defaults, *rest] for _ in rows],
            [[STORE_FAILED] * len(columns) for _ in rows],
            [{view.name: 0 for view in service.views} for _ in rows],
        )

    def series(self, variant: LoadedVariant) -> Series:
        """Return the counts of a variant, begun when it is first asked for."""
        if variant.series is None:
            spec = variant.spec
            variant.series = self._stats.find(variant.endpoint, spec.name, spec.version, spec.role)
            variant.series.watch(variant.route.thresholds_ms)
            variant.series.columns = variant.stored
        return variant.series

    def _count(self, variant: LoadedVariant, rows: list[Row]) -> None:
        series = self.series(variant)
        statuses = rows[0].statuses
        count = 0
        for row in rows:
            if row.statuses is not statuses:  # rows of one batch share the same few dictionaries
                series.count_statuses(statuses, count)
                statuses, count = row.statuses, 0
            count += 1
            series.defaulted += row.defaulted
        series.count_statuses(statuses, count)
        if variant.responses is not None:
            hits = sum(row.cached for row in rows)
            self._stats.cache_hits += hits
            self._stats.cache_misses += len(rows) - hits


def fault(variant: LoadedVariant, error: Exception) -> FalajError:
    """Return what the caller is told: its input was checked before, so this is a fault of the serving side."""
    if isinstance(error, InputError | DataError):
        return FalajError(
            f"version {variant.spec.version} of {variant.spec.model!r} cannot score this: {error.message}"
        )
    return error if isinstance(error, FalajError) else FalajError("the gateway failed on this request")


def _compact(columns: tuple[str, ...], statuses: tuple[str, ...]) -> dict[str, str]:
    if statuses and statuses.count(statuses[0]) == len(statuses):
        return {EVERY: statuses[0]}
    return dict(zip(columns, statuses, strict=True))


def _spelled_out(variant: LoadedVariant, statuses: dict[str, str]) -> dict[str, str]:
    return dict.fromkeys(variant.stored, statuses[EVERY]) if EVERY in statuses else statuses


def _ensemble_record(row: Row, job: Job, latency_us: int) -> LogRecord:
    decision = _record(row, job, latency_us)
    if not row.members:
        return decision
    return EnsembleRecord(decision, tuple(_record(member, job, latency_us) for member in row.members))


def _record(row: Row, job: Job, latency_us: int) -> PredictionRecord:
    variant = row.variant
    spec = variant.spec
    return PredictionRecord(
        row.request_id,
        row.client_id,
        variant.endpoint,
        spec.name,
        spec.role,
        spec.model,
        spec.version,
        variant.route.epoch,
        row.unit,
        row.at_us,
        job.received_us,
        latency_us,
        row.entities,
        row.request,
        row.features,
        row.statuses,
        row.applied_seq,
        row.score,
        row.defaulted,
        "" if row.error is None else row.error.code,
        job.actor,
        job.trace_id,
        row.cached,
    )
