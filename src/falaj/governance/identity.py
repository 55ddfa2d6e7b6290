"""Actors and their tokens."""

import builtins
import re
import secrets
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import msgspec
import sqlalchemy as sa

from falaj.governance.access import ALLOWED, EVERYTHING, SYSTEM, Actor, Role, authorise
from falaj.governance.audit import audited
from falaj.governance.tokens import TokenEntry, TokenRecord, TokenSnapshot, actor_of, hash_token, make_token
from falaj.kernel.clock import Clock, to_us
from falaj.kernel.errors import Conflict, InputError, NotFound
from falaj.kernel.ids import NewId
from falaj.kernel.names import check_actor_name, check_name, did_you_mean
from falaj.kernel.rate import Rate
from falaj.storage.metadata.database import Database
from falaj.storage.metadata.schema import metadata

ACTOR = sa.Table(
    "actor",
    metadata,
    sa.Column("name", sa.String, primary_key=True),
    sa.Column("role", sa.String, nullable=False),
    sa.Column("created", sa.BigInteger, nullable=False),
)

TOKEN = sa.Table(
    "token",
    metadata,
    sa.Column("id", sa.String, primary_key=True),
    sa.Column("actor", sa.String, sa.ForeignKey("actor.name"), nullable=False),
    sa.Column("hash", sa.String(64), nullable=False, unique=True),
    sa.Column("scopes", sa.JSON, nullable=False),
    sa.Column("created", sa.BigInteger, nullable=False),
    sa.Column("expires", sa.BigInteger),
    sa.Column("revoked", sa.BigInteger),
    sa.Column("tenant", sa.String, nullable=False, server_default=""),
    sa.Column("rate", sa.String),
)


_SCOPE = re.compile(r"(\*|[a-z_*]+\.[a-z_*]+)(@[^\s@\x00-\x1f]+)?")
"""An action or a pattern of actions, and where it may be done. What matches nothing is a mistake, not a safe token."""


class ActorRecord(msgspec.Struct, frozen=True):
    """An actor as stored; times are microseconds since 1970."""

    name: str
    role: Role
    created: int


def _nothing(connection: sa.Connection) -> None:
    del connection


