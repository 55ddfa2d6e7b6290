"""Bare models at work: run, logged and counted."""

import hashlib
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from falaj.definitions.prediction_record import PredictionRecord
from falaj.definitions.tensor_signature import TensorSpec
from falaj.kernel.errors import FalajError, InputError
from falaj.serving.bare_model import BareModel
from falaj.serving.boundary import contain
from falaj.serving.inference import InferenceAnswer, InferenceRequest
from falaj.serving.intake import Receipt
from falaj.serving.prediction_log import PredictionLog
from falaj.serving.request_ids import RequestIds
from falaj.serving.stats import Series, WorkerStats
from falaj.serving.tensors import BYTES, Tensor, to_bytes


class BareModels:
    """Runs bare models; each request is logged before it is answered, as the digests of its tensors.

    Tensors may be of any size, so the log has their names, datatypes, shapes and SHA-256: enough to prove what was
    asked and answered to whoever kept the data.

    Args:
        log: Takes a record of every request.
        stats: Counts.
        ids: Makes request ids.
        monotonic: Seconds, for latencies.
    """

    def __init__(self, log: PredictionLog, stats: WorkerStats, ids: RequestIds, monotonic: Callable[[], float]) -> None:
        self._log = log
        self._stats = stats
        self._ids = ids
        self._monotonic = monotonic

    def infer(self, model: BareModel, asked: str, request: InferenceRequest, receipt: Receipt) -> InferenceAnswer:
        """Return the model's answer.

        Args:
            model: Which one.
            asked: The name it was asked for by.
            request: What is asked.
            receipt: When and from whom.

        Raises:
            InputError: The tensors are not those of the model, or it refused them.
        """
        arrays, specs = model.prepare(request.inputs), model.wanted(request)
        request_id = self._ids.make(receipt.received_us)
        outputs: list[Tensor] = []

        refused: list[InputError] = []

        def run() -> None:
            try:
                answers = model.runtime.run(arrays, [spec.name for spec in specs])
            except InputError as error:  # the caller's, and none of the gateway's faults
                refused.append(error)
            else:
                outputs.extend(_tensor(spec, answer) for spec, answer in zip(specs, answers, strict=True))

        fault = contain(run)
        error = refused[0] if refused else _told(fault)
        spent_us = max(0, int((self._monotonic() - receipt.started_s) * 1e6))
        self._log.append([_record(model, request_id, request, outputs, error, spent_us, receipt)])
        self._series(model).observe(spent_us, 1, 0 if error is None else 1)
        if error is not None:
            raise error
        parameters: dict[str, str | bool] = {"request_ids": request_id, "variant": model.spec.name}
        return InferenceAnswer(asked, request.id or request_id, outputs, parameters, str(model.spec.version))

    def _series(self, model: BareModel) -> Series:
        if model.series is None:
            spec = model.spec
            model.series = self._stats.find(model.route.endpoint, spec.name, spec.version, spec.role)
        return model.series


def _tensor(spec: TensorSpec, answer: NDArray[Any]) -> Tensor:
    if spec.datatype != BYTES:
        return Tensor(spec.name, spec.datatype, answer)
    array = np.empty(answer.size, object)
    array[:] = [str(value).encode() for value in answer.reshape(-1).tolist()]
    return Tensor(spec.name, BYTES, array.reshape(answer.shape))


def _told(error: Exception | None) -> FalajError | None:
    if error is None or isinstance(error, FalajError):
        return error
    return FalajError("the gateway failed on this request")


def _record(
    model: BareModel, request_id: str, request: InferenceRequest, outputs: list[Tensor], error: FalajError | None,
    spent_us: int, receipt: Receipt,
) -> PredictionRecord:  # fmt: skip
    spec = model.spec
    tensors = {
        "inputs": {tensor.name: _described(tensor) for tensor in request.inputs},
        "outputs": {tensor.name: _described(tensor) for tensor in outputs},
    }
    code = "" if error is None else error.code
    return PredictionRecord(
        request_id, request.id, model.route.endpoint, spec.name, spec.role, spec.model, spec.version,
        model.route.epoch, request_id, receipt.received_us, receipt.received_us, spent_us, {}, tensors, [], {}, {},
        None, error=code, actor=receipt.actor,
        trace_id=receipt.trace_id,
    )  # fmt: skip


def _described(tensor: Tensor) -> dict[str, Any]:
    digest = hashlib.sha256(to_bytes(tensor)).hexdigest()
    return {"datatype": tensor.datatype, "shape": list(tensor.values.shape), "sha256": digest}
