"""MLflow below control, as its users have it: in a browser, and by MLflow's own client with a token."""

import os
import subprocess
import sys
from pathlib import Path

from support.browser import browse
from support.falaj_project import FalajProject

CLIENT = """
import mlflow
mlflow.set_experiment("elsewhere")
with mlflow.start_run(run_name="from afar"):
    mlflow.log_metric("auc", 0.75)
    mlflow.log_text("hello", "note.txt")
client = mlflow.MlflowClient()
found = client.search_runs([client.get_experiment_by_name("elsewhere").experiment_id])[0]
print(found.info.run_name, found.data.metrics["auc"], mlflow.artifacts.load_text(f"{found.info.artifact_uri}/note.txt"))
print(client.get_model_version_by_alias("fraud", "production").tags["lifecycle"])
try:
    client.set_registered_model_alias("fraud", "production", "1")
except mlflow.MlflowException as error:
    print("refused", "closed to everybody" in str(error))
"""


def test_mlflow_is_looked_into_by_whoever_signed_in_and_logged_to_with_a_token(
    running: FalajProject, tmp_path: Path
) -> None:
    home = f"http://127.0.0.1:{running.control_port}"
    assert f"{home}/mlflow/" in running.falaj("status").out
    assert "Your token" in browse(f"{home}/mlflow/", tmp_path / "stranger", "--dump-dom")
    profile = tmp_path / "owner"
    assert 'href="/mlflow/"' in browse(f"{home}/#token={running.owner}", profile, "--dump-dom")
    run = running.json("runs", "show", running.json("models", "list", "fraud")[0]["run_id"])["mlflow"]
    page = browse(f"{home}/mlflow/#/experiments/1/runs/{run}/artifacts", profile, "--dump-dom")
    for text in ("card.html", "roc.png", "gate.json"):  # which the page asks the API for
        assert text in page, text
    runs = browse(f"{home}/mlflow/#/experiments/1/runs", profile, "--dump-dom")
    assert "matching run" in runs
    assert "Request Failed" not in runs
    shot = tmp_path / "page.png"
    browse(f"{home}/mlflow/#/models/fraud", profile, f"--screenshot={shot}", "--window-size=1280,900")
    assert shot.stat().st_size > 60_000  # its empty frame takes about 30 kB

    kept = {name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW", "_MLFLOW"))}
    own = {"MLFLOW_TRACKING_URI": f"{home}/mlflow", "MLFLOW_TRACKING_TOKEN": running.token("ada", "engineer")}
    done = subprocess.run(
        [sys.executable, "-c", CLIENT], env=kept | own, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert [line for line in done.stdout.splitlines() if "View" not in line] == [
        "from afar 0.75 hello",
        "production",
        "refused True",
    ], done.stderr
