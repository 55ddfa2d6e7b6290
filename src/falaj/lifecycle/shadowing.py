"""Shadowing: a registered version computes beside what decides, and is held against it on the same requests."""

from collections.abc import Set

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from falaj.data.shadow_pairs import MOST_PAIRS, Shadowed
from falaj.definitions.endpoint import Endpoint
from falaj.definitions.routing_table import Variant
from falaj.governance.access import Actor, authorise
from falaj.kernel.errors import Conflict, InputError
from falaj.lifecycle.apply import views_in_force
from falaj.lifecycle.approving import refuse_rejected
from falaj.lifecycle.candidate import variant_of
from falaj.lifecycle.catch_up import catch_up
from falaj.lifecycle.promotion import refuse_misfit
from falaj.lifecycle.publication import publish_snapshots
from falaj.lifecycle.rooms import Rooms
from falaj.lifecycle.watching import quality_policy
from falaj.models.version import ModelVersion
from falaj.monitoring.performance import QualityPolicy
from falaj.monitoring.shadows import Comparison, Pairs, compare
from falaj.rollout import table
from falaj.rollout.shadow import ShadowSpan, end_shadow, set_shadow


class Beside(msgspec.Struct, frozen=True):
    """A shadow beside one of the versions that decided while it was there.

    Attributes:
        model: Of what decided.
        version: Which version decided.
        comparison: What came of it.
    """

    model: str
    version: int
    comparison: Comparison


def shadow_version(rooms: Rooms, endpoint: Endpoint, number: int, weight: float, actor: Actor) -> Variant:
    """Let a version compute for a share of an endpoint's units, and decide nothing.

    It needs a gate report, and neither a gate that passed nor an approval: nobody is answered by it. A version that
    somebody refused is not taken.

    Args:
        rooms: The project.
        endpoint: Where.
        number: The version.
        weight: Its share of units, above 0 and at most 1.
        actor: Who wants it.

    Returns:
        The version as the route has it.

    Raises:
        AccessDenied: The actor may not do `endpoint.shadow` there.
        InputError: The weight is no such share.
        NotFound: There is no such version, or nothing serves there.
        Conflict: It was removed or refused, has no gate report, cannot be computed, takes what callers do not send,
            decides there already, or is the shadow so already.
    """
    authorise(actor, "endpoint.shadow", endpoint.name)
    share = _share(weight)
    version = rooms.registry.get(endpoint.model.name, number)
    if version.removed:
        raise Conflict(f"version {number} of model {version.model!r} was removed", hint="shadow another version")
    if not version.gate_digest:
        raise Conflict(
            f"version {number} of model {version.model!r} has no gate report",
            hint=f"train one that is judged: falaj train {version.model}",
        )
    refuse_rejected(rooms, version)
    refuse_misfit(rooms, version)
    with rooms.db.read() as connection:
        route = table.require_route(connection, endpoint.name)
    _refuse_unsent(version, [variant for variant in route.variants if variant.role == "live"])
    return _set(rooms, endpoint.name, version, share, actor)


def stop_shadow(rooms: Rooms, endpoint: str, actor: Actor) -> Variant:
    """Let an endpoint have no shadow; return which version it was.

    Raises:
        AccessDenied: The actor may not do `endpoint.shadow` there.
        NotFound: Nothing serves there.
        Conflict: It has none.
    """
    return end_shadow(rooms.db, rooms.clock, actor, endpoint, publish=lambda: publish_snapshots(rooms))


def compare_shadow(rooms: Rooms, endpoint: Endpoint, span: ShadowSpan) -> tuple[list[Beside], bool]:
    """Hold what a shadow computed against what decided, as far as both are compacted.

    The present of the measurement is the latest instant decided about: history that is replayed matures as it did then.

    Args:
        rooms: The project.
        endpoint: The definition of where it is, or was.
        span: How long it was there.

    Returns:
        One comparison for each version that decided, the one that decided most first; and whether there are more pairs
        than were looked at, the newest ones.
    """
    shadow = span.variant
    wanted = Shadowed(endpoint.name, shadow.model, shadow.version, span.first_epoch, span.last_epoch)
    pairs = rooms.predictions.shadowed(wanted)
    latest_us = max(pc.max(pairs["at_us"]).as_py() or 0, pc.max(pairs["outcome_at_us"]).as_py() or 0)
    minimum = endpoint.monitor.min_outcomes

    def policy(model: str, version: int) -> QualityPolicy:
        return quality_policy(rooms.registry.get(model, version), minimum)

    found = []
    counted = pairs.group_by(["live_model", "live_version"]).aggregate([([], "count_all")])
    for row in counted.sort_by([("count_all", "descending")]).to_pylist():
        model, version = row["live_model"], row["live_version"]
        mine = pairs.filter((pc.field("live_model") == model) & (pc.field("live_version") == version))
        comparison = compare(
            _columns(mine),
            shadow=policy(shadow.model, shadow.version),
            live=policy(model, version),
            now_us=latest_us,
            label_delay_us=endpoint.model.label.delay_us,
            by=endpoint.challenger.by if endpoint.challenger else "brier",
            cost=endpoint.model.cost,
        )
        found.append(Beside(model, version, comparison))
    return found, pairs.num_rows >= MOST_PAIRS


def _share(weight: float) -> int:
    share = round(weight * table.WHOLE) if 0 < weight <= 1 else 0  # NaN is neither
    if share == 0:
        raise InputError(
            f"weight {weight:g} is no share of units", hint="give one above 0 and at most 1, such as 0.2; finest 0.0001"
        )
    return share


def _set(rooms: Rooms, endpoint: str, version: ModelVersion, share: int, actor: Actor) -> Variant:
    def put(weight: int) -> Variant:
        publish = lambda: publish_snapshots(rooms)  # noqa: E731
        return set_shadow(rooms.db, rooms.clock, actor, endpoint, variant_of(version), weight, publish=publish)

    views = version.service.views if version.service else ()
    kept = {view.digest for of_source in views_in_force(rooms).values() for view in of_source}
    if any(view.digest not in kept for view in views):
        put(0)  # from here on its views are kept; it computes nothing while they are filled
    for source in sorted({view.source for view in views}):
        catch_up(rooms, source)
    return put(share)


def _refuse_unsent(version: ModelVersion, live: list[Variant]) -> None:
    """Raise if the version takes what the callers of the endpoint do not send: it would fail on every request."""
    sent = set[tuple[str, str]]().union(*(_fields(variant) for variant in live))
    unsent = sorted(_fields(variant_of(version)) - sent)
    if unsent:
        name, dtype = unsent[0]
        raise Conflict(
            f"version {version.version} of model {version.model!r} takes {name!r} ({dtype}), which callers do not send",
            hint="a shadow takes what the version that decides takes; deploy it instead",
        )


def _fields(variant: Variant) -> Set[tuple[str, str]]:
    if variant.service is None:
        return {(spec.name, spec.dtype) for spec in variant.signature.inputs}
    request = {(field.name, field.dtype) for field in variant.service.request}
    return {(name, dtype) for name, dtype in variant.service.entity_keys} | request


def _columns(pairs: pa.Table) -> Pairs:
    def floats(name: str) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        return pairs[name].to_numpy().astype(np.float64)  # type: ignore[no-any-return]

    known_us = pairs["outcome_at_us"].fill_null(0).to_numpy().astype(np.int64)
    return Pairs(
        floats("live_score"),
        floats("shadow_score"),
        floats("outcome"),
        pairs["at_us"].to_numpy().astype(np.int64),
        known_us,
    )
