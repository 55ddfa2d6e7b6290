"""Mirror: MLflow's aliases and tags say what our transitions say; what a crash left between the two is repaired."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from falaj.governance.access import SYSTEM
from falaj.kernel.clock import to_us
from falaj.kernel.errors import Conflict
from falaj.lifecycle.documents import stages_of, tracking_of
from falaj.lifecycle.each import for_each
from falaj.lifecycle.rooms import Rooms
from falaj.pipelines.context import StepContext
from falaj.pipelines.graph import Graph, Step
from falaj.pipelines.runs import RunState, list_runs
from falaj.pipelines.submission import submit

_AGAIN_AFTER_US = 600_000_000
"""A mirroring that failed, all its tries, is tried again after ten minutes: the disk may have room again by then."""

HOUSEKEEPING = "mirror:"
"""What the names of Falaj's own graphs begin with that nobody asked to run; no pipeline of a project has a colon."""


class MirrorStages:
    """Reconciler: submits a run that mirrors a model's stages whenever they differ from what was mirrored last.

    MLflow takes seconds to import and much memory: it is loaded in a child process, never in control.

    Args:
        rooms: The project.
    """

    name = "mirror"

    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms

    def run_pass(self, now: datetime) -> bool:
        """Do one pass."""
        return for_each(self._rooms.registry.models(), lambda model: self._mirror(model, now))

    def _mirror(self, model: str, now: datetime) -> bool:
        rooms = self._rooms
        stages = {str(version): stage for version, stage in stages_of(rooms, model).items()}
        pipeline = f"{HOUSEKEEPING}{model}"
        newest = next(iter(list_runs(rooms.db, pipeline=pipeline, limit=1)), None)
        if newest is not None and newest.params.get("stages") == stages:
            again_us = (newest.ended or 0) + _AGAIN_AFTER_US
            if newest.state is not RunState.FAILED or to_us(now) < again_us:
                return False
        step = Step(
            name="mirror",
            function=f"{__name__}:mirror",
            params={"model": model, "stages": stages},
            executor="child",
            cache=False,
            retries=3,
            retry_delay_s=5.0,
        )
        try:
            submit(
                rooms.db,
                rooms.clock,
                rooms.new_id,
                Graph(pipeline, (step,)),
                by=SYSTEM,
                reason="stages changed",
                params={"model": model, "stages": stages},
                dedup_key=pipeline,
            )
        except Conflict:
            return False  # the one before is still at work; the next pass looks again
        return True


def mirror(context: StepContext) -> Mapping[str, Any]:
    """Bring MLflow's aliases and tags in line with a model's stages."""
    stages = {int(version): stage for version, stage in context.params["stages"].items()}
    with tracking_of(context.resources) as tracking:
        return {"changes": tracking.mirror_stages(context.params["model"], stages)}
