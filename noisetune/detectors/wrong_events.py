"""Labels that the network did not come to predict, or forgot, while it learned."""

from typing import Literal

import numpy as np

from noisetune.detectors.base import Detector, Evidence, Judgement


class Config(Detector):
    """Labels are ranked by the number of epochs after which another class was predicted; none is
    held for wrong. All epochs count, whichever `checkpoint` gives the probabilities; of a single
    one the ranks are two."""

    reads = ("predictions",)

    method: Literal["wrong_events"] = "wrong_events"

    def judge(self, evidence: Evidence) -> Judgement:
        assert evidence.predictions is not None
        wrong = evidence.predictions != evidence.given
        return Judgement(wrong.sum(axis=0).astype(np.float64))
