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


class Config(RateNoise):
    """With probability `rate` a label becomes the class it is confused with.

    Where classes have superclasses (CIFAR-100), that is the next class of its superclass in the
    order of the labels, the first one after the last. Otherwise it is CIFAR-10's five confusions,
    by the names of the classes.
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
    if not CIFAR10.keys() | set(CIFAR10.values()) <= index.keys():
        shown = ", ".join(clean.class_names[:10])
        raise UserError(
            "noise.model: asymmetric knows what CIFAR-10's classes and the classes of a superclass "
            f"are confused with, not the classes of this data set ({shown}); choose data cifar10 "
            "or cifar100, or give the chances as noise: {model: transition, matrix: ...}"
        )
    return np.array([index[CIFAR10.get(name, name)] for name in clean.class_names])


def _next_in_superclass(superclasses: Labels) -> Labels:
    following = np.empty_like(superclasses)
    for superclass in np.unique(superclasses):
        members = np.flatnonzero(superclasses == superclass)
        following[members] = np.roll(members, -1)
    return following
