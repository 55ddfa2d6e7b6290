"""RoutingTable: the variants now in force behind each endpoint; written by rollout, read by every gateway worker."""

from typing import Literal

import msgspec

from falaj.definitions.endpoint_options import EndpointOptions
from falaj.definitions.ensemble_spec import EnsembleSpec
from falaj.definitions.prediction_policy import PredictionPolicy
from falaj.definitions.service_spec import ServiceSpec
from falaj.definitions.signature import Signature
from falaj.definitions.tensor_signature import TensorSignature


class ArtifactRef(msgspec.Struct, frozen=True):
    """Where a version's servable file is.

    Attributes:
        digest: The blob's digest, checked before it is loaded.
        runtime: "onnx", "lightgbm", "xgboost", "trees" for a file of trees alone, "python" for a user's own class, or
            "ensemble" for no file at all.
        beside: Other files of the same model whose scores were the same; each serves the sizes of batch at which it is
            the fastest.
        calibration: Blob of the map that makes probabilities of its scores; empty for scores as they are.
    """

    digest: str
    runtime: Literal["onnx", "lightgbm", "xgboost", "trees", "python", "ensemble"]
    beside: tuple["ArtifactRef", ...] = ()
    calibration: str = ""


class Variant(msgspec.Struct, frozen=True):
    """One model version behind an endpoint.

    Attributes:
        name: "champion" or "candidate".
        model: The model's name.
        version: The version's number.
        weight: Its share in ten-thousandths of units; live weights of an endpoint add up to 10,000.
        role: "live" answers callers; "shadow" computes and logs only; "test" answers who asked for it by name, and is
            never published.
        artifact: Its servable file.
        signature: Its inputs.
        service: Its pinned features; None for a model that takes its features from the caller only.
        tensors: What a bare model takes and gives; None for all others. Its signature is empty.
        ensemble: How other endpoints decide in its place; None for a model. Its signature and its artifact are empty.
    """

    name: str
    model: str
    version: int
    weight: int
    role: Literal["live", "shadow", "test"]
    artifact: ArtifactRef
    signature: Signature
    service: ServiceSpec | None = None
    tensors: TensorSignature | None = None
    ensemble: EnsembleSpec | None = None

    @property
    def subject(self) -> str:
        """How verdicts and approvals call the version, such as `fraud/3`."""
        return f"{self.model}/{self.version}"


class EndpointRoute(msgspec.Struct, frozen=True):
    """One endpoint's variants.

    Attributes:
        endpoint: The endpoint's name.
        epoch: Grows with every change of variants or weights.
        salt: Mixed into the hash of the unit, so that endpoints assign independently.
        variants: What serves.
        thresholds_ms: Latencies above which requests are counted exactly, for the rollout's rules.
        defaults: Feature column to the value used when the store fails.
        prediction_log: What of its decisions is written down, as applied now: publication puts it in, since it holds
            from the moment it is applied and not from the next rollout.
        options: How its requests are treated.
    """

    endpoint: str
    epoch: int
    salt: str
    variants: tuple[Variant, ...]
    thresholds_ms: tuple[float, ...] = ()
    defaults: dict[str, float] = {}
    prediction_log: PredictionPolicy = PredictionPolicy()
    options: EndpointOptions = EndpointOptions()


class RoutingTable(msgspec.Struct, frozen=True):
    """All endpoints, as one snapshot.

    Attributes:
        epoch: Grows with every publication.
        endpoints: By name.
        numbers: Whether an outcome may be any number, because a model of the project predicts one.
    """

    epoch: int
    endpoints: dict[str, EndpointRoute] = {}
    numbers: bool = False
