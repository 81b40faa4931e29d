"""What is elsewhere and may not answer: it is asked once, and for no longer than is stated."""

import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from noisetune.errors import UserError

ANSWER_SECONDS = 15.0
"""How long a store or a database may take to answer before anything starts."""

DATABASES = ("postgresql", "mysql", "mariadb", "mssql", "oracle")
"""The kinds of database that a server answers for."""

CONNECT_TIMEOUT = {"postgresql": "connect_timeout", "mysql": "connect_timeout"}
"""What the drivers of a kind of database call the seconds that a connection may take."""

EXTRA = "`pip install 'noisetune[postgresql]'`"

T = TypeVar("T")


def answer_within(seconds: float, ask: Callable[[], T]) -> T:
    """What `ask` returns or raises; TimeoutError where it does neither in time, and is left."""
    answers: list[T] = []
    errors: list[BaseException] = []

    def work() -> None:
        try:
            answers.append(ask())
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=work, name="ask", daemon=True)
    thread.start()
    thread.join(seconds)
    if errors:
        raise errors[0]
    if not answers:
        raise TimeoutError(f"no answer in {seconds:g} s")
    return answers[0]


def check_answer(option: str, url: str, ask: Callable[[], object], remedy: str) -> None:
    """UserError where what `option` has at `url` fails at `ask`, or is silent for too long."""
    with answering(f"{option}: {url}", remedy):
        answer_within(ANSWER_SECONDS, ask)


@contextmanager
def answering(place: str, remedy: str) -> Iterator[None]:
    """UserError where what is at a `place`, words that end in its URL, fails at what is asked."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        why = without_password(" ".join(str(error).split())[:300]) or type(error).__name__
        raise UserError(f"{without_password(place)} does not answer ({why}); {remedy}") from error


def without_password(text: str) -> str:
    """Every URL in a text as it may be shown and kept."""
    hidden = re.sub(r"(://[^:/@\s]*):[^/\s]*@", r"\1:***@", text)
    return re.sub(r"(?i)([?&]\w*passw\w*=)[^&\s]*", r"\1***", hidden)


def is_database(url: str) -> bool:
    """Whether a URL is that of a database that a server answers for."""
    kind, separator, _ = url.partition("://")
    return bool(separator) and kind.partition("+")[0] in DATABASES


def check_database(option: str, url: str, remedy: str) -> None:
    """UserError where the database at `url` does not answer, or the package for it is not here."""
    # Importing it takes half a second, and most sweeps need none.
    from sqlalchemy import create_engine
    from sqlalchemy.exc import ArgumentError
    from sqlalchemy.pool import NullPool

    try:
        engine = create_engine(url, poolclass=NullPool, connect_args=connect_options(url))
    except ImportError as error:
        raise UserError(f"{option}: {without_password(url)}: {_missing(url, error)}") from None
    except ArgumentError as error:
        raise UserError(
            f"{option}: {without_password(url)} is no database's URL ({error})"
        ) from None
    check_answer(option, url, lambda: engine.connect().close(), remedy)


def connect_options(url: str) -> dict[str, Any]:
    """What the driver of a database is told, so that it gives up in time."""
    name = CONNECT_TIMEOUT.get(url.partition("://")[0].partition("+")[0])
    return {name: int(ANSWER_SECONDS)} if name else {}


def _missing(url: str, error: ImportError) -> str:
    """What there is to say, and to do, where the driver of a database cannot be imported."""
    name = f"the Python module {error.name!r} is not installed" if error.name else str(error)
    ours = url.startswith(("postgresql:", "postgresql+psycopg:"))
    return f"{name}; {EXTRA if ours else 'install the package that has it'}"
