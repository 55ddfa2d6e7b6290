"""Definitions: all that a project's files declare, checked as a whole."""

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

import msgspec

from falaj.definitions.endpoint import Endpoint
from falaj.definitions.ensemble import Ensemble
from falaj.definitions.entity import Entity
from falaj.definitions.feature_service import FeatureService
from falaj.definitions.feature_view import FeatureView
from falaj.definitions.model import Model
from falaj.definitions.on_demand import OnDemandView
from falaj.definitions.pipeline import Pipeline
from falaj.definitions.policy import Policy
from falaj.definitions.source import Source
from falaj.kernel.codec import to_builtins
from falaj.kernel.digest import digest_value
from falaj.kernel.errors import DefinitionError, NotFound
from falaj.kernel.names import did_you_mean

T = TypeVar("T")
Definition = (
    Entity | Source | FeatureView | OnDemandView | FeatureService | Model | Endpoint | Ensemble | Policy | Pipeline
)
KINDS: dict[type, str] = {
    Entity: "entity",
    Source: "source",
    FeatureView: "feature_view",
    OnDemandView: "on_demand_view",
    FeatureService: "feature_service",
    Model: "model",
    Endpoint: "endpoint",
    Ensemble: "ensemble",
    Policy: "policy",
    Pipeline: "pipeline",
}
_REFERENCES = (Entity, Source, FeatureView, OnDemandView, FeatureService, Model, Endpoint)


class Definitions(msgspec.Struct, frozen=True):
    """A project's definitions by kind and name."""

    entities: dict[str, Entity] = {}
    sources: dict[str, Source] = {}
    feature_views: dict[str, FeatureView] = {}
    on_demand_views: dict[str, OnDemandView] = {}
    feature_services: dict[str, FeatureService] = {}
    models: dict[str, Model] = {}
    endpoints: dict[str, Endpoint] = {}
    ensembles: dict[str, Ensemble] = {}
    policies: dict[str, Policy] = {}
    pipelines: dict[str, Pipeline] = {}

    def by_kind(self) -> dict[str, Mapping[str, Definition]]:
        """Return kind to name to definition, in the order in which they depend on each other."""
        return {
            "entity": self.entities,
            "source": self.sources,
            "feature_view": self.feature_views,
            "on_demand_view": self.on_demand_views,
            "feature_service": self.feature_services,
            "model": self.models,
            "endpoint": self.endpoints,
            "ensemble": self.ensembles,
            "policy": self.policies,
            "pipeline": self.pipelines,
        }

    def source(self, name: str) -> Source:
        """Return a source.

        Raises:
            NotFound: There is none of that name.
        """
        return _find("source", self.sources, name)

    def feature_view(self, name: str) -> FeatureView:
        """Return a feature view.

        Raises:
            NotFound: There is none of that name.
        """
        return _find("feature view", self.feature_views, name)

    def feature_service(self, name: str) -> FeatureService:
        """Return a feature service.

        Raises:
            NotFound: There is none of that name.
        """
        return _find("feature service", self.feature_services, name)

    def model(self, name: str) -> Model:
        """Return a model.

        Raises:
            NotFound: There is none of that name.
        """
        return _find("model", self.models, name)

    def endpoint(self, name: str) -> Endpoint:
        """Return an endpoint.

        Raises:
            NotFound: There is none of that name, or it is an ensemble.
        """
        if name in self.ensembles:
            members = [endpoint.name for endpoint in self.ensembles[name].endpoints]
            raise NotFound(
                f"{name!r} is an ensemble of endpoints, not an endpoint",
                hint=f"each member has its own: {', '.join(members)}",
            )
        return _find("endpoint", self.endpoints, name)

    def policy_of(self, model: str) -> Policy:
        """Return the policy that names a model, or the one for all others, or the default one."""
        for policy in self.policies.values():
            if model in policy.models:
                return policy
        return next((policy for policy in self.policies.values() if not policy.models), Policy())

    def pipeline(self, name: str) -> Pipeline:
        """Return a pipeline.

        Raises:
            NotFound: There is none of that name.
        """
        return _find("pipeline", self.pipelines, name)


