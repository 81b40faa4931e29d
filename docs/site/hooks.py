"""Pages of the site that lie outside of docs/: where they come from, and links to them."""

import re
from pathlib import Path
from posixpath import dirname, relpath
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[2]
PAGES = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changes.md",
}
LINKED = ("sweeps/*.yaml", "search_spaces/*.yaml")
LINK = re.compile(r"(?<=\]\()(?!\w+:)[^)#\s]+")
"""The path of a link to another file of the repository."""


def on_files(files: Files, config: Any) -> Files:
    """The site has those pages, too, and the files that pages link to."""
    linked = [file.relative_to(ROOT) for pattern in LINKED for file in ROOT.glob(pattern)]
    places = PAGES | {str(file): file.as_posix() for file in sorted(linked)}
    for place, uri in places.items():
        files.append(File.generated(config, uri, abs_src_path=str(ROOT / place)))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Links lead to where the site has what they lead to in the repository."""
    uris = {file.abs_src_path: file.src_uri for file in files}
    folder, here = Path(page.file.abs_src_path).parent, dirname(page.file.src_uri)

    def moved(link: re.Match[str]) -> str:
        uri = uris.get(str((folder / link[0]).resolve()))
        return link[0] if uri is None else relpath(uri, here or ".")

    return LINK.sub(moved, markdown)
