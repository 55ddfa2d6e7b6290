"""Datasets: immutable training sets, known by a digest that anyone can compute again."""

import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import sqlalchemy as sa

from falaj.data.content import ContentDigest, content_digest, plain_table
from falaj.data.dataset import Dataset, Request, dataset_digest
from falaj.data.lineage import Node, add_edges
from falaj.governance.access import Actor, authorise
from falaj.governance.audit import audited
from falaj.kernel.clock import Clock, to_us
from falaj.kernel.codec import canonical_json
from falaj.kernel.errors import CorruptionError, NotFound
from falaj.kernel.names import check_name, did_you_mean
from falaj.storage.blobs import BlobStore
from falaj.storage.disk import failure
from falaj.storage.metadata.database import Database
from falaj.storage.metadata.schema import metadata

DATASET = sa.Table(
    "dataset",
    metadata,
    sa.Column("digest", sa.String(64), primary_key=True),
    sa.Column("name", sa.String, nullable=False, index=True),
    sa.Column("content", sa.String(64), nullable=False),
    sa.Column("blob", sa.String(64), nullable=False),
    sa.Column("rows", sa.BigInteger, nullable=False),
    sa.Column("columns", sa.Text, nullable=False),
    sa.Column("size_bytes", sa.BigInteger, nullable=False),
    sa.Column("split", sa.Text, nullable=False),
    sa.Column("spec_digest", sa.String(64), nullable=False),
    sa.Column("request", sa.Text, nullable=False),
    sa.Column("engine", sa.String, nullable=False),
    sa.Column("inputs", sa.Text, nullable=False),
    sa.Column("created", sa.BigInteger, nullable=False),
    sa.Column("created_by", sa.String, nullable=False),
)


