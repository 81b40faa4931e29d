"""What befalls a world, and how often."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Faults:
    """How often something happens, as a chance at each step, and how often in all.

    `kill` a process, the one at work or another; `cut` the power of its host; let a process
    `freeze`; `delay` one step; go on with another thread (`switch`); let a clock `jump`. Of
    requests to a server `lost` do not arrive, `unanswered` do, and `late` ones do after their
    sender gave them up. `kill_at` is the number of a step at which the process at work dies in any
    case.
    """

    kill: float = 0.0
    cut: float = 0.0
    freeze: float = 0.0
    delay: float = 0.0
    switch: float = 0.0
    jump: float = 0.0
    lost: float = 0.0
    unanswered: float = 0.0
    late: float = 0.0
    most: int = 8
    kill_at: int = 0


NO_FAULTS = Faults()
