"""Operations on datasets: build, list, show."""

from falaj.app.values.dataset import BuildDataset, DatasetsQuery, ShowDataset
from falaj.data.dataset import Dataset
from falaj.governance.access import Actor
from falaj.kernel.errors import InputError
from falaj.lifecycle.dataset import build_dataset
from falaj.lifecycle.frame_dataset import FrameDataset
from falaj.lifecycle.rooms import Rooms


def build(rooms: Rooms, actor: Actor, params: BuildDataset) -> Dataset:
    """Build a training set, of a model's examples or of rows given; the same data gives the same dataset."""
    known_time, engine = params.known_time, params.engine
    if params.frame and params.sql:
        raise InputError("a frame and SQL text were given", hint="give one of them")
    if params.frame or params.sql:
        wanted = FrameDataset(rooms, params.name, actor, known_time=known_time, engine=engine)
        return wanted.from_sql(params.sql) if params.sql else wanted.from_frame(params.frame)
    if params.name in rooms.applied.document.services and params.name not in rooms.definitions.models:
        raise InputError(
            f"feature service {params.name!r} has no rows of its own",
            hint="give the rows to ask about: a frame, or SQL text over the sources",
        )
    return build_dataset(rooms, rooms.definitions.model(params.name), actor, known_time=known_time, engine=engine)


def list_datasets(rooms: Rooms, actor: Actor, params: DatasetsQuery) -> list[Dataset]:
    """Return datasets, the newest first."""
    del actor
    return rooms.datasets.list(params.name or None)


def show(rooms: Rooms, actor: Actor, params: ShowDataset) -> Dataset:
    """Return one dataset's description."""
    del actor
    return rooms.datasets.get(params.digest)
