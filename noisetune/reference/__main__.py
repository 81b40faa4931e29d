"""`python -m noisetune.reference` writes docs/reference.md; with `--check` it compares alone."""

import argparse
import sys
from pathlib import Path

from noisetune.reference.page import page

COMMAND = "python -m noisetune.reference"
FILE = Path("docs", "reference.md")


def main() -> int:
    """Write the page, or compare it with the file: 1 where they differ."""
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__)
    parser.add_argument("file", nargs="?", type=Path, default=FILE, help=f"by default {FILE}")
    parser.add_argument("--check", action="store_true", help="write nothing; 1 for another file")
    given = parser.parse_args()
    text = page()
    if given.check:
        return _compare(given.file, text)
    try:
        given.file.write_text(text, encoding="utf-8")
    except OSError as error:
        parser.error(f"{given.file} cannot be written ({error.strerror}); name another file")
    return 0


def _compare(file: Path, text: str) -> int:
    if file.is_file() and file.read_text(encoding="utf-8") == text:
        return 0
    print(f"{file} is not what the models say; write it with: {COMMAND}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
