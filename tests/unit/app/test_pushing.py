"""Pushing from Python: any number of events in bounded pieces, and nothing that JSON would change on the way."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from falaj.app.client import Client
from falaj.app.notebook import Project
from falaj.app.pushing import PIECE_EVENTS
from falaj.app.values.project import PlanQuery
from falaj.kernel.errors import InputError
from falaj.lifecycle.project import load_definitions
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
