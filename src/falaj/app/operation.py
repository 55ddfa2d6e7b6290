"""Operation: the one way in. A command and a route name one; it is authorised, then carried out."""

import importlib
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from falaj.governance.access import Actor, authorise, authorise_somewhere
from falaj.kernel.codec import convert, from_json
from falaj.kernel.errors import NotFound
from falaj.kernel.names import did_you_mean


class Operation(NamedTuple):
    """One thing that Falaj does for an actor.

    Attributes:
        action: What the actor must be allowed to do.
        place: `module:function` in `falaj.app.operations`; the function takes the rooms, the actor and its
            parameters, a msgspec Struct whose first field names the resource.
    """

    action: str
    place: str

    def function(self) -> Callable[[Any, Actor, Any], Any]:
        """Import the function."""
        module, name = self.place.split(":")
        function: Callable[[Any, Actor, Any], Any] = getattr(
            importlib.import_module(f"falaj.app.operations.{module}"), name
        )
        return function


OPERATIONS: dict[str, Operation] = {
    "project.plan": Operation("project.plan", "project:plan"),
    "project.apply": Operation("project.apply", "project:apply"),
    "project.status": Operation("project.read", "status:status"),
    "source.ingest": Operation("source.ingest", "source:ingest"),
    "source.push": Operation("source.push", "source:push"),
    "source.list": Operation("source.read", "source:list_sources"),
    "source.quarantine": Operation("source.read", "source:quarantine"),
    "source.replay": Operation("source.replay", "source:replay"),
    "features.materialise": Operation("features.materialise", "features:materialise"),
    "features.verify": Operation("features.verify", "features:verify"),
    "features.consistency": Operation("monitor.read", "consistency:consistency"),
    "features.online": Operation("features.online", "features:online"),
    "features.freshness": Operation("monitor.read", "freshness:freshness"),
    "features.sql": Operation("features.read", "features:sql"),
    "dataset.build": Operation("dataset.build", "dataset:build"),
    "dataset.list": Operation("dataset.read", "dataset:list_datasets"),
    "dataset.show": Operation("dataset.read", "dataset:show"),
    "model.train": Operation("model.train", "model:train"),
    "model.add": Operation("model.register", "model:add"),
    "model.adopt": Operation("model.adopt", "model:adopt"),
    "model.remove": Operation("model.remove", "model:remove"),
    "model.list": Operation("model.read", "model:list_versions"),
    "model.show": Operation("model.read", "model:show"),
    "model.approve": Operation("model.approve", "model:approve"),
    "model.reject": Operation("model.approve", "model:reject"),
    "pipeline.list": Operation("pipeline.read", "pipeline:list_pipelines"),
    "pipeline.export": Operation("pipeline.read", "pipeline:export"),
    "run.start": Operation("run.start", "pipeline:start"),
    "run.call": Operation("run.call", "pipeline:call_step"),
    "run.backfill": Operation("run.start", "pipeline:backfill_runs"),
    "run.output": Operation("run.read", "run_output:output"),
    "run.logs": Operation("run.read", "run:logs"),
    "run.compare": Operation("run.read", "run:compare"),
    "run.list": Operation("run.read", "run:list_runs"),
    "run.show": Operation("run.read", "run:show"),
    "run.cancel": Operation("run.cancel", "run:cancel"),
    "run.resume": Operation("run.resume", "run:resume"),
    "endpoint.predict": Operation("endpoint.predict", "prediction:predict"),
    "endpoint.deploy": Operation("endpoint.deploy", "endpoint:deploy"),
    "endpoint.rollback": Operation("endpoint.rollback", "endpoint:rollback"),
    "endpoint.triggers": Operation("monitor.read", "triggers:show"),
    "endpoint.undeploy": Operation("endpoint.withdraw", "endpoint:undeploy"),
    "shadow.set": Operation("endpoint.shadow", "shadow:set_shadow"),
    "shadow.end": Operation("endpoint.shadow", "shadow:end_shadow"),
    "shadow.show": Operation("monitor.read", "shadow:show"),
    "prediction.why": Operation("prediction.read", "prediction:why"),
    "prediction.unknown": Operation("prediction.read", "prediction:unknown"),
    "prediction.compact": Operation("prediction.compact", "prediction:compact"),
    "monitor.show": Operation("monitor.read", "monitor:show"),
    "monitor.figures": Operation("monitor.read", "figures:figures"),
    "monitor.rules": Operation("monitor.read", "observability:rules"),
    "monitor.dashboards": Operation("monitor.read", "observability:dashboards"),
    "alert.list": Operation("alert.read", "alert:list_alerts"),
    "alert.silence": Operation("alert.silence", "alert:silence"),
    "alert.silences": Operation("alert.read", "alert:list_silences"),
    "alert.unsilence": Operation("alert.silence", "alert:unsilence"),
    "alert.routes": Operation("alert.read", "alert:list_routes"),
    "incident.list": Operation("incident.read", "incident:list_incidents"),
    "incident.show": Operation("incident.read", "incident:show"),
    "incident.acknowledge": Operation("incident.acknowledge", "incident:acknowledge"),
    "incident.comment": Operation("incident.comment", "incident:comment"),
    "incident.resolve": Operation("incident.resolve", "incident:resolve"),
    "incident.post_mortem": Operation("incident.read", "incident:post_mortem"),
    "audit.list": Operation("audit.read", "audit:list_audit"),
    "audit.verify": Operation("audit.read", "audit:verify_audit"),
    "token.create": Operation("token.create", "token:create"),
    "token.list": Operation("token.read", "token:list_tokens"),
    "token.revoke": Operation("token.revoke", "token:revoke"),
}
"""Every operation, by name."""


def perform(rooms: Any, actor: Actor, name: str, params: msgspec.Struct | dict[str, Any] | bytes) -> Any:
    """Authorise and carry out one operation.

    Args:
        rooms: The project's opened rooms.
        actor: Who asks.
        name: The operation's name.
        params: Its parameters: typed, as builtins, or as JSON.

    Returns:
        The operation's result, a msgspec Struct or a list of them.

    Raises:
        NotFound: There is no such operation.
        InputError: The parameters are not of its shape.
        AccessDenied: The actor may not do it.
        FalajError: Whatever the operation raises.
    """
    operation = OPERATIONS.get(name)
    if operation is None:
        raise NotFound(f"operation {name!r} does not exist", hint=did_you_mean(name, OPERATIONS))
    authorise_somewhere(actor, operation.action)
    function = operation.function()
    kind = function.__annotations__["params"]
    if isinstance(params, bytes):
        params = from_json(params or b"{}", kind, what=name)
    else:
        # Also what is of the type already: constructing a Struct checks neither types nor bounds.
        params = convert(msgspec.to_builtins(params), kind, what=name)
    authorise(actor, operation.action, _resource(params))
    return function(rooms, actor, params)


def _resource(params: object) -> str:
    assert isinstance(params, msgspec.Struct)
    fields = msgspec.structs.fields(params)
    value = getattr(params, fields[0].name) if fields else ""
    return value if isinstance(value, str) and value else "project"
