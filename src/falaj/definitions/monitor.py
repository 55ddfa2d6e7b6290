"""Monitor: how an endpoint's traffic is compared with what its version was tested on."""

from collections.abc import Sequence
from typing import Literal

import msgspec

from falaj.definitions.declared import Declared
from falaj.kernel.duration import duration_us
from falaj.kernel.errors import DefinitionError

_LEAST_WINDOW_US = 60_000_000


class Monitor(msgspec.Struct, metaclass=Declared, frozen=True):
    """Drift and performance watching.

    Args:
        window: What one comparison looks at: so many decisions, or all of a length of time such as "1d", by the
            instants decided about and from midnight UTC on.
        persistence: How many windows in a row must agree before there is an alarm.
        alpha: The corrected false-alarm probability of one window.
        psi_floor: The least population stability index that matters.
        min_outcomes: Realised metrics with fewer known outcomes are inconclusive.
        segments: Inputs whose commonest values are judged by themselves too, such as ["country"].
        reference: What is compared with: the "test" rows of the version, or those of its "training". Scores are
            compared with the test rows' in either case.

    Raises:
        DefinitionError: A value is out of range.
    """

    window: int | str = 1000
    persistence: int = 2
    alpha: float = 0.01
    psi_floor: float = 0.1
    min_outcomes: int = 100
    segments: Sequence[str] = ()
    reference: Literal["test", "training"] = "test"

    def __post_init__(self) -> None:
        short = self.window < 100 if isinstance(self.window, int) else self.window_us < _LEAST_WINDOW_US
        if short or self.persistence < 1 or not 0 < self.alpha < 1 or self.psi_floor < 0:
            raise DefinitionError(
                f"monitor(window={self.window!r}, persistence={self.persistence}, alpha={self.alpha}, "
                f"psi_floor={self.psi_floor}) is out of range",
                hint="window >= 100 or '1m', persistence >= 1, 0 < alpha < 1, psi_floor >= 0",
            )
        if self.reference not in ("test", "training"):
            raise DefinitionError(
                f"monitor(reference={self.reference!r}) names no rows of a version", hint="give 'test' or 'training'"
            )
        if isinstance(self.segments, str) or len(set(self.segments)) != len(self.segments):
            raise DefinitionError(
                f"monitor(segments={self.segments!r}) is no list of different inputs", hint='give one: ["country"]'
            )

    @property
    def window_us(self) -> int:
        """The length of a window of time, in microseconds; 0 for one of decisions."""
        return duration_us(self.window, field="monitor window") if isinstance(self.window, str) else 0


def monitor(
    *,
    window: int | str = 1000,
    persistence: int = 2,
    alpha: float = 0.01,
    psi_floor: float = 0.1,
    min_outcomes: int = 100,
    segments: Sequence[str] = (),
    reference: Literal["test", "training"] = "test",
) -> Monitor:
    """Declare how an endpoint is watched."""
    return Monitor(window, persistence, alpha, psi_floor, min_outcomes, segments, reference)
