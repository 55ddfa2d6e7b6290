"""The page on classes of one's own, as it stands: its class is trained, judged, served and explained."""

import re
from pathlib import Path

from support.falaj_project import FalajProject
from support.tour import NOW, write_tour
from support.trained import officer

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "serve-a-class-of-your-own.md"


def test_the_pages_class_is_trained_judged_served_and_explained(tmp_path: Path) -> None:
    code, trainer, _torch = re.findall(r"^```python\n(.*?)^```", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    project = FalajProject(tmp_path / "project")
    write_tour(project.folder)
    (project.folder / "net").mkdir()
    (project.folder / "net" / "net.py").write_text(code)
    project.edit("fraud.py", "trainer=fj.lightgbm(num_trees=40)", trainer.strip().replace("trainer = ", "trainer="))
    project.edit("fraud.py", "fj.gate.latency(p99_ms=5)", "fj.gate.latency(p99_ms=500)")
    project.falaj("apply")
    trained = project.json("train", "fraud")
    assert trained["gate"] == "PASS", trained["checks"]
    assert "loads and answers in the python runtime" in {check["name"] for check in trained["checks"]}
    project.falaj("approve", "fraud", "1", token=officer(project))
    assert project.json("deploy", "fraud")["state"] == "serves"

    words = ("predict", "fraud", "--entity", "card_id=c1", "--request")
    low, high = (project.json(*words, f"amount={amount}", "--at", NOW) for amount in (20, 900))
    assert low["prediction"] < 0.2 < high["prediction"] and high["model_version"] == 1
    why = project.json("why", high["request_id"])
    assert (why["version"], why["gate"], why["score"]) == (1, "PASS", high["prediction"])

    (project.folder / "net" / "net.py").write_text(code.replace("steps=300", "steps=200"))
    project.edit("fraud.py", "steps=300", "steps=250")
    project.falaj("apply")
    assert project.json("train", "fraud")["version"] == 2
    project.falaj("approve", "fraud", "2", token=officer(project))
    rollout = project.json("deploy", "fraud")
    assert (rollout["version"], rollout["state"]) == (2, "rolling out"), rollout
    project.falaj("rollback", "fraud", "--reason", "looked enough")
    after = project.json(*words, "amount=900", "--at", NOW)
    assert (after["model_version"], after["prediction"]) == (1, high["prediction"])
