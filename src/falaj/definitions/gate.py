"""Gate checks: what a version must show before it may move."""

import math
from collections.abc import Sequence
from typing import Literal

import msgspec

from falaj.definitions.declared import Declared
from falaj.definitions.slices import Slices, check_column, check_slices, plain_slices, value_text
from falaj.kernel.errors import DefinitionError

HIGHER_IS_BETTER = {
    "auc": True,
    "average_precision": True,
    "precision": True,
    "recall": True,
    "f1": True,
    "accuracy": True,
    "log_loss": False,
    "brier": False,
    "ece": False,
    "cost": False,
    "rmse": False,
    "mae": False,
    "wape": False,
    "r2": True,
}
REGRESSION = ("rmse", "mae", "wape", "r2")
"""Those of a number against a number; the others are of a probability against 0 or 1."""
PERTURBATIONS = ("missing", "noise", "units", "attack")


class Bound(msgspec.Struct, metaclass=Declared, frozen=True, tag="bound"):
    """An absolute bound on a metric, inclusive.

    Attributes:
        kind: Which side.
        metric: The metric's name.
        bound: The bound.
        slices: Judged in each of these slices too.
        by_interval: Judge the 95 % interval, and not the value alone.
    """

    kind: Literal["at_least", "at_most"]
    metric: str
    bound: float
    slices: Slices = ()
    by_interval: bool = False

    def __post_init__(self) -> None:
        _check_metric(self.kind, self.metric)
        _check_number(self.kind, "bound", self.bound, least=-math.inf)
        check_slices(f"gate {self.kind}", self.slices)

    @property
    def name(self) -> str:
        """How reports call it.

        Example:
            >>> at_least("auc", 0.9).name
            'auc >= 0.9'
        """
        return f"{self.metric} {'>=' if self.kind == 'at_least' else '<='} {self.bound:g}"


class Change(msgspec.Struct, metaclass=Declared, frozen=True, tag="no_worse_than_production"):
    """A bound on the change against production on the same rows, judged by the 95 % interval of the difference.

    Attributes:
        metric: The metric's name.
        by: How much worse it may be; below zero: how much better it must be.
        relative: How much worse it may be as a share of production's value; None for no such bound.
        slices: Judged in each of these slices too.
    """

    metric: str
    by: float = 0.0
    relative: float | None = None
    slices: Slices = ()

    def __post_init__(self) -> None:
        _check_metric("no_worse_than_production", self.metric)
        _check_number("no_worse_than_production", "by", self.by, least=-math.inf)
        if self.relative is not None:
            _check_number("no_worse_than_production", "relative", self.relative, least=-math.inf)
        check_slices("gate no_worse_than_production", self.slices)

    @property
    def name(self) -> str:
        """How reports call it.

        Example:
            >>> no_worse_than_production("auc", by=0.005).name, no_worse_than_production("cost", relative=0.1).name
            ('auc no worse than production by 0.005', 'cost no worse than production by 10%')
        """
        bounds = [f"{self.by:g}"] if self.by or self.relative is None else []
        bounds += [] if self.relative is None else [f"{100 * self.relative:g}%"]
        return f"{self.metric} no worse than production by {' and '.join(bounds)}"


class Latency(msgspec.Struct, metaclass=Declared, frozen=True, tag="latency"):
    """A bound on the time that one row takes in the serving runtime.

    Attributes:
        p99_ms: The time that 99 of 100 rows must stay within, in milliseconds.
    """

    p99_ms: float

    def __post_init__(self) -> None:
        _check_number("latency", "p99_ms", self.p99_ms)

    @property
    def name(self) -> str:
        """How reports call it."""
        return f"p99 <= {self.p99_ms:g} ms"


LEAST_SUSPECT_AUC = 0.95
"""What one honest feature may well reach alone; only above it features are looked at closely."""
LEAST_SUSPECT_R2 = 0.8
"""The same of a regression, whose label of an hour ago may well explain this much."""


