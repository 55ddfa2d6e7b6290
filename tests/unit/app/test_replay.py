"""Replay: streams merged by time, cut up as one likes."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import falaj as fj
from falaj.app.client import Client
from falaj.app.replay import Replay, Stream, merged
from falaj.definitions.source import Source
from falaj.kernel.errors import InputError
from support.rooms_world import START, endpoint

TIMED = Source("tx", stream=fj.Push(), timestamp="at", schema={"at": "timestamp", "n": "int64"})
TIMELESS = Source("rows", stream=fj.Push(), schema={"n": "int64"})


def stream(folder: Path, name: str, events: list[dict[str, Any]], source: Source = TIMED) -> Stream:
    file = folder / name
    file.write_text("".join(json.dumps(event) + "\n" for event in events))
    return Stream(source, file, decides=True)


def at(minute: int, **more: int) -> dict[str, Any]:
    return {"at": (START + timedelta(minutes=minute)).isoformat(), **more}


@settings(max_examples=50, deadline=None)
@given(
    minutes=st.lists(st.lists(st.integers(0, 5), max_size=6).map(sorted), min_size=1, max_size=3),
    skip=st.integers(0, 8),
    limit=st.none() | st.integers(0, 8),
)
def test_the_order_is_that_of_time_then_of_streams_then_of_lines(
    tmp_path_factory: pytest.TempPathFactory, minutes: list[list[int]], skip: int, limit: int | None
) -> None:
    folder = tmp_path_factory.mktemp("streams")
    numbered = [(m, i, n) for i, each in enumerate(minutes) for n, m in enumerate(each)]
    streams = [stream(folder, str(i), [at(m, i=i, n=n) for n, m in enumerate(each)]) for i, each in enumerate(minutes)]
    wanted = sorted(numbered)[skip : None if limit is None else skip + limit]
    assert [event for _, event in merged(streams, skip, limit)] == [at(m, i=i, n=n) for m, i, n in wanted]


def test_rows_without_time_come_in_the_order_of_their_file(tmp_path: Path) -> None:
    one = stream(tmp_path, "a", [{"n": n} for n in (3, 1, 2)], TIMELESS)
    assert [event["n"] for _, event in merged([one])] == [3, 1, 2]


def test_no_line_beyond_the_limit_is_read(tmp_path: Path) -> None:
    one = stream(tmp_path, "a", [at(1), at(2)])
    with one.file.open("a") as file:
        file.write("torn")
    assert len(list(merged([one], limit=2))) == 2
    with pytest.raises(InputError, match="line 3"):
        list(merged([one]))


@pytest.mark.parametrize("line", ["{", "7", "[]", "{}", '{"at": null}', '{"at": "yesterday"}', '{"at": 5}'])
def test_what_is_no_event_is_named_by_its_line(tmp_path: Path, line: str) -> None:
    one = stream(tmp_path, "a", [at(1)])
    with one.file.open("a") as file:
        file.write(line + "\n")
    with pytest.raises(InputError, match="line 2"):
        list(merged([one]))


@pytest.mark.parametrize("line", ["{", "7", "[]", "null"])
def test_what_is_no_row_is_named_by_its_line(tmp_path: Path, line: str) -> None:
    one = stream(tmp_path, "a", [{"n": 1}], TIMELESS)
    with one.file.open("a") as file:
        file.write(line + "\n")
    with pytest.raises(InputError, match="line 2"):
        list(merged([one]))


def test_a_followed_source_is_refused_before_anything_is_asked(tmp_path: Path) -> None:
    followed = Source("tx", stream=fj.Follow("events/*"), timestamp="at", schema=TIMED.schema)
    (tmp_path / "falaj.toml").write_text('[project]\nname = "demo"\n')
    replay = Replay(Client(tmp_path), endpoint())
    with pytest.raises(InputError, match="takes no pushes: it follows events"):
        replay.run([stream(tmp_path, "a", [at(1)], followed)], None)
