"""The page on Kubeflow and Argo: its commands, on the pipeline of the page before it."""

import re
import shlex
from pathlib import Path

import yaml

from support.falaj_project import FalajProject

PAGES = Path(__file__).parents[2] / "docs" / "how-to"


def test_the_pages_commands_write_what_it_says(tmp_path: Path) -> None:
    own = (PAGES / "run-pipelines-of-your-own.md").read_text("utf-8")
    (code,) = re.findall(r"^```python\n(.*?)^```", own, re.MULTILINE | re.DOTALL)
    page = (PAGES / "run-on-kubeflow-or-argo.md").read_text("utf-8")
    commands = [shlex.split(line) for line in re.findall(r"^\$ falaj (.*)$", page, re.MULTILINE)]
    project = FalajProject(tmp_path / "project")
    project.folder.mkdir()
    (project.folder / "etl.py").write_text(code)
    project.falaj("init")
    said = [project.falaj(*words) for words in commands]
    specification = next(yaml.safe_load_all((project.folder / "nightly.yaml").read_text()))
    assert "if-publish" in specification["root"]["dag"]["tasks"]
    assert yaml.safe_load((project.folder / "cron.yaml").read_text())["kind"] == "CronWorkflow"
    assert [one.out.strip() for one in said[1:]] == ["nightly.yaml", "cron.yaml"]
    assert "note: schedule: '30 2 * * *' in Europe/Berlin is no part" in said[1].err
    assert "note: alerts: Falaj tells nobody of failure there" in said[2].err

    export = ("runs", "export", "nightly", "--to", "kfp", "--image", "shop:1")
    assert project.refused(*export)["error"] == "pipeline 'nightly' needs parameter 'day'"
    given = project.json(*export, "--param", "day=2026-01-31")
    assert given["text"] == (project.folder / "nightly.yaml").read_text().replace("registry.example/shop:1.4", "shop:1")
