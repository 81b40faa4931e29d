"""The code blocks of a page, as its readers use them and as tests do.

A comment `<!-- tests: A => B -->` in a page, which its readers do not see, has tests put B in the
place of A from there on: a sweep in small for a long one, a file for a server. With a comment
`<!-- tests: run B -->` they do what the page takes as done.
"""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass

PART = re.compile(
    r"""^<!--\ tests:\ run\ (?P<done>[^\n]*)\ -->$
    | ^<!--\ tests:\ (?P<old>\S[^\n]*?)\ =>(?P<new>[^\n]*)-->$
    | ^```(?P<language>\w*)(?:\ title="(?P<title>.*?)")?\n(?P<fenced>.*?)^```$
    | (?P<indented>(?:^\ {4}[^\n]*\n(?:\n+(?=\ {4}))?)+)""",
    re.MULTILINE | re.DOTALL | re.VERBOSE,
)
PROGRAMS = {"mkdocs", "mypy", "noisetune", "optuna-dashboard", "pip", "pytest", "python", "python3"}
PROGRAMS |= {"pdflatex", "ruff", "infra/mlflow-server", "infra/ray-node", "infra/with-mps"}


@dataclass(frozen=True)
class Block:
    """A code block: its language, the file that it is to be written to if any, its content."""

    language: str
    file: str | None
    text: str

    @property
    def commands(self) -> list[str]:
        """What it says to type, a line each; nothing where it is no block for a shell."""
        whole = self.text.replace("\\\n", " ")
        lines = [line.strip() for line in whole.splitlines()]
        told = self.language == "sh" or (not self.language and lines[0].split()[0] in PROGRAMS)
        return [line for line in lines if line] if told else []


def blocks(page: str, as_tested: bool = False) -> Iterator[Block]:
    """The blocks of a page in their order; `as_tested` as its comments have it."""
    instead: dict[str, str] = {}
    for part in PART.finditer(page):
        if part["old"]:
            instead[part["old"]] = part["new"].strip()
        elif part["done"]:
            yield from [Block("sh", None, part["done"])] if as_tested else []
        else:
            yield _block(part, instead if as_tested else {})


def calls(command: str) -> list[list[str]]:
    """The words of each program that a line calls, without comments."""
    parts = [shlex.split(part, comments=True) for part in command.split("&&")]
    return [words for words in parts if words]


def _replaced(text: str, instead: dict[str, str]) -> str:
    """All at once, and whole words or parts of a path alone."""
    if not instead:
        return text
    old = "|".join(map(re.escape, sorted(instead, key=len, reverse=True)))
    whole = rf"(?<![\w.-])(?:{old})(?![\w.-])"
    return re.sub(whole, lambda found: instead[found[0]], text)


def _block(part: re.Match[str], instead: dict[str, str]) -> Block:
    text = part["fenced"] if part["indented"] is None else part["indented"]
    return Block(part["language"] or "", part["title"], _replaced(text, instead))
