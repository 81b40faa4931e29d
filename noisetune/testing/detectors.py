"""What every detector of label errors promises."""

from dataclasses import fields, replace
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from noisetune.detectors.base import Detector, Evidence, Judgement, Kept
from noisetune.errors import UserError
from noisetune.testing.every import variations
from noisetune.testing.promises import promise, small

COUNT, CLASSES, WIDTH, EPOCHS = 240, 5, 16, 6
WRONG = 0.3
EASY = 0.75
"""The area under the curve that an easy case must give; half of it is chance."""


@promise(Detector)
def it_scores_every_label(config: type[Detector], **settings: Any) -> None:
    """Of few labels, of one class, and of classes without any, too."""
    detector, (whole, _) = small(config, **settings), planted()
    cases = [np.arange(count) for count in (COUNT, 5, 2, 1)]
    for rows in (*cases, np.flatnonzero(whole.given == 0), np.flatnonzero(whole.given < 2)):
        judgement = detector.judge(part_of(whole, rows))
        suspicion, mask = judgement.suspicion, judgement.mask
        assert suspicion.shape == (len(rows),), f"suspicion: {suspicion.shape} of {len(rows)}"
        assert np.isfinite(suspicion).all(), f"suspicion: must be finite, of {len(rows)} labels"
        if mask is not None:
            assert mask.dtype == np.bool_, f"mask: {mask.dtype}, it must be bool"
            assert mask.shape == (len(rows),), f"mask: {mask.shape} of {len(rows)}"


@promise(Detector)
def wrong_labels_are_more_suspicious(config: type[Detector], **settings: Any) -> None:
    detector, (evidence, wrong) = small(config, **settings), planted()
    judgement = detector.judge(evidence)
    area = roc_auc_score(wrong, judgement.suspicion)
    assert area > EASY, f"suspicion: AUROC {area:.2f} where the case is easy; higher is worse"
    if judgement.mask is not None and judgement.mask.any():
        share = wrong[judgement.mask].mean()
        assert share > wrong.mean(), f"mask: {share:.2f} of it are wrong, of all {wrong.mean():.2f}"


@promise(Detector)
def the_order_of_the_labels_changes_nothing(config: type[Detector], **settings: Any) -> None:
    detector, (evidence, _) = small(config, **settings), planted()
    order = np.random.default_rng(1).permutation(COUNT)
    turned = detector.judge(part_of(evidence, order))
    _assert_equal(_ordered(detector.judge(evidence), order), turned, "in another order")


@promise(Detector)
def it_changes_nothing_and_draws_nothing(config: type[Detector], **settings: Any) -> None:
    detector, (evidence, _) = small(config, **settings), planted()
    untouched, _ = planted()
    first, second = detector.judge(evidence), detector.judge(evidence)
    _assert_equal(first, second, "at the second time")
    for name in (each.name for each in fields(Evidence) if each.compare):
        same = np.array_equal(getattr(evidence, name), getattr(untouched, name))
        assert same, f"judge: it changes the {name}"


@promise(Detector)
def it_reads_what_it_declares(config: type[Detector], **settings: Any) -> None:
    """Without the rest it says the same."""
    detector, (evidence, _) = small(config, **settings), planted()
    for name in set(get_args(Kept)) - set(detector.reads):
        nothing: dict[str, Any] = {name: None}
        without = replace(evidence, **nothing)
        detector.check(without)
        _assert_equal(detector.judge(evidence), detector.judge(without), f"without {name}")


@promise(Detector)
def what_it_reads_and_was_not_kept_is_said(config: type[Detector], **settings: Any) -> None:
    """Of networks that an earlier version stored."""
    detector, (evidence, _) = small(config, **settings), planted()
    for name in detector.reads:
        nothing: dict[str, Any] = {name: None}
        refusal = _refusal(detector, replace(evidence, **nothing))
        assert refusal, f"check: it takes a network without {name}, which it reads"
        assert name in refusal, f"check: it says nothing of the {name}: {refusal}"


@promise(Detector)
def one_epoch_is_enough(config: type[Detector], **settings: Any) -> None:
    """`finetune.epochs: 1` is a trial: what is read of its epochs is that of one."""
    detector, (evidence, wrong) = small(config, **settings), planted()
    assert evidence.predictions is not None
    judgement = detector.judge(replace(evidence, predictions=evidence.predictions[:1]))
    area = roc_auc_score(wrong, judgement.suspicion)
    assert area > EASY, f"suspicion: AUROC {area:.2f} of a single epoch where the case is easy"


