"""Promotion: from a version whose gate passed to the traffic of an endpoint, through somebody else's approval.

    wanted ──(approved)──► staging ──► rollout ──(promoted)──► production
                                          └──(aborted, rolled back)──► development

A wish is a row: it waits for its approval without a process, and the reconciler below begins when it comes.
"""

from datetime import datetime

import sqlalchemy as sa

from falaj.definitions.endpoint import Endpoint
from falaj.definitions.routing_table import Variant
from falaj.governance.access import SYSTEM, Actor
from falaj.governance.approvals import ApprovalState
from falaj.governance.audit import audited
from falaj.kernel.clock import to_us
from falaj.kernel.errors import Conflict
from falaj.lifecycle.catch_up import catch_up
from falaj.lifecycle.counts import read_counts
from falaj.lifecycle.promoted import Promoted
from falaj.lifecycle.publication import publish_snapshots
from falaj.lifecycle.rooms import Rooms
from falaj.models.gate_report import Outcome
from falaj.models.stages import Stage
from falaj.models.version import ModelVersion
from falaj.monitoring.alerts import resolve_alert
from falaj.rollout import rollouts, table
from falaj.rollout.deploy import CANDIDATE, deploy
from falaj.rollout.reconcile import reconcile
from falaj.rollout.rollback import roll_back
from falaj.rollout.rollouts import Rollout
from falaj.storage.metadata.schema import metadata

