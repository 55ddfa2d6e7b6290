"""Control's metrics about what it watches: those of a real project, as a Prometheus parser reads them."""

from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from falaj.kernel.clock import to_us
from falaj.lifecycle.alerting import Triage
from falaj.lifecycle.watching import Watching
from falaj.monitoring.alerts import Alert, open_alert
from support.control_app import asked, bearer
from support.rooms_world import World


def samples(text: str) -> dict[tuple[str, ...], float]:
    """Name and label values to value."""
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def hurt(world: World) -> None:
    """Let 1,000 decisions drift, know their outcomes, and open an alert about something with an odd name."""
    world.decided(1, 1_000, mean=500.0, good=True)
    world.clock.advance(3 * 86_400)
    world.decided(1, 10)
    Watching(world.rooms).run_pass(world.clock.now())
    with world.rooms.db.write() as connection:
        alert = Alert("online_store", "critical", 'the "store"\nhere', "away", {}, to_us(world.clock.now()))
        open_alert(connection, alert)
    Triage(world.rooms).run_pass(world.clock.now())


def test_what_is_watched_is_exposed_and_what_is_not_known_is_absent(tmp_path: Path) -> None:
    with asked(tmp_path) as (client, world, token):
        before = samples(client.get("/metrics", headers=bearer(token)).text)
        hurt(world)
        after = samples(client.get("/metrics", headers=bearer(token)).text)
    assert not [name for name, *_ in before if name.startswith("falaj_drift") or name == "falaj_realised"]
    assert before["falaj_variant_weight_ratio", "fraud", "champion", "1", "live"] == 1.0
    assert before["falaj_runs", "train:fraud", "PENDING"] == 1.0
    assert after["falaj_alerts_open", "online_store", 'the "store"\nhere', "critical"] == 1.0
    assert after["falaj_incidents_open", "open", "critical"] == 1.0
    assert after["falaj_realised_outcomes", "fraud", "fraud/1"] == 1_000
    assert after["falaj_realised", "fraud", "fraud/1", "auc"] > 0.8
    assert 0.9 < after["falaj_label_maturity_ratio", "fraud", "fraud/1"] <= 1.0
    assert after["falaj_alert_route_failures", "log"] == 0
