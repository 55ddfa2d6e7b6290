"""Combination: how the scores of several endpoints become one."""

import math
from collections.abc import Sequence
from typing import Literal

import msgspec

from falaj.definitions.declared import Declared
from falaj.definitions.endpoint import Endpoint
from falaj.kernel.errors import DefinitionError

Method = Literal["mean", "vote", "stack", "cascade"]
Link = Literal["identity", "logistic"]


class Combination(msgspec.Struct, metaclass=Declared, frozen=True):
    """How the scores of several endpoints become one; made by `mean_of`, `vote_of`, `stack_of` and `cascade_of`.

    Attributes:
        method: "mean", "vote", "stack" or "cascade".
        members: The endpoints, in order; of a cascade the cheap one and the costly one.
        weights: Of mean and stack: one for each member; empty for equal ones, or where `by` combines.
        bias: Of stack: what is added to the weighted sum.
        link: Of stack: "identity", or "logistic" to make the sum a probability.
        threshold: Of vote: the score from which on a member says yes.
        at_least: Of vote: how many members must say yes.
        low: Of cascade: from this score of the cheap member on ...
        high: ... up to this one, both included, the costly member decides.
        by: Of stack: the endpoint whose model combines the scores.
    """

    method: Method
    members: tuple[Endpoint, ...]
    weights: tuple[float, ...] = ()
    bias: float = 0.0
    link: Link = "identity"
    threshold: float = 0.5
    at_least: int = 0
    low: float = 0.0
    high: float = 1.0
    by: Endpoint | None = None

    def __post_init__(self) -> None:
        for member in self.members if self.by is None else (*self.members, self.by):
            _check_member(member, self.method)
        names = [member.name for member in self.members]
        if len(names) < 2:
            raise DefinitionError(f"{self.method} of {names}: one member is no ensemble", hint="name two or more")
        for name in names:
            if names.count(name) > 1:
                raise DefinitionError(f"{self.method} of {names}: {name!r} stands twice", hint="name each once")
        numbers = (*self.weights, self.bias, self.threshold, self.low, self.high)
        if not all(math.isfinite(number) for number in numbers):
            raise DefinitionError(f"{self.method} of {names}: {list(numbers)} holds what is no number")
        if self.weights and len(self.weights) != len(names):
            raise DefinitionError(
                f"{self.method} of {names}: {len(self.weights)} weights for {len(names)} members",
                hint="give one weight for each member",
            )
        self._check_tasks(names)
        _CHECKS[self.method](self, names)

    def _check_tasks(self, names: list[str]) -> None:
        tasks = {member.model.task for member in self.members}
        if self.method == "stack":  # what combines may take scores of any kind
            return
        if len(tasks) > 1:
            raise DefinitionError(
                f"{self.method} of {names}: some predict a number and some a probability",
                hint="combine members of one task",
            )
        if self.method == "vote" and tasks == {"regression"}:
            raise DefinitionError(f"vote of {names}: numbers are no votes", hint="use mean_of")


def _check_member(member: object, method: str) -> None:
    if not isinstance(member, Endpoint):
        raise DefinitionError(
            f"{method}: {getattr(member, 'name', member)!r} is no endpoint, and only endpoints can be members",
            hint="name the endpoints; an ensemble is no member of another",
        )
    if member.model.trainer.kind == "python":
        raise DefinitionError(
            f"{method}: {member.name!r} is a Python class, for which a batch of others cannot wait",
            hint="serve it on its endpoint alone",
        )


def mean_of(members: Sequence[Endpoint], *, weights: Sequence[float] = ()) -> Combination:
    """Take the mean of the members' scores.

    Args:
        members: The endpoints.
        weights: How much each counts, none below 0; equally much by default.
    """
    return Combination("mean", tuple(members), tuple(weights))


def vote_of(members: Sequence[Endpoint], *, threshold: float = 0.5, at_least: int | None = None) -> Combination:
    """Answer 1 where enough members say yes, and 0 elsewhere.

    Args:
        members: The endpoints.
        threshold: The score from which on a member says yes.
        at_least: How many must say yes; more than half by default.
    """
    enough = len(members) // 2 + 1 if at_least is None else at_least
    return Combination("vote", tuple(members), threshold=threshold, at_least=enough)


def stack_of(
    members: Sequence[Endpoint],
    *,
    weights: Sequence[float] = (),
    bias: float = 0.0,
    link: Link = "logistic",
    by: Endpoint | None = None,
) -> Combination:
    """Let a small model over the members' scores decide.

    Args:
        members: The endpoints.
        weights: The small model's coefficients, one for each member.
        bias: Its intercept.
        link: "logistic" for a probability, "identity" for the weighted sum as it is.
        by: An endpoint whose model decides instead; the request fields of its features that bear the members' names are
            their scores.
    """
    if by is None:
        return Combination("stack", tuple(members), tuple(weights), bias, link)
    return Combination("stack", tuple(members), tuple(weights), bias, "identity", by=by)


def cascade_of(cheap: Endpoint, costly: Endpoint, *, low: float, high: float) -> Combination:
    """Ask the costly endpoint only where the cheap one is unsure.

    Args:
        cheap: Scores every row.
        costly: Scores, and decides, the rows whose cheap score lies between the bounds.
        low: The lower bound, included.
        high: The upper bound, included.
    """
    return Combination("cascade", (cheap, costly), low=low, high=high)


def _check_mean(one: Combination, names: list[str]) -> None:
    if one.weights and (min(one.weights) < 0 or sum(one.weights) <= 0):
        raise DefinitionError(
            f"mean of {names}: weights {list(one.weights)} are no shares",
            hint="none may be below 0 and one must be above; or use stack_of",
        )


def _check_vote(one: Combination, names: list[str]) -> None:
    if not 1 <= one.at_least <= len(names):
        raise DefinitionError(
            f"vote of {names}: at_least {one.at_least} is not between 1 and {len(names)}", hint="count the members"
        )


def _check_stack(one: Combination, names: list[str]) -> None:
    if (one.by is None) == (not one.weights):
        raise DefinitionError(
            f"stack of {names}: either weights combine them or another endpoint", hint="weights=[...] or by="
        )
    if one.by is None:
        return
    fields = {field.name for field in one.by.model.features.request_fields}
    absent = [name for name in names if name not in fields]
    if one.by.name in names or absent:
        raise DefinitionError(
            f"stack of {names}: {one.by.name!r} cannot combine them; "
            + (f"its features have no request field {absent[0]!r}" if absent else "it is a member"),
            hint="its features hold a request field for each member, by the member's name",
        )


def _check_cascade(one: Combination, names: list[str]) -> None:
    if one.low > one.high:
        raise DefinitionError(f"cascade of {names}: low {one.low} is above high {one.high}", hint="turn them round")


_CHECKS = {"mean": _check_mean, "vote": _check_vote, "stack": _check_stack, "cascade": _check_cascade}
