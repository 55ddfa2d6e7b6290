"""Somebody else's training: models of a project's features, logged to an MLflow of their own."""

import subprocess
import sys
from pathlib import Path

from support.falaj_project import FalajProject

SCRIPT = """
import sys, warnings
warnings.simplefilter("ignore")
import falaj as fj
rows = fj.open(".").training_set("fraud").to_pandas()
rows = rows[rows["split"] == "train"]
names = ["amount", "amount_ratio"] + [name for name in rows.columns if name.startswith("card_activity__")]
x, y = rows[names].astype("float64"), rows["label"].astype(int)
import mlflow, lightgbm
from sklearn.linear_model import LogisticRegression
mlflow.set_tracking_uri(sys.argv[1])
mlflow.set_registry_uri(sys.argv[1])
mlflow.set_experiment("outside")
signed = mlflow.models.infer_signature(x)
common = {"name": "model", "pip_requirements": ["numpy"], "registered_model_name": "outside"}
booster = lightgbm.train({"objective": "binary", "verbose": -1, "num_threads": 2}, lightgbm.Dataset(x, y), 45)
linear = LogisticRegression().fit(x.fillna(0), y)
with mlflow.start_run():
    mlflow.lightgbm.log_model(booster, signature=signed, **common)
    mlflow.sklearn.log_model(linear, signature=signed, serialization_format="cloudpickle", **common)
    mlflow.lightgbm.log_model(
        lightgbm.train({"objective": "binary", "verbose": -1}, lightgbm.Dataset(x[names[:2]], y), 2),
        signature=mlflow.models.infer_signature(x[names[:2]]), **common)
"""


def train_outside(project: FalajProject, folder: Path) -> str:
    """Log version 1 (LightGBM), 2 (pickled) and 3 (of other columns) of the model "outside"; return their MLflow."""
    folder.mkdir()
    tracking = f"sqlite:///{folder}/other.db"
    environment = project.environment() | {"MLFLOW_DISABLE_TELEMETRY": "true"}
    own = {name: value for name, value in environment.items() if name != "MLFLOW_TRACKING_URI"}
    artifacts = {"_MLFLOW_SERVER_ARTIFACT_ROOT": (folder / "artifacts").as_uri()}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, tracking],
        cwd=project.folder,
        env=own | artifacts,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return tracking
