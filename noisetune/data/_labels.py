"""What a label is: one rule for lists, for class folders and for the names in `data.classes`.

A label is a text, without quotes around it. Where all classes are whole numbers in some writing
(`0`, `0.0`, `+0`), labels are numbers: compared and sorted by value. Else they are names, compared
as they stand and sorted as texts, and a number stands for a place in `data.classes` where it can
mean nothing else.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise

import numpy as np

from noisetune.data._listing import SHOWN, Listed, refuse
from noisetune.errors import UserError

# Also what NumPy and pandas make of a whole number among fractions: 1.0 and 1.000e+00.
NUMBER = re.compile(r"[+-]?\d{1,18}(\.\d{0,18})?([eE][+-]?\d{1,2})?", re.ASCII)


def whole_number(label: str) -> int | None:
    """The number that a label is in some writing; None for another text."""
    number = Decimal(label) if NUMBER.fullmatch(label) else None
    return int(number) if number is not None and number == number.to_integral_value() else None


@dataclass(frozen=True)
class Labelled:
    """The names of the classes in the order of their labels, and labels int64 (N,) of the parts."""

    classes: tuple[str, ...]
    train: np.ndarray
    test: np.ndarray


def read_labels(
    train: Sequence[Listed],
    test: Sequence[Listed],
    given: Sequence[str] | None = None,
    folders: Sequence[str] | None = None,
) -> Labelled:
    """The labels of both parts as numbers of classes.

    Classes are `given` (`data.classes`), or `folders`, those of the training part, or what the
    training list has: then numbers must follow one another, and stand beside no words. UserError,
    with where it stands, for what is no class and for what has two readings.
    """
    places = _places([*train, *test])
    if given is not None:
        names, index = given, _given_index(places, given)
    elif folders is not None:
        names = _in_order(folders)
        index = _index(places, names)
    else:
        names = _listed_classes(places, _places(train))
        index = _index(places, names)
    problems = [
        f"{each.where}: label {each.label!r} is no class"
        for each in [*train, *test]
        if each.label not in index
    ]
    shown = ", ".join(names[:SHOWN]) + (", ..." if len(names) > SHOWN else "")
    span = f", or 0..{len(names) - 1}" if given is not None and _worded(names) else ""
    refuse(problems, f"the classes are {shown}{span}; mend the labels, or data.classes")
    parts = (np.array([index[each.label] for each in part], np.int64) for part in (train, test))
    return Labelled(tuple(names), *parts)


def refuse_empty(labelled: Labelled, part: str, left_out: Sequence[str]) -> None:
    """UserError for classes without a training image: noise would label images with them.

    `left_out` are files that are no images, as `part/class/...`.
    """
    problems = []
    for place in sorted(set(range(len(labelled.classes))) - set(labelled.train.tolist())):
        name = labelled.classes[place]
        files = [path for path in left_out if path.startswith(f"{part}/{name}/")]
        shown = ", ".join(files[:SHOWN]) + (", ..." if len(files) > SHOWN else "")
        why = f" (files left out there: {len(files)}, {shown})" if files else ""
        problems.append(f"data: the class {name!r} has no training image{why}")
    refuse(problems, "give it images, mend its name in data.classes, or take it out")


def _places(listed: Iterable[Listed]) -> dict[str, str]:
    """Every label that is written, with the first place where it is."""
    places: dict[str, str] = {}
    for each in listed:
        places.setdefault(each.label, each.where)
    return places


def _worded(labels: Iterable[str]) -> bool:
    """Whether any of them is a word."""
    return any(whole_number(label) is None for label in labels)


def _in_order(names: Iterable[str]) -> list[str]:
    names = sorted(names)
    return names if _worded(names) else sorted(names, key=lambda name: whole_number(name) or 0)


def _index(labels: Iterable[str], names: Sequence[str]) -> dict[str, int]:
    """The class of each label that is one: by value where classes are numbers, else by name."""
    if _worded(names):
        known = {name: place for place, name in enumerate(names)}
        return {label: known[label] for label in labels if label in known}
    values: dict[int | None, int] = {}
    for place, name in enumerate(names):
        first = values.setdefault(whole_number(name), place)
        if first != place:
            raise UserError(
                f"data: the classes {names[first]} and {name} are the same number; "
                "a class has one name"
            )
    return {label: values[n] for label in labels if (n := whole_number(label)) in values}


def _given_index(places: Mapping[str, str], names: Sequence[str]) -> Mapping[str, int]:
    """The class of each label by `data.classes`: by its name, or else by its place in them."""
    by_name = _index(places, names)
    by_place = {
        label: number
        for label in places
        if (number := whole_number(label)) is not None and 0 <= number < len(names)
    }
    numbers = [label for label in places if whole_number(label) is not None]
    named = {label: place for label in numbers if (place := _named(label, names)) is not None}
    # Where the names are numbers as well, a number says no place among them.
    if not named and _worded(names):
        return by_name | by_place
    if min(len(named), len(by_place)) < len(numbers):
        return by_name | named
    refuse(
        [
            f"{places[label]}: the label {label} has two readings: the class called "
            f"{names[place]!r}, or the one at place {by_place[label]}, {names[by_place[label]]!r}"
            for label, place in named.items()
            if place != by_place[label]
        ],
        "data.classes: write the classes in the order of their numbers, or give them names that "
        "are no numbers",
    )
    return by_name | named


def _named(label: str, names: Sequence[str]) -> int | None:
    """The place of the name that is the number `label`, best in its very writing."""
    if label in names:
        return names.index(label)
    number = whole_number(label)
    return next((place for place, name in enumerate(names) if whole_number(name) == number), None)


def _listed_classes(places: Mapping[str, str], train: Mapping[str, str]) -> list[str]:
    """The classes of lists without names for them; `places` has the labels of both parts."""
    if _worded(train):
        _refuse_mixture(places, sorted(train))
        return sorted(train)
    numbers: dict[int, str] = {}
    for label, where in train.items():
        numbers.setdefault(whole_number(label) or 0, where)
    _refuse_gaps(numbers)
    return [str(number) for number in sorted(numbers)]


def _refuse_mixture(places: Mapping[str, str], names: Sequence[str]) -> None:
    """UserError for numbers beside words: they may be names, or places among the names."""
    numbers = {label: n for label in places if (n := whole_number(label)) is not None}
    word = next(name for name in names if name not in numbers)
    beside = f"beside {word!r} ({places[word]})"
    problems = []
    for label, number in numbers.items():
        there = f" of the sorted names, {names[number]!r}" if 0 <= number < len(names) else ""
        problems.append(
            f"{places[label]}: the label {label} {beside} has two readings: the class called "
            f"{label!r}, or the one at place {number}{there}"
        )
    refuse(
        problems,
        "labels are numbers in both lists or names in both; mend them, or name the classes in the "
        "order of their numbers under data.classes",
    )


def _refuse_gaps(places: Mapping[int, str]) -> None:
    """UserError for numbers that do not follow one another, or are below 0."""
    numbers = sorted(places)
    problems = [f"{places[n]}: label {n} is out of range" for n in numbers if n < 0]
    for below, number in pairwise(numbers):
        if number > below + 1:
            between = str(below + 1) if number == below + 2 else f"{below + 1}..{number - 1}"
            problems.append(
                f"{places[number]}: the label {number} follows {below}, and no training image has "
                f"the label {between}"
            )
    refuse(
        problems,
        "data.train_list: labels that are numbers follow one another, from 0 or from another one; "
        "mend them, or where they are meant so name all classes under data.classes",
    )
