"""Every SQL table of every room, by its Python object; importing this module declares them all on one registry."""

import sqlalchemy as sa

from falaj.cost.meter import USAGE
from falaj.data.datasets import DATASET
from falaj.data.feed_position import FEED_POSITION
from falaj.data.lineage import LINEAGE_EDGE
from falaj.data.prediction_log import PREDICTION_BATCH, PREDICTION_SEGMENT
from falaj.data.provenance import INGEST_RANGE, INGESTED_FILE, REPLAYED_ROW, SOURCE_STATE
from falaj.governance.approvals import APPROVAL
from falaj.governance.audit import AUDIT_RECORD
from falaj.governance.identity import ACTOR, TOKEN
from falaj.lifecycle.applied import APPLIED
from falaj.lifecycle.pipeline_starts import PIPELINE_STATE
from falaj.lifecycle.triggers import TRIGGER
from falaj.lifecycle.wishes import WISH
from falaj.models.registry import MODEL_VERSION
from falaj.models.stages import MODEL_TRANSITION
from falaj.monitoring.alert_message import MESSAGE
from falaj.monitoring.alerts import ALERT, NOTICE
from falaj.monitoring.delivery import DELIVERY
from falaj.monitoring.incidents import ENTRY, INCIDENT
from falaj.monitoring.monitors import MONITOR, WINDOW
from falaj.monitoring.silences import SILENCE
from falaj.monitoring.verdicts import VERDICT
from falaj.pipelines.tables import ARTIFACT, ATTEMPT, LINEAGE, RECONCILER, RUN, STEP
from falaj.rollout.rollouts import ROLLOUT, ROLLOUT_VERDICT
from falaj.rollout.table import ENDPOINT_ROUTING
from falaj.storage.metadata.belonging import STATE_FOLDER
from falaj.storage.metadata.outbox import OUTBOX

ALL: tuple[sa.Table, ...] = (
    ACTOR,
    ALERT,
    APPLIED,
    APPROVAL,
    ARTIFACT,
    ATTEMPT,
    AUDIT_RECORD,
    DATASET,
    DELIVERY,
    ENDPOINT_ROUTING,
    ENTRY,
    FEED_POSITION,
    INCIDENT,
    INGESTED_FILE,
    INGEST_RANGE,
    LINEAGE,
    LINEAGE_EDGE,
    MESSAGE,
    MODEL_TRANSITION,
    MODEL_VERSION,
    MONITOR,
    NOTICE,
    OUTBOX,
    PIPELINE_STATE,
    PREDICTION_BATCH,
    PREDICTION_SEGMENT,
    RECONCILER,
    REPLAYED_ROW,
    ROLLOUT,
    ROLLOUT_VERDICT,
    RUN,
    SILENCE,
    SOURCE_STATE,
    STATE_FOLDER,
    STEP,
    TOKEN,
    TRIGGER,
    USAGE,
    VERDICT,
    WINDOW,
    WISH,
)
"""All tables, in the order of their names here; migrations and their test compare against what these declare."""
