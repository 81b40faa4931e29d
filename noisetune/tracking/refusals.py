"""What passes, and what does not: MLflow away for a while, or a message that it never takes."""

import errno

from mlflow.exceptions import MlflowException

CODES = {
    "BAD_REQUEST",
    "INVALID_PARAMETER_VALUE",
    "INVALID_STATE",
    "MALFORMED_REQUEST",
    "RESOURCE_ALREADY_EXISTS",
    "RESOURCE_DOES_NOT_EXIST",
}
"""Of MLflow's errors."""

BUSY = "QueuePool"
"""A database that has too many callers at the moment is a bad request, too."""

NUMBERS = {
    errno.EACCES,
    errno.EEXIST,
    errno.EINVAL,
    errno.EISDIR,
    errno.ELOOP,
    errno.ENAMETOOLONG,
    errno.ENOENT,
    errno.ENOTDIR,
    errno.EPERM,
    errno.EROFS,
}
"""Of the file system's errors, those that an artifact meets where it is to be written."""


def is_refusal(error: Exception) -> bool:
    """Whether a message that fails with this fails whenever it is told."""
    if isinstance(error, UnicodeError) or isinstance(error.__cause__, UnicodeError):
        return True
    if isinstance(error, MlflowException):
        return error.error_code in CODES and BUSY not in str(error)
    return isinstance(error, OSError) and error.errno in NUMBERS
