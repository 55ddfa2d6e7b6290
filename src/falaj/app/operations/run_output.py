"""Operations on what runs gave."""

from collections.abc import Mapping
from typing import Any

from falaj.app.values.run import OutputFile, OutputQuery, StepOutput
from falaj.governance.access import Actor
from falaj.kernel.errors import Conflict, NotFound
from falaj.kernel.names import did_you_mean
from falaj.lifecycle.rooms import Rooms
from falaj.pipelines.arguments import KEPT, OUTPUT, RESULT
from falaj.pipelines.outputs import Output
from falaj.pipelines.runs import RunState, StepRun, get_run, run_steps


def output(rooms: Rooms, actor: Actor, params: OutputQuery) -> list[StepOutput]:
    """Return what a step of a run gave, or the steps that no other needs."""
    del actor
    run, steps = get_run(rooms.db, params.run_id), run_steps(rooms.db, params.run_id)
    if params.step:
        chosen = [step for step in steps if step.name == params.step]
        if not chosen:
            known = [step.name for step in steps]
            raise NotFound(f"run {run.id} has no step {params.step!r}", hint=did_you_mean(params.step, known))
        if chosen[0].state is not RunState.SUCCEEDED:
            raise Conflict(
                f"step {params.step!r} of run {run.id} gave nothing: it is {chosen[0].state}",
                hint=f"falaj runs logs {run.id} {params.step}",
            )
    else:
        chosen = [step for step in last_steps(steps) if step.state is RunState.SUCCEEDED]
    return [_given(rooms, step) for step in chosen]


def last_steps(steps: list[StepRun]) -> list[StepRun]:
    """Return the steps that no other needs; a step that went over a list stands for its parts."""
    needed = {need for step in steps for need in step.spec.needs}
    parents = {step.name for step in steps if step.spec.parts is not None}
    return [step for step in steps if step.name not in needed and step.name.rpartition(".")[0] not in parents]


def _given(rooms: Rooms, step: StepRun) -> StepOutput:
    outputs = dict(step.outputs)
    tree = outputs[RESULT].value if RESULT in outputs else {name: _as_tree(name, one) for name, one in outputs.items()}
    files: list[OutputFile] = []
    return StepOutput(step.name, _shown(rooms, tree, outputs, files), tuple(files))


def _as_tree(name: str, one: Output) -> Any:
    return one.value if one.blob is None else {KEPT: "file", OUTPUT: name}


def _shown(rooms: Rooms, tree: Any, outputs: Mapping[str, Output], files: list[OutputFile]) -> Any:
    """Return a tree with the names of files in their places, and note the files."""
    if isinstance(tree, list):
        return [_shown(rooms, part, outputs, files) for part in tree]
    if not isinstance(tree, dict):
        return tree
    if KEPT not in tree:
        return {key: _shown(rooms, part, outputs, files) for key, part in tree.items()}
    name: str = tree[OUTPUT]
    kept = outputs[name]
    assert kept.blob is not None
    files.append(OutputFile(name, tree[KEPT], kept.size_bytes, str(rooms.blobs.path(kept.blob))))
    return {"file": name}
