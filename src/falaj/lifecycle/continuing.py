"""Continuing: the version in production goes on learning, on the rows that it has not learned from.

    trained anew ──► 1st continuation ──► 2nd ──► ... ──(max_generations)──► trained anew

What is continued is chosen when the run is asked for, and its digest is part of the train step's key. Where it cannot
be continued honestly, the training is a full one and says why.
"""

from typing import Any

import duckdb
import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from falaj.data.duckdb_rows import quoted
from falaj.definitions.model import Model
from falaj.definitions.service_spec import ServiceSpec
from falaj.definitions.signature import Signature
from falaj.features.entity_frame import TIME_COLUMN
from falaj.kernel.codec import to_builtins
from falaj.kernel.digest import digest_value
from falaj.lifecycle.dataset import SPLIT
from falaj.lifecycle.examples import LABEL
from falaj.lifecycle.rooms import Rooms
from falaj.models.stages import Stage
from falaj.models.version import ModelVersion

_MOST_NAMES = 3


class Parent(msgspec.Struct, frozen=True):
    """What a training is to continue, as it is kept in the run.

    Attributes:
        full: Why it continues nothing; empty where it does.
        version: The version that is continued; 0 for none.
        generation: Which continuation in a row this one is.
        state: Blob of what it goes on from.
        learned: Digests of the datasets that it and those before it learned from.
    """

    full: str = ""
    version: int = 0
    generation: int = 0
    state: str = ""
    learned: tuple[str, ...] = ()


class Continued(msgspec.Struct, frozen=True):
    """What came of it.

    Attributes:
        parent: What is continued.
        fresh: The rows to learn, as their numbers among the training rows; all of them in a full training.
        full: Why it is a full training; empty where it is none.
    """

    parent: Parent
    fresh: NDArray[np.int64]
    full: str = ""


def parent_of(rooms: Rooms, model: Model) -> Parent | None:
    """Return what a training that is asked for now continues; None for a model that never does.

    Args:
        rooms: The project.
        model: The definition.
    """
    if model.trainer.warm_start is None:
        return None
    held = rooms.registry.holder(model.name, Stage.PRODUCTION)
    if held is None:
        return Parent("no version is in production")
    most = model.trainer.warm_start.max_generations
    service = rooms.applied.document.services[model.features.name]
    state = state_of(held)
    if held.service is None or held.service.digest != service.digest:
        return Parent(f"the features are other ones than those of version {held.version}")
    if _algorithm(held.trainer) != _algorithm(to_builtins(model.trainer)):
        return Parent(f"the trainer is another one than that of version {held.version}")
    if held.label_digest != label_digest(model):
        return Parent(f"version {held.version} learned another label")
    if held.generation >= most:
        return Parent(
            f"version {held.version} is continuation {held.generation} in a row, and max_generations = {most}"
        )
    if not state or not rooms.blobs.exists(state):
        return Parent(f"of version {held.version} nothing was kept to go on from")
    return Parent("", held.version, held.generation + 1, state, _learned(rooms, held))


def label_digest(model: Model) -> str:
    """Return what a model learns as a digest: to go on by another label would unlearn and mislead."""
    return digest_value([model.label.source.name, model.label.column, model.task])


def state_of(version: ModelVersion) -> str:
    """Return the blob that a version's training may be gone on from; empty where there is none."""
    native = version.artifacts.get(str(version.trainer.get("kind", "")))
    return version.state_digest or ("" if native is None else native.digest)


