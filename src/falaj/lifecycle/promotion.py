"""Promotion: from a version whose gate passed to the traffic of an endpoint, through somebody else's approval.

    wanted ──(approved)──► staging ──► rollout ──(promoted)──► production
                                          └──(aborted, rolled back)──► development

A wish is a row: it waits for its approval without a process, and a reconciler begins its rollout when it comes.
"""

import logging
from datetime import datetime

import msgspec
import sqlalchemy as sa

from falaj.definitions.endpoint import Endpoint
from falaj.governance.access import EVERYTHING, SYSTEM, Actor, authorise
from falaj.kernel.duration import duration_us
from falaj.kernel.errors import Conflict, FalajError
from falaj.lifecycle.alignment import align_stages
from falaj.lifecycle.approving import ask_for_approval, is_approved, is_rejected, refuse_rejected, whom_it_waits_for
from falaj.lifecycle.bare_models import begin_bare
from falaj.lifecycle.candidate import variant_of
from falaj.lifecycle.catch_up import catch_up
from falaj.lifecycle.counts import read_counts
from falaj.lifecycle.each import for_each
from falaj.lifecycle.hindrances import hindrance
from falaj.lifecycle.outdated import refuse_outdated
from falaj.lifecycle.plan import misfit
from falaj.lifecycle.promoted import KEPT_BACK, WAITS, Promoted
from falaj.lifecycle.publication import publish_snapshots
from falaj.lifecycle.rooms import Rooms
from falaj.lifecycle.wishes import Wish, forget, fulfil, wish, wishes, withdraw_wishes
from falaj.models.stages import Stage, is_blessed
from falaj.models.version import ModelVersion
from falaj.rollout import rollouts, table
from falaj.rollout.deploy import deploy, withdraw
from falaj.rollout.reconcile import reconcile
from falaj.rollout.rollback import roll_back
from falaj.rollout.rollouts import Rollout

log = logging.getLogger("falaj.promotion")


def deploy_version(rooms: Rooms, endpoint: Endpoint, version: int | None, actor: Actor) -> Promoted:
    """Roll a version out, or note the wish if it still needs an approval.

    Args:
        rooms: The project.
        endpoint: Where to.
        version: Its number; None for the newest whose gate passed.
        actor: Who wants it.

    Raises:
        AccessDenied: The actor may not do `endpoint.deploy` there.
        NotFound: There is no such version.
        Conflict: Its gate did not pass or compared it with another version than is in production, its features cannot
            be computed, it was refused, it serves already, or a rollout runs.
    """
    authorise(actor, "endpoint.deploy", endpoint.name)  # before a wish is noted, which is carried out as Falaj's own
    found = _chosen(rooms, endpoint, version)
    _refuse_removed(rooms, found)
    if not is_blessed(found, rooms.definitions.policy_of(found.model)):
        raise Conflict(
            f"version {found.version} of model {found.model!r} may not move: its gate is {found.gate_outcome}",
            hint=f"read why: falaj models show {found.model} {found.version} --gate",
        )
    refuse_misfit(rooms, found)
    refuse_outdated(rooms, found)
    if not is_approved(rooms, found):
        refuse_rejected(rooms, found)
        ask_for_approval(rooms, found, f"to serve {endpoint.name}")
        wish(rooms, endpoint.name, found, actor)
        return Promoted(
            endpoint.name,
            found.version,
            WAITS,
            whom_it_waits_for(rooms, found),
        )
    # The wish holds the version in staging until its rollout stands, whatever reconciler passes in between.
    with rooms.promoting:
        _refuse_busy(rooms, endpoint.name, found)
        wish(rooms, endpoint.name, found, actor)
        refuse_misfit(rooms, found)  # an apply may have come in between, or a removal
        _refuse_removed(rooms, found)
        why = _not_staged(rooms, endpoint, found, actor) or hindrance(rooms, endpoint, found)
        if why:
            return Promoted(endpoint.name, found.version, KEPT_BACK, f"{why}; then it begins by itself")
        return _begin(rooms, endpoint, found, actor)


