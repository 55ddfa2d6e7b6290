"""Values of the operations on shadow."""

import msgspec

from falaj.app.values.bounds import VersionNumber
from falaj.app.values.status import VariantStatus
from falaj.monitoring.shadows import Comparison


class SetShadow(msgspec.Struct, frozen=True):
    """Ask for a version to compute beside what decides.

    Attributes:
        endpoint: Which endpoint.
        version: Which version.
        weight: For which share of units, above 0 and at most 1.
    """

    endpoint: str
    version: VersionNumber
    weight: float = 1.0


class EndShadow(msgspec.Struct, frozen=True):
    """Ask for an endpoint to have no shadow."""

    endpoint: str


class ShadowSet(msgspec.Struct, frozen=True):
    """What an endpoint has for a shadow now, or has no more.

    Attributes:
        endpoint: The endpoint.
        version: The version.
        weight: Its share of units; 0 when it is the shadow no more.
        in_force_s: Seconds until every gateway worker went by it; None where none runs, or they took longer than a
            command waits.
    """

    endpoint: str
    version: int
    weight: float
    in_force_s: float | None = None


class ShadowQuery(msgspec.Struct, frozen=True):
    """Ask how an endpoint's shadow does, or how its last one did."""

    endpoint: str


class ShadowBeside(msgspec.Struct, frozen=True):
    """The shadow beside one of the versions that decided meanwhile.

    Attributes:
        model: The model of what decided.
        version: Which version decided.
        comparison: What came of it on the same requests.
    """

    model: str
    version: int
    comparison: Comparison


class ShadowReport(msgspec.Struct, frozen=True):
    """How a shadow does, or did.

    Attributes:
        endpoint: The endpoint.
        model: The shadow's model.
        shadow: What the gateway counted of it since its counters began. Its latency is that of the batch that a row was
            computed in, without the time that the row waited.
        since_us: Since when it is the shadow, in microseconds.
        until_us: Until when it was; None while it is.
        drops: Rows that shadows left out because they were behind, of all endpoints, since the counters began.
        beside: It beside each version that decided meanwhile, what decided most first.
        newest_only: Whether there were more requests than were looked at, which are the newest.
    """

    endpoint: str
    model: str
    shadow: VariantStatus
    since_us: int
    until_us: int | None
    drops: int
    beside: tuple[ShadowBeside, ...] = ()
    newest_only: bool = False
