"""What a user did wrong, as one message."""

from pathlib import Path


class UserError(Exception):
    """A mistake that the user can mend: shown as one message, without a traceback, exit code 2.

    The message names the file or field, the value, the rule it breaks and what to do.
    """


def existing_file(path: Path, field: str) -> Path:
    if not path.is_file():
        raise UserError(f"{field}: {path} does not exist or is no file; give the path of the file")
    return path
