"""Tracking in MLflow: the only importer of mlflow; sees result records only."""

SQLITE = "sqlite:///"
"""How the address of a database file begins."""
