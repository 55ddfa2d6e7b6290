"""Operations on tokens and the actors they present."""

import msgspec

from falaj.governance.access import Actor
from falaj.governance.identity import TokenRecord
from falaj.kernel.clock import from_us, to_us
from falaj.kernel.duration import positive_duration_us
from falaj.kernel.errors import InputError
from falaj.lifecycle.publication import publish_snapshots
from falaj.lifecycle.rooms import Rooms


class CreateToken(msgspec.Struct, frozen=True):
    """Ask for a token.

    Attributes:
        actor: Whom it presents.
        role: Creates the actor with this role when there is none of that name.
        scopes: Patterns that narrow the role.
        expires: How long it lasts, like "30d"; None for ever.
    """

    actor: str
    role: str | None = None
    scopes: tuple[str, ...] = ("*",)
    expires: str | None = None


class CreatedToken(msgspec.Struct, frozen=True):
    """A new token; its text is shown this once and stored nowhere.

    Attributes:
        actor: Whom it presents.
        role: The actor's role.
        token: Its text.
    """

    actor: str
    role: str
    token: str


class TokenQuery(msgspec.Struct, frozen=True):
    """Which tokens to list.

    Attributes:
        actor: Only this actor's; empty for all.
    """

    actor: str = ""


class RevokeToken(msgspec.Struct, frozen=True):
    """Ask to end a token.

    Attributes:
        token_id: Its identifier, as `falaj token list` shows it.
    """

    token_id: str


class Revoked(msgspec.Struct, frozen=True):
    """A token that has ended."""

    token_id: str


def create(rooms: Rooms, actor: Actor, params: CreateToken) -> CreatedToken:
    """Make a token, and its actor where a role is given and there is none yet."""
    known = {one.name: one for one in rooms.actors.list()}
    if params.actor not in known and params.role is not None:
        known[params.actor] = rooms.actors.create(params.actor, params.role, actor)
    elif params.actor in known and params.role not in (None, str(known[params.actor].role)):
        raise InputError(
            f"actor {params.actor!r} has the role {known[params.actor].role}", hint="leave --role out, or use its role"
        )
    elif params.actor not in known:
        raise InputError(f"actor {params.actor!r} does not exist", hint="give --role to create it with")
    expires = None
    if params.expires is not None:
        expires = from_us(to_us(rooms.clock.now()) + positive_duration_us(params.expires, field="expires"))
    token = rooms.actors.create_token(params.actor, params.scopes, expires, by=actor)
    publish_snapshots(rooms)
    return CreatedToken(params.actor, str(known[params.actor].role), token)


def list_tokens(rooms: Rooms, actor: Actor, params: TokenQuery) -> list[TokenRecord]:
    """Return tokens without their secrets."""
    del actor
    return rooms.actors.tokens(params.actor or None)


def revoke(rooms: Rooms, actor: Actor, params: RevokeToken) -> Revoked:
    """End a token now."""
    rooms.actors.revoke(params.token_id, actor)
    publish_snapshots(rooms)
    return Revoked(params.token_id)
