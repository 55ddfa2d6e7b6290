"""Registering: a model that a step of a user's pipeline trained becomes a candidate like any other.

model ──► in the place of fitting, as an adopted one ──► evaluated, gated and registered by the training pipeline's own
steps, all within one step of the user's run
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from falaj.definitions.model import Model
from falaj.definitions.signature import Signature
from falaj.kernel.codec import from_json, to_json
from falaj.kernel.errors import Conflict, DataError, InputError
from falaj.lifecycle import judging, training
from falaj.lifecycle.adopted_models import ADOPTED, adopt, columns_of
from falaj.lifecycle.dataset import sources_of
from falaj.lifecycle.pipeline import pinned
from falaj.lifecycle.rooms import Rooms
from falaj.models.mlflow_model import ForeignModel
from falaj.pipelines.context import StepContext
from falaj.pipelines.outputs import checked


@dataclass(frozen=True)
class Candidate:
    """A model that was trained in a pipeline of a user's own.

    Attributes:
        file: Its bytes, and what they are.
        signature: Its inputs, where whoever trained it says them; without them they are those of the training rows.
        calibration: What makes probabilities of its scores; empty for scores as they are.
    """

    file: ForeignModel
    signature: dict[str, Any]
    calibration: dict[str, Any]


def register_candidate(
    context: StepContext, rooms: Rooms, model: Model, candidate: Candidate, versions: Mapping[str, int] | None
) -> dict[str, Any]:
    """Judge a model by its definition's gates and register it as a version.

    Args:
        context: Of the step of the user's run, whose version it becomes.
        rooms: The project.
        model: The definition.
        candidate: The model.
        versions: Source to the table version that its training rows are of; what has landed by default.

    Returns:
        The version's number, the gate's outcome, its checks, the metrics, and the report's digest.

    Raises:
        InputError: It takes other columns than the model's feature service gives, or is of another task.
        Conflict: The run has registered another version of the model.
    """
    given = _fitting(context, rooms, model, candidate)
    stages = _Stages(context, rooms, pinned(rooms, model))
    for earlier in rooms.registry.versions(model.name):
        # An attempt that was killed behind the registration comes here again, with the report that it kept.
        if earlier.run_id == context.run_id and earlier.gate_digest != stages.report:
            raise Conflict(
                f"run {context.run_id} has registered version {earlier.version} of model {model.name!r} already",
                hint="register one version of a model in a run; start another run for the next",
            )
    stages.given("ingest", {"versions": _read(rooms, model, versions)})
    stages.carry_out("validate", training.validate, 0.05)
    stages.carry_out("features", training.features, 0.2)
    stages.carry_out("train", adopt, 0.4, given)
    evaluated = stages.carry_out("evaluate", judging.evaluate, 0.6)
    gated = stages.carry_out("gate", judging.gate, 0.8)
    registered = stages.carry_out("register", judging.register, 0.9)
    return {
        "version": registered["version"],
        "gate": gated["outcome"],
        "checks": gated["checks"],
        "metrics": evaluated["metrics"],
        "report": gated["report"],
    }


class _Stages:
    """The training pipeline's steps, one after the other in this process, each given what those before it gave.

    What is done is kept beside the step, so that an attempt after a killed one judges nothing anew: a version that was
    registered meanwhile keeps the report that it was registered with.
    """

    def __init__(self, context: StepContext, rooms: Rooms, base: dict[str, Any]) -> None:
        self._context = context
        self._rooms = rooms
        self._base = base
        self._file = context.checkpoint / "stages.json"
        self._done: dict[str, dict[str, Any]] = {}
        if self._file.exists():
            kept = from_json(self._file.read_bytes(), dict[str, Any])
            if kept["base"] == base:  # else the definitions changed in between
                self._done = kept["done"]

    @property
    def report(self) -> str:
        """The digest of the gate's report, where an earlier attempt came to it."""
        return str(self._done.get("gate", {}).get("report", ""))

    def given(self, name: str, outputs: dict[str, Any]) -> None:
        """Take what another step of the run stands for; what an earlier attempt took stays."""
        self._keep(name, self._done.get(name, outputs))

    def carry_out(
        self, name: str, step: Callable[[StepContext], Mapping[str, Any]], share: float, more: Mapping[str, Any] = {}
    ) -> dict[str, Any]:
        """Carry out a step and return its outputs, files by digest; those of an earlier attempt where it did it."""
        outer = self._context
        outer.progress(share, name)
        if name in self._done:
            return self._done[name]
        inner = StepContext(
            run_id=outer.run_id,
            step=name,
            attempt=outer.attempt,
            params=self._base | dict(more),
            inputs=dict(self._done),
            folder=outer.folder / name,
            checkpoint=outer.checkpoint / name,
            files={},
            open_resources=lambda: self._rooms,
            log=outer.log,
        )
        returned = checked(name, step(inner))
        outer.used_digests += inner.used_digests
        outer.made_digests += inner.made_digests
        put = self._rooms.blobs.put_file
        return self._keep(name, {key: put(one) if isinstance(one, Path) else one for key, one in returned.items()})

    def _keep(self, name: str, outputs: dict[str, Any]) -> dict[str, Any]:
        self._done[name] = outputs
        part = self._file.with_suffix(".part")
        part.write_text(to_json({"base": self._base, "done": self._done}), encoding="utf-8")
        part.replace(self._file)
        return outputs


def _fitting(context: StepContext, rooms: Rooms, model: Model, candidate: Candidate) -> dict[str, Any]:
    """Return what the step in the place of fitting is given."""
    inputs = training.service_of(rooms, model).model_inputs
    if candidate.signature:
        signature = msgspec.convert(candidate.signature, Signature)
        wanted = [f"{name} {dtype}" for name, dtype in inputs]
        found = [f"{spec.name} {spec.dtype}" for spec in signature.inputs]
        if found != wanted:
            raise InputError(
                f"the model takes {', '.join(found)}, and model {model.name!r} is given {', '.join(wanted)}",
                hint="train it on what build_dataset gives: features=data['features']",
            )
        # A forest of numbers between 0 and 1 would pass for probabilities, and be given a threshold.
        task = "regression" if signature.output == "prediction" else "classification"
        if task != model.task:
            raise InputError(
                f"the model was trained as a {task}, and model {model.name!r} is a {model.task}",
                hint=f"train it with task={model.task!r}",
            )
        columns = tuple(spec.name for spec in signature.inputs)
    else:
        columns = columns_of(rooms, model, candidate.file)
    digest = rooms.blobs.put(candidate.file.content)
    return {
        ADOPTED: digest,
        "kind": candidate.file.kind,
        "columns": list(columns),
        "flavour": candidate.file.flavour,
        "origin": f"step {context.step} of run {context.run_id}",
        "signature": candidate.signature,
        "calibration": candidate.calibration,
    }


def _read(rooms: Rooms, model: Model, versions: Mapping[str, int] | None) -> dict[str, int]:
    sources = sorted(sources_of(rooms, model))
    if versions is None:
        landed = {name: rooms.tables.version(f"source/{name}") for name in sources}
        versions = {name: version for name, version in landed.items() if version is not None}
    absent = [name for name in sources if name not in versions]
    if absent:
        raise DataError(f"source {absent[0]!r} has no rows yet", hint=f"call steps.ingest({absent[0]!r}) before")
    return {name: versions[name] for name in sources}
