"""A ledger in a database: the tables of Optuna, where only the driver of a sweep writes to it.

The sweep's folder keeps the driver's lease, and notes which database has the ledger, without its
password, and which sweep in it is its own: another mlruns folder may have one of the same name.
"""

import json
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from optuna.storages import BaseStorage, RDBStorage, get_storage
from sqlalchemy import Connection, Engine, create_engine, event, inspect, make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.pool import NullPool

from noisetune.answers import check_database, connect_options, without_password
from noisetune.errors import UserError
from noisetune.files import written
from noisetune.store import Lease

OPTION = "--ledger"
REMEDY = (
    "see that it is up, and that you may use it: its password may stand in --ledger, PGPASSWORD or "
    "~/.pgpass; leave --ledger out to have a new sweep's ledger in a file"
)


@dataclass(frozen=True)
class Place:
    """The database of a sweep's ledger, by its URL without a password, and which sweep in it."""

    url: str
    identity: str

    @classmethod
    def new(cls, url: str) -> Self:
        return cls(shown(url), uuid.uuid4().hex)

    @classmethod
    def read(cls, file: Path) -> Self | None:
        """What a sweep's folder notes; None where its ledger is a file. UserError for damage."""
        if not file.exists():
            return None
        try:
            noted = json.loads(file.read_text())
            return cls(str(noted["url"]), str(noted["identity"]))
        except (OSError, ValueError, KeyError, TypeError):
            raise UserError(
                f"{file}: cannot be read, which says where the ledger is; put a copy in its place"
            ) from None

    def write(self, file: Path) -> None:
        with written(file, OPTION):
            file.write_text(json.dumps(asdict(self)))


def shown(url: str) -> str:
    """The URL of a database as it may be kept: without password, a file by its whole path.

    UserError for what is no URL of a database.
    """
    try:
        given = make_url(url)
        secret = [name for name in given.query if "passw" in name.lower()]
        parsed = given._replace(password=None).difference_update_query(secret)
        backend = parsed.get_backend_name()
    except (ArgumentError, ValueError):
        raise UserError(
            f"{OPTION}: {without_password(url)} is no database's URL; give one such as "
            "sqlite:///FILE or postgresql://USER@HOST/NAME"
        ) from None
    if backend == "sqlite":
        file = parsed.database or ":memory:"
        if file.startswith((":memory:", "file:")):
            raise UserError(f"{OPTION}: {url}: give a file, as in sqlite:///ledgers.db")
        parsed = parsed.set(database=str(Path(file).absolute()))
    return parsed.render_as_string(hide_password=False)


def check_answers(url: str) -> None:
    """UserError where the database does not answer in time, or its driver is not installed."""
    parsed = make_url(shown(url))
    if parsed.get_backend_name() != "sqlite":
        check_database(OPTION, url, REMEDY)
    elif not (folder := Path(str(parsed.database)).parent).is_dir():
        raise UserError(f"{OPTION}: {url}: there is no folder {folder}; make it")


def read_database(url: str) -> BaseStorage | None:
    """The ledgers in a database, to be looked at; None where there are none. Nothing is made."""
    check_answers(url)
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite" and not Path(str(parsed.database)).exists():
        return None
    with _refused(url):
        engine = create_engine(parsed, poolclass=NullPool, **_options(url))
        if not inspect(engine).has_table("studies"):
            return None
        return get_storage(RDBStorage(url, _options(url), skip_table_creation=True))


def own_database(url: str, lease: Lease) -> BaseStorage:
    """The ledgers in a database, for the driver that holds `lease`.

    The lease is looked at before each change and before it is made for good: LeaseLost.
    """
    lease.check()
    check_answers(url)
    with _refused(url):
        storage = RDBStorage(url, _options(url))
    _fence(storage.engine, lease)
    return get_storage(storage)


def _fence(engine: Engine, lease: Lease) -> None:
    def before_statement(connection: Connection, _: Any, statement: str, *rest: Any) -> None:
        if not statement.lstrip().upper().startswith("SELECT"):
            lease.check()
            connection.info["changed"] = True

    def before_commit(connection: Connection) -> None:
        if connection.info.pop("changed", False):
            lease.check()

    event.listen(engine, "before_cursor_execute", before_statement)
    event.listen(engine, "commit", before_commit)


def _options(url: str) -> dict[str, Any]:
    """Arguments of the engine; a connection that the server has ended is made anew."""
    return {"connect_args": connect_options(url), "pool_pre_ping": True}


@contextmanager
def _refused(url: str) -> Iterator[None]:
    """What a database or Optuna says of it inside is one message."""
    try:
        yield
    except Exception as error:
        why = without_password(" ".join(f"{type(error).__name__}: {error}".split())[:300])
        raise UserError(f"{OPTION}: {shown(url)} cannot be used ({why}); {REMEDY}") from error
