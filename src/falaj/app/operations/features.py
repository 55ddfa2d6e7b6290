"""Operations on features: materialise, read, verify."""

from typing import Any

import msgspec

from falaj.features.online import OnlineReader
from falaj.governance.access import Actor
from falaj.kernel.clock import parse_instant, to_us
from falaj.kernel.errors import InputError, NotFound
from falaj.kernel.names import did_you_mean
from falaj.lifecycle.catch_up import CaughtUp, catch_up
from falaj.lifecycle.consistency import verify_served
from falaj.lifecycle.rooms import Rooms

Materialised = CaughtUp
_MOST_ROWS = 10_000


class Materialise(msgspec.Struct, frozen=True):
    """Ask for the online store to be brought up to the tables.

    Attributes:
        source: Which source; empty for all.
    """

    source: str = ""


class OnlineQuery(msgspec.Struct, frozen=True):
    """Ask for stored features.

    Attributes:
        service: The feature service.
        entities: Per row its entity keys.
        at: The instant, RFC 3339; None for now.
    """

    service: str
    entities: list[dict[str, Any]]
    at: str | None = None


class OnlineFeatures(msgspec.Struct, frozen=True):
    """Stored features.

    Attributes:
        columns: Feature columns, `view__feature`.
        values: Per row one value per column; None for null.
        statuses: Per row one status per column.
    """

    columns: tuple[str, ...]
    values: list[list[Any]]
    statuses: list[list[str]]


class Verify(msgspec.Struct, frozen=True):
    """Ask for served features to be recomputed.

    Attributes:
        endpoint: Only this endpoint's decisions; empty for all.
        sample: Most decisions to check, the newest.
    """

    endpoint: str = ""
    sample: int = 1000


class VerifyResult(msgspec.Struct, frozen=True):
    """Whether what was served is what the tables say.

    Attributes:
        outcome: PASS, FAIL, or INCONCLUSIVE when there was nothing but defaults to compare.
        reason: One sentence.
        decisions: Decisions checked.
        compared: Values compared.
        non_default_share: Share of them that were not defaults.
        mismatches: Each with request_id, column, served, recomputed and the likely reason.
        changed_since: Values that late data has changed since they were served; no fault, but good to know.
    """

    outcome: str
    reason: str
    decisions: int
    compared: int
    non_default_share: float
    mismatches: list[dict[str, Any]]
    changed_since: int


def materialise(rooms: Rooms, actor: Actor, params: Materialise) -> list[CaughtUp]:
    """Bring the online store up to the tables."""
    del actor
    if params.source:
        rooms.definitions.source(params.source)
    return catch_up(rooms, params.source)


def online(rooms: Rooms, actor: Actor, params: OnlineQuery) -> OnlineFeatures:
    """Read stored features."""
    del actor
    services = rooms.applied.document.services
    if params.service not in services:
        raise NotFound(
            f"feature service {params.service!r} does not exist", hint=did_you_mean(params.service, services)
        )
    if len(params.entities) > _MOST_ROWS:
        raise InputError(f"{len(params.entities)} rows in one read", hint=f"ask for at most {_MOST_ROWS}")
    at_us = to_us(rooms.clock.now() if params.at is None else parse_instant(params.at))
    rows = OnlineReader(rooms.online).read(services[params.service], params.entities, [at_us] * len(params.entities))
    stored = len(rows.columns)
    return OnlineFeatures(rows.columns, [values[:stored] for values in rows.values], rows.statuses)


def verify(rooms: Rooms, actor: Actor, params: Verify) -> VerifyResult:
    """Recompute served features and report every mismatch."""
    del actor
    report = verify_served(rooms, params.endpoint, params.sample)
    return VerifyResult(
        report.verdict.outcome,
        report.verdict.reason,
        report.decisions,
        report.compared,
        report.non_default_share,
        [msgspec.to_builtins(one) for one in report.mismatches],
        report.changed_since,
    )
