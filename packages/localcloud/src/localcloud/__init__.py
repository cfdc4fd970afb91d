"""AWS for one SageMaker project on this machine: ministack, and the services that it lacks.

`start` a project's cloud, `find` the one that runs, `stop` it. What it held is kept on disk: the next `start`
loads it, `describe_kept` describes it, and `delete_kept` removes it. A `Cloud` gives boto3 clients, and the
environment variables that point any other AWS tool at it. `localcloud.files`, `localcloud.containers` and
`localcloud.clock` have what the cloud itself uses and a project's own commands need as well.
"""

from localcloud.core.errors import CloudError
from localcloud.core.kept_files import delete as delete_kept
from localcloud.core.kept_files import describe as describe_kept
from localcloud.core.process import Cloud, find, start, stop
from localcloud.core.project import Commands, Preload, Project
from localcloud.core.requests import OWN

__all__ = [
    "OWN",
    "Cloud",
    "CloudError",
    "Commands",
    "Preload",
    "Project",
    "delete_kept",
    "describe_kept",
    "find",
    "start",
    "stop",
]
