"""The pages: what users named is text and never markup, and the cookie reads and never writes."""

from collections.abc import Iterator

import msgspec
import pytest

from falaj.app.operation import OPERATIONS, perform
from falaj.app.values.status import Status, StatusQuery
from falaj.console.pages import overview_page
from falaj.governance.access import SYSTEM
from support.control_app import App, asked, bearer
from support.named import HOSTILE, status_of


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[App, str, Status]]:
    with asked(tmp_path_factory.mktemp("console")) as (client, world, token):
        yield client, token, perform(world.rooms, SYSTEM, "project.status", StatusQuery())


def test_names_that_users_choose_are_text_on_the_page() -> None:
    plain = overview_page(status_of("x", "x"), "x")
    page = overview_page(status_of(HOSTILE, HOSTILE), HOSTILE)
    assert page.count("<script") == plain.count("<script")
    assert page.count("<img") == plain.count("<img") == 0
    assert "&lt;script&gt;" in page
    assert "{{7*7}}" in page
    assert ">49<" not in page
    # No attribute is left by a quote in a name.
    assert 'href="/models/<' not in page
    assert '"><img' not in page


def test_a_page_of_nothing_and_of_a_lot_is_a_page(pages: tuple[App, str, Status]) -> None:
    _, _, status = pages
    empty = msgspec.structs.replace(status, endpoints=(), versions=(), runs=(), alerts=(), sources=(), audit=())
    assert "Nothing serves yet" in overview_page(empty, "owner")
    much = status_of("n" * 10_000, "n")
    assert "n" * 10_000 in overview_page(much, "owner")


def test_every_page_forbids_frames_foreign_scripts_and_caches(pages: tuple[App, str, Status]) -> None:
    client, token, _ = pages
    for path in ("/", "/models/fraud/versions/1/card", "/models/fraud/versions/1/gate"):
        reply = client.get(path, headers=bearer(token))
        assert reply.status_code == 200
        assert reply.headers["content-type"].startswith("text/html")
        policy = reply.headers["content-security-policy"]
        for part in ("default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'self'"):
            assert part in policy
        assert "http" not in policy
        assert reply.headers["x-content-type-options"] == "nosniff"
        assert reply.headers["referrer-policy"] == "no-referrer"
        assert reply.headers["cache-control"] == "no-store"
        assert token not in reply.text
        assert 'src="http' not in reply.text
        assert 'href="http' not in reply.text


def test_the_cookie_is_kept_from_scripts_and_other_sites(pages: tuple[App, str, Status]) -> None:
    client, token, _ = pages
    for base, secure in (("http://testserver.local", False), ("https://testserver.local", True)):
        kept = client.post(f"{base}/login", json={"token": token}).headers["set-cookie"]
        client.cookies.clear()
        assert "HttpOnly" in kept
        assert "SameSite=strict" in kept
        assert ("Secure" in kept) == secure
    forgotten = client.post("/logout").headers["set-cookie"]
    assert "Max-Age=0" in forgotten
    client.cookies.clear()


@pytest.mark.parametrize("name", OPERATIONS)
def test_the_cookie_carries_out_nothing(pages: tuple[App, str, Status], name: str) -> None:
    client, token, _ = pages
    cookie = {"cookie": f"falaj_token={token}", "origin": "http://elsewhere.example"}
    assert client.get("/v1/status", headers=cookie).status_code == 200
    refused = client.post(f"/v1/operations/{name}", content=b"{}", headers=cookie)
    assert (refused.status_code, refused.json()["code"]) == (401, "unauthenticated")


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400), (b"[]", 400), (b'{"token": 5}', 400), (b'{"token": null}', 400), (b"[" * 100_000, 400),
        (b"{}", 401), (b'{"token": ""}', 401), (b'{"token": "a\\r\\nset-cookie: x=y"}', 401),
        (b'{"token": "\\ud83d\\ude00"}', 401), (b'{"token": "' + b"x" * 1_000_000 + b'"}', 401),
    ],
)  # fmt: skip
def test_a_bad_sign_in_is_one_sentence_and_sets_no_cookie(
    pages: tuple[App, str, Status], body: bytes, status: int
) -> None:
    client, _, _ = pages
    reply = client.post("/login", content=body)
    assert (reply.status_code, "set-cookie" in reply.headers) == (status, False), reply.text
    assert reply.json()["error"]


@pytest.mark.parametrize("cookie", ["falaj_token=%ff", "falaj_token=%00", "falaj_token", ";;;", "=", 'falaj_token="x'])
def test_a_broken_cookie_is_no_token(pages: tuple[App, str, Status], cookie: str) -> None:
    client, _, _ = pages
    assert client.get("/v1/status", headers={"cookie": cookie}).status_code == 401
    page = client.get("/", headers={"cookie": cookie})
    assert (page.status_code, "Your token" in page.text) == (200, True)
