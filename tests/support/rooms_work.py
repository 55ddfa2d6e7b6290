"""Runs of a project's rooms, worked on in this process."""

from falaj.pipelines.executors import InProcess
from falaj.pipelines.keys import StepKeys
from falaj.pipelines.runs import Run, RunState
from falaj.pipelines.worker import Worker
from support.rooms_world import World


def work(world: World, run_id: str) -> Run:
    """Work on a run until it has ended well."""
    run = work_to_its_end(world, run_id)
    assert run.state is RunState.SUCCEEDED, run.error
    return run


def work_to_its_end(world: World, run_id: str) -> Run:
    """Work on a run until it has ended, well or not."""
    rooms = world.rooms
    here = {"in_process": InProcess(rooms), "child": InProcess(rooms)}
    keys, folder = StepKeys([rooms.folder], "e"), rooms.state.run
    worker = Worker(rooms.db, rooms.blobs, rooms.clock, keys, here, work=folder / "work", logs=folder / "logs")
    return worker.run_one(run_id)
