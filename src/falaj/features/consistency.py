"""Consistency: were the features that were served those that the events say?

Every vector is recomputed by the naive definition over the events that its record claims to have held: those with
`ingest_seq` up to the logged number, before T. What differs is a fault. What only differs now that more events are
known is none, and is counted apart. Only the rows that the decisions rest on are read.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec
import pyarrow.dataset as ds

from falaj.definitions.aggregation import COUNTS
from falaj.definitions.prediction_policy import is_redacted
from falaj.definitions.prediction_record import PredictionRecord
from falaj.definitions.service_spec import FeatureSpec, ServiceSpec, ViewSpec
from falaj.definitions.verdict import Outcome, Verdict
from falaj.features.agreement import TOLERANCE, agrees, same, slack
from falaj.features.history import EVERYTHING, magnitude
from falaj.features.mismatch_reason import Served, explain
from falaj.features.naive import Event, feature_value, reach
from falaj.features.on_demand import OnDemand
from falaj.features.sampled_histories import SampledHistories, hides_entity
from falaj.features.status import OUTSIDE_RETENTION
from falaj.kernel.errors import DataError, InputError

KIND = "consistency"
"""What its verdicts and alerts are called."""

_LOOKED_INTO = 100
_AS_MANY = f"not looked into: only the first {_LOOKED_INTO} vectors that differ are"


class Mismatch(msgspec.Struct, frozen=True):
    """One value that was served and is not what the events say.

    Attributes:
        request_id: The decision.
        column: The feature's column.
        served: What was served.
        recomputed: What the events say.
        reason: What would explain it.
    """

    request_id: str
    column: str
    served: Any
    recomputed: Any
    reason: str


class ConsistencyReport(msgspec.Struct, frozen=True):
    """What a check found.

    Attributes:
        decisions: Decisions of which at least one value was compared.
        compared: Values compared.
        non_default: Those that an unknown entity would not have had.
        mismatches: Those that differ.
        changed_by_view: Values per view that differ now that later events are known; no fault.
        skipped: Why decisions or values were left out, and how many.
        verdict: PASS, FAIL, or INCONCLUSIVE when there was nothing but defaults to compare.
    """

    decisions: int
    compared: int
    non_default: int
    mismatches: tuple[Mismatch, ...]
    changed_by_view: dict[str, int]
    skipped: dict[str, int]
    verdict: Verdict

    @property
    def changed_since(self) -> int:
        """Values that differ now that later events are known."""
        return sum(self.changed_by_view.values())

    @property
    def non_default_share(self) -> float:
        """Share of the compared values that were not defaults; 0 when none was compared."""
        return self.non_default / self.compared if self.compared else 0.0


def verify(
    records: Iterable[PredictionRecord],
    specs: Mapping[tuple[str, int], ServiceSpec],
    open_source: Callable[[str], ds.Dataset],
    *,
    columns: Mapping[tuple[str, int], Sequence[str]] | None = None,
    others: Iterable[ViewSpec] = (),
    subject: str = "",
    at_us: int = 0,
) -> ConsistencyReport:
    """Recompute served feature vectors and report every value that differs.

    Args:
        records: Served decisions, any sample of them.
        specs: The services of the models' versions, by model and version.
        open_source: Gives every row of a source as a dataset, of which what matters is read; called once per source.
        columns: What the logged features of a version are called, in their order, where its signature does not take
            the service's outputs as they stand.
        others: Definitions that may have been served by mistake, such as those applied now.
        subject: What the verdict is about.
        at_us: When, for the verdict.

    Returns:
        The report; the order of mismatches follows the records.
    """
    sample = list(records)
    check = _Check(SampledHistories(open_source, sample, specs, others))
    for record in sample:
        version = (record.model, record.version)
        spec = specs.get(version)
        names: Sequence[str] = () if spec is None else [name for name, _ in spec.outputs]
        if columns is not None and version in columns:
            names = columns[version]
        if spec is None:
            check.skipped["its version's features are not known"] += 1
        elif record.error or record.defaulted:
            check.skipped["it failed" if record.error else "it used defaults"] += 1
        elif len(record.features) != len(names):
            check.skipped["its features are not its version's"] += 1
        else:
            check.decision(record, spec, dict(zip(names, record.features, strict=True)))
    return check.report(subject, at_us)


class _Check:
    def __init__(self, histories: SampledHistories) -> None:
        self._histories = histories
        self._on_demand: dict[str, OnDemand] = {}
        self._decisions = self._compared = self._non_default = self._looked_into = 0
        self._changed: Counter[str] = Counter()
        self._mismatches: list[Mismatch] = []
        self.skipped: Counter[str] = Counter()

    def decision(self, record: PredictionRecord, spec: ServiceSpec, served: Mapping[str, Any]) -> None:
        before = self._compared
        try:
            for view in spec.views:
                self._compare_view(record, view, served)
            self._compare_on_demand(record, spec, served)
        except InputError:
            self.skipped["its entity or request cannot be read"] += 1
        self._decisions += self._compared > before

    def report(self, subject: str, at_us: int) -> ConsistencyReport:
        outcome, reason = self._judge()
        evidence = {
            "decisions": self._decisions,
            "compared": self._compared,
            "non_default": self._non_default,
            "mismatches": len(self._mismatches),
            "non_default_share": round(self._non_default / self._compared, 6) if self._compared else 0.0,
            "changed_since": self._changed.total(),
            "changed_by_view": self._changed_by_view(),
            "skipped": dict(self.skipped),
        }
        return ConsistencyReport(
            self._decisions,
            self._compared,
            self._non_default,
            tuple(self._mismatches),
            self._changed_by_view(),
            dict(self.skipped),
            Verdict(KIND, subject, outcome, reason, evidence, at_us),
        )

    def _changed_by_view(self) -> dict[str, int]:
        return {view: values for view, values in self._changed.items() if values}

    def _judge(self) -> tuple[Outcome, str]:
        if self._mismatches:
            first = self._mismatches[0]
            return "FAIL", (
                f"{len(self._mismatches)} of {self._compared} served values are not what the events say; the first: "
                f"{first.column} of request {first.request_id} was {first.served!r} and should be {first.recomputed!r}"
            )
        if not self._compared:
            return "INCONCLUSIVE", "nothing was compared"
        if not self._non_default:
            return "INCONCLUSIVE", f"all {self._compared} values compared are what an unknown entity has"
        return "PASS", f"{self._compared} served values of {self._decisions} decisions are what the events say"

    def _compare_view(self, record: PredictionRecord, view: ViewSpec, served: Mapping[str, Any]) -> None:
        seq = record.applied_seq.get(view.name)
        if seq is None:
            self.skipped["its record names no applied number"] += 1
            return
        if hides_entity(record, view):
            self.skipped["its entity is redacted"] += 1
            return
        history = self._histories.of(view)
        within = reach(view, record.at_us)
        events, now = (history.events(record.entities, number, within=within) for number in (seq, EVERYTHING))
        values: dict[str, Any] = {}
        wrong: dict[str, Any] = {}
        for feature in view.features:
            column = view.column_name(feature.name)
            if column not in served:
                continue
            if record.statuses.get(column, record.statuses.get("*")) == OUTSIDE_RETENTION:
                self.skipped["the value was outside retention"] += 1
                continue
            if is_redacted(served[column]):
                self.skipped["the value is redacted"] += 1
                continue
            value = values[feature.name] = served[column]
            expected = feature_value(view, feature, events, record.at_us)
            self._compared += 1
            self._non_default += value is not None and not (feature.function in COUNTS and value == 0)
            if now is not events:
                self._changed[view.name] += _changed(view, feature, expected, events, now, record.at_us)
            # What is the very same needs no tolerance, which costs as much as the value did.
            if not same(value, expected, 0.0) and not agrees(view, feature, value, events, record.at_us):
                wrong[feature.name] = expected
        if wrong:
            question = Served(view, values, record.entities, record.at_us, record.received_us, seq)
            self._mismatch(question, record, wrong)

    def _mismatch(self, served: Served, record: PredictionRecord, wrong: Mapping[str, Any]) -> None:
        view, reasons = served.view, dict.fromkeys(wrong, _AS_MANY)
        if self._looked_into < _LOOKED_INTO:
            self._looked_into += 1
            reasons = explain(served, list(wrong), self._histories.other_definitions(view), self._histories.of)
        for name, expected in wrong.items():
            column, value = view.column_name(name), served.values[name]
            self._mismatches.append(Mismatch(record.request_id, column, value, expected, reasons[name]))

    def _compare_on_demand(self, record: PredictionRecord, spec: ServiceSpec, served: Mapping[str, Any]) -> None:
        """Recompute from the served inputs, so that a wrong input is reported once, and as itself."""
        if not spec.on_demand:
            return
        if spec.digest not in self._on_demand:
            self._on_demand[spec.digest] = OnDemand(spec)
        given = {**record.request, **served}
        if any(is_redacted(given.get(spec.column_of(one))) for view in spec.on_demand for one in view.inputs):
            self.skipped["an input of its on-demand features is redacted"] += 1
            return
        row = [None if is_redacted(served.get(name)) else served.get(name) for name, _ in spec.outputs]
        try:
            request = {name: None if is_redacted(value) else value for name, value in record.request.items()}
            recomputed = self._on_demand[spec.digest].recompute(row, request)
        except DataError as error:
            self.skipped[str(error)] += 1
            return
        known = {*served, *(field.name for field in spec.request)}
        for view in spec.on_demand:
            name = view.name
            if name not in served:
                continue
            if not known.issuperset(spec.column_of(reference) for reference in view.inputs):
                self.skipped["an on-demand feature reads what the prediction log does not keep"] += 1
                continue
            value, expected = served[name], recomputed[name]
            if is_redacted(value):
                self.skipped["the value is redacted"] += 1
                continue
            self._compared += 1
            self._non_default += value is not None and value == value
            tolerance = TOLERANCE * magnitude([expected]) if isinstance(expected, float) else 0.0
            if not same(value, expected, tolerance):
                reason = "other code computed it, or the function looks at more than its own row"
                self._mismatches.append(Mismatch(record.request_id, name, value, expected, reason))


def _changed(
    view: ViewSpec, feature: FeatureSpec, expected: Any, events: list[Event], now: list[Event], at_us: int
) -> bool:
    later = feature_value(view, feature, now, at_us)
    return not same(expected, later, 0.0) and not same(expected, later, slack(view, feature, events, at_us))
