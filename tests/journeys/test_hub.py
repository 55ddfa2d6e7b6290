"""Steps and templates of installed packages, from the shell."""

import os
from pathlib import Path

from support.falaj_project import FalajProject
from support.shared_package import install

FLOW = """\
import falaj as fj
from shared_steps import clean


@fj.pipeline
def tidy():
    return clean([0.1, 0.7], least=0.3)
"""


def test_a_shared_step_is_found_added_and_run(tmp_path: Path) -> None:
    site = tmp_path / "site"
    package = install(site, "acme-steps")
    project = FalajProject(tmp_path / "project")
    project.folder.mkdir()
    project.env["PYTHONPATH"] = os.pathsep.join([str(site), os.environ.get("PYTHONPATH", "")])
    listed = project.falaj("hub", "list").out
    assert "step  clean  acme-steps 1.2, by Acme  Tidy rows" in listed.splitlines()
    assert not (package / "imported").exists()
    assert "least: float = 0.5" in project.falaj("hub", "show", "clean").out
    added = project.falaj("hub", "add", "clean").out
    assert "this is code of acme-steps 1.2 by Acme: read it before you run it" in added
    assert "shared_steps.py (there already, and the same)" in project.falaj("hub", "add", "clean").out
    assert "is no step" in project.refused("hub", "add", "broken")["error"]
    assert "template demand of falaj" in project.falaj("hub", "show", "demand").out
    assert project.refused("hub", "add", "demand")["hint"] == "falaj init NEW --template demand"
    (project.folder / "flow.py").write_text(FLOW)
    project.falaj("init")
    project.falaj("apply")
    ran = project.json("runs", "start", "tidy")
    assert project.json("runs", "show", ran["run"]["id"])["result"]["clean"]["result"] == [0.7]
    assert project.refused("hub", "show", "cleam")["hint"] == "did you mean 'clean'?"
