"""Variants: what serves now, loaded; a changed routing table becomes a new set beside the old one."""

from collections.abc import Callable
from typing import Any

import msgspec

from falaj.definitions.endpoint_options import EndpointOptions
from falaj.definitions.prediction_policy import PredictionPolicy
from falaj.definitions.routing_table import EndpointRoute, RoutingTable, Variant
from falaj.features.on_demand import OnDemand
from falaj.kernel.errors import CorruptionError, FalajError, NotFound, Unavailable, Unsupported
from falaj.kernel.names import did_you_mean
from falaj.models.artifacts import load_artifact, load_tensors
from falaj.models.encoding import Encoder
from falaj.models.python.place import PythonPlace
from falaj.models.python.runtime import PythonRuntime
from falaj.models.runtimes import Runtime
from falaj.models.runtimes.tensors import TensorRuntime
from falaj.serving.bare_model import BareModel
from falaj.serving.boundary import contain
from falaj.serving.response_cache import ResponseCache
from falaj.serving.routing import Chooser
from falaj.serving.stats import EVERY, Series
from falaj.serving.validation import groups_of
from falaj.storage.blobs import BlobStore


class LoadedVariant:
    """A model version in memory, with everything derived from its signature.

    Args:
        route: The endpoint it stands behind.
        spec: The variant as published.
        runtime: Its model.

    Attributes:
        aside: Whether it computes in a process beside the event loop, which must not wait for it.
        inputs: The feature columns in the signature's order.
        has_texts: Whether an input is text, which goes through a vocabulary row by row.
        stored: The feature columns that are fetched, in the service's order.
        stored_defaults: Their values for when the feature store fails.
        positions: Where each input stands among the service's outputs; None when all stand in the same order.
        on_demand: Its request fields and on-demand features.
        restricted: Whether its endpoint keeps something out of the prediction log.
        series: What is counted of it, once anything is.
        responses: Answers to give again, once one is kept.

    Raises:
        CorruptionError: The signature takes what the feature service does not give.
        DefinitionError: Its on-demand code does not load here.
    """

    def __init__(self, route: EndpointRoute, spec: Variant, runtime: Runtime) -> None:
        self.route = route
        self.endpoint = route.endpoint
        self.spec = spec
        self.runtime = runtime
        self.aside = isinstance(runtime, PythonRuntime)
        self.service = spec.service
        self.restricted = route.prediction_log.restricts
        self.series: Series | None = None
        self.responses: ResponseCache | None = None
        self.encoder = Encoder(spec.signature)
        self.entities, self.request = groups_of(spec)
        self.inputs = [each.name for each in spec.signature.inputs]
        self.has_texts = any(each.dtype == "string" for each in spec.signature.inputs)
        views = () if spec.service is None else spec.service.views
        self.stored = [view.column_name(feature.name) for view in views for feature in view.features]
        self.stored_defaults = self._defaults()
        self.positions = self._positions()
        self.on_demand = None if spec.service is None else OnDemand(spec.service)
        self._statuses_json: dict[str, msgspec.Raw] = {}

    def statuses_json(self, statuses: dict[str, str]) -> msgspec.Raw:
        """Return statuses as callers read them: one for each stored feature.

        Args:
            statuses: Stored feature to status; `EVERY` stands for all.
        """
        if EVERY not in statuses:
            return msgspec.Raw(msgspec.json.encode(statuses))
        status = statuses[EVERY]
        known = self._statuses_json.get(status)
        if known is None:
            known = self._statuses_json[status] = msgspec.Raw(msgspec.json.encode(dict.fromkeys(self.stored, status)))
        return known

    def log_by(self, policy: PredictionPolicy) -> None:
        """Log by another policy from now on, where its new route cannot be loaded."""
        self.route = msgspec.structs.replace(self.route, prediction_log=policy)
        self.restricted = policy.restricts

    def _positions(self) -> list[int] | None:
        outputs = [name for name, _ in self.service.outputs] if self.service else self.inputs
        if outputs == self.inputs:
            return None
        absent = [name for name in self.inputs if name not in outputs]
        if absent:
            raise CorruptionError(
                f"endpoint {self.endpoint!r}: version {self.spec.version} takes {absent[0]!r}, "
                "which its feature service does not give",
                hint="publish its routing again",
            )
        return [outputs.index(name) for name in self.inputs]

    def _defaults(self) -> list[Any]:
        own = {spec.name: spec.default for spec in self.spec.signature.inputs}
        return [self.route.defaults.get(name, own.get(name)) for name in self.stored]


