"""A PostgreSQL server of the tests' own."""

import importlib.util
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

PROGRAMS = ("initdb", "pg_ctl")


@contextmanager
def postgres() -> Iterator[str]:
    """The start of the URL of a server on a port of its own, with one password for all."""
    programs = [found for name in PROGRAMS if (found := shutil.which(name)) is not None]
    if len(programs) < len(PROGRAMS):
        pytest.skip("PostgreSQL: initdb and pg_ctl are not on the path")
    if importlib.util.find_spec("psycopg") is None:
        pytest.skip("PostgreSQL: no psycopg; pip install 'noisetune[postgresql]'")
    initdb, pg_ctl = programs
    folder = Path(tempfile.mkdtemp(prefix="noisetune-postgres-"))
    user = _owner(folder)
    secret = folder / "password"
    secret.write_text("s3cret")
    secret.chmod(0o644)
    data = folder / "data"
    made = [initdb, "-D", data, "-U", "me", "-A", "scram-sha-256", f"--pwfile={secret}"]
    subprocess.run(made, check=True, user=user, cwd=folder, capture_output=True)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    options = f"-p {port} -h 127.0.0.1 -k {folder} -F"
    start = [pg_ctl, "-D", data, "-o", options, "-l", folder / "log", "-w", "start"]
    stop = [pg_ctl, "-D", data, "-m", "immediate", "stop"]
    try:
        subprocess.run(start, check=True, user=user, cwd=folder, stdout=subprocess.DEVNULL)
        yield f"postgresql://me:s3cret@127.0.0.1:{port}"
    finally:
        subprocess.run(stop, check=False, user=user, cwd=folder, capture_output=True)
        shutil.rmtree(folder, ignore_errors=True)


def _owner(folder: Path) -> str | None:
    """Who runs the server: it refuses to be run by root."""
    if os.geteuid() != 0:
        return None
    try:
        entry = pwd.getpwnam("postgres")
    except KeyError:
        pytest.skip("PostgreSQL: it is not run by root, and there is no user postgres")
    os.chown(folder, entry.pw_uid, entry.pw_gid)
    return "postgres"
