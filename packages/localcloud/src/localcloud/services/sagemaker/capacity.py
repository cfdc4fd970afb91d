"""UpdateEndpointWeightsAndCapacities: instances start and end while the others serve."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from localcloud.core import ministack
from localcloud.core.clock import INVOCATION_TIMEOUT
from localcloud.core.errors import validation_error
from localcloud.services.sagemaker.endpoint import SERVER_GRACE
from localcloud.services.sagemaker.instance import CLOSE_GRACE

if TYPE_CHECKING:
    from localcloud.core.service import Json
    from localcloud.services.sagemaker.endpoint import Endpoint
    from localcloud.services.sagemaker.endpoints import Endpoints
    from localcloud.services.sagemaker.instance import Instance

POLL_SECONDS = 0.02


def update(endpoints: Endpoints, request: Json) -> Json:
    """Change the weight and the number of instances of an endpoint in service, in a thread.

    Raises:
        ServiceError: the endpoint does not exist or is not in service, or the request does not fit it.
    """
    endpoint = endpoints.find(request["EndpointName"])
    changes = _changes(endpoint, request["DesiredWeightsAndCapacities"])
    with endpoints.lock:
        if endpoint.status != "InService":
            raise validation_error(f'Cannot update in-progress endpoint "{endpoint.arn}".')
        endpoint.status = "Updating"
        endpoint.settled.clear()
    endpoint.weight = float(changes.get("DesiredWeight", endpoint.weight))
    endpoint.desired = int(changes.get("DesiredInstanceCount", endpoint.count))
    endpoint.announce()

    activity = endpoint.context.activities.begin()

    def act() -> None:
        with ministack.scope(endpoint.context.region):
            endpoint.set_status("InService", _resize(endpoint))
            endpoint.settled.set()
            activity.end()

    threading.Thread(target=ministack.in_context(act), name=endpoint.name, daemon=True).start()
    return {"EndpointArn": endpoint.arn}


def _changes(endpoint: Endpoint, requested: list[Json]) -> Json:
    """Return the requested weight and number of instances of the endpoint's only variant."""
    for change in requested:
        if change["VariantName"] != endpoint.variant_name:
            raise validation_error(
                f'Could not find variant "{change["VariantName"]}" of endpoint "{endpoint.arn}".'
            )
        if change.get("DesiredInstanceCount", 1) < 1:
            raise validation_error("The only variant of an endpoint has at least one instance.")
    return {key: value for change in requested for key, value in change.items()}


def _resize(endpoint: Endpoint) -> str | None:
    """Start or end servers until there are as many as desired; return the reason if that has failed."""
    present = endpoint.instances
    if endpoint.desired > len(present):
        added = endpoint.start_instances(endpoint.desired - len(present))
        if failure := endpoint.wait_until_ready(added):
            endpoint.desired = len(present)
            for instance in added:
                instance.end(CLOSE_GRACE)
            return failure
        endpoint.instances = (*present, *added)
    elif endpoint.desired < len(present):
        endpoint.instances, removed = present[: endpoint.desired], present[endpoint.desired :]
        for instance in removed:
            retire(instance)
    return None


def retire(instance: Instance) -> None:
    """End a server that gets no more requests, after the requests in flight."""
    deadline = time.monotonic() + INVOCATION_TIMEOUT
    while instance.client and instance.client.in_flight and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
    instance.end(SERVER_GRACE)
