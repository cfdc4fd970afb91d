"""The training within an execution of the pipeline, and the files beside its model."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from botocore.exceptions import ClientError

from delivery.history.actions import external_id, list_actions
from delivery.history.state_machines import ended_execution

if TYPE_CHECKING:
    from delivery.cloud import Cloud


def training_execution(cloud: Cloud, project: str, execution_id: str) -> str:
    """Give the address of the training's execution within the pipeline's; empty while there is none."""
    machine = f":{project}-workflow:"
    found = (external_id(action) for action in list_actions(cloud, f"{project}-pipeline", execution_id))
    return next((address for address in found if machine in address), "")


def trained(cloud: Cloud, project: str, execution_id: str) -> str:
    """Give the address of the training's execution once it has succeeded; empty before that."""
    training = training_execution(cloud, project, execution_id)
    ended = ended_execution(cloud, training) if training else None
    return training if ended and ended["status"] == "SUCCEEDED" else ""


def beside_model(cloud: Cloud, model_url: str, name: str) -> dict[str, Any]:
    """Read a JSON file that the training put beside a model; empty where it put none."""
    address = urlsplit(model_url)
    folder = address.path.strip("/").rpartition("/")[0]
    try:
        stored = cloud.client("s3").get_object(Bucket=address.netloc, Key=f"{folder}/{name}.json")
    except ClientError as error:
        if error.response["Error"]["Code"] == "NoSuchKey":
            return {}
        raise
    return dict(json.loads(stored["Body"].read()))
