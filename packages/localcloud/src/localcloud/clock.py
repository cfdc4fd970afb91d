"""The clock of a cloud whose waits are divided by its speed."""

from localcloud.core.clock import CAPTURE_FLUSH, MONITORING_DELAY, Clock

__all__ = ["CAPTURE_FLUSH", "MONITORING_DELAY", "Clock"]
