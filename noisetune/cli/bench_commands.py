"""`noisetune bench`: measurements that compare two ways within one run."""

from typing import Annotated

import typer

from noisetune.cli.common import examples
from noisetune.cli.measured import show, show_arms

bench = typer.Typer(no_args_is_help=True, help="Measure noisetune on this machine.")
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, for a program.")]
WithinOption = Annotated[
    float,
    typer.Option(
        min=0.001,
        max=1,
        help="Rounds end once the 95 % interval of each ratio, by the clock and in CPU time, is "
        "on average so close to it: 0.05 is 5 %.",
    ),
]
RoundsOption = Annotated[int, typer.Option(min=1, help="At most so many rounds.")]
SecondsOption = Annotated[float, typer.Option(min=0, help="No round begins after these.")]
SeedOption = Annotated[int, typer.Option(help="Draws the order of the parts of each round.")]
ConditionsOption = Annotated[int, typer.Option(min=1, help="Over which they are spread.")]
NameOption = Annotated[str, typer.Option(help="As a sweep's file names it.")]


def register(app: typer.Typer) -> None:
    app.add_typer(bench, name="bench")


@bench.command(
    epilog=examples(
        "noisetune bench sharing --json",
        "noisetune bench sharing --epochs 10,25,50 --rounds 1",
        "noisetune bench sharing --within 0.02 --seconds 3600",
    )
)
def sharing(
    epochs: Annotated[
        str,
        typer.Option(
            help="Pre-training epochs to cross; fine-tuning has a fifth of the most of them."
        ),
    ] = "2,5,10",
    width: Annotated[int, typer.Option(min=4, help="The network's width.")] = 16,
    within: WithinOption = 0.05,
    rounds: RoundsOption = 200,
    seconds: SecondsOption = 600.0,
    seed: SeedOption = 0,
    as_json: JsonOption = False,
) -> None:
    """Run a paper-shaped sweep on digits with shared stages, and with each trial for itself.

    The two take turns, in random order, until their ratio is known or the time is up.
    """
    from noisetune.bench.rounds import Until
    from noisetune.bench.sharing import measure_sharing
    from noisetune.errors import UserError

    try:
        wanted = tuple(int(part) for part in epochs.split(","))
    except ValueError:
        raise UserError(f"--epochs {epochs}: write whole numbers, as in 10,25,50") from None
    show(measure_sharing(wanted, width, Until(within, rounds, seconds, seed)), as_json)


