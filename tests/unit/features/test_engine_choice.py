"""Engines are chosen by name, open nothing before they are asked, and never show a password."""

from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from falaj.features.engines.choice import open_engine
from falaj.features.engines.duckdb import DuckDbEngine
from falaj.features.engines.port import Questions
from falaj.features.engines.postgres import PostgresEngine
from falaj.features.offline import training_frame
from falaj.kernel import extra
from falaj.kernel.errors import ExtraMissing, InputError, ProjectError, StorageError
from falaj.kernel.settings import FeatureSettings, load_settings
from support.feature_worlds import INSTANT, make_service, row, table

SECRET = "postgresql://falaj:tiger@localhost:1/x"
FRAME = pa.table({"a": ["1"], "event_timestamp": pa.array([5], INSTANT)})


def test_the_settings_choose_and_a_caller_may_choose_another(tmp_path: Path) -> None:
    (tmp_path / "falaj.toml").write_text('[features]\nengine = "postgres"\nmemory_gib = 2\nthreads = 3\n')
    settings = load_settings(tmp_path, {"FALAJ_FEATURES_POSTGRES_URL": SECRET}).features
    assert open_engine(settings) == PostgresEngine(SECRET)
    assert open_engine(settings, "duckdb") == DuckDbEngine(2, 3, None)
    assert open_engine(settings, "spark").name == "spark"
    assert "tiger" not in f"{settings} {settings!r} {open_engine(settings)!r}"
    (tmp_path / "falaj.toml").write_text('[features]\nengine = "oracle"\n')
    with pytest.raises(ProjectError, match="oracle"):
        load_settings(tmp_path, {})


@pytest.mark.parametrize(
    ("name", "said"), [("bigquery", "not run by this project"), ("duck", "not exist"), ("postgres", "no server")]
)
def test_an_engine_that_cannot_be_opened_is_refused(name: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        open_engine(FeatureSettings(), name)


@pytest.mark.parametrize(("url", "kind"), [(SECRET, StorageError), ("postgresql//falaj:tiger@x", InputError)])
def test_a_server_that_is_absent_is_named_without_its_password(url: str, kind: type[Exception]) -> None:
    with pytest.raises(kind) as caught:
        training_frame(make_service(), FRAME, {"tx": table([row(at=1)])}, engine=PostgresEngine(url))
    assert "tiger" not in str(caught.value)


def test_a_library_that_is_absent_is_named_with_its_install_line() -> None:
    with pytest.raises(ExtraMissing) as caught:
        extra.library("falaj_has_no_such_library", "spark")
    assert caught.value.hint == "pip install 'falaj[spark]'"


def test_duckdb_keeps_to_its_settings_and_leaves_no_folder_behind(tmp_path: Path) -> None:
    engine = DuckDbEngine(memory_gib=0.25, threads=1, spill=str(tmp_path))
    with duckdb.connect(":memory:", config=engine.settings(str(tmp_path))) as opened:
        said = opened.sql(
            "SELECT current_setting('memory_limit'), current_setting('threads'), current_setting('temp_directory')"
        ).fetchall()
    assert said == [("256.0 MiB", 1, str(tmp_path))]
    found = training_frame(make_service(), FRAME, {"tx": table([row(at=1)])}, engine=engine)
    assert found["v__rows_10"].to_pylist() == [1]
    assert list(tmp_path.iterdir()) == []


def test_a_question_is_a_row() -> None:
    assert Questions(pa.array([1, 2], pa.int64())).rows == 2
