"""Tracking: runs and versions mirrored into MLflow, so that its pages and its client work on them.

Our tables are the truth. What is here can be written again from them at any time: every call looks for what an
earlier attempt left, and repairs it.
"""

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from falaj.kernel.errors import NotFound, StorageError
from falaj.models.mlflow_capture import PARENT_TAG, STEP_TAG
from falaj.models.mlflow_writing import (
    MODEL_FOLDER,
    experiment_of,
    load_mlflow,
    log_files,
    log_values,
    own_warnings_aside,
    prepare_database,
)
from falaj.models.tracked_run import TrackedRun
from falaj.models.version import ModelVersion

RUN_TAG = "falaj.run_id"
VERSION_TAG = "falaj.version"
STAGE_TAG = "lifecycle"
ALIASES = ("staging", "production")


class Tracking:
    """One MLflow store.

    MLflow takes two seconds to import, and four more to make its database; use it where nobody waits.

    Args:
        db: Its database, such as `.falaj/mlflow.db`.
        artifacts: The folder of its artifacts.
    """

    def __init__(self, db: Path, artifacts: Path) -> None:
        self._db = db
        self._uri = f"sqlite:///{db.resolve()}"
        self._artifacts = artifacts.resolve()
        self._opened: Any = None

    def begin(self, model: str, run_id: str, started_us: int) -> str:
        """Begin to show a run, so that the version it makes can say where; one that was begun before is found again.

        Args:
            model: The model it trains.
            run_id: Our identifier of it.
            started_us: When it began, in microseconds.

        Returns:
            MLflow's identifier of the run.

        Raises:
            StorageError: MLflow or its database failed.
        """
        with self._client() as client:
            return str(self._begun(client, model, run_id, started_us).info.run_id)

    def log(self, run: TrackedRun) -> str:
        """Log a run; one that was logged to its end before is left as it is.

        Args:
            run: What to show.

        Returns:
            MLflow's identifier of the run.

        Raises:
            StorageError: MLflow or its database failed.
        """
        with self._client() as client:
            begun = self._begun(client, run.model, run.run_id, run.started_us).info
            if begun.status != "FINISHED":
                log_values(client, begun.run_id, run)
                log_files(client, begun.run_id, run)
                client.set_terminated(begun.run_id, "FINISHED", run.ended_us // 1000)
            return str(begun.run_id)

    def register(self, version: ModelVersion) -> str:
        """Register a version in MLflow's registry; one that is there already is left as it is.

        Args:
            version: The registered version; its run must have been logged.

        Returns:
            MLflow's number of it, which is ours unless somebody registered there by hand.

        Raises:
            NotFound: Its run was not logged.
            StorageError: MLflow or its database failed.
        """
        with self._client() as client:
            known = _versions(client, version.model)
            if version.version in known:
                return str(known[version.version].version)
            run = _find_run(client, self._experiment(client, version.model), version.run_id)
            if run is None:
                raise NotFound(f"run {version.run_id!r} is not in MLflow", hint="log it before its version")
            if not known:
                _create_model(client, version.model)
            tags = {
                VERSION_TAG: str(version.version),
                STAGE_TAG: "development",
                "falaj.dataset_digest": version.dataset_digest,
                "falaj.artifact_digest": version.artifact.digest,
                "falaj.gate": str(version.gate_outcome),
            }
            run_id = run.info.run_id
            made = client.create_model_version(version.model, f"runs:/{run_id}/{MODEL_FOLDER}", run_id, tags)
            return str(made.version)

    def mirror_stages(self, model: str, stages: Mapping[int, str]) -> list[str]:
        """Make MLflow's aliases and lifecycle tags say what our transitions say.

        Args:
            model: The model's name.
            stages: Version to its stage; versions that are absent are in development.

        Returns:
            What was changed, in words; empty when all was in order or MLflow does not know the model.

        Raises:
            StorageError: MLflow or its database failed.
        """
        with self._client() as client:
            known = _versions(client, model)
            if not known:
                return []
            changes = []
            for number, entry in sorted(known.items()):
                wanted = str(stages.get(number, "development"))
                if entry.tags.get(STAGE_TAG) != wanted:
                    client.set_model_version_tag(model, entry.version, STAGE_TAG, wanted)
                    changes.append(f"{model}/{number} is {wanted}")
            aliases = client.get_registered_model(model).aliases
            for alias in ALIASES:
                holder = next((known[n] for n, stage in stages.items() if stage == alias and n in known), None)
                present = aliases.get(alias)
                if holder is not None and str(present) != str(holder.version):
                    client.set_registered_model_alias(model, alias, str(holder.version))
                    changes.append(f"{alias} is {model}/{holder.tags[VERSION_TAG]}")
                elif holder is None and present is not None:
                    client.delete_registered_model_alias(model, alias)
                    changes.append(f"{alias} is nobody")
            return changes

    def close(self) -> None:
        """Close the database's connections."""
        if self._opened is not None:
            with self._client() as client:
                for store in (client._tracking_client.store, client._get_registry_client().store):
                    store.engine.dispose()
            self._opened = None

    @contextlib.contextmanager
    def _client(self) -> Iterator[Any]:
        load_mlflow()
        with own_warnings_aside():
            from mlflow.exceptions import MlflowException
            from mlflow.tracking import MlflowClient
            from sqlalchemy.exc import SQLAlchemyError

        try:
            if self._opened is None:
                self._artifacts.mkdir(parents=True, exist_ok=True)
                prepare_database(self._db)
                with own_warnings_aside():
                    self._opened = MlflowClient(tracking_uri=self._uri, registry_uri=self._uri)
            yield self._opened
        except (MlflowException, SQLAlchemyError, OSError) as error:
            raise StorageError(f"MLflow at {self._uri}: {error}", hint="look at the disk and the database") from error

    def _begun(self, client: Any, model: str, run_id: str, started_us: int) -> Any:
        experiment = self._experiment(client, model)
        found = _find_run(client, experiment, run_id)
        return found or client.create_run(experiment, started_us // 1000, {RUN_TAG: run_id}, run_id)

    def _experiment(self, client: Any, model: str) -> str:
        return experiment_of(client, model, self._artifacts / model)


def _find_run(client: Any, experiment: str, run_id: str) -> Any | None:
    # A pipeline may be called as a model is: then what its steps log stands in the same experiment.
    found = client.search_runs([experiment], f"tags.`{RUN_TAG}` = '{run_id}'")
    return next((run for run in found if STEP_TAG not in run.data.tags and PARENT_TAG not in run.data.tags), None)


def _versions(client: Any, model: str) -> dict[int, Any]:
    found: dict[int, Any] = {}
    page = None
    while True:
        answer = client.search_model_versions(f"name = '{model}'", page_token=page)
        found |= {int(entry.tags[VERSION_TAG]): entry for entry in answer if VERSION_TAG in entry.tags}
        page = answer.token
        if not page:
            return found


def _create_model(client: Any, model: str) -> None:
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(model)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
