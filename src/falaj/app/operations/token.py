"""Operations on tokens and the actors they present."""

import logging

from falaj.app.known_actions import check_meant
from falaj.app.values.token import CreatedToken, CreateToken, Revoked, RevokeToken, TokenQuery
from falaj.governance.access import Actor, Role
from falaj.governance.identity import check_scopes
from falaj.governance.tokens import TokenRecord
from falaj.kernel.clock import from_us, to_us
from falaj.kernel.duration import positive_duration_us
from falaj.kernel.errors import InputError, StorageError
from falaj.kernel.names import check_name, did_you_mean
from falaj.kernel.rate import Rate
from falaj.lifecycle.adoption import wait_adopted
from falaj.lifecycle.publication import publish_snapshots
from falaj.lifecycle.rooms import TOKENS_TOPIC, Rooms

log = logging.getLogger("falaj.app")


def create(rooms: Rooms, actor: Actor, params: CreateToken) -> CreatedToken:
    """Make a token, and its actor where a role is given and there is none yet."""
    expires = None  # first what may be refused: an actor that was made for it would stay
    if params.expires is not None:
        expires = from_us(to_us(rooms.clock.now()) + positive_duration_us(params.expires, field="expires"))
    check_scopes(params.scopes)
    rate = None if params.rate is None else Rate.parse(params.rate)
    limits = rooms.settings.limits.tenants
    if params.tenant and check_name("tenant", params.tenant) not in limits:
        raise InputError(
            f"tenant {params.tenant!r} has no limit to share",
            hint=did_you_mean(params.tenant, limits) if limits else "name it in [limits] tenants of falaj.toml",
        )
    known = {one.name: one for one in rooms.actors.list()}
    role = str(known[params.actor].role) if params.actor in known else params.role
    if role in set(Role):
        check_meant(params.scopes, role)
    if params.actor not in known and params.role is not None:
        known[params.actor] = rooms.actors.create(params.actor, params.role, actor)
    elif params.actor in known and params.role not in (None, str(known[params.actor].role)):
        raise InputError(
            f"actor {params.actor!r} has the role {known[params.actor].role}", hint="leave --role out, or use its role"
        )
    elif params.actor not in known:
        raise InputError(f"actor {params.actor!r} does not exist", hint="give --role to create it with")
    token = rooms.actors.create_token(params.actor, params.scopes, expires, by=actor, tenant=params.tenant, rate=rate)
    try:
        publish_snapshots(rooms)
        wait_adopted(rooms, TOKENS_TOPIC)  # so that it holds at the gateway when this answers
    except StorageError as error:  # the token is shown only once: not to answer would lose it
        log.warning("gateways learn of the new token later: %s", error.message)
    return CreatedToken(params.actor, str(known[params.actor].role), token)


def list_tokens(rooms: Rooms, actor: Actor, params: TokenQuery) -> list[TokenRecord]:
    """Return tokens without their secrets."""
    del actor
    return rooms.actors.tokens(params.actor or None)


def revoke(rooms: Rooms, actor: Actor, params: RevokeToken) -> Revoked:
    """End a token now."""
    rooms.actors.revoke(params.token_id, actor)
    publish_snapshots(rooms)
    wait_adopted(rooms, TOKENS_TOPIC)  # so that it holds at the gateway when this answers
    return Revoked(params.token_id)
