"""Models that MLflow saved elsewhere: each native format answers as it did there, and what is pickled is never read."""

import json
import os
import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import pandas as pd
import pytest
import xgboost
import yaml
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import FunctionTransformer

from falaj.kernel.errors import DataError, FalajError, InputError, NotFound, Unavailable, Unsupported
from falaj.models.export import export
from falaj.models.mlflow_fetch import fetch, mlflow_uri
from falaj.models.mlflow_model import ForeignModel, order_columns, read_mlflow_model
from falaj.models.mlflow_writing import load_mlflow
from falaj.models.runtimes.load import load_bytes
from falaj.models.training.adopted import adopted, in_service_order, own_columns
from falaj.models.training.foreign_columns import columns_apart
from falaj.models.training.sound_trees import check_lightgbm, check_xgboost

NAMES = ("b", "a", "c")
"""In the order in which the models take them; the feature service gives them in the alphabet's."""

RNG = np.random.default_rng(5)
ROWS = pd.DataFrame(RNG.normal(size=(300, 3)).astype(np.float32), columns=list(NAMES))
LABELS = (ROWS["b"] + 0.5 * ROWS["a"] > 0).astype(int)
MATRIX = np.ascontiguousarray(ROWS.to_numpy(np.float32))


def _mlflow(flavour: str) -> Any:
    load_mlflow()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return __import__(f"mlflow.{flavour}", fromlist=["save_model"])


def _save(flavour: str, model: Any, folder: Path, *, signed: bool = True, **more: Any) -> Path:
    saver = _mlflow(flavour)
    from mlflow.models import infer_signature

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        signature = infer_signature(ROWS) if signed else None
        saver.save_model(model, str(folder), signature=signature, pip_requirements=["numpy"], **more)
    return folder


def _booster() -> Any:
    data = lightgbm.Dataset(ROWS, LABELS)
    return lightgbm.train({"objective": "binary", "verbose": -1, "num_threads": 1}, data, 5)


def _xgb(**params: Any) -> Any:
    return xgboost.train({"objective": "binary:logistic", "nthread": 1} | params, xgboost.DMatrix(ROWS, LABELS), 5)


def _onnx() -> Any:
    from skl2onnx import to_onnx

    model = LogisticRegression().fit(MATRIX, LABELS)
    return to_onnx(model, MATRIX[:1], options={"zipmap": False}), model.predict_proba(MATRIX)[:, 1]


def _cases() -> dict[str, Callable[[Path], tuple[Path, Any]]]:
    def booster(folder: Path) -> tuple[Path, Any]:
        model = _booster()
        return _save("lightgbm", model, folder), model.predict(ROWS)

    def ubj(folder: Path) -> tuple[Path, Any]:
        model = _xgb()
        return _save("xgboost", model, folder), model.predict(xgboost.DMatrix(ROWS))

    def json(folder: Path) -> tuple[Path, Any]:
        model = _xgb()
        return _save("xgboost", model, folder, model_format="json"), model.predict(xgboost.DMatrix(ROWS))

    def stopped_early(folder: Path) -> tuple[Path, Any]:
        model = xgboost.XGBClassifier(n_estimators=200, learning_rate=1.0, early_stopping_rounds=2, n_jobs=1)
        noise = RNG.permutation(LABELS)
        model.fit(ROWS, LABELS, eval_set=[(ROWS, noise)], verbose=False)
        assert model.best_iteration < model.get_booster().num_boosted_rounds() - 1
        return _save("xgboost", model, folder), model.predict_proba(ROWS)[:, 1]

    def linear(folder: Path) -> tuple[Path, Any]:
        model = LogisticRegression().fit(ROWS, LABELS)
        return _save("sklearn", model, folder, serialization_format="skops"), model.predict_proba(ROWS)[:, 1]

    def onnx(folder: Path) -> tuple[Path, Any]:
        model, scores = _onnx()
        return _save("onnx", model, folder, save_as_external_data=False), scores

    return {one.__name__: one for one in (booster, ubj, json, stopped_early, linear, onnx)}


