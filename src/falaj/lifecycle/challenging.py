"""Challenging: a version in the shadow that has shown to be better is proposed in place of what decides.

    in the shadow ──(better, at every look)──► proposed ──(approved)──► rollout

A proposal is a wish like any other: nobody is answered by the version before somebody has approved it, unless the
policy needs nobody.
"""

from datetime import datetime

import sqlalchemy as sa

from falaj.data.prediction_table import FEEDBACK
from falaj.definitions.challenger import Challenger
from falaj.definitions.endpoint import Endpoint
from falaj.definitions.routing_table import EndpointRoute
from falaj.definitions.verdict import Outcome, Verdict
from falaj.governance.access import SYSTEM
from falaj.kernel.clock import to_us
from falaj.kernel.codec import to_builtins
from falaj.lifecycle.approving import ask_for_approval, is_approved, is_rejected
from falaj.lifecycle.each import for_each
from falaj.lifecycle.rooms import Rooms
from falaj.lifecycle.shadowing import compare_shadow
from falaj.lifecycle.watching import champion_of
from falaj.lifecycle.wishes import Wish, wish, wishes
from falaj.models.stages import is_blessed
from falaj.models.version import ModelVersion
from falaj.monitoring.alerts import Alert, tell
from falaj.monitoring.paired import Paired
from falaj.monitoring.verdicts import keep, latest_verdicts
from falaj.rollout import rollouts, table
from falaj.rollout.shadow import latest_span, shadow_of

KIND = "challenger"


class Challenging:
    """Reconciler: holds each endpoint's challenger against its champion when outcomes came, and proposes it.

    Args:
        rooms: The project.
    """

    name = "challengers"

    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms
        self._seen: dict[str, tuple[object, ...]] = {}

    def run_pass(self, now: datetime) -> bool:
        """Do one pass."""
        with self._rooms.db.read() as connection:
            routes = table.current_routes(connection)
        named = self._rooms.definitions.endpoints.values()
        wanted = [one for one in named if one.challenger is not None and one.name in routes]
        return for_each(wanted, lambda endpoint: self._look(endpoint, routes[endpoint.name], to_us(now)))

    def _look(self, endpoint: Endpoint, route: EndpointRoute, now_us: int) -> bool:
        """Compare anew where outcomes came, or what is compared became another."""
        shadow = shadow_of(route)
        if shadow is None or endpoint.challenger is None:
            return False
        seen = (
            endpoint.challenger,
            shadow.subject,
            champion_of(route).subject,
            self._rooms.tables.version(FEEDBACK),
            _in_its_way(self._rooms, endpoint.name, shadow.version),
        )
        if self._seen.get(endpoint.name) == seen:
            return False
        kept = challenge(self._rooms, endpoint, route, now_us)
        self._seen[endpoint.name] = seen
        return kept


def challenge(rooms: Rooms, endpoint: Endpoint, route: EndpointRoute, now_us: int) -> bool:
    """Compare an endpoint's shadow with its champion, and propose it where it has shown to be better.

    Args:
        rooms: The project.
        endpoint: Its definition, which has a challenger.
        route: What serves, with a shadow.
        now_us: The present, in microseconds.

    Returns:
        Whether what was found is news.
    """
    champion, wanted = champion_of(route), endpoint.challenger
    assert wanted is not None
    with rooms.db.read() as connection:
        span = latest_span(connection, endpoint.name)
    beside, cut = compare_shadow(rooms, endpoint, span)
    mine = [one for one in beside if (one.model, one.version) == (champion.model, champion.version)]
    paired = mine[0].comparison.paired if mine else None
    version = rooms.registry.get(span.variant.model, span.variant.version)
    outcome, reason = _judged(wanted, paired, version, champion.version, cut=cut)
    evidence = {
        "champion": champion.subject,
        "paired": to_builtins(paired),
        "asked": to_builtins(wanted),
        "in_its_way": _in_its_way(rooms, endpoint.name, version.version),
    }
    verdict = Verdict(KIND, endpoint.name, outcome, reason, evidence, now_us, version.subject)
    if _is_told(rooms, verdict):
        return False
    proposed = _propose(rooms, endpoint.name, version, reason) if outcome == "PASS" else ""
    with rooms.db.write() as connection:
        keep(connection, verdict)
        if outcome == "PASS":
            told = f"{reason}: {proposed or 'it is proposed in its place'}"
            tell(connection, Alert(KIND, "info", endpoint.name, told, evidence, now_us))
    return True


