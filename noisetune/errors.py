"""What a user did wrong, and what a machine cannot do, as one message each."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

MEMORY = "not enough memory", "can't allocate memory"
"""What torch says where the host has no more of it."""
REMEDIES = {
    errno.ENOSPC: "free some of that disk, for example by `noisetune store gc --max-size 10G`",
    errno.EDQUOT: "free some of your quota, for example by `noisetune store gc --max-size 10G`",
    errno.EACCES: "make it one that you may write to",
    errno.EPERM: "make it one that you may write to",
    errno.EROFS: "make it one that can be written to",
    errno.ENOMEM: "free memory, or run fewer trials at once (`--set max_concurrent=1`)",
    errno.EMFILE: "allow more open files (`ulimit -n`)",
}


class UserError(Exception):
    """A mistake that the user can mend: shown as one message, without a traceback, exit code 2.

    The message names the file or field, the value, the rule it breaks and what to do.
    """


def existing_file(path: Path, field: str) -> Path:
    if not path.is_file():
        raise UserError(f"{field}: {path} does not exist or is no file; give the path of the file")
    return path


class MachineError(Exception):
    """What the machine refused: shown once, without a traceback, exit code 1. Nothing is lost."""


def fault_of_machine(error: BaseException) -> str | None:
    """What is wrong with the machine, and what to do, where that is the cause of an error.

    That is so of what the operating system refused, and of memory that ran out. None: the cause
    lies in what was run, and it would end the same way again.
    """
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, MachineError):
            return str(cause)
        if isinstance(cause, OSError) and cause.errno is not None:
            place = f"{cause.filename}: " if cause.filename else ""
            remedy = REMEDIES.get(cause.errno, "see that it works again")
            return f"{place}{os.strerror(cause.errno)}; {remedy}"
        if isinstance(cause, MemoryError) or any(words in str(cause) for words in MEMORY):
            return f"the host has no memory left; {REMEDIES[errno.ENOMEM]}"
        cause = cause.__cause__
    return None


@contextmanager
def machine_errors() -> Iterator[None]:
    """MachineError for what the operating system refuses inside."""
    try:
        yield
    except OSError as error:
        fault = fault_of_machine(error)
        if fault is None:
            raise
        raise MachineError(fault) from error
