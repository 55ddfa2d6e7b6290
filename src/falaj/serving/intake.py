"""Intake: from a checked request to a job in the batch, for every protocol alike."""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from falaj.kernel.clock import parse_instant, to_us
from falaj.kernel.errors import InputError, Unavailable
from falaj.serving.allowance import Allowance
from falaj.serving.batching import Batcher
from falaj.serving.deadline import deadline_of
from falaj.serving.request_ids import RequestIds
from falaj.serving.routing import unit_of
from falaj.serving.rows import Job, Row
from falaj.serving.stats import WorkerStats
from falaj.serving.variants import LoadedRoute, LoadedVariant

VARIANT_HEADER = b"falaj-variant"
"""Names the variant that shall decide, for tests; needs `endpoint.predict_variant`."""


class Instance(msgspec.Struct, forbid_unknown_fields=True):
    """One thing to decide on, as callers of the native form write it.

    Attributes:
        entities: The entity keys by name.
        request: The request fields by name.
        id: The caller's own id; echoed and stored.
        unit: What the variant is chosen by; the entity keys by default.
        at: T as RFC 3339; the present by default.
    """

    entities: dict[str, Any] = {}
    request: dict[str, Any] = {}
    id: str = ""
    unit: str | int = ""
    at: str = ""


class Receipt(msgspec.Struct, frozen=True):
    """When a request was received, and from whom.

    Attributes:
        received_us: Wall clock.
        started_s: Monotonic clock.
        actor: Who asked.
        trace_id: The trace it belongs to; empty where none is kept.
        size_bytes: How much was sent.
        allowance: What its token's rows are taken from, the first of them already; None where it has no limit.
        deadline_s: On the monotonic clock: what still waits then is not computed; None to leave it to the endpoint.
    """

    received_us: int
    started_s: float
    actor: str
    trace_id: str = ""
    size_bytes: int = 0
    allowance: Allowance | None = None
    deadline_s: float | None = None

    def take_rows(self, rows: int) -> None:
        """Take a request's rows, besides the first, from its token's allowance.

        Raises:
            InputError: It has more than could ever come at once.
            RateLimited: The token or its tenant has reached its limit.
        """
        if self.allowance is not None:
            self.allowance.take(rows - 1, self.received_us, begun=1)


class Intake:
    """Checks instances, chooses their variants and submits them.

    Args:
        batcher: Takes the jobs.
        ids: Makes request ids.
        stats: Counts refusals.
        max_rows: Most rows of one request.
    """

    def __init__(self, batcher: Batcher[Job], ids: RequestIds, stats: WorkerStats, max_rows: int) -> None:
        self._batcher = batcher
        self._ids = ids
        self._stats = stats
        self._max_rows = max_rows

    def decide(
        self, route: LoadedRoute, instances: Sequence[Instance], receipt: Receipt, finish: Callable[[Job], None],
        version: str | None = None, test: str | None = None,
    ) -> None:  # fmt: skip
        """Submit instances to be decided by the endpoint's variants.

        Args:
            route: The endpoint.
            instances: At least one.
            receipt: When and from whom.
            finish: Gets the job when every row has a score or an error.
            version: The version that decides, whatever the weights say.
            test: The variant that decides, as a test; the caller was admitted to that.

        Raises:
            InputError: An instance is not what the signature says; the message says which one and why.
            NotFound: The version or the variant does not serve.
            Unavailable: Too many rows wait.
        """
        options = route.options
        self.check_count(len(instances), receipt, None if options is None else options.max_rows)
        pinned = None if version is None else route.version(version)
        if test is not None:
            pinned = route.test(test)
        many = len(instances) > 1
        rows = []
        shadows: list[tuple[Row, LoadedVariant]] = []
        for number, instance in enumerate(instances):
            request_id = self._ids.make(receipt.received_us)
            unit = str(instance.unit) if instance.unit != "" else unit_of(instance.entities, request_id)
            variant = pinned or route.choose(unit, instance.request)
            where = f"instance {number}" if many else ""
            variant.entities.check(instance.entities, where)
            variant.request.check(instance.request, where)
            row = Row(
                variant,
                request_id,
                instance.id,
                unit,
                to_us(parse_instant(instance.at)) if instance.at else receipt.received_us,
                instance.entities,
                instance.request,
            )
            rows.append(row)
            if route.has_shadows and test is None:
                shadows += [(row, shadow) for shadow in route.router.shadows(unit)]
        job = Job(rows, finish, receipt.received_us, receipt.started_s, receipt.actor, shadows, receipt.trace_id)
        if options is not None or receipt.deadline_s is not None:
            job.deadline_s = deadline_of(receipt.deadline_s, receipt.started_s, options)
        self._submit(job, receipt)

    def score(
        self, variant: LoadedVariant, given: list[list[Any]], receipt: Receipt, finish: Callable[[Job], None],
        client_id: str = "",
    ) -> None:  # fmt: skip
        """Submit feature values that the caller sends itself.

        Args:
            variant: Who scores.
            given: Per row one value per input, in the signature's order.
            receipt: When and from whom.
            finish: Gets the job.
            client_id: The caller's own id.

        Raises:
            InputError: There are no rows, or too many.
            Unavailable: Too many rows wait.
        """
        options = variant.route.options
        self.check_count(len(given), receipt, options.max_rows)
        rows = []
        for values in given:
            request_id = self._ids.make(receipt.received_us)
            rows.append(Row(variant, request_id, client_id, request_id, receipt.received_us, {}, {}, values))
        job = Job(rows, finish, receipt.received_us, receipt.started_s, receipt.actor, [], receipt.trace_id)
        job.deadline_s = deadline_of(receipt.deadline_s, receipt.started_s, options)
        self._submit(job, receipt)

    def check_count(self, rows: int, receipt: Receipt, max_rows: int | None = None) -> None:
        """Return if a request may have so many rows, which are then taken from its token's allowance.

        Args:
            rows: How many.
            receipt: Whose.
            max_rows: The endpoint's own bound, where it has one.

        Raises:
            InputError: There are none, or too many.
            RateLimited: The token or its tenant has reached its limit.
        """
        if not rows:
            raise InputError("the request has no instances", hint="send at least one")
        most = self._max_rows if max_rows is None else min(max_rows, self._max_rows)
        if rows > most:
            raise InputError(f"the request has {rows} rows", hint=f"send {most} at most, in several requests")
        if receipt.allowance is not None:
            receipt.take_rows(rows)

    def _submit(self, job: Job, receipt: Receipt) -> None:
        if not self._batcher.submit(job, len(job.rows), receipt.size_bytes):
            self._stats.rejected += 1
            raise Unavailable("too many rows wait", hint="try again in a second, with fewer requests at once")
