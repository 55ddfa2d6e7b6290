"""A store that was tampered with under a running project: the schedule finds it, and says so everywhere."""

from collections.abc import Iterator

import lmdb
import numpy as np
import pytest

from falaj.app.backends import open_rooms
from falaj.app.notebook import Project
from falaj.definitions.service_spec import ViewSpec
from falaj.features.entity_key import encode_key, record_key
from falaj.features.events import Column, Events
from falaj.features.record import decode, encode
from falaj.kernel.settings import load_settings
from support.falaj_project import FalajProject
from support.tour import NOW, transactions
from support.waiting import until

CARD = transactions(8_000)[-1]["card_id"]
MISMATCH = 11


@pytest.fixture
def checked(serving: FalajProject) -> Iterator[FalajProject]:
    """Version 1 in production, checked every half second; control and gateway up."""
    with (serving.folder / "falaj.toml").open("a") as file:
        file.write("[consistency]\nevery_s = 0.5\ndecisions = 50\n")
    yield serving.up()


def scraped(project: FalajProject) -> dict[str, float]:
    """What control's `/metrics` says of consistency, by names with their labels."""
    lines = project.control("GET", "/metrics").text.splitlines()
    found = [line.rpartition(" ") for line in lines if line.startswith("falaj_consistency_")]
    return {name: float(value) for name, _, value in found}


def served_view(project: FalajProject) -> ViewSpec:
    """The view as the version that serves pins it."""
    with open_rooms(project.folder, load_settings(project.folder)) as rooms:
        service = rooms.registry.get("fraud", 1).service
    assert service is not None
    return service.views[0]


def plant(project: FalajProject, view: ViewSpec) -> None:
    """Change one amount in the stored record of the card; its checksums are right, only its content is wrong."""
    place = record_key(view.namespace, encode_key(view, {"card_id": CARD}) or b"")
    with lmdb.open(str(project.state / "online"), map_size=32 << 30) as env, env.begin(write=True) as txn:
        stored = decode(view, txn.get(place) or b"")
        events, at = stored.events, [name for name, _ in view.columns].index("amount")
        amounts: np.ndarray[tuple[int], np.dtype[np.float64]] = events.columns[at].values.copy()
        amounts[-1] += 100.0
        columns = list(events.columns)
        columns[at] = Column(amounts, events.columns[at].valid)
        changed = Events(events.ts, events.created, events.seq, events.identity, tuple(columns))
        txn.put(place, encode(view, type(stored)(changed, stored.applied_seq)))


def test_the_schedule_finds_a_planted_corruption(checked: FalajProject) -> None:
    assert scraped(checked)["falaj_consistency_every_seconds"] == 0.5
    for _ in range(10):
        checked.ask(CARD, at=NOW)
    until(lambda: scraped(checked).get("falaj_consistency_decisions") == 10, "what was served is checked")
    seen = scraped(checked)
    assert seen['falaj_consistency_outcome{outcome="PASS"}'] == 1
    assert seen["falaj_consistency_mismatches"] == 0
    assert seen["falaj_consistency_non_default_ratio"] > 0.5
    assert seen["falaj_consistency_age_seconds"] < 30
    assert "PASS" in checked.falaj("status").out
    assert checked.json("alerts", "list", "--open") == []

    plant(checked, served_view(checked))
    checked.ask(CARD, at=NOW)
    (alert,) = until(lambda: checked.json("alerts", "list", "--open"), "the alert opens")
    assert (alert["severity"], alert["subject"]) == ("critical", "consistency of all endpoints")
    assert "are not what the events say" in alert["message"]
    seen = scraped(checked)
    assert seen['falaj_consistency_outcome{outcome="FAIL"}'] == 1
    assert seen["falaj_consistency_mismatches"] >= 2
    status = checked.falaj("status").out
    assert "features  FAIL" in status
    assert checked.json("status")["consistency"]["mismatches"] >= 2
    found = checked.run("features", "verify", "--json")
    assert found.code == MISMATCH
    wrong = {one["column"]: one["served"] - one["recomputed"] for one in found.json()["mismatches"]}
    assert wrong["card_activity__amount_30d"] == pytest.approx(100.0)
    assert {one["reason"].partition(" ")[0] for one in found.json()["mismatches"]} == {"the"}
    assert "the record or the logged value was altered" in checked.run("features", "verify").out
    page = checked.control("GET", "/", accept="text/html").text
    assert "not what the events say" in page


def test_nothing_served_is_no_pass_and_a_schedule_that_is_off_says_so(serving: FalajProject) -> None:
    serving.env["FALAJ_CONSISTENCY_ENABLED"] = "false"
    serving.up()
    assert scraped(serving) == {"falaj_consistency_every_seconds": 0.0}
    assert serving.run("features", "verify").code == MISMATCH
    seen = scraped(serving)
    assert seen['falaj_consistency_outcome{outcome="INCONCLUSIVE"}'] == 1
    assert seen['falaj_consistency_outcome{outcome="PASS"}'] == 0
    assert "not checked by itself" in serving.falaj("status").out


def test_what_is_left_out_is_said_and_counted(serving: FalajProject) -> None:
    project = Project.open(serving.folder)
    for at in (NOW, "2025-01-02T00:00:00Z"):
        project.predict("fraud", {"card_id": CARD}, {"amount": 12.5}, at=at)
    found = serving.json("features", "verify")
    assert found["skipped"] == {"the value was outside retention": 5}
    assert "left out, 5 times: the value was outside retention" in serving.falaj("features", "verify").out
