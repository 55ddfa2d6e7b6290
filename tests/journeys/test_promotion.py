"""From a trained version to a decision that can be explained: gate, another's approval, deployment, rollback."""

from pathlib import Path

from support.falaj_project import FalajProject
from support.tour import NOW, write_tour
from support.trained import officer
from support.waiting import until


def test_train_gate_approve_deploy_decide_explain(tmp_path: Path) -> None:
    project = FalajProject(tmp_path / "project")
    write_tour(project.folder)
    project.falaj("apply")
    refused = project.refused("deploy", "fraud")
    assert (refused["code"], refused["exit"]) == ("conflict", 5)
    assert "falaj train fraud" in refused["hint"]

    trained = project.run("train", "fraud")
    assert trained.code == 0
    assert "gate PASS" in trained.out
    for step in ("ingest", "validate", "features", "train", "evaluate", "gate", "register"):
        assert step in trained.err
    assert "falaj approve fraud 1 --token TOKEN" in trained.out

    own = project.refused("approve", "fraud", "1")
    assert (own["code"], own["exit"]) == ("access_denied", 6)
    assert "'owner' had version 1" in own["error"]
    waits = project.json("deploy", "fraud")
    assert (waits["state"], waits["version"]) == ("waits for approval", 1)
    assert "falaj approve fraud 1" in waits["reason"]
    nothing = project.refused("predict", "fraud", "--entity", "card_id=c1", "--request", "amount=1")
    assert (nothing["code"], nothing["exit"]) == ("not_found", 4)
    viewer = project.token("looker", "viewer")
    assert project.refused("approve", "fraud", "1", token=viewer)["code"] == "access_denied"
    assert project.json("approve", "fraud", "1", "--comment", "report read", token=officer(project)) == {
        "model": "fraud", "version": 1, "state": "APPROVED", "by": "officer", "next": "",
    }  # fmt: skip
    # The wish was noted: with the approval it serves, without another command.
    assert [v["stage"] for v in project.json("models", "list", "fraud")] == ["production"]
    again = project.refused("approve", "fraud", "1", token=officer(project))
    assert (again["code"], again["error"]) == ("conflict", "version 1 of model 'fraud' is already approved")

    answer = project.json("predict", "fraud", "--entity", "card_id=c1", "--request", "amount=40", "--at", NOW)
    assert 0 <= answer["prediction"] <= 1
    why = project.json("why", answer["request_id"])
    assert (why["model"], why["version"], why["variant"]) == ("fraud", 1, "champion")
    assert why["approved_by"] == ["officer"]
    assert (why["gate"], why["entities"], why["request"]) == ("PASS", {"card_id": "c1"}, {"amount": 40})
    assert [f["name"] for f in why["features"]] == [
        "card_activity__velocity_1h", "card_activity__velocity_24h", "card_activity__amount_30d",
        "card_activity__amount_mean_7d", "card_activity__last_country", "amount_ratio", "amount",
    ]  # fmt: skip
    version = project.json("models", "list", "fraud")[0]
    assert (why["dataset"], why["run_id"]) == (version["dataset"], version["run_id"])
    audit = [one["action"] for one in project.json("audit", "list")]
    for action in ("project.apply", "model.register", "model.approve", "endpoint.deploy", "model.transition"):
        assert action in audit
    assert project.json("audit", "verify")["records"] == len(project.json("audit", "list", "--limit", "1000"))


def test_a_version_whose_gate_fails_stays_where_it_is(serving: FalajProject) -> None:
    serving.edit("fraud.py", 'at_least("auc", 0.90)', 'at_least("auc", 0.9999)')
    serving.falaj("apply")
    trained = serving.run("train", "fraud")
    assert trained.code == 3
    assert "gate FAIL" in trained.out
    assert "falaj approve" not in trained.out
    refused = serving.refused("deploy", "fraud", "--version", "2")
    assert (refused["code"], refused["exit"]) == ("conflict", 5)
    assert "version 2 of model 'fraud' may not move: its gate is FAIL" in refused["error"]
    refused = serving.refused("approve", "fraud", "2", token=officer(serving))
    assert "its gate is FAIL" in refused["error"]
    report = serving.falaj("models", "show", "fraud", "2", "--gate").out
    assert "0.9999" in report
    # Without a number it is the newest whose gate passed, which serves already.
    assert "version 1 serves" in serving.refused("deploy", "fraud")["error"]
    assert serving.json("predict", "fraud", "--entity", "card_id=c1", "--request", "amount=40")["model_version"] == 1


