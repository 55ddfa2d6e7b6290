"""Control does not load MLflow until somebody asks who may."""

import subprocess
import sys
from pathlib import Path

SCRIPT = """
import sys
from pathlib import Path
from litestar.testing import TestClient
from falaj.cli.control_main import application
from falaj.governance.access import SYSTEM
from support.rooms_world import definitions, opened

with opened(Path(sys.argv[1]), definitions()) as world:
    world.rooms.actors.create("viewer", "viewer", SYSTEM)
    token = world.rooms.actors.create_token("viewer", by=SYSTEM)
    app = application(world.rooms, world.rooms.actors.authenticate)
    good, bad = {"authorization": f"Bearer {token}"}, {"authorization": "Bearer flj_wrong"}
    with TestClient(app, base_url="http://127.0.0.1") as client:
        for path, headers in (("/mlflow/", {}), ("/mlflow/", bad), ("/v1/status", good), ("/mlflow/version", good)):
            print(client.get(path, headers=headers).status_code, "mlflow" in sys.modules)
"""


def test_mlflow_is_loaded_by_the_first_who_may_see_it(tmp_path: Path) -> None:
    path = [str(Path(__file__).parents[2]), *sys.path]
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path[:] = {path!r}\n{SCRIPT}", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.splitlines() == ["401 False", "401 False", "200 False", "200 True"], done.stderr
