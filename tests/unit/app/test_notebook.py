"""The notebook's calls, with what people hold and with what they look for."""

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from falaj.app.client import Client
from falaj.app.notebook import Project
from falaj.app.values.project import PlanQuery
from falaj.kernel.errors import InputError
from falaj.lifecycle.project import load_definitions
from support.tour import transactions, write_tour

AT = datetime(2025, 3, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The tour, applied, with three events of one card."""
    folder = tmp_path_factory.mktemp("notebook")
    write_tour(folder, rows=50)
    client = Client(folder)
    client.perform("project.apply", PlanQuery(load_definitions(client.folder, client.settings)), dict[str, Any])
    project = Project(client)
    one = transactions(1, first=AT)[0] | {"card_id": "mine", "event_time": AT, "ingested_at": AT}
    project.push("transactions", {**one, "transaction_id": "a"}, wait="applied")
    rows = [{**one, "transaction_id": "b"}, {**one, "transaction_id": "c", "country": None}]
    assert project.push("transactions", pd.DataFrame(rows), wait="applied").accepted == 2
    return project


@pytest.mark.parametrize(
    "entities",
    [
        {"card_id": ["mine", "none"]},
        {"card_id": np.array(["mine", "none"])},
        {"card_id": pd.Series(["mine", "none"])},
        [{"card_id": "mine"}, {"card_id": "none"}],
        pa.table({"card_id": ["mine", "none"]}),
        pd.DataFrame({"card_id": ["mine", "none"]}),
        pl.DataFrame({"card_id": ["mine", "none"]}),
    ],
    ids=["lists", "array", "series", "dicts", "arrow", "pandas", "polars"],
)
def test_features_are_read_for_entities_of_every_kind(project: Project, entities: Any) -> None:
    found = project.online("fraud", entities, at=AT + HOUR)
    assert found.to_arrow()["card_id"].to_pylist() == ["mine", "none"]
    assert found.to_arrow()["card_activity__velocity_1h"].to_pylist() == [3, 0]


def test_every_value_has_its_status(project: Project) -> None:
    found = project.online("fraud", {"card_id": ["mine", "none", None]}, at=AT + 100 * HOUR)
    statuses = found.statuses.to_pandas()
    assert list(statuses.columns) == list(found.to_pandas().columns)
    assert statuses["card_id"].tolist()[:2] == ["mine", "none"]
    assert statuses["card_activity__velocity_24h"].tolist() == ["PRESENT", "NOT_FOUND", "NOT_FOUND"]
    assert statuses["card_activity__last_country"].tolist() == ["OUTSIDE_MAX_AGE", "NOT_FOUND", "NOT_FOUND"]


def test_an_instant_is_text_or_has_a_zone(project: Project) -> None:
    later = {(AT + HOUR).isoformat(), "2025-03-01T05:00:00+04:00"}
    assert {project.online("fraud", {"card_id": "mine"}, at=at).table["card_activity__velocity_1h"][0] for at in later}
    for naive in (datetime(2025, 3, 1), "2025-03-01T00:00:00", np.datetime64("2025-03-01")):  # noqa: DTZ001
        with pytest.raises(InputError, match="no time zone") as refused:
            project.online("fraud", {"card_id": "mine"}, at=naive)  # type: ignore[arg-type]
        assert refused.value.hint
        with pytest.raises(InputError, match="no time zone"):
            project.predict("fraud", {"card_id": "mine"}, at=naive)  # type: ignore[arg-type]


def test_what_is_no_entity_is_refused_with_a_hint(project: Project) -> None:
    for entities in ("mine", [("card_id", "mine")], {"card_id": {"mine"}}, [{"card_id": "x"}, {"card_id": 1}], {}):
        with pytest.raises(InputError) as refused:
            project.online("fraud", entities)
        assert refused.value.hint
