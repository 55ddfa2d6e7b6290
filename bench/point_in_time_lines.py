"""Training sets, measured: against Feast's DuckDB store, and against queries written by hand."""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from by_hand import duckdb_asof, duckdb_windows, polars_asof
from feature_world import TTL_US, WINDOWS, World, plain_service, windowed_service
from peers.feast_peer import Feast
from rounds import Rounds, Work, discard, measure, print_missing, print_ratio

import falaj as fj
from falaj.features.offline import training_frame

_DEFINITIONS = Path(__file__).parent / "customers" / "customers.py"


def point_in_time(world: World, rounds: int, peer: Feast | None) -> None:
    """Print `pit_vs_handwritten`, and `pit_vs_feast_duckdb` where there is a Feast.

    Everybody is given the label rows in memory and the events as a Parquet file, and returns an Arrow table, but for
    `project.training_set`: it reads both from the project's tables, and keeps the dataset it made, with its digest.
    """
    print("point in time: 1 column, ttl of 7 days", flush=True)
    frame, source = world.frame(), world.source()
    plain, identified = plain_service(), plain_service(identity=True)
    _same_answers(world, frame, peer)
    project = _project(world)
    work: dict[str, Work] = {
        "training_frame": lambda: discard(training_frame(plain, frame, {"events": source})),
        "training_frame, events with ids": lambda: discard(training_frame(identified, frame, {"events": source})),
        "project.training_set": lambda: discard(project.training_set("customers")),
        "DuckDB by hand": lambda: discard(duckdb_asof(world.events, frame, TTL_US)),
        "Polars by hand": lambda: discard(polars_asof(world.events, frame, TTL_US)),
    }
    if peer is not None:
        labels = str(world.labels)
        work["Feast, DuckDB store"] = lambda: float(
            peer.ask("history", frame=labels, features=["spend:amount"])["seconds"]
        )
    found = measure(work, rounds)
    _print(found, with_feast=peer is not None)


def windows(world: World, rounds: int) -> None:
    """Print `windows_vs_handwritten`."""
    print("windows: count and sum over 1h, 1d, 7d and 30d", flush=True)
    frame, source, service = world.frame(), world.source(), windowed_service()
    ours = training_frame(service, frame, {"events": source})
    theirs = duckdb_windows(world.events, frame, WINDOWS)
    for name in WINDOWS:
        assert ours[f"activity__count_{name}"].equals(theirs[f"count_{name}"]), f"counts over {name} differ"
        one, two = (t.to_numpy() for t in (ours[f"activity__sum_{name}"], theirs[f"sum_{name}"]))
        assert np.allclose(one, two, rtol=1e-9, equal_nan=True), f"sums over {name} differ"
    found = measure(
        {
            "training_frame": lambda: discard(training_frame(service, frame, {"events": source})),
            "DuckDB by hand": lambda: discard(duckdb_windows(world.events, frame, WINDOWS)),
        },
        rounds,
    )
    ratio = found.median("training_frame") / found.median("DuckDB by hand")
    print_ratio("windows_vs_handwritten", ratio, "<= 1.5")


def feast_views(world: World) -> list[dict[str, Any]]:
    """Return the measured view as `feast_worker` takes it."""
    view = {
        "name": "spend",
        "path": str(world.events),
        "keys": {"customer_id": "int64"},
        "fields": {"amount": "float64"},
        "timestamp": "at",
        "created": "known",
        "ttl_us": TTL_US,
    }
    return [view]


def _print(found: Rounds, *, with_feast: bool) -> None:
    best = found.best("DuckDB by hand", "Polars by hand")
    print(f"  the best by hand: {best}")
    print_ratio("pit_vs_handwritten", found.median("training_frame") / found.median(best), "<= 1.5")
    print_ratio(
        "pit_with_ids_vs_handwritten", found.median("training_frame, events with ids") / found.median(best), "-"
    )
    if with_feast:
        feast = found.median("Feast, DuckDB store")
        print_ratio("pit_vs_feast_duckdb", feast / found.median("training_frame"), ">= 5")
        print_ratio("training_set_vs_feast_duckdb", feast / found.median("project.training_set"), "-")
    else:
        print_missing("pit_vs_feast_duckdb", "no Feast; make it with: python bench/peers/make.py feast")


def _same_answers(world: World, frame: pa.Table, peer: Feast | None) -> None:
    """Stop if the contenders do not answer alike."""
    ours = training_frame(plain_service(), frame, {"events": world.source()})["spend__amount"].to_numpy()
    theirs = [
        duckdb_asof(world.events, frame, TTL_US)["amount"].to_numpy(),
        polars_asof(world.events, frame, TTL_US)["amount"].to_numpy(),
    ]
    assert all(np.array_equal(ours, other, equal_nan=True) for other in theirs), "the queries by hand differ from ours"
    if peer is not None:
        out = world.folder / "feast-answer.parquet"
        peer.ask("history", frame=str(world.labels), features=["spend:amount"], out=str(out))
        answered = np.sort(pa.parquet.read_table(out)["spend__amount"].to_numpy())  # in an order of its own
        different = (
            int((answered != np.sort(ours)).sum()) - int(np.isnan(ours).sum()) if len(answered) == len(ours) else -1
        )
        print(f"  Feast's answer: {len(answered)} rows of {len(ours)}, {different} values other than ours")


def _project(world: World) -> Any:
    """Return a project that has ingested the world's files, opened as in a notebook."""
    folder = world.folder / "project"
    folder.mkdir()
    (folder / "falaj.toml").write_text('[project]\nname = "bench"\n')
    shutil.copy(_DEFINITIONS, folder)
    for name, path in (("events", world.events), ("labels", world.labels)):
        (folder / f"{name}.parquet").symlink_to(path)
    for word in ("apply", "ingest"):
        words = [sys.executable, "-m", "falaj.cli.main", word, "--project", str(folder)]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise SystemExit(f"bench: falaj {word} ended with {done.returncode}\n{done.stdout}{done.stderr}")
    return fj.open(folder)
