"""Project templates: what `falaj init` writes is a project that loads, and its scripts make what it says."""

import itertools
import json
import runpy
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray

from falaj.definitions.gate import Bound, Change, Latency
from falaj.definitions.project import Definitions, collect
from falaj.kernel.clock import parse_instant
from falaj.kernel.errors import Conflict, DataError, InputError, NotFound
from falaj.kernel.settings import load_settings
from falaj.lifecycle.templates import TEMPLATES, choose_variant, template_of, write_template
from falaj.models.encoding import encode_columns, fit_signature
from falaj.models.findings import Findings
from falaj.models.gate_report import Outcome
from falaj.models.judgement.metric import judge_change
from falaj.models.parts import Sides, measure_part
from falaj.models.split import split_rows
from falaj.models.training import fit

SHARED = Path(__file__).parents[4] / "shared" / "data"
STREAM_FILE = SHARED / "card_transactions_stream.parquet"
TIMELESS_FILE = SHARED / "credit_card_fraud_10k.csv"
GENERATE = Path(__file__).parents[3] / "src" / "falaj" / "templates" / "fraud" / "generated" / "generate.py"
START = datetime(2020, 1, 1, tzinfo=UTC)


@pytest.fixture
def handbook_file(tmp_path: Path) -> Path:
    """A file in the handbook's layout: 60 days, one payment every two hours, every 40th a fraud."""
    n = 60 * 12
    at = [(START + timedelta(hours=2 * i)).replace(tzinfo=None) for i in range(n)]
    table = pa.table(
        {
            "TRANSACTION_ID": np.arange(n),
            "TX_DATETIME": pa.array(at, pa.timestamp("ns")),
            "CUSTOMER_ID": np.arange(n) % 7,
            "TERMINAL_ID": np.arange(n) % 5,
            "TX_AMOUNT": np.full(n, 10.0),
            "TX_FRAUD": (np.arange(n) % 40 == 0).astype(np.int64),
            "TX_FRAUD_SCENARIO": np.zeros(n, dtype=np.int64),
        }
    )
    path = tmp_path / "handbook.parquet"
    pq.write_table(table, path)
    return path


@pytest.fixture
def timeless_file(tmp_path: Path) -> Path:
    """A file in the layout without dates."""
    columns = TEMPLATES["fraud"]["timeless"].columns
    path = tmp_path / 'without "dates" é.csv'
    rows = [",".join(columns), *(f"{i},10.5,{i % 24},Food,0,0,50,1,40,{i % 2}" for i in range(50))]
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return path


def definitions_of(project: Path) -> Definitions:
    values = runpy.run_path(str(project / "fraud.py"))
    return collect((f"fraud.py: {name}", value) for name, value in values.items())


def prepare(project: Path, **settings: object) -> str:
    """Run prepare.py in a process of its own, as a person does, with some settings replaced; return what it said."""
    path = project / "prepare.toml"
    kept = [line for line in path.read_text(encoding="utf-8").splitlines() if line.split(" =")[0] not in settings]
    changed = [f"{name} = {value}" for name, value in settings.items()]
    path.write_text("\n".join(kept + changed) + "\n", encoding="utf-8")
    done = subprocess.run([sys.executable, "prepare.py"], cwd=project, capture_output=True, text=True, check=False)
    return done.stdout if done.returncode == 0 else done.stderr


