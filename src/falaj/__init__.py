"""Falaj: one definition of every feature, carried without leaks from raw events to a decision.

A project's files declare what there is with the names below; `falaj plan` and `falaj apply` carry it out; `open`
gives the same in a notebook. Importing this package opens nothing.
"""

from typing import TYPE_CHECKING

from falaj.definitions import check, gate, search, split
from falaj.definitions import reference as ref
from falaj.definitions import retrain as on
from falaj.definitions.aggregation import (
    column,
    count,
    count_distinct,
    first,
    last,
    last_n,
    last_non_null,
    max,
    mean,
    min,
    quantile,
    sawtooth,
    std,
    sum,
    var,
)
from falaj.definitions.cache import Cache
from falaj.definitions.challenger import Challenger
from falaj.definitions.combination import cascade_of, mean_of, stack_of, vote_of
from falaj.definitions.cost import Cost
from falaj.definitions.endpoint import Endpoint
from falaj.definitions.ensemble import Ensemble
from falaj.definitions.entity import Entity
from falaj.definitions.feature_service import FeatureService, RequestField, request
from falaj.definitions.feature_view import FeatureView
from falaj.definitions.model import Label, Model
from falaj.definitions.monitor import Monitor, monitor
from falaj.definitions.on_demand import OnDemandView, on_demand
from falaj.definitions.pipeline import Pipeline, pipeline
from falaj.definitions.policy import Policy
from falaj.definitions.prediction_policy import prediction_log
from falaj.definitions.retrain import retrain
from falaj.definitions.rollout import canary, error_ratio, p99_ms
from falaj.definitions.secret import secret
from falaj.definitions.source import Csv, Follow, Parquet, Push, Source
from falaj.definitions.source_watch import watch
from falaj.definitions.step import step
from falaj.definitions.trainer import automl, lightgbm, python, river, sklearn, tuned, xgboost
from falaj.definitions.warm_start import WarmStart
from falaj.kernel.secret import Secret
from falaj.kernel.version import __version__ as __version__

if TYPE_CHECKING:
    from falaj.app.notebook import Project

__all__ = [
    "Cache",
    "Challenger",
    "Cost",
    "Csv",
    "Endpoint",
    "Ensemble",
    "Entity",
    "FeatureService",
    "FeatureView",
    "Follow",
    "Label",
    "Model",
    "Monitor",
    "OnDemandView",
    "Parquet",
    "Pipeline",
    "Policy",
    "Push",
    "RequestField",
    "Secret",
    "Source",
    "WarmStart",
    "automl",
    "canary",
    "cascade_of",
    "check",
    "column",
    "count",
    "count_distinct",
    "error_ratio",
    "first",
    "gate",
    "last",
    "last_n",
    "last_non_null",
    "lightgbm",
    "max",
    "mean",
    "mean_of",
    "min",
    "monitor",
    "on",
    "on_demand",
    "open",
    "p99_ms",
    "pipeline",
    "prediction_log",
    "python",
    "quantile",
    "ref",
    "request",
    "retrain",
    "river",
    "sawtooth",
    "search",
    "secret",
    "sklearn",
    "split",
    "stack_of",
    "std",
    "step",
    "sum",
    "tuned",
    "var",
    "vote_of",
    "watch",
    "xgboost",
]


def open(folder: str = ".", *, token: str | None = None) -> "Project":
    """Open a project for a notebook or a script.

    Args:
        folder: The project's folder, which holds `falaj.toml`.
        token: Who asks; the owner's own token by default.

    Returns:
        The project: training sets, online features, predictions and runs as data frames.

    Raises:
        ProjectError: The folder holds no project.
    """
    from falaj.app.notebook import Project  # here, so that importing the package loads definitions only

    return Project.open(folder, token=token)
