"""MismatchReason: the first slip that would have led to what was served."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from falaj.definitions.service_spec import FeatureSpec, ViewSpec
from falaj.features.agreement import agrees
from falaj.features.history import EVERYTHING, History
from falaj.features.naive import Event, visible
from falaj.kernel.duration import format_duration

UNEXPLAINED = "the record or the logged value was altered, or other code computed it"
_HOUR_US = 3_600_000_000
_MOST_HOURS = 14
"""As far as time zones go."""
_HOPS_US = (*(minutes * 60_000_000 for minutes in (1, 5, 10, 15, 30)), _HOUR_US, 6 * _HOUR_US, 24 * _HOUR_US)


class Served(NamedTuple):
    """One view's features in one decision.

    Attributes:
        view: The view as the version pins it.
        values: Feature name to what was served, of all that were compared.
        entity: The entity's keys.
        at_us: T.
        received_us: When the request arrived.
        seq: The `ingest_seq` up to which events had been applied.
    """

    view: ViewSpec
    values: Mapping[str, Any]
    entity: Mapping[str, Any]
    at_us: int
    received_us: int
    seq: int


class _Slip(NamedTuple):
    reason: str
    view: ViewSpec
    events: list[Event]
    at_us: int


def explain(served: Served, wrong: Sequence[str], others: Sequence[ViewSpec], history: Callable[[ViewSpec], History]
            ) -> dict[str, str]:  # fmt: skip
    """Return per wrong feature what would explain it.

    A slip that explains every value of the view comes first, the right ones among them. One that explains a single
    value is named only where the slip can concern a single value; a shifted clock cannot.

    Args:
        served: What was served.
        wrong: The features that are not what the events say.
        others: Other definitions of the same view over the same source.
        history: Gives a view's history.
    """
    common = list(_of_events(served, history(served.view)))
    for slip in (*common, *_of_definition(served, wrong, others, history), *_of_clock(served, history(served.view))):
        if _explains(slip, served.values):
            return dict.fromkeys(wrong, slip.reason)
    found = {}
    for name in wrong:
        single = {name: served.values[name]}
        found[name] = next((slip.reason for slip in common if _explains(slip, single)), UNEXPLAINED)
    return found


def _explains(slip: _Slip, values: Mapping[str, Any]) -> bool:
    """Return whether a slip gives these values; of those that its view does not have nothing is said."""
    features = [feature for feature in slip.view.features if feature.name in values]
    return bool(features) and all(
        agrees(slip.view, feature, values[feature.name], slip.events, slip.at_us) for feature in features
    )


def _of_events(served: Served, history: History) -> Iterator[_Slip]:
    view, at_us, seq = served.view, served.at_us, served.seq
    known = history.events(served.entity, seq)
    seen = {event.seq for feature in view.features for event in visible(view, feature, known, at_us)}
    newest = max(seen, default=0)
    yield _Slip(f"events after ingest_seq {seq} were visible", view, history.events(served.entity, EVERYTHING), at_us)
    missing = history.events(served.entity, newest - 1)
    yield _Slip(f"the event of ingest_seq {newest} was missing", view, missing, at_us)
    versions = history.events(served.entity, seq, versions=True)
    yield _Slip("a repeated or corrected event was counted twice", view, versions, at_us)
    yield _Slip("an event at exactly T was counted", view, known, at_us + 1)
    yield _Slip("no event of the entity was visible", view, [], at_us)


def _of_definition(
    served: Served, wrong: Sequence[str], others: Sequence[ViewSpec], history: Callable[[ViewSpec], History]
) -> Iterator[_Slip]:
    for other in others:
        if set(other.keys) != set(served.view.keys) or not set(wrong) <= {feature.name for feature in other.features}:
            continue
        reason = (
            f"definition: the view was computed by another definition of {other.name!r}, {other.digest[:8]} "
            f"instead of {served.view.digest[:8]}"
        )
        yield _Slip(reason, other, history(other).events(served.entity, served.seq), served.at_us)


def _of_clock(served: Served, history: History) -> Iterator[_Slip]:
    view, at_us = served.view, served.at_us
    if view.timeless:
        return
    known = history.events(served.entity, served.seq)
    if served.received_us != at_us:
        yield _Slip("clock: the features are those of the time of receipt, not of T", view, known, served.received_us)
    if view.delay_us:
        yield _Slip("clock: the view's delay was left out", view, known, at_us + view.delay_us)
        yield _Slip("clock: the view's delay was taken off twice", view, known, at_us - view.delay_us)
    for hours in range(1, _MOST_HOURS + 1):
        for sign, word in ((1, "after"), (-1, "before")):
            reason = f"clock: the features are those of {hours} h {word} T, as of another time zone"
            yield _Slip(reason, view, known, at_us + sign * hours * _HOUR_US)
    for hop_us in _HOPS_US:
        reason = f"window: it began at a whole {format_duration(hop_us)}, as a sawtooth window does, and not exactly"
        yield _Slip(reason, _with_hop(view, hop_us), known, at_us)
    if any(feature.hop_us for feature in view.features):
        reason = "window: it was an exact sliding one, and not the sawtooth of the definition"
        yield _Slip(reason, _with_hop(view, None), known, at_us)


def _with_hop(view: ViewSpec, hop_us: int | None) -> ViewSpec:
    """Return a view whose windows begin otherwise; one that is shorter than the hop stays as it is."""

    def changed(feature: FeatureSpec) -> FeatureSpec:
        if feature.window_us is None or (hop_us is not None and feature.window_us < hop_us):
            return feature
        return msgspec.structs.replace(feature, hop_us=hop_us)

    return msgspec.structs.replace(view, features=tuple(changed(feature) for feature in view.features))
