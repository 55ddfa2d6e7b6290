"""Identifiers that sort by the time they were made."""

import secrets
from collections.abc import Callable

from falaj.kernel.clock import Clock, to_us

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"

NewId = Callable[[str], str]
"""Makes an identifier with the given prefix, such as `run` or `req`."""


def _base32(value: int, length: int) -> str:
    digits = []
    for _ in range(length):
        value, rest = divmod(value, 32)
        digits.append(_ALPHABET[rest])
    return "".join(reversed(digits))


def id_maker(clock: Clock, random_bits: Callable[[int], int] = secrets.randbits) -> NewId:
    """Return a maker of identifiers such as `run_01k9…`: 50 bits of milliseconds, then 60 random bits.

    Example:
        >>> from falaj.kernel.clock import ManualClock
        >>> id_maker(ManualClock(), lambda bits: 1)("run")
        'run_0000000000000000000001'
    """

    def new_id(prefix: str) -> str:
        return f"{prefix}_{_base32(to_us(clock.now()) // 1000, 10)}{_base32(random_bits(60), 12)}"

    return new_id
