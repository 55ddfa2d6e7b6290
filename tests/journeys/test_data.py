"""Data: files and events come in once, with checks, reasons and provenance; nothing acknowledged is lost."""

import csv
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from support.falaj_project import FalajProject, Reply
from support.tour import as_json, transactions, write_rows
from support.waiting import until

AFTER = datetime(2025, 2, 15, 0, 0, 1, tzinfo=UTC)
FILES = Path("data") / "transactions"


def event(number: int, **changes: Any) -> dict[str, Any]:
    """An event after all those of the file."""
    row = transactions(1, prefix=f"pushed-{number}-")[0]
    at = AFTER + timedelta(seconds=number)
    fresh = {"event_time": at, "ingested_at": at, "card_id": "c-pushed", "amount": 10.0 + number}
    return as_json(row, **{**fresh, **changes})


def rows_of(project: FalajProject) -> dict[str, Any]:
    """The source as `falaj source list` shows it."""
    found: dict[str, Any] = project.json("source", "list")[0]
    return found


def test_ingesting_twice_takes_nothing_twice(fresh: FalajProject) -> None:
    fresh.falaj("apply")
    first = fresh.json("ingest")[0]
    assert (first["accepted"], first["quarantined"]) == (2000, 0)
    assert (first["files"][0]["path"], first["files"][0]["rows"]) == ("data/transactions/2025-01.parquet", 2000)
    again = fresh.json("ingest", "transactions")[0]
    assert (again["accepted"], again["files"][0]["skipped"]) == (0, True)
    # The same content under another name is the same content; a new file is not.
    content = (fresh.folder / FILES / "2025-01.parquet").read_bytes()
    (fresh.folder / FILES / "copy.parquet").write_bytes(content)
    write_rows(fresh.folder / FILES / "2025-02.parquet", transactions(50, seed=8, prefix="n"))
    assert fresh.json("ingest")[0]["accepted"] == 50
    assert rows_of(fresh)["rows"] == 2050


def test_refused_rows_go_to_quarantine_with_their_reasons(fresh: FalajProject) -> None:
    bad = transactions(5, prefix="bad")
    bad[0]["amount"] = -1.0
    bad[1]["amount"] = 1e9
    bad[2]["transaction_id"] = None
    bad[3]["event_time"] = None
    write_rows(fresh.folder / FILES / "bad.parquet", bad)
    fresh.falaj("apply")
    done = fresh.json("ingest")[0]
    assert (done["accepted"], done["quarantined"]) == (2001, 4)
    reasons = sorted(tuple(row["_reasons"]) for row in fresh.json("source", "quarantine", "transactions"))
    assert reasons == [
        ("amount is not between 0 and 100000",),
        ("amount is not between 0 and 100000",),
        ("event_time is null",),
        ("transaction_id is null",),
    ]
    shown = fresh.falaj("source", "quarantine", "transactions", "--limit", "1").out
    assert len(shown.splitlines()) == 1
    assert rows_of(fresh)["quarantined"] == 4


