"""Operations done in this process, under the project's lock, when no control runs."""

import logging
import os
import threading
from collections.abc import Callable
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import msgspec

from falaj.app.backends import open_rooms, workers_for
from falaj.app.operation import perform
from falaj.app.running import owner_token
from falaj.app.values.run import RunDetail, RunQuery
from falaj.governance.access import SYSTEM, Actor
from falaj.kernel.errors import StorageError
from falaj.kernel.settings import Settings
from falaj.lifecycle.publication import publish_waiting
from falaj.lifecycle.rooms import Rooms
from falaj.storage.folder import StateFolder

log = logging.getLogger("falaj.app")
OWNER = "owner"
_LOOK_EVERY_S = 0.2


def perform_local(folder: Path, settings: Settings, token: str | None, name: str, params: msgspec.Struct) -> Any:
    """Carry out one operation here.

    Args:
        folder: The project's folder.
        settings: Its settings.
        token: Who acts; the owner by default.
        name: The operation.
        params: Its parameters.

    Raises:
        Locked: Another process works on the project.
        FalajError: Whatever the operation raises.
    """
    state = StateFolder.of(folder, settings.storage)
    with state.lock(), open_rooms(folder, settings) as rooms:
        ensure_owner(rooms)
        try:
            publish_waiting(rooms)  # what a killed command left: gateways may run without control
        except StorageError as error:  # a server that is down does not concern every command
            log.warning("gateways do not learn of the last changes yet: %s", error.message)
        return perform(rooms, who(rooms, token), name, params)


def work_here(
    folder: Path, settings: Settings, token: str | None, run_id: str, on_look: Callable[[RunDetail], None]
) -> RunDetail:
    """Work on a run in this process until it has ended.

    Args:
        folder: The project's folder.
        settings: Its settings.
        token: Who acts.
        run_id: The run.
        on_look: Called with the run now and then, and once at its end.

    Raises:
        NotFound: There is no such run.
        FalajError: Whatever ended the worker.
    """
    state = StateFolder.of(folder, settings.storage)
    with state.lock(), open_rooms(folder, settings) as rooms:
        actor = who(rooms, token)

        def look() -> RunDetail:
            detail: RunDetail = perform(rooms, actor, "run.show", RunQuery(run_id))
            on_look(detail)
            return detail

        look()  # a run that does not exist, or that the actor may not see, is not worked on
        stop = threading.Event()
        workers = workers_for(rooms)
        with ThreadPoolExecutor(len(workers), thread_name_prefix="worker") as pool:
            working = [pool.submit(worker.run_one, run_id, stop) for worker in workers]
            try:
                while wait(working, _LOOK_EVERY_S, FIRST_EXCEPTION).not_done and not any(map(_failed, working)):
                    look()
            finally:
                stop.set()
        for one in working:
            one.result()  # what ended a worker, a full disk for one, is this command's error
        return look()


def _failed(working: "Future[Any]") -> bool:
    return working.done() and working.exception() is not None


def who(rooms: Rooms, token: str | None) -> Actor:
    """Return the actor of a token, or the owner's when none is given.

    Raises:
        Unauthenticated: The token is unknown, expired or revoked.
    """
    return rooms.actors.authenticate(token or owner_token(rooms.state.path) or "")


def ensure_owner(rooms: Rooms) -> None:
    """Create the owner and its token on the project's first use, or its first after the database was lost.

    The file is readable by its owner only: whoever can read the state folder owns the project anyway.
    """
    path = rooms.state.owner_token
    known = OWNER in {actor.name for actor in rooms.actors.list()}
    if known and path.exists():
        return
    if not known:
        rooms.actors.create(OWNER, "owner", SYSTEM)
    token = rooms.actors.create_token(OWNER, by=SYSTEM)
    part = path.with_suffix(".part")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(token + "\n")
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
