"""Backends: the one place that chooses them; `online` does for the online store, which gateways open too."""

import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from falaj.app.metadata import open_metadata
from falaj.app.online import chunk_rows, open_online_reader, open_online_writer
from falaj.definitions.source import Follow, Source
from falaj.kernel.clock import Clock, SystemClock
from falaj.kernel.errors import InputError
from falaj.kernel.ids import id_maker
from falaj.kernel.pipeline_settings import PipelineSettings
from falaj.kernel.secret import read_secret
from falaj.kernel.settings import Settings, load_settings
from falaj.lifecycle.rooms import Rooms
from falaj.lifecycle.step_tracking import step_tracking
from falaj.pipelines.capacity import Capacity, Room
from falaj.pipelines.child import ChildResources
from falaj.pipelines.executors import ChildProcess, InProcess
from falaj.pipelines.keys import InstalledNow, StepKeys
from falaj.pipelines.ray.executor import OnRay
from falaj.pipelines.ray.jobs import Jobs, refuse_unsafe
from falaj.pipelines.task import Executor, Task
from falaj.pipelines.worker import Worker
from falaj.storage.blobs.local import LocalBlobs
from falaj.storage.eventlog import EventLog
from falaj.storage.eventlog.local import LocalLog
from falaj.storage.feeds import Feed
from falaj.storage.feeds.files import FileFeed
from falaj.storage.folder import StateFolder
from falaj.storage.keyvalue import KeyValueStore
from falaj.storage.shared import share
from falaj.storage.tables.delta import DeltaTables

_BEFORE, _AFTER = "falaj.models.mlflow_capture:capture", "falaj.models.mlflow_capture:settle"
_RAY_LOOK_EVERY_S = 1.0
"""A job on Ray takes a second to begin; many workers that look for one more often would only cost."""


class OpenLogs:
    """Opens each source's event log once, and closes them all.

    Args:
        folder: Where the logs lie, a folder per source.
        readonly: Open them for reading beside the process that writes them.
    """

    def __init__(self, folder: Path, *, readonly: bool) -> None:
        self._folder = folder
        self._readonly = readonly
        self._open: dict[str, EventLog] = {}
        self._lock = threading.Lock()

    def __call__(self, source: str) -> EventLog:
        """Return the log of a source."""
        with self._lock:
            if source not in self._open:
                self._open[source] = LocalLog.open(self._folder / source, readonly=self._readonly)
            return self._open[source]

    def close(self) -> None:
        """Close what was opened."""
        for log in self._open.values():
            log.close()


def open_feed(folder: Path, source: Source) -> Feed:
    """Open what a source's events are taken from.

    Args:
        folder: The project's folder.
        source: The definition.

    Raises:
        InputError: Its events are pushed, or it has none.
    """
    if isinstance(source.stream, Follow):
        return FileFeed(Path(os.path.normpath(folder.absolute() / source.stream.path)), folder.absolute())
    raise InputError(
        f"source {source.name!r} follows nothing", hint="declare it with stream=fj.Follow('events/*.jsonl')"
    )


@contextmanager
def open_rooms(folder: Path, settings: Settings, *, writer: bool = True, clock: Clock | None = None) -> Iterator[Rooms]:
    """Open a project's rooms on the backends that its settings choose.

    Args:
        folder: The project's folder.
        settings: Its settings.
        writer: Whether this process is the one that holds the project; others may read logs and write metadata only.
        clock: Gives the time; the machine's by default.

    Raises:
        CorruptionError: The metadata database is damaged.
        ProjectError: The shared folder is not this project's.
        Locked: The database is on a server, and a process elsewhere holds the project.
    """
    state = StateFolder.of(folder, settings.storage)
    state.create()
    if writer:
        share(state, settings.project.name)
    clock = clock or SystemClock()
    db = open_metadata(state, settings, writer=writer)
    logs = OpenLogs(state.log / "events", readonly=not writer)
    opened: list[KeyValueStore | Feed] = []

    def open_online() -> KeyValueStore:
        store = (open_online_writer if writer else open_online_reader)(state.online, settings)
        opened.append(store)
        return store

    def open_source_feed(source: Source) -> Feed:
        feed = open_feed(folder, source)
        opened.append(feed)
        return feed

    try:
        yield Rooms(
            folder=folder,
            settings=settings,
            state=state,
            clock=clock,
            new_id=id_maker(clock),
            db=db,
            tables=DeltaTables(state.tables),
            blobs=LocalBlobs(state.blobs),
            logs=logs,
            open_online=open_online,
            open_feed=open_source_feed,
            chunk_rows=chunk_rows(settings),
        )
    finally:
        for one in opened:
            one.close()
        logs.close()
        db.close()


