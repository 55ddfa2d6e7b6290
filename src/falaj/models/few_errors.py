"""Intervals of metrics, and of their changes, that hold where a model errs in few rows or in none.

The gate takes the union of these and of the bootstrap's: each alone holds the truth too seldom, Wilson's of a share as
well, in its own dips. Each metric is written as a mean over independent rows, or as a sum of two such means, whose
distances add in squares (Zou and Donner, 2008). Log loss has no bound, and no such interval.
"""

import math
from collections.abc import Mapping
from types import MappingProxyType

import numpy as np

from falaj.models.bootstrap import Interval
from falaj.models.bounded_means import change_between, mean_between
from falaj.models.metrics import Floats, Scored
from falaj.models.misplaced import intruders, misplaced, precision_at

Ends = tuple[float, float]


def with_few_errors(scored: Scored, intervals: Mapping[str, Interval]) -> dict[str, Interval]:
    """Return bootstrap intervals, widened to what few errors allow.

    Args:
        scored: The rows.
        intervals: By metric.

    Example:
        >>> perfect = Scored(np.repeat([0.9, 0.1], [10, 90]), np.repeat([1, 0], [10, 90]), 0.5)
        >>> found = with_few_errors(perfect, {"recall": Interval(1.0, 1.0, 1_000)})["recall"]
        >>> round(found.low, 3), found.high
        (0.722, 1.0)
    """
    rows = _Rows(scored)
    return {name: _joined(interval, rows.ends(name)) for name, interval in intervals.items()}


def with_few_changes(candidate: Scored, production: Scored, changes: Mapping[str, Interval]) -> dict[str, Interval]:
    """Return bootstrap intervals of changes, widened to what few rows that changed allow.

    Args:
        candidate: The rows as the candidate scores them.
        production: The same as production does.
        changes: By metric.

    Example:
        >>> same = Scored(np.repeat([0.9, 0.1], [10, 90]), np.repeat([1, 0], [10, 90]), 0.5)
        >>> found = with_few_changes(same, same, {"recall": Interval(0.0, 0.0, 1_000)})["recall"]
        >>> round(found.low, 3), round(found.high, 3)
        (-0.278, 0.278)
    """
    pair = _Pair(_Rows(candidate), _Rows(production))
    return {name: _joined(interval, pair.ends(name)) for name, interval in changes.items()}


def relative_to(
    changes: Mapping[str, Interval],
    baseline: Mapping[str, float | None],
    shares: Mapping[str, Interval] = MappingProxyType({}),
) -> dict[str, Interval]:
    """Return bootstrap intervals of changes as shares of production's value, no narrower than the changes are.

    Args:
        changes: By metric.
        baseline: Production's values.
        shares: The bootstrap's, by metric.
    """
    found = {}
    for name, interval in shares.items():
        before = abs(baseline.get(name) or 0.0)
        ends = (changes[name].low / before, changes[name].high / before) if before and name in changes else None
        found[name] = _joined(interval, ends)
    return found


def _joined(interval: Interval, ends: Ends | None) -> Interval:
    if ends is None:
        return interval
    low, high = float(min(interval.low, ends[0])), float(max(interval.high, ends[1]))  # a report knows no NumPy
    return Interval(low, high, interval.resamples)


class _Rows:
    """One model's rows, as the means that its metrics are made of."""

    def __init__(self, scored: Scored) -> None:
        self.scored = scored
        self.positive = scored.labels == 1
        self.chosen = scored.scores >= scored.threshold
        self.wrong = (self.chosen != self.positive).astype(np.float64)
        self.error = (scored.scores - scored.labels) ** 2

    def ends(self, name: str) -> Ends | None:
        """Return the ends of a metric's interval; None for one that has no bound."""
        if name in ("recall", "accuracy", "precision"):
            of = {"recall": self.positive, "precision": self.chosen}.get(name)
            low, high = mean_between(self.wrong if of is None else self.wrong[of])
            return 1 - high, 1 - low
        if name == "f1":  # 2J / (1 + J), where J is the share of right rows among those that are or are called positive
            low, high = mean_between(self.wrong[self.positive | self.chosen])
            return 2 * (1 - high) / (2 - high), 2 * (1 - low) / (2 - low)
        if name == "brier":
            return mean_between(np.clip(self.error, 0, 1))
        if name == "cost" and self.scored.cost is not None:
            return self._cost()
        if name in ("auc", "average_precision", "ece"):
            return {"auc": self._auc, "average_precision": self._average_precision, "ece": self._ece}[name]()
        return None

    def _auc(self) -> Ends:
        above, below = misplaced(self.scored)
        loss = float(above.mean())
        ends = [mean_between(losses) for losses in (above, below)]
        down = math.hypot(*(end[1] - loss for end in ends))
        up = math.hypot(*(loss - end[0] for end in ends))
        return max(0.0, 1 - loss - down), min(1.0, 1 - loss + up)

    def _average_precision(self) -> Ends:
        precision = precision_at(self.scored)
        value = float(precision.mean())
        low, high = mean_between(1 - precision)
        down = math.hypot(value - (1 - high), intruders(misplaced(self.scored)[1], len(precision)))
        return max(0.0, value - down), max(value, 1 - low)

    def _ece(self) -> Ends:
        """A row that is wrong by the whole adds as much to the calibration error as to the Brier score, or less."""
        weights = np.ones((1, len(self.error)))
        value = float(self.scored.measure(weights, ["ece"])["ece"][0])
        return value, value + mean_between(np.clip(self.error, 0, 1))[1] - float(self.error.mean())

    def _cost(self) -> Ends:
        cost = self.scored.cost
        assert cost is not None
        parts = (
            (self.positive, cost.true_positive, cost.false_negative),
            (~self.positive, cost.true_negative, cost.false_positive),
        )
        value, down, up = 0.0, 0.0, 0.0
        for rows, right, wrong in parts:
            share, errors = rows.mean(), self.wrong[rows]
            mean, (low, high) = float(errors.mean()) if len(errors) else 0.0, mean_between(errors)
            moves = sorted(share * (wrong - right) * (end - mean) for end in (low, high))
            value += share * (right + (wrong - right) * mean)
            down, up = math.hypot(down, moves[0]), math.hypot(up, moves[1])
        return value - down, value + up


