"""Variants: what serves now, loaded; a changed routing table becomes a new set beside the old one."""

from typing import Any

import msgspec

from falaj.definitions.endpoint_options import EndpointOptions
from falaj.definitions.prediction_policy import PredictionPolicy
from falaj.definitions.routing_table import EndpointRoute, Variant
from falaj.features.on_demand import OnDemand
from falaj.kernel.errors import CorruptionError, NotFound, Unavailable, Unsupported
from falaj.kernel.names import did_you_mean
from falaj.models.encoding import Encoder
from falaj.models.python.runtime import PythonRuntime
from falaj.models.runtimes import Runtime
from falaj.serving.bare_model import BareModel
from falaj.serving.response_cache import ResponseCache
from falaj.serving.routing import HashRouter
from falaj.serving.stats import EVERY, Series
from falaj.serving.validation import groups_of
from falaj.serving.variant_router import RouterMaker, VariantRouter


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
        ensemble: How others decide in its place; None for a model.
        takes_entities: Whether a request names entities and request fields, and not the features themselves.
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
        self.ensemble = spec.ensemble
        self.takes_entities = spec.service is not None or spec.ensemble is not None
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

    def as_test(self) -> "LoadedVariant":
        """Return the same version in the role "test"."""
        return LoadedVariant(self.route, msgspec.structs.replace(self.spec, role="test"), self.runtime)

    def reads_like(self, other: "LoadedVariant") -> bool:
        """Return whether a row's features are the same for both, so that they need not be read again."""
        mine, its = self.service, other.service
        if mine is None or its is None or self.has_texts:  # what a text is to a model depends on its vocabulary
            return False
        return mine.digest == its.digest and self.inputs == other.inputs

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
    """One endpoint, ready to serve.

    Args:
        route: As published.
        variants: The route's, in its order.
        make_router: Makes what chooses among them.

    Attributes:
        choose: The router's `live`, found once and not for every request.
    """

    def __init__(
        self, route: EndpointRoute, variants: list[LoadedVariant],
        make_router: RouterMaker[LoadedVariant] = HashRouter,
    ) -> None:  # fmt: skip
        self.route = route
        self.variants = variants
        self.router = make_router(route, variants)
        self.choose = self.router.live
        # None where there is nothing to look at: each request asks.
        self.options = None if route.options == EndpointOptions() else route.options
        self.has_shadows = any(variant.spec.role == "shadow" for variant in variants)
        self._tests: dict[str, LoadedVariant] = {}

    @property
    def live(self) -> list[LoadedVariant]:
        """The variants that answer callers, the heaviest first."""
        live = [variant for variant in self.variants if variant.spec.role == "live"]
        return sorted(live, key=lambda variant: -variant.spec.weight)

    def version(self, version: str) -> LoadedVariant:
        """Return the live variant of a version; where there are several, as a test: nobody assigned it the request.

        Raises:
            NotFound: No live variant has it.
        """
        live = self.live
        for variant in live:
            if str(variant.spec.version) == version:
                return variant if len(live) == 1 else self.test(variant.spec.name)
        raise NotFound(
            f"version {version!r} does not serve at endpoint {self.route.endpoint!r}",
            hint=f"versions that do: {', '.join(str(v.spec.version) for v in self.live)}",
        )

    @property
    def loaded(self) -> list[LoadedVariant]:
        """All variants, those for tests too."""
        return [*self.variants, *self._tests.values()]

    def test(self, name: str) -> LoadedVariant:
        """Return a live variant by its name, for a request that says itself who decides.

        Its decisions have the role "test" in the log and in the counts, so that no rollout, monitor or experiment
        takes them for traffic that was assigned.

        Raises:
            NotFound: The endpoint has no live variant of that name.
        """
        found = self._tests.get(name)
        if found is None:
            by_name = {variant.spec.name: variant for variant in self.live}
            if name not in by_name:
                raise NotFound(
                    f"endpoint {self.route.endpoint!r} has no live variant {name[:80]!r}",
                    hint=f"its variants: {', '.join(by_name)}",
                )
            variant = by_name[name]
            found = self._tests[name] = variant.as_test()
        return found


class Serving(msgspec.Struct, frozen=True):
    """All that serves now; replaced as a whole.

    Attributes:
        epoch: Of the routing table.
        routes: By endpoint name.
        failures: Endpoint to the reason why its newest route could not be loaded; its older one serves, if any.
        bare: The bare models, by the name they serve under.
        learners: The routers that are told outcomes; the hash is not one.
        left_out: Endpoint to the reason why its shadow could not be loaded; the endpoint serves without it.
        awaited: Endpoints that serve without their shadow until it is loaded.
        numbers: Whether an outcome may be any number.
    """

    epoch: int = 0
    routes: dict[str, LoadedRoute] = {}
    failures: dict[str, str] = {}
    bare: dict[str, BareModel] = {}
    learners: list[VariantRouter[LoadedVariant]] = []
    left_out: dict[str, str] = {}
    awaited: list[str] = []
    numbers: bool = False

    def absent(self) -> list[str]:
        """Return the endpoints that are routed and of which nothing could be loaded, not even an older version."""
        return [name for name in self.failures if name not in self.routes and name not in self.bare]

    def python_runtimes(self) -> list[PythonRuntime]:
        """Return the Python models among what serves; those of shadows are waited for in a thread of their own."""
        variants = (variant for route in self.routes.values() for variant in route.variants)
        found = (variant.runtime for variant in variants if variant.spec.role != "shadow")
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
