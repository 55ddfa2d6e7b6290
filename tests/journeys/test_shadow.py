"""A version in the shadow, from the shell: set, watched, compared, ended by its own deployment."""

import json

from support.falaj_project import FalajProject
from support.tour import NOW
from support.traffic import Traffic
from support.trained import FAILS_AT
from support.waiting import until

LATER = "2025-02-25T00:00:00Z"


def computed(project: FalajProject) -> int:
    return int(project.json("shadow", "fraud")["shadow"]["requests"])


def test_a_version_computes_beside_what_decides_until_it_decides_itself(rivals: FalajProject) -> None:
    rivals.up()
    never = rivals.refused("shadow", "fraud")
    assert (never["code"], never["hint"]) == ("not_found", "set one: falaj shadow fraud VERSION")
    for words, code in (
        (("1",), "conflict"), (("9",), "not_found"), (("3", "--weight", "20"), "input_invalid"),
        (("3", "--weight", "nan"), "input_invalid"), (("--weight", "0.5"), "usage"), (("3", "--end"), "usage"),
        (("--end",), "conflict"),
    ):  # fmt: skip
        assert rivals.refused("shadow", "fraud", *words)["code"] == code, words
    viewer = rivals.token("looker", "viewer")
    assert rivals.refused("shadow", "fraud", "3", token=viewer)["code"] == "access_denied"

    done = rivals.falaj("shadow", "fraud", "3", "--weight", "0.5").out
    assert "fraud: version 3 computes in the shadow for 50 % of units, in force in every worker after" in done
    done = rivals.json("shadow", "fraud", "3")
    assert (done["endpoint"], done["version"], done["weight"]) == ("fraud", 3, 1.0)
    assert done["in_force_s"] is not None
    newest = rivals.json("audit", "list", "--action", "endpoint.shadow")[0]
    assert (newest["actor"], newest["detail"]["version"]) == ("owner", 3)

    until(lambda: rivals.ask() and computed(rivals) > 0, "the workers have loaded it")
    with Traffic(rivals, amount=40.0) as traffic:
        traffic.reach(60)
    with Traffic(rivals, amount=FAILS_AT) as failing:  # which version 3 fails on, each time
        failing.reach(40)
    assert traffic.failures == failing.failures == []
    assert traffic.versions() | failing.versions() == {1}
    decided = [*traffic.answered, *failing.answered]
    wanted = len(decided)
    until(lambda: computed(rivals) >= wanted, "the shadow has computed all of them")
    lines = [{"request_id": one["request_id"], "outcome": n % 2, "at": LATER} for n, one in enumerate(decided[:50])]
    rivals.falaj("feedback", stdin="\n".join(json.dumps(one) for one in lines))

    found = rivals.json("shadow", "fraud", token=viewer)
    (beside,) = found["beside"]
    one = beside["comparison"]
    assert (beside["version"], found["shadow"]["version"], found["until_us"]) == (1, 3, None)
    assert one["both"] >= 60
    assert (one["shadow_failed"], one["live_failed"]) == (len(failing.answered), 0)
    assert one["requests"] == one["both"] + one["shadow_failed"]
    assert one["difference"]["p50_size"] <= one["difference"]["p99_size"] <= one["difference"]["max_size"]
    assert one["changed"]["lower"] <= one["changed"]["value"] <= one["changed"]["upper"]
    assert one["shadow_quality"]["labelled"] == one["live_quality"]["labelled"] == 50
    shown = rivals.falaj("shadow", "fraud").out
    assert "version 3 of fraud is the shadow for 100 % of units since 20" in shown
    assert f"beside    version 1: {one['requests']:,} requests, {one['both']:,} scored by both" in shown
    assert "realised    version 3: 50 outcomes:" in shown
    (line,) = [line for line in rivals.falaj("status").out.splitlines() if "  shadow " in line]
    assert "version 3    100.0 %" in line
    # What is explained is what was answered.
    assert rivals.json("why", decided[0]["request_id"])["version"] == 1

    assert rivals.json("deploy", "fraud", "--version", "2")["state"] == "rolling out"
    assert [one["role"] for one in rivals.endpoint()["variants"]] == ["live", "live", "shadow"]
    assert rivals.json("rollback", "fraud")["serves"] == [1]
    assert [(one["version"], one["role"]) for one in rivals.endpoint()["variants"]] == [(1, "live"), (3, "shadow")]
    assert rivals.json("deploy", "fraud", "--version", "3")["state"] == "rolling out"
    assert [(one["version"], one["role"]) for one in rivals.endpoint()["variants"]] == [(1, "live"), (3, "live")]
    ended = rivals.json("shadow", "fraud")
    assert ended["until_us"] > ended["since_us"] == found["since_us"]
    assert rivals.json("rollback", "fraud")["serves"] == [1]
    assert [(one["version"], one["role"]) for one in rivals.endpoint()["variants"]] == [(1, "live")]


def test_without_a_gateway_it_is_set_and_waits(rivals: FalajProject) -> None:
    assert rivals.json("shadow", "fraud", "2", "--weight", "0.2") == {
        "endpoint": "fraud", "version": 2, "weight": 0.2, "in_force_s": None,
    }  # fmt: skip
    assert rivals.json("predict", "fraud", "--entity", "card_id=c1", "--request", "amount=4", "--at", NOW)
    assert rivals.json("shadow", "fraud")["beside"] == []
    assert "no request yet that it and a deciding version" in rivals.falaj("shadow", "fraud").out
    assert rivals.json("shadow", "fraud", "--end")["version"] == 2
