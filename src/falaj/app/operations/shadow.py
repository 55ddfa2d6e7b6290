"""Operations on shadow: set one, end it, see how it does."""

import contextlib

from falaj.app.operations.status import variant_status
from falaj.app.values.shadow import EndShadow, SetShadow, ShadowBeside, ShadowQuery, ShadowReport, ShadowSet
from falaj.governance.access import Actor
from falaj.kernel.errors import Conflict, CorruptionError
from falaj.lifecycle.adoption import wait_adopted
from falaj.lifecycle.counts import gateway_stats
from falaj.lifecycle.rooms import Rooms
from falaj.lifecycle.shadowing import compare_shadow, shadow_version, stop_shadow
from falaj.rollout.shadow import latest_span


def set_shadow(rooms: Rooms, actor: Actor, params: SetShadow) -> ShadowSet:
    """Let a version compute beside what decides, for a share of units; returns when gateways know, and load it next."""
    began = rooms.clock.monotonic()
    _refuse_other_kinds(rooms, params.endpoint)
    endpoint = rooms.definitions.endpoint(params.endpoint)
    shadow = shadow_version(rooms, endpoint, params.version, params.weight, actor)
    in_force_s = rooms.clock.monotonic() - began if wait_adopted(rooms) else None
    return ShadowSet(params.endpoint, shadow.version, params.weight, in_force_s)


def end_shadow(rooms: Rooms, actor: Actor, params: EndShadow) -> ShadowSet:
    """Let an endpoint have no shadow."""
    began = rooms.clock.monotonic()
    shadow = stop_shadow(rooms, params.endpoint, actor)
    in_force_s = rooms.clock.monotonic() - began if wait_adopted(rooms) else None
    return ShadowSet(params.endpoint, shadow.version, 0.0, in_force_s)


def show(rooms: Rooms, actor: Actor, params: ShadowQuery) -> ShadowReport:
    """Return how an endpoint's shadow does beside what decides on the same requests, or how its last one did."""
    del actor
    endpoint = rooms.definitions.endpoint(params.endpoint)
    with rooms.db.read() as connection:
        span = latest_span(connection, endpoint.name)
    with contextlib.suppress(CorruptionError):  # what is damaged is said by the monitor
        rooms.predictions.compact()
    found, newest_only = compare_shadow(rooms, endpoint, span)
    stats = gateway_stats(rooms)
    return ShadowReport(
        endpoint.name,
        span.variant.model,
        variant_status(rooms, span.route, span.variant, stats),
        span.since_us,
        span.until_us,
        stats.total.shadow_drops,
        tuple(ShadowBeside(one.model, one.version, one.comparison) for one in found),
        newest_only,
    )


def _refuse_other_kinds(rooms: Rooms, endpoint: str) -> None:
    definitions = rooms.definitions
    if endpoint in definitions.ensembles:
        raise Conflict(
            f"{endpoint!r} is an ensemble, which has no shadow",
            hint="shadow a member's endpoint: there it sees what that endpoint itself is asked",
        )
    if endpoint not in definitions.endpoints and endpoint in rooms.registry.bare_models():
        raise Conflict(
            f"{endpoint!r} is a bare model, which has no shadow: its answers are tensors and no scores",
            hint="shadow an endpoint that serves the versions of one model",
        )
