"""Run notices: people hear how runs ended, as their pipelines ask for it."""

from datetime import datetime

from falaj.kernel.clock import to_us
from falaj.lifecycle.rooms import Rooms
from falaj.monitoring.alerts import Alert, open_alert, open_subjects, resolve_alert, tell
from falaj.pipelines.runs import Run, RunState, untold_runs
from falaj.pipelines.tables import RUN

RULE = "pipeline"


class RunNotices:
    """Reconciler: opens an alert for a run that failed, closes it when one succeeded, and tells of successes.

    Args:
        rooms: The project.
    """

    name = "run_notices"

    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms

    def run_pass(self, now: datetime) -> bool:
        """Do one pass."""
        runs = untold_runs(self._rooms.db)
        for run in runs:
            self._tell(run, to_us(now))
        return self._close_orphans(to_us(now)) or bool(runs)

    def _close_orphans(self, now_us: int) -> bool:
        """Close the alerts that no run will ever close: their pipeline was removed, or asks for none any more."""
        with self._rooms.db.read() as connection:
            orphans = [name for name in open_subjects(connection, RULE) if not self._asked_of(name)]
        for name in orphans:
            with self._rooms.db.write() as connection:
                message = f"pipeline {name!r} was removed, or asks no more to be told of failures"
                resolve_alert(connection, RULE, name, message, now_us)
        return bool(orphans)

    def _asked_of(self, name: str) -> bool:
        pipeline = self._rooms.definitions.pipelines.get(name)
        return pipeline is not None and "failure" in pipeline.notify

    def _tell(self, run: Run, now_us: int) -> None:
        evidence = {"run": run.id, "error": run.error}
        with self._rooms.db.write() as connection:
            # In one transaction with the alert, and only once: whoever dies here owes it still.
            mine = RUN.update().where(RUN.c.id == run.id, RUN.c.told.is_(False), RUN.c.ended == run.ended)
            if connection.execute(mine.values(told=True)).rowcount == 0:
                return
            if run.state is RunState.SUCCEEDED:
                message = f"run {run.id} of {run.pipeline} succeeded"
                resolve_alert(connection, RULE, run.pipeline, message, now_us)
                if "success" in run.notify:
                    tell(connection, Alert(RULE, "info", run.pipeline, message, evidence, now_us))
            elif run.state is not RunState.CANCELLED and "failure" in run.notify:
                message = f"run {run.id} of {run.pipeline} {run.state.lower()}: {run.error}"
                alert = Alert(RULE, "warning", run.pipeline, message, evidence, now_us)
                # Of a pipeline that was removed meanwhile no later run would close it.
                (open_alert if self._asked_of(run.pipeline) else tell)(connection, alert)
