"""Fairness: how groups of people were decided about, as counts that every rate and interval is made of."""

from collections.abc import Sequence

import msgspec
import numpy as np

from falaj.models.parts import MISSING, Sides
from falaj.models.proportions import Share, difference, share

RATES = ("selection rate", "true positive rate", "false positive rate")
MOST_GROUPS = 50


class Group(msgspec.Struct, frozen=True):
    """How one group was decided about.

    Attributes:
        value: The group's value of the attribute.
        positives: Rows whose label is 1.
        negatives: Rows whose label is 0.
        true_positives: Of the positives, those decided positive.
        false_positives: Of the negatives, those decided positive.
    """

    value: str
    positives: int
    negatives: int
    true_positives: int
    false_positives: int

    @property
    def rows(self) -> int:
        """Rows of either label."""
        return self.positives + self.negatives

    def counts(self, rate: str) -> tuple[int, int]:
        """Return the hits and the rows of one of `RATES`."""
        if rate == "true positive rate":
            return self.true_positives, self.positives
        if rate == "false positive rate":
            return self.false_positives, self.negatives
        return self.true_positives + self.false_positives, self.rows

    def rate(self, rate: str) -> Share | None:
        """Return one of `RATES` with its interval; None where no row defines it."""
        hits, rows = self.counts(rate)
        return share(hits, rows) if rows else None


class Groups(msgspec.Struct, frozen=True):
    """How the groups of one attribute were decided about.

    Attributes:
        attribute: The column.
        groups: The largest first; rows whose value is not known are the group "(missing)".
        left_out: How many rarer groups are not among them.
        left_out_rows: How many rows those have.
    """

    attribute: str
    groups: tuple[Group, ...]
    left_out: int = 0
    left_out_rows: int = 0

    @property
    def rows(self) -> int:
        """All rows, those of no known group and of rarer groups too."""
        return self.left_out_rows + sum(group.rows for group in self.groups)

    @property
    def unknown(self) -> int:
        """Rows of no known group."""
        return sum(group.rows for group in self.groups if not is_known(group))


class Gap(msgspec.Struct, frozen=True):
    """The largest difference of a rate between two groups.

    Attributes:
        rate: Which rate.
        most: The group where it is greatest, of the pair that differs most.
        least: The other.
        value: The difference.
        low: Lower end of its 95 % interval.
        high: Upper end.
        at_most: What no pair's difference exceeds, as far as 95 % intervals show.
        at_least: What some pair's difference exceeds, by intervals that hold for all pairs together.
    """

    rate: str
    most: str
    least: str
    value: float
    low: float
    high: float
    at_most: float
    at_least: float


def count_groups(attribute: str, texts: Sequence[str], sides: Sides, required: Sequence[str] = ()) -> Groups:
    """Count how the groups of an attribute were decided about.

    Args:
        attribute: The column.
        texts: Its values as text, (rows,).
        sides: The scores, labels and threshold.
        required: Groups that are counted however rare they are; rows of no known group always are.
    """
    decided, positive = sides.candidate >= sides.threshold, sides.labels == 1
    values, positions, counts = np.unique(np.asarray(texts, object), return_inverse=True, return_counts=True)
    ranked = np.argsort(-counts, kind="stable").tolist()
    named = {MISSING, *required}
    kept = [i for place, i in enumerate(ranked) if place < MOST_GROUPS or values[i] in named]
    found = []
    for i in kept:
        inside = positions == i
        cells = (inside & positive, inside & ~positive, inside & positive & decided, inside & ~positive & decided)
        found.append(Group(str(values[i]), *(int(cell.sum()) for cell in cells)))
    return Groups(attribute, tuple(found), len(values) - len(kept), int(counts.sum() - counts[kept].sum()))


def widest_gap(groups: Sequence[Group], rate: str) -> Gap:
    """Return the largest difference of a rate between any two groups.

    A pair's interval says what it does not exceed; that all pairs keep a bound needs no correction, since all must.
    That some pair breaks it needs one, for of many pairs one differs by chance: those intervals share 5 % among them.

    Args:
        groups: Two or more, each with rows that define the rate.
        rate: One of `RATES`.

    Example:
        >>> gap = widest_gap([Group("a", 100, 900, 80, 90), Group("b", 100, 900, 60, 90)], "true positive rate")
        >>> gap.most, gap.least, round(gap.value, 2), gap.low > 0.05
        ('a', 'b', 0.2, True)
    """
    pairs = [(one, other) for i, one in enumerate(groups) for other in groups[i + 1 :]]
    each = [difference(one.counts(rate), other.counts(rate)) for one, other in pairs]
    together = 1 - 0.05 / len(pairs)
    corrected = [difference(one.counts(rate), other.counts(rate), together) for one, other in pairs]
    worst = max(range(len(pairs)), key=lambda i: abs(each[i].value))
    (one, other), found = pairs[worst], each[worst]
    if found.value < 0:
        one, other = other, one
        found = Share(-found.value, -found.high, -found.low, found.count)
    return Gap(
        rate,
        one.value,
        other.value,
        found.value,
        found.low,
        found.high,
        max(max(abs(gap.low), abs(gap.high)) for gap in each),
        max(0.0, *(max(gap.low, -gap.high) for gap in corrected)),
    )


def is_known(group: Group) -> bool:
    """Return whether the rows of a group say which group they are of."""
    return group.value != MISSING