class Actors:
    """The actors of a project and the tokens that present them.

    Args:
        db: The metadata database.
        clock: Gives creation times and judges expiry.
        new_id: Makes token identifiers.
        changed: Called inside each transaction that changes what `snapshot` returns, to add its outbox row.
        random_bytes: Makes the secrets.
    """

    def __init__(
        self,
        db: Database,
        clock: Clock,
        new_id: NewId,
        changed: Callable[[sa.Connection], None] = _nothing,
        random_bytes: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        self._db = db
        self._clock = clock
        self._new_id = new_id
        self._changed = changed
        self._random_bytes = random_bytes

    def create(self, name: str, role: Role | str, by: Actor) -> ActorRecord:
        """Create an actor.

        Raises:
            DefinitionError: The name cannot be used.
            InputError: There is no such role.
            AccessDenied: `by` may not do `actor.create`.
            Conflict: The name is taken.
        """
        check_actor_name(name)
        actor = ActorRecord(name, _role(role), to_us(self._clock.now()))
        authorise(by, "actor.create", name)
        with audited(self._db, self._clock, by, "actor.create", name, {"role": str(actor.role)}) as connection:
            if name == SYSTEM.name or _find(connection, name) is not None:
                raise Conflict(f"actor {name!r} already exists", hint="choose another name")
            connection.execute(ACTOR.insert().values(msgspec.structs.asdict(actor)))
        return actor

    def get(self, name: str) -> ActorRecord:
        """Return an actor.

        Raises:
            NotFound: There is none of that name.
        """
        with self._db.read() as connection:
            return self._require(connection, name)

    def list(self) -> builtins.list[ActorRecord]:
        """Return all actors by name."""
        with self._db.read() as connection:
            return [_actor_record(row) for row in connection.execute(sa.select(ACTOR).order_by(ACTOR.c.name))]

    def create_token(
        self, actor: str, scopes: tuple[str, ...] = EVERYTHING, expires: datetime | None = None, *, by: Actor,
        tenant: str = "", rate: Rate | None = None,
    ) -> str:  # fmt: skip
        """Create a token and return its text, which is stored nowhere and cannot be shown again.

        Args:
            actor: Whom it presents.
            scopes: Patterns that narrow the actor's role, such as `endpoint.predict@fraud`.
            expires: When it ends; None for never.
            by: Who asks.
            tenant: With whom it shares the tenant's limit; empty for nobody.
            rate: How many rows the gateway lets it ask for in a time; None for any number.

        Raises:
            NotFound: There is no such actor.
            DefinitionError: The tenant's name cannot be used.
            InputError: A scope is empty or malformed, or the expiry is past.
            AccessDenied: `by` may not do `token.create`.
        """
        authorise(by, "token.create", actor)
        now_us = to_us(self._clock.now())
        expires_us = None if expires is None else to_us(expires)
        if expires_us is not None and expires_us <= now_us:
            raise InputError(f"the token would expire at {expires}, which is past", hint="give a later instant")
        check_scopes(scopes)
        if tenant:
            check_name("tenant", tenant)
        plaintext = make_token(self._random_bytes)
        row = {
            "id": self._new_id("tok"),
            "actor": actor,
            "hash": hash_token(plaintext),
            "scopes": list(scopes),
            "created": now_us,
            "expires": expires_us,
            "tenant": tenant,
            "rate": None if rate is None else rate.text,
        }
        detail = {name: row[name] for name in ("scopes", "expires", "tenant", "rate")} | {"token": row["id"]}
        with audited(self._db, self._clock, by, "token.create", actor, detail) as connection:
            self._require(connection, actor)
            connection.execute(TOKEN.insert().values(**row))
            self._changed(connection)
        return plaintext

    def revoke(self, token_id: str, by: Actor) -> None:
        """End a token now; the gateway refuses it with the next snapshot.

        Raises:
            NotFound: There is no such token.
            Conflict: It was revoked before.
            AccessDenied: `by` may not do `token.revoke`.
        """
        authorise(by, "token.revoke", token_id)
        with audited(self._db, self._clock, by, "token.revoke", token_id) as connection:
            row = connection.execute(sa.select(TOKEN).where(TOKEN.c.id == token_id)).first()
            if row is None:
                raise NotFound(f"token {token_id!r} does not exist", hint="list them with 'falaj token list'")
            if row.revoked is not None:
                raise Conflict(f"token {token_id!r} is already revoked")
            connection.execute(TOKEN.update().where(TOKEN.c.id == token_id).values(revoked=to_us(self._clock.now())))
            self._changed(connection)

    def tokens(self, actor: str | None = None) -> builtins.list[TokenRecord]:
        """Return tokens without their secrets, the newest first."""
        query = sa.select(TOKEN).order_by(TOKEN.c.created.desc(), TOKEN.c.id)
        if actor is not None:
            query = query.where(TOKEN.c.actor == actor)
        with self._db.read() as connection:
            return [_token_record(row) for row in connection.execute(query)]

    def authenticate(self, plaintext: str) -> Actor:
        """Return the actor whose token this is.

        Raises:
            Unauthenticated: The token is unknown, revoked or expired.
        """
        with self._db.read() as connection:
            row = connection.execute(_in_force().where(TOKEN.c.hash == hash_token(plaintext))).first()
        return actor_of(None if row is None else _entry(row), to_us(self._clock.now()))

    def snapshot(self, tenants: Mapping[str, Rate] | None = None) -> TokenSnapshot:
        """Return all tokens in force, for the gateway.

        Args:
            tenants: The limits of tenants, to go with them.
        """
        with self._db.read() as connection:
            tokens = {row.hash: _entry(row) for row in connection.execute(_in_force())}
        return TokenSnapshot(tokens, dict(tenants or {}))

    def _require(self, connection: sa.Connection, name: str) -> ActorRecord:
        row = _find(connection, name)
        if row is None:
            known = connection.execute(sa.select(ACTOR.c.name)).scalars()
            raise NotFound(f"actor {name!r} does not exist", hint=did_you_mean(name, known))
        return _actor_record(row)


def check_scopes(scopes: tuple[str, ...]) -> None:
    """Return if a token may have the scopes.

    Raises:
        InputError: There is none, or one is empty or malformed.
    """
    if not scopes or not all(scopes):
        raise InputError("a token needs at least one scope, and none may be empty", hint="give '*' for the role")
    for scope in scopes:
        if not _SCOPE.fullmatch(scope):
            raise InputError(
                f"scope {scope!r} is not ACTION or ACTION@RESOURCE", hint="write it like endpoint.predict@fraud"
            )


def _role(role: Role | str) -> Role:
    try:
        return Role(role)
    except ValueError:
        raise InputError(f"role {role!r} does not exist", hint=did_you_mean(role, map(str, ALLOWED))) from None


def _find(connection: sa.Connection, name: str) -> sa.Row[Any] | None:
    return connection.execute(sa.select(ACTOR).where(ACTOR.c.name == name)).first()


def _in_force() -> sa.Select[Any]:
    return sa.select(TOKEN, ACTOR.c.role).join(ACTOR, ACTOR.c.name == TOKEN.c.actor).where(TOKEN.c.revoked.is_(None))


def _entry(row: sa.Row[Any]) -> TokenEntry:
    return TokenEntry(row.id, row.actor, Role(row.role), tuple(row.scopes), row.expires, row.tenant, _rate(row.rate))


def _rate(text: str | None) -> Rate | None:
    return None if text is None else Rate.parse(text)


def _token_record(row: sa.Row[Any]) -> TokenRecord:
    scopes = tuple(row.scopes)
    return TokenRecord(row.id, row.actor, scopes, row.created, row.expires, row.revoked, row.tenant, row.rate)


def _actor_record(row: sa.Row[Any]) -> ActorRecord:
    return ActorRecord(row.name, Role(row.role), row.created)
