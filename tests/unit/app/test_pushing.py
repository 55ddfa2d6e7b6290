"""Pushing from Python: any number of events in bounded pieces, and nothing that JSON would change on the way."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from falaj.app.client import Client
from falaj.app.notebook import Project
from falaj.app.operations.source import push
from falaj.app.pushing import PIECE_EVENTS
from falaj.app.running import announce, withdraw
from falaj.app.values.features import Materialise
from falaj.app.values.project import PlanQuery
from falaj.app.values.source import Ingest, Push, SourceQuery
from falaj.app.values.status import SourceStatus
from falaj.kernel.errors import InputError
from falaj.lifecycle.project import load_definitions
from support.rooms_world import ADA, definitions, event, opened
from support.tour import transactions, write_tour

AT = datetime(2025, 3, 1, tzinfo=UTC)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """The tour, applied; nothing runs."""
    write_tour(tmp_path, rows=50)
    client = Client(tmp_path)
    client.perform("project.apply", PlanQuery(load_definitions(client.folder, client.settings)), dict[str, Any])
    return Project(client)


def events(count: int, **changes: Any) -> Iterator[dict[str, Any]]:
    """Events with instants as Python has them."""
    row = transactions(1, first=AT)[0] | changes
    return ({**row, "transaction_id": f"p{number}"} for number in range(count))


def test_a_long_stream_is_pushed_in_pieces_and_refusals_are_counted_from_its_first_event(project: Project) -> None:
    stream = (e if n != PIECE_EVENTS + 3 else {**e, "amount": -1.0} for n, e in enumerate(events(PIECE_EVENTS + 10)))
    done = project.push("transactions", stream, wait="applied")
    assert (done.accepted, done.applied) == (PIECE_EVENTS + 9, True)
    assert done.rejected == [(PIECE_EVENTS + 3, ["amount is not between 0 and 100000"])]
    assert project.replay("transactions", dry_run=True).refused == 1


def test_where_no_control_runs_the_commands_land_what_waits(project: Project, tmp_path: Path) -> None:
    def landed() -> int:
        return client.perform("source.list", SourceQuery("transactions"), list[SourceStatus])[0].streamed

    client = Client(tmp_path)
    project.push("transactions", events(2), wait="applied")
    assert landed() == 2
    row = transactions(1, first=AT)[0]
    for number, then in enumerate([Materialise(), Ingest("")], 3):
        project.push("transactions", [row | {"transaction_id": f"later{number}"}])
        assert landed() == number - 1
        client.perform("features.materialise" if number == 3 else "source.ingest", then, list[Any])
        assert landed() == number


def test_beside_a_control_a_push_leaves_landing_to_it(tmp_path: Path) -> None:
    with opened(tmp_path, definitions()) as world:
        announce(world.rooms.state.path, "http://here")
        assert push(world.rooms, ADA, Push("tx", [event(1)], "applied")).applied
        assert world.rooms.events.landed("tx") == 0
        withdraw(world.rooms.state.path)
        assert push(world.rooms, ADA, Push("tx", [event(2)], "applied")).applied
        assert world.rooms.events.landed("tx") == 2


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"event_time": datetime(2025, 3, 1)}, "has no time zone"),  # noqa: DTZ001
        ({"amount": float("nan")}, "JSON cannot hold"),
    ],
)
def test_what_would_be_changed_on_the_way_is_refused(project: Project, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        project.push("transactions", events(1, **changes))