def test_a_refused_version_is_not_deployed(serving: FalajProject) -> None:
    assert serving.json("train", "fraud")["version"] == 2
    assert serving.json("deploy", "fraud")["state"] == "waits for approval"
    done = serving.json("reject", "fraud", "2", "--comment", "drift not understood", token=officer(serving))
    assert done["state"] == "REJECTED"
    refused = serving.refused("deploy", "fraud", "--version", "2")
    assert "was refused by officer: drift not understood" in refused["error"]


def test_feedback_stands_beside_its_decision(running: FalajProject) -> None:
    first, second = running.ask("c1", 12.0), running.ask("c2", 900.0)
    lines = f'{{"request_id": "{first["request_id"]}", "outcome": 0}}\n'
    assert running.json("feedback", stdin=lines) == {"reported": 1, "unknown": []}
    strange = '{"request_id": "req_strange", "outcome": 1}\n'
    assert running.json("feedback", stdin=lines + strange) == {"reported": 2, "unknown": ["req_strange"]}
    assert "1 request id names no decision" in running.falaj("feedback", stdin=strange).err
    shop = running.token("shop", "service")  # it may report, and may not read decisions
    assert running.json("feedback", stdin=strange, token=shop) == {"reported": 1, "unknown": None}
    until(lambda: running.endpoint()["monitor"]["unknown"] == 1, "the monitor tells of it, once")
    sent = running.gateway("POST", "/v1/feedback", [{"request_id": second["request_id"], "outcome": True, "at": NOW}])
    assert (sent.status, sent.json()) == (200, {"accepted": 1})
    outcomes = {
        answer["request_id"]: running.json("why", answer["request_id"])["outcome"] for answer in (first, second)
    }
    assert outcomes == {first["request_id"]: 0.0, second["request_id"]: 1.0}
    # An outcome that is corrected later counts as it became known last.
    running.gateway("POST", "/v1/feedback", {"request_id": second["request_id"], "outcome": 0})
    assert running.json("why", second["request_id"])["outcome"] == 0.0


def test_rollback_returns_to_what_served_before(rivals: FalajProject) -> None:
    rivals.edit("fraud.py", 'steps=[10, 50, 100], bake="10m"', 'steps=[100], bake="0s", min_requests=1')
    rivals.falaj("apply")
    rivals.up()
    nothing = rivals.refused("rollback", "fraud")
    assert (nothing["code"], nothing["exit"]) == ("conflict", 5)
    assert rivals.json("deploy", "fraud", "--version", "2")["state"] == "rolling out"
    until(lambda: rivals.ask()["model_version"] == 2 and rivals.serves() == [2], "version 2 took over")
    until(lambda: rivals.json("models", "list")[1]["stage"] == "production", "version 2 is production")
    done = rivals.json("rollback", "fraud", "--reason", "customers complain")
    assert (done["withdrawn"], done["serves"]) == (2, [1])
    until(lambda: rivals.ask()["model_version"] == 1, "the gateway has heard of it", within_s=1)
    assert rivals.serves() == [1]
    stages = {one["version"]: one["stage"] for one in rivals.json("models", "list")}
    assert stages[1] == "production"
    assert stages[2] != "production"
    newest = rivals.json("audit", "list", "--action", "endpoint.rollback")[0]
    assert (newest["actor"], newest["resource"]) == ("owner", "fraud")
    assert "customers complain" in str(newest["detail"])


def test_undeployed_is_not_found(running: FalajProject) -> None:
    assert running.ask()["model_version"] == 1
    assert running.json("undeploy", "fraud") == {"endpoint": "fraud"}

    def status() -> bool:
        body = {"entities": {"card_id": "c1"}, "request": {"amount": 1}}
        return running.gateway("POST", "/v1/endpoints/fraud/predict", body).status == 404

    until(status, "the endpoint is gone", within_s=2)
    assert running.refused("undeploy", "fraud")["exit"] in (4, 5)
