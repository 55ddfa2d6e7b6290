"""A version on its way to production, in a process that kills itself, as `kill -9` would, at the n-th write."""

import os
import signal
from datetime import timedelta
from pathlib import Path

from falaj.definitions.routing_table import RoutingTable
from falaj.governance.approvals import ApprovalState
from falaj.governance.audit import list_records, verify
from falaj.kernel.clock import ManualClock
from falaj.kernel.codec import from_msgpack
from falaj.kernel.settings import Settings, StorageSettings
from falaj.lifecycle.promotion import Promotions, Rollouts
from falaj.lifecycle.wishes import wishes
from falaj.models.stages import transitions
from falaj.rollout import rollouts
from falaj.storage.keyvalue.snapshots import read_snapshot
from support.rooms_world import EVE, START, Deaths, World, definitions, opened

HOUR = timedelta(hours=1)


def settings_of(database: str) -> Settings:
    """Return settings with the metadata in a database of a server, or in the folder where none is given."""
    return Settings(storage=StorageSettings(database=database))


def prepare(folder: Path, database: str) -> None:
    """Let version 1 serve, and register version 2, which nobody has approved."""
    folder.mkdir()
    with opened(folder, definitions(), settings=settings_of(database)) as world:
        world.approve(world.register())
        world.deploy(1)
        world.register()


def bring(world: World) -> None:
    """Do what is not done yet of bringing version 2 to production: each person their part, and each reconciler its own.

    Who got no answer, because the process died, asks again.
    """
    asked = world.rooms.approvals.find(kind="model", subject="fraud/2")
    if not asked:
        assert world.deploy(2).state == "waits for approval"
        asked = world.rooms.approvals.find(kind="model", subject="fraud/2")
    with world.rooms.db.read() as connection:
        wished = wishes(connection) or rollouts.running(connection)
    if not wished and 2 not in world.serving():
        world.deploy(2)
    if asked[0].state is ApprovalState.PENDING:
        world.rooms.approvals.approve(asked[0].id, EVE)
    passes(world)
    for _ in range(2):
        world.answered(2, 100)
        world.clock.advance(61)
        world.report()
        passes(world)


def passes(world: World) -> None:
    """Let both reconcilers pass, as control makes them."""
    Rollouts(world.rooms).run_pass(world.clock.now())
    Promotions(world.rooms).run_pass(world.clock.now())


def die_at(folder: str, database: str, at: int, committing: bool) -> None:
    """Bring version 2 to production, and die at a write; return where there are fewer."""
    clock = ManualClock(START + HOUR)
    with opened(Path(folder), clock=clock, settings=settings_of(database)) as world:
        Deaths(world.rooms, at, committing=committing, end=lambda: os.kill(os.getpid(), signal.SIGKILL))
        bring(world)


def go_on(folder: Path, database: str) -> None:
    """Open what a dead process left, bring the version to production, and hold everything against everything."""
    clock = ManualClock(START + HOUR + timedelta(minutes=10))  # within the deadline of the rollout
    with opened(folder, clock=clock, settings=settings_of(database)) as world:
        passes(world)
        world.answered(2, 500)  # the gateway's counters only grow, whoever reads them
        bring(world)
        check(world)


def check(world: World) -> None:
    """Version 2 serves, everybody knows, and nothing was done twice."""
    rooms = world.rooms
    assert (world.serving(), world.stages()) == ({2: 100}, {1: "archived", 2: "production"})
    raw = read_snapshot(rooms.online, "routing")
    assert raw is not None
    (told,) = from_msgpack(raw, RoutingTable).endpoints["fraud"].variants
    assert told.version == 2
    assert [one.state for one in rooms.approvals.find(kind="model", subject="fraud/2")] == [ApprovalState.APPROVED]
    with rooms.db.read() as connection:
        assert (wishes(connection), rollouts.running(connection)) == ([], [])
        moves = [(one.version, str(one.to_stage)) for one in transitions(connection, "fraud")]
    assert sorted(moves) == sorted(set(moves)), moves
    done = [(one.action, one.detail.get("version")) for one in list_records(rooms.db, limit=1000)]
    assert done.count(("endpoint.deploy", 2)) == 1
    assert sum(action == "model.approve" for action, _ in done) == 2
    verify(rooms.db)
    rooms.db.check()