class Datasets:
    """The datasets of a project.

    Args:
        blobs: Keeps the files.
        db: The metadata database.
        clock: Says when a dataset was saved.
        scratch: Folder for files that are being written; the system's by default.
    """

    def __init__(self, blobs: BlobStore, db: Database, clock: Clock, scratch: Path | None = None) -> None:
        self._blobs = blobs
        self._scratch = scratch
        self._db = db
        self._clock = clock

    def save(
        self,
        name: str,
        rows: Callable[[], pa.Table | pa.RecordBatchReader],
        *,
        split: Mapping[str, Any],
        spec_digest: str,
        request: Request,
        engine: str = "duckdb",
        inputs: Mapping[str, Mapping[str, int]],
        lineage: Sequence[Node] = (),
        actor: Actor,
    ) -> Dataset:
        """Keep rows for ever and return their dataset; saving the same again returns the first.

        Args:
            name: The name under which its versions are listed.
            rows: Makes columns of numbers, booleans, text and times; row order counts. It is called only when the
                dataset is not there yet. Of a reader, one batch at a time is in memory.
            split: How its rows are divided, as plain values.
            spec_digest: Digest of the definitions that it was made by.
            request: What was asked.
            engine: What computed the features.
            inputs: Source name to what of it was read.
            lineage: What it was made from.
            actor: Who saves it; needs `dataset.create`.

        Raises:
            Unsupported: A column is nested.
            AccessDenied: The actor may not.
            DiskFull: No space is left; nothing is noted.
        """
        authorise(actor, "dataset.create", check_name("dataset", name))
        digest = dataset_digest(name, split, spec_digest, request)
        known = self._find(digest)
        if known is not None and self._blobs.exists(known.blob):
            return known
        with tempfile.TemporaryDirectory(prefix="falaj-dataset-", dir=self._scratch) as folder:
            path = Path(folder) / "rows.parquet"
            content, columns = _write(rows(), path)
            blob, size_bytes = self._blobs.put_file(path), path.stat().st_size
        dataset = Dataset(
            digest, name, content.hexdigest(), blob, content.rows, columns, size_bytes, dict(split), spec_digest,
            request, engine, {source: dict(read) for source, read in inputs.items()}, to_us(self._clock.now()),
            actor.name,
        )  # fmt: skip
        self._note(dataset, lineage, actor)
        return dataset

    def get(self, digest: str) -> Dataset:
        """Return a dataset's description.

        Raises:
            NotFound: There is none with that digest.
        """
        found = self._find(digest)
        if found is None:
            raise NotFound(f"dataset {digest!r} does not exist", hint=did_you_mean(digest, self._digests()))
        return found

    def load(self, digest: str) -> pa.Table:
        """Return a dataset's rows, held against both of its digests.

        Raises:
            NotFound: There is none with that digest.
            CorruptionError: Its file is damaged, or is not the content that was saved.
        """
        dataset = self.get(digest)
        try:
            table = pq.read_table(pa.BufferReader(self._blobs.get(dataset.blob)))
        except NotFound as error:
            raise self._damaged(dataset, error.message) from None
        if content_digest(table) != dataset.content:
            raise self._damaged(dataset, "its rows are not those that were saved")
        return table

    def path(self, digest: str) -> Path:
        """Return the Parquet file of a dataset, checked once per process; it must not be written to.

        Raises:
            NotFound: There is none with that digest.
            CorruptionError: Its file is damaged or gone.
        """
        dataset = self.get(digest)
        try:
            return self._blobs.path(dataset.blob)
        except NotFound as error:
            raise self._damaged(dataset, error.message) from None

    def list(self, name: str | None = None) -> list[Dataset]:
        """Return the datasets of a name, or all, the newest first."""
        query = sa.select(DATASET).order_by(DATASET.c.created.desc(), DATASET.c.digest)
        if name is not None:
            query = query.where(DATASET.c.name == name)
        with self._db.read() as connection:
            return [_dataset(row) for row in connection.execute(query)]

    def _note(self, dataset: Dataset, lineage: Sequence[Node], actor: Actor) -> None:
        values = msgspec.to_builtins(dataset)
        texts = {key: canonical_json(values[key]).decode() for key in ("split", "request", "inputs")}
        texts["columns"] = msgspec.json.encode(dataset.columns).decode()  # canonical JSON would sort them
        detail = {"digest": dataset.digest, "rows": dataset.rows, "spec": dataset.spec_digest}
        with audited(self._db, self._clock, actor, "dataset.create", dataset.name, detail) as connection:
            connection.execute(DATASET.delete().where(DATASET.c.digest == dataset.digest))
            connection.execute(DATASET.insert().values(values | texts))
            add_edges(connection, Node("dataset", dataset.digest), lineage, dataset.created)

    def _find(self, digest: str) -> Dataset | None:
        with self._db.read() as connection:
            row = connection.execute(sa.select(DATASET).where(DATASET.c.digest == digest)).first()
            return None if row is None else _dataset(row)

    def _digests(self) -> Sequence[str]:
        with self._db.read() as connection:
            return connection.execute(sa.select(DATASET.c.digest)).scalars().all()

    def _damaged(self, dataset: Dataset, reason: str) -> CorruptionError:
        return CorruptionError(
            f"dataset {dataset.name!r} {dataset.digest} is refused: {reason}",
            hint="restore its blob from a backup, or build the dataset again",
        )


def _write(rows: pa.Table | pa.RecordBatchReader, path: Path) -> tuple[ContentDigest, dict[str, str]]:
    """Write rows as one Parquet file, a row group for each batch of a reader."""
    pieces = [rows] if isinstance(rows, pa.Table) else (pa.Table.from_batches([batch]) for batch in rows)
    schema = plain_table(rows.schema.empty_table()).schema
    content = ContentDigest(schema)
    try:
        with pq.ParquetWriter(path, schema, compression="zstd") as writer:
            for piece in pieces:
                plain = plain_table(piece)
                content.add(plain)
                writer.write_table(plain, row_group_size=max(1, plain.num_rows))
    except OSError as error:
        raise failure(error, "cannot write the dataset") from error
    return content, {field.name: str(field.type) for field in schema}


def _dataset(row: sa.Row[Any]) -> Dataset:
    fields = dict(row._mapping)
    for key in ("columns", "split", "inputs"):
        fields[key] = msgspec.json.decode(fields[key])
    fields["request"] = msgspec.json.decode(fields["request"], type=Request)
    return Dataset(**fields)
