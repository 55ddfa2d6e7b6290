"""What every suite may use."""

from support.databases import each_db, postgres_url
from support.mlflow_environment import mlflow_environment
from support.ray_cluster import ray

__all__ = ["each_db", "mlflow_environment", "postgres_url", "ray"]
