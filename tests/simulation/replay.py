"""Shows one schedule, step by step. Usage: python replay.py SEED [--real-files]"""

import sys
from pathlib import Path

import noisetune.sweep  # noqa: F401  sets what Ray reads at its import

sys.path.insert(0, str(Path(__file__).parent))

from invariants import violations
from schedule import Schedule, run_through


def main(seed: int, durable: bool) -> None:
    schedule = Schedule.drawn(seed, durable)
    with run_through(schedule) as course:
        wrong = violations(course)
    print("\n".join([*course.world.log, str(schedule), f"drivers ended: {course.ends}"]))
    print("\n".join(wrong) or "all that was promised held")


if __name__ == "__main__":
    main(int(sys.argv[1]), "--real-files" in sys.argv)
