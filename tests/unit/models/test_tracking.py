"""On a real MLflow store: it takes seconds to make, so one serves the whole file."""

import logging
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from falaj.definitions.routing_table import ArtifactRef
from falaj.definitions.trainer import lightgbm
from falaj.kernel.errors import NotFound, StorageError
from falaj.models.gate_report import Outcome
from falaj.models.mlflow_writing import load_mlflow
from falaj.models.onnx_conversion import to_onnx
from falaj.models.tracked_run import TrackedRun, installed_packages
from falaj.models.tracking import Tracking
from falaj.models.training import Fitted, fit
from falaj.models.version import ModelVersion
from unit.models.rows import Rows


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("mlflow")


@pytest.fixture(scope="module")
def tracking(folder: Path) -> Iterator[Tracking]:
    tracking = Tracking(folder / "mlflow.db", folder / "artifacts")
    assert tracking.mirror_stages("fraud", {1: "production"}) == []
    yield tracking
    tracking.close()


@pytest.fixture(scope="module")
def fitted(noise: Rows) -> Fitted:
    return fit(lightgbm(num_trees=5), noise.matrix, noise.labels, noise.names)


@pytest.fixture
def client(folder: Path) -> Any:
    from mlflow.tracking import MlflowClient

    uri = f"sqlite:///{folder}/mlflow.db"
    return MlflowClient(uri, uri)


def tracked(noise: Rows, fitted: Fitted, run_id: str = "run_1", model: str = "fraud") -> TrackedRun:
    return TrackedRun(
        model=model, run_id=run_id, dataset="fraud", dataset_digest="d" * 64, source="transactions",
        started_us=1_700_000_000_000_000, ended_us=1_700_000_060_000_000, signature=noise.signature,
        params=fitted.params, metrics={"auc": 0.9, "f1": float("nan"), "recall": None},
        tags={"falaj.code_digest": "c" * 64},
        files={"plots/roc.png": b"png", "environment.txt": installed_packages().encode()}, onnx=to_onnx(fitted),
    )  # fmt: skip


def version(number: int, noise: Rows, model: str = "fraud") -> ModelVersion:
    return ModelVersion(
        model=model, run_id=f"run_{number}", dataset="fraud", dataset_digest="d" * 64, version=number, actor="ada",
        artifact=ArtifactRef("a" * 64, "onnx"), signature=noise.signature, created_us=0, gate_outcome=Outcome.PASS,
    )  # fmt: skip


def test_a_run_shows_what_it_stands_on(tracking: Tracking, client: Any, noise: Rows, fitted: Fitted) -> None:
    mlflow_id = tracking.log(tracked(noise, fitted))
    run = client.get_run(mlflow_id)
    assert run.info.status == "FINISHED" and run.info.run_name == "run_1"
    assert (run.info.start_time, run.info.end_time) == (1_700_000_000_000, 1_700_000_060_000)
    assert run.data.metrics == {"auc": 0.9} and run.data.params["num_trees"] == "5"
    assert run.data.tags["falaj.run_id"] == "run_1" and run.data.tags["falaj.code_digest"] == "c" * 64
    assert run.data.tags["falaj.dataset_digest"] == "d" * 64
    assert run.inputs.dataset_inputs[0].dataset.digest == "d" * 36
    assert {file.path for file in client.list_artifacts(mlflow_id)} == {"plots", "environment.txt", "model"}


def test_a_run_is_logged_once(tracking: Tracking, noise: Rows, fitted: Fitted) -> None:
    first = tracking.log(tracked(noise, fitted, "run_2"))
    assert tracking.log(tracked(noise, fitted, "run_2")) == first


def test_a_run_that_was_cut_off_is_finished(tracking: Tracking, client: Any, noise: Rows, fitted: Fitted) -> None:
    experiment = client.get_experiment_by_name("fraud").experiment_id
    begun = tracking.begin("fraud", "run_cut", 1_700_000_000_000_000)
    assert tracking.begin("fraud", "run_cut", 0) == begun
    assert client.get_run(begun).info.experiment_id == experiment
    assert tracking.log(tracked(noise, fitted, "run_cut")) == begun
    assert client.get_run(begun).info.status == "FINISHED" and client.get_run(begun).data.metrics == {"auc": 0.9}


def test_versions_and_stages_are_mirrored_once(tracking: Tracking, client: Any, noise: Rows, fitted: Fitted) -> None:
    for number in (1, 2):
        tracking.log(tracked(noise, fitted, f"run_{number}", "mirror"))
        entry = tracking.register(version(number, noise, "mirror"))
        assert tracking.register(version(number, noise, "mirror")) == entry == str(number)
    assert client.get_model_version("mirror", "1").tags["falaj.gate"] == "PASS"
    changed = tracking.mirror_stages("mirror", {1: "archived", 2: "production"})
    assert changed == ["mirror/1 is archived", "mirror/2 is production", "production is mirror/2"]
    assert tracking.mirror_stages("mirror", {1: "archived", 2: "production"}) == []
    assert client.get_model_version_by_alias("mirror", "production").version in (2, "2")
    client.set_registered_model_alias("mirror", "production", "1")  # somebody's hand, or a crash half-way
    assert tracking.mirror_stages("mirror", {1: "archived", 2: "production"}) == ["production is mirror/2"]
    assert tracking.mirror_stages("mirror", {1: "staging"}) == [
        "mirror/1 is staging", "mirror/2 is development", "staging is mirror/1", "production is nobody",
    ]  # fmt: skip


def test_mlflows_own_client_loads_the_version(tracking: Tracking, folder: Path, noise: Rows, fitted: Fitted) -> None:
    tracking.log(tracked(noise, fitted, "run_1", "loaded"))
    tracking.register(version(1, noise, "loaded"))
    tracking.mirror_stages("loaded", {1: "production"})
    mlflow = load_mlflow()
    mlflow.set_tracking_uri(f"sqlite:///{folder}/mlflow.db")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = mlflow.pyfunc.load_model("models:/loaded@production")
    answer = model.predict({"features": noise.matrix})
    np.testing.assert_allclose(answer["probabilities"][:, 1], fitted.predict(noise.matrix), atol=1e-6)


def test_a_version_needs_its_run(tracking: Tracking, noise: Rows) -> None:
    with pytest.raises(NotFound, match="run_7"):
        tracking.register(version(7, noise))


def test_a_database_that_is_none_is_named(tmp_path: Path, noise: Rows, fitted: Fitted) -> None:
    (tmp_path / "mlflow.db").write_bytes(b"not a database, but long enough to look like a damaged one" * 20)
    broken = Tracking(tmp_path / "mlflow.db", tmp_path)
    with pytest.raises(StorageError, match=r"mlflow\.db"):
        broken.log(tracked(noise, fitted))


def test_mlflow_is_quiet_and_reports_to_nobody() -> None:
    load_mlflow()
    assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"
    assert logging.getLogger("mlflow.store.db.utils").getEffectiveLevel() == logging.WARNING
    from mlflow.telemetry.client import get_telemetry_client

    assert get_telemetry_client() is None


def test_the_packages_are_those_that_are_installed() -> None:
    assert f"numpy=={np.__version__}" in installed_packages().splitlines()
