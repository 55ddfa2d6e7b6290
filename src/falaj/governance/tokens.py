"""Tokens as plain values: how they look, how they are hashed, and the snapshot that the gateway checks them against.

No SQL here: the gateway loads this module.
"""

import base64
import hashlib
from collections.abc import Callable

import msgspec

from falaj.governance.access import Actor, Role
from falaj.kernel.clock import from_us, rfc3339
from falaj.kernel.errors import Unauthenticated
from falaj.kernel.rate import Rate

PREFIX = "flj_"
_RANDOM_BYTES = 32


class TokenEntry(msgspec.Struct, frozen=True, array_like=True):
    """What one token stands for.

    Attributes:
        token: Its identifier, which is not secret.
        actor: Name of the actor.
        role: The actor's role.
        scopes: Patterns that narrow the role.
        expires_us: Microseconds since 1970 after which it is refused; None for never.
        tenant: Who shares a limit with others; empty for nobody.
        rate: How many rows it may ask for in a time; None for any number.
    """

    token: str
    actor: str
    role: Role
    scopes: tuple[str, ...]
    expires_us: int | None = None
    tenant: str = ""
    rate: Rate | None = None


class TokenRecord(msgspec.Struct, frozen=True):
    """A token as stored, without its secret; times are microseconds since 1970."""

    id: str
    actor: str
    scopes: tuple[str, ...]
    created: int
    expires: int | None
    revoked: int | None
    tenant: str = ""
    rate: str | None = None


class TokenSnapshot(msgspec.Struct, frozen=True):
    """All tokens in force, and the limits of tenants.

    Attributes:
        tokens: By the SHA-256 of their text (lower-case hex); revoked ones are not in it.
        tenants: How many rows all tokens of a tenant together may ask for in a time.

    Example:
        >>> entry = TokenEntry("tok_1", "app", Role.SERVICE, ("*",), expires_us=10)
        >>> snapshot = TokenSnapshot({hash_token("flj_secret"): entry})
        >>> snapshot.authenticate("flj_secret", now_us=9).name
        'app'
    """

    tokens: dict[str, TokenEntry]
    tenants: dict[str, Rate] = {}

    def authenticate(self, plaintext: str, now_us: int) -> Actor:
        """Return the actor whose token this is.

        Raises:
            Unauthenticated: The token is unknown, revoked or expired.
        """
        return actor_of(self.tokens.get(hash_token(plaintext)), now_us)


def actor_of(entry: TokenEntry | None, now_us: int) -> Actor:
    """Return the actor of a token's entry: the one rule for control and gateway alike.

    Raises:
        Unauthenticated: There is no entry, or it has expired.
    """
    if entry is None:
        # One sentence for both, so that the answer does not tell a guesser which tokens once existed.
        raise Unauthenticated(
            "the token is unknown or revoked", hint="ask an owner for one: falaj token create --actor NAME"
        )
    if entry.expires_us is not None and now_us >= entry.expires_us:
        raise Unauthenticated(
            f"the token {entry.token} of actor {entry.actor!r} expired at {rfc3339(from_us(entry.expires_us))}",
            hint=f"ask an owner for a new one: falaj token create --actor {entry.actor}",
        )
    return Actor(entry.actor, entry.role, entry.scopes, entry.token)


def make_token(random_bytes: Callable[[int], bytes]) -> str:
    """Return a new token's text: 256 random bits in base 32.

    Example:
        >>> make_token(bytes)[:8]
        'flj_aaaa'
    """
    return PREFIX + base64.b32encode(random_bytes(_RANDOM_BYTES)).decode().rstrip("=").lower()


def hash_token(plaintext: str) -> str:
    """Return what is stored in place of the token; it is random enough to need no slow hash.

    Example:
        >>> hash_token("flj_secret")[:8]
        'af86c270'
    """
    return hashlib.sha256(plaintext.encode("utf-8", "surrogatepass")).hexdigest()
