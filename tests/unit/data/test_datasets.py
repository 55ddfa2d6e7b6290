"""Datasets: immutable, verified, audited."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa

from falaj.data import datasets as module
from falaj.data.content import content_digest
from falaj.data.dataset import Dataset, Request
from falaj.data.datasets import Datasets
from falaj.data.lineage import Edge, Node, add_edges, downstream, upstream
from falaj.governance.access import Actor, Role
from falaj.governance.audit import list_records
from falaj.kernel.clock import ManualClock
from falaj.kernel.errors import AccessDenied, CorruptionError, DefinitionError, NotFound
from falaj.storage.blobs.local import LocalBlobs
from falaj.storage.metadata.database import Database
from support.data_room import ADA

TABLE = pa.table({"x": [1.0, None, 3.0], "s": pa.array(["a", "b", None]).dictionary_encode()})


@pytest.fixture
def db(each_db: Database) -> Database:
    return each_db


@pytest.fixture
def datasets(db: Database, tmp_path: Path) -> Datasets:
    return Datasets(LocalBlobs(tmp_path / "blobs"), db, ManualClock())


def save(datasets: Datasets, table: pa.Table = TABLE, **changes: Any) -> Dataset:
    fields: dict[str, Any] = {
        "split": {"kind": "time", "test": 0.2},
        "spec_digest": "5" * 64,
        "inputs": {"tx": {"version": 3, "seq": 100}},
        "lineage": [Node("view", "v1")],
        "actor": ADA,
    }
    name = changes.pop("name", "fraud")
    fields["request"] = Request(content_digest(table), {"tx": "a" * 64})
    return datasets.save(name, lambda: table, **(fields | changes))


def test_what_was_saved_is_loaded(datasets: Datasets) -> None:
    saved = save(datasets)
    assert datasets.load(saved.digest).equals(pa.table({"x": [1.0, None, 3.0], "s": ["a", "b", None]}))
    assert datasets.get(saved.digest) == saved
    assert (saved.rows, saved.columns) == (3, {"x": "double", "s": "string"})
    assert (saved.split, saved.inputs) == ({"kind": "time", "test": 0.2}, {"tx": {"version": 3, "seq": 100}})
    assert pq.ParquetFile(datasets.path(saved.digest)).metadata.row_group(0).column(0).compression == "ZSTD"


def test_saving_the_same_again_is_the_first(datasets: Datasets, db: Database) -> None:
    first = save(datasets)
    again = save(datasets, pa.concat_tables([TABLE.slice(0, 1), TABLE.slice(1)]), inputs={"tx": {"version": 9}})
    assert again == first
    assert len(datasets.list()) == len(list_records(db)) == 1


def test_name_split_and_specification_are_part_of_the_identity(datasets: Datasets) -> None:
    made = [
        save(datasets),
        save(datasets, name="churn"),
        save(datasets, split={}),
        save(datasets, spec_digest="6" * 64),
    ]
    assert len({dataset.digest for dataset in made}) == 4
    assert len({dataset.content for dataset in made}) == len({dataset.blob for dataset in made}) == 1
    assert {dataset.digest for dataset in datasets.list("fraud")} == {made[i].digest for i in (0, 2, 3)}


def test_another_machine_gives_the_same_digest(datasets: Datasets, tmp_path: Path) -> None:
    other_db = Database.memory()
    other_db.create_all()
    other = Datasets(LocalBlobs(tmp_path / "other"), other_db, ManualClock())
    assert save(other).digest == save(datasets).digest
    other_db.close()


def test_a_damaged_file_is_refused(datasets: Datasets, tmp_path: Path) -> None:
    saved = save(datasets)
    file = tmp_path / "blobs" / saved.blob[:2] / saved.blob
    file.chmod(0o600)
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    with pytest.raises(CorruptionError, match=saved.blob):
        datasets.load(saved.digest)
    file.unlink()
    for read in (datasets.load, datasets.path):
        with pytest.raises(CorruptionError, match=f"dataset 'fraud' {saved.digest} is refused"):
            read(saved.digest)
    assert save(datasets) == saved  # building it again heals it
    assert datasets.load(saved.digest).num_rows == 3


def test_other_rows_under_its_name_are_refused(datasets: Datasets, db: Database) -> None:
    saved, other = save(datasets), save(datasets, TABLE.slice(1))
    with db.write() as connection:
        mine = module.DATASET.c.digest == saved.digest
        connection.execute(module.DATASET.update().where(mine).values(blob=other.blob))
    with pytest.raises(CorruptionError, match="its rows are not those that were saved"):
        datasets.load(saved.digest)


def test_unknown_datasets_and_bad_names(datasets: Datasets) -> None:
    with pytest.raises(NotFound, match="dataset 'nope' does not exist"):
        datasets.load("nope")
    with pytest.raises(DefinitionError):
        save(datasets, name="no way")
    with pytest.raises(AccessDenied):
        save(datasets, actor=Actor("eve", Role.VIEWER))


def test_saving_is_audited_and_has_lineage(datasets: Datasets, db: Database) -> None:
    saved = save(datasets)
    (entry,) = list_records(db)
    assert (entry.actor, entry.action, entry.resource) == ("ada", "dataset.create", "fraud")
    assert entry.detail["digest"] == saved.digest
    with db.read() as connection:
        assert upstream(connection, saved.digest) == [Edge(Node("view", "v1"), Node("dataset", saved.digest), 0)]


def test_the_newest_is_listed_first(db: Database, tmp_path: Path) -> None:
    clock = ManualClock()
    datasets = Datasets(LocalBlobs(tmp_path / "blobs"), db, clock)
    first = save(datasets)
    clock.advance(1)
    second = save(datasets, TABLE.slice(1))
    assert datasets.list() == [second, first]


def test_lineage_is_walked_over_every_step_and_circles_end(db: Database) -> None:
    made = [("view", ["file"]), ("dataset", ["view", "file"]), ("model", ["dataset"]), ("file", ["model"])]
    with db.write() as connection:
        for at, (name, sources) in enumerate(made[:3]):
            add_edges(connection, Node("n", name), [Node("n", source) for source in sources], at)
            add_edges(connection, Node("n", name), [Node("n", source) for source in sources], at + 10)
    with db.read() as connection:
        found = [(edge.upstream.id, edge.downstream.id) for edge in upstream(connection, "model")]
        assert found == [("file", "view"), ("file", "dataset"), ("view", "dataset"), ("dataset", "model")]
        assert [edge.downstream.id for edge in downstream(connection, "view")] == ["dataset", "model"]
        assert upstream(connection, "file") == []
    with db.write() as connection:
        add_edges(connection, Node("n", "file"), [Node("n", "model")], 3)
        assert len(upstream(connection, "file")) == 5
        assert connection.execute(sa.text("select count(*) from lineage_edge")).scalar_one() == 5
