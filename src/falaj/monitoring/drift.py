"""Has a column drifted? An effect that matters, a corrected p-value, enough rows, and windows in a row that agree."""

from collections.abc import Iterable, Mapping
from typing import Any, Literal

import msgspec

from falaj.definitions.verdict import Outcome, Verdict
from falaj.kernel.errors import InputError
from falaj.monitoring.histogram import Counts, Reference
from falaj.monitoring.questions import DriftPolicy, Finding, examine

DriftOutcome = Literal["DRIFT", "NO_DRIFT", "INCONCLUSIVE"]
_OUTCOMES: dict[DriftOutcome, Outcome] = {"DRIFT": "FAIL", "NO_DRIFT": "PASS", "INCONCLUSIVE": "INCONCLUSIVE"}


_NAMED = 3
"""Columns that a sentence names before it counts the rest."""


class DriftState(msgspec.Struct, frozen=True):
    """What is kept between windows: how many in a row alarmed, per column and question."""

    streaks: dict[str, int] = {}


class DriftVerdict(msgspec.Struct, frozen=True):
    """What one or several consecutive windows say.

    Attributes:
        outcome: DRIFT when any question alarmed often enough in a row; INCONCLUSIVE when one alarms but not yet
            often enough, or only before correction, or when nothing had rows enough; NO_DRIFT otherwise.
        drifted: The columns that drifted.
        suspected: Columns that alarm but not yet often enough, or only before correction.
        unjudged: Columns for which some question had too few rows.
        findings: Every answer for the last window.
        streaks: Alarms in a row per column and question, up to and with the last window.
    """

    outcome: DriftOutcome
    drifted: tuple[str, ...]
    suspected: tuple[str, ...]
    unjudged: tuple[str, ...]
    findings: tuple[Finding, ...]
    streaks: dict[str, int]

    @property
    def reason(self) -> str:
        """One sentence for people."""
        judged = sum(finding.judged for finding in self.findings)
        if self.drifted:
            return f"{self._listed(self.drifted)} drifted from the version's test rows"
        if self.suspected:
            return f"{self._listed(self.suspected)} may have drifted; not proven yet"
        if not judged:
            return "too few rows to judge any column"
        return f"no drift in {judged} comparisons over {len({f.column for f in self.findings})} columns"

    def _listed(self, columns: tuple[str, ...]) -> str:
        """Return the columns' names, the most moved first; of many the first few and how many more."""
        effects: dict[str, float] = {}
        for finding in self.findings:
            effects[finding.column] = max(effects.get(finding.column, 0.0), finding.effect)
        ranked = sorted(columns, key=lambda column: (-effects.get(column, 0.0), column))
        if len(ranked) <= _NAMED + 1:
            return " and ".join([", ".join(ranked[:-1]), ranked[-1]]) if len(ranked) > 1 else ranked[0]
        return f"{', '.join(ranked[:_NAMED])} and {len(ranked) - _NAMED} more columns"

    def to_verdict(self, subject: str, at_us: int, version: str = "") -> Verdict:
        """Return the shared value: PASS for no drift, FAIL for drift."""
        return Verdict("drift", subject, _OUTCOMES[self.outcome], self.reason, self._evidence(), at_us, version)

    def _evidence(self) -> dict[str, Any]:
        """Return what people and pages need; the counts that all of it follows from are kept with the window."""
        columns: dict[str, dict[str, Any]] = {}
        for finding in self.findings:
            columns.setdefault(finding.column, {})[finding.question] = {
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
            "streaks": self.streaks,
            "columns": columns,
        }


def judge(
    references: Mapping[str, Reference], windows: Iterable[Mapping[str, Counts]], policy: DriftPolicy
) -> DriftVerdict:
    """Judge consecutive windows, oldest first, from nothing: the same answer as carrying the state along.

    Raises:
        InputError: There is no window, or one lacks a column.

    Example:
        >>> from falaj.monitoring.histogram import NumericReference
        >>> reference = NumericReference.fit(range(1000))
        >>> moved = {"amount": reference.count(range(500, 1500))}
        >>> judge({"amount": reference}, [moved], DriftPolicy(persistence=2)).outcome
        'INCONCLUSIVE'
        >>> judge({"amount": reference}, [moved, moved], DriftPolicy(persistence=2)).drifted
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
    drifted = {f.column for f in findings if f.judged and streaks.get(f.key, 0) >= policy.persistence}
    suspected = {f.column for f in findings if f.judged and f.effect >= f.floor and f.p_value < policy.alpha} - drifted
    unjudged = {f.column for f in findings if not f.judged}
    outcome: DriftOutcome = "NO_DRIFT"
    if drifted:
        outcome = "DRIFT"
    elif suspected or not any(finding.judged for finding in findings):
        outcome = "INCONCLUSIVE"
    columns = (tuple(sorted(drifted)), tuple(sorted(suspected)), tuple(sorted(unjudged)))
    return DriftState(streaks), DriftVerdict(outcome, *columns, findings, streaks)
