"""Learners that break a promise, and what is said of them."""

from copy import deepcopy
from typing import Any, Literal

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from noisetune.models.base import Backbone
from noisetune.plugins import PluginConfig
from noisetune.ssl.base import Batch, Learner, Progress, SSLConfig
from noisetune.testing import ssl as of_ssl
from noisetune.testing.promises import Check


class Teacher(Learner):
    """A student that comes near its teacher; what goes wrong is up to those that derive from it."""

    def __init__(self, encoder: Backbone) -> None:
        super().__init__()
        self.encoder = encoder
        self.teacher = deepcopy(encoder).requires_grad_(False)
        self.predictor = nn.Linear(encoder.feature_dim, encoder.feature_dim)

    def forward(self, batch: Batch) -> Any:
        first, second = batch.views
        with torch.no_grad():
            target = self.teacher(first)
        return self.predictor(self.encoder(second)), target

    def loss(self, outputs: Any) -> Tensor:
        return 1 - F.cosine_similarity(*outputs).mean()

    def after_step(self, progress: Progress) -> None:
        for mine, other in zip(self.teacher.parameters(), self.encoder.parameters(), strict=True):
            mine.lerp_(other, 0.1)


class Trained(Teacher):
    def __init__(self, encoder: Backbone) -> None:
        super().__init__(encoder)
        self.teacher.requires_grad_(True)


class Forgetful(Teacher):
    seen = 0

    def loss(self, outputs: Any) -> Tensor:
        self.seen += 1
        return super().loss(outputs) * (1 + 0.5 * self.seen)


class Elsewhere(Teacher):
    """Its encoder stands under another name."""

    def __init__(self, encoder: Backbone) -> None:
        nn.Module.__init__(self)
        self.student = encoder
        self.teacher = deepcopy(encoder).requires_grad_(False)
        self.predictor = nn.Linear(encoder.feature_dim, encoder.feature_dim)

    @property
    def encoder(self) -> Backbone:  # type: ignore[override]
        return self.student


class Vector(Teacher):
    def loss(self, outputs: Any) -> Tensor:
        return 1 - F.cosine_similarity(*outputs)


class Dropping(Teacher):
    def forward(self, batch: Batch) -> Any:
        return super().forward(Batch([F.dropout(view) for view in batch.views]))


def ssl(kind: type[Learner], **more: Any) -> type[SSLConfig]:
    """A method with a learner of this kind."""

    class Config(SSLConfig):
        """One that breaks a promise."""

        method: Literal["broken"] = "broken"

        def learner(self, encoder: Backbone) -> Learner:
            return kind(encoder)

    for name, value in more.items():
        setattr(Config, name, value)
    return Config


class ReadsItsLength(SSLConfig):
    """Its loss hangs on how long training is, and it does not say so."""

    method: Literal["broken"] = "broken"

    def learner(self, encoder: Backbone) -> Learner:
        learner = Teacher(encoder)
        with torch.no_grad():
            learner.predictor.weight.mul_(self.epochs)
        return learner


CASES: list[tuple[type[PluginConfig], Check, str]] = [
    (ssl(Trained), of_ssl.what_follows_is_left_out_of_the_optimiser, "after_step moves it"),
    (ssl(Forgetful), of_ssl.a_run_goes_on_bit_for_bit, "all state must be in weights and buffers"),
    (ssl(Dropping), of_ssl.a_run_goes_on_bit_for_bit, "torch's own generator"),
    (ssl(Elsewhere), of_ssl.what_it_leaves_is_an_encoder_that_has_learned, "under that name"),
    (ssl(Vector), of_ssl.its_loss_is_a_finite_number_with_gradients, "must be a scalar"),
    (ReadsItsLength, of_ssl.its_key_says_whether_it_depends_on_its_length, "not the first of 4"),
]


@pytest.mark.parametrize(
    ("config", "promise", "reason"), CASES, ids=[each.__name__ for _, each, _ in CASES]
)
def test_a_broken_promise_is_seen(config: type[PluginConfig], promise: Check, reason: str) -> None:
    with pytest.raises(AssertionError, match=reason):
        promise(config)
