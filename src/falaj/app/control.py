"""The control process: API, workers, reconcilers and the applier over one project's rooms."""

import asyncio
import contextlib
import gc
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from falaj.app.backends import open_rooms, workers_for
from falaj.app.local import ensure_owner
from falaj.app.ports import refuse_taken
from falaj.app.reconcilers import reconcilers
from falaj.app.running import announce, find_control, folder_mark, withdraw
from falaj.governance.exposure import refuse_exposed
from falaj.kernel.errors import FalajError, StorageError
from falaj.kernel.settings import Settings
from falaj.lifecycle.catch_up import apply_new_rows, backfill_views, refresh_views
from falaj.lifecycle.feeds import TakeFeeds
from falaj.lifecycle.publication import publish_snapshots
from falaj.lifecycle.rooms import Rooms
from falaj.pipelines.process import this_worker
from falaj.pipelines.reconcile import ReconcilerLoop
from falaj.storage.folder import StateFolder

log = logging.getLogger("falaj.control")
APPLY_EVERY_S = 0.05
BACKFILL_EVERY_S = 0.5
TAKE_EVERY_S = 0.05
REFRESH_EVERY_S = 1.0
LONGEST_PAUSE_S = 2.0
_SWITCH_S = 0.0005
"""How long a thread that computes may keep the others waiting. With Python's own 5 ms each answer waits that long
several times over while views are brought up to date."""

_COLLECT_AFTER = (20_000, 20, 50)
_LOOK_EVERY_S = 0.02
_ALONE_EVERY_S = 1.0


def run_control(folder: Path, settings: Settings, make_app: Any, *, supervisor: int | None = None) -> None:
    """Run control until it is told to stop.

    Args:
        folder: The project's folder.
        settings: Its settings.
        make_app: Makes the HTTP application from the rooms and a function that authenticates tokens; the room above
            passes it in.
        supervisor: The process that started this one and without which it ends; None where nobody watches over it.

    Raises:
        Locked: Another process holds the project.
        PortInUse: Another program listens on the address.
        Unavailable: Others reach the address, and no token is in force.
    """
    sys.setswitchinterval(_SWITCH_S)
    host, port = settings.control.host, settings.control.port
    refuse_taken(host, port, setting="control.port")
    state = StateFolder.of(folder, settings.storage)
    with state.lock(), open_rooms(folder, settings) as rooms:
        ensure_owner(rooms)
        refuse_exposed(host, len(rooms.actors.snapshot().tokens), setting="control.host")
        rooms.ingestion.recover()
        try:
            publish_snapshots(rooms, force=True)
        except StorageError as error:  # of a server that is down: the reconciler publishes when it is back
            log.error("nothing could be published: %s", error.message)
        with _background(rooms):
            app = make_app(rooms, rooms.actors.authenticate)
            try:
                alone = partial(_belonging, state.path, settings.control.url, supervisor, rooms.db.lost)
                asyncio.run(_serve(app, host, port, alone))
            finally:
                withdraw(state.path)


async def _serve(app: Any, host: str, port: int, belonging: Callable[[], Coroutine[Any, Any, None]]) -> None:
    from granian.constants import Interfaces
    from granian.server.embed import Server

    server = Server(app, host, port, interface=Interfaces.ASGI, websockets=False, log_enabled=False)
    loop = asyncio.get_running_loop()
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    serving = loop.create_task(server.serve())
    waiting = loop.create_task(stopping.wait())
    listening = loop.create_task(_until_listening(host, port))
    await asyncio.wait({serving, waiting, listening}, return_when=asyncio.FIRST_COMPLETED)
    if listening.done():  # whoever finds the announcement is answered
        alone = loop.create_task(belonging())
        await asyncio.wait({serving, waiting, alone}, return_when=asyncio.FIRST_COMPLETED)
        alone.cancel()
    listening.cancel()
    server.stop()  # type: ignore[no-untyped-call]
    with contextlib.suppress(asyncio.TimeoutError, asyncio.CancelledError):
        await asyncio.wait_for(serving, 10)
    waiting.cancel()


