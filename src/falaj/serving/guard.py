"""Guard: who asks, and may they; denied is the default."""

from collections.abc import Mapping
from types import MappingProxyType

from falaj.governance.access import Actor, authorise
from falaj.governance.tokens import TokenEntry, TokenSnapshot, actor_of, hash_token
from falaj.kernel.errors import Unauthenticated
from falaj.serving.allowance import Allowance

PUBLIC_PATHS: frozenset[bytes] = frozenset((b"/v2/health/live", b"/v2/health/ready"))
"""What anybody may ask, for the sake of load balancers; everything else needs a token."""

_SCHEME = b"bearer "
_REMEMBERED = 100_000
_LONGEST_REMEMBERED = 200


class Guard:
    """Checks bearer tokens against one snapshot of them.

    Args:
        snapshot: The tokens in force. Without one nobody is let in.
        allowances: What the tokens that have a limit may still ask for, by token.

    Attributes:
        allowances: As given; empty where no token has a limit.
        tokens: How many there are; None without a snapshot.

    Example:
        >>> from falaj.governance.access import Role
        >>> app = TokenEntry("tok_1", "app", Role.SERVICE, ("endpoint.predict@fraud",))
        >>> guard = Guard(TokenSnapshot({hash_token("flj_secret"): app}))
        >>> guard.admit(b"Bearer flj_secret", "endpoint.predict", "fraud", now_us=0).name
        'app'
    """

    def __init__(
        self, snapshot: TokenSnapshot | None = None, allowances: Mapping[str, Allowance] = MappingProxyType({})
    ) -> None:
        self.allowances = allowances
        self._tokens = {} if snapshot is None else snapshot.tokens
        self.tokens = None if snapshot is None else len(snapshot.tokens)
        self._allowed: dict[tuple[bytes, str, str], tuple[TokenEntry, Actor]] = {}

    def admit(self, authorization: bytes | None, action: str, resource: str, now_us: int) -> Actor:
        """Return the actor, if its token lets it do the action.

        Args:
            authorization: The header's value.
            action: `noun.verb`, such as `endpoint.predict`.
            resource: The name of the thing acted on.
            now_us: The present instant; a token expires by it.

        Raises:
            Unauthenticated: There is no token, or it is unknown, revoked or expired.
            AccessDenied: Neither the actor's role nor the token's scopes allow it.
        """
        if authorization is None:
            raise Unauthenticated("the Authorization header is missing", hint="send 'Authorization: Bearer TOKEN'")
        key = (authorization, action, resource)
        allowed = self._allowed.get(key)
        if allowed is not None and (allowed[0].expires_us is None or now_us < allowed[0].expires_us):
            return allowed[1]
        entry = self._tokens.get(_hash(authorization))
        actor = actor_of(entry, now_us)
        authorise(actor, action, resource)
        # Both come from the caller: neither their number nor their length may grow.
        short = max(len(authorization), len(resource)) <= _LONGEST_REMEMBERED
        if entry is not None and short and len(self._allowed) < _REMEMBERED:
            self._allowed[key] = (entry, actor)
        return actor


def _hash(authorization: bytes) -> str:
    if authorization[:7].lower() != _SCHEME:
        raise Unauthenticated(
            "the Authorization header is not a bearer token", hint="send 'Authorization: Bearer TOKEN'"
        )
    return hash_token(authorization[7:].strip().decode("latin-1"))
