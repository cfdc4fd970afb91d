"""InvokeEndpoint: from the caller to a container and back, measured and captured."""

from __future__ import annotations

import asyncio
import json
import re
import time
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import unquote

from localcloud.core import account
from localcloud.core.clock import INVOCATION_TIMEOUT
from localcloud.core.errors import ServiceError
from localcloud.services.sagemaker.container_client import NotConnectedError, Reply, UpstreamError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from localcloud.core.service import Answer
    from localcloud.services.sagemaker.endpoints import Endpoint, Endpoints

PATH = r"/endpoints/[^/]+/invocations"
BODY_MOST = 6_291_456
CUSTOM = "x-amzn-sagemaker-custom-attributes"
PASSED_ON = ("content-type", "accept", CUSTOM)
INFERENCE_ID = "x-amzn-sagemaker-inference-id"
VARIANT = "x-amzn-sagemaker-target-variant"
INFERENCE_ID_PATTERN = re.compile(r".{1,64}")
TIMED_OUT = (
    "Your invocation timed out while waiting for a response from container primary. Review the latency "
    "metrics for each container in Amazon CloudWatch, resolve the issue, and try again."
)


@dataclass(frozen=True)
class Runtime:
    """The operation InvokeEndpoint."""

    endpoints: Endpoints

    async def invoke(self, path: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """Answer one invocation; errors are those of the runtime's model."""
        try:
            return await self._invoke(unquote(path.split("/")[2]), headers, body)
        except ServiceError as error:
            fault = {"message": error.message, "Message": error.message, **error.fields}
            identified = [*common(), (b"x-amzn-errortype", error.code.encode())]
            return (
                error.status,
                [*identified, (b"content-type", b"application/json")],
                json.dumps(fault).encode(),
            )

    async def _invoke(self, name: str, headers: Mapping[str, str], body: bytes) -> Answer:
        started = time.perf_counter()
        endpoint = self._endpoint(name, headers)
        if len(body) > BODY_MOST:
            raise refused(
                "1 validation error detected: Value at 'body' failed to satisfy constraint: "
                f"Member must have length less than or equal to {BODY_MOST}"
            )
        asked = time.perf_counter()
        reply = await ask(endpoint, headers, body)
        answered = time.perf_counter()
        if reply.status // 100 == 2 and endpoint.capture and endpoint.capture.sampled():  # noqa: PLR2004
            sent = (headers.get("content-type", "application/octet-stream"), body)
            received = (reply.headers.get("content-type", "application/octet-stream"), reply.body)
            endpoint.capture.add(sent, received, headers.get(INFERENCE_ID))
        model = answered - asked
        endpoint.metrics.add(reply.status, model, time.perf_counter() - started - model, endpoint.count)
        if reply.status // 100 != 2:  # noqa: PLR2004
            raise model_error(endpoint, reply)
        return 200, passed_back(endpoint, reply), reply.body

    def _endpoint(self, name: str, headers: Mapping[str, str]) -> Endpoint:
        endpoint = self.endpoints.endpoints.get(name)
        if endpoint is None or endpoint.status not in ("InService", "Updating"):
            raise refused(f"Endpoint {name} of account {account.ACCOUNT} not found.")
        variant = headers.get(VARIANT, endpoint.variant_name)
        if variant != endpoint.variant_name:
            raise refused(f"Variant {variant} not found for endpoint {name}.")
        inference_id = headers.get(INFERENCE_ID)
        if inference_id is not None and not INFERENCE_ID_PATTERN.fullmatch(inference_id):
            raise refused("1 validation error detected: Value at 'inferenceId' must have 1 to 64 characters")
        return endpoint


async def ask(endpoint: Endpoint, headers: Mapping[str, str], body: bytes) -> Reply:
    """Ask one of the endpoint's servers; when it gives no answer the reply is ours, with status 0 or 503."""
    passed = [(name, headers[name]) for name in PASSED_ON if name in headers]
    for _ in endpoint.instances:
        upstream = endpoint.pick()
        if upstream is None:
            break
        try:
            return await asyncio.wait_for(
                upstream.ask("POST", "/invocations", passed, body), INVOCATION_TIMEOUT
            )
        except TimeoutError:
            return Reply(0, {}, TIMED_OUT.encode())
        except NotConnectedError:
            # It has just died; the next one hasn't.
            continue
        except UpstreamError as error:
            return Reply(503, {}, f"The server ended within its answer: {error}".encode())
    return Reply(503, {}, b"No instance of the endpoint can answer; its server is being started again.")


def passed_back(endpoint: Endpoint, reply: Reply) -> list[tuple[bytes, bytes]]:
    """Return the headers that a caller gets; the container's others stay behind, as on AWS."""
    names = [*common(), (b"x-amzn-invoked-production-variant", endpoint.variant_name.encode())]
    names.append(
        (b"content-type", reply.headers.get("content-type", "application/octet-stream").encode("latin-1"))
    )
    if CUSTOM in reply.headers:
        names.append((CUSTOM.encode(), reply.headers[CUSTOM].encode("latin-1")))
    return names


def common() -> list[tuple[bytes, bytes]]:
    """Return the headers of every answer."""
    return [(b"x-amzn-requestid", str(uuid.uuid4()).encode())]


def refused(message: str) -> ServiceError:
    """Return the runtime's answer to a request that it does not pass on."""
    return ServiceError("ValidationError", message)


def model_error(endpoint: Endpoint, reply: Reply) -> ServiceError:
    """Return the caller's view of a container's error: 424, with the original status and message."""
    text = reply.body.decode(errors="replace")
    whose = "client" if 400 <= reply.status < 500 else "server"  # noqa: PLR2004
    group = f"/aws/sagemaker/Endpoints/{endpoint.name}"
    message = (
        f'Received {whose} error ({reply.status}) from primary with message "{text}". '
        f"See {endpoint.log} in account {account.ACCOUNT} for more information."
    )
    stream = endpoint.context.arn("logs", f"log-group:{group}")
    return ServiceError(
        "ModelError", message, 424, OriginalStatusCode=reply.status, OriginalMessage=text, LogStreamArn=stream
    )
