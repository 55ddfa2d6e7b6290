"""Rollouts under traffic: a good version grows to all of it, a bad one is stopped by itself."""

import pytest

from support.falaj_project import FalajProject
from support.traffic import Traffic
from support.trained import DAWDLES_AT, FAILS_AT
from support.waiting import until

PLAN = 'steps=[10, 50, 100], bake="10m"'


def quick(project: FalajProject, plan: str) -> FalajProject:
    """Put another rollout in force and start."""
    project.edit("fraud.py", PLAN, plan)
    project.falaj("apply")
    return project.up()


def test_a_canary_grows_while_its_units_stay(rivals: FalajProject) -> None:
    quick(rivals, 'steps=[10, 50, 100], bake="2s", min_requests=40')
    with Traffic(rivals) as traffic:
        done = rivals.json("deploy", "fraud", "--version", "2")
        assert (done["state"], done["reason"]) == ("rolling out", "canary 10 % -> 50 % -> 100 %, 2s each")
        assert "is being rolled out" in rivals.refused("deploy", "fraud", "--version", "3")["error"]
        seen: list[float] = []

        def grown() -> bool:
            variants = {v["version"]: v["weight_percent"] for v in rivals.endpoint()["variants"]}
            if variants.get(2, 0.0) not in seen:
                seen.append(variants.get(2, 0.0))
            return variants == {2: 100.0}

        until(grown, "version 2 has all traffic", within_s=60)
    assert seen == [10.0, 50.0, 100.0]
    assert traffic.failures == []
    assert traffic.versions() == {1, 2}
    # A unit that has gone over to the candidate never comes back: weights grow over the same hash.
    for card, versions in traffic.by_card().items():
        assert versions == sorted(versions), f"{card} went {versions}"
    stages = {one["version"]: one["stage"] for one in rivals.json("models", "list")}
    assert (stages[1], stages[2]) == ("archived", "production")
    why = rivals.json("why", traffic.answered[-1]["request_id"])
    assert (why["version"], why["approved_by"]) == (2, ["officer"])


@pytest.mark.parametrize(("amount", "rule"), [(FAILS_AT, "error_ratio"), (DAWDLES_AT, "p99_ms")])
def test_a_bad_canary_is_stopped_by_itself(rivals: FalajProject, amount: float, rule: str) -> None:
    quick(rivals, 'steps=[50, 100], bake="1h", min_requests=50')
    with Traffic(rivals, amount=amount) as traffic:
        traffic.reach(50)
        rivals.falaj("deploy", "fraud", "--version", "3")
        until(lambda: 3 in rivals.serves(), "the candidate serves")
        until(lambda: rivals.serves() == [1], "the rollout is aborted", within_s=60)
        traffic.reach(200)
    newest = rivals.json("audit", "list", "--action", "rollout.*")[0]
    assert (newest["action"], newest["actor"]) == ("rollout.abort", "system")
    assert f"{rule} is above" in str(newest["detail"])
    assert traffic.answered[-1]["model_version"] == 1
    if rule == "error_ratio":
        assert {status for status, _ in traffic.failures} == {500}
        assert all("amount_ratio" in error and "\n" not in error for _, error in traffic.failures)
    else:
        assert traffic.failures == []
    until(lambda: rivals.json("models", "list")[0]["stage"] == "development", "version 3 has left staging")


def test_without_traffic_a_canary_waits_and_then_goes_back(rivals: FalajProject) -> None:
    quick(rivals, 'steps=[50, 100], bake="1s", min_requests=50, deadline="2s"')
    rivals.falaj("deploy", "fraud", "--version", "2")
    until(lambda: rivals.serves() == [1], "missing data is no proof", within_s=20)
    newest = rivals.json("audit", "list", "--action", "rollout.*")[0]
    assert newest["action"] == "rollout.roll_back"
    assert "0 requests of the 50 that are needed" in str(newest["detail"])


def test_a_person_ends_a_canary(rivals: FalajProject) -> None:
    quick(rivals, 'steps=[10, 100], bake="1h"')
    rivals.falaj("deploy", "fraud", "--version", "2")
    assert sorted(rivals.serves()) == [1, 2]
    done = rivals.json("rollback", "fraud")
    assert (done["withdrawn"], done["serves"]) == (2, [1])
    assert rivals.serves() == [1]
