"""Operations on datasets: build, list, show."""

from falaj.app.values.dataset import BuildDataset, DatasetsQuery, ShowDataset
from falaj.data.dataset import Dataset
from falaj.governance.access import Actor
from falaj.lifecycle.dataset import build_dataset
from falaj.lifecycle.rooms import Rooms


def build(rooms: Rooms, actor: Actor, params: BuildDataset) -> Dataset:
    """Build a model's training set; the same data gives the same dataset."""
    return build_dataset(rooms, rooms.definitions.model(params.model), actor)


def list_datasets(rooms: Rooms, actor: Actor, params: DatasetsQuery) -> list[Dataset]:
    """Return datasets, the newest first."""
    del actor
    return rooms.datasets.list(params.name or None)


def show(rooms: Rooms, actor: Actor, params: ShowDataset) -> Dataset:
    """Return one dataset's description."""
    del actor
    return rooms.datasets.get(params.digest)
