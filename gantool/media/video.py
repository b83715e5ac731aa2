"""Video files: what is in them, their frames, and writing them again. See the modules named below."""

from __future__ import annotations

from gantool.media.clip import write_clip
from gantool.media.decode import Frame, read_frames
from gantool.media.encode import VideoWriter
from gantool.media.encoders import writable_suffixes
from gantool.media.probe import VideoInfo, probe

__all__ = [
    "Frame",
    "VideoInfo",
    "VideoWriter",
    "probe",
    "read_frames",
    "writable_suffixes",
    "write_clip",
]
