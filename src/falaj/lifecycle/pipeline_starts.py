"""Pipeline starts: runs that begin by themselves, by the clock or because a source got rows or files.

One run of a pipeline that started by itself is active at a time; what comes due meanwhile starts one run after it.
"""

from datetime import datetime

import msgspec
import sqlalchemy as sa

from falaj.definitions.event import Event
from falaj.definitions.pipeline import Pipeline
from falaj.definitions.project import digest_of
from falaj.governance.access import SYSTEM, Actor, Role
from falaj.kernel.clock import from_us, rfc3339, to_us
from falaj.kernel.errors import Conflict, FalajError
from falaj.lifecycle.own_runs import submit_traced
from falaj.lifecycle.project import trace_pipeline
from falaj.lifecycle.rooms import Rooms
from falaj.monitoring.alerts import Alert, open_alert, open_subjects, resolve_alert
from falaj.pipelines.schedule import last_due
from falaj.storage.metadata.schema import metadata

PIPELINE_STATE = sa.Table(
    "pipeline_state",
    metadata,
    sa.Column("name", sa.String, primary_key=True),
    sa.Column("body", sa.Text, nullable=False),
)

RULE = "pipeline_start"
_TRY_AGAIN_US = 60_000_000


class Seen(msgspec.Struct, frozen=True):
    """Up to where a pipeline's occasions have been answered.

    Attributes:
        digest: Of the definition; under another one everything counts anew, from the first sight on.
        since_us: Since when its schedule counts, in microseconds.
        rows: By source, the number of the last row.
        files: By source, the files that were there.
    """

    digest: str
    since_us: int
    rows: dict[str, int] = {}
    files: dict[str, tuple[str, ...]] = {}


