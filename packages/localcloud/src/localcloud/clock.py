"""The clock of a cloud: its speed divides AWS's waits, and it skips time in which nothing runs."""

from localcloud.core.clock import CAPTURE_FLUSH, MONITORING_DELAY
from localcloud.core.follower import Follower, period_end, wait, wait_until

__all__ = ["CAPTURE_FLUSH", "MONITORING_DELAY", "Follower", "period_end", "wait", "wait_until"]
