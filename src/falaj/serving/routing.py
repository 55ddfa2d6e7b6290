"""Routing: which variant decides for a unit; the same one each time, in exact shares."""

import hashlib
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from typing import Any, Generic, TypeVar

from falaj.definitions.routing_table import EndpointRoute
from falaj.kernel.errors import CorruptionError
from falaj.serving.variant_router import Outcome

BUCKETS = 10_000

Choice = TypeVar("Choice")

_NOTHING: Mapping[str, Any] = {}


class HashRouter(Generic[Choice]):
    """Assigns units to the variants of one endpoint by a salted hash; a `VariantRouter` that learns nothing.

    A unit's bucket depends on the endpoint and its salt only, not on the weights: when a canary grows from 10 to 50
    per cent, whoever had the new version keeps it.

    Args:
        route: The endpoint's variants and weights.
        choices: What to return for each of the route's variants, in their order.

    Raises:
        CorruptionError: The weights of the live variants do not add up to 10,000.
    """

    def __init__(self, route: EndpointRoute, choices: Sequence[Choice]) -> None:
        pairs = list(zip(route.variants, choices, strict=True))
        self._salted = hashlib.sha256(
            f"{len(route.endpoint)}:{route.endpoint}:{len(route.salt)}:{route.salt}:".encode()
        )
        self._live = [choice for variant, choice in pairs if variant.role == "live" and variant.weight > 0]
        self._shadows = [(variant.weight, choice) for variant, choice in pairs if variant.role == "shadow"]
        self._edges: list[int] = []
        total = 0
        for variant, _ in pairs:
            if variant.role == "live" and variant.weight > 0:
                total += variant.weight
                self._edges.append(total)
        if total != BUCKETS or any(variant.weight < 0 for variant, _ in pairs):
            raise CorruptionError(
                f"endpoint {route.endpoint!r}: the live weights add up to {total}, not {BUCKETS}",
                hint="publish its routing again",
            )

    def bucket(self, unit: str) -> int:
        """Return the unit's bucket, 0 to 9,999."""
        salted = self._salted.copy()
        salted.update(unit.encode("utf-8", "surrogatepass"))
        return int.from_bytes(salted.digest()[:8], "big") % BUCKETS

    def live(self, unit: str, _context: Mapping[str, Any] = _NOTHING, /) -> Choice:
        """Return the variant that decides for the unit; the context is not looked at."""
        if len(self._live) == 1:
            return self._live[0]
        return self._live[bisect_right(self._edges, self.bucket(unit))]

    def shadows(self, unit: str) -> list[Choice]:
        """Return the variants that compute for the unit without deciding."""
        if not self._shadows:
            return []
        bucket = self.bucket(unit)
        return [choice for weight, choice in self._shadows if bucket < weight]

    def tell(self, _outcomes: Sequence[Outcome], /) -> None:
        """Do nothing: weights change by a rollout alone."""


def unit_of(entities: Mapping[str, Any], request_id: str) -> str:
    """Return the unit of a request that names none: its entity keys, or the request itself when one is not known.

    Example:
        >>> unit_of({"card_id": "c1"}, "req_1"), unit_of({}, "req_1")
        ('c1', 'req_1')
        >>> unit_of({"a": "1", "b": "23"}, "") == unit_of({"a": "12", "b": "3"}, "")
        False
    """
    if len(entities) == 1:
        (value,) = entities.values()
        return request_id if value is None else str(value)
    if not entities or None in entities.values():
        return request_id
    return "".join(f"{len(text)}:{text}" for text in (str(entities[key]) for key in sorted(entities)))
