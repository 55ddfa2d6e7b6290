"""Actors and tokens."""

from datetime import timedelta

import pytest
import sqlalchemy as sa

from falaj.governance.access import SYSTEM, Actor, Role
from falaj.governance.audit import list_records
from falaj.governance.identity import TOKEN, Actors
from falaj.governance.tokens import TokenSnapshot, hash_token
from falaj.kernel.clock import ManualClock, to_us
from falaj.kernel.codec import from_msgpack, to_msgpack
from falaj.kernel.errors import AccessDenied, Conflict, DefinitionError, InputError, NotFound, Unauthenticated
from falaj.kernel.ids import id_maker
from falaj.kernel.rate import Rate
from falaj.storage.metadata.database import Database


@pytest.fixture
def actors(db: Database, clock: ManualClock) -> Actors:
    actors = Actors(db, clock, id_maker(clock))
    actors.create("ada", Role.ENGINEER, SYSTEM)
    return actors


def test_a_token_presents_its_actor_with_its_scopes(actors: Actors) -> None:
    text = actors.create_token("ada", ("model.*",), by=SYSTEM)
    actor = actors.authenticate(text)
    assert (actor.name, actor.role, actor.scopes) == ("ada", Role.ENGINEER, ("model.*",))
    assert actor.token == actors.tokens("ada")[0].id


def test_limits_go_into_the_snapshot_and_the_audit_trail(actors: Actors, db: Database) -> None:
    text = actors.create_token("ada", by=SYSTEM, tenant="shop", rate=Rate.parse("5/m burst 9"))
    snapshot = from_msgpack(to_msgpack(actors.snapshot({"shop": Rate.parse("7/s")})), TokenSnapshot)
    entry = snapshot.tokens[hash_token(text)]
    assert (entry.tenant, entry.rate) == ("shop", Rate(5, 60_000_000, 9))
    assert snapshot.tenants == {"shop": Rate(7, 1_000_000, 7)}
    (record,) = actors.tokens()
    assert (record.tenant, record.rate) == ("shop", "5/m burst 9")
    assert "5/m burst 9" in repr(list_records(db)[0])
    with pytest.raises(DefinitionError, match="tenant name"):
        actors.create_token("ada", by=SYSTEM, tenant="no such name")


def test_token_text_has_the_documented_form_and_is_not_stored(actors: Actors, db: Database) -> None:
    text = actors.create_token("ada", by=SYSTEM)
    assert text.startswith("flj_")
    assert len(text) == 4 + 52
    with db.read() as connection:
        assert text not in repr(connection.execute(sa.select(TOKEN)).all())
    assert text not in repr(list_records(db))


@pytest.mark.parametrize("text", ["", "flj_", "flj_aaaa", "\ud800", "é" * 100])
def test_an_unknown_token_is_refused_with_one_sentence(actors: Actors, text: str) -> None:
    with pytest.raises(Unauthenticated, match="unknown or revoked"):
        actors.authenticate(text)


def test_a_revoked_token_is_refused_and_leaves_the_snapshot(actors: Actors) -> None:
    text = actors.create_token("ada", by=SYSTEM)
    actors.revoke(actors.tokens()[0].id, SYSTEM)
    with pytest.raises(Unauthenticated):
        actors.authenticate(text)
    assert actors.snapshot() == TokenSnapshot({})
    with pytest.raises(Conflict, match="already revoked"):
        actors.revoke(actors.tokens()[0].id, SYSTEM)


def test_expiry_is_the_first_instant_refused(actors: Actors, clock: ManualClock) -> None:
    text = actors.create_token("ada", expires=clock.now() + timedelta(seconds=60), by=SYSTEM)
    clock.advance(59.999999)
    assert actors.authenticate(text).name == "ada"
    clock.advance(0.000001)
    with pytest.raises(Unauthenticated, match="expired at 1970-01-01T00:01:00Z"):
        actors.authenticate(text)


def test_the_snapshot_judges_as_the_database_does_and_survives_the_wire(actors: Actors, clock: ManualClock) -> None:
    text = actors.create_token("ada", expires=clock.now() + timedelta(seconds=60), by=SYSTEM)
    snapshot = from_msgpack(to_msgpack(actors.snapshot()), TokenSnapshot)
    assert snapshot.authenticate(text, to_us(clock.now())) == actors.authenticate(text)
    clock.advance(60)
    with pytest.raises(Unauthenticated):
        snapshot.authenticate(text, to_us(clock.now()))


def test_names_roles_and_scopes_are_checked(actors: Actors, clock: ManualClock) -> None:
    with pytest.raises(Conflict):
        actors.create("ada", Role.VIEWER, SYSTEM)
    with pytest.raises(Conflict):
        actors.create("system", Role.VIEWER, SYSTEM)
    with pytest.raises(DefinitionError):
        actors.create("a b", Role.VIEWER, SYSTEM)
    with pytest.raises(InputError, match="role 'king'"):
        actors.create("lin", "king", SYSTEM)
    with pytest.raises(NotFound, match="'adda'") as missing:
        actors.create_token("adda", by=SYSTEM)
    assert missing.value.hint == "did you mean 'ada'?"
    with pytest.raises(InputError):
        actors.create_token("ada", (), by=SYSTEM)
    with pytest.raises(InputError, match="past"):
        actors.create_token("ada", expires=clock.now(), by=SYSTEM)


def test_an_engineer_cannot_make_a_second_self(actors: Actors) -> None:
    with pytest.raises(AccessDenied):
        actors.create("ada2", Role.APPROVER, Actor("ada", Role.ENGINEER))
    with pytest.raises(AccessDenied):
        actors.create_token("ada", by=Actor("ada", Role.ENGINEER))
    assert [actor.name for actor in actors.list()] == ["ada"]


def test_each_change_of_tokens_is_announced_in_its_transaction(db: Database, clock: ManualClock) -> None:
    seen: list[int] = []

    def changed(connection: sa.Connection) -> None:
        seen.append(connection.execute(sa.select(sa.func.count()).select_from(TOKEN)).scalar_one())

    actors = Actors(db, clock, id_maker(clock), changed)
    actors.create("ada", Role.ENGINEER, SYSTEM)
    actors.create_token("ada", by=SYSTEM)
    actors.revoke(actors.tokens()[0].id, SYSTEM)
    assert seen == [1, 1]


def test_every_write_is_audited(actors: Actors, db: Database) -> None:
    actors.create_token("ada", by=SYSTEM)
    actors.revoke(actors.tokens()[0].id, SYSTEM)
    assert [record.action for record in list_records(db)] == ["token.revoke", "token.create", "actor.create"]
