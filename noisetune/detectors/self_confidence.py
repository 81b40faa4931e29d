"""How sure the network is of the given label, and nothing else."""

from typing import Literal

from noisetune.detectors.base import Detector, Evidence, Judgement


class Config(Detector):
    """Labels are ranked by their low probability (cleanlab's `self_confidence`); none is held for
    wrong."""

    method: Literal["self_confidence"] = "self_confidence"

    def judge(self, evidence: Evidence) -> Judgement:
        # The negative orders as 1 - p does, without rounding small probabilities into ties.
        return Judgement(-evidence.self_confidence)
