"""Where what a YAML file names may be written: the file may be a stranger's."""

import os
import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path

from noisetune.caches import cache_folder
from noisetune.errors import UserError


def check_written(
    written: Mapping[str, Path], source: str, own: Path | None, mlruns: Path, more: Iterable[Path]
) -> None:
    """UserError for a path, by its field, that leads to no place where files may be written.

    Those are the folder that `source` lies in (`own`), the mlruns folder, the cache and what the
    user allows, each with all below it. Links are followed first.
    """
    folders = [mlruns, cache_folder(), *more, *([] if own is None else [own])]
    allowed = [_real(folder) for folder in folders]
    for field, path in written.items():
        try:
            real = _real(path)
        except ValueError as error:
            raise UserError(f"{source}: {field}: {str(path)!r} is no path ({error})") from None
        if not any(real.is_relative_to(folder) for folder in allowed):
            own_folder = "" if own is None else f", {own} (where the file lies)"
            raise UserError(
                f"{source}: {field}: {path} would be written to, which is not in {mlruns}, the "
                f"cache {cache_folder()}{own_folder}; if that is meant, give `--allow-write "
                f"{shlex.quote(str(path))}` (allow_write from Python); otherwise leave it out, and "
                "NOISETUNE_CACHE says where the cache is"
            )


def needs_leave(written: Mapping[str, Path], mlruns: Path) -> list[Path]:
    """The paths that have to be allowed where it is not known which file named them."""
    usual = [_real(mlruns), _real(cache_folder())]
    return [
        path
        for path in dict.fromkeys(written.values())
        if not any(_real(path).is_relative_to(folder) for folder in usual)
    ]


def _real(path: Path) -> Path:
    return Path(os.path.realpath(path))
