"""Who is told, and what of it can never be told."""

from collections.abc import Callable, Sequence

from noisetune.tracking.messages import Message


class RefusedError(Exception):
    """A message is in what was told that is refused however often it is told."""


class Receiver:
    """Who is told; to be told a message twice must change nothing.

    `kept` is the note that it was given last, '' where it was given none. It stands where the
    messages went: an older copy of that place has an older one. None: it keeps none.
    """

    kept: str | None = None

    def apply(self, messages: Sequence[Message]) -> None:
        """Take these, in their order; RefusedError where one of them can never be taken."""

    def keep(self, note: str) -> None:
        """Keep a note beside what was taken."""


class Teller:
    """Tells whom `connect` gives. What it refuses for ever goes to `refused`, with the reason, and
    all else is told. Whatever else it raises is raised: then `disconnect`, and tell it again."""

    def __init__(
        self, connect: Callable[[], Receiver], refused: Callable[[Message, str], None]
    ) -> None:
        self._connect, self._refused = connect, refused
        self._receiver: Receiver | None = None

    def connect(self) -> Receiver:
        """Whom to tell: the one that is connected, or a fresh one."""
        if self._receiver is None:
            self._receiver = self._connect()
        return self._receiver

    def disconnect(self) -> None:
        """Only a fresh receiver looks at how much has arrived, and at what is there."""
        self._receiver = None

    def tell(self, messages: Sequence[Message]) -> None:
        try:
            self.connect().apply(messages)
        except RefusedError:
            self.disconnect()
            for message in messages:
                self._tell_alone(message)

    def _tell_alone(self, message: Message) -> None:
        try:
            self.connect().apply([message])
        except RefusedError as refusal:
            self._refused(message, str(refusal))
