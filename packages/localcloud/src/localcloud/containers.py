"""The project's container as a process of this machine."""

from localcloud.core.account import for_job
from localcloud.core.managed_process import ManagedProcess
from localcloud.core.object_store import DataError, extract
from localcloud.services.sagemaker.endpoint import tail
from localcloud.services.sagemaker.instance import answers, free_port

__all__ = ["DataError", "ManagedProcess", "answers", "extract", "for_job", "free_port", "tail"]
