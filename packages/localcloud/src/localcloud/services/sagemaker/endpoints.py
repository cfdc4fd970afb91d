"""All endpoints, and the operations on them."""

from __future__ import annotations

import logging
import threading
from functools import partial
from typing import TYPE_CHECKING

from localcloud.core import ministack
from localcloud.core.clock import METRICS_FLUSH
from localcloud.core.errors import ServiceError, validation_error
from localcloud.core.service import Kept
from localcloud.services.cloudformation import interrupted
from localcloud.services.sagemaker import images
from localcloud.services.sagemaker.endpoint import SERVER_GRACE, Endpoint
from localcloud.services.sagemaker.instance import CLOSE_GRACE
from localcloud.services.sagemaker.models import container_of
from localcloud.services.sagemaker.pagination import list_resources

if TYPE_CHECKING:
    from localcloud.core.activity import Activity
    from localcloud.core.context import CloudContext
    from localcloud.core.service import Json, Operation
    from localcloud.services.sagemaker.resource_store import ResourceStore
    from localcloud.services.sagemaker.tags import Tags

logger = logging.getLogger(__name__)


class Endpoints:
    """All endpoints by their names."""

    def __init__(
        self, context: CloudContext, tags: Tags, configs: ResourceStore, models: ResourceStore
    ) -> None:
        """Begin without endpoints."""
        self.context, self.tags, self.configs, self.models = context, tags, configs, models
        self.endpoints: dict[str, Endpoint] = {}
        self.lock = threading.Lock()
        flush = ministack.in_context(self._flush)
        context.timers.every(METRICS_FLUSH, flush, "metrics and captured data", self._flush_due)

    def kept(self) -> dict[str, Kept]:
        """Return how the endpoints outlive the cloud: their servers are started again."""
        return {"endpoints": Kept(self._save, self._load, self._resume, noun="endpoints")}

    def _save(self) -> list[Json]:
        return [each.saved() for each in self.endpoints.values() if each.status != "Deleting"]

    def _load(self, saved: list[Json]) -> None:
        for each in saved:
            endpoint = Endpoint.restored(self.context, each)
            stack = self.tags.of(endpoint.arn).get(interrupted.STACK_TAG)
            if stack and interrupted.unrecorded(stack, endpoint.arn):
                # The stack is rolled back, which would not delete the endpoint.
                self.tags.drop(endpoint.arn)
                continue
            self.endpoints[endpoint.name] = endpoint

    def _resume(self) -> None:
        for endpoint in self.endpoints.values():
            if endpoint.status == "Failed":
                endpoint.settled.set()
            else:
                endpoint.resume()

    def operations(self) -> dict[str, Operation]:
        """Return the operations on endpoints."""
        return {
            "CreateEndpoint": self.create,
            "DescribeEndpoint": self.describe,
            "ListEndpoints": self.list,
            "DeleteEndpoint": self.delete,
        }

    def create(self, request: Json) -> Json:
        """Start an endpoint.

        Raises:
            ServiceError: there is an endpoint of this name, or its configuration or model does not exist.
        """
        name = request["EndpointName"]
        arn = self.context.arn("sagemaker", f"endpoint/{name}")
        config = self.configs.find(request["EndpointConfigName"])
        model = self.models.find(config["ProductionVariants"][0]["ModelName"])
        self.check_image(name, model)
        with self.lock:
            if name in self.endpoints:
                raise validation_error(f'Cannot create already existing endpoint "{arn}".')
            endpoint = self.endpoints[name] = Endpoint(self.context, name, arn, config, model)
        self.tags.set(arn, request.get("Tags", []))
        endpoint.begin()
        return {"EndpointArn": arn}

    def describe(self, request: Json) -> Json:
        """Describe an endpoint."""
        return self.find(request["EndpointName"]).describe()

    def list(self, request: Json) -> Json:
        """List endpoints."""
        descriptions = [endpoint.describe() for endpoint in list(self.endpoints.values())]
        return list_resources(
            request, descriptions, "Endpoint", "Endpoints", ("LastModifiedTime", "EndpointStatus")
        )

    def delete(self, request: Json) -> Json:
        """Delete an endpoint; its servers end after the requests in flight.

        Raises:
            ServiceError: the endpoint does not exist, or is being changed.
        """
        endpoint = self.find(request["EndpointName"])
        with self.lock:
            if endpoint.status in ("Creating", "Updating", "Deleting"):
                raise validation_error(f'Cannot update in-progress endpoint "{endpoint.arn}".')
            endpoint.status = "Deleting"
        endpoint.announce()
        activity = self.context.activities.begin()
        end = ministack.in_context(lambda: self._end(endpoint, activity))
        threading.Thread(target=end, daemon=True).start()
        return {}

    def find(self, name: str) -> Endpoint:
        """Return the endpoint of a name.

        Raises:
            ServiceError: the endpoint does not exist.
        """
        endpoint = self.endpoints.get(name)
        if endpoint is None:
            raise validation_error(
                f'Could not find endpoint "{self.context.arn("sagemaker", f"endpoint/{name}")}".'
            )
        return endpoint

    def check_image(self, name: str, model: Json) -> None:
        """Check that the program of a model's image can run here.

        Raises:
            ServiceError: the image is one of AWS, or the project's Dockerfile names no program.
        """
        way_out = "Deploy a model of this project with the image of this project."
        images.check_program(container_of(model)["Image"], f"Endpoint {name}", way_out)
        self.context.entrypoint()

    def close(self) -> None:
        """End every endpoint."""
        ending = [
            threading.Thread(target=ministack.in_context(partial(endpoint.end, CLOSE_GRACE)))
            for endpoint in self.endpoints.values()
        ]
        for thread in ending:
            thread.start()
        for thread in ending:
            thread.join()

    def _end(self, endpoint: Endpoint, activity: Activity) -> None:
        with ministack.scope(self.context.region):
            endpoint.end(SERVER_GRACE)
            with self.lock:
                self.endpoints.pop(endpoint.name, None)
            self.tags.drop(endpoint.arn)
            endpoint.gone.set()
            activity.end()

    def _flush_due(self) -> float | None:
        """Return the simulated time at which an endpoint first has something to store."""
        dues = (
            due for endpoint in list(self.endpoints.values()) if (due := endpoint.flush_due()) is not None
        )
        return min(dues, default=None)

    def _flush(self) -> bool:
        """Store what the endpoints have; return whether there was captured data, whose object is an event."""
        stored = False
        with ministack.scope(self.context.region):
            for endpoint in list(self.endpoints.values()):
                try:
                    stored |= endpoint.flush_if_due()
                except ServiceError:
                    logger.exception("the captured data of %s can't be stored", endpoint.name)
        return stored
