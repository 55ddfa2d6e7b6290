"""Ports that somebody else holds: named before anything starts, and nothing is left behind."""

import os
import socket
from collections.abc import Iterator

import pytest

from support.falaj_project import FalajProject


@pytest.fixture
def applied(fresh: FalajProject) -> FalajProject:
    fresh.falaj("apply")
    return fresh


@pytest.fixture
def taken(applied: FalajProject, request: pytest.FixtureRequest) -> Iterator[tuple[str, int]]:
    """A port of the project on which another program listens, and the setting that chose it."""
    port = {"control": applied.control_port, "gateway": applied.gateway_port}[request.param]
    with socket.create_server(("127.0.0.1", port)):
        yield request.param, port


@pytest.mark.parametrize("taken", ["control", "gateway"], indirect=True)
def test_a_taken_port_is_named_with_its_setting(applied: FalajProject, taken: tuple[str, int]) -> None:
    section, port = taken
    for words in (["up", "--detach"], ["up"], [section]):
        refused = applied.refused(*words)
        assert (refused["code"], refused["exit"]) == ("port_in_use", 9)
        assert refused["error"].startswith(f"port {port} on 127.0.0.1 is taken by process {os.getpid()} (")
        assert "of another folder" in refused["hint"]
        assert f"FALAJ_{section.upper()}_PORT" in refused["hint"]
    assert applied.processes() == []
    assert applied.json("source", "list")[0]["rows"] == 0  # no lock is left either


def test_it_starts_once_the_port_is_free(applied: FalajProject) -> None:
    with socket.create_server(("127.0.0.1", applied.gateway_port)):
        applied.refused("up", "--detach")
    applied.up()
    for words in (["up", "--detach"], ["up"], ["gateway"], ["control"]):
        refused = applied.refused(*words)
        assert (refused["code"], refused["exit"]) == ("conflict", 5), words
        assert "falaj down" in refused["hint"]
    assert applied.gateway("GET", "/v2/health/live", token="").status == 200
    applied.down()
    assert applied.processes() == []


@pytest.mark.parametrize("address", ["203.0.113.1", "no.such.host.invalid", ""])
def test_an_address_that_is_not_this_machines_is_named(applied: FalajProject, address: str) -> None:
    applied.env["FALAJ_GATEWAY_HOST"] = address
    refused = applied.refused("up", "--detach")
    assert (refused["code"], refused["exit"]) == ("project_invalid", 2), refused
    assert "host" in refused["error"] + refused["hint"]
    assert applied.processes() == []


def test_the_other_loopback_serves_as_well(serving: FalajProject) -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this machine has no IPv6 loopback")
    serving.env |= {"FALAJ_GATEWAY_HOST": "::1", "FALAJ_CONTROL_HOST": "::1"}
    addresses = serving.json("up", "--detach")
    assert addresses["gateway"] == f"http://[::1]:{serving.gateway_port}"
    answer = serving.json("predict", "fraud", "--entity", "card_id=c1", "--request", "amount=5.0")
    assert answer["model_version"] == 1
    assert serving.json("status")["control"] is True