def _find(kind: str, known: Mapping[str, T], name: str) -> T:
    try:
        return known[name]
    except KeyError:
        hint = did_you_mean(name, known) if known else "no definitions are in force yet: run 'falaj apply'"
        raise NotFound(f"{kind} {name!r} does not exist", hint=hint) from None


def _check_policies(policies: Iterable[Policy]) -> None:
    named: dict[str, str] = {}
    for policy in policies:
        for model in policy.models or ("",):
            if model in named:
                about = f"model {model!r}" if model else "all models"
                raise DefinitionError(
                    f"policies {named[model]!r} and {policy.name!r} are both for {about}",
                    hint="keep one, or name the models that each is for: models=[...]",
                )
            named[model] = policy.name


def collect(values: Iterable[tuple[str, object]]) -> Definitions:
    """Gather the definitions among the module-level values of a project's files.

    What a definition refers to is gathered with it, so that a view held only by a service is found too.

    Args:
        values: Pairs of a place ("file.py: name") and a value.

    Raises:
        DefinitionError: Two different definitions of one kind bear one name, or two policies are for one model.
    """
    found: dict[str, dict[str, Any]] = {kind: {} for kind in KINDS.values()}
    places: dict[tuple[str, str], str] = {}

    def add(place: str, value: object) -> None:
        kind = KINDS.get(type(value))
        if kind is None:
            return
        assert isinstance(value, msgspec.Struct)
        name: str = value.name  # type: ignore[attr-defined]
        known = found[kind].get(name)
        if known is not None and known != value:
            raise DefinitionError(
                f"{kind} {name!r} is defined twice, in {places[kind, name]} and in {place}", hint="rename one"
            )
        found[kind][name] = value
        places.setdefault((kind, name), place)
        for part in _parts(value):
            add(f"{place} ({name})", part)

    for place, value in values:
        add(place, value)
    _check_policies(found["policy"].values())
    for name in found["ensemble"]:
        for kind in ("endpoint", "model"):
            if name in found[kind]:
                raise DefinitionError(
                    f"ensemble {name!r} bears the name of the {kind} {name!r}", hint="rename the ensemble"
                )
    fields = ("entities", "sources", "feature_views", "on_demand_views")
    rest = ("feature_services", "models", "endpoints", "ensembles", "policies", "pipelines")
    return Definitions(**dict(zip((*fields, *rest), found.values(), strict=True)))


def _parts(value: msgspec.Struct) -> Iterable[object]:
    for field in msgspec.structs.fields(value):
        part = getattr(value, field.name)
        if isinstance(part, _REFERENCES):
            yield part
        elif isinstance(part, list | tuple):
            yield from (p for p in part if isinstance(p, _REFERENCES))
        elif isinstance(part, msgspec.Struct):
            yield from _parts(part)


def describe(definition: Definition) -> dict[str, Any]:
    """Return a definition as plain values, with other definitions by reference ("source:transactions").

    Example:
        >>> describe(Entity("card", key="card_id"))
        {'name': 'card', 'key': 'card_id', 'dtype': 'string'}
    """
    plain = _plain_struct(definition)
    assert isinstance(plain, dict)
    return plain


def digest_of(definition: Definition) -> str:
    """Return the digest of a definition's own fields (what it refers to counts by name)."""
    return digest_value(describe(definition))


def _plain_struct(value: msgspec.Struct) -> dict[str, Any]:
    plain = {f.name: _plain(getattr(value, f.name)) for f in msgspec.structs.fields(value)}
    tag = value.__struct_config__.tag
    return {"type": tag, **plain} if tag is not None else plain


def _plain(value: object) -> Any:
    if isinstance(value, _REFERENCES):
        return f"{KINDS[type(value)]}:{value.name}"
    if isinstance(value, msgspec.Struct):
        return _plain_struct(value)
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    return to_builtins(value)
