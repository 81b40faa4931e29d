"""What was asked: a sweep's configuration, its search space, its conditions, samplers, pruners."""

import optuna

# Its notes on every study and trial would run through the live table.
optuna.logging.set_verbosity(optuna.logging.WARNING)
