"""A store that is known to answer, before long work relies on it."""

from noisetune.answers import check_answer

from .objects import Objects
from .store import Store


def open_answering(url: str, option: str) -> Store:
    """The store at a folder or URL, which `option` names.

    UserError where it cannot be opened, or does not answer within `answers.ANSWER_SECONDS`.
    """
    if "://" in url.removeprefix("file://"):
        remedy = "see whether it is up and may be reached from here, or name a folder"
        check_answer(option, url, lambda: Objects(url, option).names(""), remedy)
    return Store.open(url, option=option)
