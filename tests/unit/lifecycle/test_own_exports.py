"""Exports of a project's own pipelines: what becomes a parameter there, and what becomes a schedule."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

import falaj as fj
from falaj.app.backends import open_rooms
from falaj.definitions.project import collect
from falaj.kernel.errors import InputError, NotFound
from falaj.kernel.settings import Settings
from falaj.lifecycle.apply import apply_definitions
from falaj.lifecycle.own_exports import export_pipeline
from falaj.lifecycle.rooms import Rooms
from support.exported_shop import ADA

FILE = """
import datetime
import falaj as fj
from falaj.pipelines.context import StepContext

@fj.step
def count(day: datetime.date, shops: list[str], limit: float, note: str | None, context: StepContext) -> int:
    return len(shops)

def nightly(
    day: datetime.date, shops: list[str] = ["a"], limit: float = 1, note: str | None = None, many: int | None = 3
) -> int:
    return count(day, shops, limit, note, after=[count(day, [], many, note)] if many else [])
"""
"""A plain function: the pipeline's options are where it is applied, as those of a YAML file are."""


@pytest.fixture
def rooms(tmp_path: Path) -> Iterator[Rooms]:
    (tmp_path / "etl.py").write_text(FILE)
    pipeline = fj.Pipeline("nightly", "etl:nightly", schedule="hourly", time_zone="Asia/Dubai", at="day")
    with open_rooms(tmp_path, Settings()) as found:
        apply_definitions(found, collect([("etl.py", pipeline)]), ADA)
        yield found


def test_a_schedule_gives_the_instant_and_people_the_rest(rooms: Rooms) -> None:
    made = export_pipeline(rooms, "nightly", {"limit": "2.5"}, to="argo", image="shop:1")
    document = yaml.safe_load(made.text)
    assert document["spec"]["schedules"] == ["0 * * * *"]
    assert document["spec"]["workflowSpec"]["arguments"]["parameters"] == [
        {"name": "shops", "value": '["a"]'},
        {"name": "limit", "value": "2.5"},
        {"name": "many", "value": "3"},
    ]
    assert [note for note in made.notes if note.startswith("contexts: count, count-2 finds no checkpoint")]


def test_one_instant_is_one_workflow(rooms: Rooms) -> None:
    made = export_pipeline(rooms, "nightly", {"day": "2026-01-31"}, to="argo", image="shop:1")
    document = yaml.safe_load(made.text)
    assert (document["kind"], document["spec"]["arguments"]["parameters"][0]) == (
        "Workflow",
        {"name": "day", "value": "2026-01-31"},
    )


def test_kubeflow_is_told_the_types(rooms: Rooms) -> None:
    made = export_pipeline(rooms, "nightly", {"day": "2026-01-31"}, to="kfp", image="shop:1")
    inputs = yaml.safe_load(made.text)["root"]["inputDefinitions"]["parameters"]
    assert {name: (one["parameterType"], one["defaultValue"]) for name, one in inputs.items()} == {
        "day": ("STRING", "2026-01-31"),
        "shops": ("LIST", ["a"]),
        "limit": ("NUMBER_DOUBLE", 1),
        "many": ("STRING", "3"),
    }


def test_what_cannot_be_exported_says_why(rooms: Rooms) -> None:
    with pytest.raises(InputError, match="needs parameter 'day'"):
        export_pipeline(rooms, "nightly", {}, to="kfp", image="shop:1")
    with pytest.raises(InputError, match="many is None, which other platforms cannot be given"):
        export_pipeline(rooms, "nightly", {"many": None}, to="argo", image="shop:1")
    (rooms.folder / "etl.py").write_text(
        f"{FILE}\nfrom falaj import steps\ndef nightly(day: datetime.date):\n    steps.ingest('shops')\n"
    )
    with pytest.raises(InputError, match="step 'ingest' of pipeline 'nightly' works on the project's stores"):
        export_pipeline(rooms, "nightly", {}, to="argo", image="shop:1")
    with pytest.raises(NotFound, match="pipeline 'nigthly' does not exist"):
        export_pipeline(rooms, "nigthly", {}, to="argo", image="shop:1")
