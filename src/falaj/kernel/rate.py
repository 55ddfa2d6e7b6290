"""Rates as people write them: "1000/s", "100/m burst 500"."""

import re

import msgspec

from falaj.kernel.errors import DefinitionError

_PERIODS_US = {"s": 1_000_000, "m": 60_000_000, "h": 3_600_000_000}
_PATTERN = re.compile(r"(\d{1,9})/([smh])(?: burst (\d{1,9}))?")


class Rate(msgspec.Struct, frozen=True, array_like=True):
    """A token bucket: it holds `burst`, and `count` more come every `period_us`.

    Attributes:
        count: How many in a period.
        period_us: The period in microseconds: a second, a minute or an hour.
        burst: How many may come at once after a pause.

    Example:
        >>> Rate.parse("100/m burst 500")
        Rate(count=100, period_us=60000000, burst=500)
        >>> Rate.parse("1000/s").text
        '1000/s burst 1000'
    """

    count: int
    period_us: int
    burst: int

    @classmethod
    def parse(cls, text: str, *, field: str = "rate") -> "Rate":
        """Return the rate; without a burst, all of one period may come at once.

        Args:
            text: A whole number, `/s`, `/m` or `/h`, and optionally ` burst N`.
            field: The name used in the error.

        Raises:
            DefinitionError: The text is not such a rate, or one of nothing.
        """
        match = _PATTERN.fullmatch(text) if isinstance(text, str) else None
        if match is None:
            raise DefinitionError(
                f"{field} = {text!r} is not a rate", hint="write it like '1000/s', '100/m' or '100/m burst 500'"
            )
        count, burst = int(match[1]), int(match[3] or match[1])
        if not count or not burst:
            raise DefinitionError(f"{field} = {text!r} lets nothing through", hint="give at least 1, or no token")
        return cls(count, _PERIODS_US[match[2]], burst)

    @property
    def text(self) -> str:
        """How it is written, with its burst."""
        unit = next(unit for unit, us in _PERIODS_US.items() if us == self.period_us)
        return f"{self.count}/{unit} burst {self.burst}"
