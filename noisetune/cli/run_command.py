"""`noisetune run`: one configuration, without a cluster."""

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Column, Table

from noisetune.cli import completion
from noisetune.cli.common import (
    AllowWriteOption,
    MlrunsOption,
    ShareOption,
    StoreOption,
    console,
    examples,
    print_table,
)
from noisetune.cli.volume import QuietOption, VerboseOption, set_volume
from noisetune.errors import UserError, machine_errors
from noisetune.files import check_output, write_output
from noisetune.records import DETECT, EXTRACT, FINETUNE, FOLD, GATE, PRETRAIN
from noisetune.sweep.home import DEFAULT_MLRUNS

if TYPE_CHECKING:
    from noisetune.config import TrialConfig
    from noisetune.records import Event

BAR = 20
"""Characters of a stage's bar."""


def register(app: typer.Typer) -> None:
    app.command(
        epilog=examples(
            "noisetune run mine.yaml",
            "noisetune run mine.yaml --out result.json --no-share",
        )
    )(run)


def run(
    config: Annotated[
        Path,
        typer.Argument(
            help="A trial's configuration (YAML).", autocompletion=completion.yaml_files
        ),
    ],
    out: Annotated[
        Path | None, typer.Option(help="Where to write the result; by default beside CONFIG.")
    ] = None,
    mlruns: MlrunsOption = DEFAULT_MLRUNS,
    store: StoreOption = None,
    share: ShareOption = True,
    allow_write: AllowWriteOption = None,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Run one configuration through the whole pipeline and write its result as JSON."""
    from noisetune.sweep.home import Site
    from noisetune.yaml_files import read_trial_yaml

    volume = set_volume(quiet, verbose)
    # What is wrong with these is seen before what takes seconds to import.
    read_trial_yaml(config)
    target = out or config.with_suffix(".result.json")
    Site.of(mlruns, store, share)
    check_output(target, "--out")
    from noisetune.training.loop import DivergedError
    from noisetune.trial import read_trial, run_trial

    trial = read_trial(config, mlruns, allow_write or ())
    try:
        with machine_errors(), Bars(trial, volume == "quiet") as bars:
            result = run_trial(trial, store=store, share=share, mlruns=mlruns, on_event=bars.show)
    except DivergedError as error:
        raise UserError(
            f"{config}: the trial diverged: {error}; lower the learning rate"
        ) from error
    print_table(_table(result))
    if bars.replayed and volume != "quiet":
        console.print("every stage was in the store: nothing was computed")
    write_output(target, json.dumps(result.to_json(), indent=1) + "\n", "--out")
    console.print(f"result written to {target}", soft_wrap=True, markup=False)


class Bars:
    """A bar for each stage of a trial, while it is entered; a quiet one draws none."""

    def __init__(self, trial: "TrialConfig", quiet: bool = False) -> None:
        self._began, self._heard, self._computed = time.time(), False, False
        self._epochs = {
            PRETRAIN: getattr(trial.pretrain, "epochs", 0),
            EXTRACT: 1,
            FINETUNE: trial.finetune.epochs,
            DETECT: 0,
            FOLD: trial.detect.folds or 0,
        }
        self._progress = Progress(
            TextColumn("{task.description:<9}"),
            BarColumn(BAR),
            TextColumn("{task.percentage:>3.0f} %"),
            TimeElapsedColumn(table_column=Column(no_wrap=True)),
            # What is wide wraps, so that the clock stays whole.
            TextColumn("{task.fields[metrics]}", table_column=Column()),
            console=console,
            disable=quiet,
        )
        self._bars = {
            stage: self._progress.add_task(
                # Features are seldom computed, and tell nothing where they are there already.
                stage,
                total=1.0,
                metrics="",
                start=False,
                visible=stage != EXTRACT,
            )
            for stage, epochs in self._epochs.items()
            if epochs or stage == DETECT
        }

    def __enter__(self) -> "Bars":
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    @property
    def replayed(self) -> bool:
        """Whether all that it showed was computed before, and came from the store."""
        return self._heard and not self._computed

    def show(self, event: "Event") -> None:
        from noisetune.records import MetricPoint, Tick

        self._heard = True
        # A stage that is taken from the store tells its points as they were first made. The look at
        # an encoder is taken each time.
        replayed = isinstance(event, MetricPoint) and event.made < self._began
        self._computed |= event.stage != GATE and not replayed
        bar = self._bars.get(event.stage)
        if bar is None:
            return
        self._progress.start_task(bar)
        self._progress.update(bar, visible=True)
        if isinstance(event, MetricPoint):
            epochs = self._epochs[event.stage]
            done = event.step / epochs if epochs else 1.0
            self._progress.update(bar, completed=done, metrics=_line(event.values))
            if done >= 1:
                self._progress.stop_task(bar)
        elif isinstance(event, Tick):
            self._progress.update(bar, completed=event.done)
            if event.done >= 1:
                self._progress.stop_task(bar)
        else:
            self._progress.update(bar, metrics="waiting: another process computes it")


def _line(values: dict[str, float | None]) -> str:
    shown = ("pretrain/loss", "train/loss", "val/accuracy", "test/accuracy", "detect/f1")
    return "  ".join(f"{name} {values[name]:.3f}" for name in shown if values.get(name) is not None)


def _table(result: Any) -> Table:
    """The choices of epoch, side by side, and the detection."""
    from noisetune.analysis.tables import plain_table

    table = plain_table("accuracy by choice of epoch; the oracle looks at the clean test set")
    for heading in ("epoch chosen by", "epoch", "noisy validation", "clean test", "memorised"):
        table.add_column(heading, justify="right" if heading != "epoch chosen by" else "left")
    names = {
        "last": "last",
        "noisy_best": "noisy validation",
        "label_wave": "changed predictions (Label Wave)",
        "oracle": "clean test (oracle)",
    }
    for choice, values in result.epochs.items():
        table.add_row(
            names[choice],
            str(values["epoch"]),
            *(
                "-" if values[metric] is None else f"{100 * values[metric]:.1f} %"
                for metric in ("val/accuracy", "test/accuracy", "detect/memorisation")
            ),
        )
    table.caption = f"label errors: {_scores(result)}"
    if "cv_f1" in result.detection:
        table.caption += f"\nby cross-validation, in the training set: {_scores(result, 'cv_')}"
    return table


def _scores(result: Any, prefix: str = "") -> str:
    names = ("f1", "f1_flag_all", "balanced_accuracy", "auroc", "auprc", "ece")
    values = {name: result.detection[prefix + name] for name in names}
    return "  ".join(
        f"{name} {'-' if value is None else format(value, '.3f')}" for name, value in values.items()
    )
