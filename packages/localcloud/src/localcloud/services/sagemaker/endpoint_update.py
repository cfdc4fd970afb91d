"""UpdateEndpoint: servers of another configuration start, get the requests, and the former ones end."""

from __future__ import annotations

import logging
import shutil
import threading
from typing import TYPE_CHECKING

from localcloud.core import disk_errors, ministack
from localcloud.core.errors import ServiceError, validation_error
from localcloud.core.object_store import DataError
from localcloud.services.sagemaker.capacity import retire
from localcloud.services.sagemaker.endpoint import Endpoint
from localcloud.services.sagemaker.instance import CLOSE_GRACE

if TYPE_CHECKING:
    from localcloud.core.activity import Activity
    from localcloud.core.service import Json
    from localcloud.services.sagemaker.endpoints import Endpoints

logger = logging.getLogger(__name__)
DEPLOYMENT = (
    "The local cloud updates an endpoint all at once, without alarms: leave DeploymentConfig out. CodeDeploy "
    "shifts the traffic of a function in steps."
)
UPDATABLE = ("EndpointName", "EndpointConfigName", "RetainAllVariantProperties")


def update(endpoints: Endpoints, request: Json) -> Json:
    """Change an endpoint in service to another configuration, in a thread.

    Raises:
        ServiceError: the endpoint, the configuration or its model does not exist, the endpoint is not in
            service, or the request has what the local cloud does not.
    """
    former = endpoints.find(request["EndpointName"])
    config = endpoints.configs.find(request["EndpointConfigName"])
    model = endpoints.models.find(config["ProductionVariants"][0]["ModelName"])
    if unsupported := sorted(request.keys() - set(UPDATABLE)):
        reason = (
            DEPLOYMENT
            if unsupported == ["DeploymentConfig"]
            else f"It does not take {', '.join(unsupported)}."
        )
        raise validation_error(reason)
    endpoints.check_image(former.name, model)
    with endpoints.lock:
        if former.status != "InService":
            raise validation_error(f'Cannot update in-progress endpoint "{former.arn}".')
        former.status = "Updating"
        former.settled.clear()
    former.announce()
    updated = Endpoint(
        former.context, former.name, former.arn, config, model, former.created, updates=former.updates + 1
    )
    if request.get("RetainAllVariantProperties"):
        updated.desired, updated.weight = former.count, former.weight
    activity = former.context.activities.begin()
    replace = ministack.in_context(lambda: _replace_and_end(endpoints, former, updated, activity))
    threading.Thread(target=replace, name=former.name, daemon=True).start()
    return {"EndpointArn": former.arn}


def _replace_and_end(endpoints: Endpoints, former: Endpoint, updated: Endpoint, activity: Activity) -> None:
    try:
        _replace(endpoints, former, updated)
    finally:
        activity.end()


def _replace(endpoints: Endpoints, former: Endpoint, updated: Endpoint) -> None:
    with ministack.scope(former.context.region):
        reason = _start(updated)
        if reason:
            for instance in updated.instances:
                instance.end(CLOSE_GRACE)
            shutil.rmtree(updated.folder, ignore_errors=True)
            former.set_status("InService", reason)
            former.settled.set()
            return
        updated.logs = former.logs  # of the same file
        endpoints.endpoints[former.name] = updated
        updated.set_status("InService")
        updated.settled.set()
        for instance in former.instances:
            retire(instance)
        former.flush()
        shutil.rmtree(former.folder / "model", ignore_errors=True)


def _start(updated: Endpoint) -> str | None:
    """Start the servers and wait for them; return the reason if that has failed."""
    try:
        with disk_errors.named(updated.folder):
            updated.unpack_model()
        updated.instances = updated.start_instances(updated.desired)
        return updated.wait_until_ready(updated.instances)
    except (DataError, ServiceError) as error:
        return str(error)
    except OSError as error:
        logger.exception("the update of endpoint %s failed", updated.name)
        return disk_errors.explained(error)
    except Exception as error:
        logger.exception("the update of endpoint %s failed", updated.name)
        return f"{type(error).__name__}: {error}"
