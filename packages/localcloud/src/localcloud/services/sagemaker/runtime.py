"""The operations of SageMaker's runtime: requests go to containers, are measured and captured."""

from __future__ import annotations

import asyncio
import json
import re
import time
import uuid
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import unquote

from localcloud.core import account, protocol
from localcloud.core.clock import INVOCATION_TIMEOUT
from localcloud.core.errors import ServiceError
from localcloud.services.sagemaker import event_stream
from localcloud.services.sagemaker.container_client import (
    ContainerClientError,
    ContainerResponse,
    NotConnectedError,
)
from localcloud.services.sagemaker.errors import invalid_invocation, model_error

if TYPE_CHECKING:
    from collections.abc import Mapping

    from localcloud.core.service import Answer, Route
    from localcloud.services.sagemaker.endpoint import Endpoint
    from localcloud.services.sagemaker.endpoints import Endpoints

HOLE = re.compile(r"\{[^}]*\}")
MAX_BODY_BYTES = 6_291_456
POLL_SECONDS = 0.05
SUCCESS, CLIENT_ERROR = 2, 4  # the classes of HTTP's status codes
OCTET_STREAM = "application/octet-stream"
CUSTOM_ATTRIBUTES = "x-amzn-sagemaker-custom-attributes"
FORWARDED_HEADERS = ("content-type", "accept", CUSTOM_ATTRIBUTES)
# Of a streamed response, whose own type is that of the stream.
STREAM_ACCEPT, STREAM_CONTENT_TYPE = "x-amzn-sagemaker-accept", b"x-amzn-sagemaker-content-type"
INFERENCE_ID = "x-amzn-sagemaker-inference-id"
VARIANT = "x-amzn-sagemaker-target-variant"
INFERENCE_ID_PATTERN = re.compile(r".{1,64}")
TIMED_OUT = (
    "Your invocation timed out while waiting for a response from container primary. Review the latency "
    "metrics for each container in Amazon CloudWatch, resolve the issue, and try again."
)