def roll_back_endpoint(rooms: Rooms, endpoint: str, actor: Actor, reason: str) -> Rollout:
    """Return an endpoint to what served before, and production to its previous holder, now.

    Raises:
        NotFound: Nothing serves there.
        Conflict: Nothing served before, or what did was removed.
    """

    def within(connection: sa.Connection) -> None:
        withdraw_wishes(connection, endpoint)
        route = table.require_route(connection, endpoint)
        for variant in route.variants:
            if variant.ensemble is None and rooms.registry.get(variant.model, variant.version).removed:
                raise Conflict(
                    f"version {variant.version}, which served endpoint {endpoint!r} before, was removed",
                    hint="deploy another version instead",
                )

    undone = roll_back(
        rooms.db,
        rooms.clock,
        actor,
        endpoint,
        publish=lambda: publish_snapshots(rooms),
        reason=reason,
        within=within,
    )
    align_stages(rooms)
    return undone


def withdraw_endpoint(rooms: Rooms, endpoint: str, actor: Actor) -> None:
    """Stop serving an endpoint, whatever was on its way there.

    Raises:
        NotFound: Nothing serves there.
    """
    withdraw(
        rooms.db,
        rooms.clock,
        actor,
        endpoint,
        publish=lambda: publish_snapshots(rooms),
        within=lambda connection: withdraw_wishes(connection, endpoint),
    )
    align_stages(rooms)


class Rollouts:
    """Reconciler: judges running rollouts, and keeps stages in line with traffic.

    It never waits for features to be computed, so that an abort is never late.

    Args:
        rooms: The project.
    """

    name = "rollouts"

    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms

    def run_pass(self, now: datetime) -> bool:
        """Do one pass."""
        del now
        rooms = self._rooms
        verdicts = reconcile(
            rooms.db,
            rooms.clock,
            lambda endpoint: read_counts(rooms, endpoint),
            lambda: publish_snapshots(rooms),
        )
        align_stages(rooms)
        return any(verdict.outcome != "INCONCLUSIVE" for verdict in verdicts)


class Promotions:
    """Reconciler: begins wished rollouts once they are approved.

    Args:
        rooms: The project.
    """

    name = "promotions"

    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms

    def run_pass(self, now: datetime) -> bool:
        """Do one pass."""
        del now
        return begin_wished(self._rooms)


def begin_wished(rooms: Rooms, only: ModelVersion | None = None) -> bool:
    """Begin the rollouts whose approval has come, and forget the wishes that were refused.

    Args:
        rooms: The project.
        only: Look at wishes for this version alone.

    Returns:
        Whether any began.

    Raises:
        FalajError: The first that kept a rollout from beginning; the others were begun all the same.
    """
    with rooms.db.read() as connection:
        found = wishes(connection)
    if only is not None:
        found = [one for one in found if (one.model, one.version) == (only.model, only.version)]
    return for_each(found, lambda one: _consider(rooms, one))


def _consider(rooms: Rooms, one: Wish) -> bool:
    try:
        return _begin_or_forget(rooms, one)
    except FalajError as error:
        log.error("version %s of %s cannot begin on %s: %s", one.version, one.model, one.endpoint, error)
        raise


def _begin_or_forget(rooms: Rooms, one: Wish) -> bool:
    version = rooms.registry.get(one.model, one.version)
    endpoint = rooms.definitions.endpoints.get(one.endpoint)
    if is_rejected(rooms, version) or version.removed:
        forget(rooms, one)
    elif version.tensors is not None:
        return begin_bare(rooms, one)
    elif endpoint is None or endpoint.model.name != one.model:
        forget(rooms, one)
    elif is_approved(rooms, version):
        with rooms.promoting:
            return _try_to_begin(rooms, endpoint, version)
    return False


def _try_to_begin(rooms: Rooms, endpoint: Endpoint, version: ModelVersion) -> bool:
    one = Wish(endpoint.name, version.model, version.version)
    try:
        _refuse_busy(rooms, endpoint.name, version)
    except Conflict:
        # Another rollout runs there: the wish stays until it has ended; if this version serves, it is met.
        if _serves(rooms, endpoint.name, version):
            forget(rooms, one)
        return False
    with rooms.db.read() as connection:
        if one not in wishes(connection):  # somebody may have begun it, or withdrawn the wish, since it was read
            return False
    refuse_misfit(rooms, version)
    _refuse_removed(rooms, version)
    if _not_staged(rooms, endpoint, version, SYSTEM) or hindrance(rooms, endpoint, version):
        return False
    _begin(rooms, endpoint, version, SYSTEM)
    return True


