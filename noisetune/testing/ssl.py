"""What every pre-training promises: self-supervised learners, and weights that exist already."""

from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor

from noisetune.config import PLUGINS, default_choice
from noisetune.models.base import ModelConfig
from noisetune.seeds import generator, seeded_initialisation
from noisetune.ssl.base import (
    Batch,
    GivenEncoder,
    GivenFeatures,
    Learner,
    PretrainConfig,
    Progress,
    SSLConfig,
)
from noisetune.stages.base import Inputs, Stage
from noisetune.stages.pretrain import augmentation, pretrain_key, pretrain_stage, view_augment
from noisetune.store import NullStore
from noisetune.testing.promises import promise, small
from noisetune.testing.trials import assert_goes_on, assert_same, checkpoints, tiny_inputs
from noisetune.training.loop import strip

QUICK = {"epochs": 2, "batch_size": 20}


@promise(PretrainConfig)
def what_begins_at_random_has_no_settings(config: type[PretrainConfig], **settings: Any) -> None:
    if not issubclass(config, SSLConfig | GivenEncoder | GivenFeatures):
        own = sorted(config.model_fields.keys() - {"method"})
        assert not own, f"nothing reads {own}: derive from a class that says what does"


@promise(SSLConfig)
def its_views_have_the_sizes_that_it_says(config: type[SSLConfig], **settings: Any) -> None:
    inputs = _inputs(config, settings)
    method, data = _method(inputs), inputs.data
    views = method.views(augmentation(method, data))
    assert len(views), "views: it needs one at least"
    for view, images in zip(views, _views(inputs), strict=True):
        sides = (max(1, round(side * view.scale)) for side in data.size)
        assert images.shape == (16, data.channels, *sides), f"{view}: made {tuple(images.shape)}"
        assert images.isfinite().all(), f"{view}: its values must be finite"


@promise(SSLConfig)
def its_weights_come_from_the_seed(config: type[SSLConfig], **settings: Any) -> None:
    inputs = _inputs(config, settings)
    first, second = (_learner(inputs).state_dict() for _ in range(2))
    differ = [name for name in first if not first[name].equal(second[name])]
    assert not differ, f"{differ}: must be drawn from torch's generator, which is seeded"


@promise(SSLConfig)
def its_loss_is_a_finite_number_with_gradients(config: type[SSLConfig], **settings: Any) -> None:
    inputs = _inputs(config, settings)
    learner = _learner(inputs)
    loss = _loss(learner, inputs)
    assert loss.shape == (), f"loss: shape {tuple(loss.shape)}, it must be a scalar"
    assert loss.dtype == torch.float32, f"loss: {loss.dtype}, it must be computed in float32"
    assert loss.isfinite(), f"loss: {loss.item()}, it must be finite"
    loss.backward()
    gradients = {name: each.grad for name, each in learner.named_parameters()}
    given = {name: each for name, each in gradients.items() if each is not None}
    broken = [name for name, each in given.items() if not each.isfinite().all()]
    assert not broken, f"the gradients of {broken} must be finite"
    assert any(each.any() for each in given.values()), "the loss moves no weight"


@promise(SSLConfig)
def what_follows_is_left_out_of_the_optimiser(config: type[SSLConfig], **settings: Any) -> None:
    """A teacher that `after_step` moves has no gradients."""
    inputs = _inputs(config, settings)
    learner, method = _learner(inputs), _method(inputs)
    optimizer = method.build_optimizer(learner, torch.device("cpu"))
    held = {id(weight) for group in optimizer.param_groups for weight in group["params"]}
    # A method may hold others still for some epochs: they are trained all the same.
    trained = {name for name, weight in learner.named_parameters() if weight.requires_grad}
    _loss(learner, inputs).backward()
    optimizer.step()
    before = {name: weight.detach().clone() for name, weight in learner.named_parameters()}
    with torch.no_grad():
        learner.after_step(_progress(method))
    for name, weight in learner.named_parameters():
        moved = not weight.equal(before[name])
        assert not (moved and name in trained), (
            f"{name}: after_step moves it, so it must not be trained: requires_grad_(False)"
        )
        assert name in trained or id(weight) not in held, f"{name}: it is in the optimiser"
        assert name in trained or weight.grad is None, f"{name}: it has a gradient"


@promise(SSLConfig)
def what_it_leaves_is_an_encoder_that_has_learned(config: type[SSLConfig], **settings: Any) -> None:
    inputs = _inputs(config, settings)
    made = checkpoints(_stage(inputs))
    early, late = (strip("network.encoder", made[epoch].tensors) for epoch in (1, 2))
    backbone = inputs.config.model.build(inputs.data.channels, inputs.data.size)
    assert late.keys() == backbone.state_dict().keys(), (
        "the learner's `encoder` must be the backbone itself, or one like it, under that name: "
        f"the checkpoint has {sorted(late)[:3]} under it"
    )
    backbone.load_state_dict(late)
    weights = [name for name, _ in backbone.named_parameters()]
    assert any(not early[name].equal(late[name]) for name in weights), (
        "encoder: an epoch moves none of its weights"
    )
    assert made[2].tensors["features"].isfinite().all(), "encoder: its features must be finite"


