"""How far the given label is above the likeliest other class, by probability."""

from typing import Literal

import numpy as np

from noisetune.detectors.base import Detector, Evidence, Judgement


class Config(Detector):
    """Labels are ranked by their probability minus the largest other one (cleanlab's
    `normalized_margin`); none is held for wrong."""

    method: Literal["margin"] = "margin"

    def judge(self, evidence: Evidence) -> Judgement:
        others = evidence.probabilities.copy()
        others[np.arange(len(evidence.given)), evidence.given] = 0
        return Judgement(others.max(axis=1) - evidence.self_confidence)