def test_a_csv_file_is_read_like_a_parquet_file(fresh: FalajProject) -> None:
    rows = [as_json(row) for row in transactions(20, prefix="csv")]
    (fresh.folder / "data" / "csv").mkdir()
    with (fresh.folder / "data" / "csv" / "a.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
        file.write("csv-bad,yesterday,2025-01-01T00:00:00Z,c1,12.5,AE,0\ncsv-few,2025-01-01T00:00:00Z\n")
    fresh.edit("fraud.py", 'fj.Parquet("data/transactions/*.parquet")', 'fj.Csv("data/csv/*.csv")')
    fresh.falaj("apply")
    done = fresh.json("ingest")[0]
    assert (done["accepted"], done["quarantined"]) == (20, 2)
    refused = fresh.json("source", "quarantine", "transactions")
    assert any("event_time" in reason for row in refused for reason in row["_reasons"])


@pytest.mark.parametrize(
    ("name", "content", "named"),
    [
        ("empty.parquet", b"", "empty.parquet"),
        ("text.parquet", b"this is no Parquet file", "text.parquet"),
        ("torn.parquet", b"PAR1" + bytes(100), "torn.parquet"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(fresh: FalajProject, name: str, content: bytes, named: str) -> None:
    fresh.falaj("apply")
    (fresh.folder / FILES / name).write_bytes(content)
    refused = fresh.refused("ingest")
    assert (refused["code"], refused["exit"]) == ("data_invalid", 2)
    assert named in refused["error"]
    # The good file beside it is not held back, and the definitions can still be changed.
    assert rows_of(fresh)["rows"] == 2000
    assert fresh.falaj("plan").out == "nothing would change\n"
    (fresh.folder / FILES / name).unlink()
    fresh.falaj("ingest")


def test_a_column_that_is_missing_or_of_another_type_stops_the_run(fresh: FalajProject) -> None:
    fresh.falaj("apply")
    rows = [{k: v for k, v in row.items() if k != "amount"} for row in transactions(3, prefix="m")]
    write_rows(fresh.folder / FILES / "missing.parquet", rows)
    refused = fresh.refused("train", "fraud")
    assert refused["code"] in ("data_invalid", "run_failed")
    assert "missing.parquet" in refused["error"]
    assert "'amount'" in refused["error"]
    (fresh.folder / FILES / "missing.parquet").unlink()
    typed = [{**row, "amount": "much"} for row in transactions(3, prefix="y")]
    write_rows(fresh.folder / FILES / "typed.parquet", typed)
    refused = fresh.refused("ingest")
    assert "typed.parquet" in refused["error"]
    assert "amount" in refused["error"]


def test_an_event_that_waits_for_applied_is_seen_by_the_next_decision(running: FalajProject) -> None:
    at = (AFTER + timedelta(minutes=1)).isoformat()
    seen = []
    for number in range(3):
        pushed = running.control("POST", "/v1/events/transactions?wait=applied", event(number))
        assert (pushed.status, pushed.json()["applied"]) == (202, True)
        answer = running.ask("c-pushed", at=at)
        why = {one["name"]: one["value"] for one in running.json("why", answer["request_id"])["features"]}
        seen.append(why["card_activity__velocity_1h"])
    assert seen == [1, 2, 3]


def test_pushing_from_the_shell_counts_each_id_once(running: FalajProject) -> None:
    before = rows_of(running)["rows"]
    lines = "\n".join(map(_line, [event(0), event(1), event(1), event(2, amount=-5.0)]))
    done = running.json("push", "transactions", "-", "--wait", "applied", stdin=lines)
    assert (done["accepted"], done["quarantined"]) == (3, 1)
    answer = running.ask("c-pushed", at=(AFTER + timedelta(minutes=1)).isoformat())
    why = {one["name"]: one["value"] for one in running.json("why", answer["request_id"])["features"]}
    assert (why["card_activity__velocity_1h"], why["card_activity__amount_mean_7d"]) == (2, 10.5)
    # A correction, by a later `created`, takes the place of what it corrects.
    later = (AFTER + timedelta(minutes=2)).isoformat()
    running.falaj("push", "transactions", "--wait", "applied", stdin=_line(event(1, amount=30.0, ingested_at=later)))
    answer = running.ask("c-pushed", at=(AFTER + timedelta(minutes=3)).isoformat())
    why = {one["name"]: one["value"] for one in running.json("why", answer["request_id"])["features"]}
    assert (why["card_activity__velocity_1h"], why["card_activity__amount_mean_7d"]) == (2, 20.0)
    until(lambda: rows_of(running)["streamed"] >= 3, "pushed events are landed in the table")
    assert rows_of(running)["rows"] >= before + 3
    assert rows_of(running)["quarantined"] == 1


def test_events_can_be_pushed_while_nothing_runs(serving: FalajProject) -> None:
    done = serving.json("push", "transactions", stdin=_line(event(0)))
    assert (done["accepted"], done["quarantined"]) == (1, 0)
    serving.up()
    at = (AFTER + timedelta(minutes=1)).isoformat()

    def velocity() -> object:
        answer = serving.ask("c-pushed", at=at)
        return answer["statuses"]["card_activity__amount_mean_7d"] == "PRESENT"

    until(velocity, "the event is applied by the control that started after it")


BAD_PUSHES = {
    "list": (b"[{", 400, "input_invalid", "JSON"),
    "empty": (b"", 400, "input_invalid", "no events"),
    "wait": (b"{}", 400, "input_invalid", "wait"),
    "source": (b"{}", 404, "not_found", "'nowhere'"),
}


@pytest.mark.parametrize("name", BAD_PUSHES)
def test_a_bad_push_is_one_clear_sentence(running: FalajProject, name: str) -> None:
    body, status, code, named = BAD_PUSHES[name]
    path = "/v1/events/nowhere" if name == "source" else "/v1/events/transactions"
    reply = running.control("POST", f"{path}?wait=eventually" if name == "wait" else path, body)
    assert (reply.status, reply.json()["code"]) == (status, code), reply.text
    assert named in reply.json()["error"]


BAD_EVENTS: dict[str, tuple[dict[str, Any], str]] = {
    "time": ({"event_time": "yesterday"}, "'event_time': 'yesterday' is not an RFC 3339 timestamp"),
    "zone": ({"event_time": "2025-02-15T01:00:00"}, "has no time zone"),
    "null": ({"event_time": None}, "the timestamp 'event_time' is missing"),
    "number": ({"amount": "much"}, "'amount': 'much' is not a number"),
    "unknown": ({"colour": 1}, "'colour' is unknown"),
}


def test_a_malformed_event_is_quarantined_and_replayed_after_the_definition_was_corrected(
    running: FalajProject,
) -> None:
    for number, (changes, named) in enumerate(BAD_EVENTS.values()):
        pushed = [event(2 * number), event(2 * number + 1, **changes)]
        reply = running.control("POST", "/v1/events/transactions?wait=applied", pushed)
        assert (reply.status, reply.json()["accepted"]) == (202, 1), reply.text
        ((place, reasons),) = reply.json()["rejected"]
        assert (place, any(named in reason for reason in reasons)) == (1, True), reasons
    lines = _line(event(20)) + "\nno json\n" + _line(event(21, amount=200_000.0))
    done = running.json("push", "transactions", "--wait", "applied", stdin=lines)
    assert (done["accepted"], done["quarantined"]) == (1, 2)
    until(lambda: rows_of(running)["quarantined"] == 7, "refused events are landed")
    letters = running.json("source", "quarantine", "transactions")
    assert [row["_raw"] for row in letters if "is not JSON" in row["_reasons"][0]] == ["no json"]
    running.edit("fraud.py", 'between("amount", 0, 100_000)', 'between("amount", 0, 1_000_000)')
    running.falaj("apply")
    tried = running.json("source", "replay", "transactions", "--dry-run")
    assert (tried["looked_at"], tried["accepted"], tried["dry_run"]) == (7, 1, True)
    chosen = running.json("source", "replay", "transactions", "--reason", "amount is not between")
    assert (chosen["looked_at"], chosen["accepted"], chosen["refused"]) == (1, 1, 0)
    assert running.json("source", "replay", "transactions")["accepted"] == 0
    found = rows_of(running)
    assert (found["quarantined"], found["replayed"], found["rows"]) == (6, 1, 8_000 + 7)
    at = (AFTER + timedelta(minutes=1)).isoformat()
    until(lambda: _velocity(running, at) == 7, "the replayed event counts once")
    assert "1 row: the event is not JSON" in running.falaj("source", "replay", "transactions").out
    assert any(record["action"] == "source.replay" for record in running.json("audit", "list"))


def _velocity(project: FalajProject, at: str) -> object:
    shown = project.json("features", "get", "fraud", "--entity", "card_id=c-pushed", "--at", at)
    return dict(zip(shown["columns"], shown["values"][0], strict=True))["card_activity__velocity_1h"]


def test_lines_appended_to_a_followed_file_become_fresh_features(running: FalajProject) -> None:
    running.edit("fraud.py", "stream=fj.Push(),", 'stream=fj.Follow("data/events/*.jsonl"),')
    running.falaj("apply")
    folder = running.folder / "data" / "events"
    folder.mkdir()
    at = (AFTER + timedelta(minutes=1)).isoformat()

    def append(*lines: str) -> None:
        with (folder / "now.jsonl").open("a") as file:
            file.write("\n".join(lines) + "\n")

    append(_line(event(0)), _line(event(1)), "no JSON")
    until(lambda: _velocity(running, at) == 2, "the lines are features")
    (folder / "now.jsonl").rename(folder / "before.jsonl")
    append(_line(event(2)))
    running.falaj("down")
    append(_line(event(3)), _line(event(3)))
    running.up()
    until(lambda: _velocity(running, at) == 4, "lines written while nothing ran, and to a new file, are features")
    until(lambda: rows_of(running)["quarantined"] == 1, "what is no event is landed")
    (letter,) = running.json("source", "quarantine", "transactions")
    assert letter["_reasons"][-1].startswith("taken from data/events/now.jsonl at ")
    shown = running.falaj("status").out
    sizes = {path.name: path.stat().st_size for path in folder.iterdir()}
    for size in sizes.values():
        assert f"taken up to {size:,} of {size:,}" in shown
    views = running.json("status")["views"]
    assert views[0]["p99_ms"] is not None  # measured as for pushed events
    refused = running.control("POST", "/v1/events/transactions", event(9))
    assert (refused.status, "takes no pushes" in refused.json()["error"]) == (400, True)


def test_followed_lines_are_taken_by_ingest_where_no_control_runs(fresh: FalajProject) -> None:
    fresh.edit("fraud.py", "stream=fj.Push(),", 'stream=fj.Follow("data/events/*.jsonl"),')
    fresh.falaj("apply")
    folder = fresh.folder / "data" / "events"
    folder.mkdir()
    (folder / "a.jsonl").write_text(_line(event(0)) + "\n" + _line(event(1)) + "\n" + _line(event(2))[:40])
    (done,) = fresh.json("ingest")
    assert (done["accepted"], done["quarantined"]) == (2_002, 0)
    (partition,) = done["feed"]["partitions"]
    assert partition["taken"] == partition["end"] - 40
    assert "taken up to" in fresh.falaj("ingest").out
    assert rows_of(fresh)["streamed"] == 2


def test_pushes_are_refused_while_too_much_waits_and_commands_wait_with_them(serving: FalajProject) -> None:
    serving.env["FALAJ_EVENTS_MAX_WAITING"] = "1"
    serving.up()
    number = iter(range(100_000, 200_000))

    def refusal() -> Reply | None:
        body = [event(next(number)) for _ in range(50)]
        reply = serving.control("POST", "/v1/events/transactions", body)
        return reply if reply.status != 202 else None

    refused = until(refusal, "a push is refused while those before it wait", every_s=0)
    assert refused is not None
    assert (refused.status, refused.json()["code"], refused.headers["retry-after"]) == (503, "overloaded", "1")
    lines = "\n".join(_line(event(n)) for n in range(2_500))
    done = serving.falaj("push", "transactions", stdin=lines)
    assert "2,500 events logged" in done.out
    assert "waiting: source 'transactions'" in done.err
    impatient = serving.refused("push", "transactions", "--patience", "0", stdin=lines)
    assert (impatient["code"], impatient["exit"]) == ("overloaded", 9)


def test_materialising_is_the_same_with_and_without_control(fresh: FalajProject) -> None:
    fresh.falaj("apply")
    fresh.falaj("ingest")
    (alone,) = fresh.json("features", "materialise", "card_activity")
    assert (alone["applied_seq"], alone["head"], alone["done"]) == (2_000, 2_000, True)
    fresh.edit("fraud.py", '"velocity_1h": fj.count(window="1h"),', '"velocity_1h": fj.count(window="90m"),')
    fresh.up()
    fresh.falaj("apply")
    (beside,) = fresh.json("features", "materialise")
    assert (beside["views"], beside["applied_seq"], beside["done"]) == (["card_activity"], 2_000, True)
    refused = fresh.refused("features", "materialise", "card_activty")
    assert (refused["code"], refused["hint"]) == ("not_found", "did you mean 'card_activity'?")


def test_freshness_is_shown_and_exported(running: FalajProject) -> None:
    running.control("POST", "/v1/events/transactions?wait=applied", [event(0), event(1)])
    (view,) = running.json("status")["views"]
    assert (view["view"], view["events"], view["lag_rows"], view["backfilling"]) == ("card_activity", 2, 0, False)
    assert view["p50_ms"] <= view["p99_ms"]
    assert "view      card_activity: shows every row; pushed events visible after" in running.falaj("status").out
    text = running.control("GET", "/metrics").text
    labels = f'view="card_activity",definition="{view["definition"]}",source="transactions"'
    for line in (
        f"falaj_view_applied_seq{{{labels}}} 8002",
        f"falaj_view_lag_rows{{{labels}}} 0",
        f"falaj_view_lag_seconds{{{labels}}} 0.0",
        f"falaj_view_backfilling{{{labels}}} 0",
        f'falaj_view_freshness_seconds_bucket{{{labels},le="+Inf"}} 2',
    ):
        assert line in text.splitlines(), text
    assert running.control("GET", "/metrics", token="").status == 401


def _line(value: dict[str, Any]) -> str:
    return json.dumps(value)
