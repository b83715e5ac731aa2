"""Before torch is imported: tiny nets gain nothing from several threads, and lose much on a busy machine."""

from __future__ import annotations

import os

from hypothesis import settings

os.environ.setdefault("OMP_NUM_THREADS", "1")

settings.register_profile("any machine", deadline=None)  # no test depends on how busy the machine is
settings.load_profile("any machine")
