"""Operations on features: materialise, read, verify, show as SQL."""

from typing import Any

import msgspec

from falaj.app.landing import land_alone
from falaj.app.values.bounds import MOST_ROWS
from falaj.app.values.features import Materialise, OnlineFeatures, OnlineQuery, SqlQuery, SqlText, Verify, VerifyResult
from falaj.features.dialect import DIALECTS
from falaj.features.engines.support import refused_features
from falaj.features.online import OnlineReader
from falaj.features.sql_text import sql_text
from falaj.governance.access import Actor
from falaj.kernel.clock import from_us, parse_instant, rfc3339, to_us
from falaj.kernel.errors import InputError, NotFound
from falaj.kernel.names import did_you_mean
from falaj.lifecycle.catch_up import catch_up
from falaj.lifecycle.caught_up import CaughtUp
from falaj.lifecycle.consistency import verify_served
from falaj.lifecycle.rooms import Rooms


def materialise(rooms: Rooms, actor: Actor, params: Materialise) -> list[CaughtUp]:
    """Bring the online store up to the tables."""
    del actor
    views = rooms.definitions.feature_views
    for name in params.views:
        if name not in views:
            raise NotFound(f"feature view {name!r} does not exist", hint=did_you_mean(name, views))
    sources = dict.fromkeys(views[name].source.name for name in params.views)
    done = catch_up(rooms, *sources, within_s=params.within_s or None)
    land_alone(rooms)
    return done


def online(rooms: Rooms, actor: Actor, params: OnlineQuery) -> OnlineFeatures:
    """Read stored features."""
    del actor
    services = rooms.applied.document.services
    if params.service not in services:
        raise NotFound(
            f"feature service {params.service!r} does not exist", hint=did_you_mean(params.service, services)
        )
    if len(params.entities) > MOST_ROWS:
        raise InputError(f"{len(params.entities)} rows in one read", hint=f"ask for at most {MOST_ROWS}")
    at_us = to_us(rooms.clock.now() if params.at is None else parse_instant(params.at))
    rows = OnlineReader(rooms.online).read(services[params.service], params.entities, [at_us] * len(params.entities))
    dtypes = tuple(dtype for _, dtype in services[params.service].outputs[: len(rows.columns)])
    shown = [[_shown(value, dtype) for value, dtype in zip(values, dtypes, strict=False)] for values in rows.values]
    return OnlineFeatures(rows.columns, shown, rows.statuses, dtypes)


def _shown(value: Any, dtype: str) -> Any:
    """Return a stored value as people write it: a timestamp as RFC 3339."""
    if value is None or "timestamp" not in dtype:
        return value
    return [_shown(each, "timestamp") for each in value] if isinstance(value, list) else rfc3339(from_us(value))


def sql(rooms: Rooms, actor: Actor, params: SqlQuery) -> SqlText:
    """Show a feature view as the SQL text of an engine."""
    del actor
    views = rooms.applied.document.views
    if params.view not in views:
        raise NotFound(f"feature view {params.view!r} does not exist", hint=did_you_mean(params.view, views))
    if params.engine not in DIALECTS:
        raise InputError(f"engine {params.engine!r} does not exist", hint=did_you_mean(params.engine, DIALECTS))
    view, dialect = views[params.view], DIALECTS[params.engine]
    return SqlText(sql_text(view, dialect), refused_features(view, dialect))


def verify(rooms: Rooms, actor: Actor, params: Verify) -> VerifyResult:
    """Recompute served features and report every mismatch."""
    del actor
    if params.endpoint:
        rooms.definitions.endpoint(params.endpoint)
    report = verify_served(rooms, params.endpoint, params.sample)
    return VerifyResult(
        report.verdict.outcome,
        report.verdict.reason,
        report.decisions,
        report.compared,
        report.non_default_share,
        [msgspec.to_builtins(one) for one in report.mismatches],
        report.changed_since,
        report.changed_by_view,
        report.skipped,
    )
