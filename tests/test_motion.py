"""Motion of source frames: cuts and what is none, repeats, sizes."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from moving_pictures import HEIGHT, WIDTH, scene, view

from gantool.motion import MotionTracker, flow_size, is_repeat
from gantool.ops import flow as optical


def test_repeats_are_told_byte_by_byte():
    frame = view(scene(1))
    other = frame.copy()
    assert is_repeat(other, frame)
    other[17, 5, 1] ^= 1  # between the rows that are looked at first
    assert not is_repeat(other, frame)
    assert not is_repeat(frame, frame[1:]) and not is_repeat(frame, None)


def test_deep_frames_move_as_shallow_ones_do():
    trackers = MotionTracker(), MotionTracker()
    for t in range(3):
        frame = view(scene(1), 3 * t, 20)
        shallow, deep = trackers[0].next(frame), trackers[1].next(frame.astype(np.uint16) * 257)
    assert shallow.flow is not None and deep.flow is not None
    for name in ("flow", "trust"):
        assert np.array_equal(getattr(shallow, name), getattr(deep, name))


def cuts(frames, method="farneback", careful=False) -> list[int]:
    """Where the past is dropped, for whatever reason."""
    tracker = MotionTracker(method, careful=careful)
    motions = [tracker.next(frame) for frame in frames]
    return [t for t, motion in enumerate(motions) if t and motion.flow is None and not motion.repeat]


def zoomed(picture: np.ndarray, t: int) -> np.ndarray:
    turn = cv2.getRotationMatrix2D((320, 120), 0.5 * t, 1 + 0.03 * t)
    return view(cv2.warpAffine(picture, turn, (640, 240)), 220, 40)


def shots(kind: str) -> list[np.ndarray]:
    picture, rng = scene(4), np.random.default_rng(5)
    still = view(picture, 100, 30)
    if kind == "pan":
        return [view(picture, 15 * t, 30) for t in range(12)]
    if kind == "zoom":
        return [zoomed(picture, t) for t in range(12)]
    if kind == "grain":
        return [np.clip(still + rng.normal(0, 25, still.shape), 0, 255).astype(np.uint8) for _ in range(8)]
    if kind == "grain on flat":
        return [np.clip(rng.normal(128, 8, still.shape), 0, 255).astype(np.uint8) for _ in range(8)]
    if kind == "exposure":
        return [np.clip(still * (1.0 if t % 2 else 0.75), 0, 255).astype(np.uint8) for t in range(8)]
    if kind == "fade":
        return [(view(picture, 2 * t, 30) * (1 - t / 16)).astype(np.uint8) for t in range(16)]
    return [still.copy() for _ in range(4)]


@pytest.mark.parametrize("careful", [False, True])
@pytest.mark.parametrize("method", optical.METHODS)
@pytest.mark.parametrize("kind", ["pan", "zoom", "grain", "grain on flat", "exposure", "fade", "still"])
def test_what_is_not_a_cut(kind, method, careful):
    assert cuts(shots(kind), method, careful) == []


@pytest.mark.parametrize("method", optical.METHODS)
def test_careful_trust_leaves_a_moving_thing_s_surroundings_alone_and_the_rest_as_it_is(method):
    """A square crosses a still scene: the past is kept far from it, and not where it was or is."""
    rng = np.random.default_rng(0)
    patch = rng.integers(0, 256, (40, 40, 1), dtype=np.uint8).repeat(3, 2)
    trackers = {careful: MotionTracker(method, 50.0, careful) for careful in (False, True)}
    for t in range(2):
        frame = view(scene(1))
        frame[50:90, 40 + 24 * t : 80 + 24 * t] = patch
        trust = {careful: tracker.next(frame).trust for careful, tracker in trackers.items()}
    assert trust[False] is not None and trust[True] is not None
    height, width = trust[True].shape
    scale = width / frame.shape[1]
    near = np.zeros((height, width), bool)
    near[round(44 * scale) : round(96 * scale), round(34 * scale) : round(110 * scale)] = True
    far = np.ones((height, width), bool)
    far[: round(120 * scale), : round(150 * scale)] = False
    assert trust[True][far].mean() > 0.9
    assert trust[True][near].mean() < 0.6 * trust[False][near].mean()
    assert (trust[True] <= trust[False] + 0.05).all()


@pytest.mark.parametrize("method", optical.METHODS)
def test_every_cut_of_a_busy_film_is_seen(method):
    frames = []
    for shot in range(5):
        picture = scene(20 + shot)
        frames += [view(picture, 6 * t, 20) for t in range(6)]
    assert cuts(frames, method) == [6, 12, 18, 24]


def test_flow_size():
    assert flow_size(720, 1280) == (360, 640)
    assert flow_size(2160, 3840) == (360, 640)
    assert flow_size(480, 854) == (240, 427)
    assert flow_size(240, 320) == (192, 256)
    assert flow_size(16, 16) == (16, 16)
    assert flow_size(1, 4000) == (1, 640)


def test_loose_trust_is_that_without_care():
    rng = np.random.default_rng(0)
    trackers = [MotionTracker(photometric=50, careful=careful, ahead=True) for careful in (False, True)]
    for t in range(2):
        picture = view(scene(1), 5 * t, 20).astype(int) + rng.normal(0, 4, (HEIGHT, WIDTH, 1))
        plain, careful = (one.next(np.clip(picture, 0, 255).astype(np.uint8)) for one in trackers)
    assert plain.trust is not None and careful.trust is not None and plain.loose is plain.trust
    assert np.array_equal(careful.loose, plain.trust) and careful.trust.mean() < 0.9 * plain.trust.mean()
    assert plain.ahead is not None and careful.ahead is not None
    assert np.array_equal(careful.ahead[2], plain.ahead[1])
