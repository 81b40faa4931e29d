"""`noisetune store`: what the store of stages holds, whether it is sound, and making room."""

import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from noisetune.cli.common import MlrunsOption, console, examples, open_home, print_table
from noisetune.files import check_folder
from noisetune.records import DETECT, DETECT_CV, FINETUNE, FOLD, TELEMETRY
from noisetune.sweep.home import DEFAULT_MLRUNS
from noisetune.texts import counted

if TYPE_CHECKING:
    from noisetune.store import EntryInfo, Store

store = typer.Typer(no_args_is_help=True, help="The store of finished stages.")
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, for a program.")]
UrlOption = Annotated[
    str | None, typer.Option("--url", help="Another store than mlruns/stages: a folder or a URL.")
]


def register(app: typer.Typer) -> None:
    app.add_typer(store, name="store")


@store.command(
    "ls",
    epilog=examples(
        "noisetune store ls",
    ),
)
def list_entries(
    as_json: JsonOption = False, url: UrlOption = None, mlruns: MlrunsOption = DEFAULT_MLRUNS
) -> None:
    """List what is stored: by what it was made, how large it is, when it was last used."""
    from noisetune.analysis.tables import plain_table

    entries = list(_open(url, mlruns).list())
    if as_json:
        print(json.dumps([asdict(entry) for entry in entries], indent=1))
        return
    table = plain_table(f"{_entries(len(entries))}, {_size(sum(each.bytes for each in entries))}")
    for heading in ("stage", "key", "epochs", "size", "last used", "made from"):
        table.add_column(heading)
    for entry in entries:
        used = time.strftime("%Y-%m-%d %H:%M", time.localtime(entry.used))
        row = (entry.stage, entry.digest[:8], str(entry.step), _size(entry.bytes), used)
        table.add_row(*row, _origin(entry))
    print_table(table)


@store.command(
    epilog=examples(
        "noisetune store verify",
    )
)
def verify(url: UrlOption = None, mlruns: MlrunsOption = DEFAULT_MLRUNS) -> None:
    """Read every entry; a damaged one is set aside, and computed again when it is next needed."""
    report = _open(url, mlruns).verify()
    console.print(f"{_entries(report.checked)} read, {len(report.damaged)} damaged")
    for path, reason in report.damaged.items():
        console.print(f"  {path}: {reason}", soft_wrap=True, markup=False)
    if report.damaged:
        raise typer.Exit(1)


@store.command(
    epilog=examples(
        "noisetune store gc --max-size 20G",
    )
)
def gc(
    max_size: Annotated[str, typer.Option(help="Bytes to keep at most: 500M, 20G.")],
    url: UrlOption = None,
    mlruns: MlrunsOption = DEFAULT_MLRUNS,
) -> None:
    """Evict the longest unused entries down to a size, never one that a running trial uses."""
    from noisetune.errors import UserError
    from noisetune.store import parse_size

    try:
        limit = parse_size(max_size)
    except ValueError as error:
        raise UserError(f"--max-size {error}") from None
    report = _open(url, mlruns).gc(limit)
    freed, kept = _size(report.bytes_freed), _size(report.bytes_kept)
    console.print(f"{_entries(len(report.removed))} evicted, {freed} freed, {kept} kept")


def _open(url: str | None, mlruns: Any) -> "Store":
    from noisetune.errors import UserError
    from noisetune.store import open_answering

    place = (url or str(open_home(mlruns).stages)).removeprefix("file://")
    option = "--mlruns" if url is None else "--url"
    if "://" not in place and not check_folder(Path(place), option).is_dir():
        raise UserError(
            f"{option}: there is no folder {place}; the first sweep makes it. Name another one "
            "with --url or --mlruns"
        )
    return open_answering(place, option)


def _origin(entry: "EntryInfo") -> str:
    """In a few words, what an entry was made from."""
    try:
        return _inputs_text(entry)
    except (KeyError, TypeError):
        return "what another version of noisetune reads"


def _inputs_text(entry: "EntryInfo") -> str:
    inputs = entry.inputs
    if entry.stage in (DETECT, DETECT_CV):
        detector = inputs["detect"]
        how = f"filter {detector['filter_by']}" if "filter_by" in detector else detector["method"]
        return f"{how} on {inputs['finetune'][:8]}"
    if entry.stage == FOLD:
        return f"fold {inputs['fold'] + 1} of {inputs['folds']} as {inputs['finetune'][:8]}"
    if entry.stage == TELEMETRY:
        return f"on {inputs['pretrain'][:8]}"
    settings = inputs[entry.stage]
    # Entries of older versions leave out the method that was the only one.
    words = [settings.get("method", "cross_entropy")]
    words += [f"lr {settings['lr']:.3g}", f"batch {settings['batch_size']}"]
    if entry.stage == FINETUNE:
        noise = " ".join(str(value) for value in inputs["noise"].values())
        words += [noise, f"on {(inputs['pretrain'] or 'scratch')[:8]}"]
    return ", ".join([*words, f"replicate {inputs['replicate']}"])


def _entries(number: int) -> str:
    return counted(number, "entry", "entries")


def _size(size: int) -> str:
    from noisetune.store import UNITS

    unit, factor = next((each for each in reversed(UNITS.items()) if size >= each[1]), ("", 1))
    return f"{size / factor:.1f} {unit}B"
