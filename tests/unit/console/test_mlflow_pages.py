"""MLflow behind our access check: every route of the installed MLflow, asked by nobody, by readers and by writers."""

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing

import pytest
from werkzeug.routing import Map

from falaj.console.mlflow_access import ARTIFACTS, READS, WRITES, is_write, name_of
from falaj.governance.access import SYSTEM
from falaj.kernel.errors import AccessDenied, NotFound
from falaj.models.mlflow_server import MlflowRoute
from support.control_app import App
from support.mlflow_served import HOST, bearer, served
from support.rooms_world import World

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
Served = tuple[App, World, dict[str, str]]


@pytest.fixture(scope="module")
def mlflow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("mlflow")) as found:
        yield found


def routes(mlflow: Served) -> list[tuple[MlflowRoute, str]]:
    """Every route of the installed MLflow, by the table that it goes by, and a path that leads to it."""
    client, _, tokens = mlflow
    assert client.get("/mlflow/version", headers=bearer(tokens["viewer"])).status_code == 200  # it is loaded
    from mlflow.server import app

    table: Map = app.url_map
    found = [
        (MlflowRoute(method, rule.rule), re.sub(r"<[^>]*>", "x1", rule.rule))
        for rule in table.iter_rules()
        for method in METHODS
        if method in (rule.methods or set())
    ]
    assert len(found) > 300
    return found


def test_nobody_reaches_any_route_without_a_token(mlflow: Served) -> None:
    client, _, tokens = mlflow
    for headers in ({}, bearer("flj_wrong"), {"cookie": "falaj_token=flj_wrong"}):
        for route, path in routes(mlflow):
            reply = client.request(route.method, f"/mlflow{path}", headers=headers)
            assert reply.status_code == 401, route
            assert "falaj_token" not in reply.headers.get("set-cookie", "")
    for route, path in routes(mlflow):
        assert client.request(route.method, f"/mlflow{path}", headers=bearer(tokens["service"])).status_code == 403


def test_a_reader_reaches_the_reading_routes_alone_and_leaves_the_database_as_it_was(mlflow: Served) -> None:
    client, world, tokens = mlflow
    found = routes(mlflow)
    before = dump(world)
    for route, path in found:
        reply = client.request(route.method, f"/mlflow{path}", json={}, headers=bearer(tokens["viewer"]))
        closed = reply.status_code == 403
        assert closed == (name_of(route) not in READS), (route, reply.text)
        assert reply.status_code != 405, route
    assert dump(world) == before


def test_a_writer_reaches_what_logs_runs_and_nothing_that_changes_the_registry(mlflow: Served) -> None:
    client, world, tokens = mlflow
    for route, path in routes(mlflow):
        if name_of(route) not in READS | WRITES:
            for role in ("owner", "engineer"):
                reply = client.request(route.method, f"/mlflow{path}", json={}, headers=bearer(tokens[role]))
                assert reply.status_code == 403, route
    assert not any("registered-models" in name or "model-versions" in name for name in WRITES)
    assert not any(name.startswith("DELETE") for name in READS | WRITES)
    with closing(sqlite3.connect(world.rooms.state.mlflow_db)) as db:
        assert db.execute("select count(*) from registered_models").fetchone() == (0,)


def test_every_named_route_is_one_of_the_installed_mlflow(mlflow: Served) -> None:
    names = {name_of(route) for route, _ in routes(mlflow)}
    assert sorted((READS | WRITES) - names) == []
    assert not READS & WRITES
    assert ARTIFACTS <= READS


def test_a_route_that_a_later_mlflow_brings_is_closed() -> None:
    for method in METHODS:
        for rule in ("/api/2.0/mlflow/runs/get-all", "/api/4.0/mlflow/runs/get", "/new", "/ajax-api/2.0/mlflow/runs"):
            with pytest.raises(AccessDenied):
                is_write(MlflowRoute(method, rule), rule)
    with pytest.raises(NotFound):
        is_write(None, "/nothing")


def test_a_token_for_one_model_is_not_let_in(mlflow: Served) -> None:
    client, world, _ = mlflow
    for number, scopes in enumerate((("model.read@fraud",), ("model.*",), ("mlflow.read@fraud",))):
        world.rooms.actors.create(f"narrow{number}", "engineer", SYSTEM)
        token = world.rooms.actors.create_token(f"narrow{number}", scopes=scopes, by=SYSTEM)
        assert client.get("/mlflow/version", headers=bearer(token)).status_code == 403
    world.rooms.actors.create("reader", "engineer", SYSTEM)
    token = world.rooms.actors.create_token("reader", scopes=("mlflow.read",), by=SYSTEM)
    assert client.get("/mlflow/version", headers=bearer(token)).status_code == 200
    made = client.post("/mlflow/api/2.0/mlflow/runs/create", json={"experiment_id": "1"}, headers=bearer(token))
    assert made.status_code == 403