CASES = _cases()


@pytest.mark.parametrize("case", CASES)
def test_a_native_format_answers_as_it_did_where_it_was_trained(case: str, tmp_path: Path) -> None:
    folder, wanted = CASES[case](tmp_path / "model")
    foreign = read_mlflow_model(folder)
    names = order_columns(foreign, own_columns(foreign), tuple(sorted(NAMES)))
    assert names == NAMES
    fitted = adopted(foreign, names, MATRIX, "classification")
    np.testing.assert_allclose(fitted.predict(MATRIX), wanted, rtol=1e-5, atol=1e-6)
    exported = export(fitted, MATRIX)
    assert exported.serving.parity is not None
    assert exported.serving.parity.holds
    # The feature service gives its columns in another order than the model takes them.
    ours = np.ascontiguousarray(MATRIX[:, [1, 0, 2]])
    turned = export(in_service_order(fitted, tuple(sorted(NAMES))), ours)
    assert turned.serving.parity is not None
    assert turned.serving.parity.holds
    served = load_bytes(turned.serving.content, turned.serving.runtime, 3, name="turned")
    np.testing.assert_allclose(served.predict(ours), wanted, rtol=1e-5, atol=1e-5)
    if foreign.kind != "onnx":
        assert next(iter(fitted.importance)) == "b"
        assert sum(fitted.importance.values()) == pytest.approx(1.0)


def test_an_onnx_model_that_takes_no_missing_value_is_given_the_median() -> None:
    model, _ = _onnx()
    fitted = adopted(ForeignModel("onnx", model.SerializeToString(), NAMES, 3, {}), NAMES, MATRIX, "classification")
    holed = MATRIX[:5].copy()
    holed[:, 1] = np.nan
    filled = holed.copy()
    filled[:, 1] = np.median(MATRIX[:, 1])
    np.testing.assert_array_equal(fitted.predict(holed), fitted.predict(filled))
    assert np.isfinite(fitted.predict(np.full((1, 3), np.nan, np.float32))).all()


def test_a_pickle_is_never_read(tmp_path: Path) -> None:
    model = LogisticRegression().fit(ROWS, LABELS)
    for form in ("cloudpickle", "pickle"):
        folder = _save("sklearn", model, tmp_path / form, serialization_format=form)
        bomb = b"cos\nsystem\n(S'touch %b'\ntR." % str(tmp_path / "ran").encode()
        (folder / "model.pkl").write_bytes(bomb)
        with pytest.raises(Unsupported) as refused:
            read_mlflow_model(folder)
        assert "skops" in refused.value.hint
    assert not (tmp_path / "ran").exists()
    classifier = lightgbm.LGBMClassifier(n_estimators=2, verbose=-1, n_jobs=1).fit(ROWS, LABELS)
    with pytest.raises(Unsupported, match="scikit-learn's interface"):
        read_mlflow_model(_save("lightgbm", classifier, tmp_path / "classifier", serialization_format="cloudpickle"))
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "MLmodel").write_text("flavors: {python_function: {loader_module: os}}")
    with pytest.raises(Unsupported, match="python_function"):
        read_mlflow_model(tmp_path / "own")


def test_skops_holds_nothing_but_what_we_trust_whatever_its_description_says(tmp_path: Path) -> None:
    import skops.io
    from sklearn.pipeline import make_pipeline

    folder = _save("sklearn", LogisticRegression().fit(ROWS, LABELS), tmp_path / "model", serialization_format="skops")
    skops.io.dump(make_pipeline(FunctionTransformer(print), LogisticRegression()), folder / "model.skops")
    described = yaml.safe_load((folder / "MLmodel").read_text())
    described["flavors"]["sklearn"]["skops_trusted_types"] = ["builtins.print"]
    (folder / "MLmodel").write_text(yaml.safe_dump(described))
    with pytest.raises(Unsupported, match="more than scikit-learn's own"):
        own_columns(read_mlflow_model(folder))
    # Trees too: skops warns that their indices are not looked at, and a made-up one reads beyond its memory.
    skops.io.dump(RandomForestClassifier(2).fit(ROWS, LABELS), folder / "model.skops")
    with pytest.raises(Unsupported) as refused:
        own_columns(read_mlflow_model(folder))
    assert refused.value.hint == "write it as ONNX"


