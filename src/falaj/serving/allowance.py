"""Allowance: how many rows a token, and its tenant with it, may still ask for."""

from collections.abc import Callable, Mapping

from falaj.governance.tokens import TokenEntry, TokenSnapshot
from falaj.kernel.errors import InputError, RateLimited
from falaj.kernel.rate import Rate
from falaj.serving.buckets import Bucket, Buckets

_SECOND_US = 1_000_000

Refused = Callable[[], None]
"""Counts a request that was refused."""


class Allowance:
    """The buckets that a token's rows are taken from.

    Args:
        limits: Whose bucket each is, such as `token 'tok_1'`, and the bucket.
        refused: Called for each request that is refused.
    """

    __slots__ = ("_limits", "_refused")

    def __init__(self, limits: list[tuple[str, Bucket]], refused: Refused) -> None:
        self._limits = limits
        self._refused = refused

    def take(self, rows: int, now_us: int, *, begun: int = 0) -> None:
        """Take the rows of a request from every bucket, or from none.

        Args:
            rows: How many, besides those that were taken when the request began.
            now_us: The present instant.
            begun: How many were taken when it began; given back when it is refused.

        Raises:
            InputError: The request has more rows than could ever come at once.
            RateLimited: The limit is reached.
        """
        for whose, bucket in self._limits:
            if rows + begun > bucket.rate.burst:
                raise InputError(
                    f"the request has {rows + begun} rows, and {whose} may ask for {bucket.rate.burst} at once",
                    hint="send fewer rows in one request",
                )
        for number, (whose, bucket) in enumerate(self._limits):
            wait_us = bucket.take(rows, now_us) if rows else 0
            if wait_us:
                for _, earlier in self._limits[:number]:
                    earlier.take(-rows, now_us)
                if begun:
                    for _, each in self._limits:
                        each.take(-begun, now_us)
                self._refused()
                wait_s = -(-wait_us // _SECOND_US)
                raise RateLimited(
                    f"{whose} may ask for {bucket.rate.text}",
                    hint=f"try again in {wait_s} s, or ask an owner for a higher limit",
                    retry_after_s=wait_s,
                )


def allowances(snapshot: TokenSnapshot, buckets: Buckets, refused: Refused) -> dict[str, Allowance]:
    """Return the allowances of the tokens that have a limit, by token.

    Args:
        snapshot: The tokens in force.
        buckets: What all workers share.
        refused: Called for each request that is refused.
    """
    found = {}
    for entry in snapshot.tokens.values():
        limits = _limits(entry, snapshot.tenants, buckets)
        if limits:
            found[entry.token] = Allowance(limits, refused)
    return found


def _limits(entry: TokenEntry, tenants: Mapping[str, Rate], buckets: Buckets) -> list[tuple[str, Bucket]]:
    # A changed rate is another bucket, which begins full: what the old one holds is counted in other parts.
    limits = []
    if entry.rate is not None:
        key = f"token:{entry.token}:{entry.rate.text}"
        limits.append((f"token {entry.token!r}", buckets.bucket(key, entry.rate)))
    rate = tenants.get(entry.tenant) if entry.tenant else None
    if rate is not None:
        key = f"tenant:{entry.tenant}:{rate.text}"
        limits.append((f"tenant {entry.tenant!r}", buckets.bucket(key, rate)))
    return limits