def test_a_browser_reads_by_its_cookie_from_our_own_pages_only_and_writes_nothing(mlflow: Served) -> None:
    client, _, tokens = mlflow
    cookie = {"cookie": f"other=1; falaj_token={tokens['owner']}"}
    ours = {"origin": HOST, "sec-fetch-site": "same-origin"}
    search = ("/mlflow/ajax-api/2.0/mlflow/runs/search", {"experiment_ids": ["1"]})
    assert client.get("/mlflow/", headers=cookie).status_code == 200
    assert client.post(search[0], json=search[1], headers=cookie | ours).json()["runs"]
    for foreign in (
        {"origin": "http://127.0.0.1:3000", "sec-fetch-site": "same-site"},
        {"origin": "http://localhost:3000"},
        {"origin": "null"},
        {"sec-fetch-site": "cross-site"},
    ):
        reply = client.post(search[0], json=search[1], headers=cookie | foreign)
        assert reply.status_code == 401
        assert "access-control-allow-origin" not in reply.headers
    written = client.post("/mlflow/ajax-api/2.0/mlflow/runs/create", json={"experiment_id": "1"}, headers=cookie | ours)
    assert (written.status_code, written.json()["code"]) == (403, "access_denied")
    preflight = client.options(search[0], headers={"origin": "http://localhost:3000"})
    assert preflight.status_code == 401


def test_who_is_not_signed_in_is_led_to_the_sign_in_and_the_mount_has_its_slash(mlflow: Served) -> None:
    client, _, tokens = mlflow
    page = client.get("/mlflow/", headers={"accept": "text/html"}, follow_redirects=False)
    assert (page.status_code, page.headers["location"]) == (303, "/")
    bare = client.get("/mlflow", headers=bearer(tokens["viewer"]), follow_redirects=False)
    assert (bare.status_code, bare.headers["location"]) == (308, "/mlflow/")
    for path in ("/mlflowx", "/mlflowx/version", "/mlflow/version/", "/mlflow/nothing", "/mlflow/%00"):
        assert client.get(path, headers=bearer(tokens["viewer"])).status_code == 404, path


def test_pages_api_and_artifacts_answer_below_the_mount(mlflow: Served) -> None:
    client, world, tokens = mlflow
    viewer = bearer(tokens["viewer"])
    page = client.get("/mlflow/", headers=viewer)
    script = re.findall(r'src="(static-files/[^"]+\.js)"', page.text)[0]
    assert "javascript" in client.get(f"/mlflow/{script}", headers=viewer).headers["content-type"]
    proxied = client.get("/mlflow/ajax-api/2.0/mlflow/gateway-proxy?gateway_path=api/2.0/endpoints/", headers=viewer)
    assert proxied.json() == {"endpoints": []}  # nothing is passed on anywhere
    assert "frame-ancestors 'self'" in page.headers["content-security-policy"]
    assert "http" not in page.headers["content-security-policy"]
    runs = client.post("/mlflow/api/2.0/mlflow/runs/search", json={"experiment_ids": ["1"]}, headers=viewer).json()
    run = runs["runs"][0]["info"]
    folder = world.rooms.state.path / "mlflow" / "fraud" / run["run_id"] / "artifacts"
    folder.mkdir(parents=True)
    (folder / "page.html").write_text("<script>alert(1)</script>")
    listed = client.get("/mlflow/api/2.0/mlflow/artifacts/list", params={"run_id": run["run_id"]}, headers=viewer)
    assert [one["path"] for one in listed.json()["files"]] == ["page.html"]
    file = client.get("/mlflow/get-artifact", params={"run_id": run["run_id"], "path": "page.html"}, headers=viewer)
    assert file.text == "<script>alert(1)</script>"
    assert file.headers["content-security-policy"] == "sandbox; default-src 'none'"
    assert file.headers["content-disposition"].startswith("attachment")


@pytest.mark.parametrize(
    "climbing",
    [
        "../../falaj.db",
        "..%2f..%2ffalaj.db",
        "%252e%252e/falaj.db",
        "/etc/passwd",
        "a/../../../owner.token",
        "file:///etc/passwd",
    ],
)
def test_no_path_climbs_out_of_the_artifacts(mlflow: Served, climbing: str) -> None:
    client, _, tokens = mlflow
    owner = bearer(tokens["owner"])
    runs = client.post("/mlflow/api/2.0/mlflow/runs/search", json={"experiment_ids": ["1"]}, headers=owner).json()
    run = runs["runs"][0]["info"]["run_id"]
    for reply in (
        client.get(f"/mlflow/get-artifact?run_id={run}&path={climbing}", headers=owner),
        client.get(f"/mlflow/api/2.0/mlflow/artifacts/list?run_id={run}&path={climbing}", headers=owner),
        client.get(f"/mlflow/api/2.0/mlflow-artifacts/artifacts/{climbing}", headers=owner),
        client.put(f"/mlflow/api/2.0/mlflow-artifacts/artifacts/{climbing}", content=b"x", headers=owner),
        client.get(f"/mlflow/static-files/{climbing}", headers=owner),
    ):
        assert reply.status_code in (400, 404, 500), reply.url
        assert "SQLite format" not in reply.text
        assert "root:" not in reply.text


