"""Three questions about each column of a window, answered with p-values corrected over all of them.

Have its values moved? Has its missing share changed? Does it bring values that the reference never held? A
prediction score is a column like any other.
"""

from collections.abc import Mapping
from typing import Literal

import msgspec
import numpy as np

from falaj.definitions.monitor import Monitor
from falaj.kernel.codec import to_builtins
from falaj.kernel.errors import InputError
from falaj.monitoring.histogram import Counts, NumericReference, Reference
from falaj.monitoring.two_sample import (
    benjamini_hochberg,
    compare,
    holm,
    rate_change_p_value,
    rate_p_value,
)

Question = Literal["values", "missing", "unfamiliar"]


class DriftPolicy(msgspec.Struct, frozen=True):
    """When a difference is an alarm.

    Attributes:
        alpha: Corrected false-alarm probability of one window, over all columns and questions.
        persistence: Consecutive windows in which the same question must alarm before it is drift.
        psi_floor: Least PSI, beyond what sampling gives, that matters; a shift of s standard deviations of a normal
            column gives about s squared.
        rate_floor: Least change of a missing or unfamiliar share that matters, as a fraction of all rows.
        min_rows: Fewer rows, in the reference or the window, are inconclusive.
        max_groups: Most groups that ordered values are compared in.
        correction: "holm" bounds the chance of any false alarm, "bh" the share of false ones.
    """

    alpha: float = 0.01
    persistence: int = 2
    psi_floor: float = 0.1
    rate_floor: float = 0.02
    min_rows: int = 200
    max_groups: int = 20
    correction: Literal["holm", "bh"] = "holm"

    @classmethod
    def of(cls, monitor: Monitor) -> "DriftPolicy":
        """Return the policy that a monitor's definition asks for; a window half full is enough to judge."""
        return cls(
            alpha=monitor.alpha,
            persistence=monitor.persistence,
            psi_floor=monitor.psi_floor,
            min_rows=max(100, monitor.window // 2),
        )


class Finding(msgspec.Struct, frozen=True):
    """The answer to one question about one column in one window.

    Attributes:
        column: The feature, or the score.
        question: "values", "missing" (null or NaN) or "unfamiliar" (out of the reference's range, or unseen).
        judged: Whether there were rows enough.
        alarm: Whether the effect is above its floor and the corrected p-value below alpha.
        p_value: Before correction.
        p_corrected: After it; 1 where not judged.
        effect: PSI beyond sampling, or the change of the share.
        floor: The least effect that matters.
        reference_rows: Rows of the reference that the question is about.
        window_rows: Rows of the window that it is about.
        figures: What else was measured, such as psi, chi_square, groups, shift, or the two shares.
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

    @property
    def key(self) -> str:
        """The column and the question, under which agreement between windows is counted."""
        return f"{self.column}/{self.question}"


def examine(
    references: Mapping[str, Reference], window: Mapping[str, Counts], policy: DriftPolicy
) -> tuple[Finding, ...]:
    """Answer every question about every column for one window, with p-values corrected over all of them.

    Raises:
        InputError: The window lacks a column, or was counted with other cells.
    """
    findings = []
    for column, reference in sorted(references.items()):
        counts = window.get(column)
        if counts is None or counts.size != len(reference.counts):
            raise InputError(
                f"the window has no counts for column {column!r} in its reference's cells",
                hint="count each window with the model version's own references",
            )
        findings += _questions(column, reference, counts, policy)
    return tuple(_corrected(findings, policy))


def _questions(column: str, reference: Reference, window: Counts, policy: DriftPolicy) -> list[Finding]:
    r = np.asarray(reference.counts, dtype=np.int64)
    missing = -2 if isinstance(reference, NumericReference) else -1
    rows, present = (int(r.sum()), int(window.sum())), (int(r[:missing].sum()), int(window[:missing].sum()))
    findings = []
    if any(rows):
        findings.append(_missing(column, rows, (rows[0] - present[0], rows[1] - present[1]), policy))
    if any(present):
        findings.append(_values(column, reference, r[:missing], window[:missing], policy))
        findings.append(_unfamiliar(column, reference, r[:missing], window[:missing], policy))
    return findings


def _values(column: str, reference: Reference, r: Counts, w: Counts, policy: DriftPolicy) -> Finding:
    comparison = compare(r, w, max_groups=policy.max_groups, ordered=isinstance(reference, NumericReference))
    return _finding(
        (column, "values"),
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
