"""SampledHistories: what the entities of a sample of decisions looked like, whatever definition is asked."""

from collections.abc import Callable, Iterable, Mapping, Sequence

import pyarrow.dataset as ds

from falaj.definitions.prediction_policy import is_redacted
from falaj.definitions.prediction_record import PredictionRecord
from falaj.definitions.service_spec import ServiceSpec, ViewSpec
from falaj.features.event_sample import EventSample
from falaj.features.history import History


def hides_entity(record: PredictionRecord, view: ViewSpec) -> bool:
    """Whether the record does not say whom the view's features are of, because its endpoint's policy redacts it."""
    return any(is_redacted(record.entities.get(key)) for key, _ in view.keys)


class SampledHistories:
    """The histories of a sample's entities, read once per definition of a view.

    Args:
        open_source: Gives every row of a source as a dataset; called once per source, so that all is of one version.
        sample: The decisions.
        specs: The services of the models' versions, by model and version.
        others: Definitions that may have been served by mistake.
    """

    def __init__(
        self,
        open_source: Callable[[str], ds.Dataset],
        sample: Sequence[PredictionRecord],
        specs: Mapping[tuple[str, int], ServiceSpec],
        others: Iterable[ViewSpec],
    ) -> None:
        self._open_source = open_source
        self._sources: dict[str, ds.Dataset] = {}
        self._histories: dict[str, History] = {}
        self._asked: dict[str, list[PredictionRecord]] = {}
        for record in sample:
            spec = specs.get((record.model, record.version))
            for view in () if spec is None else spec.views:
                if not hides_entity(record, view):
                    self._asked.setdefault(view.name, []).append(record)
        known = [view for spec in specs.values() for view in spec.views]
        self._definitions = {view.digest: view for view in (*known, *others)}

    def other_definitions(self, view: ViewSpec) -> list[ViewSpec]:
        """Return the other definitions of a view over the same source."""
        mine = (view.name, view.source)
        return [
            other
            for other in self._definitions.values()
            if (other.name, other.source) == mine and other.digest != view.digest
        ]

    def of(self, view: ViewSpec) -> History:
        """Return the history of the sample's entities as a definition sees it."""
        if view.digest not in self._histories:
            if view.source not in self._sources:
                self._sources[view.source] = self._open_source(view.source)
            wanted = EventSample(view)
            for record in self._asked.get(view.name, ()):
                wanted.add(record.entities, (record.at_us, record.received_us))
            self._histories[view.digest] = History(view, wanted.read(self._sources[view.source]))
        return self._histories[view.digest]
