from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError
from torchvision.datasets import CIFAR10, CIFAR100

from noisetune.data import cifar10, cifar100
from noisetune.data.cifar10 import CifarConfig
from noisetune.errors import UserError

WriteCifar = Callable[..., Path]
BOTH = [
    pytest.param(cifar10.Config, CIFAR10, 10, id="cifar10"),
    pytest.param(cifar100.Config, CIFAR100, 100, id="cifar100"),
]


def random_part(count: int, classes: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)
    return images, rng.integers(0, classes, count)


@pytest.mark.parametrize(("config", "dataset", "classes"), BOTH)
def test_the_official_layout_is_read_in_its_order(
    write_cifar: WriteCifar,
    config: type[CifarConfig],
    dataset: type[CIFAR10] | type[CIFAR100],
    classes: int,
) -> None:
    train, test = random_part(12, classes, 0), random_part(5, classes, 1)
    names = [f"class {label}" for label in range(classes)]
    data = config(root=write_cifar(dataset, train, test, names), download=False).load()
    assert np.array_equal(data.x_train.permute(0, 2, 3, 1), train[0])
    assert np.array_equal(data.x_test.permute(0, 2, 3, 1), test[0])
    assert data.y_train.tolist() == train[1].tolist()
    assert data.y_test.tolist() == test[1].tolist()
    assert data.class_names == tuple(names)


@pytest.mark.parametrize("field", ["mean", "std"])
def test_what_normalises_may_be_given(field: str) -> None:
    given = (0.1, 0.2, 0.3)
    config = cifar10.Config(made_up=True, train_samples=4, **{field: given})
    assert getattr(config.load(), field) == given
    for wrong in ((0.1, 0.2), (0.1, 0.2, 0.0), (100, 0.2, 0.3)):
        with pytest.raises(ValidationError, match=field):
            cifar10.Config(**{field: wrong})


@pytest.mark.parametrize(("config", "dataset", "classes"), BOTH)
def test_a_missing_root_is_a_user_error_where_nothing_may_be_downloaded(
    tmp_path: Path,
    config: type[CifarConfig],
    dataset: type[CIFAR10] | type[CIFAR100],
    classes: int,
) -> None:
    root = tmp_path / "nowhere"
    with pytest.raises(UserError, match=rf"data.root: .*{root}.*put .*{dataset.base_folder} there"):
        config(root=root, download=False).load()
    assert not root.exists()


def test_a_failed_download_is_a_user_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(self: CIFAR10) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr(CIFAR10, "download", offline)
    with pytest.raises(UserError, match=r"could not be downloaded \(no route to host\)"):
        cifar10.Config(root=tmp_path).load()


@pytest.mark.parametrize(("config", "dataset", "classes"), BOTH)
def test_what_fails_torchvisions_checksums_is_refused(
    tmp_path: Path,
    config: type[CifarConfig],
    dataset: type[CIFAR10] | type[CIFAR100],
    classes: int,
) -> None:
    folder = tmp_path / dataset.base_folder
    folder.mkdir()
    for file, _ in dataset.train_list + dataset.test_list:
        (folder / file).write_bytes(b"no batch")
    with pytest.raises(UserError, match="not found or corrupted"):
        config(root=tmp_path, download=False).load()


@pytest.mark.parametrize(
    ("config", "dataset", "labels"),
    [(cifar10.Config, CIFAR10, "test"), (cifar100.Config, CIFAR100, "test_fine")],
)
def test_mean_and_deviation_are_those_of_the_real_images(
    shared_data: Path,
    write_cifar: WriteCifar,
    config: type[CifarConfig],
    dataset: type[CIFAR10] | type[CIFAR100],
    labels: str,
) -> None:
    """Of 1,000 test images: a mean over them is known to about 0.004."""
    name = config().name
    images = real_images(shared_data, f"{name}/test_00.webp")
    with np.load(shared_data / f"{name}_labels.npz", allow_pickle=False) as arrays:
        part = images, arrays[labels][: len(images)]
    names = [str(label) for label in range(part[1].max() + 1)]
    data = config(root=write_cifar(dataset, part, part, names), download=False).load()
    pixels = data.x_train.double() / 255
    np.testing.assert_allclose(pixels.mean((0, 2, 3)), data.mean, atol=0.015)
    np.testing.assert_allclose(pixels.std((0, 2, 3)), data.std, atol=0.015)


def real_images(shared_data: Path, file: str) -> np.ndarray:
    mosaic = np.asarray(Image.open(shared_data / file).convert("RGB"))
    return mosaic.reshape(25, 32, 40, 32, 3).transpose(0, 2, 1, 3, 4).reshape(-1, 32, 32, 3)


def test_cifar100_is_read_with_its_superclasses(shared_data: Path, write_cifar: WriteCifar) -> None:
    """1,000 real images of each part, in the official layout, by torchvision's own loader."""
    with np.load(shared_data / "cifar100_labels.npz", allow_pickle=False) as arrays:
        labels = {name: arrays[name] for name in arrays}
    parts = {
        part: (real_images(shared_data, f"cifar100/{part}_00.webp"), labels[f"{part}_fine"][:1000])
        for part in ("train", "test")
    }
    names = labels["fine_names"].tolist()
    root = write_cifar(CIFAR100, parts["train"], parts["test"], names)
    data = cifar100.Config(root=root, download=False).load()
    assert np.array_equal(data.x_train.permute(0, 2, 3, 1), parts["train"][0])
    assert data.y_test.tolist() == parts["test"][1].tolist()
    assert data.class_names == tuple(names)
    assert data.superclasses == tuple(labels["fine_to_coarse"].tolist())
    coarse = np.array(data.superclasses)[data.y_train]
    assert coarse.tolist() == labels["train_coarse"][:1000].tolist()


def test_each_superclass_has_five_classes() -> None:
    assert np.bincount(cifar100.SUPERCLASSES).tolist() == [5] * 20


@pytest.mark.parametrize(("config", "dataset", "classes"), BOTH)
def test_what_is_known_without_the_files_is_what_made_up_ones_have(
    tmp_path: Path, config: type[CifarConfig], dataset: type[CIFAR10], classes: int
) -> None:
    given = config(root=tmp_path / "none", train_samples=3 * classes, test_samples=classes)
    assert given.here() is None
    facts, images = given.facts(), given.model_copy(update={"made_up": True}).load()
    assert (facts.seen, images.seen) == (False, True)
    for known in ("shape", "classes", "class_names", "mean", "std", "superclasses"):
        assert getattr(facts, known) == getattr(images, known)
    assert facts.y_train.tolist() == images.y_train.tolist()
    assert (len(facts.x_train), len(facts.x_test)) == (3 * classes, classes)
    assert not facts.x_train.any()
    assert facts.fingerprint != images.fingerprint
    assert len(config(root=tmp_path).facts().x_train) == 50_000
