"""What the driver's machine does, at regular times, for the run of its sweep."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from noisetune.records import Metrics

SECONDS = 10.0

Tell = Callable[[Metrics], None]


@contextmanager
def watched_machine(tell: Tell, seconds: float = SECONDS) -> Iterator[None]:
    """Tell the machine's load at once and every so many `seconds`, until this is left."""
    over = threading.Event()

    def watch() -> None:
        look = machine_metrics()
        while not over.is_set():
            tell(look())
            over.wait(seconds)

    thread = threading.Thread(target=watch, name="machine", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def machine_metrics() -> Callable[[], Metrics]:
    """A look at processors, memory, disk and network, and at GPUs where nvidia-ml-py is installed,
    by MLflow's own names."""
    from mlflow.system_metrics.metrics.cpu_monitor import CPUMonitor
    from mlflow.system_metrics.metrics.disk_monitor import DiskMonitor
    from mlflow.system_metrics.metrics.gpu_monitor import GPUMonitor
    from mlflow.system_metrics.metrics.network_monitor import NetworkMonitor

    monitors = [CPUMonitor(), DiskMonitor(), NetworkMonitor()]
    with suppress(ImportError, RuntimeError):
        monitors.append(GPUMonitor())

    def look() -> Metrics:
        values: Metrics = {}
        for monitor in monitors:
            monitor.collect_metrics()
            new = monitor.aggregate_metrics()
            values |= {f"system/{name}": float(value) for name, value in new.items()}
            monitor.clear_metrics()
        return values

    return look
