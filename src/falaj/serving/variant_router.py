"""VariantRouter: the port through which a variant is chosen for a unit; the salted hash is one, a bandit another."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

import msgspec

from falaj.definitions.routing_table import EndpointRoute

Choice = TypeVar("Choice")


class Outcome(msgspec.Struct, frozen=True):
    """What came of one decision, as a router is told it.

    Attributes:
        request_id: The decision. It may have been made by another worker, or before this one began.
        outcome: 0 or 1; of a regression what came true.
        at_us: When it became known, in microseconds.
    """

    request_id: str
    outcome: float
    at_us: int


class VariantRouter(Protocol[Choice]):
    """Chooses among the variants of one endpoint.

    A worker asks it for every decision, on its event loop: it must answer from memory, at once, and raise nothing.
    """

    def live(self, unit: str, context: Mapping[str, Any], /) -> Choice:
        """Return who decides.

        Args:
            unit: What the choice sticks to, such as a card.
            context: The request fields. The hash does not look at them.
        """
        ...

    def shadows(self, unit: str) -> list[Choice]:
        """Return who computes beside without deciding."""
        ...

    def tell(self, outcomes: Sequence[Outcome], /) -> None:
        """Take note of outcomes; they may be late, repeated and out of order."""
        ...


RouterMaker = Callable[[EndpointRoute, Sequence[Choice]], VariantRouter[Choice]]
"""Makes the router of an endpoint, from its route and what to return for each of the route's variants."""
