"""A model whose score says who was asked about, what, and which version answered: a wrong row cannot look right."""

import time
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
from onnx import TensorProto, helper, numpy_helper

from falaj.definitions.routing_table import ArtifactRef, EndpointRoute
from falaj.features.materialise import apply_batch
from support.gateway_process import Project
from support.onnx_models import onnx_file
from support.serving_world import SERVICE, SIGNATURE, route

CARDS = 256
"""Cards `t0` to `t255`; the one event of each has its number as amount, so that its mean is the number."""

AMOUNTS = 64
"""A request's amount is a whole number below this."""

_MEAN, _AMOUNT = 1, 4
_FIRST_SEQ = 10
"""Behind the events that a project has of itself: those that were applied are not applied again."""
_BY_CARD = AMOUNTS
_BY_VERSION = CARDS * AMOUNTS
MOST_VERSIONS = (1 << 24) // _BY_VERSION - 1
"""float32 holds whole numbers up to 2**24."""


def score_of(card: int, amount: int, version: int, *, defaulted: bool = False) -> float:
    """Return what the version must answer; a card whose features were not to be had counts as none."""
    return float(version * _BY_VERSION + (0 if defaulted else card * _BY_CARD) + amount)


def telling_file(version: int, ballast_mib: int = 0) -> bytes:
    """The model: version, mean amount and amount in one number, nulls as 0.

    Args:
        version: Its number.
        ballast_mib: What it holds in memory besides, from which each answer takes a zero.
    """
    weights = np.zeros((len(SIGNATURE.inputs), 1), np.float32)
    weights[_MEAN], weights[_AMOUNT] = _BY_CARD, 1.0
    held = np.zeros((max(ballast_mib << 18, AMOUNTS), 1), np.float32)
    held[AMOUNTS:] = version
    constants = {
        "weights": weights,
        "bias": np.array([version * _BY_VERSION], np.float32),
        "zero": np.zeros(1, np.float32),
        "held": held,
        "place": np.array([_AMOUNT], np.int64),
        "side": np.array([1], np.int64),
    }
    nodes = [
        helper.make_node("IsNaN", ["x"], ["null"]),
        helper.make_node("Where", ["null", "zero", "x"], ["known"]),
        helper.make_node("MatMul", ["known", "weights"], ["told"]),
        helper.make_node("Add", ["told", "bias"], ["sum"]),
        helper.make_node("Gather", ["known", "place"], ["amounts"], axis=1),
        helper.make_node("Squeeze", ["amounts", "side"], ["amount"]),
        helper.make_node("Cast", ["amount"], ["at"], to=TensorProto.INT64),
        helper.make_node("Gather", ["held", "at"], ["nothing"], axis=0),
        helper.make_node("Add", ["sum", "nothing"], ["score"]),
    ]
    return onnx_file(
        nodes,
        [("x", TensorProto.FLOAT, ["rows", len(SIGNATURE.inputs)])],
        [("score", TensorProto.FLOAT, ["rows", 1])],
        initializer=[numpy_helper.from_array(value, name) for name, value in constants.items()],
    )


def telling_route(project: Project, version: int = 1, *, ballast_mib: int = 0, **more: Any) -> EndpointRoute:
    """The route of `fraud` to a version, which is its epoch too."""
    assert version <= MOST_VERSIONS
    artifact = ArtifactRef(project.blobs.put(telling_file(version, ballast_mib)), "onnx")
    variant = msgspec.structs.replace(project.variant(1), version=version, artifact=artifact)
    return route(variant, epoch=version, **more)


def fill_cards(project: Project) -> None:
    """Bring the event of every card into the online store, an hour before now: all windows hold it."""
    instant = time.time_ns() // 1000 - 3_700_000_000
    times = pa.array([instant] * CARDS, pa.timestamp("us", "UTC"))
    table = pa.table(
        {
            "card_id": [f"t{number}" for number in range(CARDS)],
            "event_time": times,
            "amount": [float(number) for number in range(CARDS)],
            "country": ["AE"] * CARDS,
            "_event_ts": times,
            "_created": pa.nulls(CARDS, pa.timestamp("us", "UTC")),
            "_ingest_seq": pa.array(range(_FIRST_SEQ, _FIRST_SEQ + CARDS), pa.int64()),
        }
    )
    apply_batch(project.store, SERVICE.views, table, _FIRST_SEQ + CARDS)


def telling_project(project: Project) -> Project:
    """Fill a project's store and serve version 1."""
    fill_cards(project)
    project.publish(telling_route(project))
    return project
