"""Files in a project's state directory: private, written whole, and errors that name them."""

from localcloud.core.disk_errors import FULL, explained, named
from localcloud.core.lock import holding
from localcloud.core.private_files import folder, write_whole

__all__ = ["FULL", "explained", "folder", "holding", "named", "write_whole"]
