import errno

import pytest
from mlflow.exceptions import MlflowException
from mlflow.protos import databricks_pb2 as codes
from requests.exceptions import ConnectionError, JSONDecodeError

from noisetune.tracking.refusals import is_refusal


@pytest.mark.parametrize(
    "error",
    [
        MlflowException("too long", codes.INVALID_PARAMETER_VALUE),
        MlflowException("is there", codes.RESOURCE_ALREADY_EXISTS),
        MlflowException("no run", codes.RESOURCE_DOES_NOT_EXIST),
        MlflowException("(psycopg2.errors.StringDataRightTruncation)", codes.BAD_REQUEST),
        OSError(errno.ENAMETOOLONG, "File name too long"),
        PermissionError(errno.EACCES, "Permission denied"),
        UnicodeEncodeError("utf-8", "\ud800", 0, 1, "surrogates not allowed"),
    ],
)
def test_what_comes_again_however_often_it_is_told(error: Exception) -> None:
    assert is_refusal(error)


@pytest.mark.parametrize(
    "error",
    [
        MlflowException("down", codes.INTERNAL_ERROR),
        MlflowException("locked", codes.TEMPORARILY_UNAVAILABLE),
        MlflowException("who are you", codes.UNAUTHENTICATED),
        MlflowException("QueuePool limit of size 5 overflow 10 reached", codes.BAD_REQUEST),
        OSError(errno.ENOSPC, "No space left on device"),
        OSError(errno.EIO, "Input/output error"),
        ConnectionError("nobody there"),
        ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused"),
        JSONDecodeError("no JSON", "<html>", 0),
        TimeoutError(),
    ],
)
def test_what_passes(error: Exception) -> None:
    assert not is_refusal(error)
