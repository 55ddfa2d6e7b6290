"""What cannot start says so at once; a project that has begun gets a shared folder, and what it lacks is named."""

import shutil

from support.falaj_project import FalajProject
from support.waiting import until


def test_a_project_gets_a_shared_folder_and_says_what_is_missing_in_it(serving: FalajProject) -> None:
    decided = serving.json("predict", "fraud", "--entity", "card_id=c1", "--request", "amount=25")["request_id"]
    shared = serving.folder.parent / "shared"
    serving.edit("falaj.toml", "[project]", '[storage]\nshared = "../shared"\n\n[project]')
    done = serving.falaj("up", "--detach")
    assert f"copied to {serving.folder / '../shared/blobs'}" in done.err
    assert serving.ask()["model_version"] == 1
    assert serving.json("why", decided)["request_id"] == decided  # from the segment that was moved
    serving.down()

    shutil.rmtree(shared / "blobs")
    refused = serving.refused("up", "--detach")
    assert (refused["code"], refused["error"]) == (
        "unavailable",
        "control and gateway run, and these endpoints cannot be loaded: fraud",
    )
    assert serving.gateway("GET", "/v2/health/ready", token="").status == 503
    assert "missing from the blob store" in serving.falaj("status").out
    until(lambda: "endpoint_load" in serving.falaj("alerts", "list", "--open").out, "an alert is open")
    (shared / "blobs").mkdir(exist_ok=True)
    shutil.copytree(serving.state / "blobs", shared / "blobs", dirs_exist_ok=True)
    until(lambda: serving.gateway("GET", "/v2/health/ready", token="").status == 200, "it is loaded")
    until(lambda: "endpoint_load" not in serving.falaj("alerts", "list", "--open").out, "the alert is over")
    serving.down()

    shared.rename(shared.with_name("unmounted"))
    refused = serving.refused("up", "--detach")
    assert "is not the folder that this project's models are in" in refused["error"]
    assert not shared.exists()


def test_a_start_that_cannot_be_leaves_nothing(serving: FalajProject) -> None:
    serving.env["FALAJ_STORAGE_ONLINE"] = "redis"
    serving.env["FALAJ_STORAGE_ONLINE_URL"] = "redis://127.0.0.1:1/0"
    refused = serving.refused("up", "--detach")
    assert (refused["code"], refused["exit"]) == ("storage_failed", 8)
    assert "redis://127.0.0.1:1/0 cannot be reached" in refused["error"]
    serving.env["FALAJ_STORAGE_ONLINE_URL"] = "http://127.0.0.1:1"
    for command in ("up", "gateway"):
        assert "does not begin with redis://" in serving.refused(command)["error"]
    serving.env["FALAJ_STORAGE_ONLINE"] = "lmdb"
    serving.env["FALAJ_STORAGE_DATABASE"] = "postgresql://127.0.0.1:1/none"  # which control is the first to look at
    for detach in ([], ["--detach"]):
        refused = serving.refused("up", *detach)
        assert (refused["code"], refused["exit"]) == ("project_invalid", 2)
        assert "is in SQLite, and storage.database names another" in refused["error"]
    assert serving.processes() == []
    del serving.env["FALAJ_STORAGE_DATABASE"]
    serving.env["FALAJ_STORAGE_SHARED"] = "/nonexistent/shared"
    assert "storage.shared, /nonexistent/shared, does not exist" in serving.refused("gateway")["error"]
    assert serving.processes() == []