class Leakage(msgspec.Struct, metaclass=Declared, frozen=True, tag="no_leak"):
    """No feature knows the label too well, or comes from after its event.

    Attributes:
        auc: What one feature alone may reach on test rows.
        allow: Features that are let off.
        late: The share of rows in which a feature may rest on what became known only later; None to leave it unasked.
        r2: Of a regression: what one feature alone may explain of the label on test rows, instead of the auc.
    """

    auc: float = 0.99
    allow: tuple[str, ...] = ()
    late: float | None = None
    r2: float | None = None

    def __post_init__(self) -> None:
        if self.late is not None and not 0 <= self.late < 1:
            raise DefinitionError(f"gate no_leak: late {self.late} is not a share", hint="write late=0.01")
        if self.r2 is not None and not LEAST_SUSPECT_R2 <= self.r2 <= 1:
            raise DefinitionError(
                f"gate no_leak: r2 {self.r2} is not between {LEAST_SUSPECT_R2} and 1", hint="write r2=0.98"
            )
        if not LEAST_SUSPECT_AUC <= self.auc <= 1:
            raise DefinitionError(
                f"gate no_leak: auc {self.auc} is not between {LEAST_SUSPECT_AUC} and 1", hint="write auc=0.99"
            )

    @property
    def name(self) -> str:
        """How reports call it."""
        return f"no feature alone above {'auc' if self.r2 is None else 'r2'} {self.bound:g}"

    @property
    def bound(self) -> float:
        """What one feature alone may reach."""
        return self.auc if self.r2 is None else self.r2


class Fairness(msgspec.Struct, metaclass=Declared, frozen=True, tag="fairness"):
    """Bounds on how differently groups of people are decided about, judged by 95 % intervals.

    Attributes:
        attribute: A column of the label's source, or a feature; it need not be an input of the model.
        demographic_parity: Largest difference of the share decided positive; None for no bound.
        equalised_odds: Largest difference of the true or false positive rate; None for no bound.
        groups: The groups that are judged; all by default.
        min_positives: With fewer positives a group is left out, and the check is INCONCLUSIVE.
        min_negatives: The same of negatives.
        max_unknown: With a greater share of test rows of no known group the check does not pass, but is INCONCLUSIVE.
    """

    attribute: str
    demographic_parity: float | None = None
    equalised_odds: float | None = None
    groups: tuple[str, ...] = ()
    min_positives: int = 30
    min_negatives: int = 30
    max_unknown: float = 0.05

    def __post_init__(self) -> None:
        check_column("gate fairness", self.attribute)
        bounds = (self.demographic_parity, self.equalised_odds)
        if bounds == (None, None):
            raise DefinitionError(
                f"gate fairness({self.attribute!r}) has no bound",
                hint="write demographic_parity=0.1, or equalised_odds=0.1",
            )
        for bound in bounds:
            if bound is not None:
                _check_number("fairness", "bound", bound)
        if min(self.min_positives, self.min_negatives) < 1:
            raise DefinitionError(f"gate fairness({self.attribute!r}): a group needs one row of each class at least")
        if not 0 <= self.max_unknown <= 1:
            raise DefinitionError(
                f"gate fairness({self.attribute!r}): max_unknown {self.max_unknown} is not a share",
                hint="write max_unknown=0.05",
            )
        if len(self.groups) == 1:
            raise DefinitionError(f"gate fairness({self.attribute!r}): one group has none to differ from")

    @property
    def name(self) -> str:
        """How reports call it."""
        return f"fairness by {self.attribute}"


class Robustness(msgspec.Struct, metaclass=Declared, frozen=True, tag="robust"):
    """A bound on what a metric loses when inputs are not what they should be, judged by 95 % intervals.

    Attributes:
        metric: The metric's name.
        by: How much worse it may be.
        under: Which perturbations: each input missing, noise on all numbers, each number in other units (times 100 and
            times 0.001), and an attack that moves inputs so that positives score low.
        against: Worse than production under the same perturbation, or than the version itself without one.
        mutable: The inputs that an attacker can change; needed for an attack.
        strength: How far noise and attack move a number, in its standard deviations on training rows.
    """

    metric: str
    by: float
    under: tuple[Literal["missing", "noise", "units", "attack"], ...] = ("missing", "noise", "units")
    against: Literal["production", "itself"] = "production"
    mutable: tuple[str, ...] = ()
    strength: float = 0.1

    def __post_init__(self) -> None:
        _check_metric("robust", self.metric)
        _check_number("robust", "by", self.by)
        _check_number("robust", "strength", self.strength)
        unknown = [kind for kind in self.under if kind not in PERTURBATIONS]
        if unknown or not self.under:
            raise DefinitionError(f"gate robust: under {unknown}", hint=f"use some of {', '.join(PERTURBATIONS)}")
        if ("attack" in self.under) != bool(self.mutable):
            raise DefinitionError(
                "gate robust: an attack needs the inputs that it may change, and nothing else does",
                hint='write under=["attack"], mutable=["amount"]',
            )

    @property
    def name(self) -> str:
        """How reports call it."""
        other = "production" if self.against == "production" else "unperturbed"
        how = [f"{kind} by {', '.join(self.mutable)}" if kind == "attack" else kind for kind in self.under]
        return f"{self.metric} no worse than {other} by {self.by:g} under {', '.join(how)}, strength {self.strength:g}"


GateCheck = Bound | Change | Latency | Leakage | Fairness | Robustness