WISH = sa.Table(
    "promotion_wish",
    metadata,
    sa.Column("endpoint", sa.String, primary_key=True),
    sa.Column("model", sa.String, nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("actor", sa.String, nullable=False),
    sa.Column("at", sa.BigInteger, nullable=False),
)


def deploy_version(rooms: Rooms, endpoint: Endpoint, version: int | None, actor: Actor) -> Promoted:
    """Roll a version out, or note the wish if it still needs an approval.

    Args:
        rooms: The project.
        endpoint: Where to.
        version: Its number; None for the newest whose gate passed.
        actor: Who wants it; already authorised.

    Raises:
        NotFound: There is no such version.
        Conflict: Its gate did not pass, it was refused, it serves already, or a rollout runs.
    """
    found = _chosen(rooms, endpoint, version)
    if found.gate_outcome is not Outcome.PASS:
        raise Conflict(
            f"version {found.version} of model {found.model!r} may not move: its gate is {found.gate_outcome}",
            hint=f"read why: falaj models show {found.model} {found.version} --gate",
        )
    if not _is_approved(rooms, found):
        _refuse_rejected(rooms, found)
        rooms.approvals.request("model", found.subject, _asker(rooms, found), reason=f"to serve {endpoint.name}")
        wish(rooms, endpoint.name, found, actor)
        return Promoted(
            endpoint.name,
            found.version,
            "waits for approval",
            f"somebody other than {found.actor} approves it: falaj approve {found.model} {found.version}",
        )
    # The wish holds the version in staging until its rollout stands, whatever reconciler passes in between.
    with rooms.promoting:
        _refuse_busy(rooms, endpoint.name, found)
        wish(rooms, endpoint.name, found, actor)
        return _begin(rooms, endpoint, found, actor)


def wish(rooms: Rooms, endpoint: str, version: ModelVersion, actor: Actor) -> None:
    """Note that a version is to be rolled out once it is approved; a newer wish replaces an older one."""
    row = {"model": version.model, "version": version.version, "actor": actor.name}
    with audited(rooms.db, rooms.clock, actor, "endpoint.wish", endpoint, dict(row)) as connection:
        connection.execute(WISH.delete().where(WISH.c.endpoint == endpoint))
        connection.execute(WISH.insert().values(endpoint=endpoint, at=to_us(rooms.clock.now()), **row))


def roll_back_endpoint(rooms: Rooms, endpoint: str, actor: Actor, reason: str) -> Rollout:
    """Return an endpoint to what served before, and production to its previous holder, now.

    Raises:
        NotFound: Nothing serves there.
        Conflict: Nothing served before.
    """
    undone = roll_back(rooms.db, rooms.clock, actor, endpoint, publish=lambda: publish_snapshots(rooms), reason=reason)
    with rooms.db.write() as connection:
        connection.execute(WISH.delete().where(WISH.c.endpoint == endpoint))
    align_stages(rooms, endpoint)
    return undone


class Promotions:
    """Reconciler: begins wished rollouts once approved, judges running ones, and keeps stages in line with traffic.

    Args:
        rooms: The project.
    """

    name = "promotions"

    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms

    def run_pass(self, now: datetime) -> bool:
        """Do one pass."""
        del now
        rooms = self._rooms
        began = begin_wished(rooms)
        verdicts = reconcile(
            rooms.db,
            rooms.clock,
            lambda endpoint: read_counts(rooms, endpoint),
            lambda: publish_snapshots(rooms),
        )
        for endpoint in rooms.definitions.endpoints:
            align_stages(rooms, endpoint)
        return began or any(verdict.outcome != "INCONCLUSIVE" for verdict in verdicts)


def begin_wished(rooms: Rooms) -> bool:
    """Begin the rollouts whose approval has come, and forget the wishes that were refused; return whether any began."""
    with rooms.db.read() as connection:
        wishes = connection.execute(sa.select(WISH)).all()
    began = False
    for row in wishes:
        version = rooms.registry.get(row.model, row.version)
        endpoint = rooms.definitions.endpoints.get(row.endpoint)
        if endpoint is None or _is_rejected(rooms, version):
            _forget(rooms, row.endpoint, row.version)
        elif _is_approved(rooms, version):
            with rooms.promoting:
                began = _try_to_begin(rooms, endpoint, version) or began
    return began


def _try_to_begin(rooms: Rooms, endpoint: Endpoint, version: ModelVersion) -> bool:
    try:
        _refuse_busy(rooms, endpoint.name, version)
    except Conflict:
        # Another rollout runs there: the wish stays until it has ended; if this version serves, it is met.
        if _serves(rooms, endpoint.name, version):
            _forget(rooms, endpoint.name, version.version)
        return False
    if _wished(rooms, version):  # somebody may have begun it, or withdrawn the wish, since it was read
        _begin(rooms, endpoint, version, SYSTEM)
        return True
    return False


def align_stages(rooms: Rooms, endpoint: str) -> None:
    """Bring the registry's stages in line with what an endpoint routes; repairs what a crash left between the two."""
    with rooms.db.read() as connection:
        route = table.current_route(connection, endpoint)
        running = rollouts.find(connection, endpoint, "running")
    if route is None or running is not None:
        return
    live = [variant for variant in route.variants if variant.role == "live" and variant.weight == table.WHOLE]
    if len(live) != 1:
        return
    model, version = live[0].model, live[0].version
    if rooms.registry.stage_of(model, version) is not Stage.PRODUCTION:
        _make_production(rooms, model, version)
        with rooms.db.write() as connection:
            # What the version before it did says nothing of this one: its own windows judge anew.
            reason = f"version {version} serves now"
            resolve_alert(connection, "drift", endpoint, reason, to_us(rooms.clock.now()))
    staged = rooms.registry.holder(model, Stage.STAGING)
    if staged is not None and not _wished(rooms, staged):
        reason = "its rollout ended without promotion"
        rooms.registry.transition(model, staged.version, Stage.DEVELOPMENT, SYSTEM, reason=reason)


def _make_production(rooms: Rooms, model: str, version: int) -> None:
    holder = rooms.registry.holder(model, Stage.PRODUCTION)
    if holder is not None:
        entered = [m for m in rooms.registry.history(model, holder.version) if m.to_stage is Stage.PRODUCTION]
        if entered and entered[-1].previous_holder == version:
            rooms.registry.rollback(model, SYSTEM, reason="the endpoint was rolled back")
            return
    policy = rooms.definitions.policy
    if rooms.registry.stage_of(model, version) is not Stage.STAGING:
        rooms.registry.transition(model, version, Stage.STAGING, SYSTEM, policy=policy, reason="it serves")
    rooms.registry.transition(model, version, Stage.PRODUCTION, SYSTEM, policy=policy, reason="its rollout ended well")


def _begin(rooms: Rooms, endpoint: Endpoint, version: ModelVersion, actor: Actor) -> Promoted:
    policy = rooms.definitions.policy
    if rooms.registry.stage_of(version.model, version.version) not in (Stage.STAGING, Stage.PRODUCTION):
        rooms.registry.transition(version.model, version.version, Stage.STAGING, actor, policy=policy)
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
        read_counts=lambda name: read_counts(rooms, name),
        publish=lambda: publish_snapshots(rooms),
        defaults=endpoint.defaults,
    )
    _forget(rooms, endpoint.name, version.version)
    if rollout.status == "promoted":
        align_stages(rooms, endpoint.name)
        return Promoted(endpoint.name, version.version, "serves", rollout.reason)
    steps = " -> ".join(f"{step} %" for step in endpoint.rollout.steps)
    return Promoted(endpoint.name, version.version, "rolling out", f"canary {steps}, {endpoint.rollout.bake} each")