async def _belonging(
    state: Path, url: str, supervisor: int | None, lost: Callable[[], FalajError | None]
) -> None:  # fmt: skip
    """Announce this process, and return when no command could find or stop it any more: its state folder is another
    one or announces another control, its supervisor is gone, or another process took the project's database."""
    mark = folder_mark(state)
    announce(state, url)
    while True:
        await asyncio.sleep(_ALONE_EVERY_S)
        running = find_control(state)
        if running is None or running.pid != os.getpid() or folder_mark(state) != mark:
            log.error("%s was removed or taken over: ending", state)
            return
        if supervisor not in (None, os.getppid()):
            log.error("the supervisor, process %d, is gone: ending", supervisor)
            return
        taken = await asyncio.to_thread(lost)
        if taken is not None:
            log.error("%s: ending", taken.message)
            return


async def _until_listening(host: str, port: int) -> None:
    while True:
        try:
            _, writer = await asyncio.open_connection(host, port)
        except OSError:
            await asyncio.sleep(_LOOK_EVERY_S)
        else:
            writer.close()
            return


@contextmanager
def _background(rooms: Rooms) -> Iterator[None]:
    """Run the workers, the reconcilers, the applier, the backfiller and the taker of feeds in threads."""
    stop = threading.Event()
    workers = workers_for(rooms)
    loop = ReconcilerLoop(
        rooms.db, rooms.clock, reconcilers(rooms), this_worker(), pause_s=rooms.settings.control.reconcile_s
    )
    threads = [
        *(threading.Thread(target=worker.run_forever, args=(stop,), name="worker") for worker in workers),
        threading.Thread(target=_apply_forever, args=(rooms, stop), name="applier"),
        threading.Thread(target=_backfill_forever, args=(rooms, stop), name="backfiller"),
        threading.Thread(target=_take_forever, args=(rooms, stop), name="taker"),
    ]
    # A full collection walks everything that is loaded, some 50 ms, and every event waits for it: what is here by now
    # is left out, and the others are looked through more seldom.
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_COLLECT_AFTER)
    for thread in threads:
        thread.start()
    loop.start()
    try:
        yield
    finally:
        stop.set()
        loop.stop()
        for thread in threads:
            thread.join()


def _apply_forever(rooms: Rooms, stop: threading.Event) -> None:
    """Bring the live views up to their sources, again and again."""
    next_refresh = 0.0

    def one_pass() -> None:
        nonlocal next_refresh
        now = rooms.clock.monotonic()
        if now >= next_refresh:
            refresh_views(rooms)
            next_refresh = now + REFRESH_EVERY_S
        if not apply_new_rows(rooms, stop):
            rooms.applier.wait_for_rows(APPLY_EVERY_S)

    _again_and_again(one_pass, stop, "applying events failed")


def _backfill_forever(rooms: Rooms, stop: threading.Event) -> None:
    """Bring the views that are behind up to the live ones."""

    def one_pass() -> None:
        if not backfill_views(rooms, stop):
            stop.wait(BACKFILL_EVERY_S)

    _again_and_again(one_pass, stop, "backfilling views failed")


def _take_forever(rooms: Rooms, stop: threading.Event) -> None:
    """Take the events of every feed."""
    feeds = TakeFeeds(rooms)

    def one_pass() -> None:
        if not feeds.take(stop, wait_s=TAKE_EVERY_S):
            stop.wait(TAKE_EVERY_S)

    _again_and_again(one_pass, stop, "taking events failed")


def _again_and_again(one_pass: Callable[[], None], stop: threading.Event, what: str) -> None:
    pause_s, said = APPLY_EVERY_S, ""
    while not stop.is_set():
        try:
            one_pass()
            pause_s, said = APPLY_EVERY_S, ""
        except (FalajError, OSError) as error:
            # A damaged record or a full disk must not end the process that answers for everything else.
            if said != str(error):  # once, and not at each look as long as a server is away
                said = str(error)
                log.error("%s: %s", what, error)
            pause_s = min(pause_s * 2, LONGEST_PAUSE_S)
            stop.wait(pause_s)
