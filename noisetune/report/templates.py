"""The templates of pages, and what lies beside them in their package."""

from functools import cache
from importlib.resources import files
from typing import Any


def text_of(package: str, name: str) -> str:
    """A file that comes with a package."""
    return (files(package) / name).read_text(encoding="utf-8")


@cache
def page_template(package: str) -> Any:
    """A package's page: whatever is put into it is text, and no markup."""
    from jinja2 import Environment

    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(text_of(package, "page.html.jinja"))