@bench.command(
    epilog=examples(
        "noisetune bench engine --json",
        "noisetune bench engine --many 10000 --conditions 100",
        "noisetune bench engine --many 10000 --pruner hyperband",
    )
)
def engine(
    few: Annotated[int, typer.Option(min=10, help="Trials of the smaller sweep.")] = 100,
    many: Annotated[int, typer.Option(min=10, help="Trials of the larger sweep.")] = 1000,
    conditions: ConditionsOption = 1,
    sampler: NameOption = "tpe",
    pruner: NameOption = "median",
    tracking_uri: Annotated[
        str | None, typer.Option(help="MLflow's database or server; by default a file.")
    ] = None,
    ledger: Annotated[
        str | None, typer.Option(help="The ledger's database; by default a file.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Run trials that do nothing, with searcher, pruner, ledger and MLflow on: what the engine
    costs."""
    from noisetune.bench.engine import Setting, measure_engine

    setting = Setting(conditions, sampler, pruner, tracking_uri, ledger)
    show(measure_engine(few, many, setting), as_json)


@bench.command(
    epilog=examples(
        "noisetune bench slots --json",
        "noisetune bench slots --slots 200 --trials 2000 --trial-seconds 600",
    )
)
def slots(
    slots: Annotated[int, typer.Option(min=1, help="Quarters of GPUs.")] = 1000,
    trials: Annotated[int, typer.Option(min=1, help="Trials of the sweep.")] = 5000,
    trial_seconds: Annotated[float, typer.Option(min=0, help="What a trial takes.")] = 60.0,
    conditions: ConditionsOption = 100,
    sampler: NameOption = "tpe",
    pruner: NameOption = "median",
    as_json: JsonOption = False,
) -> None:
    """Run trials that do nothing on a large cluster that is simulated: what one driver can serve.

    Searcher, pruner, ledger and MLflow are real, slots and Ray are not.
    """
    from noisetune.bench.engine import Setting
    from noisetune.bench.slots import measure_slots

    setting = Setting(conditions, sampler, pruner)
    show(measure_slots(slots, trials, trial_seconds, setting), as_json)


@bench.command(
    epilog=examples(
        "noisetune bench features --json",
        "noisetune bench features --trials 100 --rows 10000 --width 384",
    )
)
def features(
    trials: Annotated[int, typer.Option(min=1, help="Trials of the sweep.")] = 1000,
    rows: Annotated[int, typer.Option(min=100, help="Training images.")] = 50_000,
    width: Annotated[int, typer.Option(min=1, help="Values of a feature.")] = 512,
    epochs: Annotated[int, typer.Option(min=1, help="Epochs of a trial.")] = 10,
    batch_size: Annotated[int, typer.Option(min=3, help="Images a step.")] = 1024,
    as_json: JsonOption = False,
) -> None:
    """Train heads on made-up features, with detection, store, ledger and MLflow on."""
    from noisetune.bench.features import measure_features

    show(measure_features(trials, rows, width, epochs, batch_size), as_json)


@bench.command(
    epilog=examples(
        "noisetune bench train",
        "noisetune bench train --device cuda --json",
        "noisetune bench train --threads 1 --batch-size 64   # where other work is on the machine",
        "noisetune bench train --threads 2 --width 16 --side-by-side",
    )
)
def train(
    device: Annotated[str, typer.Option(help="cpu, cuda or auto.")] = "auto",
    precision: Annotated[str, typer.Option(help="fp32, bf16 or auto (measured).")] = "auto",
    compile: Annotated[str, typer.Option(help="true, false or auto.")] = "auto",
    threads: Annotated[int | None, typer.Option(min=1, help="By default every CPU.")] = None,
    width: Annotated[int, typer.Option(min=4, help="The network's width.")] = 64,
    size: Annotated[int, typer.Option(min=4, help="Height and width of an image.")] = 32,
    batch_size: Annotated[int, typer.Option(min=4, help="Images a step.")] = 256,
    batches: Annotated[
        int | None, typer.Option(min=1, help="Batches a round; by default 1, on a GPU 100.")
    ] = None,
    within: WithinOption = 0.05,
    rounds: RoundsOption = 200,
    seconds: SecondsOption = 600.0,
    seed: SeedOption = 0,
    side_by_side: Annotated[
        bool, typer.Option("--side-by-side", help="Also two trials at once, on half the threads.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Train by our stages, by lightly's example and with the model alone, in turns.

    Rounds of one run of each, in random order, go on until every ratio is known or the time is up:
    those by the clock, and those in the CPU time of the process and its workers.
    """
    from noisetune.bench.public import public_name
    from noisetune.bench.rounds import Until
    from noisetune.bench.side_by_side import measure_side_by_side
    from noisetune.bench.train import Setting, measure_train
    from noisetune.config import TrialConfig
    from noisetune.yaml_files import parse_yaml

    asked = {"device": device, "precision": precision, "compile": parse_yaml(compile, "--compile")}
    runtime = TrialConfig.parse(
        {"runtime": asked | ({} if threads is None else {"threads": threads})}, "bench train"
    ).runtime
    if batches is None:
        batches = 100 if runtime.resolve().device == "cuda" else 1
    setting = Setting(runtime, width, size, batch_size, batches)
    until = Until(within, rounds, seconds, seed)
    figures = {"public": public_name(), **measure_train(setting, until)}
    if side_by_side:
        figures |= measure_side_by_side(setting, figures["threads"], until)
    show(figures, as_json)


@bench.command(
    epilog=examples(
        "noisetune bench stack",
        "noisetune bench stack --trials 8 --epochs 20 --json",
        "noisetune bench stack --trials 2 --epochs 2 --replicates 1   # does it run?",
    )
)
def stack(
    trials: Annotated[int, typer.Option(min=1, help="Trials that search each of six cells.")] = 4,
    epochs: Annotated[
        int, typer.Option(min=1, help="Of pre-training; fine-tuning has half of them.")
    ] = 10,
    replicates: Annotated[
        int, typer.Option(min=0, help="Fresh seeds on which each winner runs again.")
    ] = 2,
    within: WithinOption = 0.05,
    rounds: RoundsOption = 1,
    seconds: SecondsOption = 3600.0,
    seed: SeedOption = 0,
    as_json: JsonOption = False,
) -> None:
    """Ask one question by stock Ray Tune (OptunaSearch, ASHA, MLflow) and by noisetune.

    Two noise rates and three methods on digits: a fine-tuning rate is searched for each, and the
    winners run again. Three to ten minutes on two cores.
    """
    from noisetune.bench.question import Question
    from noisetune.bench.rounds import Until
    from noisetune.bench.stack import OURS, STOCK, measure_stack

    question = Question(trials, epochs, replicates, seed)
    figures = measure_stack(question, Until(within, rounds, seconds, seed))
    show_arms(figures, (STOCK, OURS), as_json)
