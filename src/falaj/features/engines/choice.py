"""Choice: the engine that settings or a caller name."""

from falaj.features.dialect import DIALECTS
from falaj.features.engines.duckdb import DuckDbEngine
from falaj.features.engines.port import Engine
from falaj.features.engines.postgres import PostgresEngine
from falaj.features.engines.spark import SparkEngine
from falaj.kernel.errors import InputError
from falaj.kernel.names import did_you_mean
from falaj.kernel.settings import FeatureSettings


def open_engine(settings: FeatureSettings, name: str = "") -> Engine:
    """Return an engine; it connects to nothing before it is asked.

    Args:
        settings: Which engine, where it is and what it may take.
        name: Another than the settings' own.

    Raises:
        InputError: There is no such engine, it is not run by this project, or its server is not named.

    Example:
        >>> open_engine(FeatureSettings()).name, open_engine(FeatureSettings(), "spark").name
        ('duckdb', 'spark')
    """
    name = name or settings.engine
    if name == "duckdb":
        return DuckDbEngine(settings.memory_gib, settings.threads, settings.spill or None)
    if name == "spark":
        return SparkEngine(settings.spark_master)
    if name == "postgres":
        if not settings.postgres_url:
            raise InputError("the engine is postgres, and no server is named", hint="set features.postgres_url")
        return PostgresEngine(settings.postgres_url)
    if name in DIALECTS:
        raise InputError(
            f"{name} is not run by this project", hint="'falaj features sql' prints the text that it would run"
        )
    raise InputError(f"engine {name!r} does not exist", hint=did_you_mean(name, DIALECTS))
