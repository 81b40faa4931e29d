"""Area under the margin: how far the given label was above the others while the network learned."""

from typing import Literal

import numpy as np

from noisetune.detectors.base import Detector, Evidence, Judgement


class Config(Detector):
    """Pleiss et al. 2020, arXiv 2001.10528: labels are ranked by the mean over all epochs of their
    logit minus the largest other one, at the end of each epoch and on images that are not trained
    on. None is held for wrong: the paper's threshold is that of a class of its own, which a trial
    does not train. All epochs count, whichever `checkpoint` gives the probabilities."""

    reads = ("margins",)

    method: Literal["aum"] = "aum"

    def judge(self, evidence: Evidence) -> Judgement:
        assert evidence.margins is not None
        return Judgement(-evidence.margins[np.arange(len(evidence.given)), evidence.given])