def test_a_writer_logs_a_run_and_uploads_beside_falajs_own(mlflow: Served) -> None:
    client, world, tokens = mlflow
    engineer, api = bearer(tokens["engineer"]), "/mlflow/api/2.0/mlflow"
    experiment = client.post(f"{api}/experiments/create", json={"name": "mine"}, headers=engineer).json()
    run = client.post(f"{api}/runs/create", json=experiment, headers=engineer).json()["run"]["info"]
    logged = {"run_id": run["run_id"], "metrics": [{"key": "auc", "value": 0.5, "timestamp": 1, "step": 0}]}
    assert client.post(f"{api}/runs/log-batch", json=logged, headers=engineer).status_code == 200
    place = run["artifact_uri"].removeprefix("mlflow-artifacts:/")
    upload = f"/mlflow/api/2.0/mlflow-artifacts/artifacts/{place}/note.txt"
    assert client.put(upload, content=b"hello", headers=engineer).status_code == 200
    assert client.get(upload, headers=bearer(tokens["viewer"])).text == "hello"
    assert (world.rooms.state.path / "mlflow-uploads" / place / "note.txt").read_bytes() == b"hello"


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("experiments/create", {"name": "a", "artifact_location": "file:///etc"}),
        ("experiments/create", {"name": "a", "artifactLocation": "file:///etc"}),
        ("experiments/create", '{"name": "a", "artifact_location": "file:///etc"}'),
        ("runs/set-tag", {"run_id": "x", "key": "falaj.run_id", "value": "run_1"}),
        ("runs/create", {"experiment_id": "1", "tags": [{"key": "falaj.run_id", "value": "run_1"}]}),
        ("runs/log-batch", {"run_id": "x", "tags": [{"key": "falaj.gate", "value": "PASS"}]}),
        ("runs/delete-tag", {"run_id": "x", "key": "falaj.gate"}),
        ("runs/create", [1]),
        ("runs/set-tag", '{"a": ' + 400 * "[" + 400 * "]" + "}"),
    ],
)
def test_a_writer_says_neither_where_files_lie_nor_what_falaj_alone_says(
    mlflow: Served, path: str, body: object
) -> None:
    client, _, tokens = mlflow
    for role in ("owner", "engineer"):
        reply = client.post(f"/mlflow/api/2.0/mlflow/{path}", json=body, headers=bearer(tokens[role]))
        assert reply.json()["code"] in ("access_denied", "input_invalid"), reply.text


def test_nobody_changes_what_a_run_of_falajs_measured_and_notes_beside_it_are_free(mlflow: Served) -> None:
    client, _, tokens = mlflow
    owner, api = bearer(tokens["owner"]), "/mlflow/api/2.0/mlflow"
    runs = client.post(f"{api}/runs/search", json={"experiment_ids": ["1"]}, headers=owner).json()
    run = runs["runs"][0]["info"]["run_id"]
    metric = {"key": "auc", "value": 1.0, "timestamp": 1, "step": 0}
    for path, said in (
        ("log-metric", {"run_id": run, **metric}),
        ("log-metric", {"run_uuid": run, **metric}),
        ("log-batch", {"runId": run, "metrics": [metric]}),
        ("log-parameter", {"run_id": run, "key": "trees", "value": "1"}),
        ("update", {"run_id": run, "status": "FAILED"}),
    ):
        reply = client.post(f"{api}/runs/{path}", json=said, headers=owner)
        assert (reply.status_code, reply.json()["code"]) == (403, "access_denied"), (path, reply.text)
    note = {"run_id": run, "key": "seen", "value": "yes"}
    assert client.post(f"{api}/runs/set-tag", json=note, headers=owner).status_code == 200
    seen = client.get(f"{api}/runs/get?run_id={run}", headers=owner).json()["run"]
    assert "metrics" not in seen["data"]
    assert ("seen", "yes") in {(tag["key"], tag["value"]) for tag in seen["data"]["tags"]}


def test_other_names_of_the_machine_are_refused(mlflow: Served) -> None:
    client, _, tokens = mlflow
    reply = client.get("/mlflow/", headers=bearer(tokens["viewer"]) | {"host": "evil.example"})
    assert reply.status_code == 403


def dump(world: World) -> list[str]:
    with closing(sqlite3.connect(world.rooms.state.mlflow_db)) as db:
        return list(db.iterdump())
