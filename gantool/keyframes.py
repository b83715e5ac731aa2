"""Which frames of a film the net sees, where it is not to see all of them (``--every N``)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from gantool.motion import Motion
from gantool.ops import flow as optical

_MOST_DOUBT = 0.25  # of the picture


def relied(trust: np.ndarray | None, motion: Motion, past: np.ndarray | None) -> np.ndarray:
    """How far a picture that is fetched along a motion can be relied on: (h,w) float32 in [0,1].

    ``trust``: that of the motion, or its loose one; ``past``: the same of the earlier picture, None for 1
    everywhere. What is doubtful stays so, wherever it goes. ``motion`` must have a flow.
    """
    assert motion.flow is not None and trust is not None
    return trust if past is None else trust * optical.follow(past, motion.flow)


class KeyFrames:
    """Tells frame by frame whether the net must see it: every Nth, and more where motion cannot be trusted.

    Between two of them the result is carried on by the motion, and what of it cannot be trusted adds up.
    Where the scene is cut, or begins, or goes on after a flash, there is nothing to be carried on.
    """

    def __init__(self, every: int) -> None:
        """``every``: 1 for all frames."""
        if every < 1:
            raise ValueError("every must be at least 1")
        self.every = every
        self._age = 0  # frames since the last key frame
        self._sure: np.ndarray | None = None

    def due(self, motion: Motion) -> bool:
        """Whether the next frame is a key frame. In order, without repeats."""
        if self.every > 1 and motion.flow is not None and not motion.resumed:
            self._age += 1
            self._sure = relied(motion.loose, motion, self._sure)
            if self._age < self.every and float(self._sure.mean()) > 1 - _MOST_DOUBT:
                return False
        self._age, self._sure = 0, None
        return True

    def state(self) -> dict[str, np.ndarray]:
        """What is remembered, for :meth:`restore`."""
        known = {"key_age": np.asarray(self._age)}
        return known if self._sure is None else {**known, "key_sure": self._sure}

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """Go on where another one of the same ``every`` was when it gave :meth:`state`."""
        self._age, self._sure = int(state["key_age"]), state.get("key_sure")