@dataclass(frozen=True)
class Runtime:
    """The operations InvokeEndpoint and InvokeEndpointWithResponseStream."""

    endpoints: Endpoints

    def routes(self) -> dict[str, Route]:
        """Return the paths of all operations of the runtime; those that are not here are refused."""
        runtime = protocol.model("sagemaker-runtime")
        known = {"InvokeEndpoint": self.invoke, "InvokeEndpointWithResponseStream": self.invoke_with_stream}
        return {
            HOLE.sub("[^/]+", runtime.operation_model(name).http["requestUri"]): known.get(
                name, _refuse(name)
            )
            for name in runtime.operation_names
        }

    async def invoke(self, path: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """Answer one invocation, with an error of the runtime's model if it fails."""
        try:
            endpoint, response = await self._invoke(unquote(path.split("/")[2]), headers, body)
        except ServiceError as error:
            return _error(error)
        return HTTPStatus.OK, _response_headers(endpoint, response), response.body

    async def invoke_with_stream(self, path: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """Answer one invocation by a stream of events, which begins when the container has answered."""
        accept = {"accept": headers[STREAM_ACCEPT]} if STREAM_ACCEPT in headers else {}
        own = {name: value for name, value in headers.items() if name != "accept"} | accept
        try:
            endpoint, response = await self._invoke(unquote(path.split("/")[2]), own, body)
        except ServiceError as error:
            return _error(error)
        names = {b"content-type": STREAM_CONTENT_TYPE}
        described = [(names.get(name, name), value) for name, value in _response_headers(endpoint, response)]
        stream = b"".join(map(event_stream.payload_part, response.parts))
        return HTTPStatus.OK, [*described, (b"content-type", event_stream.CONTENT_TYPE)], stream

    async def _invoke(
        self, name: str, headers: Mapping[str, str], body: bytes
    ) -> tuple[Endpoint, ContainerResponse]:
        await self._resumed(name)
        started = time.perf_counter()
        endpoint = self._endpoint(name, headers)
        if len(body) > MAX_BODY_BYTES:
            raise invalid_invocation(
                "1 validation error detected: Value at 'body' failed to satisfy constraint: "
                f"Member must have length less than or equal to {MAX_BODY_BYTES}"
            )
        sent = time.perf_counter()
        response = await _forward(endpoint, headers, body)
        model_seconds = time.perf_counter() - sent
        succeeded = response.status // 100 == SUCCESS
        if succeeded and endpoint.capture and endpoint.capture.samples_next():
            request = (headers.get("content-type", OCTET_STREAM), body)
            captured = (response.headers.get("content-type", OCTET_STREAM), response.body)
            endpoint.capture.add(request, captured, headers.get(INFERENCE_ID))
        overhead = time.perf_counter() - started - model_seconds
        endpoint.metrics.add(response.status, model_seconds, overhead, endpoint.count)
        if not succeeded:
            raise _container_error(endpoint, response)
        return endpoint, response

    async def _resumed(self, name: str) -> None:
        """Wait until an endpoint that an earlier cloud had is in service again, or has failed."""
        endpoint = self.endpoints.endpoints.get(name)
        while endpoint and endpoint.resumed and not endpoint.settled.is_set():  # noqa: ASYNC110 - an event of threads
            await asyncio.sleep(POLL_SECONDS)

    def _endpoint(self, name: str, headers: Mapping[str, str]) -> Endpoint:
        endpoint = self.endpoints.endpoints.get(name)
        if endpoint is None or endpoint.status not in ("InService", "Updating"):
            raise invalid_invocation(f"Endpoint {name} of account {account.ACCOUNT} not found.")
        variant = headers.get(VARIANT, endpoint.variant_name)
        if variant != endpoint.variant_name:
            raise invalid_invocation(f"Variant {variant} not found for endpoint {name}.")
        inference_id = headers.get(INFERENCE_ID)
        if inference_id is not None and not INFERENCE_ID_PATTERN.fullmatch(inference_id):
            raise invalid_invocation(
                "1 validation error detected: Value at 'inferenceId' must have 1 to 64 characters"
            )
        return endpoint


def _refuse(operation: str) -> Route:
    """Return the route of an operation that the local cloud does not have."""

    async def refuse(path: str, headers: Mapping[str, str], body: bytes) -> Answer:  # noqa: ARG001 - a route's signature
        words = protocol.not_part_of_cloud(operation)
        return _error(ServiceError("UnknownOperationException", words, HTTPStatus.NOT_IMPLEMENTED))

    return refuse


def _error(error: ServiceError) -> Answer:
    """Return the answer of an invocation that failed."""
    content = {"message": error.message, "Message": error.message, **error.fields}
    headers = [
        *_common_headers(),
        (b"x-amzn-errortype", error.code.encode()),
        (b"content-type", b"application/json"),
    ]
    return error.status, headers, json.dumps(content).encode()


async def _forward(endpoint: Endpoint, headers: Mapping[str, str], body: bytes) -> ContainerResponse:
    """Send a request to a server of the endpoint; without a response of its own the status is 0 or 503."""
    forwarded = [(name, headers[name]) for name in FORWARDED_HEADERS if name in headers]
    for _ in endpoint.instances:
        client = endpoint.pick_client()
        if client is None:
            break
        try:
            return await asyncio.wait_for(
                client.send("POST", "/invocations", forwarded, body), INVOCATION_TIMEOUT
            )
        except TimeoutError:
            return ContainerResponse(0, {}, TIMED_OUT.encode())
        except NotConnectedError:
            # This server has just ended: another one may be ready.
            continue
        except ContainerClientError as error:
            return ContainerResponse(
                HTTPStatus.SERVICE_UNAVAILABLE, {}, f"The server ended within its answer: {error}".encode()
            )
    return ContainerResponse(
        HTTPStatus.SERVICE_UNAVAILABLE,
        {},
        b"No instance of the endpoint can answer; its server is being started again.",
    )


def _response_headers(endpoint: Endpoint, response: ContainerResponse) -> list[tuple[bytes, bytes]]:
    """Return the headers that a caller gets: as on AWS, the container's other headers are dropped."""
    headers = [*_common_headers(), (b"x-amzn-invoked-production-variant", endpoint.variant_name.encode())]
    headers.append((b"content-type", response.headers.get("content-type", OCTET_STREAM).encode("latin-1")))
    if CUSTOM_ATTRIBUTES in response.headers:
        headers.append((CUSTOM_ATTRIBUTES.encode(), response.headers[CUSTOM_ATTRIBUTES].encode("latin-1")))
    return headers


def _common_headers() -> list[tuple[bytes, bytes]]:
    """Return the headers of every response."""
    return [(b"x-amzn-requestid", str(uuid.uuid4()).encode())]


def _container_error(endpoint: Endpoint, response: ContainerResponse) -> ServiceError:
    """Return a container's error as the caller gets it: 424, with the original status and message."""
    text = response.body.decode(errors="replace")
    whose = "client" if response.status // 100 == CLIENT_ERROR else "server"
    log_stream = endpoint.context.arn("logs", f"log-group:/aws/sagemaker/Endpoints/{endpoint.name}")
    message = (
        f'Received {whose} error ({response.status}) from primary with message "{text}". '
        f"See {endpoint.log} in account {account.ACCOUNT} for more information."
    )
    return model_error(message, response.status, text, log_stream)
