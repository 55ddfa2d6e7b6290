"""The operation on freshness: how far each online view is behind its source."""

import msgspec

from falaj.app.values.freshness import FreshnessQuery, ViewFreshness
from falaj.data.columns import INGESTED_AT
from falaj.definitions.service_spec import ViewSpec
from falaj.features.materialise import Progress, read_progress
from falaj.governance.access import Actor
from falaj.kernel.clock import to_us
from falaj.kernel.errors import StorageError
from falaj.lifecycle.apply import schema_of
from falaj.lifecycle.rooms import Rooms

_SECOND_US = 1_000_000


def freshness(rooms: Rooms, actor: Actor, params: FreshnessQuery) -> list[ViewFreshness]:
    """Return how fresh each online view is, as this process has seen it."""
    del actor, params
    applier = rooms.applier
    applied = {view.digest for view in rooms.applied.document.views.values()}
    found = []
    for source in sorted(applier.sources):
        head = rooms.reader.head(source)
        behind = {view.digest for view in applier.behind(source)}
        known, unreachable = _progress(rooms, source)
        for view, progress in known:
            shown = _view(rooms, view, progress, head, backfilling=view.digest in behind)
            old = view.digest not in applied
            found.append(msgspec.structs.replace(shown, unreachable=unreachable, old=old))
    return found


def _progress(rooms: Rooms, source: str) -> tuple[list[tuple[ViewSpec, Progress]], str]:
    """Return how far a source's views are, as the store says, or why it does not: it may have been emptied."""
    known = rooms.applier.views(source)
    views = [view for view, _ in known]
    try:
        return list(zip(views, read_progress(rooms.online, views), strict=True)), ""
    except StorageError as error:
        return known, error.message


def _view(rooms: Rooms, view: ViewSpec, progress: Progress, head: int, *, backfilling: bool) -> ViewFreshness:
    now_us = to_us(rooms.clock.now())
    delays = rooms.applier.freshness.of(view)
    lag_rows = max(head - progress.applied_seq, 0)
    newest_us = progress.latest_us
    return ViewFreshness(
        view.name,
        view.digest[:12],
        view.source,
        progress.applied_seq,
        lag_rows,
        _waiting_s(rooms, view.source, progress.applied_seq, now_us) if lag_rows else 0.0,
        None if newest_us is None else (now_us - newest_us) / _SECOND_US,
        backfilling,
        delays.events,
        delays.quantile_ms(0.5),
        delays.quantile_ms(0.99),
        list(delays.buckets),
        delays.total_us / _SECOND_US,
    )


def _waiting_s(rooms: Rooms, source: str, applied_seq: int, now_us: int) -> float:
    rows, _ = rooms.reader.read_from(source, schema_of(rooms, source), applied_seq + 1, 1)
    if not rows.num_rows:
        return 0.0  # what was refused, and numbers of a file on its way, are waited for by nobody
    return max(now_us - to_us(rows[INGESTED_AT][0].as_py()), 0) / _SECOND_US