class PipelineStarts:
    """Reconciler: submits the runs that schedules and events call for.

    Args:
        rooms: The project.
    """

    name = "pipeline_starts"

    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms
        self._not_before: dict[str, int] = {}

    def run_pass(self, now: datetime) -> bool:
        """Do one pass."""
        worked = self._forget_removed(to_us(now))
        for pipeline in self._rooms.definitions.pipelines.values():
            if _starts_itself(pipeline) and self._not_before.get(pipeline.name, 0) <= to_us(now):
                worked = self._consider(pipeline, now) or worked
        return worked

    def _forget_removed(self, now_us: int) -> bool:
        """Close the alerts of pipelines that start by themselves no more, and forget up to where they had come."""
        wanted = {name for name, pipeline in self._rooms.definitions.pipelines.items() if _starts_itself(pipeline)}
        with self._rooms.db.read() as connection:
            known = set(connection.execute(sa.select(PIPELINE_STATE.c.name)).scalars())
            gone = (known | {*open_subjects(connection, RULE)}) - wanted
        for name in sorted(gone):
            self._not_before.pop(name, None)
            with self._rooms.db.write() as connection:
                connection.execute(PIPELINE_STATE.delete().where(PIPELINE_STATE.c.name == name))
                resolve_alert(connection, RULE, name, f"pipeline {name!r} starts by itself no more", now_us)
        return bool(gone)

    def _consider(self, pipeline: Pipeline, now: datetime) -> bool:
        rooms = self._rooms
        with rooms.db.read() as connection:
            seen = read_seen(connection, pipeline.name)
        if seen is None or seen.digest != digest_of(pipeline):
            with rooms.db.write() as connection:
                # From now on: a project that was applied today is not a day late for its daily run.
                _store(connection, pipeline.name, self._sight(pipeline, now))
            return False
        at, reasons, after = self._occasions(pipeline, seen, now)
        return bool(reasons) and self._start(pipeline, at, "; ".join(reasons), after)

    def _occasions(self, pipeline: Pipeline, seen: Seen, now: datetime) -> tuple[datetime, list[str], Seen]:
        at, reasons, after = now, [], seen
        if pipeline.schedule:
            due = last_due(pipeline.schedule, from_us(seen.since_us), now, pipeline.time_zone)
            if due is not None:
                at, after = due, msgspec.structs.replace(after, since_us=to_us(due))
                reasons.append(f"schedule {pipeline.schedule!r} of {rfc3339(due)}")
        for event in pipeline.on:
            if event.kind == "rows":
                head = self._rooms.reader.head(event.source)
                fresh = head - seen.rows.get(event.source, 0)
                if fresh >= event.at_least:
                    after = msgspec.structs.replace(after, rows={**after.rows, event.source: head})
                    reasons.append(f"{fresh:,} new rows of source {event.source!r}")
                continue
            files = self._files(event)
            new = sorted({*files} - {*seen.files.get(event.source, ())})
            if new:
                after = msgspec.structs.replace(after, files={**after.files, event.source: files})
                reasons.append(
                    f"{len(new):,} new files of source {event.source!r}: {', '.join(_place(file) for file in new[:3])}"
                )
        return at, reasons, after

    def _start(self, pipeline: Pipeline, at: datetime, reason: str, after: Seen) -> bool:
        rooms = self._rooms
        params = {pipeline.at: pipeline.instant(at)} if pipeline.at else {}
        try:
            traced = trace_pipeline(rooms.folder, pipeline, params)
            with rooms.db.write() as connection:
                submit_traced(connection, rooms, traced, self._applier(), reason, f"pipeline:{pipeline.name}")
                _store(connection, pipeline.name, after)
                now_us = to_us(rooms.clock.now())
                resolve_alert(connection, RULE, pipeline.name, f"pipeline {pipeline.name!r} started", now_us)
        except Conflict:
            return False  # one is under way; the occasion stays
        except FalajError as error:
            self._cannot_start(pipeline.name, error)
            return False
        return True

    def _applier(self) -> Actor:
        """Return who put the definitions in force: what their code does by itself is their doing, within their role.

        As Falaj's own it could make versions that they then approve themselves.
        """
        name = self._rooms.applied.actor
        role = next((one.role for one in self._rooms.actors.list() if one.name == name), None)
        return SYSTEM if role is None else Actor(name, Role(role))

    def _cannot_start(self, name: str, error: FalajError) -> None:
        """Say so and leave the occasion: whoever corrects the file has not missed it."""
        now_us = to_us(self._rooms.clock.now())
        self._not_before[name] = now_us + _TRY_AGAIN_US
        message = f"pipeline {name!r} cannot be started: {error.message}"
        with self._rooms.db.write() as connection:
            open_alert(connection, Alert(RULE, "critical", name, message, {"hint": error.hint}, now_us))

    def _sight(self, pipeline: Pipeline, now: datetime) -> Seen:
        rows = {event.source: self._rooms.reader.head(event.source) for event in pipeline.on if event.kind == "rows"}
        files = {event.source: self._files(event) for event in pipeline.on if event.kind == "file"}
        return Seen(digest_of(pipeline), to_us(now), rows, files)

    def _files(self, event: Event) -> tuple[str, ...]:
        return tuple(sorted(self._rooms.events.positions(event.source)))


def _starts_itself(pipeline: Pipeline) -> bool:
    return bool(pipeline.schedule or pipeline.on)


def _place(partition: str) -> str:
    """Return a file's name without the mark that tells it from another of that name."""
    return partition.rpartition("#")[0] or partition


def read_seen(connection: sa.Connection, name: str) -> Seen | None:
    """Return up to where a pipeline's occasions have been answered; None before the first sight."""
    body = connection.execute(sa.select(PIPELINE_STATE.c.body).where(PIPELINE_STATE.c.name == name)).scalar()
    return None if body is None else msgspec.json.decode(body, type=Seen)


def _store(connection: sa.Connection, name: str, seen: Seen) -> None:
    connection.execute(PIPELINE_STATE.delete().where(PIPELINE_STATE.c.name == name))
    connection.execute(PIPELINE_STATE.insert().values(name=name, body=msgspec.json.encode(seen).decode()))