class LoadedRoute:
    """One endpoint, ready to serve."""

    def __init__(self, route: EndpointRoute, variants: list[LoadedVariant]) -> None:
        self.route = route
        self.variants = variants
        self.chooser = Chooser(route, variants)
        # None where there is nothing to look at: each request asks.
        self.options = None if route.options == EndpointOptions() else route.options
        self.has_shadows = any(variant.spec.role == "shadow" for variant in variants)

    @property
    def live(self) -> list[LoadedVariant]:
        """The variants that answer callers, the heaviest first."""
        live = [variant for variant in self.variants if variant.spec.role == "live"]
        return sorted(live, key=lambda variant: -variant.spec.weight)

    def version(self, version: str) -> LoadedVariant:
        """Return the live variant of a version.

        Raises:
            NotFound: No live variant has it.
        """
        for variant in self.live:
            if str(variant.spec.version) == version:
                return variant
        raise NotFound(
            f"version {version!r} does not serve at endpoint {self.route.endpoint!r}",
            hint=f"versions that do: {', '.join(str(v.spec.version) for v in self.live)}",
        )


class Serving(msgspec.Struct, frozen=True):
    """All that serves now; replaced as a whole.

    Attributes:
        epoch: Of the routing table.
        routes: By endpoint name.
        failures: Endpoint to the reason why its newest route could not be loaded; its older one serves, if any.
        bare: The bare models, by the name they serve under.
    """

    epoch: int = 0
    routes: dict[str, LoadedRoute] = {}
    failures: dict[str, str] = {}
    bare: dict[str, BareModel] = {}

    def python_runtimes(self) -> list[PythonRuntime]:
        """Return the Python models among what serves."""
        found = (variant.runtime for route in self.routes.values() for variant in route.variants)
        return [runtime for runtime in found if isinstance(runtime, PythonRuntime)]

    def route(self, endpoint: str) -> LoadedRoute:
        """Return an endpoint.

        Raises:
            NotFound: There is none of that name.
            Unavailable: It could not be loaded.
            Unsupported: It is a bare model, which decides on no entities.
        """
        found = self.routes.get(endpoint)
        if found is None:
            if endpoint in self.bare:
                raise Unsupported(
                    f"{endpoint!r} is a bare model, which takes tensors", hint=f"POST /v2/models/{endpoint}/infer"
                )
            if endpoint in self.failures:
                raise Unavailable(f"endpoint {endpoint!r} cannot be served: {self.failures[endpoint]}")
            raise NotFound(f"endpoint {endpoint[:80]!r} does not exist", hint=did_you_mean(endpoint[:80], self.routes))
        return found


LoadModel = Callable[[Variant], Runtime | TensorRuntime]
"""Loads a variant's model; raises a FalajError when it cannot."""


def model_loader(blobs: BlobStore, place: PythonPlace | None = None) -> LoadModel:
    """Return what loads models from the blob store, checked against their digests.

    Args:
        blobs: Where they are.
        place: Where processes of Python models work, and within what limits.
    """
    places = place or PythonPlace()

    def load(variant: Variant) -> Runtime | TensorRuntime:
        if variant.tensors is not None:
            return load_tensors(blobs, variant.artifact)
        name = f"{variant.model}-{variant.version}"
        own = msgspec.structs.replace(places, name=name)
        return load_artifact(blobs, variant.artifact, len(variant.signature.inputs), own)

    return load


def load_serving(table: RoutingTable, before: Serving, load_model: LoadModel) -> Serving:
    """Load a routing table beside what serves now; models that serve already are used again.

    Args:
        table: The table as published.
        before: What serves now; an endpoint whose new route cannot be loaded keeps its old one.
        load_model: Loads one model.
    """
    runtimes: Runtimes = {
        (variant.spec.artifact.digest, len(variant.inputs)): variant.runtime
        for loaded in before.routes.values()
        for variant in loaded.variants
    }
    runtimes |= {(model.spec.artifact.digest, 0): model.runtime for model in before.bare.values()}
    serving = Serving(table.epoch)
    for name, route in table.endpoints.items():
        error = contain(_load_route, route, runtimes, load_model, serving)
        if error is not None:
            told = error.message if isinstance(error, FalajError) else f"{type(error).__name__}: {error}"
            serving.failures[name] = told
            if name in before.routes:
                serving.routes[name] = before.routes[name]
                for variant in before.routes[name].variants:  # what was redacted must not wait for a model to load
                    variant.log_by(route.prediction_log)
            if name in before.bare:
                serving.bare[name] = before.bare[name]
    return serving


Runtimes = dict[tuple[str, int], Runtime | TensorRuntime]
"""What is loaded, by digest and number of features; a bare model has none."""


def _load_route(route: EndpointRoute, runtimes: Runtimes, load_model: LoadModel, serving: Serving) -> None:
    loaded = []
    for spec in route.variants:
        key = (spec.artifact.digest, len(spec.signature.inputs))
        if key not in runtimes:
            runtimes[key] = load_model(spec)
        runtime = runtimes[key]
        if isinstance(runtime, TensorRuntime):
            serving.bare[route.endpoint] = BareModel(route, spec, runtime)
            return
        loaded.append(LoadedVariant(route, spec, runtime))
    serving.routes[route.endpoint] = LoadedRoute(route, loaded)