@promise(Detector)
def features_of_different_networks_are_not_compared(
    config: type[Detector], **settings: Any
) -> None:
    """Of one that reads them: where `fold` says that another network made them."""
    detector, (evidence, wrong) = small(config, **settings), planted()
    if "features" not in detector.reads or evidence.features is None:
        return
    fold = np.arange(COUNT) % 2
    apart = np.where(fold[:, None] == 0, evidence.features, -10 * evidence.features[:, ::-1])
    folded = replace(evidence, features=apart.astype(np.float32), fold=fold)
    area = roc_auc_score(wrong, detector.judge(folded).suspicion)
    assert area > EASY, f"suspicion: AUROC {area:.2f} where two networks gave the features"


@promise(Detector)
def equal_identities_are_equal_judgements(config: type[Detector], **settings: Any) -> None:
    """A field that is not in the stage key changes nothing."""
    detector, (evidence, _) = small(config, **settings), planted()
    for name, other in variations(detector):
        if detector.identity() == other.identity():
            where = f"identity: {name} is not in it, but"
            _assert_equal(detector.judge(evidence), other.judge(evidence), where)


@promise(Detector)
def its_label_is_a_name(config: type[Detector], **settings: Any) -> None:
    label = small(config, **settings).label
    assert label, "label: it is empty"
    assert "/" not in label, f"label: {label!r}: it stands before the name of a score"


def planted(seed: int = 0) -> tuple[Evidence, NDArray[np.bool_]]:
    """An easy case, and which of its labels are wrong.

    Probabilities, margins and features lean to the true classes; predictions do at first, and some
    wrong labels are memorised later.
    """
    rng = np.random.default_rng(seed)
    true = rng.integers(0, CLASSES, COUNT)
    wrong = rng.random(COUNT) < WRONG
    given = np.where(wrong, (true + rng.integers(1, CLASSES, COUNT)) % CLASSES, true)
    logits = rng.normal(size=(COUNT, CLASSES)) + 3 * np.eye(CLASSES)[true]
    chances = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    features = rng.normal(size=(COUNT, WIDTH)) + 4 * np.eye(WIDTH)[true]
    astray = rng.random((EPOCHS, COUNT)) < np.linspace(0.1, 0.3, EPOCHS)[:, None]
    evidence = Evidence(
        given,
        chances,
        features=features.astype(np.float32),
        predictions=np.where(astray, given, true),
        margins=_margins(logits).astype(np.float32),
    )
    return evidence, wrong


def _margins(logits: NDArray[np.floating[Any]]) -> NDArray[np.floating[Any]]:
    """Of logits (N, C) how far each class is above the largest of the others (N, C)."""
    others = np.where(np.eye(CLASSES, dtype=bool), -np.inf, logits[:, None]).max(axis=2)
    return logits - others


def part_of(evidence: Evidence, rows: NDArray[np.int64]) -> Evidence:
    """The evidence of some images, in the order that is given."""
    epochs = evidence.predictions
    return Evidence(
        evidence.given[rows],
        evidence.probabilities[rows],
        None if evidence.features is None else evidence.features[rows],
        None if epochs is None else epochs[:, rows],
        None if evidence.fold is None else evidence.fold[rows],
        None if evidence.margins is None else evidence.margins[rows],
    )


def _refusal(detector: Detector, evidence: Evidence) -> str:
    """Why a detector does not take it; empty where it does."""
    try:
        detector.check(evidence)
    except UserError as error:
        return str(error)
    return ""


def _ordered(judgement: Judgement, order: NDArray[np.int64]) -> Judgement:
    mask = judgement.mask
    return Judgement(judgement.suspicion[order], None if mask is None else mask[order])


def _assert_equal(one: Judgement, other: Judgement, where: str) -> None:
    close = np.allclose(one.suspicion, other.suspicion)
    assert close, f"{where} the suspicion is another one"
    if one.mask is None or other.mask is None:
        assert one.mask is other.mask, f"{where} there is a mask, or none"
    else:
        assert np.array_equal(one.mask, other.mask), f"{where} the mask is another one"
