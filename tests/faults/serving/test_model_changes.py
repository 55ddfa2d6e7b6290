"""A hundred model changes under steady load: no request fails, and the memory of models that went comes back.

`FALAJ_TEST_LONG=1` makes it a thousand.
"""

import asyncio
import os
import socket
from pathlib import Path

import msgspec
import numpy as np

from falaj.definitions.routing_table import ArtifactRef, Variant
from support.gateway_load import Load, check_decisions
from support.gateway_process import Project, WorkerProcess, resident_mib
from support.serving_world import SIGNATURE, route
from support.telling_model import AMOUNTS, CARDS, fill_cards

CHANGES = 1_000 if os.environ.get("FALAJ_TEST_LONG") else 100
SETTLED = 20
TREES = 400


def large_model() -> bytes:
    """A model of some megabytes in memory."""
    import lightgbm

    random = np.random.default_rng(5)
    rows = random.normal(size=(3_000, len(SIGNATURE.inputs)))
    data = lightgbm.Dataset(rows, rows.sum(axis=1) + random.normal(size=3_000) > 0)
    params = {"objective": "binary", "verbosity": -1, "num_threads": 1, "num_leaves": 63, "deterministic": True}
    return str(lightgbm.train(params, data, TREES).model_to_string()).encode()


def scores_of(raw: bytes) -> dict[tuple[int, int], float]:
    """What LightGBM itself says of every card and amount."""
    import lightgbm

    asked = [(card, amount) for card in range(CARDS) for amount in range(AMOUNTS)]
    rows = [[0, card, 0, amount / max(card, 1), amount] for card, amount in asked]
    scores = lightgbm.Booster(model_str=raw.decode()).predict(np.array(rows, np.float32), num_threads=1)
    return dict(zip(asked, scores.tolist(), strict=True))


def test_models_come_and_go_under_load(tmp_path: Path) -> None:
    project = Project(tmp_path / "project")
    fill_cards(project)
    raw = large_model()

    def variant(version: int) -> Variant:
        # The same trees under another digest: what is loaded is another model.
        digest = project.blobs.put(raw + b"\nchange: %d\n" % version)
        return msgspec.structs.replace(project.variant(1), version=version, artifact=ArtifactRef(digest, "lightgbm"))

    project.publish(route(variant(1), epoch=1))
    resident: list[float] = []
    with socket.create_server(("127.0.0.1", 0), backlog=512) as listening:
        worker = WorkerProcess(project, listening)
        load = Load(worker.port, callers=4)

        async def main() -> None:
            running = asyncio.create_task(load.run())
            await load.reach(50)
            for version in range(2, CHANGES + 2):
                project.publish(route(variant(version), epoch=version))
                async with asyncio.timeout(30):
                    while version not in load.versions:
                        await load.reach(2)
                resident.append(resident_mib(worker))
            load.stopping = True
            await asyncio.wait_for(running, 20)

        asyncio.run(main())
        assert worker.end() == 0
    project.close()
    assert load.failures == []
    assert load.versions == set(range(1, CHANGES + 2))
    expected = scores_of(raw)
    assert len(set(expected.values())) > CARDS / 2
    check_decisions(load.answered, project.records(), score=lambda answer: expected[answer.card, answer.amount])
    # A model takes several times its text in memory: were one in eight kept, this would be missed.
    kept_mib = (len(raw) / 2**20) * (CHANGES - SETTLED) / 8
    grown_mib = max(resident[-5:]) - max(resident[:SETTLED])
    assert grown_mib < kept_mib, (grown_mib, kept_mib, [round(mib) for mib in resident])
