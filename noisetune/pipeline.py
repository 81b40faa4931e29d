"""A trial: data -> noise -> pretrain -> finetune -> detect, as a generator of metric points.

Knows nothing of Ray, Optuna or MLflow: who drives it pulls the next point, and to prune a trial
is to stop pulling.
"""

from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import Any

from torch import Tensor

from noisetune.config import TrialConfig
from noisetune.curves import drop_from_peak, loss_escalation, overfits
from noisetune.data.base import ImageData
from noisetune.detectors.base import Detector
from noisetune.finetuning.base import PROBE
from noisetune.records import (
    DETECT,
    EXTRACT,
    FINETUNE,
    FOLD,
    PRETRAIN,
    TELEMETRY,
    Event,
    Metrics,
    TrialResult,
    Waiting,
)
from noisetune.selection import choose_epochs
from noisetune.ssl.base import Features, SSLConfig
from noisetune.stages.base import SUSPICION, Inputs, points_of
from noisetune.stages.crossval import PREFIX, cross_validate
from noisetune.stages.detect import detect_key, detect_stage
from noisetune.stages.features import (
    PASSES,
    extract_key,
    extract_stage,
    features_in,
    probe_flops,
    probe_passes,
)
from noisetune.stages.finetune import SELECTED, finetune_key, finetune_stage
from noisetune.stages.gate import gate_point, noisy_knn
from noisetune.stages.given import given_encoder, given_features
from noisetune.stages.kept import Kept
from noisetune.stages.labels import describe_noise, draw_labels
from noisetune.stages.predictions import predictions_of
from noisetune.stages.pretrain import pretrain_key, pretrain_stage
from noisetune.stages.runner import run_stage, unheard
from noisetune.stages.scores import OF_DETECTOR
from noisetune.stages.telemetry import telemetry_stage
from noisetune.stages.unlabelled import more_images
from noisetune.store import Artifact, ReadOnly, StageKey, StoreLike
from noisetune.training.loop import DivergedError, pack_module
from noisetune.training.speed import FORWARD_AND_BACKWARD, forward_flops


@dataclass(frozen=True)
class Options:
    """What a driver wants of a run, and no result depends on.

    `milestones` are pre-training epochs that other trials are known to want; `knn` adds kNN
    accuracy to the gate; `kept` is what the process has of the trials before.
    """

    milestones: tuple[int, ...] = ()
    knn: bool = False
    kept: Kept = field(default_factory=Kept)


def run_trial(
    config: TrialConfig, store: StoreLike, options: Options | None = None
) -> Generator[Event, None, TrialResult]:
    """Drive one configuration through every stage; returns its result.

    Raises UserError for data or weights that cannot be read, and DivergedError where a loss is
    not finite. An encoder that is given has no pre-training stage and no gate.
    """
    options = options or Options()
    known = options.kept.data
    data = known.get(config.data) or known.put(config.data, config.data.load())
    try:
        return (yield from _run(config.resolve(data=data), data, store, options))
    except DivergedError as error:
        error.chance = 1 / data.classes
        raise


def trained_network(config: TrialConfig, data: ImageData, store: StoreLike) -> Artifact | None:
    """What the fine-tuning of a resolved configuration left in a store, of a probe with
    the backbone that its features are by; nothing is computed.

    None where that is not there any more, or what it began with.
    """
    inputs = Inputs(config, data, draw_labels(config, data))
    with closing(_train(inputs, ReadOnly(store), Options())) as events:
        while True:
            try:
                event = next(events)
            except StopIteration as end:
                return _whole(end.value)
            if isinstance(event, Waiting):
                return None


def _whole(made: "_Trained") -> Artifact:
    """The network, and of a probe the backbone that its features are by, too."""
    if made.inputs.features is None or not made.inputs.config.has_backbone:
        return made.network
    backbone = pack_module(f"{SELECTED}.backbone", made.inputs.begun(made.encoder))
    return replace(made.network, tensors=made.network.tensors | backbone)


@dataclass(frozen=True)
class _Trained:
    """An encoder (None from scratch), its epochs, its telemetry, and the network made of it, from
    `inputs`; the seconds of features that were computed, None where the network read images."""

    inputs: Inputs
    encoder: Artifact | None
    epochs: int
    looks: list[Artifact]
    extracting: float | None
    key: StageKey
    network: Artifact


