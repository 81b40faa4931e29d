"""Asymmetric noise: a wrong label is the class that people take for the right one."""

from typing import Literal

import numpy as np

from noisetune.errors import UserError
from noisetune.noise.base import CleanPart, Labels, Matrix, RateNoise

CIFAR10 = {
    "truck": "automobile",
    "bird": "airplane",
    "deer": "horse",
    "cat": "dog",
    "dog": "cat",
}
"""The confusions of Patrini et al. 2017: five of ten classes, so the whole rate is rate / 2."""

FASHION_MNIST = {
    "Ankle boot": "Sneaker",
    "Sneaker": "Sandal",
    "Pullover": "Shirt",
    "Coat": "Dress",
    "Dress": "Coat",
}
"""The confusions of Zhang & Sabuncu 2018 (arXiv 1805.07836): five of ten classes, too."""


class Config(RateNoise):
    """With probability `rate` a label becomes the class it is confused with.

    Where classes have superclasses (CIFAR-100), that is the next class of its superclass in the
    order of the labels, the first one after the last. Otherwise it is the five confusions of
    CIFAR-10 or of Fashion-MNIST, by the names of the classes.
    """

    model: Literal["asymmetric"] = "asymmetric"

    def transition_matrix(self, clean: CleanPart) -> Matrix:
        own = np.eye(clean.classes)
        return (1 - self.rate) * own + self.rate * own[confused_with(clean)]


def confused_with(clean: CleanPart) -> Labels:
    """The class (classes,) that each class is confused with, itself for one that is not.

    UserError for a data set whose classes say nothing of that.
    """
    if clean.superclasses is not None:
        return _next_in_superclass(np.asarray(clean.superclasses))
    index = {name: label for label, name in enumerate(clean.class_names)}
    named = (pairs for pairs in (CIFAR10, FASHION_MNIST) if {*pairs, *pairs.values()} <= set(index))
    if (pairs := next(named, None)) is None:
        shown = ", ".join(clean.class_names[:10])
        raise UserError(
            "noise.model: asymmetric knows what the classes of CIFAR-10, of Fashion-MNIST and of a "
            f"superclass are confused with, not the classes of this data set ({shown}); choose "
            "data cifar10, cifar100 or fashion_mnist, or give the chances as noise: "
            "{model: transition, matrix: ...}"
        )
    return np.array([index[pairs.get(name, name)] for name in clean.class_names])


def _next_in_superclass(superclasses: Labels) -> Labels:
    following = np.empty_like(superclasses)
    for superclass in np.unique(superclasses):
        members = np.flatnonzero(superclasses == superclass)
        following[members] = np.roll(members, -1)
    return following
