"""The environment of the cloud and of its processes, without the user's AWS credentials and proxies."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

ACCOUNT = "000000000000"
NOWHERE = os.devnull

# boto3 looks for credentials in the environment, in two files and in the instance's metadata: all are closed.
NO_CREDENTIALS = {
    "AWS_CONFIG_FILE": NOWHERE,
    "AWS_SHARED_CREDENTIALS_FILE": NOWHERE,
    "AWS_EC2_METADATA_DISABLED": "true",
}
# The variables by which a tool reaches this cloud with its access key; the cloud's own process has them.
OF_THE_CLOUD = (
    "AWS_ENDPOINT_URL",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_DEFAULT_REGION",
    "AWS_REGION",
)
PROXIES = ("http_proxy", "https_proxy", "all_proxy", "ftp_proxy")
# The variables without which a process may not start; a container would not have the rest of the user's
# either.
FOR_JOBS = (
    "PATH",
    "LANG",
    "LC_ALL",
    "LC_CTYPE",
    "TZ",
    "LD_LIBRARY_PATH",
    "DYLD_LIBRARY_PATH",
    "OMP_NUM_THREADS",
    "OMP_WAIT_POLICY",
    "PYTHONPYCACHEPREFIX",
    "SYSTEMROOT",
)


def without_aws(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment without AWS variables and proxies, every source of credentials closed."""
    kept = {
        key: value
        for key, value in environment.items()
        if not key.startswith(("AWS_", "MINISTACK_")) and key.lower() not in PROXIES
    }
    return {**kept, **NO_CREDENTIALS}


# OpenMP's threads wait for one another in a loop: on AWS a job has its instance's processors for itself. Here
# one of them may wait for a processor meanwhile, and a training then took up to 28 times as long.
SHARING = {"OMP_WAIT_POLICY": "PASSIVE"}


def for_job(environment: Mapping[str, str], home: Path, variables: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a job or an endpoint's server: a few inherited names, and `variables`."""
    kept = {key: environment[key] for key in FOR_JOBS if key in environment}
    own = {"HOME": str(home), "PYTHONUNBUFFERED": "1", **NO_CREDENTIALS}
    return {**SHARING, **kept, **own, **variables}


def for_tools() -> dict[str, str]:
    """Return the variables that point the tools of a build or a script at this cloud, with its access key."""
    return {name: os.environ[name] for name in OF_THE_CLOUD}
