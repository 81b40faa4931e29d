"""The sweep engine: Optuna decides what to try and what to prune, Ray where and when it runs."""

import optuna

# Its notes on every study and trial would run through the live table.
optuna.logging.set_verbosity(optuna.logging.WARNING)
