"""The sweep engine: Optuna decides what to try and what to prune, Ray where and when it runs."""
