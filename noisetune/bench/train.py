"""Training at the speed of the machine: our stages beside the public way and the model alone."""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from noisetune.bench.other_work import MachineWatch
from noisetune.bench.public import public_way
from noisetune.bench.rounds import Part, Round, Spent, Until, Versus, ratio_figures, take_rounds
from noisetune.config import TrialConfig
from noisetune.data._augmentations import SMALL_FINETUNE, SMALL_SSL
from noisetune.data.base import ImageData
from noisetune.models.base import Classifier
from noisetune.records import MetricPoint
from noisetune.ssl.base import Batch, Learner, SSLConfig
from noisetune.stages.base import Inputs, Stage
from noisetune.stages.finetune import finetune_key, finetune_stage
from noisetune.stages.labels import draw_labels
from noisetune.stages.pretrain import pretrain_key, pretrain_stage
from noisetune.training.runtime import Runtime
from noisetune.training.speed import FORWARD_AND_BACKWARD, forward_flops, processor

CLASSES = 10
ENDLESS = 10**9  # epochs: a stage of the bench is left, never finished
MATMUL_SIZE, MATMULS = 8192, 20
HELD_OUT = 1e-6  # the share of images for validation: one of them
PUBLIC = Versus(over=("public",), under="pretrain")
ROOFS = {
    f"{stage} to roof": Versus(over=(f"{stage}_roof",), under=stage)
    for stage in ("pretrain", "finetune")
}