def variant_of(version: ModelVersion) -> Variant:
    """Return a version as a variant; the rollout sets its name and weight."""
    return Variant(
        CANDIDATE,
        version.model,
        version.version,
        0,
        "live",
        version.artifact,
        version.signature,
        version.service,
    )


def _refuse_busy(rooms: Rooms, endpoint: str, version: ModelVersion) -> None:
    with rooms.db.read() as connection:
        route = table.current_route(connection, endpoint)
        running = rollouts.find(connection, endpoint, "running")
    if running is not None:
        raise Conflict(
            f"version {running.candidate.version} is being rolled out on endpoint {endpoint!r}",
            hint=f"wait for it, or end it: falaj rollback {endpoint}",
        )
    if route is not None and any((v.model, v.version) == (version.model, version.version) for v in route.variants):
        raise Conflict(f"version {version.version} serves endpoint {endpoint!r} already", hint="deploy another version")


def _chosen(rooms: Rooms, endpoint: Endpoint, version: int | None) -> ModelVersion:
    model = endpoint.model.name
    if version is not None:
        return rooms.registry.get(model, version)
    passed = [v for v in rooms.registry.versions(model) if v.gate_outcome is Outcome.PASS]
    if not passed:
        raise Conflict(f"no version of model {model!r} has passed its gate", hint=f"train one: falaj train {model}")
    return passed[0]


def _is_approved(rooms: Rooms, version: ModelVersion) -> bool:
    policy = rooms.definitions.policy
    if policy.auto_promote:
        return True
    granted = rooms.approvals.find(kind="model", subject=version.subject, state=ApprovalState.APPROVED)
    others = {approval.decided_by for approval in granted} - {version.actor}
    return len(others) >= policy.approvals


def _is_rejected(rooms: Rooms, version: ModelVersion) -> bool:
    newest = rooms.approvals.find(kind="model", subject=version.subject)
    return bool(newest) and newest[0].state is ApprovalState.REJECTED


def _refuse_rejected(rooms: Rooms, version: ModelVersion) -> None:
    if _is_rejected(rooms, version):
        newest = rooms.approvals.find(kind="model", subject=version.subject)[0]
        raise Conflict(
            f"version {version.version} of model {version.model!r} was refused by {newest.decided_by}: "
            f"{newest.comment or 'no comment'}",
            hint="train another one",
        )


def _asker(rooms: Rooms, version: ModelVersion) -> Actor:
    """Return the version's own actor, who therefore may not approve it."""
    known = {one.name: one for one in rooms.actors.list()}
    asker = known.get(version.actor)
    return SYSTEM if asker is None else Actor(asker.name, asker.role)


def _serves(rooms: Rooms, endpoint: str, version: ModelVersion) -> bool:
    with rooms.db.read() as connection:
        route = table.current_route(connection, endpoint)
    return route is not None and any((v.model, v.version) == (version.model, version.version) for v in route.variants)


def _wished(rooms: Rooms, version: ModelVersion) -> bool:
    with rooms.db.read() as connection:
        found = connection.execute(
            sa.select(WISH.c.endpoint).where(WISH.c.model == version.model, WISH.c.version == version.version)
        ).first()
    return found is not None


def _forget(rooms: Rooms, endpoint: str, version: int) -> None:
    with rooms.db.write() as connection:
        connection.execute(WISH.delete().where(WISH.c.endpoint == endpoint, WISH.c.version == version))
