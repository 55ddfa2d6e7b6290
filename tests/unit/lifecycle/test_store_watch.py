"""An online store that does not answer opens an alert, is said in the status, and closes the alert when it is back."""

from pathlib import Path

from falaj.app.operations.freshness import freshness
from falaj.app.values.freshness import FreshnessQuery
from falaj.cli.status import freshness_line
from falaj.kernel.settings import Settings, StorageSettings
from falaj.lifecycle.catch_up import catch_up
from falaj.lifecycle.store_watch import StoreWatch
from falaj.monitoring.alerts import list_alerts
from support.redis_servers import redis_server
from support.rooms_world import ADA, World, definitions, event, opened


def alerts(world: World, *, only_open: bool) -> list[tuple[str, str]]:
    with world.rooms.db.read() as connection:
        found = list_alerts(connection, only_open=only_open)
    return [(record.alert.rule, record.alert.severity) for record in found]


def test_a_store_that_is_down_is_told_and_one_that_is_back(tmp_path: Path) -> None:
    with redis_server(tmp_path / "redis") as server:
        settings = Settings(storage=StorageSettings(online="redis", online_url=server.url, online_timeout_ms=200))
        with opened(tmp_path / "project", definitions(), settings=settings) as world:
            world.push(*(event(number) for number in range(5)))
            catch_up(world.rooms)
            watching = StoreWatch(world.rooms)

            def look() -> str:
                world.clock.advance(2)
                watching.run_pass(world.clock.now())
                (view,) = freshness(world.rooms, ADA, FreshnessQuery())
                return freshness_line(view)

            assert "shows every row" in look()
            assert alerts(world, only_open=False) == []
            server.kill()
            assert "not known, since" in look()
            assert "not known, since" in look()
            assert alerts(world, only_open=True) == [("online_store", "critical")]
            server.start()
            shown = look()  # empty: nothing is as it was, and it says so
            assert "shows every row" not in shown and "behind" in shown
            assert alerts(world, only_open=True) == []
            catch_up(world.rooms)
            assert "shows every row" in look()
            assert len(alerts(world, only_open=False)) == 1
