"""Values of the operation on figures: what control knows, as numbers for Prometheus."""

import msgspec

from falaj.app.values.alert import RouteStatus


class FiguresQuery(msgspec.Struct, frozen=True):
    """Ask for what control knows as numbers."""


class DriftFigure(msgspec.Struct, frozen=True):
    """How far one feature of an endpoint has moved.

    Attributes:
        feature: The feature column, or "score".
        effect: Population stability index.
    """

    feature: str
    effect: float


class EndpointFigures(msgspec.Struct, frozen=True):
    """One endpoint in numbers.

    Attributes:
        endpoint: Its name.
        version: What is watched, such as "fraud/2".
        weights: Share of units by variant, version and role.
        drift: 1 for drift, 0 for none; None before any judged window.
        judged_us: When the last window was judged, in microseconds; 0 before any.
        features: How far each feature has moved.
        realised: Realised metrics by name.
        outcomes: How many outcomes they rest on.
        maturity: Share of decisions whose outcome is known; None before any decision.
        cost_per_thousand: Of its decisions; None without any.
    """

    endpoint: str
    version: str
    weights: tuple[tuple[str, str, str, float], ...] = ()
    drift: int | None = None
    judged_us: int = 0
    features: tuple[DriftFigure, ...] = ()
    realised: dict[str, float] = {}
    outcomes: int = 0
    maturity: float | None = None
    cost_per_thousand: float | None = None


class Figures(msgspec.Struct, frozen=True):
    """What control knows as numbers.

    Attributes:
        endpoints: What serves.
        alerts: Open alerts: rule, subject, severity.
        incidents: Open incidents by state and severity.
        routes: How the ways to tell people fare.
        runs: Runs by pipeline and state.
        reconcilers: Failed passes in a row by reconciler.
        cost: By kind.
        currency: Of all amounts.
    """

    endpoints: tuple[EndpointFigures, ...] = ()
    alerts: tuple[tuple[str, str, str], ...] = ()
    incidents: tuple[tuple[str, str, int], ...] = ()
    routes: tuple[RouteStatus, ...] = ()
    runs: tuple[tuple[str, str, int], ...] = ()
    reconcilers: tuple[tuple[str, int], ...] = ()
    cost: dict[str, float] = {}
    currency: str = ""
