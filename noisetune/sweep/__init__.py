"""The sweep engine: Optuna decides what to try and what to prune, Ray where and when it runs."""

import os
import secrets
import stat
import sys
import tempfile
from contextlib import suppress
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


TOKEN = Path(".ray", "auth_token")
"""Under the home folder: who shows it to this user's Ray runs programs as this user."""
MODE, TOKENS = "RAY_AUTH_MODE", ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")


def show_token() -> None:
    """Meet a cluster with the token that lies here; to be called before Ray is imported.

    Given an address, Ray would not look for it, and be turned away. Once imported, Ray does not
    read this any more, and would not even start a session of its own: then nothing is done.
    """
    narrow_token()
    if "ray" not in sys.modules and (Path.home() / TOKEN).is_file():
        os.environ.setdefault(MODE, "token")


def keep_token() -> None:
    """Have a token that nobody else reads, before Ray makes one that everybody does."""
    narrow_token()
    token = Path.home() / TOKEN
    given = os.environ.get(MODE) == "disabled" or any(map(os.environ.get, TOKENS))
    if given or token.exists():
        return
    # Ray says what is wrong with a home folder that cannot be written.
    with suppress(OSError):
        token.parent.mkdir(mode=0o700, exist_ok=True)
        part, name = tempfile.mkstemp(dir=token.parent)
        try:
            os.write(part, secrets.token_hex(32).encode())
            # Whole or not at all, and never over that of a sweep which starts beside this one.
            os.link(name, token)
        finally:
            os.close(part)
            os.unlink(name)


def narrow_token() -> None:
    """Shut the token that is there, and its folder, to everybody else; a link stays as it is."""
    token = Path.home() / TOKEN
    for place, mode in ((token.parent, 0o700), (token, 0o600)):
        # What is not there, or is another user's, cannot be narrowed.
        with suppress(OSError):
            status = place.lstat()
            if not stat.S_ISLNK(status.st_mode) and status.st_mode & 0o077:
                place.chmod(mode)
