"""The page on steps on Ray, as it stands: called, refused without an address, run, and adopted by another control."""

import os
import re
import runpy
import signal
from pathlib import Path
from typing import Any

from support.falaj_project import FalajProject
from support.ray_cluster import RayCluster
from support.waiting import until

LOGGED = """
import falaj as fj


@fj.step(engine="ray")
def measured() -> float:
    import mlflow

    mlflow.log_metric("loss", 0.5)
    return 0.5


@fj.pipeline
def measures() -> float:
    return measured()
"""
PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "run-steps-on-ray.md"


def block(kind: str) -> str:
    (found,) = re.findall(rf"^```{kind}\n(.*?)^```", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    return str(found)


def states(project: FalajProject, run_id: str) -> Any:
    shown = project.run("runs", "show", run_id, "--json")  # refused while control starts anew
    return {step["name"]: step["state"] for step in shown.json()["steps"]} if shown.code == 0 else {}


def test_the_pages_steps_run_on_ray(tmp_path: Path, ray: RayCluster) -> None:
    project = FalajProject(tmp_path / "project")
    project.folder.mkdir()
    (project.folder / "fit.py").write_text(block("python"))
    assert runpy.run_path(str(project.folder / "fit.py"), run_name="fit")["search"]() == 0.5

    (project.folder / "logged.py").write_text(LOGGED)
    project.falaj("init")
    project.falaj("apply")
    refused = project.refused("runs", "start", "search")
    assert "FALAJ_RAY_ADDRESS" in refused["hint"]

    settings = block("toml").replace("http://127.0.0.1:8265", ray.address)
    with (project.folder / "falaj.toml").open("a") as file:
        file.write(settings)
    (project.folder / "secrets").mkdir()
    (project.folder / "secrets" / "RAY_TOKEN").touch(mode=0o600)
    (project.folder / "secrets" / "RAY_TOKEN").write_text(ray.token)
    alone = project.json("runs", "start", "search")
    assert alone["result"]["best"]["result"] == 0.5
    said = project.falaj("runs", "logs", alone["run"]["id"], "fit.0").out
    assert ("fits on" in said, "this machine" in said) == (True, False)

    measured = project.json("runs", "start", "measures")["run"]["id"]
    (step,) = project.json("runs", "show", measured)["steps"]
    assert (len(step["mlflow"]), (project.folder / "mlruns").exists()) == (1, False)

    project.up()
    try:
        run_id = project.json("runs", "start", "search", "--param", "number=3", "--detach")["id"]
        until(lambda: states(project, run_id).get("fit.0") == "RUNNING", "the step has begun")
        os.kill(project.pids()["control"], signal.SIGKILL)
        until(lambda: states(project, run_id).get("best") == "SUCCEEDED", "the run is done", within_s=60)
        assert project.falaj("runs", "logs", run_id).out.count("fits on") == 2
    finally:
        project.end()


def test_an_address_that_is_not_safe_ends_the_start(tmp_path: Path) -> None:
    project = FalajProject(tmp_path / "project")
    project.folder.mkdir()
    project.falaj("init")
    project.env["FALAJ_RAY_ADDRESS"] = "http://ray.example:8265"
    assert "without TLS" in project.refused("up", "--detach")["error"]