def _train(inputs: Inputs, store: StoreLike, options: Options) -> Generator[Event, None, _Trained]:
    config, data = inputs.config, inputs.data
    origin, encoder, epochs, looks = pretrain_key(config, data), None, 0, list[Artifact]()
    if origin is not None:
        encoder, epochs, looks = yield from _pretrain(inputs, origin, store, options)
        assert isinstance(config.pretrain, SSLConfig)
        yield gate_point(inputs, encoder, epochs, options.knn and config.pretrain.knn_tells)
    elif (given := given_encoder(config, data, store)) is not None:
        origin, encoder = given
    seconds = None
    if (vectors := _given_features(config, data, options.kept)) is not None:
        origin, features = vectors
        inputs = replace(inputs, features=features)
    elif config.finetune.train == PROBE:
        origin = extract_key(config, data, origin, epochs)
        made = yield from _extract(inputs, encoder, origin, store, options.kept)
        inputs, seconds = replace(inputs, features=features_in(made)), made.record["seconds"]
    key = finetune_key(config, data, origin, epochs)
    network = yield from run_stage(finetune_stage(inputs, encoder, key), store)
    return _Trained(inputs, encoder, epochs, looks, seconds, key, network)


def _given_features(
    config: TrialConfig, data: ImageData, kept: Kept
) -> tuple[StageKey, Features] | None:
    """Those that a trial is given, read once in this process; None where it is given none."""
    what = config.pretrain, config.data
    if (known := kept.given.get(what)) is not None:
        return known
    found = given_features(config, data)
    return None if found is None else kept.given.put(what, found)


def _extract(
    inputs: Inputs, encoder: Artifact | None, key: StageKey, store: StoreLike, kept: Kept
) -> Generator[Event, None, Artifact]:
    """Features by the encoder: of this process, or mapped from the store, or computed."""
    found = kept.computed.get(key.digest) or store.mapped(key, PASSES)
    if found is None:
        made = yield from run_stage(extract_stage(inputs, encoder, key), store)
        found = store.mapped(key, PASSES) or made
    return kept.computed.put(key.digest, found)


def _run(
    config: TrialConfig, data: ImageData, store: StoreLike, options: Options
) -> Generator[Event, None, TrialResult]:
    config.runtime.apply()
    made = yield from _train(Inputs(config, data, draw_labels(config, data)), store, options)
    inputs, network = made.inputs, made.network
    found = yield from _detect(inputs, made.encoder, network, made.key, store)
    seconds = {FINETUNE: network.record["seconds"], **found.seconds}
    if made.encoder is not None:
        seconds[PRETRAIN] = made.encoder.record["seconds"]
    if made.extracting is not None:
        seconds[EXTRACT] = made.extracting
    if made.looks:
        seconds[TELEMETRY] = sum(look.record["seconds"] for look in made.looks)
    return TrialResult(
        config=config.to_json(),
        epochs=chosen_epochs(network),
        detection=found.scores,
        noise=describe_noise(inputs.labels, data) | found.matrices,
        seconds=seconds,
        cost=_cost(inputs, made.epochs),
        overfitting=overfitting(network),
        telemetry=last_look(made.looks),
        predictions=predictions_of(inputs, network, found.suspicions),
    )


def _cost(inputs: Inputs, epochs: int) -> Metrics:
    """What the trial would cost alone, in passes of each training image through the network, and
    in floating-point operations of the backbone, or of a probe's features and head."""
    config, data, images = inputs.config, inputs.data, len(inputs.data.y_train)
    pretraining = 0.0
    if isinstance(config.pretrain, SSLConfig):
        # In passes of the training images, whichever others are seen beside them.
        each = config.pretrain.passes(config.model, data.shape)
        pretraining = epochs * each * (1 + more_images(config.pretrain, data))
    tuning = config.finetune.epochs * config.finetune.passes
    if inputs.features is None:
        passes = pretraining * images + tuning * len(inputs.labels.fit)
        flops = FORWARD_AND_BACKWARD * forward_flops(config.model, data.shape) * passes
        return {"passes": pretraining + tuning, "flops": flops}
    encoder, head = probe_flops(config, data, inputs.features)
    flops = images * encoder * (1 + FORWARD_AND_BACKWARD * pretraining)
    return {
        "passes": pretraining + probe_passes(config, data, inputs.features),
        "flops": flops + FORWARD_AND_BACKWARD * head * tuning * len(inputs.labels.fit),
    }


@dataclass(frozen=True)
class _Found:
    """What detection says: scores, estimated transition matrices, and the seconds it took; each
    detector's suspicion of the labels of the detection part."""

    scores: Metrics
    suspicions: dict[str, Tensor]
    matrices: dict[str, Any]
    seconds: dict[str, float]


