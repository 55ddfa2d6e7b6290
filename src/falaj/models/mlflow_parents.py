"""Runs that users' steps logged with MLflow: ended as their step ended, and put below one of the whole run."""

from pathlib import Path
from typing import Any

from falaj.models.mlflow_capture import PARENT_TAG, RUN_TAG, STEP_TAG, TRY_TAG
from falaj.models.mlflow_writing import load_mlflow, own_warnings_aside
from falaj.storage.filelock import FileLock

_PARENT = "mlflow.parentRunId"


def settle_runs(tags: dict[str, str], db: Path, *, succeeded: bool) -> None:
    """End a step's runs, and see to it that they have a parent.

    Args:
        tags: Those of the step's runs.
        db: MLflow's database.
        succeeded: Whether the step did.
    """
    mlflow = load_mlflow()
    status = "FINISHED" if succeeded else "FAILED"
    while mlflow.active_run() is not None:
        mlflow.end_run(status)
    client = mlflow.MlflowClient(f"sqlite:///{db}")
    with own_warnings_aside():
        mine = _found(client, f"tags.`{RUN_TAG}` = '{tags[RUN_TAG]}' AND tags.`{STEP_TAG}` = '{tags[STEP_TAG]}'")
        for run in mine:
            this_try = run.data.tags.get(TRY_TAG) == tags[TRY_TAG]
            if run.info.status == "RUNNING":  # of a process that was killed, or of a thread that nobody waited for
                client.set_terminated(run.info.run_id, status if this_try else "KILLED")
        if not mine:
            return
        with FileLock(db.with_suffix(".parents"), "the parents of MLflow's runs", wait=True):
            parent = _parent(client, tags, mine[0].info.experiment_id)
        for run in mine:
            if _PARENT not in run.data.tags:
                client.set_tag(run.info.run_id, _PARENT, parent)
        client.set_terminated(parent, status)


def _parent(client: Any, tags: dict[str, str], experiment: str) -> str:
    found = _found(client, f"tags.`{RUN_TAG}` = '{tags[RUN_TAG]}' AND tags.`{PARENT_TAG}` = 'true'")
    if found:
        return str(found[0].info.run_id)
    run_id = tags[RUN_TAG]
    said = {name: value for name, value in tags.items() if name.startswith("falaj.") and name != TRY_TAG}
    own = {name: value for name, value in said.items() if not name.startswith(STEP_TAG)}
    return str(client.create_run(experiment, None, {**own, PARENT_TAG: "true"}, run_id).info.run_id)


def _found(client: Any, which: str) -> list[Any]:
    experiments = [one.experiment_id for one in client.search_experiments()]
    return list(client.search_runs(experiments, which, max_results=1_000))
