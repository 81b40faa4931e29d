"""What a label is, in lists and in the names of classes."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pictures import paint

from noisetune.data._labels import read_labels, whole_number
from noisetune.data._listing import Listed, plain
from noisetune.data.folder import Config
from noisetune.errors import UserError

WRITINGS: list[Callable[[int], str]] = [
    str, "+{}".format, "{}.0".format, '"{}"'.format, "'{}'".format, '"{}.0"'.format, "{:03}".format,
    "{:.18e}".format, '"""{}"""'.format,
]  # fmt: skip


def listed(labels: Sequence[str], part: str = "train") -> list[Listed]:
    """One image for each label, as a list has them."""
    return [
        Listed(f"{part}{row}.png", plain(label), f"{part}.txt:{row + 1}")
        for row, label in enumerate(labels)
    ]


def read(
    train: Sequence[str], test: Sequence[str], classes: Sequence[str] | None = None
) -> tuple[list[str], list[str]]:
    """The names of the classes that the labels of the training and the test list are read as."""
    known = read_labels(listed(train), listed(test, "test"), classes)
    names = [[known.classes[label] for label in part] for part in (known.train, known.test)]
    return names[0], names[1]


@pytest.fixture
def load(tmp_path: Path) -> Callable[..., Any]:
    """A data set of lists with these labels, an image of its own for each."""

    def load(train: Sequence[str], test: Sequence[str], **changes: Any) -> Any:
        number = 0
        for part, labels in (("train", train), ("test", test)):
            lines = []
            for label in labels:
                paint(tmp_path / f"{number}.png", number)
                lines.append(f"{number}.png\t{label}")
                number += 1
            (tmp_path / f"{part}.txt").write_text("\n".join(lines))
        lists = {"train_list": "train.txt", "test_list": "test.txt", "cache": tmp_path / "cache"}
        return Config(root=tmp_path, size=8, **lists, **changes).load()

    return load


@pytest.mark.parametrize(
    ("label", "number"),
    [
        ("0", 0), ("+3", 3), ("-1", -1), ("7.0", 7), ("7.", 7), ("007", 7), ("1e3", 1000),
        ("2.000000000000000000e+00", 2), ("1.5", None), ("", None), ("cat", None), ("1_0", None),
        ("０", None), ("0x1", None), ("nan", None), ("inf", None), ("1e999", None),
        ("9" * 19, None), ("-", None), ("1 2", None),
    ],
)  # fmt: skip
def test_a_whole_number_has_many_writings(label: str, number: int | None) -> None:
    assert whole_number(label) == number


@given(numbers=st.integers(2, 30), data=st.data())
def test_numbers_are_compared_by_value_however_they_are_written(numbers: int, data: Any) -> None:
    def written(rows: list[int]) -> list[str]:
        return [data.draw(st.sampled_from(WRITINGS))(row) for row in rows]

    train = data.draw(st.permutations(range(numbers)))
    test = data.draw(st.lists(st.integers(0, numbers - 1), min_size=1))
    known = read_labels(listed(written(train)), listed(written(test), "test"))
    assert known.classes == tuple(map(str, range(numbers)))
    assert (known.train.tolist(), known.test.tolist()) == (list(train), test)


words = st.text("abéc 12.\"'", min_size=1, max_size=4).filter(lambda text: plain(text) != "")


@given(
    train=st.lists(words, min_size=1, max_size=8),
    test=st.lists(words, max_size=8),
    classes=st.none() | st.lists(words.map(plain), min_size=1, max_size=6, unique=True),
)
def test_a_label_is_what_it_says_in_both_lists_or_is_refused(
    train: list[str], test: list[str], classes: list[str] | None
) -> None:
    """It is never another class than its own name or number, or its place in data.classes."""
    try:
        names = read(train, test, classes)
    except UserError:
        return
    for labels, found in zip((train, test), names, strict=True):
        for label, name in zip(map(plain, labels), found, strict=True):
            number = whole_number(label)
            same = label == name or (number is not None and number == whole_number(name))
            placed = classes is not None and number is not None and classes.index(name) == number
            assert same or placed
    said = dict(zip([*map(plain, [*train, *test])], [*names[0], *names[1]], strict=True))
    for label, name in said.items():
        if classes is not None and label in classes:
            assert name == label


@pytest.mark.parametrize(
    ("train", "test", "names"),
    [
        (["0.0", "1.0"], ["1", "0"], ["1", "0"]),
        (['"0"', '"1"'], ["1", "0"], ["1", "0"]),
        (["2019", "2021", "2020"], ["2021", "2019.0"], ["2021", "2019"]),
        (["1", "2", "3"], ["3", "1"], ["3", "1"]),
        (["b", "a b", '"c"'], ["c", "'a b'"], ["c", "a b"]),
        (["cafe\u0301", "b"], ["caf\u00e9"], ["caf\u00e9"]),
        (["9" * 20, "8" * 20], ["8" * 20], ["8" * 20]),
    ],
)
def test_test_labels_are_read_as_training_labels_are(
    load: Any, train: list[str], test: list[str], names: list[str]
) -> None:
    data = load(train, test)
    assert [data.class_names[label] for label in data.y_test] == names


def test_numbers_sort_as_numbers(load: Any) -> None:
    data = load([str(label) for label in range(12)], ["10", "2"])
    assert data.class_names == tuple(map(str, range(12)))
    assert data.y_test.tolist() == [10, 2]


@pytest.mark.parametrize(
    ("train", "test", "classes", "problem"),
    [
        (
            [f"class{n}" for n in range(12)], ["2"], None,
            r"test.txt:1: the label 2 beside 'class0' \(.*train.txt:1\) has two readings: "
            r"the class called '2', or the one at place 2 of the sorted names, 'class10'",
        ),
        (["0", "1"], ["1.0", "cat"], None, "^[^\n]*test.txt:2: label 'cat' is no class\nthe"),
        (["2019", "202l", "2020"], ["2019"], None, "label 2019 beside '202l' .* two readings"),
        (["2019", "219", "2020"], ["2019"], None, "label 2019 follows 219, and no training image"),
        (["0", "1", "3"], ["1"], None, "train.txt:3: the label 3 follows 1, and .* the label 2\n"),
        (["-1", "0"], ["0"], None, "train.txt:1: label -1 is out of range"),
        (["0", "1"], ["2"], None, "test.txt:1: label '2' is no class\nthe classes are 0, 1"),
        (["1", "2"], ["0"], None, "test.txt:1: label '0' is no class"),
        (
            ["0", "1"], ["1"], ["1", "0"],
            "label 0 has two readings: the class called '0', or the one at place 0, '1'",
        ),
        (["dog", "2", "cat"], ["2"], ["dog", "2", "cat"], "the label 2 has two readings"),
        (["0", "1"], ["1"], ["2019", "2020"], "train.txt:1: label '0' is no class"),
        (
            ["1", "2"], ["1"], ["a", "b"],
            "^[^\n]*train.txt:2: label '2' is no class\nthe classes are a, b, or 0..1",
        ),
        (["7", "1"], ["7"], ["dog", "7", "cat"], "label '1' is no class"),
        (["a", "b"], ["a"], ["a", "b", "brid"], "the class 'brid' has no training image"),
        (["a", "a"], ["a"], None, "images of one class alone"),
    ],
)  # fmt: skip
def test_what_has_two_readings_or_none_is_refused(
    load: Any, train: list[str], test: list[str], classes: list[str] | None, problem: str
) -> None:
    with pytest.raises(UserError, match=problem):
        load(train, test, classes=classes)


@pytest.mark.parametrize(
    ("labels", "classes", "expected"),
    [
        (["2008", "2000", "2004"], [2000, 2004, 2008], [2, 0, 1]),
        (["-1", "1"], ["-1", "1"], [0, 1]),
        (["2", "0", "1"], ["zero", "one", "two"], [2, 0, 1]),
        (["1.0", "cat", "0"], ["dog", "frog", "cat"], [1, 2, 0]),
        (["B", "1", "0"], ["0", "1", "B"], [2, 1, 0]),
        (["02", "cat"], ["cat", "dog", "02"], [2, 0]),
    ],
)
def test_the_names_in_classes_decide(
    labels: list[str], classes: list[Any], expected: list[int]
) -> None:
    names = Config(root=".", size=8, classes=classes).classes
    assert read_labels(listed(labels), [], names).train.tolist() == expected


def test_a_label_that_is_empty_is_none(load: Any) -> None:
    with pytest.raises(UserError, match=r"train.txt:2: .* is no `path label`"):
        load(["a", '""', "b"], ["a"])