@promise(SSLConfig)
def a_run_goes_on_bit_for_bit(config: type[SSLConfig], **settings: Any) -> None:
    assert_goes_on(_stage(_inputs(config, {"epochs": 4} | settings)), 2)


@promise(SSLConfig)
def its_key_says_whether_it_depends_on_its_length(config: type[SSLConfig], **settings: Any) -> None:
    """Without a horizon 2 epochs are the beginning of 4, and are kept under one key."""
    short, long = (_inputs(config, settings | {"epochs": epochs}) for epochs in (2, 4))
    keys = [pretrain_key(inputs.config, inputs.data) for inputs in (short, long)]
    if not _method(short).horizon_free:
        assert keys[0] != keys[1], "a run that reads `epochs` needs another key for another length"
        return
    assert keys[0] == keys[1], "a run that is horizon_free has one key for every length"
    of_two, of_four = (checkpoints(_stage(inputs))[2] for inputs in (short, long))
    assert_same(of_two, of_four, "horizon_free, but 2 epochs of 2 are not the first of 4")


@promise(SSLConfig)
def its_cost_is_a_number_of_passes(config: type[SSLConfig], **settings: Any) -> None:
    inputs = _inputs(config, settings)
    passes = _method(inputs).passes(inputs.config.model, inputs.data.shape)
    assert 0 < passes < float("inf"), f"passes: {passes}: a finite number above 0"


@promise(GivenEncoder)
def its_weights_are_those_of_the_backbone(config: type[GivenEncoder], **settings: Any) -> None:
    """Of the default backbone at its full size; made-up weights where they would be fetched."""
    given, model = small(config, **settings), PLUGINS["model"][default_choice("model")]()
    assert isinstance(model, ModelConfig)
    given.check_model(model)
    with TemporaryDirectory() as folder:
        stand_in = given.stand_in(model, Path(folder))
        if stand_in is not None:
            given = given.model_copy(update=_parsed(config, stand_in.fields))
        begun = given.encoder(model, 3, (32, 32), NullStore())
    wanted = model.state(3, (32, 32))
    assert begun, "encoder: it gives no weights at all"
    for name, tensor in begun.items():
        assert name in wanted, f"encoder: {name} is none of the backbone's own names"
        assert tensor.shape == wanted[name].shape, f"encoder: {name}: shape {tuple(tensor.shape)}"


def _parsed(config: type[GivenEncoder], fields: Any) -> dict[str, Any]:
    whole = config.model_validate(dict(fields))
    return {name: getattr(whole, name) for name in fields}


def _inputs(config: type[SSLConfig], settings: dict[str, Any]) -> Inputs:
    method = small(config, **(QUICK | settings))
    return tiny_inputs(pretrain=method, model=_model_for(method))


def _model_for(method: PretrainConfig) -> ModelConfig:
    """The smallest of the default backbone, or of the first that the method accepts."""
    usual = default_choice("model")
    for name in (usual, *sorted(PLUGINS["model"].keys() - {usual})):
        model = small(PLUGINS["model"][name])
        assert isinstance(model, ModelConfig)
        with suppress(ValueError):
            method.check_model(model)
            return model
    raise AssertionError("check_model: it accepts no backbone at all")


def _method(inputs: Inputs) -> SSLConfig:
    method = inputs.config.pretrain
    assert isinstance(method, SSLConfig)
    return method


def _stage(inputs: Inputs) -> Stage:
    method, key = _method(inputs), pretrain_key(inputs.config, inputs.data)
    assert key is not None
    return pretrain_stage(inputs, method, key, method.epochs)


def _learner(inputs: Inputs) -> Learner:
    with seeded_initialisation("a learner"):
        backbone = inputs.config.model.build(inputs.data.channels, inputs.data.size)
        return _method(inputs).learner(backbone)


def _views(inputs: Inputs, count: int = 16) -> list[Tensor]:
    method, data, random = _method(inputs), inputs.data, generator("views")
    augments = [view_augment(view, data) for view in method.views(augmentation(method, data))]
    images = data.x_train[:count]
    return [augment(images, augment.sample(count, random)) for augment in augments]


def _loss(learner: Learner, inputs: Inputs) -> Tensor:
    method, views = _method(inputs), _views(inputs)
    learner.before_step(_progress(method))
    labels = torch.from_numpy(inputs.labels.train[: len(views[0])]) if method.reads_labels else None
    draws = torch.rand(len(views[0]), learner.draws, generator=generator("draws"))
    return learner.loss(learner(Batch(views, labels, draws if learner.draws else None)))


def _progress(method: SSLConfig) -> Progress:
    return Progress(0.5, None if method.horizon_free else method.epochs)
