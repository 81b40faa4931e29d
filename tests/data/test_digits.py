import numpy as np
import torch
from sklearn.datasets import load_digits

from noisetune.data.digits import Config


def test_they_are_sklearns_digits_split_once() -> None:
    data = Config().load()
    assert data.x_train.shape == (1437, 1, 8, 8)
    assert data.x_test.shape == (360, 1, 8, 8)
    both = torch.cat([data.x_train, data.x_test]).flatten(1).numpy()
    original = np.round(load_digits().data * (255 / 16)).astype(np.uint8)
    assert sorted(map(bytes, both)) == sorted(map(bytes, original))


def test_each_image_has_its_own_label() -> None:
    data = Config().load()
    truth = load_digits()
    images = np.round(truth.data * (255 / 16)).astype(np.uint8)
    label_of = {bytes(image): label for image, label in zip(images, truth.target, strict=True)}
    for part, labels in ((data.x_train, data.y_train), (data.x_test, data.y_test)):
        flat = part.flatten(1).numpy()
        assert [label_of[bytes(image)] for image in flat] == labels.tolist()


def test_every_class_is_tested_in_its_share() -> None:
    counts = torch.bincount(Config().load().y_test)
    assert counts.min() >= 35
    assert counts.max() <= 37


def test_digits_are_never_flipped() -> None:
    data = Config().load()
    assert data.ssl_augment.flip == data.finetune_augment.flip == 0


def test_mean_and_deviation_are_those_of_the_training_images() -> None:
    data = Config(train_samples=100).load()
    pixels = data.x_train.double() / 255
    torch.testing.assert_close(data.mean[0], pixels.mean().item())
    torch.testing.assert_close(data.std[0], pixels.std().item())
