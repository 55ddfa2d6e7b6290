"""Loading: a published routing table becomes what serves, beside what serves now."""

from collections.abc import Callable

import msgspec

from falaj.definitions.prediction_policy import PredictionPolicy
from falaj.definitions.routing_table import EndpointRoute, RoutingTable, Variant
from falaj.kernel.errors import CorruptionError, FalajError, Unavailable, Unsupported
from falaj.models.artifacts import load_artifact, load_tensors
from falaj.models.python.place import PythonPlace
from falaj.models.runtimes import Runtime
from falaj.models.runtimes.tensors import TensorRuntime
from falaj.serving.bare_model import BareModel
from falaj.serving.boundary import contain
from falaj.serving.ensembles import LoadedEnsemble
from falaj.serving.routing import HashRouter
from falaj.serving.variant_router import RouterMaker
from falaj.serving.variants import LoadedRoute, LoadedVariant, Serving
from falaj.storage.blobs import BlobStore

LoadModel = Callable[[Variant], Runtime | TensorRuntime]
"""Loads a variant's model; raises a FalajError when it cannot."""


def model_loader(blobs: BlobStore, place: PythonPlace | None = None, *, mixed: bool = False) -> LoadModel:
    """Return what loads models from the blob store, checked against their digests.

    Args:
        blobs: Where they are.
        place: Where processes of Python models work, and within what limits.
        mixed: Let runtimes of a model take turns whose scores differ in the last digits.
    """
    places = place or PythonPlace()

    def load(variant: Variant) -> Runtime | TensorRuntime:
        if variant.tensors is not None:
            return load_tensors(blobs, variant.artifact)
        name = f"{variant.model}-{variant.version}"
        own = msgspec.structs.replace(places, name=name)
        return load_artifact(blobs, variant.artifact, len(variant.signature.inputs), own, mixed=mixed)

    return load


def load_serving(
    table: RoutingTable, before: Serving, load_model: LoadModel, make_router: RouterMaker[LoadedVariant] = HashRouter,
    *, load_shadows: bool = False,
) -> Serving:  # fmt: skip
    """Load a routing table beside what serves now; models that serve already are used again.

    Args:
        table: The table as published.
        before: What serves now; an endpoint whose new route cannot be loaded keeps its old one.
        load_model: Loads one model.
        make_router: Makes what chooses among an endpoint's variants; what a router has learned lives behind it, since a
            changed table makes new ones.
        load_shadows: Load the shadows too that are not loaded yet; otherwise they are awaited, so that what decides
            waits for none of them.
    """
    runtimes: Runtimes = {
        _runtime_key(variant.spec): variant.runtime for loaded in before.routes.values() for variant in loaded.variants
    }
    runtimes |= {_runtime_key(model.spec): model.runtime for model in before.bare.values()}
    for name, route in table.endpoints.items():  # what is redacted from now on waits for no model to load
        for variant in before.routes[name].loaded if name in before.routes else ():
            variant.log_by(_policy_of(route, variant, table))
    serving = Serving(table.epoch, numbers=table.numbers)
    for name, route in sorted(table.endpoints.items(), key=_members_first):
        error = contain(_load_route, route, runtimes, load_model, make_router, serving, load_shadows=load_shadows)
        if error is not None:
            serving.failures[name] = _told(error)
            if name in before.routes:
                serving.routes[name] = before.routes[name]
            if name in before.bare:
                serving.bare[name] = before.bare[name]
    routers = (loaded.router for loaded in serving.routes.values())
    serving.learners.extend(router for router in routers if not isinstance(router, HashRouter))
    return serving


Runtimes = dict[tuple[str, str, int, bool], Runtime | TensorRuntime]
"""What is loaded, by digest, that of its calibration, number of features (a bare model has none), and whether it
computes in the shadow."""


def _runtime_key(spec: Variant) -> tuple[str, str, int, bool]:
    # A shadow computes in a thread of its own, and runtimes need not bear two threads.
    return spec.artifact.digest, spec.artifact.calibration, len(spec.signature.inputs), spec.role == "shadow"


def _load_route(
    route: EndpointRoute, runtimes: Runtimes, load_model: LoadModel, make_router: RouterMaker[LoadedVariant],
    serving: Serving, *, load_shadows: bool,
) -> None:  # fmt: skip
    loaded: list[LoadedVariant] = []

    def load(spec: Variant) -> None:
        key = _runtime_key(spec)
        if key not in runtimes:
            runtimes[key] = load_model(spec)
        runtime = runtimes[key]
        if isinstance(runtime, TensorRuntime):
            serving.bare[route.endpoint] = BareModel(route, spec, runtime)
            return
        loaded.append(LoadedVariant(route, spec, runtime))

    for spec in route.variants:
        if spec.ensemble is not None:
            loaded.append(_load_ensemble(route, spec, serving))
        elif spec.role != "shadow":
            load(spec)
        elif not load_shadows and _runtime_key(spec) not in runtimes:
            serving.awaited.append(route.endpoint)
            route = _without(route, spec)
        elif (error := contain(load, spec)) is not None:  # what decides goes on without what does not
            serving.left_out[route.endpoint] = f"version {spec.version} of model {spec.model!r}: {_told(error)}"
            route = _without(route, spec)
    if loaded:
        serving.routes[route.endpoint] = LoadedRoute(route, loaded, make_router)


def _without(route: EndpointRoute, variant: Variant) -> EndpointRoute:
    return msgspec.structs.replace(route, variants=tuple(one for one in route.variants if one is not variant))


def _told(error: Exception) -> str:
    return error.message if isinstance(error, FalajError) else f"{type(error).__name__}: {error}"


def _policy_of(route: EndpointRoute, variant: LoadedVariant, table: RoutingTable) -> PredictionPolicy:
    """Return what a variant that stays logs by: of an ensemble, what every member's endpoint says, then and now."""
    if variant.ensemble is None:
        return route.prediction_log
    members = [table.endpoints[name] for name in variant.ensemble.endpoints if name in table.endpoints]
    return PredictionPolicy.strictest(
        [variant.route.prediction_log, route.prediction_log, *(one.prediction_log for one in members)]
    )


def _members_first(item: tuple[str, EndpointRoute]) -> bool:
    return any(variant.ensemble is not None for variant in item[1].variants)


def _load_ensemble(route: EndpointRoute, spec: Variant, serving: Serving) -> LoadedEnsemble:
    assert spec.ensemble is not None
    members: dict[str, LoadedRoute] = {}
    for name in spec.ensemble.endpoints:
        found = serving.routes.get(name)
        if found is None:
            raise Unavailable(f"its member {name!r} does not serve", hint=f"deploy it: falaj deploy {name}")
        if any(variant.ensemble is not None for variant in found.variants):
            raise CorruptionError(f"its member {name!r} is an ensemble itself", hint="publish its routing again")
        if any(variant.aside for variant in found.live):
            raise Unsupported(f"its member {name!r} is a Python model, for which a batch of others cannot wait")
        members[name] = found
    if spec.role == "shadow":
        raise CorruptionError("an ensemble cannot compute in the shadow", hint="publish its routing again")
    return LoadedEnsemble(route, spec, members)
