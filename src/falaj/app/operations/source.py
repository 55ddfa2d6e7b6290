"""Operations on sources: ingest, push, list, quarantine, replay."""

from typing import Any

import msgspec
import pyarrow.compute as pc
import pyarrow.dataset as ds

from falaj.app.landing import land_alone
from falaj.app.running import find_control
from falaj.app.values.source import Ingest, Ingested, Push, Pushed, QuarantineQuery, Replay, SourceQuery
from falaj.app.values.status import SourceStatus
from falaj.data.columns import STREAM
from falaj.data.quarantine import Replayed
from falaj.data.report import FeedState
from falaj.definitions.source import Source
from falaj.governance.access import Actor, authorise
from falaj.kernel.clock import to_us
from falaj.kernel.errors import InputError, Overloaded
from falaj.lifecycle.apply import schema_of
from falaj.lifecycle.back_pressure import admit
from falaj.lifecycle.catch_up import apply_pushed, land_all, land_events, refresh_views
from falaj.lifecycle.feeds import fed_sources, take_some
from falaj.lifecycle.rooms import Rooms

_MOST_EVENTS = 50_000


def ingest(rooms: Rooms, actor: Actor, params: Ingest) -> list[Ingested]:
    """Read the files that have not been read before, and take what lies in feeds."""
    land_alone(rooms)
    sources = rooms.definitions.sources
    fed = fed_sources(rooms)
    names = [params.source] if params.source else [n for n, s in sources.items() if s.batch is not None or n in fed]
    if not names:
        hint = "send events with 'falaj push'" if sources else "no definitions are in force yet: run 'falaj apply'"
        raise InputError("no source has files", hint=hint)
    done = []
    for name in names:
        source = rooms.definitions.source(name)
        if source.batch is None and name not in fed:
            raise InputError(f"source {name!r} has no files", hint="send it events with 'falaj push'")
        one = Ingested(name, [], 0, 0, 0)
        if source.batch is not None:
            report = rooms.ingestion.ingest(source, schema_of(rooms, name), rooms.folder, actor)
            one = Ingested(name, report.files, report.rows, report.accepted, report.quarantined, refused=report.refused)
        done.append(_take_all(rooms, actor, source, one) if name in fed else one)
    return done


def _take_all(rooms: Rooms, actor: Actor, source: Source, one: Ingested) -> Ingested:
    """Take what lies in a source's feed now, and add it to what its files gave."""
    authorise(actor, "source.ingest", source.name)
    accepted = refused = 0
    ends = rooms.feeds.state(source)
    left = sum((partition.end or 0) > partition.taken for partition in ends.partitions)
    while left:
        _admit(rooms, source.name)
        taken = take_some(rooms, source, timeout_s=0)
        if not taken.count:
            break
        accepted, refused = accepted + taken.accepted, refused + taken.refused
        now = rooms.events.positions(source.name)
        left = sum((partition.end or 0) > now.get(partition.name, 0) for partition in ends.partitions)
    land_all(rooms, source.name)
    return msgspec.structs.replace(
        one, rows=one.rows + accepted + refused, accepted=one.accepted + accepted,
        quarantined=one.quarantined + refused, feed=rooms.feeds.state(source),
    )  # fmt: skip


def push(rooms: Rooms, actor: Actor, params: Push) -> Pushed:
    """Take events; what is acknowledged is durable."""
    authorise(actor, "source.push", params.source)
    if len(params.events) > _MOST_EVENTS:
        raise InputError(f"{len(params.events)} events in one push", hint=f"send at most {_MOST_EVENTS}")
    document = rooms.applied.document
    source = document.definitions.source(params.source)
    _admit(rooms, params.source)
    accepted = rooms.events.accept(source, document.schemas[params.source], params.events)
    behind = tuple(sorted(view.name for view in rooms.applier.behind(params.source)))
    applied = False
    if params.wait == "applied" and accepted.count:
        applied = apply_pushed(rooms, params.source, accepted.last_seq)
        land_alone(rooms)
    else:
        rooms.applier.wake()
    return Pushed(
        params.source, accepted.count, accepted.last_seq, accepted.rejected, accepted.warnings, applied, behind
    )


def _admit(rooms: Rooms, source: str) -> None:
    try:
        admit(rooms, source)
    except Overloaded:
        if find_control(rooms.state.path) is not None:
            raise
        refresh_views(rooms)  # nobody else does it: then this command applies and lands what waits
        rooms.applier.advance(source)
        land_events(rooms)


def list_sources(rooms: Rooms, actor: Actor, params: SourceQuery) -> list[SourceStatus]:
    """Return each source's rows, files and quarantine."""
    del actor
    names = [params.source] if params.source else sorted(rooms.definitions.sources)
    return [source_facts(rooms, rooms.definitions.source(name)) for name in names]


def quarantine(rooms: Rooms, actor: Actor, params: QuarantineQuery) -> list[dict[str, Any]]:
    """Return refused rows with their reasons, the newest first."""
    del actor
    return rooms.quarantine.rows(rooms.definitions.source(params.source).name, params.limit)


def replay(rooms: Rooms, actor: Actor, params: Replay) -> Replayed:
    """Judge refused rows again, and take in those that the present definition accepts."""
    source = rooms.definitions.source(params.source)
    schema = schema_of(rooms, source.name)
    done = rooms.quarantine.replay(
        source, schema, actor.name, reason=params.reason, dry_run=params.dry_run, after=params.after,
        until=params.until or None, within_s=params.within_s,
    )  # fmt: skip
    rooms.applier.wake()
    return done


def source_facts(rooms: Rooms, source: Source) -> SourceStatus:
    """Return what a source's tables hold now."""
    name = f"source/{source.name}"
    refused, replayed = rooms.quarantine.count(source.name)
    feed = rooms.feeds.state(source) if source.name in fed_sources(rooms) else FeedState()
    if rooms.tables.version(name) is None:
        return SourceStatus(source.name, quarantined=refused, replayed=replayed, feed=feed)
    rows = rooms.tables.read(name, ["_event_ts", "_file"])
    streamed = rows.count_rows(filter=ds.field("_file") == STREAM)
    files = pc.count_distinct(rows.to_table(columns=["_file"]).column("_file")).as_py() - (1 if streamed else 0)
    latest = None if source.timeless else pc.max(rows.to_table(columns=["_event_ts"]).column("_event_ts")).as_py()
    last_us = None if latest is None else to_us(latest)
    return SourceStatus(source.name, rows.count_rows(), refused, files, streamed, last_us, replayed, feed)
