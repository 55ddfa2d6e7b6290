"""Joining: frames and the features of a service, over pinned versions of the tables."""

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import pyarrow as pa

from falaj.data.source_content import source_content
from falaj.definitions.service_spec import ServiceSpec
from falaj.features.engines.choice import open_engine
from falaj.features.offline import training_frame
from falaj.kernel.errors import InputError
from falaj.lifecycle.rooms import Rooms


class Joining:
    """Gives frames a service's features; every frame is joined with the same rows.

    Args:
        rooms: The project.
        spec: The service.
        versions: Source to the table version to read; a source that is absent is read as it is.
        known_time: Take only what was known at each row's instant.
        engine: What computes the features; the settings' engine by default.

    Raises:
        InputError: There is no such engine, or its server is not named; or a source does not tell what was known when.
        Unsupported: The engine cannot compute a feature; nothing was run.
    """

    def __init__(
        self,
        rooms: Rooms,
        spec: ServiceSpec,
        versions: Mapping[str, int],
        *,
        known_time: bool = False,
        engine: str = "",
    ) -> None:
        self._rooms = rooms
        self._spec = spec
        self._versions = versions
        self._known_time = known_time
        self._engine = open_engine(rooms.settings.features, engine)
        self._engine.check(spec.views)
        if known_time:
            self._check_created()

    @property
    def engine(self) -> str:
        """The name of what computes the features."""
        return self._engine.name

    def join(self, frame: pa.Table) -> pa.Table:
        """Return the frame with the features beside it; see `training_frame`."""
        return training_frame(self._spec, frame, self._tables, engine=self._engine, known_time=self._known_time)

    def contents(self) -> dict[str, str]:
        """Return, per source, the content digest of what the features read of it."""
        read: dict[str, set[str]] = {}
        for view in self._spec.views:
            names = {name for name, _ in (*view.keys, *view.inputs)}
            read.setdefault(view.source, set()).update(names if view.id_column is None else {*names, view.id_column})
        return {source: source_content(self._tables[source], sorted(names)) for source, names in sorted(read.items())}

    def _check_created(self) -> None:
        """Refuse a view that would be null throughout. Rows without time are taken for what was never known."""
        for view in self._spec.views:
            source = self._rooms.definitions.sources.get(view.source)
            if source is not None and not source.timeless and source.created is None:
                raise InputError(
                    f"source {source.name!r} does not say when its rows became known, so known time would leave every "
                    f"feature of view {view.name!r} null",
                    hint="declare its column with created=..., or build the training set without known time",
                )

    @cached_property
    def _tables(self) -> dict[str, Any]:
        sources = {view.source for view in self._spec.views}
        read = self._rooms.tables.read
        return {name: read(f"source/{name}", version=self._versions.get(name)) for name in sources}
