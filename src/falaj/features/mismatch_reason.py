"""MismatchReason: the first slip that would have led to what was served."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from falaj.definitions.service_spec import FeatureSpec, ViewSpec
from falaj.features.agreement import agrees
from falaj.features.history import EVERYTHING, History
from falaj.features.naive import Event, reach, visible
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
    at_us: int
    seq: int
    versions: bool = False
    nothing: bool = False

    def events(self, served: Served, history: History) -> list[Event]:
        """Return the events that would have been visible."""
        if self.nothing:
            return []
        return history.events(served.entity, self.seq, versions=self.versions, within=reach(self.view, self.at_us))


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
    mine = history(served.view)
    common = list(_of_events(served, mine))
    for slip in (*common, *_of_definition(served, wrong, others), *_of_clock(served)):
        of = mine if slip.view.digest == served.view.digest else history(slip.view)
        if _explains(slip, served.values, slip.events(served, of)):
            return dict.fromkeys(wrong, slip.reason)
    found = {}
    for name in wrong:
        single = {name: served.values[name]}
        explaining = (slip.reason for slip in common if _explains(slip, single, slip.events(served, mine)))
        found[name] = next(explaining, UNEXPLAINED)
    return found


def _explains(slip: _Slip, values: Mapping[str, Any], events: list[Event]) -> bool:
    """Return whether a slip gives these values; of those that its view does not have nothing is said."""
    features = [feature for feature in slip.view.features if feature.name in values]
    return bool(features) and all(
        agrees(slip.view, feature, values[feature.name], events, slip.at_us) for feature in features
    )


def _of_events(served: Served, history: History) -> Iterator[_Slip]:
    view, at_us, seq = served.view, served.at_us, served.seq
    known = history.events(served.entity, seq, within=reach(view, at_us))
    newest = max((e.seq for feature in view.features for e in visible(view, feature, known, at_us)), default=0)
    yield _Slip(f"events after ingest_seq {seq} were visible", view, at_us, EVERYTHING)
    yield _Slip(f"the event of ingest_seq {newest} was missing", view, at_us, newest - 1)
    yield _Slip("a repeated or corrected event was counted twice", view, at_us, seq, versions=True)
    yield _Slip("an event at exactly T was counted", view, at_us + 1, seq)
    yield _Slip("no event of the entity was visible", view, at_us, seq, nothing=True)


def _of_definition(served: Served, wrong: Sequence[str], others: Sequence[ViewSpec]) -> Iterator[_Slip]:
    for other in others:
        if set(other.keys) != set(served.view.keys) or not set(wrong) <= {feature.name for feature in other.features}:
            continue
        reason = (
            f"definition: the view was computed by another definition of {other.name!r}, {other.digest[:8]} "
            f"instead of {served.view.digest[:8]}"
        )
        yield _Slip(reason, other, served.at_us, served.seq)


def _of_clock(served: Served) -> Iterator[_Slip]:
    view, at_us, seq = served.view, served.at_us, served.seq
    if view.timeless:
        return
    if served.received_us != at_us:
        yield _Slip("clock: the features are those of the time of receipt, not of T", view, served.received_us, seq)
    if view.delay_us:
        yield _Slip("clock: the view's delay was left out", view, at_us + view.delay_us, seq)
        yield _Slip("clock: the view's delay was taken off twice", view, at_us - view.delay_us, seq)
    for hours in range(1, _MOST_HOURS + 1):
        for sign, word in ((1, "after"), (-1, "before")):
            reason = f"clock: the features are those of {hours} h {word} T, as of another time zone"
            yield _Slip(reason, view, at_us + sign * hours * _HOUR_US, seq)
    for hop_us in _HOPS_US:
        reason = f"window: it began at a whole {format_duration(hop_us)}, as a sawtooth window does, and not exactly"
        yield _Slip(reason, _with_hop(view, hop_us), at_us, seq)
    if any(feature.hop_us for feature in view.features):
        reason = "window: it was an exact sliding one, and not the sawtooth of the definition"
        yield _Slip(reason, _with_hop(view, None), at_us, seq)


def _with_hop(view: ViewSpec, hop_us: int | None) -> ViewSpec:
    """Return a view whose windows begin otherwise; one that is shorter than the hop stays as it is."""

    def changed(feature: FeatureSpec) -> FeatureSpec:
        if feature.window_us is None or (hop_us is not None and feature.window_us < hop_us):
            return feature
        return msgspec.structs.replace(feature, hop_us=hop_us)

    return msgspec.structs.replace(view, features=tuple(changed(feature) for feature in view.features))
