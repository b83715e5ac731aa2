"""Before torch is imported: tiny nets gain nothing from several threads, and lose much on a busy machine."""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
