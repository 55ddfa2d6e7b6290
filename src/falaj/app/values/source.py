"""Values of the operations on source."""

from typing import Any, Literal

import msgspec

from falaj.app.values.bounds import Limit
from falaj.data.report import FeedState, FileReport, RefusedFile


class Ingest(msgspec.Struct, frozen=True):
    """Ask to read files into tables.

    Attributes:
        source: Which source; empty for all that have files.
    """

    source: str = ""


class Ingested(msgspec.Struct, frozen=True):
    """What one source took in.

    Attributes:
        source: The source.
        files: One report per file that was taken.
        rows: Rows read now.
        accepted: Rows that entered the table now.
        quarantined: Rows that were refused now, with reasons.
        feed: How far the source's feed was taken; empty where it has none.
        refused: The files of which nothing was taken, and why.
    """

    source: str
    files: list[FileReport]
    rows: int
    accepted: int
    quarantined: int
    feed: FeedState = FeedState()
    refused: list[RefusedFile] = []


class Push(msgspec.Struct, frozen=True):
    """Send events.

    Attributes:
        source: To which source.
        events: Objects of its columns; a text is an object as JSON, or what should have been one.
        wait: Answer when they are "logged" (durable), or "applied" (the next read sees them).
    """

    source: str
    events: list[Any]
    wait: Literal["logged", "applied"] = "logged"


class Pushed(msgspec.Struct, frozen=True):
    """What became of pushed events; all of it is durable.

    Attributes:
        source: The source.
        accepted: How many were accepted.
        last_seq: The number of the last accepted one.
        rejected: Index and reasons of each one that went to quarantine.
        warnings: Reason to number of events.
        applied: Whether the next read sees them; asked for by `wait`.
        behind: Views that are still being backfilled and show them when that is done.
    """

    source: str
    accepted: int
    last_seq: int
    rejected: list[tuple[int, list[str]]]
    warnings: dict[str, int]
    applied: bool
    behind: tuple[str, ...] = ()


class SourceQuery(msgspec.Struct, frozen=True):
    """Which source; empty for all."""

    source: str = ""


class Replay(msgspec.Struct, frozen=True):
    """Ask for refused rows to be judged again by the present definition.

    Attributes:
        source: The source.
        reason: Only rows one of whose reasons has this text in it; empty for all.
        dry_run: Change nothing, and say what would become of them.
        after: Only rows with a greater number: the `through` of the piece before.
        until: Only rows up to this number, the `until` of the first piece; 0 for all that there are.
        within_s: Begin on no further rows after so many seconds; None to go on to the end.
    """

    source: str
    reason: str = ""
    dry_run: bool = False
    after: int = 0
    until: int = 0
    within_s: float | None = None


class QuarantineQuery(msgspec.Struct, frozen=True):
    """Which refused rows to show.

    Attributes:
        source: The source.
        limit: Most rows.
    """

    source: str
    limit: Limit = 20