def is_proven(connection: sa.Connection, one: Wish) -> bool:
    """Return whether a version that is wanted at an endpoint has shown, as its challenger, to be better.

    Args:
        connection: To the metadata database.
        one: The wish.
    """
    found = latest_verdicts(connection, kind=KIND, subject=one.endpoint, version=f"{one.model}/{one.version}")
    return bool(found) and found[0].verdict.outcome == "PASS"


def _judged(
    wanted: Challenger, paired: Paired | None, version: ModelVersion, champion: int, *, cut: bool
) -> tuple[Outcome, str]:
    if cut:
        return "INCONCLUSIVE", "there are more pairs than are looked at, and an interval of the newest does not hold"
    if paired is None or paired.outcomes < wanted.min_outcomes:
        found = 0 if paired is None else paired.outcomes
        return "INCONCLUSIVE", f"{found} outcomes, and min_outcomes = {wanted.min_outcomes}"
    less = paired.less
    about = (
        f"version {version.version} loses less than version {champion} by {less.value:.4f} "
        f"[{less.lower:.4f}, {less.upper:.4f}] in {wanted.by} on {paired.outcomes:,} outcomes"
    )
    if less.lower > wanted.margin:
        return "PASS", about
    if less.upper < wanted.margin:
        return "FAIL", f"{about}, which is not more than {wanted.margin:g}"
    return "INCONCLUSIVE", f"{about}, and more than {wanted.margin:g} is not proven"


def _is_told(rooms: Rooms, now: Verdict) -> bool:
    """Return whether the last finding about the same two says the same; what is proven stays so, and is told once.

    It is told again where it could not be proposed because another version was wanted, and none is any more.
    """
    with rooms.db.read() as connection:
        last = latest_verdicts(connection, kind=KIND, subject=now.subject, version=now.version)
    if not last or last[0].verdict.evidence["champion"] != now.evidence["champion"]:
        return False
    before = last[0].verdict
    same = before.evidence["asked"] == now.evidence["asked"]
    if before.outcome == "PASS":
        freed = before.evidence.get("in_its_way") is not None and now.evidence["in_its_way"] is None
        return same and not freed
    return same and (before.outcome, before.evidence["paired"]) == (now.outcome, now.evidence["paired"])


def _in_its_way(rooms: Rooms, endpoint: str, version: int) -> int | None:
    """Return the other version that is wanted at an endpoint; None where none is."""
    with rooms.db.read() as connection:
        others = [one.version for one in wishes(connection) if one.endpoint == endpoint and one.version != version]
    return others[0] if others else None


def _propose(rooms: Rooms, endpoint: str, version: ModelVersion, reason: str) -> str:
    """Wish for the version's rollout, and ask for its approval; return why not, as one sentence."""
    if not is_blessed(version, rooms.definitions.policy_of(version.model)):
        return f"it is not proposed, since its gate is {version.gate_outcome}"
    if is_rejected(rooms, version):
        return "it is not proposed, since somebody refused it"
    with rooms.db.read() as connection:
        past = [one.candidate for one in rollouts.history(connection, endpoint)]
    other = _in_its_way(rooms, endpoint, version.version)
    if any(one.subject == version.subject for one in past):
        return "it is not proposed, since it was rolled out here before"
    if other is not None:
        return f"it is not proposed yet, since version {other} is wanted there"
    wish(rooms, endpoint, version, SYSTEM)
    if not is_approved(rooms, version):
        ask_for_approval(rooms, version, reason)
    return ""
