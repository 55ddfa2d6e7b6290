"""Training: `fit` turns a trainer, a matrix and labels into a fitted model; one file per library."""

from falaj.models.training.fit import fit
from falaj.models.training.fitted import Fitted

__all__ = ["Fitted", "fit"]
