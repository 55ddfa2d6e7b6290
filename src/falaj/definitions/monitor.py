"""Monitor: how an endpoint's traffic is compared with what its version was tested on."""

import msgspec

from falaj.kernel.errors import DefinitionError


class Monitor(msgspec.Struct, frozen=True):
    """Drift and performance watching.

    Args:
        window: How many decisions one comparison looks at.
        persistence: How many windows in a row must agree before there is an alarm.
        alpha: The corrected false-alarm probability of one window.
        psi_floor: The least population stability index that matters.
        min_outcomes: Realised metrics with fewer known outcomes are inconclusive.
    """

    window: int = 1000
    persistence: int = 2
    alpha: float = 0.01
    psi_floor: float = 0.1
    min_outcomes: int = 100

    def __post_init__(self) -> None:
        if self.window < 100 or self.persistence < 1 or not 0 < self.alpha < 1 or self.psi_floor < 0:
            raise DefinitionError(
                f"monitor(window={self.window}, persistence={self.persistence}, alpha={self.alpha}, "
                f"psi_floor={self.psi_floor}) is out of range",
                hint="window >= 100, persistence >= 1, 0 < alpha < 1, psi_floor >= 0",
            )


def monitor(
    *, window: int = 1000, persistence: int = 2, alpha: float = 0.01, psi_floor: float = 0.1, min_outcomes: int = 100
) -> Monitor:
    """Declare how an endpoint is watched."""
    return Monitor(window, persistence, alpha, psi_floor, min_outcomes)
