"""A trial: data -> noise -> pretrain -> finetune -> detect, as a generator of metric points.

Knows nothing of Ray, Optuna or MLflow: who drives it pulls the next point, and to prune a trial
is to stop pulling.
"""

from collections.abc import Generator
from dataclasses import dataclass

from noisetune.config import TrialConfig
from noisetune.records import Event, Metrics, TrialResult
from noisetune.ssl.base import SSLConfig
from noisetune.stages.base import Inputs, points_of
from noisetune.stages.detect import detect_key, detect_stage
from noisetune.stages.finetune import best_epoch, finetune_key, finetune_stage
from noisetune.stages.gate import gate_point, noisy_knn
from noisetune.stages.labels import describe_noise, draw_labels
from noisetune.stages.pretrain import pretrain_key, pretrain_stage
from noisetune.stages.runner import run_stage
from noisetune.store import Artifact, StageKey, StoreLike


@dataclass(frozen=True)
class Options:
    """What a driver wants of a run, and no result depends on.

    `milestones` are pre-training epochs that other trials are known to want; `knn` adds kNN
    accuracy to the gate.
    """

    milestones: tuple[int, ...] = ()
    knn: bool = False


def run_trial(
    config: TrialConfig, store: StoreLike, options: Options = Options()
) -> Generator[Event, None, TrialResult]:
    """Drive one configuration through every stage; returns its result.

    Raises UserError for data that cannot be read and DivergedError where a loss is not finite.
    """
    data = config.data.load()
    config = config.resolve(data=data)
    config.runtime.apply()
    inputs = Inputs(config, data, draw_labels(config, data))
    origin, encoder, epochs = pretrain_key(config, data), None, 0
    if origin is not None:
        encoder, epochs = yield from _pretrain(inputs, origin, store, options)
        yield gate_point(inputs, encoder, epochs, options.knn)
    tuning = finetune_key(config, data, origin, epochs)
    network = yield from run_stage(finetune_stage(inputs, encoder, tuning), store)
    detection = detect_stage(inputs, network, detect_key(config, tuning))
    detected = yield from run_stage(detection, store)
    made = {"pretrain": encoder, "finetune": network, "detect": detected}
    return TrialResult(
        config=config.to_json(),
        epochs=chosen_epochs(network),
        detection=detected.record["scores"],
        noise=describe_noise(inputs.labels, data),
        seconds={name: part.record["seconds"] for name, part in made.items() if part},
    )


def _pretrain(
    inputs: Inputs, key: StageKey, store: StoreLike, options: Options
) -> Generator[Event, None, tuple[Artifact, int]]:
    """The encoder and its epochs: the configured number, or fewer where it reached a plateau."""
    method = inputs.config.pretrain
    assert isinstance(method, SSLConfig)
    if method.stop is None:
        stage = pretrain_stage(inputs, method, key, method.epochs)
        return (yield from run_stage(stage, store, options.milestones)), method.epochs
    looks = [*range(method.stop.every, method.epochs, method.stop.every), method.epochs]
    best, best_look, made = -1.0, 0, None
    for look, epochs in enumerate(looks):
        stage = pretrain_stage(inputs, method, key, epochs)
        # The part that was made a moment ago need not be in a store to be gone on with.
        begun = None if made is None else (looks[look - 1], made)
        made = yield from run_stage(stage, store, looks, begun)
        accuracy = noisy_knn(inputs, made)
        if accuracy > best:
            best, best_look = accuracy, look
        if look - best_look >= method.stop.patience:
            break
    assert made is not None
    return made, epochs


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
