import threading

from noisetune.records import Metrics
from noisetune.tracking.machine import machine_metrics, watched_machine


def test_a_machine_is_looked_at_until_nobody_asks_any_more() -> None:
    told: list[Metrics] = []
    twice = threading.Event()

    def tell(values: Metrics) -> None:
        told.append(values)
        if len(told) == 2:
            twice.set()

    with watched_machine(tell, seconds=0.01):
        assert twice.wait(60)
    count = len(told)
    assert all(name.startswith("system/") for values in told for name in values)
    assert not any(thread.name == "machine" for thread in threading.enumerate())
    assert len(told) == count


def test_what_is_told_are_numbers_by_the_names_that_mlflow_shows() -> None:
    look = machine_metrics()
    for values in (look(), look()):
        assert 0 <= (values["system/system_memory_usage_percentage"] or 0) <= 100
        assert values.keys() >= {
            "system/cpu_utilization_percentage",
            "system/disk_usage_percentage",
            "system/network_receive_megabytes",
        }
