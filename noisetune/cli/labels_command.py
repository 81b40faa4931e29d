"""`noisetune labels`: the labels that a configuration is trained on, for others to compare with."""

from pathlib import Path
from typing import Annotated

import typer

from noisetune.cli import completion
from noisetune.cli.common import AllowWriteOption, MlrunsOption, console, examples
from noisetune.errors import machine_errors
from noisetune.files import check_output, write_output
from noisetune.sweep.home import DEFAULT_MLRUNS


def register(app: typer.Typer) -> None:
    app.command(
        epilog=examples(
            "noisetune labels mine.yaml --out labels.csv",
            "noisetune labels best/noise.rate=0.3.yaml --out labels.csv",
        )
    )(labels)


def labels(
    config: Annotated[
        Path,
        typer.Argument(
            help="A trial's configuration (YAML), as `noisetune best --export` writes it.",
            autocompletion=completion.yaml_files,
        ),
    ],
    out: Annotated[Path, typer.Option(help="The CSV to write.")],
    mlruns: MlrunsOption = DEFAULT_MLRUNS,
    allow_write: AllowWriteOption = None,
) -> None:
    """Write the noisy labels of a configuration: index, clean, noisy, part.

    They are those of its replicate, to the last one; nothing is trained.
    """
    from noisetune.stages.label_lists import label_rows, labels_csv
    from noisetune.trial import read_trial

    check_output(out, "--out")
    with machine_errors():
        trial = read_trial(config, mlruns, allow_write or ())
        rows = label_rows(trial, trial.data.load())
        write_output(out, labels_csv(rows), "--out")
    wrong = sum(row.clean not in ("", row.noisy) for row in rows)
    console.print(
        f"{len(rows)} labels written to {out}; {wrong} are known to be wrong",
        soft_wrap=True,
        markup=False,
    )
