"""Has a column drifted? An effect that matters, a corrected p-value, enough rows, and windows in a row that agree."""

from collections.abc import Iterable, Mapping
from typing import Any, Literal

import msgspec

from falaj.definitions.verdict import Outcome, Verdict
from falaj.kernel.errors import InputError
from falaj.monitoring.histogram import Counts
from falaj.monitoring.questions import DriftPolicy, Finding, examine
from falaj.monitoring.references import Origin, References

DriftOutcome = Literal["DRIFT", "NO_DRIFT", "INCONCLUSIVE"]
_OUTCOMES: dict[DriftOutcome, Outcome] = {"DRIFT": "FAIL", "NO_DRIFT": "PASS", "INCONCLUSIVE": "INCONCLUSIVE"}


_NAMED = 3
"""Columns that a sentence names before it counts the rest."""


class DriftState(msgspec.Struct, frozen=True):
    """What is kept between windows: how many in a row alarmed, per column and question."""

    streaks: dict[str, int] = {}


class DriftVerdict(msgspec.Struct, frozen=True):
    """What one or several consecutive windows say.

    What is named is a column, a column of a segment ("amount where country=AE"), or how two columns go together.

    Attributes:
        outcome: DRIFT when any question alarmed often enough in a row; INCONCLUSIVE when one alarms but not yet
            often enough, or only before correction, or when nothing had rows enough; NO_DRIFT otherwise.
        drifted: What drifted.
        suspected: What alarms but not yet often enough, or only before correction.
        unjudged: Columns for which some question had too few rows.
        segments: Each segment's own outcome; INCONCLUSIVE where it had too few rows.
        findings: Every answer for the last window.
        streaks: Alarms in a row per question, up to and with the last window.
        origin: Which of the version's rows the window was compared with.
    """

    outcome: DriftOutcome
    drifted: tuple[str, ...]
    suspected: tuple[str, ...]
    unjudged: tuple[str, ...]
    segments: dict[str, DriftOutcome]
    findings: tuple[Finding, ...]
    streaks: dict[str, int]
    origin: Origin = "test"

    @property
    def reason(self) -> str:
        """One sentence for people."""
        judged = [finding for finding in self.findings if finding.judged]
        if self.drifted:
            return f"{self._listed(self.drifted)} drifted from the version's {self.origin} rows"
        if self.suspected:
            return f"{self._listed(self.suspected)} may have drifted; not proven yet"
        if not judged:
            return "too few rows to judge any column"
        columns = len({f.column for f in self.findings if f.question != "together"})
        of = f" of {len(self.segments)} segments and the whole" if self.segments else ""
        return f"no drift in {len(judged)} comparisons over {columns} columns{of}"

    def _listed(self, subjects: tuple[str, ...]) -> str:
        """Return what moved, the most first; of many the first few and how many more.

        A segment's column is not named where the column moved as a whole.
        """
        effects: dict[str, float] = {}
        whole = {f.subject: f.column for f in self.findings if f.segment}
        for finding in self.findings:
            effects[finding.subject] = max(effects.get(finding.subject, 0.0), finding.effect)
        told = [one for one in subjects if whole.get(one) not in subjects]
        ranked = sorted(told, key=lambda one: (-effects.get(one, 0.0), one))
        if len(ranked) <= _NAMED + 1:
            return " and ".join([", ".join(ranked[:-1]), ranked[-1]]) if len(ranked) > 1 else ranked[0]
        return f"{', '.join(ranked[:_NAMED])} and {len(ranked) - _NAMED} more columns"

    def to_verdict(self, subject: str, at_us: int, version: str = "") -> Verdict:
        """Return the shared value: PASS for no drift, FAIL for drift."""
        return Verdict("drift", subject, _OUTCOMES[self.outcome], self.reason, self._evidence(), at_us, version)

    def _evidence(self) -> dict[str, Any]:
        """Return what people and pages need; the counts that all of it follows from are kept with the window.

        Of segments only what moved: twenty of them with fifty columns would be thousands of lines.
        """
        columns: dict[str, dict[str, Any]] = {}
        moved = {*self.drifted, *self.suspected}
        for finding in self.findings:
            if finding.segment and finding.subject not in moved:
                continue
            columns.setdefault(finding.subject, {})[finding.question] = {
                "alarm": finding.alarm,
                "judged": finding.judged,
                "effect": finding.effect,
                "floor": finding.floor,
                "p_corrected": finding.p_corrected,
                "rows": finding.window_rows,
            }
        return {
            "drifted": list(self.drifted),
            "suspected": list(self.suspected),
            "unjudged": list(self.unjudged),
            "segments": self.segments,
            "streaks": self.streaks,
            "columns": columns,
            "origin": self.origin,
        }


def judge(references: References, windows: Iterable[Mapping[str, Counts]], policy: DriftPolicy) -> DriftVerdict:
    """Judge consecutive windows, oldest first, from nothing: the same answer as carrying the state along.

    Raises:
        InputError: There is no window, or one lacks a column.

    Example:
        >>> from falaj.monitoring.references import fit_references
        >>> references = fit_references({"amount": range(1000)})
        >>> moved = references.count({"amount": range(500, 1500)})
        >>> judge(references, [moved], DriftPolicy(persistence=2)).outcome
        'INCONCLUSIVE'
        >>> judge(references, [moved, moved], DriftPolicy(persistence=2)).drifted
        ('amount',)
    """
    state, verdict = DriftState(), None
    for window in windows:
        state, verdict = advance(state, examine(references, window, policy), policy)
    if verdict is None:
        raise InputError("there is no window to judge", hint="count at least one window of decisions")
    return verdict


def advance(state: DriftState, findings: tuple[Finding, ...], policy: DriftPolicy) -> tuple[DriftState, DriftVerdict]:
    """Count one window's alarms on from the windows before it; a window without rows enough changes no streak."""
    streaks = dict(state.streaks)
    for finding in findings:
        if finding.judged:
            streaks[finding.key] = streaks.get(finding.key, 0) + 1 if finding.alarm else 0
    streaks = {key: number for key, number in streaks.items() if number}
    drifted = {f.subject for f in findings if f.judged and streaks.get(f.key, 0) >= policy.persistence}
    suspected = {f.subject for f in findings if f.judged and f.effect >= f.floor and f.p_value < policy.alpha} - drifted
    unjudged = {f.column for f in findings if not f.judged and not f.segment}
    segments = {
        segment: _outcome(tuple(f for f in findings if f.segment == segment), drifted, suspected)
        for segment in sorted({f.segment for f in findings if f.segment})
    }
    verdict = DriftVerdict(
        outcome=_outcome(findings, drifted, suspected),
        drifted=tuple(sorted(drifted)),
        suspected=tuple(sorted(suspected)),
        unjudged=tuple(sorted(unjudged)),
        segments=segments,
        findings=findings,
        streaks=streaks,
        origin=policy.reference,
    )
    return DriftState(streaks), verdict


def _outcome(findings: tuple[Finding, ...], drifted: set[str], suspected: set[str]) -> DriftOutcome:
    subjects = {finding.subject for finding in findings}
    if subjects & drifted:
        return "DRIFT"
    judged = any(finding.judged for finding in findings)
    return "NO_DRIFT" if judged and not subjects & suspected else "INCONCLUSIVE"
