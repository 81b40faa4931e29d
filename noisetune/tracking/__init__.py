"""Tracking in MLflow: the only importer of mlflow; sees result records only."""