@dataclass(frozen=True)
class Setting:
    """What is trained: ResNet18 of `width` on RGB images of `size`, `batches` of `batch_size` to a
    round; `runtime` is settled as that of a long trial."""

    runtime: Runtime = field(default_factory=Runtime)
    width: int = 64
    size: int = 32
    batch_size: int = 256
    batches: int = 1

    @property
    def public_batches(self) -> int:
        """Fewer of the slowest part."""
        return max(1, self.batches // 4)

    def inputs(self) -> Inputs:
        """A trial on random images; UserError for a device that is not there."""
        plan = {"epochs": ENDLESS, "batch_size": self.batch_size}
        raw = {
            "data": {"name": "digits", "validation_fraction": HELD_OUT},
            "noise": {"model": "none"},
            "model": {"width": self.width},
            "pretrain": {"method": "simclr", "drop_last": True, **plan},
            "finetune": plan,
            "runtime": self.runtime.model_dump(),
        }
        data = self._data()
        config = TrialConfig.parse(raw, "bench train").resolve(data=data)
        return Inputs(config, data, draw_labels(config, data))

    def _data(self) -> ImageData:
        count = self.batches * self.batch_size + 1  # one image is held out
        random = torch.Generator().manual_seed(0)
        images = torch.randint(
            0, 256, (count, 3, self.size, self.size), generator=random, dtype=torch.uint8
        )
        labels = torch.arange(count) % CLASSES
        return ImageData(
            x_train=images,
            y_train=labels,
            x_test=images[:1],
            y_test=labels[:1],
            class_names=tuple(map(str, range(CLASSES))),
            mean=(0.5, 0.5, 0.5),
            std=(0.25, 0.25, 0.25),
            finetune_augment=SMALL_FINETUNE,
            ssl_augment=SMALL_SSL,
        )


def measure_train(setting: Setting, until: Until) -> dict[str, Any]:
    """Pre-training, fine-tuning, the model alone and lightly's example in turns, `until` the
    ratios are known.

    Images a second count pairs of views in pre-training. `ratios` are those of seconds for a batch,
    by the clock and of processors; `ratio_to_public` is our pre-training over lightly's by the
    clock, None where it is not installed; `ratio_to_roof` the lower one of both stages over the
    model alone. On a GPU `matmul_share` is the part of the measured rate of bf16 matrix products
    that pre-training reaches.
    """
    inputs = setting.inputs()
    runtime = inputs.config.runtime
    runtime.apply()
    with ExitStack() as stack:
        machine = MachineWatch()
        parts = dict[str, Part]()
        public = stack.enter_context(public_way(inputs, setting.public_batches))
        for name, stage in stages(inputs).items():
            parts[name] = Part(one_epoch(stage), setting.batches)
            parts[f"{name}_roof"] = Part(model_alone(inputs, name, setting), setting.batches)
        if public is not None:
            parts["public"] = public
        for part in parts.values():
            part.run()  # it warms up
        ratios = ROOFS if public is None else {"pretrain to public": PUBLIC, **ROOFS}
        ways = {name: partial(spent, part, runtime.torch_device) for name, part in parts.items()}
        rounds = take_rounds(ways, ratios, until)
        other_work = machine.so_far()
    figures = _figures(setting, inputs, rounds, ratio_figures(rounds, ratios, until))
    return figures | other_work.figures()


def stages(inputs: Inputs) -> dict[str, Stage]:
    """Both training stages of a trial, as the pipeline runs them."""
    config, data = inputs.config, inputs.data
    method, key = config.pretrain, pretrain_key(config, data)
    assert isinstance(method, SSLConfig)
    assert key is not None
    return {
        "pretrain": pretrain_stage(inputs, method, key, ENDLESS),
        "finetune": finetune_stage(inputs, None, finetune_key(config, data, None, 0)),
    }


def one_epoch(stage: Stage) -> Callable[[], None]:
    """Pulls the stage to the end of its next epoch: loading, augmentation, steps, metrics."""
    events = stage.compute(None, lambda step: False)

    def epoch() -> None:
        while not isinstance(next(events), MetricPoint):
            pass

    return epoch


def model_alone(inputs: Inputs, stage: str, setting: Setting) -> Callable[[], None]:
    """Steps on one constant batch that lies on the device: what no data loading could beat."""
    config, runtime = inputs.config, inputs.config.runtime
    method, device = config.pretrain, runtime.torch_device
    assert isinstance(method, SSLConfig)
    plan = method if stage == "pretrain" else config.finetune
    network = runtime.place(_network(inputs, stage))
    forward, optimizer = runtime.compiled(network), plan.build_optimizer(network, device)
    batch = torch.rand(setting.batch_size, *inputs.data.shape, device=device)
    images = runtime.arrange(batch)
    labels = torch.arange(setting.batch_size, device=device) % CLASSES

    def loss() -> Tensor:
        with runtime.autocast():
            output = forward(Batch([images, images]) if stage == "pretrain" else images)
        if isinstance(network, Learner):
            return network.loss(output)
        return F.cross_entropy(output.float(), labels)

    def steps() -> None:
        for _ in range(setting.batches):
            value = loss()
            optimizer.zero_grad(set_to_none=True)
            value.backward()
            optimizer.step()

    return steps


def _network(inputs: Inputs, stage: str) -> nn.Module:
    config = inputs.config
    backbone = config.model.build(inputs.data.channels, inputs.data.size)
    if stage == "finetune":
        return Classifier(backbone, CLASSES)
    assert isinstance(config.pretrain, SSLConfig)
    return config.pretrain.learner(backbone)


def spent(part: Part, device: torch.device) -> Spent:
    """What one batch of a part takes."""
    before = part.cpu()
    wall = timed(part.run, device)
    return Spent(wall / part.batches, (part.cpu() - before) / part.batches)


def timed(run: Callable[[], None], device: torch.device) -> float:
    began = time.perf_counter()
    run()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - began


def _figures(
    setting: Setting, inputs: Inputs, rounds: Sequence[Round], measured: Mapping[str, Any]
) -> dict[str, Any]:
    runtime = inputs.config.runtime
    rates = {
        name: setting.batch_size / statistics.median(each[name].wall for each in rounds)
        for name in rounds[0]
    }
    wall = {name: kinds["wall"]["ratio"] for name, kinds in measured["ratios"].items()}
    figures = {
        "processor": processor(runtime.device),
        **runtime.model_dump(mode="json"),
        "width": setting.width,
        "size": setting.size,
        "batch_size": setting.batch_size,
        "images_per_second": rates,
        "ratio_to_public": wall.get("pretrain to public"),
        "ratio_to_roof": min(wall[name] for name in ROOFS),
        **measured,
    }
    if runtime.device == "cuda":
        reached = 2 * FORWARD_AND_BACKWARD * rates["pretrain"]
        reached *= forward_flops(inputs.config.model, inputs.data.shape)
        rate = matmul_rate(runtime.torch_device)
        figures |= {"matmul_tflops": rate / 1e12, "matmul_share": reached / rate}
    return figures


def matmul_rate(device: torch.device) -> float:
    """Floating-point operations a second of large bf16 matrix products."""
    left = torch.rand(MATMUL_SIZE, MATMUL_SIZE, device=device, dtype=torch.bfloat16)
    result = torch.empty_like(left)

    def products() -> None:
        for _ in range(MATMULS):
            torch.mm(left, left, out=result)

    timed(products, device)
    return 2 * MATMUL_SIZE**3 * MATMULS / timed(products, device)
