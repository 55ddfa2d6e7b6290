"""Candidate: a version as a variant, on its way to an endpoint."""

from falaj.definitions.routing_table import Variant
from falaj.models.version import ModelVersion
from falaj.rollout.deploy import CANDIDATE


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
        version.tensors,
    )
