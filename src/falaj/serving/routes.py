"""Routes: every path of the gateway, once: the router is made of them, and the OpenAPI document too."""

from typing import Any

import msgspec

from falaj.serving.intake import Instance
from falaj.serving.metadata import Health, IndexEntry, ModelMetadata, ModelReady, ServerMetadata
from falaj.serving.model_statistics import ModelStatistics
from falaj.serving.native import Accepted, Feedback, NativeAnswer, OnlineAnswer
from falaj.serving.rest_codec import RestAnswer, RestRequest


class RouteSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One method of one path.

    Attributes:
        method: In capitals.
        path: With `{name}` and `{version}` for a segment each.
        operation: The operation's name, unique.
        handler: Which of the application's handlers answers; the one of the operation's name by default.
        summary: What it does.
        action: What the caller must be allowed to do; empty for a public path.
        resource: What is acted on, where the path does not name it; `?key` for a value of the query.
        body: The type of the JSON body; None for none.
        answer: The type of the JSON answer; None for text.
        query: Parameters of the query, and whether each must be there.
        binary: Whether body and answer may hold binary tensors.
        statuses: HTTP statuses it answers beside 200, those of `openapi.EVERYWHERE` and `openapi.GUARDED`.
    """

    method: str
    path: str
    operation: str
    summary: str
    action: str
    handler: str = ""
    resource: str = ""
    body: Any = None
    answer: Any = None
    query: tuple[tuple[str, bool], ...] = ()
    binary: bool = False
    statuses: tuple[int, ...] = ()


def _model_routes(path: str, suffix: str) -> tuple[RouteSpec, ...]:
    read = "endpoint.read"
    return (
        RouteSpec(
            method="GET", path=path, operation=f"model_metadata{suffix}", handler="model_metadata",
            summary="Tell a model's inputs and outputs",
            action=read, answer=ModelMetadata, statuses=(404,),
        ),
        RouteSpec(
            method="GET", path=f"{path}/ready", operation=f"model_ready{suffix}", handler="model_ready",
            summary="Tell whether a model serves",
            action=read, answer=ModelReady, statuses=(404,),
        ),
        RouteSpec(
            method="GET", path=f"{path}/stats", operation=f"model_stats{suffix}", handler="model_stats",
            summary="Tell how often and how long a model decided, in Triton's form", action=read,
            answer=ModelStatistics, statuses=(404,),
        ),
        RouteSpec(
            method="POST", path=f"{path}/infer", operation=f"model_infer{suffix}", handler="model_infer",
            summary="Decide, score features (NAME:raw), or run a bare model", action="endpoint.predict",
            body=RestRequest, answer=RestAnswer, query=(("timing", False),), binary=True, statuses=(404,),
        ),
    )  # fmt: skip


ROUTES: tuple[RouteSpec, ...] = (
    RouteSpec(
        method="POST", path="/v1/endpoints/{name}/predict", operation="predict",
        summary="Decide on one instance, or on a list of them", action="endpoint.predict",
        body=Instance | list[Instance], answer=NativeAnswer | list[NativeAnswer], query=(("timing", False),),
        statuses=(404,),
    ),
    RouteSpec(
        method="POST", path="/v1/feedback", operation="feedback", summary="Take one outcome, or a list of them",
        action="feedback.push", resource="feedback", body=Feedback | list[Feedback], answer=Accepted,
    ),
    RouteSpec(
        method="GET", path="/v1/features/online", operation="features_online",
        summary="Read stored features; each entity key is a parameter, repeated once per entity",
        action="features.online", resource="?service", answer=OnlineAnswer, query=(("service", True), ("at", False)),
        statuses=(404,),
    ),
    RouteSpec(
        method="GET", path="/v1/openapi.json", operation="openapi", summary="Describe these routes",
        action="endpoint.read", resource="*", answer=dict[str, Any],
    ),
    RouteSpec(
        method="GET", path="/metrics", operation="metrics", summary="Prometheus metrics of all workers",
        action="monitor.read", resource="metrics",
    ),
    RouteSpec(
        method="GET", path="/v2", operation="server_metadata", summary="Tell who answers", action="endpoint.read",
        resource="*", answer=ServerMetadata,
    ),
    RouteSpec(
        method="GET", path="/v2/", operation="server_metadata_slash", handler="server_metadata",
            summary="Tell who answers",
        action="endpoint.read", resource="*", answer=ServerMetadata,
    ),
    RouteSpec(
        method="GET", path="/v2/health/live", operation="server_live", summary="Tell whether the process works",
        action="", answer=Health,
    ),
    RouteSpec(
        method="GET", path="/v2/health/ready", operation="server_ready",
        summary="Tell whether requests should be sent here; 503 before all endpoints are loaded, and while draining",
        action="", answer=Health,
    ),
    RouteSpec(
        method="POST", path="/v2/repository/index", operation="repository_index",
        summary="List the endpoints and versions that serve", action="endpoint.read", resource="*",
        answer=list[IndexEntry],
    ),
    *_model_routes("/v2/models/{name}", ""),
    *_model_routes("/v2/models/{name}/versions/{version}", "_version"),
)  # fmt: skip
"""Every path, in the order in which the router tries them."""
