"""Mirror: MLflow's aliases and tags say what our transitions say; what a crash left between the two is repaired."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from falaj.governance.access import SYSTEM
from falaj.kernel.errors import Conflict
from falaj.lifecycle.documents import tracking_of
from falaj.lifecycle.each import for_each
from falaj.lifecycle.rooms import Rooms
from falaj.pipelines.context import StepContext
from falaj.pipelines.graph import Graph, Step
from falaj.pipelines.runs import list_runs
from falaj.pipelines.submission import submit


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
        del now
        return for_each(self._rooms.registry.models(), self._mirror)

    def _mirror(self, model: str) -> bool:
        rooms = self._rooms
        stages = {
            str(v.version): str(rooms.registry.stage_of(model, v.version)) for v in rooms.registry.versions(model)
        }
        pipeline = f"mirror:{model}"
        newest = list_runs(rooms.db, pipeline=pipeline, limit=1)
        if newest and newest[0].params.get("stages") == stages:
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
    tracking = tracking_of(context.resources)
    try:
        stages = {int(version): stage for version, stage in context.params["stages"].items()}
        return {"changes": tracking.mirror_stages(context.params["model"], stages)}
    finally:
        tracking.close()
