"""Columns beside the features: what slices and groups the rows of a training set without being an input.

A sensitive attribute must be known to judge fairness, and must not be learned from. It comes from the label's source,
or from a view that the model's feature service does not have; it goes into the dataset, and nowhere else.
"""

from falaj.definitions.feature_service import FeatureService
from falaj.definitions.model import Model
from falaj.definitions.service_spec import ServiceSpec
from falaj.definitions.slices import column_of
from falaj.features.compile import compile_service
from falaj.kernel.errors import DataError
from falaj.lifecycle.rooms import Rooms


def own_columns(model: Model, spec: ServiceSpec) -> list[str]:
    """Return the columns of the label's source that are carried along.

    Args:
        model: The definition.
        spec: Its compiled features; what is among them is not carried twice.
    """
    outputs = {name for name, _ in spec.outputs}
    return [column for column in model.sliced_by if ":" not in column and column not in outputs]


def service_beside(rooms: Rooms, model: Model) -> ServiceSpec | None:
    """Return the views that give columns beside the features, compiled; None where there are none.

    Args:
        rooms: The project.
        model: The definition.

    Raises:
        NotFound: There is no such view.
        DataError: It has no such feature.
    """
    spec = rooms.applied.document.services[model.features.name]
    outputs = {name for name, _ in spec.outputs}
    wanted = [column for column in model.sliced_by if ":" in column and column_of(column) not in outputs]
    if not wanted:
        return None
    views = [rooms.definitions.feature_view(name) for name in dict.fromkeys(c.partition(":")[0] for c in wanted)]
    for column in wanted:
        view, _, feature = column.partition(":")
        if feature not in next(one for one in views if one.name == view).features:
            raise DataError(f"model {model.name!r}: view {view!r} has no feature {feature!r}")
    return compile_service(FeatureService(f"{model.features.name}_beside", views), rooms.applied.document.schemas)
