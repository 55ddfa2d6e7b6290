"""Plan: what applying the files would add, change and remove, and what that does to what serves."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

import msgspec

from falaj.definitions.difference import differences
from falaj.definitions.endpoint import Endpoint
from falaj.definitions.project import Definitions, describe, digest_of
from falaj.definitions.service_spec import ServiceSpec
from falaj.kernel.errors import InUse


class Serving(msgspec.Struct, frozen=True):
    """A version that staging or production uses.

    Attributes:
        model: The model's name.
        version: The version's number.
        stage: Its stage.
        service: The features it pinned.
        endpoints: The endpoints that route to it.
        ensembles: The ensembles that serve and rest on those.
    """

    model: str
    version: int
    stage: str
    service: ServiceSpec
    endpoints: tuple[str, ...] = ()
    ensembles: tuple[str, ...] = ()


class Change(msgspec.Struct, frozen=True):
    """One line of a plan.

    Attributes:
        action: "added", "changed" or "removed".
        kind: The definition's kind.
        name: Its name.
        effect: What it does to what serves, as a sentence; empty when it does nothing.
        refused: Whether applying is refused because of it.
        details: Of a changed definition, a line for each field that differs.
    """

    action: Literal["added", "changed", "removed"]
    kind: str
    name: str
    effect: str = ""
    refused: bool = False
    details: tuple[str, ...] = ()


class Plan(msgspec.Struct, frozen=True):
    """All changes, in the order in which definitions depend on each other.

    Attributes:
        epoch: The applied epoch it was made against.
        changes: The lines.
    """

    epoch: int
    changes: tuple[Change, ...]

    @property
    def empty(self) -> bool:
        """Whether there is nothing to do."""
        return not self.changes

    def refuse(self) -> None:
        """Raise if any change would break what serves.

        Raises:
            InUse: One would; the message names the model version.
        """
        for change in self.changes:
            if change.refused:
                raise InUse(f"{change.action} {change.kind} {change.name!r}: {change.effect}", hint=_HINT)


_HINT = "deploy a version that does not use it first, or keep the definition"


def make_plan(before: Definitions, after: Definitions, *, epoch: int, serving: Sequence[Serving]) -> Plan:
    """Compare two sets of definitions.

    Args:
        before: What is applied.
        after: What the files say.
        epoch: The applied epoch.
        serving: The versions in staging and production.
    """
    changes: list[Change] = []
    old_kinds, new_kinds = before.by_kind(), after.by_kind()
    for kind, new in new_kinds.items():
        old = old_kinds[kind]
        for name in sorted({*old, *new}):
            if name not in old:
                changes.append(Change("added", kind, name, logged(after.endpoints[name]) if kind == "endpoint" else ""))
            elif name not in new:
                changes.append(_removed(kind, name, serving))
            elif digest_of(old[name]) != digest_of(new[name]):
                details = differences(describe(old[name]), describe(new[name]))
                change = _changed(kind, name, before, after, serving)
                changes.append(msgspec.structs.replace(change, details=details))
    return Plan(epoch, tuple(changes))


def refusing_misfits(plan: Plan, serving: Sequence[Serving], schemas: Mapping[str, Mapping[str, str]]) -> Plan:
    """Return the plan that also refuses sources which what serves could not be computed from any more.

    Args:
        plan: What the definitions say.
        serving: The versions in staging and production.
        schemas: Source to column to type, as the files and declarations say now.
    """
    refused = {
        source: Change("changed", "source", source, f"{what} of {_list([one])} reads {dtype}", refused=True)
        for one in reversed(serving)
        for source, what, dtype in _misfits(one.service, schemas)
    }
    kept = [one for one in plan.changes if one.kind != "source" or one.name not in refused]
    return Plan(plan.epoch, (*refused.values(), *kept))


def misfit(service: ServiceSpec, schemas: Mapping[str, Mapping[str, str]]) -> str:
    """Return why a pinned service cannot be computed from the sources as they are; empty where it can."""
    gone = [view.source for view in service.views if view.source not in schemas]
    if gone:
        return f"source {gone[0]!r} is not applied"
    return next((f"{what} reads {dtype}" for _, what, dtype in _misfits(service, schemas)), "")


def _misfits(service: ServiceSpec, schemas: Mapping[str, Mapping[str, str]]) -> Iterator[tuple[str, str, str]]:
    """Yield source, what is wrong, and what is needed; sources that are gone are another matter."""
    for view in service.views:
        schema = schemas.get(view.source)
        if schema is None:
            continue
        identity = [(view.id_column, schema.get(view.id_column, "its identity"))] if view.id_column else []
        for column, dtype in (*view.keys, *view.inputs, *identity):
            if schema.get(column) != dtype:
                yield view.source, f"column {column!r} is {schema.get(column, 'gone')}, and view {view.name!r}", dtype


def _removed(kind: str, name: str, serving: Sequence[Serving]) -> Change:
    users = [s for s in serving if _uses(s, kind, name)]
    if users:
        return Change("removed", kind, name, f"{_list(users)} uses it", refused=True)
    return Change("removed", kind, name)


def _changed(kind: str, name: str, before: Definitions, after: Definitions, serving: Sequence[Serving]) -> Change:
    users = [s for s in serving if _uses(s, kind, name)]
    if kind == "feature_view":
        gone = sorted({*before.feature_views[name].features} - {*after.feature_views[name].features})
        for feature in gone:
            holders = [s for s in users if _uses_feature(s, name, feature)]
            if holders:
                return Change(
                    "changed", kind, name, f"feature {feature!r} is removed; {_list(holders)} uses it", refused=True
                )
        if users:
            return Change("changed", kind, name, f"{_list(users)} keeps the old one; both are kept up to date")
    if kind == "source" and users:
        old, new = before.sources[name], after.sources[name]
        if (old.id, old.timeless) != (new.id, new.timeless):
            what = "its identity column changes" if old.id != new.id else "it gains or loses its time"
            return Change("changed", kind, name, f"{what}; {_list(users)} reads from it", refused=True)
    if users and kind in ("model", "on_demand_view", "feature_service"):
        return Change("changed", kind, name, f"{_list(users)} is untouched; the next training uses it")
    if kind == "endpoint":
        return Change("changed", kind, name, _endpoint_effect(before, after, name, serves=bool(users)))
    if kind == "ensemble" and users:
        return Change("changed", kind, name, f"takes effect when it is deployed: falaj deploy {name}")
    return Change("changed", kind, name)


def _endpoint_effect(before: Definitions, after: Definitions, name: str, *, serves: bool) -> str:
    old, new = before.endpoints[name], after.endpoints[name]
    effects = []
    if old.prediction_log != new.prediction_log:
        effects.append(logged(new) or "every decision is logged in full from now on")
    if serves and digest_of(old) != digest_of(msgspec.structs.replace(new, prediction_log=old.prediction_log)):
        effects.append(f"{'the rest ' if effects else ''}takes effect with the next rollout")
    return "; ".join(effects)


def logged(endpoint: Endpoint) -> str:
    """Return what the prediction log leaves out, and what that costs; empty where it keeps everything."""
    policy = endpoint.prediction_log
    parts = []
    if policy.sample_ratio < 1:
        parts.append(
            f"{100 * policy.sample_ratio:g}% of decisions are logged from now on: the others cannot be explained, "
            "verified or joined with their outcomes"
        )
    for how, word in (("drop", "dropped"), ("hash", "hashed")):
        names = sorted(name for name, one in policy.redact.items() if one == how)
        if names:
            parts.append(f"{', '.join(names)} {'is' if len(names) == 1 else 'are'} {word} in the log from now on")
    if policy.redact:
        parts.append("what depends on it is not verified, and its drift is not watched")
    return "; ".join(parts)


def _uses(version: Serving, kind: str, name: str) -> bool:
    service = version.service
    return {
        "feature_view": any(view.name == name for view in service.views),
        "source": any(view.source == name for view in service.views),
        "on_demand_view": any(view.name == name for view in service.on_demand),
        "feature_service": service.name == name,
        "model": version.model == name,
        "endpoint": name in version.endpoints,
        "ensemble": name in version.ensembles,
        "entity": False,
        "policy": False,
        "pipeline": False,
    }[kind]


def _uses_feature(version: Serving, view: str, feature: str) -> bool:
    return any(v.name == view and any(f.name == feature for f in v.features) for v in version.service.views)


def _list(versions: Sequence[Serving]) -> str:
    return " and ".join(f"{v.stage} model {v.model!r} version {v.version}" for v in versions)
