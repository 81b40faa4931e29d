"""The sweep engine: Optuna decides what to try and what to prune, Ray where and when it runs."""

import os
import sys
from pathlib import Path

# Ray reads these when it is first imported or started, which modules of this package alone do:
# everything local listens on 127.0.0.1 alone, and a trial keeps the working folder that relative
# paths in a configuration speak of.
os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
os.environ.setdefault("RAY_CHDIR_TO_TRIAL_DIR", "0")
os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")
os.environ.setdefault("TUNE_GLOBAL_CHECKPOINT_S", "1000000000")
os.environ.setdefault("TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S", "0")


def show_token() -> None:
    """Meet a cluster with the token that lies here; to be called before Ray is imported.

    Given an address, Ray would not look for it, and be turned away. Once imported, Ray does not
    read this any more, and would not even start a session of its own: then nothing is done.
    """
    if "ray" not in sys.modules and (Path.home() / ".ray" / "auth_token").is_file():
        os.environ.setdefault("RAY_AUTH_MODE", "token")
