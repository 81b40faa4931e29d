"""A trial: data -> noise -> pretrain -> finetune -> detect, as a generator of metric points.

Knows nothing of Ray, Optuna or MLflow: who drives it pulls the next point, and to prune a trial
is to stop pulling.
"""

from collections.abc import Collection, Generator

from noisetune.config import TrialConfig
from noisetune.records import Event, Metrics, TrialResult
from noisetune.stages.base import Inputs, points_of
from noisetune.stages.detect import detect_stage
from noisetune.stages.finetune import best_epoch, finetune_stage
from noisetune.stages.labels import describe_noise, draw_labels
from noisetune.stages.pretrain import pretrain_stage
from noisetune.stages.runner import run_stage
from noisetune.store import Artifact, StoreLike


def run_trial(
    config: TrialConfig, store: StoreLike, milestones: Collection[int] = ()
) -> Generator[Event, None, TrialResult]:
    """Drive one configuration through every stage; returns its result.

    `milestones` are pre-training epochs that other trials are known to want. Raises UserError for
    data that cannot be read and DivergedError where a loss is not finite.
    """
    config = config.resolve()
    config.runtime.apply()
    data = config.data.load()
    inputs = Inputs(config, data, draw_labels(config, data))
    encoder = None
    pretraining = pretrain_stage(inputs)
    if pretraining is not None:
        encoder = yield from run_stage(pretraining, store, milestones)
    tuning = finetune_stage(inputs, encoder, pretraining.key if pretraining else None)
    network = yield from run_stage(tuning, store)
    detection = detect_stage(inputs, network, tuning.key)
    detected = yield from run_stage(detection, store)
    made = {"pretrain": encoder, "finetune": network, "detect": detected}
    return TrialResult(
        config=config.to_json(),
        epochs=chosen_epochs(network),
        detection=detected.record["scores"],
        noise=describe_noise(inputs.labels, data),
        seconds={name: part.record["seconds"] for name, part in made.items() if part},
    )


def chosen_epochs(network: Artifact) -> dict[str, Metrics]:
    """The metrics of the last epoch, of the best by noisy validation, and of the oracle's choice.

    The oracle looks at the clean test set: it is reported, never selected by.
    """
    points = {point.step: point for point in points_of(network)}
    ordered = list(points.values())
    epochs = {
        "last": ordered[-1].step,
        "noisy_best": best_epoch(ordered, "val/accuracy"),
        "oracle": best_epoch(ordered, "test/accuracy"),
    }
    return {name: {"epoch": epoch, **points[epoch].values} for name, epoch in epochs.items()}
