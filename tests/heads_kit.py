"""A tiny head for tests: an ellipsoid with a nose, made here, in the form of a morphable head's file."""

from __future__ import annotations

from pathlib import Path

import numpy as np

_ROWS, _COLUMNS = 28, 40


def arrays() -> dict[str, np.ndarray]:
    """The arrays of a head of a thousand vertices, two directions of identity and two of expression."""
    up, around = np.meshgrid(
        np.linspace(0, np.pi, _ROWS), np.linspace(0, 2 * np.pi, _COLUMNS, False), indexing="ij"
    )
    direction = np.stack([np.sin(up) * np.sin(around), np.cos(up), np.sin(up) * np.cos(around)], 2).reshape(
        -1, 3
    )
    vertices = direction * (8.0, 12.0, 10.5)
    nose = np.exp(-((vertices[:, 0] / 1.5) ** 2 + ((vertices[:, 1] - 0.5) / 2) ** 2)) * (vertices[:, 2] > 0)
    vertices[:, 2] += 3 * nose
    corner = (np.arange(_ROWS - 1)[:, None] * _COLUMNS + np.arange(_COLUMNS)).ravel()
    beside = (np.arange(_ROWS - 1)[:, None] * _COLUMNS + (np.arange(_COLUMNS) + 1) % _COLUMNS).ravel()
    a, b, c, d = corner, beside, corner + _COLUMNS, beside + _COLUMNS
    triangles = np.concatenate([np.stack([a, c, b], 1), np.stack([b, c, d], 1)])
    front = vertices[:, 2] > 0
    distance = np.linalg.norm(vertices[None, :, :2] - _marks()[:, None], axis=2) + 100 * ~front
    wide, long = vertices * (0.06, 0, 0), vertices * (0, 0.05, 0)
    low = (vertices[:, 1] < -2) & front
    expressions = np.stack([low[:, None] * (0, -1.0, 0), low[:, None] * (0.3, 0, 0.2)])
    return {
        "vertices": vertices.astype(np.float32),
        "triangles": triangles.astype(np.uint16),
        "triangle_region": np.zeros(len(triangles), np.uint8),
        "identity": np.stack([wide, long]).astype(np.float16),
        "expression": expressions.astype(np.float16),
        "expression_names": np.array(["jawOpen", "mouthSmile_L"]),
        "landmarks68": distance.argmin(1).astype(np.uint16),
    }


def head_file(folder: Path) -> Path:
    """That head as a file."""
    path = folder / "head.npz"
    np.savez(path, **arrays())
    return path


def _marks() -> np.ndarray:
    """Where the 68 landmarks are from the front, cm (68,2)."""
    turn = np.linspace(np.pi, 2 * np.pi, 17)
    jaw = np.stack([7.2 * np.cos(turn), 3 + 10 * np.sin(turn)], 1)
    brows = np.stack([np.r_[np.linspace(-5.8, -1.2, 5), np.linspace(1.2, 5.8, 5)], np.full(10, 6.0)], 1)
    bridge = np.stack([np.zeros(4), np.linspace(3.7, 0.4, 4)], 1)
    nostrils = np.stack([np.linspace(-1.3, 1.3, 5), np.full(5, -1.2)], 1)
    ring = np.radians([180, 120, 60, 0, 300, 240])
    eye = np.stack([1.3 * np.cos(ring), 0.5 * np.sin(ring)], 1)
    eyes = np.concatenate([eye + np.array([x, 3.5]) for x in (-3.1, 3.1)])
    outer, inner = np.radians(180 - 30 * np.arange(12)), np.radians(180 - 45 * np.arange(8))
    lips = np.stack([2.5 * np.cos(outer), -3.5 + 0.9 * np.sin(outer)], 1)
    mouth = np.stack([2.2 * np.cos(inner), -3.5 + 0.2 * np.sin(inner)], 1)
    return np.concatenate([jaw, brows, bridge, nostrils, eyes, lips, mouth])