def _not_staged(rooms: Rooms, endpoint: Endpoint, version: ModelVersion, actor: Actor) -> str:
    """Bring a version to staging, and return why it is not there: a model has one version that soaks at a time."""
    if rooms.registry.stage_of(version.model, version.version) in (Stage.STAGING, Stage.PRODUCTION):
        return ""
    held = rooms.registry.holder(version.model, Stage.STAGING)
    if held is not None and duration_us(rooms.definitions.policy_of(version.model).soak):
        with rooms.db.read() as connection:
            first = [one for one in wishes(connection) if (one.model, one.version) == (held.model, held.version)]
        if any(one.endpoint != endpoint.name for one in first):
            return f"version {held.version} stands in staging for endpoint {first[0].endpoint!r} first"
    # Whoever may deploy may have the version staged for it: a token's scope need not name that too.
    by = msgspec.structs.replace(actor, scopes=EVERYTHING)
    policy = rooms.definitions.policy_of(version.model)
    rooms.registry.transition(version.model, version.version, Stage.STAGING, by, policy=policy)
    return ""


def _begin(rooms: Rooms, endpoint: Endpoint, version: ModelVersion, actor: Actor) -> Promoted:
    # Its features are brought up before the first request can reach it: a canary must not be judged on nulls.
    for source in sorted({view.source for view in version.service.views} if version.service else ()):
        catch_up(rooms, source)
    rollout = deploy(
        rooms.db,
        rooms.clock,
        rooms.new_id,
        actor,
        endpoint.name,
        variant_of(version),
        plan=endpoint.rollout,
        read_counts=lambda name: read_counts(rooms, name, version.version),
        publish=lambda: publish_snapshots(rooms),
        defaults=endpoint.defaults,
        options=endpoint.options,
        within=lambda connection: fulfil(connection, Wish(endpoint.name, version.model, version.version)),
    )
    if rollout.status == "promoted":
        align_stages(rooms)
        return Promoted(endpoint.name, version.version, "serves", rollout.reason)
    steps = " -> ".join(f"{step} %" for step in endpoint.rollout.steps)
    return Promoted(endpoint.name, version.version, "rolling out", f"canary {steps}, {endpoint.rollout.bake} each")


def _refuse_busy(rooms: Rooms, endpoint: str, version: ModelVersion) -> None:
    with rooms.db.read() as connection:
        running = rollouts.find(connection, endpoint, "running")
    if running is not None:
        raise Conflict(
            f"version {running.candidate.version} is being rolled out on endpoint {endpoint!r}",
            hint=f"wait for it, or end it: falaj rollback {endpoint}",
        )
    if _serves(rooms, endpoint, version):
        raise Conflict(f"version {version.version} serves endpoint {endpoint!r} already", hint="deploy another version")


def refuse_misfit(rooms: Rooms, version: ModelVersion) -> None:
    """Raise if the version's pinned features cannot be computed: what it reads may have changed while nobody did.

    Raises:
        Conflict: They cannot; what is missing is said.
    """
    why = misfit(version.service, rooms.applied.document.schemas) if version.service else ""
    if why:
        raise Conflict(
            f"version {version.version} of model {version.model!r} cannot be computed: {why}",
            hint=f"bring the source back, or train another version: falaj train {version.model}",
        )


def _refuse_removed(rooms: Rooms, version: ModelVersion) -> None:
    if rooms.registry.get(version.model, version.version).removed:
        raise Conflict(f"version {version.version} of model {version.model!r} was removed", hint="train another one")


def _chosen(rooms: Rooms, endpoint: Endpoint, version: int | None) -> ModelVersion:
    model = endpoint.model.name
    if version is not None:
        return rooms.registry.get(model, version)
    policy = rooms.definitions.policy_of(model)
    passed = [v for v in rooms.registry.versions(model) if is_blessed(v, policy) and not v.removed]
    if not passed:
        raise Conflict(f"no version of model {model!r} has passed its gate", hint=f"train one: falaj train {model}")
    return passed[0]


def _serves(rooms: Rooms, endpoint: str, version: ModelVersion) -> bool:
    with rooms.db.read() as connection:
        route = table.current_route(connection, endpoint)
    live = [variant for variant in route.variants if variant.role == "live"] if route is not None else []
    return any(variant.subject == version.subject for variant in live)