def _described(folder: Path, **changes: Any) -> Path:
    described = {"flavors": {"lightgbm": {"data": "model.lgb", "model_class": "lightgbm.basic.Booster"}}} | changes
    folder.mkdir(exist_ok=True)
    (folder / "MLmodel").write_text(yaml.safe_dump(described))
    return folder


def test_what_is_no_model_is_refused_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no model of MLflow's"):
        read_mlflow_model(tmp_path)
    folder = _described(tmp_path / "a")
    with pytest.raises(DataError, match="not there"):
        read_mlflow_model(folder)
    (tmp_path / "secret.lgb").write_text("x")
    climbing = {"lightgbm": {"data": "../secret.lgb", "model_class": "lightgbm.basic.Booster"}}
    with pytest.raises(DataError, match="outside"):
        read_mlflow_model(_described(folder, flavors=climbing))
    (folder / "model.lgb").write_text("not a model")
    with pytest.raises(DataError, match="cannot read the model"):
        own_columns(read_mlflow_model(_described(folder)))
    texts = '[{"type": "string", "name": "country"}]'
    with pytest.raises(Unsupported, match="country"):
        read_mlflow_model(_described(folder, signature={"inputs": texts}))
    for broken in ("{", '[{"name": 1}]', '[{"type": "tensor"}]', "7"):
        with pytest.raises(DataError, match="signature"):
            read_mlflow_model(_described(folder, signature={"inputs": broken}))
    for text in ("[1]", "a: [", "\x00", "made: 2026-13-45", "[" * 3_000, "flavors: [onnx]"):
        (folder / "MLmodel").write_text(text)
        with pytest.raises(DataError):
            read_mlflow_model(folder)


def test_what_no_gateway_could_hold_is_not_read(tmp_path: Path) -> None:
    folder = _described(tmp_path / "a")
    with (folder / "model.lgb").open("wb") as file:
        file.truncate((2 << 30) + 1)
    with pytest.raises(DataError, match=r"model\.lgb is larger than 2"):
        read_mlflow_model(folder)
    with (folder / "MLmodel").open("ab") as file:
        file.truncate((16 << 20) + 1)
    with pytest.raises(DataError, match="MLmodel is larger than 16"):
        read_mlflow_model(folder)


@pytest.mark.parametrize("case", ["booster", "ubj", "linear"])
def test_columns_are_read_in_a_process_of_their_own(case: str, tmp_path: Path) -> None:
    assert columns_apart(read_mlflow_model(CASES[case](tmp_path / "model")[0])) == NAMES


