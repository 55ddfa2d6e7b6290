"""Questions about each column of a window, answered with p-values corrected over all of them.

Have its values moved? Has its missing share changed? Does it bring values that the reference never held? A
prediction score is a column like any other; of texts it is asked how long they are and how many of their words are
new; of all inputs, whether they still go together as they did; and of each segment the same as of the whole.
"""

from collections.abc import Iterator, Mapping
from typing import Literal

import msgspec
import numpy as np

from falaj.definitions.monitor import Monitor
from falaj.kernel.codec import to_builtins
from falaj.kernel.errors import InputError
from falaj.monitoring.histogram import Counts
from falaj.monitoring.many_tables import compare_tables
from falaj.monitoring.numeric_reference import NumericReference
from falaj.monitoring.reference import Reference
from falaj.monitoring.references import TOGETHER, Origin, References
from falaj.monitoring.text_reference import TextReference
from falaj.monitoring.together import Together
from falaj.monitoring.two_sample import (
    benjamini_hochberg,
    compare,
    holm,
    rate_change_p_value,
    rate_p_value,
)

Question = Literal["values", "missing", "unfamiliar", "length", "vocabulary", "together"]


class DriftPolicy(msgspec.Struct, frozen=True):
    """When a difference is an alarm.

    Attributes:
        alpha: Corrected false-alarm probability of one window, over all columns and questions.
        persistence: Consecutive windows in which the same question must alarm before it is drift.
        psi_floor: Least PSI, beyond what sampling gives, that matters; a shift of s standard deviations of a normal
            column gives about s squared.
        rate_floor: Least change of a missing or unfamiliar share that matters, as a fraction of all rows.
        min_rows: Fewer rows, in the reference or the window, are inconclusive.
        min_segment_rows: The same for the rows of a segment.
        max_groups: Most groups that ordered values are compared in.
        reference: Which of the version's rows a window is compared with.
        correction: "holm" bounds the chance of any false alarm, "bh" the share of false ones.
    """

    alpha: float = 0.01
    persistence: int = 2
    psi_floor: float = 0.1
    rate_floor: float = 0.02
    min_rows: int = 200
    min_segment_rows: int = 100
    max_groups: int = 20
    reference: Origin = "test"
    correction: Literal["holm", "bh"] = "holm"

    @classmethod
    def of(cls, monitor: Monitor) -> "DriftPolicy":
        """Return the policy that a monitor's definition asks for; a window half full is enough to judge.

        A window of time has as many rows as came, and needs a hundred.
        """
        return cls(
            alpha=monitor.alpha,
            persistence=monitor.persistence,
            psi_floor=monitor.psi_floor,
            min_rows=100 if isinstance(monitor.window, str) else max(100, monitor.window // 2),
            reference=monitor.reference,
        )


class Finding(msgspec.Struct, frozen=True):
    """The answer to one question about one column in one window.

    Attributes:
        column: The feature, or the score; of "together" the pair that changed most, as "one and other".
        question: "values", "missing" (null or NaN), "unfamiliar" (out of the reference's range, or unseen); of texts
            "length" and "vocabulary" (the share of a text's words that are new); of pairs "together".
        judged: Whether there were rows enough.
        alarm: Whether the effect is above its floor and the corrected p-value below alpha.
        p_value: Before correction.
        p_corrected: After it; 1 where not judged.
        effect: PSI beyond sampling, or the change of the share.
        floor: The least effect that matters.
        reference_rows: Rows of the reference that the question is about.
        window_rows: Rows of the window that it is about.
        figures: What else was measured, such as psi, chi_square, groups, shift, or the two shares.
        segment: Whose rows it is about, such as "country=AE"; empty for all.
    """

    column: str
    question: Question
    judged: bool
    alarm: bool
    p_value: float
    p_corrected: float
    effect: float
    floor: float
    reference_rows: int
    window_rows: int
    figures: dict[str, float]
    segment: str = ""

    @property
    def key(self) -> str:
        """The segment, column and question, under which agreement between windows is counted."""
        if self.question == "together":
            return TOGETHER
        return f"{self.segment}/{self.column}/{self.question}" if self.segment else f"{self.column}/{self.question}"

    @property
    def subject(self) -> str:
        """What it is about, in words."""
        if self.question == "together":
            return f"how {self.column} go together"
        return f"{self.column} where {self.segment}" if self.segment else self.column


def examine(references: References, window: Mapping[str, Counts], policy: DriftPolicy) -> tuple[Finding, ...]:
    """Answer every question about every column for one window, with p-values corrected over all of them.

    Args:
        references: What to compare with.
        window: As `references.count` gives it.
        policy: When a difference is an alarm.

    Raises:
        InputError: The window lacks a column, or was counted with other cells.
    """
    for key, cells in references.cells().items():
        counts = window.get(key)
        if counts is None or counts.size != len(cells):
            raise InputError(
                f"the window has no counts for column {key!r} in its reference's cells",
                hint="count each window with the model version's own references",
            )
    findings = [
        one for name, ref in sorted(references.columns.items()) for one in _questions(name, ref, window[name], policy)
    ]
    if references.together is not None:
        findings += _together(references.together, window[TOGETHER], policy)
    for segment, columns in sorted(references.segments.items()):
        within = msgspec.structs.replace(policy, min_rows=policy.min_segment_rows)
        for name, reference in sorted(columns.items()):
            asked = _questions(name, reference, window[f"{segment}/{name}"], within)
            findings += [msgspec.structs.replace(one, segment=segment) for one in asked]
    return tuple(_corrected(findings, policy))


def _questions(column: str, reference: Reference, window: Counts, policy: DriftPolicy) -> list[Finding]:
    r = np.asarray(reference.counts, dtype=np.int64)
    if isinstance(reference, TextReference):
        return _text_questions(column, reference, r, window, policy)
    missing = -2 if isinstance(reference, NumericReference) else -1
    rows, present = (int(r.sum()), int(window.sum())), (int(r[:missing].sum()), int(window[:missing].sum()))
    findings = []
    if any(rows):
        findings.append(_missing(column, rows, (rows[0] - present[0], rows[1] - present[1]), policy))
    if any(present):
        ordered = isinstance(reference, NumericReference)
        findings.append(_values((column, "values"), r[:missing], window[:missing], policy, ordered=ordered))
        findings.append(_unfamiliar(column, reference, r[:missing], window[:missing], policy))
    return findings


def _text_questions(column: str, reference: TextReference, r: Counts, w: Counts, policy: DriftPolicy) -> list[Finding]:
    halves = list(zip(reference.split(r), reference.split(w), strict=True))
    rows = tuple(int(length.sum() + counts[-1]) for length, counts in zip(halves[0], (r, w), strict=True))
    findings = []
    if any(rows):
        findings.append(_missing(column, (rows[0], rows[1]), (int(r[-1]), int(w[-1])), policy))
    questions: tuple[Question, ...] = ("length", "vocabulary")
    for question, (ours, theirs) in zip(questions, halves, strict=True):
        if ours.sum() or theirs.sum():
            findings.append(_values((column, question), ours, theirs, policy, ordered=True))
    return findings


def _together(together: Together, window: Counts, policy: DriftPolicy) -> Iterator[Finding]:
    """Answer whether any pair goes together otherwise, as one question whose p-value is corrected for all pairs.

    The effect is what a pair's PSI has beyond that of its two columns: where they only moved each by itself that is
    nothing, and their own questions tell. Told is the pair with the least p-value among those with an effect.
    """
    pairs = list(together.pairs)
    if not pairs:
        return
    ours, theirs = together.tables(np.asarray(together.counts, dtype=np.int64)), together.tables(window)
    p_values, excess = compare_tables(ours.reshape(len(pairs), -1), theirs.reshape(len(pairs), -1))
    alone = [compare_tables(ours.sum(axis), theirs.sum(axis))[1] for axis in (1, 2)]
    effects = np.maximum(0.0, excess - alone[0] - alone[1])
    told = int(np.lexsort((p_values, effects < policy.psi_floor))[0])
    yield _finding(
        (" and ".join(pairs[told]), "together"),
        (int(ours[0].sum()), int(theirs[0].sum())),
        policy,
        p_value=min(1.0, len(pairs) * float(p_values[told])),
        effect=float(effects[told]),
        floor=policy.psi_floor,
        figures={"pairs": float(len(pairs)), "psi_excess": float(excess[told])},
    )


def _values(name: tuple[str, Question], r: Counts, w: Counts, policy: DriftPolicy, *, ordered: bool) -> Finding:
    comparison = compare(r, w, max_groups=policy.max_groups, ordered=ordered)
    return _finding(
        name,
        (int(r.sum()), int(w.sum())),
        policy,
        p_value=comparison.p_value,
        effect=comparison.psi_excess,
        floor=policy.psi_floor,
        figures={key: float(value) for key, value in to_builtins(comparison).items()},
    )


def _missing(column: str, rows: tuple[int, int], hits: tuple[int, int], policy: DriftPolicy) -> Finding:
    share = (hits[0] / max(rows[0], 1), hits[1] / max(rows[1], 1))
    return _finding(
        (column, "missing"),
        rows,
        policy,
        p_value=rate_change_p_value(hits[0], rows[0], hits[1], rows[1]),
        effect=abs(share[1] - share[0]),
        floor=policy.rate_floor,
        figures={"reference_share": share[0], "window_share": share[1]},
    )


def _unfamiliar(column: str, reference: Reference, r: Counts, w: Counts, policy: DriftPolicy) -> Finding:
    rows = (int(r.sum()), int(w.sum()))
    # Each side is asked alone: the chance of k above *or* below is greater than that of k in one given cell.
    sides = (0, -1) if isinstance(reference, NumericReference) else (-1,)
    p_value = min(1.0, len(sides) * min(rate_p_value(int(r[side]), rows[0], int(w[side]), rows[1]) for side in sides))
    share = tuple(sum(int(counts[side]) for side in sides) / max(counts.sum(), 1) for counts in (r, w))
    return _finding(
        (column, "unfamiliar"),
        rows,
        policy,
        p_value=p_value,
        effect=max(0.0, float(share[1] - share[0])),
        floor=policy.rate_floor,
        figures={"reference_share": float(share[0]), "window_share": float(share[1])},
    )


def _finding(
    name: tuple[str, Question],
    rows: tuple[int, int],
    policy: DriftPolicy,
    *,
    p_value: float,
    effect: float,
    floor: float,
    figures: dict[str, float],
) -> Finding:
    judged = min(rows) >= policy.min_rows
    return Finding(
        *name,
        judged=judged,
        alarm=False,
        p_value=p_value,
        p_corrected=1.0,
        effect=effect,
        floor=floor,
        reference_rows=rows[0],
        window_rows=rows[1],
        figures=figures,
    )


def _corrected(findings: list[Finding], policy: DriftPolicy) -> list[Finding]:
    asked = [finding for finding in findings if finding.judged]
    correct = holm if policy.correction == "holm" else benjamini_hochberg
    p_values = iter(correct(np.array([finding.p_value for finding in asked])).tolist())
    result = []
    for finding in findings:
        p = next(p_values) if finding.judged else 1.0
        alarm = finding.judged and p < policy.alpha and finding.effect >= finding.floor
        result.append(msgspec.structs.replace(finding, p_corrected=p, alarm=alarm))
    return result
