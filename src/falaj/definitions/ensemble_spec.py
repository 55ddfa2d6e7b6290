"""EnsembleSpec: how several endpoints decide together, as the routing table has it."""

import math
from collections.abc import Callable
from typing import Literal

import msgspec


class EnsembleSpec(msgspec.Struct, frozen=True):
    """How the scores of several endpoints become one; `definitions.combination` says what each field means.

    Attributes:
        method: "mean", "vote", "stack" or "cascade".
        members: The endpoints' names, in order.
        weights: Of mean and stack.
        bias: Of stack.
        link: Of stack.
        threshold: Of vote.
        at_least: Of vote.
        low: Of cascade.
        high: Of cascade.
        by: Of stack: the endpoint that combines; empty where the weights do.
    """

    method: Literal["mean", "vote", "stack", "cascade"]
    members: tuple[str, ...]
    weights: tuple[float, ...] = ()
    bias: float = 0.0
    link: Literal["identity", "logistic"] = "identity"
    threshold: float = 0.5
    at_least: int = 0
    low: float = 0.0
    high: float = 1.0
    by: str = ""

    @property
    def endpoints(self) -> tuple[str, ...]:
        """All endpoints that it needs."""
        return (*self.members, self.by) if self.by else self.members


ScoreOf = Callable[[str], float]
"""From a member's name to its score."""


def naive_score(spec: EnsembleSpec, score_of: ScoreOf, combined: Callable[[dict[str, float]], float]) -> float:
    """Return one row's score, straight from the definition: slow, and what the gateway is tested against.

    Args:
        spec: The ensemble.
        score_of: Asks a member; what it is not asked for need not be computed.
        combined: Asks the endpoint that combines, where one does.

    Example:
        >>> scores = {"cheap": 0.9, "costly": 0.2}
        >>> cascade = EnsembleSpec("cascade", ("cheap", "costly"), low=0.3, high=0.7)
        >>> naive_score(cascade, scores.__getitem__, lambda _: 0.0)
        0.9
    """
    if spec.method == "cascade":
        cheap = score_of(spec.members[0])
        return score_of(spec.members[1]) if spec.low <= cheap <= spec.high else cheap
    scores = [score_of(name) for name in spec.members]
    if spec.method == "vote":
        return float(sum(score >= spec.threshold for score in scores) >= spec.at_least)
    if spec.by:
        return combined(dict(zip(spec.members, scores, strict=True)))
    weights = spec.weights or (1.0,) * len(scores)
    total = sum(weight * score for weight, score in zip(weights, scores, strict=True))
    if spec.method == "mean":
        return total / sum(weights)
    return logistic(total + spec.bias) if spec.link == "logistic" else total + spec.bias


def logistic(value: float) -> float:
    """Return `1 / (1 + exp(-value))`, whatever the size of the value.

    Example:
        >>> logistic(0.0), logistic(-1e9), logistic(1e9)
        (0.5, 0.0, 1.0)
    """
    if value >= 0:
        return 1 / (1 + math.exp(-value))
    grown = math.exp(value)
    return grown / (1 + grown)
