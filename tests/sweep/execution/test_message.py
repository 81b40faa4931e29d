from hypothesis import given
from hypothesis import strategies as st

from noisetune.records import MetricPoint, TrialResult
from noisetune.sweep.execution.message import Message

texts = st.none() | st.text(max_size=9)
metrics = st.dictionaries(st.text(max_size=9), st.none() | st.floats(allow_nan=False))
points = st.builds(MetricPoint, st.text(max_size=9), st.integers(0), metrics, st.floats(0, 1e10))
results = st.builds(
    TrialResult,
    config=st.dictionaries(st.text(max_size=9), texts),
    epochs=st.dictionaries(st.text(max_size=9), metrics),
    detection=metrics,
    noise=st.just({"train_matrix": [[0.5, None], [0.0, 1.0]]}),
    seconds=st.dictionaries(st.text(max_size=9), st.floats(0, 1e6)),
)
messages = st.builds(
    Message,
    points=st.lists(points, max_size=2).map(tuple),
    waiting=st.booleans(),
    finished=st.none() | results,
    error=texts,
    trace=texts,
    out_of_memory=st.booleans(),
    predictions=st.none() | st.binary(max_size=9),
)


@given(messages)
def test_a_message_arrives_as_it_was_sent(message: Message) -> None:
    result = message.to_result()
    assert Message.from_result(result) == message
    assert type(result["noisetune"]) is str
    assert result["done"] == (message.finished is not None or message.error is not None)


def test_a_result_without_a_message_says_nothing() -> None:
    assert Message.from_result(None) == Message.from_result({"done": True}) == Message()
