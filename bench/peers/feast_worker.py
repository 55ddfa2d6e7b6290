"""Feast at work, in its own environment: one command a line in, one answer a line out, both JSON.

Started by `bench/features.py` and by `tests/differential`, so that Feast is loaded once for many questions. Commands:

    open         folder, offline ("duckdb" or "dask"), views; applies them to a store of its own
    history      frame (a Parquet file), features, out (a Parquet file, or null), known: the point-in-time join
    materialise  from_us, to_us: into SQLite;  or incremental: true, to_us
    push         view, rows (a Parquet file): writes rows to the online store, as a stream would
    online       rows, features, repeat: reads, and answers values, statuses and seconds per read
    version      of Feast

An answer has `seconds`, and `error` ("Type: message") where Feast raised. Times are in microseconds UTC.
"""

import contextlib
import json
import os
import sys
import time
import traceback
import warnings
from datetime import UTC, datetime, timedelta
from pathlib import Path

os.environ["FEAST_USAGE"] = "False"
warnings.simplefilter("ignore")

import feast  # noqa: E402 - its settings come first
import pandas as pd  # noqa: E402
import pyarrow as pa  # noqa: E402
import pyarrow.parquet as pq  # noqa: E402
from feast import Entity, FeatureStore, FeatureView, Field, FileSource, RepoConfig, ValueType, types  # noqa: E402

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TYPES = {
    "int64": types.Int64,
    "int32": types.Int32,
    "float64": types.Float64,
    "string": types.String,
    "bool": types.Bool,
    "timestamp": types.UnixTimestamp,
}
_KEYS = {"int64": ValueType.INT64, "int32": ValueType.INT32, "string": ValueType.STRING}


class Worker:
    """Carries commands out; one store is open at a time."""

    def __init__(self):
        self.store = None

    def version(self):
        """Say which Feast this is."""
        return {"version": feast.__version__}

    def open(self, folder, views, offline="duckdb"):
        """Make a store and apply views to it.

        Args:
            folder: For the registry and the online store.
            views: Each with name, path, keys and fields (name to type), timestamp, created and ttl_us (or null).
            offline: The offline store.
        """
        config = RepoConfig(
            project="p",
            provider="local",
            registry=f"{folder}/registry.db",
            offline_store={"type": offline},
            online_store={"type": "sqlite", "path": f"{folder}/online.db"},
            entity_key_serialization_version=3,
            repo_path=Path(folder),
        )
        self.store = FeatureStore(config=config)
        entities = {}
        for view in views:
            for key, dtype in view["keys"].items():
                entities[key] = Entity(name=key, join_keys=[key], value_type=_KEYS[dtype])
        self.store.apply([*entities.values(), *(_view(view, entities) for view in views)])
        return {}

    def history(self, frame, features, out=None, *, known=False):
        """Join features to a frame, point in time; with `known`, from rows created by then."""
        asked = pd.read_parquet(frame)
        began = time.perf_counter()
        answer = self.store.get_historical_features(
            entity_df=asked, features=features, full_feature_names=True, filter_by_created_timestamp=known
        )
        table = answer.to_arrow()
        seconds = time.perf_counter() - began
        if out is not None:
            pq.write_table(table, out)
        return {"seconds": seconds, "rows": table.num_rows}

    def materialise(self, to_us, from_us=0, *, incremental=False):
        """Bring the latest rows of a span to the online store."""
        began = time.perf_counter()
        if incremental:
            self.store.materialize_incremental(_instant(to_us))
        else:
            self.store.materialize(_instant(from_us), _instant(to_us))
        return {"seconds": time.perf_counter() - began}

    def push(self, view, rows):
        """Write rows to the online store."""
        self.store.write_to_online_store(view, df=pd.read_parquet(rows))
        return {}

    def online(self, rows, features, repeat=1):
        """Read features of some entities."""
        began = time.perf_counter()
        for _ in range(repeat):
            answer = self.store.get_online_features(features=features, entity_rows=rows, full_feature_names=True)
        seconds = (time.perf_counter() - began) / repeat
        proto = answer.proto
        names = list(proto.metadata.feature_names.val)
        statuses = {
            name: [int(status) for status in result.statuses] for name, result in zip(names, proto.results, strict=True)
        }
        values = {name: [_plain(value) for value in found] for name, found in answer.to_dict().items()}
        return {"seconds": seconds, "values": values, "statuses": statuses}


def _view(view, entities):
    source = FileSource(
        path=view["path"],
        timestamp_field=view["timestamp"],
        created_timestamp_column=view.get("created") or "",
    )
    schema = [Field(name=name, dtype=_TYPES[dtype]) for name, dtype in {**view["keys"], **view["fields"]}.items()]
    ttl_us = view.get("ttl_us")
    return FeatureView(
        name=view["name"],
        entities=[entities[key] for key in view["keys"]],
        ttl=None if ttl_us is None else timedelta(microseconds=ttl_us),
        schema=schema,
        source=source,
        online=True,
    )


def _instant(us):
    return _EPOCH + timedelta(microseconds=us)


def _plain(value):
    if isinstance(value, datetime):
        return (value.astimezone(UTC) - _EPOCH) // timedelta(microseconds=1)
    return value


def main():
    """Answer until the input ends."""
    pa.set_cpu_count(os.cpu_count() or 1)
    worker = Worker()
    answers = sys.stdout
    for line in sys.stdin:
        command = json.loads(line)
        name = command.pop("do")
        with contextlib.redirect_stdout(sys.stderr):  # Feast prints on its own
            try:
                answer = getattr(worker, name)(**command)
            except Exception as error:  # noqa: BLE001 - what Feast raises is an answer
                traceback.print_exc()
                answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer, default=str), file=answers, flush=True)


if __name__ == "__main__":
    main()
