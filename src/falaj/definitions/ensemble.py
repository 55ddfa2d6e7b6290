"""Ensemble: a served name behind which several endpoints decide together."""

import msgspec

from falaj.definitions.combination import Combination
from falaj.definitions.declared import Declared
from falaj.definitions.endpoint import Endpoint
from falaj.definitions.ensemble_spec import EnsembleSpec
from falaj.definitions.feature_service import FeatureService
from falaj.kernel.errors import DefinitionError
from falaj.kernel.names import check_name


class Ensemble(msgspec.Struct, metaclass=Declared, frozen=True):
    """A served name behind which several endpoints decide together.

    Its members are endpoints, so that each keeps its rollouts, its monitor and its retraining: a version that is
    promoted or rolled back there is promoted or rolled back here. An ensemble is no member of another.

    Args:
        name: The ensemble's name, in its URL.
        combine: How the members' scores become one.

    Raises:
        DefinitionError: No member's features hold those of all the others, or the name is that of a member.
    """

    name: str
    combine: Combination

    def __post_init__(self) -> None:
        check_name("ensemble", self.name)
        if self.name in {endpoint.name for endpoint in self.endpoints}:
            raise DefinitionError(f"ensemble {self.name!r} bears the name of a member", hint="rename the ensemble")
        whole = max((member.model.features for member in self.combine.members), key=lambda one: len(one.features))
        for member in self.combine.members:
            self._check_held(member.name, member.model.features, whole, ())
        if self.combine.by is not None:
            names = tuple(member.name for member in self.combine.members)
            self._check_held(self.combine.by.name, self.combine.by.model.features, whole, names)

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """The members, and the endpoint that combines them where one does."""
        return self.combine.members if self.combine.by is None else (*self.combine.members, self.combine.by)

    def to_spec(self) -> EnsembleSpec:
        """Return it as the routing table has it."""
        combine = self.combine
        return EnsembleSpec(
            combine.method,
            tuple(member.name for member in combine.members),
            combine.weights,
            combine.bias,
            combine.link,
            combine.threshold,
            combine.at_least,
            combine.low,
            combine.high,
            "" if combine.by is None else combine.by.name,
        )

    def _check_held(self, member: str, part: FeatureService, whole: FeatureService, scores: tuple[str, ...]) -> None:
        for feature in part.features:
            if feature not in whole.features and feature.name not in scores:
                raise DefinitionError(
                    f"ensemble {self.name!r}: {member!r} needs {feature.name!r}, which feature service {whole.name!r} "
                    "does not hold as it is there",
                    hint="one member's features hold those of all the others",
                )
