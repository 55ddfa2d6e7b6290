"""Time: aware UTC, whole microseconds, and a clock that is passed in."""

import time
from datetime import UTC, datetime, timedelta
from typing import Protocol

from falaj.kernel.errors import InputError

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class Clock(Protocol):
    """Where the time comes from; tests pass a `ManualClock`."""

    def now(self) -> datetime:
        """Return the present instant, aware UTC."""
        ...

    def monotonic(self) -> float:
        """Return seconds that never go back, from an arbitrary origin."""
        ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """Return the present instant, aware UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Return the machine's monotonic seconds."""
        return time.monotonic()


class ManualClock:
    """A clock that moves only when told to.

    Example:
        >>> clock = ManualClock(datetime(2026, 1, 1, tzinfo=UTC))
        >>> clock.advance(90)
        >>> clock.now().isoformat()
        '2026-01-01T00:01:30+00:00'
    """

    def __init__(self, start: datetime = EPOCH) -> None:
        self._now = start
        self._monotonic = 0.0

    def now(self) -> datetime:
        """Return the instant the clock was set to."""
        return self._now

    def monotonic(self) -> float:
        """Return the seconds advanced so far."""
        return self._monotonic

    def advance(self, seconds: float) -> None:
        """Move both the instant and the monotonic seconds forward."""
        self._now += timedelta(seconds=seconds)
        self._monotonic += seconds

    def set(self, now: datetime) -> None:
        """Set the instant only, as a clock set back or forward does."""
        self._now = now


def to_us(instant: datetime) -> int:
    """Return whole microseconds since 1970-01-01 UTC, without going through float seconds.

    Raises:
        InputError: The instant is naive.

    Example:
        >>> to_us(datetime(1969, 12, 31, 23, 59, 59, 999999, tzinfo=UTC))
        -1
    """
    if instant.tzinfo is None:
        raise InputError(f"timestamp {instant.isoformat()} has no time zone", hint="give an aware UTC timestamp")
    return (instant - EPOCH) // _MICROSECOND


def from_us(microseconds: int) -> datetime:
    """Return the aware UTC instant at whole microseconds since 1970.

    Example:
        >>> from_us(-1).isoformat()
        '1969-12-31T23:59:59.999999+00:00'
    """
    return EPOCH + timedelta(microseconds=microseconds)


def parse_instant(text: str) -> datetime:
    """Return the aware UTC instant that an RFC 3339 text names.

    Raises:
        InputError: The text is not RFC 3339, names no time zone, or an instant outside the years 1 to 9999.

    Example:
        >>> parse_instant("2018-04-01T00:00:31Z").isoformat()
        '2018-04-01T00:00:31+00:00'
    """
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        raise InputError(f"{text!r} is not an RFC 3339 timestamp", hint="write it like 2026-01-31T09:30:00Z") from None
    if instant.tzinfo is None:
        raise InputError(f"timestamp {text!r} has no time zone", hint=f"write it like {text}Z")
    try:
        return instant.astimezone(UTC)
    except OverflowError:
        raise InputError(f"timestamp {text!r} is outside the years 1 to 9999 in UTC", hint="correct the year") from None


def rfc3339(instant: datetime) -> str:
    """Return the instant as RFC 3339 text in UTC.

    Raises:
        InputError: The instant is naive: it would be read in the machine's zone.

    Example:
        >>> rfc3339(from_us(0))
        '1970-01-01T00:00:00Z'
    """
    if instant.tzinfo is None:
        raise InputError(f"timestamp {instant.isoformat()} has no time zone", hint="give an aware UTC timestamp")
    return instant.astimezone(UTC).isoformat().replace("+00:00", "Z")