def _detect(
    inputs: Inputs,
    encoder: Artifact | None,
    network: Artifact,
    tuning: StageKey,
    store: StoreLike,
) -> Generator[Event, None, _Found]:
    """Label errors of the detection part and, by cross-validation where asked, of training.

    Of several detectors the first one's scores have plain names and its point is told; those of
    the others follow under their own labels.
    """
    config = inputs.config
    first, scores, seconds = None, dict[str, float | None](), {DETECT: 0.0}
    suspicions = dict[str, Tensor]()
    for detector in config.detect.detectors:
        key = detect_key(config, tuning, detector)
        events = run_stage(detect_stage(inputs, network, key, detector), store)
        judged = yield from (unheard(events) if first else events)
        made, suspicions[detector.label] = judged.record, judged.tensors[SUSPICION]
        scores |= made["scores"] if first is None else labelled(detector, made["scores"])
        first = first or made
        seconds[DETECT] += made["seconds"]
    assert first is not None
    matrices = {"detection_matrix_estimate": first["matrix"]}
    if config.detect.folds is not None:
        folded, seconds[FOLD] = yield from cross_validate(inputs, encoder, tuning, store)
        matrices["train_matrix_estimate"] = folded[0].record["matrix"]
        scores |= folded[0].record["scores"]
        for detector, crossed in zip(config.detect.also, folded[1:], strict=True):
            scores |= labelled(detector, crossed.record["scores"])
    return _Found(scores, suspicions, matrices, seconds)


def labelled(detector: Detector, scores: Metrics) -> Metrics:
    """A further detector's own scores, under its label: those of probabilities are left out."""
    return {
        f"{detector.label}/{name}": value
        for name, value in scores.items()
        if name.removeprefix(PREFIX) in OF_DETECTOR
    }


def _pretrain(
    inputs: Inputs, key: StageKey, store: StoreLike, options: Options
) -> Generator[Event, None, tuple[Artifact, int, list[Artifact]]]:
    """The encoder, its epochs (fewer than configured where it reached a plateau), its telemetry.

    Where telemetry or the plateau's rule looks, the pre-training makes a halt: it goes on from
    there to the same result.
    """
    method, early = inputs.config.pretrain, inputs.config.looked_at()
    assert isinstance(method, SSLConfig)
    every = method.stop.every if method.stop else method.epochs
    ends = [*range(every, method.epochs, every), method.epochs]
    halts = sorted({*ends, *early})
    begun: tuple[int, Artifact] | None = None
    accuracies: list[float] = []
    looks: list[Artifact] = []
    for epochs in halts:
        stage = pretrain_stage(inputs, method, key, epochs)
        # The part that was made a moment ago need not be in a store to be gone on with.
        made = yield from run_stage(stage, store, {*halts, *options.milestones}, begun)
        begun = epochs, made
        if epochs in early:
            looks.append((yield from run_stage(telemetry_stage(inputs, made, key, epochs), store)))
        if method.stop is not None and epochs in ends:
            accuracies.append(noisy_knn(inputs, made))
            if stands_still(accuracies, method.stop.patience):
                break
    if inputs.config.telemetry is not None and epochs not in early:
        looks.append((yield from run_stage(telemetry_stage(inputs, made, key, epochs), store)))
    return made, epochs, looks


def stands_still(accuracies: list[float], patience: int) -> bool:
    """Whether the last `patience` looks improved on none before."""
    best = accuracies.index(max(accuracies))
    return len(accuracies) - 1 - best >= patience


def last_look(looks: list[Artifact]) -> Metrics:
    """The telemetry of the encoder that was fine-tuned, with its epoch; empty without any."""
    if not looks:
        return {}
    (point,) = points_of(looks[-1])
    return {"epoch": point.step, **point.values}


def chosen_epochs(network: Artifact) -> dict[str, Metrics]:
    """The metrics of the epoch that each rule chooses.

    The oracle looks at the clean test set: it is reported, never selected by.
    """
    chosen = choose_epochs(points_of(network))
    return {choice: {"epoch": point.step, **point.values} for choice, point in chosen.items()}


def overfitting(network: Artifact) -> Metrics:
    """What the curves of the fine-tuning say of its overfitting, as flat metrics."""
    points = points_of(network)
    curves = {
        name: [point.values[name] or 0.0 for point in points]
        for name in ("train/loss", "test/loss", "test/accuracy", "val/accuracy")
    }
    return {
        "test/loss_escalation": loss_escalation(curves["test/loss"]),
        "test/overfits": float(overfits(curves["test/loss"], curves["train/loss"])),
        "test/accuracy_drop": drop_from_peak(curves["test/accuracy"]),
        "val/accuracy_drop": drop_from_peak(curves["val/accuracy"]),
    }
