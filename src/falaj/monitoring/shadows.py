"""Shadows: how far a version that decides nothing would have decided otherwise, and how well, on the same requests."""

import msgspec
import numpy as np
from numpy.typing import NDArray

from falaj.definitions.challenger import Loss
from falaj.definitions.cost import Cost
from falaj.monitoring.metrics import Estimate, Floats, proportion
from falaj.monitoring.paired import Paired, paired_loss
from falaj.monitoring.performance import Joined, Quality, QualityPolicy, measure

_QUANTILES = (0.5, 0.9, 0.99)


class Pairs(msgspec.Struct, frozen=True, eq=False):
    """Requests that a shadow and one deciding version were both asked about.

    Attributes:
        live: What decided, float64, (requests,); NaN where it failed.
        shadow: What the shadow computed, float64, (requests,); NaN where it failed.
        outcomes: 0 or 1, of a regression any number, float64, (requests,); NaN where none is known.
        decided_us: T of each request in microseconds, int64, (requests,).
        known_us: When its outcome became known, int64, (requests,); counts for nothing where none is.
    """

    live: Floats
    shadow: Floats
    outcomes: Floats
    decided_us: NDArray[np.int64]
    known_us: NDArray[np.int64]


class ScoreDifference(msgspec.Struct, frozen=True):
    """Score of the shadow less the score that decided, over the requests that both scored.

    Attributes:
        mean: The mean difference; its sign says who scores higher.
        mean_size: The mean of its size.
        p50_size: Median of its size.
        p90_size: 90th percentile of its size.
        p99_size: 99th percentile of its size.
        max_size: The greatest size.
    """

    mean: float
    mean_size: float
    p50_size: float
    p90_size: float
    p99_size: float
    max_size: float


class Comparison(msgspec.Struct, frozen=True):
    """A shadow beside one version that decided.

    Attributes:
        requests: Those that both were asked about.
        both: Those that both scored: all that follows is over these.
        shadow_failed: Those that the shadow alone failed on.
        live_failed: Those that the deciding version alone failed on.
        difference: Of the scores; None without a request that both scored.
        changed: Share of decisions that would have been the other one, each version by its own threshold, with the
            exact 95 % interval for one look; None without a request that both scored, and of a regression.
        only_shadow: Decisions that are positive by the shadow alone.
        only_live: Decisions that are positive by the deciding version alone.
        shadow_quality: Realised quality that the shadow would have had.
        live_quality: That of what decided, on the same requests.
        paired: What each lost on the decisions with an outcome, those included that one of them failed on; None of a
            regression, whose errors have no bound.
    """

    requests: int
    both: int
    shadow_failed: int
    live_failed: int
    difference: ScoreDifference | None
    changed: Estimate | None
    only_shadow: int
    only_live: int
    shadow_quality: Quality
    live_quality: Quality
    paired: Paired | None = None


def compare(
    pairs: Pairs,
    *,
    shadow: QualityPolicy,
    live: QualityPolicy,
    now_us: int,
    label_delay_us: int,
    by: Loss = "brier",
    cost: Cost | None = None,
) -> Comparison:
    """Compare a shadow with the version that decided on the same requests.

    Args:
        pairs: The requests.
        shadow: The shadow's threshold, and what is needed before its quality is believed.
        live: The same of the version that decided.
        now_us: The present on the time line of the decisions' T, in microseconds.
        label_delay_us: How long an outcome takes, in microseconds.
        by: What a decision loses, in the comparison of both.
        cost: What decisions cost; needed by "cost".

    Example:
        >>> live, shadow, at_us = np.array([0.2, 0.6, 0.9]), np.array([0.3, 0.4, np.nan]), np.arange(3)
        >>> pairs = Pairs(live, shadow, np.full(3, np.nan), at_us, at_us)
        >>> found = compare(pairs, shadow=QualityPolicy(), live=QualityPolicy(), now_us=9, label_delay_us=0)
        >>> found.both, found.shadow_failed, found.only_live, round(found.difference.mean_size, 3)
        (2, 1, 1, 0.15)
    """
    has_live, has_shadow = np.isfinite(pairs.live), np.isfinite(pairs.shadow)
    both = has_live & has_shadow
    of_live, of_shadow = pairs.live[both], pairs.shadow[both]
    says_live, says_shadow = of_live >= live.threshold, of_shadow >= shadow.threshold
    decides = live.task == "classification"
    if not decides:
        says_live = says_shadow = np.zeros(of_live.shape, dtype=bool)
    rows, other = int(both.sum()), int((says_live != says_shadow).sum())
    outcomes, decided_us = pairs.outcomes[both], pairs.decided_us[both]

    def quality(scores: Floats, policy: QualityPolicy) -> Quality:
        joined = Joined(scores, outcomes, decided_us, 0, 0)
        return measure(joined, now_us=now_us, label_delay_us=label_delay_us, policy=policy)

    return Comparison(
        requests=pairs.live.size,
        both=rows,
        shadow_failed=int((has_live & ~has_shadow).sum()),
        live_failed=int((has_shadow & ~has_live).sum()),
        difference=_difference(of_shadow - of_live) if rows else None,
        changed=proportion(other, rows) if rows and decides else None,
        only_shadow=int((says_shadow & ~says_live).sum()),
        only_live=int((says_live & ~says_shadow).sum()),
        shadow_quality=quality(of_shadow, shadow),
        live_quality=quality(of_live, live),
        paired=_paired(pairs, shadow, live, now_us, label_delay_us, by, cost) if decides else None,
    )


def _paired(
    pairs: Pairs, shadow: QualityPolicy, live: QualityPolicy, now_us: int, delay_us: int, by: Loss, cost: Cost | None
) -> Paired:
    """Compare in the order in which outcomes could be counted: so no later look changes what an earlier one saw."""
    usable_us = np.maximum(pairs.decided_us + delay_us, pairs.known_us)
    # A gateway takes any number where one model of the project is a regression; losses of it would have no bound.
    decided = (pairs.outcomes == 0) | (pairs.outcomes == 1)
    known = np.flatnonzero(decided & (pairs.decided_us <= now_us - delay_us))
    rows = known[np.argsort(usable_us[known], kind="stable")]
    thresholds = live.threshold, shadow.threshold
    return paired_loss(by, pairs.outcomes[rows], pairs.live[rows], pairs.shadow[rows], thresholds=thresholds, cost=cost)


def _difference(differences: Floats) -> ScoreDifference:
    sizes = np.abs(differences)
    p50, p90, p99 = np.quantile(sizes, _QUANTILES).tolist()
    return ScoreDifference(float(differences.mean()), float(sizes.mean()), p50, p90, p99, float(sizes.max()))