class _Pair:
    """Two models' rows, as the means that the changes between their metrics are made of."""

    def __init__(self, candidate: _Rows, production: _Rows) -> None:
        self.one, self.other = candidate, production
        self.positive = candidate.positive

    def ends(self, name: str) -> Ends | None:
        """Return the ends of the interval of a metric's change; None for one that has no bound."""
        righter = self.other.wrong - self.one.wrong
        if name in ("recall", "accuracy"):
            return change_between(righter[self.positive] if name == "recall" else righter)
        if name == "precision":
            return self._of_chosen()
        if name == "f1":
            return self._f1()
        if name in ("brier", "ece"):
            return self._losses(name)
        if name == "cost" and self.one.scored.cost is not None:
            return self._cost(righter)
        if name in ("auc", "average_precision"):
            return self._ranked(name)
        return None

    def _of_chosen(self) -> Ends:
        """Precisions rest on other rows each: each row has its pull on the difference, over those that either chose."""
        if not (self.one.chosen.any() and self.other.chosen.any()):
            return -1.0, 1.0  # of a model that decides nothing the precision is not known
        pulls, value = 0.0, 0.0
        for sign, rows in ((1, self.one), (-1, self.other)):
            precision = float(self.positive[rows.chosen].mean())
            pulls = pulls + sign * rows.chosen * (self.positive - precision) / rows.chosen.sum()
            value += sign * precision
        fewest = min(self.one.chosen.sum(), self.other.chosen.sum())
        return _pulled(np.asarray(pulls)[self.one.chosen | self.other.chosen], value, float(fewest))

    def _f1(self) -> Ends:
        pulls, value, fewest = 0.0, 0.0, math.inf
        for sign, rows in ((1, self.one), (-1, self.other)):
            hit = 2.0 * (rows.chosen & self.positive)
            whole = hit + rows.wrong
            f1 = hit.sum() / max(whole.sum(), 1.0)
            pulls = pulls + sign * (hit - f1 * whole) / max(whole.sum(), 1.0)
            value += sign * float(f1)
            fewest = min(fewest, whole.sum() / 2)
        either = self.positive | self.one.chosen | self.other.chosen
        return _pulled(np.asarray(pulls)[either], value, max(fewest, 1.0))

    def _losses(self, name: str) -> Ends:
        moved = np.clip(self.one.error - self.other.error, -1, 1)
        low, high = change_between(moved)
        if name == "brier":
            return low, high
        weights = np.ones((1, len(moved)))
        one, other = (float(rows.scored.measure(weights, ["ece"])["ece"][0]) for rows in (self.one, self.other))
        return one - other + low - float(moved.mean()), one - other + high - float(moved.mean())

    def _cost(self, righter: Floats) -> Ends:
        cost = self.one.scored.cost
        assert cost is not None
        value, down, up = 0.0, 0.0, 0.0
        for rows, spent in (
            (self.positive, cost.false_negative - cost.true_positive),
            (~self.positive, cost.false_positive - cost.true_negative),
        ):
            changes = -righter[rows]
            mean, (low, high) = float(changes.mean()) if len(changes) else 0.0, change_between(changes)
            moves = sorted(float(rows.mean()) * spent * (end - mean) for end in (low, high))
            value += float(rows.mean()) * spent * mean
            down, up = math.hypot(down, moves[0]), math.hypot(up, moves[1])
        return value - down, value + up

    def _ranked(self, name: str) -> Ends:
        sides = [misplaced(rows.scored) for rows in (self.one, self.other)]
        below = sides[1][1] - sides[0][1]
        if name == "auc":
            above = sides[1][0] - sides[0][0]
            ends = [change_between(changes) for changes in (above, below)]
            value = float(above.mean())
            down, up = (math.hypot(*(end[i] - value for end in ends)) for i in (0, 1))
        else:
            above = precision_at(self.one.scored) - precision_at(self.other.scored)
            value, (low, high) = float(above.mean()), change_between(above)
            unseen = intruders(np.abs(below), len(above))
            down, up = math.hypot(low - value, unseen), math.hypot(high - value, unseen)
        return max(-1.0, value - down), min(1.0, value + up)


def _pulled(pulls: Floats, value: float, fewest: float) -> Ends:
    """Return the ends for a difference of ratios, of which the one that rests on fewer rows decides."""
    scale = max(1.0, len(pulls) / fewest)
    # How hard a row pulls hangs on its label: one of the other label would pull harder than all that are seen.
    low, high = change_between(np.clip((len(pulls) * pulls + value) / scale, -1, 1), whole=True)
    return max(-1.0, min(value, scale * low)), min(1.0, max(value, scale * high))
