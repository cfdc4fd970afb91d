"""The fixtures of the local cloud's tests."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parent))

from cloud_harness import (
    cramped,
    fast,
    hourly,
    open_project,
    project,
    rig,
)

__all__ = ["cramped", "fast", "hourly", "open_project", "project", "rig"]