def test_a_damaged_file_ends_only_the_process_that_reads_it() -> None:
    text = _booster().model_to_string()
    for kind, content in (("lightgbm", text[: len(text) // 2]), ("lightgbm", text[:40]), ("xgboost", "")):
        with pytest.raises(DataError):
            columns_apart(ForeignModel(kind, content.encode(), (), None, {}))  # type: ignore[arg-type]
    with pytest.raises(DataError, match="skops cannot read"):
        columns_apart(ForeignModel("sklearn", b"no zip", (), None, {}))


@pytest.mark.parametrize(
    ("field", "made_up"),
    [
        ("split_feature", "900000000"),
        ("left_child", "900000000"),
        ("right_child", "-90000000"),
        ("left_child", "0"),  # of the first node: a way without end
        ("decision_type", "3"),
    ],
)
def test_a_tree_that_names_what_is_not_there_is_refused_before_anybody_walks_it(field: str, made_up: str) -> None:
    text = re.sub(rf"{field}=-?\d+", f"{field}={made_up}", _booster().model_to_string())
    text = re.sub(r"tree_sizes=.*\n", "", text)  # which would tell of the change
    # Where it cannot even be written down again, that ends the process which tries.
    with pytest.raises(DataError, match=r"tree 0 of the model|ends the process"):
        columns_apart(ForeignModel("lightgbm", text.encode(), (), None, {}))


@pytest.mark.parametrize(
    ("field", "made_up"),
    [("split_indices", 900000000), ("left_children", 900000000), ("left_children", 0), ("right_children", -7)],
)
def test_a_tree_of_xgboost_is_looked_through_too(field: str, made_up: int) -> None:
    document = json.loads(bytes(_xgb().save_raw("json")))
    check_xgboost(document)
    document["learner"]["gradient_booster"]["model"]["trees"][0][field][0] = made_up
    with pytest.raises(DataError, match="tree 0 of the model"):
        own_columns(ForeignModel("xgboost", json.dumps(document).encode(), (), None, {}))


@pytest.mark.parametrize("booster", ["dart", "gblinear", "gbtree"])
def test_every_booster_of_xgboost_is_sound(booster: str) -> None:
    pruned = {} if booster == "gblinear" else {"gamma": 0.5}
    check_xgboost(json.loads(bytes(_xgb(booster=booster, **pruned).save_raw("json"))))


def test_trees_of_every_kind_are_sound() -> None:
    kinds = ROWS.assign(b=(ROWS["b"] * 3).round().abs().astype(int), one=1.0)
    data = {"objective": "binary", "verbose": -1, "num_threads": 1, "min_data_per_group": 1, "cat_smooth": 0}
    for more, categories in (({}, ["b"]), ({"linear_tree": True}, []), ({"boosting": "dart"}, [])):
        held = lightgbm.Dataset(kinds, LABELS, categorical_feature=categories, params=more)
        text = lightgbm.train(data | more, held, 10).model_to_string()
        assert ("num_cat=0" not in text.split("Tree=1")[0]) is bool(categories)
        check_lightgbm(text)
    stump = lightgbm.train(data | {"min_data_in_leaf": 1_000}, lightgbm.Dataset(ROWS, LABELS), 2)
    check_lightgbm(stump.model_to_string())


def test_columns_are_those_of_the_feature_service() -> None:
    def foreign(columns: tuple[str, ...] = (), width: int | None = None) -> ForeignModel:
        return ForeignModel("onnx", b"", columns, width, {})

    assert order_columns(foreign(("b", "a")), (), ("a", "b")) == ("b", "a")
    assert order_columns(foreign(), ("b", "a"), ("a", "b")) == ("b", "a")
    assert order_columns(foreign(width=2), (), ("a", "b")) == ("a", "b")
    for model, own, said in (
        (foreign(("a", "x")), (), "does not give x; the model does not take b"),
        (foreign(("a", "a")), (), "does not take b"),
        (foreign(("a", "b", "a")), (), "one comes twice"),
        (foreign(width=3), (), "takes 3 columns"),
        (foreign(), (), "does not say"),
        (foreign(("a", "b")), ("b", "a"), "otherwise than its signature"),
    ):
        with pytest.raises(InputError, match=said):
            order_columns(model, own, ("a", "b"))


@pytest.mark.parametrize("objective", ["reg:squarederror", "multi:softprob", "rank:pairwise"])
def test_another_task_is_refused(objective: str, tmp_path: Path) -> None:
    more = {"num_class": 2} if objective.startswith("multi") else {}
    folder = _save("xgboost", _xgb(objective=objective, **more), tmp_path / "model")
    foreign = read_mlflow_model(folder)
    with pytest.raises(Unsupported, match="objective"):
        adopted(foreign, NAMES, MATRIX, "classification")


def test_models_are_fetched_from_every_kind_of_store(tmp_path: Path) -> None:
    mlflow = load_mlflow()
    _mlflow("lightgbm")
    uris = {"MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"}

    def forget() -> None:
        """Let this process mean no MLflow; MLflow itself leaves the registry's address in the environment."""
        mlflow.set_tracking_uri(None)
        mlflow.set_registry_uri(None)
        for name in uris:
            os.environ.pop(name, None)

    booster = _booster()
    try:
        for number, tracking in enumerate((f"sqlite:///{tmp_path}/other.db", (tmp_path / "files").as_uri())):
            with warnings.catch_warnings(), pytest.MonkeyPatch.context() as patch:
                warnings.simplefilter("ignore")
                patch.chdir(tmp_path)
                patch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
                mlflow.set_tracking_uri(tracking)
                mlflow.set_registry_uri(tracking)
                with mlflow.start_run() as run:
                    mlflow.lightgbm.log_model(
                        booster, name="model", registered_model_name="outside", pip_requirements=["numpy"]
                    )
                mlflow.MlflowClient().set_registered_model_alias("outside", "champion", "1")
                forget()
                for where in ("outside/1", "outside@champion", run.info.run_id, f"runs:/{run.info.run_id}/model"):
                    into = tmp_path / f"{number}-{where.replace('/', '_').replace(':', '_')}"
                    into.mkdir()
                    folder, origin = fetch(where, tracking, into)
                    assert read_mlflow_model(folder).kind == "lightgbm"
                    assert origin == f"{mlflow_uri(where)} of {tracking}"
                for wrong in ("outside/7", "nobody/1", "0" * 32, "runs:/x/y"):
                    with pytest.raises(FalajError):
                        fetch(wrong, tracking, tmp_path)
                assert not uris & set(os.environ) and tracking not in (
                    mlflow.get_tracking_uri(), mlflow.get_registry_uri(),
                )  # fmt: skip
    finally:
        forget()
    for wrong in ("nothing", "a/b/c", "a@b@c", "", "../x/1"):
        with pytest.raises(InputError):
            mlflow_uri(wrong)


def test_no_password_and_no_signature_of_an_address_is_told(tmp_path: Path) -> None:
    where = "http://zoe:p@ss-word@127.0.0.1:1/model?X-Signature=abc"
    with pytest.raises(FalajError) as refused:
        fetch(where, None, tmp_path)
    told = f"{refused.value.message} {refused.value.hint}"
    assert "127.0.0.1:1/model" in told
    assert [secret for secret in ("zoe", "p@ss", "word", "abc") if secret in told] == []


@pytest.mark.parametrize("kind", ["sqlite:///{}", "file://{}", "{}"])
def test_what_is_not_there_is_not_made(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "none"
    with pytest.raises(InputError, match=f"there is no MLflow in {path}"):
        fetch("outside/1", kind.format(path), tmp_path)
    assert not path.exists()


def test_another_database_is_not_made_an_mlflow(tmp_path: Path) -> None:
    path = tmp_path / "shop.db"
    path.write_bytes(b"")
    with pytest.raises(InputError, match="there is no MLflow in"):
        fetch("outside/1", f"sqlite:///{path}", tmp_path)
    assert path.read_bytes() == b""


@pytest.mark.parametrize("where", ["outside/1", "0" * 32])
def test_a_server_that_is_away_is_said_in_one_sentence(where: str, tmp_path: Path) -> None:
    before = dict(os.environ)
    with pytest.raises(Unavailable) as refused:
        fetch(where, "http://zoe:secret@127.0.0.1:1", tmp_path)
    assert refused.value.message == (
        "the other MLflow, http://127.0.0.1:1, does not answer: [Errno 111] Connection refused"
    )
    patience = [name for name in os.environ if name.startswith("MLFLOW_HTTP")]
    assert patience == [name for name in before if name.startswith("MLFLOW_HTTP")]
