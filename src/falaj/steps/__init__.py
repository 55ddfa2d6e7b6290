"""Steps that pipelines of your own can call: the training pipeline's own work, on tables of your own.

They work in a run, in a notebook and in a test. What makes models here is what makes Falaj's versions.
"""

from falaj.steps.judge import choose_threshold, evaluate, explain, fairness
from falaj.steps.learn import train, tune
from falaj.steps.rows import predict, split
from falaj.steps.trained import Trained

__all__ = ["Trained", "choose_threshold", "evaluate", "explain", "fairness", "predict", "split", "train", "tune"]