def at_least(metric: str, bound: float, *, slices: Slices = (), by_interval: bool = False) -> Bound:
    """Pass when the metric on the test rows is at least the bound.

    Args:
        metric: The metric's name.
        bound: The bound.
        slices: Columns in each of whose values it must hold too, or columns with the values that must be there.
        by_interval: Judge the 95 % interval: PASS above the bound, FAIL below it, INCONCLUSIVE across it.
    """
    return Bound("at_least", metric, float(bound), plain_slices(slices), by_interval)


def at_most(metric: str, bound: float, *, slices: Slices = (), by_interval: bool = False) -> Bound:
    """Pass when the metric on the test rows is at most the bound.

    Args:
        metric: The metric's name.
        bound: The bound.
        slices: Columns in each of whose values it must hold too, or columns with the values that must be there.
        by_interval: Judge the 95 % interval: PASS below the bound, FAIL above it, INCONCLUSIVE across it.
    """
    return Bound("at_most", metric, float(bound), plain_slices(slices), by_interval)


def no_worse_than_production(
    metric: str, *, by: float = 0.0, relative: float | None = None, slices: Slices = ()
) -> Change:
    """Pass when the metric is at most `by` worse than production's on the same rows, by the interval of the difference.

    Args:
        metric: The metric's name.
        by: How much worse it may be; below zero: how much better it must be.
        relative: The same as a share of production's value.
        slices: Columns in each of whose values it must hold too, or columns with the values that must be there.
    """
    return Change(metric, float(by), relative, plain_slices(slices))


def latency(*, p99_ms: float) -> Latency:
    """Pass when 99 of 100 single rows are scored within the time in the serving runtime."""
    return Latency(float(p99_ms))


def no_leak(
    *, auc: float = 0.99, allow: Sequence[str] = (), late: float | None = None, r2: float | None = None
) -> Leakage:
    """Pass when no feature alone knows the label too well, and no time among the features is later than its event.

    Args:
        auc: What one feature alone may reach.
        allow: Features that are let off.
        late: The share of rows in which a feature may rest on what became known only later, by the sources' `created`.
        r2: Of a regression, in place of auc: what one feature alone may explain of the label.
    """
    return Leakage(float(auc), tuple(allow), late, r2)


def fairness(
    attribute: str,
    *,
    demographic_parity: float | None = None,
    equalised_odds: float | None = None,
    groups: Sequence[str] = (),
    min_positives: int = 30,
    min_negatives: int = 30,
    max_unknown: float = 0.05,
) -> Fairness:
    """Pass when groups are decided about alike, by the intervals of their differences.

    Args:
        attribute: A column of the label's source, or a feature as `view:feature`; it need not be an input of the model.
        demographic_parity: Largest difference of the share decided positive.
        equalised_odds: Largest difference of the true or false positive rate.
        groups: The groups that are judged; all by default.
        min_positives: With fewer positives a group is left out, and the check is INCONCLUSIVE.
        min_negatives: The same of negatives.
        max_unknown: With a greater share of test rows of no known group the check does not pass, but is INCONCLUSIVE.
    """
    return Fairness(
        attribute,
        demographic_parity,
        equalised_odds,
        tuple(map(value_text, groups)),
        min_positives,
        min_negatives,
        float(max_unknown),
    )


def robust(
    metric: str,
    *,
    by: float,
    under: Sequence[Literal["missing", "noise", "units", "attack"]] = ("missing", "noise", "units"),
    against: Literal["production", "itself"] = "production",
    mutable: Sequence[str] = (),
    strength: float = 0.1,
) -> Robustness:
    """Pass when perturbed inputs cost the metric no more than `by`, by the interval of the difference.

    Args:
        metric: The metric's name.
        by: How much worse it may be.
        under: Which perturbations.
        against: Worse than production under the same perturbation, or than the version itself without one.
        mutable: The inputs that an attacker can change; needed for an attack.
        strength: How far noise and attack move a number, in its standard deviations on training rows.
    """
    return Robustness(metric, float(by), tuple(under), against, tuple(mutable), float(strength))


def _check_metric(kind: str, metric: str) -> None:
    if metric not in HIGHER_IS_BETTER:
        raise DefinitionError(
            f"gate {kind}: metric {metric!r} does not exist", hint=f"use one of {', '.join(HIGHER_IS_BETTER)}"
        )


def _check_number(kind: str, field: str, value: float, *, least: float = 0.0) -> None:
    if not (math.isfinite(value) and value >= least):
        raise DefinitionError(
            f"gate {kind}: {field} {value} is not a number" + (" of zero or more" if least == 0 else ""),
            hint="give zero or more" if least == 0 else "give a number",
        )