def events(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def rows(folder: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for path in sorted(folder.glob("*.parquet")):
        found += pq.read_table(path).to_pylist()
    return found


@pytest.mark.parametrize("variant", ["generated", "stream", "timeless"])
def test_every_variant_is_a_project_that_loads(
    variant: str, tmp_path: Path, handbook_file: Path, timeless_file: Path
) -> None:
    data = {"generated": None, "stream": handbook_file, "timeless": timeless_file}[variant]
    written = write_template("fraud", tmp_path / "project", data)
    names = {path.name for path in written}
    assert {"fraud.py", "prepare.py", "prepare.toml", "falaj.toml", "README.md"} <= names
    assert ("phases.py" in names, "generate.py" in names) == (variant != "timeless", variant == "generated")
    assert load_settings(tmp_path / "project", {}).project.files == ("fraud.py",)

    found = definitions_of(tmp_path / "project")
    model = found.endpoint("fraud").model
    assert found.source("transactions").timeless == (variant == "timeless")
    assert model.split.kind == ("random" if variant == "timeless" else "time")
    assert {type(check) for check in model.gates} >= {Bound, Change, Latency}
    assert found.endpoint("fraud").rollout.steps == (10, 50, 100)
    assert not found.policy_of("fraud").auto_promote


@pytest.mark.parametrize("variant", ["generated", "stream", "timeless"])
def test_no_feature_reads_the_label_or_how_the_fraud_was_made(
    variant: str, tmp_path: Path, handbook_file: Path, timeless_file: Path
) -> None:
    data = {"generated": None, "stream": handbook_file, "timeless": timeless_file}[variant]
    write_template("fraud", tmp_path / "project", data)
    service = definitions_of(tmp_path / "project").feature_service("fraud")
    read = {feature.column for view in service.views for feature in view.features.values()}
    read |= {field.name for field in service.request_fields}
    assert not {name for name in read if name and ("fraud" in name.lower() or "scenario" in name.lower())}


def test_data_path_survives_quotes_and_letters_beyond_ascii(tmp_path: Path, timeless_file: Path) -> None:
    write_template("fraud", tmp_path / "project", timeless_file)
    settings = tomllib.loads((tmp_path / "project" / "prepare.toml").read_text(encoding="utf-8"))
    assert settings["data"] == str(timeless_file)


def test_target_must_be_new_or_empty(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("keep", encoding="utf-8")
    with pytest.raises(Conflict, match="is not empty"):
        write_template("fraud", tmp_path)
    with pytest.raises(Conflict, match="is not a folder"):
        write_template("fraud", tmp_path / "mine.txt")
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_unknown_template_names_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(NotFound) as raised:
        write_template("frod", tmp_path / "project")
    assert raised.value.hint == "did you mean 'fraud'?"
    assert not (tmp_path / "project").exists()


def test_other_columns_are_refused_with_the_layouts(tmp_path: Path) -> None:
    path = tmp_path / "other.csv"
    path.write_text("name,age\nx,1\n", encoding="utf-8")
    with pytest.raises(InputError, match="has the columns name, age") as raised:
        write_template("fraud", tmp_path / "project", path)
    assert "TX_DATETIME" in raised.value.hint
    assert "transaction_hour" in raised.value.hint


@pytest.mark.parametrize(
    ("name", "content", "error"),
    [
        ("absent.csv", None, NotFound),
        ("broken.parquet", b"PAR1 this is not one", DataError),
        ("broken.csv.gz", b"\x1f\x8bnot gzip", DataError),
        ("latin.csv", b"caf\xe9,x\n", DataError),
        ("empty.csv", b"", InputError),
    ],
)
def test_unreadable_data_is_named(name: str, content: bytes | None, error: type[Exception], tmp_path: Path) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(error, match=name):
        choose_variant("fraud", path)


# --- Demand -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def hourly_file(tmp_path: Path) -> Path:
    """A file in the layout of the bicycle hire: 30 days, in no order."""
    columns = TEMPLATES["demand"]["hourly"].columns
    lines = [f"2024-01-{1 + n // 24:02},{n % 24},{n // 24 % 7},1,0.5,0.6,0.1,{n % 24 * 10}" for n in range(30 * 24)]
    path = tmp_path / "hours.csv"
    path.write_text("\n".join([",".join(columns), *reversed(lines)]) + "\n", encoding="utf-8")
    return path


@pytest.mark.parametrize("variant", ["generated", "hourly"])
def test_demand_is_a_regression_over_hours_in_order(variant: str, tmp_path: Path, hourly_file: Path) -> None:
    project = tmp_path / "project"
    write_template("demand", project, hourly_file if variant == "hourly" else None)
    values = runpy.run_path(str(project / "demand.py"))
    found = collect((f"demand.py: {name}", value) for name, value in values.items())
    model = found.endpoint("demand").model
    assert (model.task, model.split.kind) == ("regression", "time")
    said = prepare(project, **({"days": 30} if variant == "generated" else {}))
    assert said == "384 hours of history and 336 to stream\n", said
    history = pq.read_table(project / "data" / "hours" / "history.parquet")
    streamed = events(project / "data" / "stream" / "1-weeks.hours.jsonl")
    at = [row["at"] for row in history.to_pylist()] + [parse_instant(row["at"]) for row in streamed]
    assert [later - earlier for earlier, later in itertools.pairwise(at)] == [timedelta(hours=1)] * 719
    assert {field.name for field in model.features.request_fields} <= set(streamed[0])
    assert (streamed[-1]["hour"], set(streamed[0])) == (23, set(history.column_names))
    assert variant == "generated" or streamed[-1]["demand"] == 230
    assert "exists already" in prepare(project)


def test_the_same_seed_gives_the_same_hours() -> None:
    place = Path(__file__).parents[3] / "src" / "falaj" / "templates" / "demand" / "generated" / "generate.py"
    made = SimpleNamespace(**runpy.run_path(str(place))).generate
    assert made(days=3, seed=1).equals(made(days=3, seed=1))
    assert not made(days=3, seed=1).equals(made(days=3, seed=2))


def test_too_few_hours_for_a_stream_are_said(tmp_path: Path) -> None:
    write_template("demand", tmp_path / "project")
    assert "leave no history before 2 weeks" in prepare(tmp_path / "project", days=10)


def test_a_data_file_chooses_its_template(hourly_file: Path, timeless_file: Path, tmp_path: Path) -> None:
    assert (template_of(hourly_file), template_of(timeless_file)) == ("demand", "fraud")
    other = tmp_path / "other.csv"
    other.write_text("name,age\nx,1\n", encoding="utf-8")
    with pytest.raises(InputError, match="no template understands") as raised:
        template_of(other)
    assert "TX_DATETIME" in raised.value.hint and "dteday" in raised.value.hint


# --- The generator ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def generate() -> Iterator[Callable[..., pa.Table]]:
    yield SimpleNamespace(**runpy.run_path(str(GENERATE))).generate


def test_the_same_seed_gives_the_same_town(generate: Callable[..., pa.Table]) -> None:
    asked = {"days": 12, "customers": 60, "terminals": 40, "shift_days": 3}
    assert generate(**asked, seed=3).equals(generate(**asked, seed=3))
    assert not generate(**asked, seed=3).equals(generate(**asked, seed=4))


def test_fraud_is_rare_and_has_its_three_patterns(generate: Callable[..., pa.Table]) -> None:
    town = generate(days=90, customers=1000, terminals=500, seed=1).to_pandas()
    assert 80_000 < len(town) < 100_000
    assert 0.005 < town.is_fraud.mean() < 0.03
    assert set(town.fraud_pattern) == {0, 1, 2, 3}
    assert ((town.fraud_pattern > 0) == (town.is_fraud == 1)).all()
    honest = town[town.fraud_pattern == 0]
    usual = honest.groupby("customer_id").amount.mean()

    large = town[town.fraud_pattern == 1]  # a single payment, far above what its owner pays
    assert (large.amount / large.customer_id.map(usual)).median() > 5

    terminals = town[town.fraud_pattern == 2]  # most payments at a terminal, for no longer than four weeks
    spell = terminals.groupby("terminal_id").event_time.agg(lambda at: (at.max() - at.min()).days)
    assert (terminals.groupby("terminal_id").size() > 10).mean() > 0.5
    assert 14 < spell.median() <= 28

    customers = town[town.fraud_pattern == 3]  # for no longer than two weeks, amounts several times the usual
    spell = customers.groupby("customer_id").event_time.agg(lambda at: (at.max() - at.min()).days)
    assert spell.median() <= 14
    assert (customers.amount / customers.customer_id.map(usual)).median() > 2


def test_rows_are_in_order_of_time_with_ids_of_their_own(generate: Callable[..., pa.Table]) -> None:
    town = generate(days=10, customers=50, terminals=20, seed=1).to_pandas()
    assert town.event_time.is_monotonic_increasing
    assert town.transaction_id.is_unique
    assert (town.hour == town.event_time.dt.hour).all()
    assert (town.amount > 0).all()


def test_the_shift_moves_amounts_merchants_and_hours(generate: Callable[..., pa.Table]) -> None:
    town = generate(days=20, customers=300, terminals=100, seed=1, shift_days=10).to_pandas()
    shifted = town.event_time >= town.event_time.min().normalize() + timedelta(days=10)
    before, after = town[~shifted & (town.is_fraud == 0)], town[shifted & (town.is_fraud == 0)]
    assert after.amount.mean() > 1.5 * before.amount.mean()
    assert ((after.hour < 6) | (after.hour >= 22)).mean() > 2 * ((before.hour < 6) | (before.hour >= 22)).mean()
    assert set(after.merchant_category) - set(before.merchant_category) == {"gaming"}


# --- prepare.py -------------------------------------------------------------------------------------------------------


@pytest.fixture
def timed_project(tmp_path: Path) -> Path:
    """A generated project of 46 days: history of 40, 2 steady, 2 shifted, 1 later, 1 settled."""
    project = tmp_path / "project"
    write_template("fraud", project)
    days = {"history_days": 40, "steady_days": 2, "shifted_days": 2, "later_days": 1, "settled_days": 1}
    said = prepare(project, customers=150, terminals=60, **days)
    assert "150 customers" in said, said
    return project


def test_history_has_only_the_labels_that_were_known(timed_project: Path) -> None:
    first = datetime(2025, 1, 1, tzinfo=UTC)
    month = {path.name for path in (timed_project / "data" / "transactions").iterdir()}
    assert month == {"2025-01.parquet", "2025-02.parquet", "resent.parquet"}
    (timed_project / "data" / "transactions" / "resent.parquet").unlink()
    history = rows(timed_project / "data" / "transactions")
    assert max(row["event_time"] for row in history) < first + timedelta(days=40)
    for row in history:
        known = first + timedelta(days=30) <= row["event_time"] < first + timedelta(days=33)
        assert (row["is_fraud"] is not None) == known
    assert "fraud_pattern" not in history[0]


def test_streamed_events_have_no_label_and_are_corrected_seven_days_later(timed_project: Path) -> None:
    data = timed_project / "data"
    corrected: dict[str, dict[str, Any]] = {}
    for phase in ("1-steady", "2-shifted"):
        corrected |= {row["transaction_id"]: row for row in events(data / "labels" / f"{phase}.transactions.jsonl")}
    for phase, days in (("1-steady", (40, 42)), ("2-shifted", (42, 44))):
        streamed = events(data / "stream" / f"{phase}.transactions.jsonl")
        times = [parse_instant(event["event_time"]) for event in streamed]
        assert times == sorted(times)
        assert {(at - datetime(2025, 1, 1, tzinfo=UTC)).days for at in times} == set(range(*days))
        for event in streamed:
            label = corrected.pop(event["transaction_id"])
            assert event["is_fraud"] is None
            assert label["is_fraud"] in (0, 1)
            late = parse_instant(label["ingested_at"]) - parse_instant(event["ingested_at"])
            assert late == timedelta(days=7)
            same = {name: value for name, value in label.items() if name not in ("is_fraud", "ingested_at")}
            assert same.items() <= event.items()
    week_before = {row["event_time"][:10] for row in corrected.values()}
    assert (min(week_before), max(week_before)) == ("2025-02-03", "2025-02-09")  # the last week of history


def test_each_known_fraud_is_one_chargeback_at_its_time(timed_project: Path) -> None:
    data = timed_project / "data"
    batch = rows(data / "chargebacks")
    assert max(row["known_at"] for row in batch) < datetime(2025, 2, 10, tzinfo=UTC)  # known on the day of the export
    pushed = [
        event
        for folder in ("stream", "labels")
        for path in sorted((data / folder).glob("*.chargebacks.jsonl"))
        for event in events(path)
    ]
    ids = [row["transaction_id"] for row in batch + pushed]
    assert len(ids) == len(set(ids))
    labels = [row for path in (data / "labels").glob("*.transactions.jsonl") for row in events(path)]
    frauds = {row["transaction_id"] for row in labels if row["is_fraud"] == 1}
    assert frauds <= set(ids)


def test_mistakes_are_there_for_the_checks(timed_project: Path) -> None:
    resent = pq.read_table(timed_project / "data" / "transactions" / "resent.parquet").to_pylist()
    checks = definitions_of(timed_project).source("transactions").checks
    between = next(check for check in checks if check.rule == "between" and check.severity == "reject")
    assert resent[0]["transaction_id"] is None
    assert [between.params["low"] <= row["amount"] <= between.params["high"] for row in resent[1:3]] == [False, False]
    (timed_project / "data" / "transactions" / "resent.parquet").unlink()
    history = {row["transaction_id"]: row for row in rows(timed_project / "data" / "transactions")}
    assert resent[3] == history[resent[3]["transaction_id"]]
    correction = resent[4]
    assert correction["ingested_at"] > history[correction["transaction_id"]]["ingested_at"]
    assert correction["amount"] == history[correction["transaction_id"]]["amount"] + 1.0


def test_later_rows_have_their_labels(timed_project: Path) -> None:
    later = rows(timed_project / "data" / "later" / "transactions")
    assert {row["event_time"].date().isoformat() for row in later} == {"2025-02-14"}
    assert all(row["is_fraud"] is not None for row in later)
    settled = events(timed_project / "data" / "stream" / "3-settled.transactions.jsonl")
    assert {(event["event_time"][:10], event["is_fraud"]) for event in settled} == {("2025-02-15", None)}


def test_prepare_does_not_write_over_data(timed_project: Path) -> None:
    assert "exists already" in prepare(timed_project)


def test_handbook_rows_are_cut_and_scaled(tmp_path: Path, handbook_file: Path) -> None:
    project = tmp_path / "project"
    write_template("fraud", project, handbook_file)
    assert "has 60 days and prepare.toml asks for 123" in prepare(project)
    said = prepare(
        project, history_days=45, warm_up_days=20, steady_days=3, shifted_days=3, later_days=4, settled_days=1
    )
    assert "672 payments from 2020-01-05 on" in said, said
    history = rows(project / "data" / "transactions")
    assert list(history[0]) == [
        "transaction_id",
        "event_time",
        "customer_id",
        "terminal_id",
        "amount",
        "is_fraud",
        "ingested_at",
    ]
    assert len(history) == 45 * 12
    assert {row["amount"] for row in history} == {10.0}
    assert {e["amount"] for e in events(project / "data" / "stream" / "1-steady.transactions.jsonl")} == {10.0}
    assert {e["amount"] for e in events(project / "data" / "stream" / "2-shifted.transactions.jsonl")} == {18.0}
    assert {e["amount"] for e in events(project / "data" / "labels" / "2-shifted.transactions.jsonl")} == {18.0}
    assert {e["amount"] for e in events(project / "data" / "stream" / "3-settled.transactions.jsonl")} == {18.0}


def test_timeless_rows_are_held_out_without_their_label(tmp_path: Path, timeless_file: Path) -> None:
    project = tmp_path / "project"
    write_template("fraud", project, timeless_file)
    said = prepare(project)
    assert said.startswith("50 transactions,"), said
    lines = (project / "data" / "transactions" / "transactions.csv").read_text(encoding="utf-8").splitlines()
    hidden = {int(line.split(",")[0]) for line in lines[1:] if line.endswith(",")}
    asked = events(project / "data" / "stream" / "1-new.transactions.jsonl")
    labels = events(project / "data" / "labels" / "1-new.transactions.jsonl")
    assert len(lines) == 51
    assert 0 < len(hidden) < 25
    assert {row["transaction_id"] for row in asked} == {row["transaction_id"] for row in labels} == hidden
    assert {row["is_fraud"] for row in asked} == {None}
    assert {row["is_fraud"] for row in labels} <= {0, 1}


def test_prepare_names_a_file_that_is_gone(tmp_path: Path, timeless_file: Path) -> None:
    write_template("fraud", tmp_path / "project", timeless_file)
    timeless_file.unlink()
    assert "does not exist; correct `data` in prepare.toml" in prepare(tmp_path / "project")


@pytest.mark.skipif(
    not STREAM_FILE.exists(), reason="shared/data/card_transactions_stream.parquet is not beside the repository"
)
def test_the_real_stream_is_cut(tmp_path: Path) -> None:
    project = tmp_path / "project"
    write_template("fraud", project, STREAM_FILE)
    said = prepare(project)
    assert " payments from 2018-05-31 on" in said, said
    streamed = events(project / "data" / "stream" / "1-steady.transactions.jsonl")
    file = pq.read_table(STREAM_FILE, columns=["TRANSACTION_ID", "TX_DATETIME", "TX_AMOUNT"]).to_pandas()
    day = file[file.TX_DATETIME.dt.strftime("%Y-%m-%d") == "2018-08-31"]
    assert [event["transaction_id"] for event in streamed] == day.TRANSACTION_ID.tolist()
    assert [event["amount"] for event in streamed] == day.TX_AMOUNT.tolist()
    shutil.rmtree(project / "data")


@pytest.mark.skipif(
    not TIMELESS_FILE.exists(), reason="shared/data/credit_card_fraud_10k.csv is not beside the repository"
)
def test_the_real_table_is_held_out(tmp_path: Path) -> None:
    project = tmp_path / "project"
    write_template("fraud", project, TIMELESS_FILE)
    assert prepare(project).startswith("10,000 transactions, 1,999 of them held out")


@pytest.mark.skipif(
    not TIMELESS_FILE.exists(), reason="shared/data/credit_card_fraud_10k.csv is not beside the repository"
)
def test_the_gate_on_the_real_table_tells_a_good_version_from_a_bad_one(tmp_path: Path) -> None:
    project = tmp_path / "project"
    write_template("fraud", project, TIMELESS_FILE)
    prepare(project)
    model = definitions_of(project).endpoint("fraud").model
    (check,) = [one for one in model.gates if isinstance(one, Change)]
    table = pyarrow.csv.read_csv(project / "data" / "transactions" / "transactions.csv")
    known = table.filter(pc.is_valid(table["is_fraud"]))
    labels = known["is_fraud"].to_numpy()
    train, test, _ = split_rows(model.split, None, labels)

    def scores(rows: NDArray[np.int64], without: str = "") -> NDArray[np.float64]:
        names = [name for name in known.column_names if name not in ("transaction_id", "is_fraud", without)]
        columns = {name: known[name] for name in names}
        kinds = {name: "string" if name == "merchant_category" else "float64" for name in names}
        matrix = encode_columns(fit_signature(columns, kinds), columns)
        return fit(model.trainer, matrix[rows], labels[rows], names).predict(matrix[test])

    fewer = np.sort(np.random.default_rng(0).permutation(train)[: len(train) * 4 // 5])  # as a month before
    before, outcomes = scores(fewer), {}
    for without in ("", "device_trust_score", "foreign_transaction"):
        part = measure_part(Sides(labels[test], scores(train, without), 0.5, before), seed=0, names=[check.metric])
        outcomes[without] = next(judge_change(check, Findings(part))).outcome
    assert outcomes == {"": Outcome.PASS, "device_trust_score": Outcome.FAIL, "foreign_transaction": Outcome.FAIL}
