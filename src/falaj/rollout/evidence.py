"""Evidence that may be looked at after every request: e-values, which bound false alarms over all looks together.

An e-value is a bet against a hypothesis. While the hypothesis holds, the winnings are a supermartingale that starts
at 1, and such a process ever reaches `1 / alpha` with probability `alpha` at most (Ville, 1939). So a rollout may be
judged whenever somebody looks, stopped at once, and looked at again, where a test made for one look read 30 times
gives 27.6 % false alarms at a nominal 5 %.
"""

import math
from collections.abc import Mapping, Sequence

import msgspec
from scipy.special import betaincc, betaln, gammaln

P99_SHARE = 0.01
"""A 99th percentile above a bound means that more than this share of requests is above it."""

MIN_REQUESTS_P99 = 200
"""Below 200 requests a 99th percentile rests on the one or two slowest of them."""

MIN_REQUESTS_ERRORS = 50
"""The e-value holds at any number; this keeps the first seconds of a cold start from ending a rollout."""

_LEAST_LOG = -745.0  # exp of it is the least positive float64; JSON has no minus infinity


class Counts(msgspec.Struct, frozen=True):
    """What a variant answered.

    Attributes:
        total: Requests.
        errors: Of these, those that failed.
        over: Threshold in milliseconds to the requests that took longer.
    """

    total: int = 0
    errors: int = 0
    over: dict[float, int] = {}

    def plus(self, other: "Counts") -> "Counts":
        """Return the sum; a threshold that only one of them has keeps its count.

        Example:
            >>> Counts(5, 1, {10.0: 2}).plus(Counts(3, 0, {10.0: 1})).over
            {10.0: 3}
        """
        over = {ms: self.over.get(ms, 0) + other.over.get(ms, 0) for ms in sorted({*self.over, *other.over})}
        return Counts(self.total + other.total, self.errors + other.errors, over)

    def since(self, earlier: "Counts") -> "Counts":
        """Return what came after an earlier reading of the same counters.

        A reading below the earlier one means that the counters began anew, as they do when a worker restarts:
        then everything in it is new.

        Example:
            >>> Counts(5, 1).since(Counts(3, 1)), Counts(2, 0).since(Counts(3, 1)).total
            (Counts(total=2, errors=0, over={}), 2)
        """
        restarted = (
            self.total < earlier.total
            or self.errors < earlier.errors
            or any(self.over[ms] < number for ms, number in earlier.over.items() if ms in self.over)
        )
        if restarted:
            return self
        over = {ms: number - earlier.over.get(ms, 0) for ms, number in self.over.items()}
        return Counts(self.total - earlier.total, self.errors - earlier.errors, over)


def ratio_log_e(bad: int, total: int, bound: float) -> float:
    """Return the logarithm of the e-value against "at most a share `bound` of requests is bad".

    It is the likelihood of the counts under shares above the bound, averaged over a Beta(1, 1/(4 bound)) prior cut
    to (bound, 1), divided by their likelihood at the bound itself. The prior expects shares of a few times the
    bound, yet still finds a variant that fails altogether within a handful of requests. For any true share up to
    the bound each request multiplies the e-value by 1 at most on average, so that the guarantee is for all of them.

    Args:
        bad: Bad requests, at most `total`.
        total: All requests.
        bound: Between 0 and 1, both excluded.

    Returns:
        The natural logarithm, at least -745.

    Example:
        >>> ratio_log_e(0, 0, 0.05)
        0.0
        >>> ratio_log_e(10, 50, 0.05) > math.log(1 / 0.05) > ratio_log_e(2, 50, 0.05)
        True
    """
    good, b = total - bad, 0.25 / bound
    tail = float(betaincc(1.0 + bad, b + good, bound))
    if tail <= 0.0:  # the counts are so far below the bound that float64 cannot tell
        return _LEAST_LOG
    prior = float(betaln(1.0, b)) + b * math.log1p(-bound)
    mixture = float(betaln(1.0 + bad, b + good)) + math.log(tail) - prior
    return max(_LEAST_LOG, mixture - bad * math.log(bound) - good * math.log1p(-bound))


def bad_needed(total: int, bound: float, log_threshold: float) -> int:
    """Return the least number of bad requests among `total` that proves a share above the bound.

    Args:
        total: All requests.
        bound: Between 0 and 1, both excluded.
        log_threshold: Logarithm of the e-value that is proof, such as `log(1 / 0.05)`.

    Returns:
        At most `total`, or `total + 1` where no number would be proof.

    Example:
        >>> bad_needed(200, 0.01, math.log(1 / 0.05))
        8
    """
    low, high = 0, total + 1  # the e-value grows with `bad`
    while low < high:
        middle = (low + high) // 2
        if ratio_log_e(middle, total, bound) >= log_threshold:
            high = middle
        else:
            low = middle + 1
    return low


def sample_ratio_log_e(
    epochs: Sequence[tuple[Mapping[str, float], Mapping[str, int]]], *, concentration: float = 100.0
) -> float:
    """Return the logarithm of the e-value against "units fall to variants in the intended ratio".

    A Dirichlet prior around the intended shares gives each epoch of constant weights its own e-value, and the
    product over epochs is one too (Lindon and Malek, "Anytime-valid inference for multinomial count data", 2020).

    Args:
        epochs: Per epoch, weight by variant (any positive scale) and number of *units* by variant. Requests of one
            unit are not independent: counting them instead gives false alarms.
        concentration: How near to the intended ratio the alternatives lie; 100 looks for deviations of some percent.

    Returns:
        The natural logarithm; infinity when a variant of weight zero got a unit.

    Example:
        >>> even = {"champion": 0.9, "candidate": 0.1}
        >>> sample_ratio_log_e([(even, {"champion": 900, "candidate": 100})]) < 0
        True
        >>> sample_ratio_log_e([(even, {"champion": 1900, "candidate": 100})]) > math.log(1 / 0.001)
        True
    """
    return math.fsum(_multinomial_log_e(weights, counts, concentration) for weights, counts in epochs)


def _multinomial_log_e(weights: Mapping[str, float], counts: Mapping[str, int], concentration: float) -> float:
    scale, total = math.fsum(weights.values()), sum(counts.values())
    result = float(gammaln(concentration) - gammaln(concentration + total))
    for variant, number in counts.items():
        share = weights.get(variant, 0.0) / scale
        if share > 0.0:
            alpha = concentration * share
            result += float(gammaln(alpha + number) - gammaln(alpha)) - number * math.log(share)
        elif number:
            return math.inf
    return result