def workers_for(rooms: Rooms) -> list[Worker]:
    """Return the workers over the project's rooms.

    The first has Falaj's own steps, and no other: tiny ones in this process, heavy ones in a child of their own. So no
    two of them change a source or a model at the same time, and none waits for a user's step, however long that takes.
    The others run the steps of users' pipelines, each in a child, and as many as the settings say follow jobs on Ray,
    where there is one.
    """
    settings = rooms.settings.pipelines
    keys = StepKeys([rooms.folder], InstalledNow())
    resources = ChildResources("falaj.app.backends:rooms_for_step", {"folder": str(rooms.folder)})

    def tracking(task: Task) -> dict[str, str]:
        return step_tracking(rooms, task, keys.code(task.step.function))

    secrets = rooms.folder / settings.secrets
    project = ChildProcess(
        resources, folder=rooms.folder, secrets=secrets, environment=tracking, before=_BEFORE, after=_AFTER
    )
    own: dict[str, Executor] = {"in_process": InProcess(rooms), "child": ChildProcess(resources)}
    capacity = Capacity(room_of(settings))
    count = settings.workers or min(4, os.cpu_count() or 1)

    def worker(executors: dict[str, Executor], look_every_s: float = 0.25) -> Worker:
        return Worker(
            rooms.db,
            rooms.blobs,
            rooms.clock,
            keys,
            executors,
            work=rooms.state.run / "work",
            logs=rooms.state.log / "runs",
            lease_s=rooms.settings.control.lease_s,
            folder=rooms.folder,
            capacity=capacity,
            look_every_s=look_every_s,
        )

    local = [worker(own if number == 0 else {"project": project}) for number in range(1 + count)]
    if not rooms.settings.ray.address:
        return local
    on_ray: dict[str, Executor] = {"ray": ray_of(rooms, tracking)}
    return local + [worker(on_ray, _RAY_LOOK_EVERY_S) for _ in range(rooms.settings.ray.jobs)]


def ray_of(rooms: Rooms, tracking: Callable[[Task], dict[str, str]]) -> OnRay:
    """Return the cluster that the settings name.

    Args:
        rooms: The project.
        tracking: Returns the environment in which what a step logs with MLflow is the project's.

    Raises:
        DefinitionError: It is not safe to send jobs to.
    """
    settings, secrets = rooms.settings.ray, rooms.folder / rooms.settings.pipelines.secrets
    refuse_unsafe(settings)

    def token() -> str:
        return read_secret(settings.token, secrets).reveal() if settings.token else ""

    return OnRay(
        Jobs(settings.address, token),
        rooms.state.shared or rooms.state.run / "work",
        folder=rooms.folder,
        secrets=secrets,
        python=settings.python or sys.executable,
        environment=tracking,
        before=_BEFORE,
        after=_AFTER,
        home=rooms.state.path,
    )


def room_of(settings: PipelineSettings) -> Room:
    """Return what the steps of users' pipelines may use together: what the settings say, or what the machine has."""
    memory = settings.memory_gib * (1 << 30) or os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return Room(settings.cpus or float(os.cpu_count() or 1), int(memory), settings.gpus)


def rooms_for_step(config: dict[str, Any]) -> Rooms:
    """Return the rooms of a step in a child process; they live as long as the process.

    Args:
        config: `folder`, the project's folder.
    """
    folder = Path(config["folder"])
    opened = open_rooms(folder, load_settings(folder), writer=False)
    _KEPT.append(opened)
    return opened.__enter__()


_KEPT: list[Any] = []
