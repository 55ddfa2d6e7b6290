"""A project whose pipeline logs with MLflow, as a user writes it."""

from pathlib import Path

SETTINGS = '[project]\nname = "shop"\n'
FILE = """
import falaj as fj


@fj.step
def rows(seed: int) -> list[float]:
    return [float((seed * 7 + at) % 5) for at in range(60)]


@fj.step
def fit(values: list[float], trees: int, depth: int = 2) -> float:
    import mlflow

    mlflow.log_param("trees", trees)
    mlflow.log_metric("auc", 0.5 + trees / 100)
    mlflow.log_text("a note", "note.txt")
    return 0.5 + trees / 100


@fj.step
def search(values: list[float], trees: int) -> int:
    import mlflow

    for depth in (1, 2):
        with mlflow.start_run(run_name=f"depth {depth}"):
            mlflow.log_params({"depth": depth})
            mlflow.log_metric("loss", 1.0 / depth, step=1)
    if trees < 0:
        mlflow.log_metric("begun", 1.0)
        raise ValueError("no trees")
    return 2


@fj.step
def automatic(values: list[float], library: str) -> float:
    import mlflow
    import numpy as np

    mlflow.autolog(silent=True)
    x, y = np.array(values).reshape(-1, 1), np.array(values) > 2
    if library == "sklearn":
        from sklearn.linear_model import LogisticRegression

        LogisticRegression(C=0.5).fit(x, y)
    elif library == "lightgbm":
        import lightgbm

        lightgbm.train({"objective": "binary", "verbose": -1}, lightgbm.Dataset(x, y), num_boost_round=3)
    else:
        import xgboost

        xgboost.train({"objective": "binary:logistic"}, xgboost.DMatrix(x, y), num_boost_round=3)
    return 1.0


@fj.pipeline
def study(seed: int = 1, trees: int = 10) -> float:
    values = rows(seed)
    search(values, trees)
    return fit(values, trees)


@fj.pipeline
def failing() -> int:
    return search(rows(2), -1)


@fj.pipeline
def autologged() -> list[float]:
    return automatic.map([rows(1)] * 3, ["sklearn", "lightgbm", "xgboost"])


@fj.pipeline
def together() -> list[float]:
    return fit.map([rows(1)] * 4, [1, 2, 3, 4])
"""


def write_logging(folder: Path) -> None:
    """Write the project's files."""
    folder.mkdir(parents=True)
    (folder / "falaj.toml").write_text(SETTINGS)
    (folder / "study.py").write_text(FILE)
