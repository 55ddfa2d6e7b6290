"""FeatureService: the named list of features that one model uses."""

from collections.abc import Sequence

import msgspec

from falaj.definitions.declared import Declared
from falaj.definitions.dtype import check_dtype
from falaj.definitions.feature_view import FeatureView
from falaj.definitions.on_demand import OnDemandView, computing_order
from falaj.kernel.errors import DefinitionError
from falaj.kernel.names import check_name, did_you_mean


class RequestField(msgspec.Struct, metaclass=Declared, frozen=True, tag="request"):
    """A value that the caller sends; in training it is the label row's column of that name."""

    name: str
    dtype: str

    def __post_init__(self) -> None:
        check_name("request field", self.name)
        check_dtype(f"request field {self.name!r}", self.dtype)


def request(name: str, dtype: str = "float64") -> RequestField:
    """Declare a value that the caller sends with a request.

    Example:
        >>> request("amount").dtype
        'float64'
    """
    return RequestField(name, dtype)


Feature = FeatureView | OnDemandView | RequestField


class FeatureService(msgspec.Struct, metaclass=Declared, frozen=True):
    """The features that one model uses, in order.

    Args:
        name: The service's name.
        features: Feature views (all their features), on-demand views and request fields.

    Raises:
        DefinitionError: A name stands twice, an on-demand input refers to what the service does not hold, or on-demand
            views read each other in a circle.
    """

    name: str
    features: Sequence[Feature]

    def __post_init__(self) -> None:
        check_name("feature service", self.name)
        if not self.features:
            raise DefinitionError(f"feature service {self.name!r} is empty", hint="list views and request fields")
        names = [feature.name for feature in self.features]
        for name in names:
            if names.count(name) > 1:
                raise DefinitionError(f"feature service {self.name!r} lists {name!r} twice", hint="rename one")
        known = {f"{v.name}:{f}" for v in self.views for f in v.features}
        known |= {f"request:{field.name}" for field in self.request_fields}
        known |= {f"{view.name}:{view.name}" for view in self.on_demand}
        for view in self.on_demand:
            for reference in view.inputs:
                if reference not in known:
                    raise DefinitionError(
                        f"feature service {self.name!r}: {view.name!r} needs {reference!r}, which is not in it",
                        hint=did_you_mean(reference, known),
                    )
        computing_order(self.on_demand)

    @property
    def views(self) -> tuple[FeatureView, ...]:
        """The stored views, in order."""
        return tuple(f for f in self.features if isinstance(f, FeatureView))

    @property
    def on_demand(self) -> tuple[OnDemandView, ...]:
        """The on-demand views, in order."""
        return tuple(f for f in self.features if isinstance(f, OnDemandView))

    @property
    def request_fields(self) -> tuple[RequestField, ...]:
        """The fields of the request, in order."""
        return tuple(f for f in self.features if isinstance(f, RequestField))
