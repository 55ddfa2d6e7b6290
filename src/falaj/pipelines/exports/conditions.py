"""Conditions: which steps of a graph can stand inside a condition of Kubeflow's, which is a graph within the graph.

What stands inside runs when the condition holds. Nothing outside may ask for what is inside, as it may not be there.
So a condition encloses all that is skipped with it; where that cannot be drawn, the step decides for itself when its
container has started.
"""

from typing import NamedTuple

from falaj.pipelines.exports.plan import needs_of
from falaj.pipelines.graph import Graph

Chain = tuple[str, ...]
"""The steps whose conditions enclose something, the outermost first."""


class Conditions(NamedTuple):
    """Where each step stands.

    Attributes:
        chains: By step, the conditions that enclose it, its own included.
        inside: The steps whose condition is decided in their own containers.
    """

    chains: dict[str, Chain]
    inside: frozenset[str]


def conditions_of(graph: Graph) -> Conditions:
    """Return where each step stands.

    Example:
        >>> from falaj.pipelines.graph import Step
        >>> ask = {"$step": "test", "$path": []}
        >>> steps = (
        ...     Step(name="test", function="m:f", arguments={}),
        ...     Step(name="tell", function="m:f", needs=("test",), arguments={}, when=ask),
        ...     Step(name="log", function="m:f", needs=("tell",), arguments={"x": {"$step": "tell", "$path": []}}),
        ... )
        >>> conditions_of(Graph("p", steps)).chains
        {'test': (), 'tell': ('tell',), 'log': ('tell',)}
    """
    inside: set[str] = set()
    while True:
        chains, clash = _drawn(graph, inside)
        if not clash:
            return Conditions(chains, frozenset(inside))
        inside |= clash


def common(one: Chain, other: Chain) -> int:
    """Return how many conditions two steps share.

    Example:
        >>> common(("a", "b"), ("a", "c"))
        1
    """
    return next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


def _drawn(graph: Graph, inside: set[str]) -> tuple[dict[str, Chain], set[str]]:
    """Return the chains, and the conditions that would have to be left or entered half-way."""
    chains: dict[str, Chain] = {}
    clash: set[str] = set()
    for step in graph.ordered():
        needs = needs_of(step)
        chain: Chain = ()
        for need in needs.required:
            other, shared = chains[need], common(chains[need], chain)
            if shared < min(len(other), len(chain)):
                clash.update(other[shared:])
            chain = max(chain, other, key=len)
        for need in needs.optional:
            clash.update(chains[need][common(chains[need], chain) :])
        own = step.when is not None and step.name not in inside
        chains[step.name] = (*chain, step.name) if own else chain
    return chains, clash
