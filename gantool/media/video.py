"""Video files: what is in them, their frames, and writing them again. See the modules named below."""

from __future__ import annotations

from gantool.media.clip import write_clip
from gantool.media.decode import Frame, read_frames
from gantool.media.encode import VideoWriter
from gantool.media.encoders import writable_suffixes
from gantool.media.info import VideoInfo
from gantool.media.probe import probe
from gantool.media.trial import try_encoder

__all__ = [
    "Frame",
    "VideoInfo",
    "VideoWriter",
    "probe",
    "read_frames",
    "try_encoder",
    "writable_suffixes",
    "write_clip",
]
