"""UpdateEndpointWeightsAndCapacities: servers started and ended while the others serve."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from localcloud.core import ministack
from localcloud.core.clock import INVOCATION_TIMEOUT
from localcloud.core.errors import validation_error
from localcloud.services.sagemaker.endpoints import CLOSE_GRACE, SERVER_GRACE

if TYPE_CHECKING:
    from localcloud.core.service import Json
    from localcloud.services.sagemaker.endpoints import Endpoint, Endpoints, Instance

LOOK_EVERY = 0.02


def update(endpoints: Endpoints, request: Json) -> Json:
    """Change an endpoint that is in service to other numbers of instances, in a thread."""
    endpoint = endpoints.find(request["EndpointName"])
    wanted = asked_of(endpoint, request["DesiredWeightsAndCapacities"])
    with endpoints.lock:
        if endpoint.status != "InService":
            raise validation_error(f'Cannot update in-progress endpoint "{endpoint.arn}".')
        endpoint.status = "Updating"
        endpoint.settled.clear()
    endpoint.weight = float(wanted.get("DesiredWeight", endpoint.weight))
    endpoint.desired = int(wanted.get("DesiredInstanceCount", endpoint.count))
    endpoint.announce()

    def act() -> None:
        with ministack.scope(endpoint.context.region):
            endpoint.changed("InService", resized(endpoint))
            endpoint.settled.set()

    threading.Thread(target=ministack.in_context(act), name=endpoint.name, daemon=True).start()
    return {"EndpointArn": endpoint.arn}


def asked_of(endpoint: Endpoint, changes: list[Json]) -> Json:
    """Return what is asked of the endpoint's only variant."""
    for change in changes:
        if change["VariantName"] != endpoint.variant_name:
            raise validation_error(
                f'Could not find variant "{change["VariantName"]}" of endpoint "{endpoint.arn}".'
            )
        if change.get("DesiredInstanceCount", 1) < 1:
            raise validation_error("The only variant of an endpoint has at least one instance.")
    return {key: value for change in changes for key, value in change.items()}


def resized(endpoint: Endpoint) -> str | None:
    """Start or end servers until there are as many as desired; say why that failed."""
    present = endpoint.instances
    if endpoint.desired > len(present):
        more = endpoint.launched(endpoint.desired - len(present))
        if trouble := endpoint.trouble(more):
            endpoint.desired = len(present)
            for instance in more:
                instance.end(CLOSE_GRACE)
            return trouble
        endpoint.instances = (*present, *more)
    elif endpoint.desired < len(present):
        endpoint.instances, fewer = present[: endpoint.desired], present[endpoint.desired :]
        for instance in fewer:
            retire(instance)
    return None


def retire(instance: Instance) -> None:
    """End a server that gets no more requests, after those that it has."""
    deadline = time.monotonic() + INVOCATION_TIMEOUT
    while instance.upstream and instance.upstream.in_flight and time.monotonic() < deadline:
        time.sleep(LOOK_EVERY)
    instance.end(SERVER_GRACE)
