"""What is the machine's fault, and what is not."""

import errno

import pytest
import torch

from noisetune.errors import MachineError, UserError, fault_of_machine, machine_errors


def caused(cause: BaseException) -> Exception:
    error = UserError("store: it cannot be used")
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "fault"),
    [
        (OSError(errno.ENOSPC, "x", "/a/file"), "/a/file: No space left on device; free some of"),
        (OSError(errno.EIO, "x"), "Input/output error; see that it works again"),
        (PermissionError(errno.EACCES, "x", "/a"), "/a: Permission denied; make it one that you"),
        (ConnectionRefusedError(errno.ECONNREFUSED, "x"), "Connection refused; see that it works"),
        (MemoryError(), "the host has no memory left; free memory, or run fewer trials at once"),
        (caused(OSError(errno.EROFS, "x", "/a")), "/a: Read-only file system; make it one that"),
    ],
)
def test_what_the_machine_refuses_is_named_with_its_remedy(error: Exception, fault: str) -> None:
    assert str(fault_of_machine(error)).startswith(fault)


@pytest.mark.parametrize(
    "error",
    [
        ValueError("no"), UserError("field: 3: it should be 4"), ZeroDivisionError(),
        RuntimeError("shapes do not fit"), OSError("an image of a kind that nobody knows"),
    ],
)  # fmt: skip
def test_what_would_end_so_everywhere_is_not(error: Exception) -> None:
    assert fault_of_machine(error) is None


def test_memory_that_torch_cannot_have_is() -> None:
    with pytest.raises(RuntimeError) as refused:
        torch.empty(2**60, dtype=torch.uint8)
    assert str(fault_of_machine(refused.value)).startswith("the host has no memory left")


def test_a_file_error_becomes_one_message() -> None:
    with pytest.raises(MachineError, match="No space left on device; free some"), machine_errors():
        raise OSError(errno.ENOSPC, "x")
    with pytest.raises(UserError), machine_errors():
        raise UserError("a mistake")