def continued(
    rooms: Rooms, model: Model, spec: ServiceSpec, parent: Parent, rows: pa.Table, signature: Signature
) -> Continued:
    """Return which training rows are new to the parent, or why the training is to be a full one.

    Args:
        rooms: The project.
        model: The definition.
        spec: Its compiled features.
        parent: What is to be continued.
        rows: The dataset, with its split.
        signature: As the training rows have it now.
    """
    train = rows.filter(pc.field(SPLIT) == "train")
    everything = np.arange(train.num_rows)
    warm = model.trainer.warm_start
    assert warm is not None
    if parent.full:
        return Continued(parent, everything, parent.full)
    changed = changed_codes(rooms.registry.get(model.name, parent.version).signature, signature)
    if changed:
        return Continued(parent, everything, changed)
    identity = _identity(model, spec, rows)
    test, fresh = rows.filter(pc.field(SPLIT) == "test"), everything
    unseen = np.arange(test.num_rows)
    for digest in parent.learned:  # one at a time: a long line of continuations has as many, each of all rows
        past = rooms.datasets.load(digest).filter(pc.field(SPLIT) == "train")
        if set(identity) - set(past.column_names):
            return Continued(parent, everything, f"version {parent.version} learned from rows of other columns")
        learned = past.select(identity)
        unseen = _less(unseen, test.select(identity), learned)
        fresh = _less(fresh, train.select(identity), learned)
    seen = test.num_rows - len(unseen)
    if seen:
        return Continued(parent, everything, f"version {parent.version} has learned {seen:,} of the rows that now test")
    if len(fresh) < warm.min_rows:
        return Continued(parent, everything, f"{len(fresh):,} rows are new, and min_rows = {warm.min_rows:,}")
    if pc.count_distinct(train.column(LABEL).take(pa.array(fresh))).as_py() < 2:
        return Continued(parent, everything, f"the {len(fresh):,} new rows have one label only")
    return Continued(parent, fresh)


def changed_codes(before: Signature, now: Signature) -> str:
    """Return how two signatures encode rows differently, as one sentence; empty where they do not.

    Example:
        >>> from falaj.definitions.signature import InputSpec
        >>> changed_codes(Signature((InputSpec("c", "string", ("AE",)),)), Signature((InputSpec("c", "string", ()),)))
        "the codes of 'c' changed"
    """
    then, today = [(one.name, one.dtype) for one in before.inputs], [(one.name, one.dtype) for one in now.inputs]
    if then != today:
        return "the inputs are other ones, or in another order"
    pairs = zip(before.inputs, now.inputs, strict=True)
    names = [repr(one.name) for one, other in pairs if one.categories != other.categories]
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return f"the codes of {', '.join(names[:_MOST_NAMES])}{more} changed" if names else ""


def _algorithm(trainer: dict[str, Any]) -> dict[str, Any]:
    """Return what of a trainer makes two models of one kind: how often it may go on does not."""
    return {name: value for name, value in trainer.items() if name != "warm_start"}


def _learned(rooms: Rooms, version: ModelVersion) -> tuple[str, ...]:
    """Return the datasets of a version and of those that it continues, its own first."""
    found = [version.dataset_digest]
    while version.generation and version.parent:
        version = rooms.registry.get(version.model, version.parent)
        found.append(version.dataset_digest)
    return tuple(dict.fromkeys(found))


def _identity(model: Model, spec: ServiceSpec, rows: pa.Table) -> list[str]:
    """Return the columns by which a row is the same row; one whose label was corrected is another."""
    named = [TIME_COLUMN, *(key for key, _ in spec.entity_keys), *(field.name for field in spec.request)]
    named += [model.label.source.id] if model.label.source.id is not None else []
    return [name for name in dict.fromkeys([*named, LABEL]) if name in rows.column_names]


def _less(numbers: NDArray[np.int64], rows: pa.Table, learned: pa.Table) -> NDArray[np.int64]:
    """Return those of the rows' numbers whose rows are not among those learned."""
    return np.delete(numbers, _known(rows.take(pa.array(numbers)), learned))


def _known(rows: pa.Table, learned: pa.Table) -> NDArray[np.int64]:
    """Return the places of the rows that are among those learned."""
    numbered = rows.append_column("_number", pa.array(np.arange(rows.num_rows)))
    same = " AND ".join(f"now.{quoted(name)} IS NOT DISTINCT FROM past.{quoted(name)}" for name in rows.column_names)
    with duckdb.connect(":memory:", config={"autoinstall_known_extensions": "false"}) as engine:
        engine.register("now", numbered)
        engine.register("past", learned)
        query = f"SELECT _number FROM now WHERE EXISTS (SELECT 1 FROM past WHERE {same}) ORDER BY 1"  # noqa: S608
        found: NDArray[np.int64] = engine.sql(query).to_arrow_table().column("_number").to_numpy()
    return found
