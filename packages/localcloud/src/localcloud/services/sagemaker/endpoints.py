"""Endpoints: the container's servers, from their start over their restarts to their end."""

from __future__ import annotations

import logging
import shutil
import socket
import threading
import time
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from typing import TYPE_CHECKING

from localcloud.core import disk_errors, ministack, object_store
from localcloud.core.clock import CAPTURE_FLUSH, INVOCATION_TIMEOUT, METRICS_FLUSH, now
from localcloud.core.errors import ServiceError, validation_error
from localcloud.services.sagemaker.capture import Capture
from localcloud.services.sagemaker.container_client import Upstream
from localcloud.services.sagemaker.jobs import milliseconds
from localcloud.services.sagemaker.metrics import Metrics
from localcloud.services.sagemaker.tags import Tags, listed

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from localcloud.core.context import CloudContext
    from localcloud.core.managed_process import ManagedProcess
    from localcloud.core.service import Json
    from localcloud.services.sagemaker.models import Catalogue

logger = logging.getLogger(__name__)
PING_EVERY = 0.02
# AWS gives a server four minutes, unless the variant has a ContainerStartupHealthCheckTimeoutInSeconds.
LOCAL_HEALTH_CHECK = 60.0
SERVER_GRACE = 10.0
CLOSE_GRACE = 2.0
RESTART_DELAY = 0.2
RESTART_DELAY_MOST = 5.0
LOG_TAIL = 15
LOG_TAIL_BYTES = 8192
# On AWS the server finds as many processors as the instance has; here all instances share this machine's.
WORKERS = {"MODEL_SERVER_WORKERS": "1"}


class Instance:
    """One server process: started, watched, started again when it dies."""

    def __init__(self, endpoint: Endpoint, own: Mapping[str, str]) -> None:
        """Keep how the server is started."""
        self.context, self.base, self.log = endpoint.context, endpoint.base, endpoint.log
        self.own, self.limit = dict(own), endpoint.health_check
        self.upstream: Upstream | None = None
        self.ready = threading.Event()
        self.failed: str | None = None
        self._child: ManagedProcess | None = None
        self._ending = threading.Event()

    def begin(self) -> None:
        """Start the server, in a thread that watches it."""
        threading.Thread(target=self._keep, daemon=True).start()

    def end(self, grace: float) -> None:
        """End the server, giving it `grace` seconds for what it does."""
        self._ending.set()
        self.ready.clear()
        if self._child:
            self._child.end(grace)

    def _keep(self) -> None:
        delay, first = RESTART_DELAY, True
        while not self._ending.is_set():
            started = time.monotonic()
            try:
                code = self._serve()
            except OSError as error:
                logger.exception("a server of %s can't be started", self.base.name)
                self.failed, code = disk_errors.explained(error), None
                if self._child:
                    self._child.end(CLOSE_GRACE)
            if self._ending.is_set():
                return
            if first and not self.ready.is_set():
                self.failed = self.failed or f"the server ended with exit code {code}"
                return
            first = False
            self.ready.clear()
            logger.warning(
                "a server of %s ended with exit code %s and is started again", self.base.name, code
            )
            delay = RESTART_DELAY if time.monotonic() - started > RESTART_DELAY_MOST else delay * 2
            self._ending.wait(min(delay, RESTART_DELAY_MOST))

    def _serve(self) -> int | None:
        port = free_port()
        own = {**WORKERS, **self.own, "SAGEMAKER_BIND_TO_PORT": str(port), "SERVING_HOST": "127.0.0.1"}
        command = [*self.context.entrypoint(), "serve"]
        child = self._child = self.context.spawn(command, self.base, own, self.log)
        if self._ending.is_set():
            return child.end(CLOSE_GRACE)
        if not self._healthy(child, port):
            return child.end(CLOSE_GRACE)
        self.upstream = Upstream(port)
        # For a client that asks the server directly.
        (self.base / "port").write_text(str(port), encoding="utf-8")
        self.ready.set()
        return child.wait()

    def _healthy(self, child: ManagedProcess, port: int) -> bool:
        deadline = time.monotonic() + self.limit
        while child.running and not self._ending.is_set():
            if answers(port):
                return True
            if time.monotonic() > deadline:
                self.failed = f"no answer to /ping within {self.limit:.0f} s"
                return False
            time.sleep(PING_EVERY)
        return False


@dataclass
class Endpoint:
    """One endpoint: the servers of its only variant, its capture and its metrics."""

    context: CloudContext
    name: str
    arn: str
    config: Json
    model: Json
    created: float = field(default_factory=now)
    status: str = "Creating"
    reason: str | None = None
    # Replaced, never changed: it is read on the event loop and resized in threads.
    instances: tuple[Instance, ...] = ()
    turn: int = 0
    settled: threading.Event = field(default_factory=threading.Event)
    gone: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        """Derive the directories, the capture and the metrics."""
        self.modified = self.created
        self.variant: Json = self.config["ProductionVariants"][0]
        self.variant_name = str(self.variant["VariantName"])
        self.desired = int(self.variant.get("InitialInstanceCount", 1))
        self.weight = float(self.variant.get("InitialVariantWeight", 1.0))
        self.base = self.context.state / "endpoints" / self.name
        self.log = self.context.state / "logs" / "endpoints" / f"{self.name}.log"
        self.metrics = Metrics(self.name, self.variant_name)
        self.capture: Capture | None = None
        if config := self.config.get("DataCaptureConfig"):
            flush = self.context.clock.seconds(CAPTURE_FLUSH)
            self.capture = Capture(self.name, self.variant_name, config, flush)

    @property
    def count(self) -> int:
        """The number of instances."""
        return len(self.instances)

    @property
    def health_check(self) -> float:
        """The seconds that a server has until it answers /ping."""
        own = self.variant.get("ContainerStartupHealthCheckTimeoutInSeconds")
        return float(own) if own else LOCAL_HEALTH_CHECK

    @property
    def in_flight(self) -> int:
        """How many requests are being answered."""
        return sum(instance.upstream.in_flight for instance in self.instances if instance.upstream)

    def begin(self) -> None:
        """Bring the endpoint into service, in a thread."""
        self.announce()
        threading.Thread(target=ministack.in_context(self._start), name=self.name, daemon=True).start()

    def pick(self) -> Upstream | None:
        """Return the server with the fewest requests among those that answer, or None."""
        instances = self.instances
        # Those with equally few take turns.
        self.turn = first = (self.turn + 1) % max(1, len(instances))
        ready = [
            instance.upstream
            for instance in (*instances[first:], *instances[:first])
            if instance.ready.is_set() and instance.upstream
        ]
        return min(ready, key=lambda upstream: upstream.in_flight) if ready else None

    def tick(self) -> None:
        """Store what has come together."""
        self.metrics.flush()
        if self.capture:
            self.capture.tick()

    def end(self, grace: float) -> None:
        """End the servers after the requests in flight, and store what was captured."""
        deadline = time.monotonic() + INVOCATION_TIMEOUT
        while self.in_flight and time.monotonic() < deadline and grace == SERVER_GRACE:
            time.sleep(0.02)
        threads = [threading.Thread(target=instance.end, args=(grace,)) for instance in self.instances]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.metrics.flush()
        if self.capture:
            self.capture.flush()
        shutil.rmtree(self.base, ignore_errors=True)

    def announce(self) -> None:
        """Send the state-change event."""
        status = (
            "".join(f"_{letter}" if letter.isupper() else letter for letter in self.status).strip("_").upper()
        )
        detail = {**milliseconds(self.describe()), "EndpointStatus": status}
        ministack.put_event("aws.sagemaker", "SageMaker Endpoint State Change", detail, [self.arn])

    def changed(self, status: str, reason: str | None = None) -> None:
        """Take a new status."""
        self.status, self.reason, self.modified = status, reason, now()
        self.announce()

    def describe(self) -> Json:
        """Return what DescribeEndpoint answers."""
        description: Json = {
            "EndpointName": self.name,
            "EndpointArn": self.arn,
            "EndpointConfigName": self.config["EndpointConfigName"],
            "EndpointStatus": self.status,
            "CreationTime": self.created,
            "LastModifiedTime": self.modified,
        }
        if self.status in ("InService", "Updating"):
            description["ProductionVariants"] = [self._variant()]
        if self.capture:
            config = self.capture.config
            description["DataCaptureConfig"] = {
                "EnableCapture": self.capture.enabled,
                "CaptureStatus": "Started" if self.capture.enabled else "Stopped",
                "CurrentSamplingPercentage": config["InitialSamplingPercentage"],
                "DestinationS3Uri": config["DestinationS3Uri"],
                "KmsKeyId": config.get("KmsKeyId", ""),
            }
        return description | ({"FailureReason": self.reason} if self.reason else {})

    def _variant(self) -> Json:
        image = self.model["PrimaryContainer"]["Image"]
        return {
            "VariantName": self.variant_name,
            "DeployedImages": [
                {"SpecifiedImage": image, "ResolvedImage": image, "ResolutionTime": self.created}
            ],
            "CurrentWeight": self.weight,
            "DesiredWeight": self.weight,
            "CurrentInstanceCount": self.count,
            "DesiredInstanceCount": self.desired,
        }

    def _start(self) -> None:
        with ministack.scope(self.context.region):
            try:
                self.log.parent.mkdir(parents=True, exist_ok=True)
                self.log.write_bytes(b"")
                with disk_errors.named(self.base):
                    self._unpack()
                reason = self._launch()
            except (object_store.DataError, ServiceError) as error:
                reason = str(error)
            except OSError as error:
                logger.exception("endpoint %s failed", self.name)
                reason = disk_errors.explained(error)
            except Exception as error:
                logger.exception("endpoint %s failed", self.name)
                reason = f"{type(error).__name__}: {error}"
            if reason:
                self.changed("Failed", reason)
                for instance in self.instances:
                    instance.end(CLOSE_GRACE)
            else:
                self.changed("InService")
            self.settled.set()

    def _unpack(self) -> None:
        shutil.rmtree(self.base, ignore_errors=True)
        (self.base / "model").mkdir(parents=True)
        if url := self.model["PrimaryContainer"].get("ModelDataUrl"):
            object_store.extract(object_store.fetch(url), self.base / "model")

    def launched(self, count: int) -> tuple[Instance, ...]:
        """Start so many servers, which are not asked anything yet."""
        environment = self.model["PrimaryContainer"].get("Environment", {})
        made = tuple(Instance(self, environment) for _ in range(count))
        for instance in made:
            instance.begin()
        return made

    def _launch(self) -> str | None:
        self.instances = self.launched(self.desired)
        return self.trouble(self.instances)

    def trouble(self, instances: tuple[Instance, ...]) -> str | None:
        """Wait until servers are ready, and return None; or say why one is not."""
        while not all(instance.ready.is_set() for instance in instances):
            if failed := next((instance.failed for instance in instances if instance.failed), None):
                why = f"{failed}{disk_errors.shortage(self.base)}"
                return (
                    f"The primary container for production variant {self.variant_name} did not pass the ping "
                    f"health check: {why}. The end of {self.log}:\n{tail(self.log)}"
                )
            time.sleep(PING_EVERY / 2)
        return None


class Endpoints:
    """All endpoints, and the operations on them."""

    member = "Endpoint"

    def __init__(self, context: CloudContext, tags: Tags, configs: Catalogue, models: Catalogue) -> None:
        """Begin without any."""
        self.context, self.tags, self.configs, self.models = context, tags, configs, models
        self.endpoints: dict[str, Endpoint] = {}
        self.lock = threading.Lock()
        self._closing = threading.Event()
        self._ticking: threading.Thread | None = None

    def create(self, request: Json) -> Json:
        """Start an endpoint by a configuration that exists."""
        name = request["EndpointName"]
        arn = self.context.arn("sagemaker", f"endpoint/{name}")
        config = self.configs.find(request["EndpointConfigName"])
        model = self.models.find(config["ProductionVariants"][0]["ModelName"])
        self.context.entrypoint()
        with self.lock:
            if name in self.endpoints:
                raise validation_error(f'Cannot create already existing endpoint "{arn}".')
            endpoint = self.endpoints[name] = Endpoint(self.context, name, arn, config, model)
            if self._ticking is None:
                self._ticking = threading.Thread(target=ministack.in_context(self._tick), daemon=True)
                self._ticking.start()
        self.tags.set(arn, request.get("Tags", []))
        endpoint.begin()
        return {"EndpointArn": arn}

    def describe(self, request: Json) -> Json:
        """Describe an endpoint."""
        return self.find(request["EndpointName"]).describe()

    def list(self, request: Json) -> Json:
        """List endpoints."""
        descriptions = [endpoint.describe() for endpoint in list(self.endpoints.values())]
        return listed(request, descriptions, "Endpoint", "Endpoints", ("LastModifiedTime", "EndpointStatus"))

    def delete(self, request: Json) -> Json:
        """Delete an endpoint that is not being made; its servers end after the requests in flight."""
        endpoint = self.find(request["EndpointName"])
        with self.lock:
            if endpoint.status in ("Creating", "Updating", "Deleting"):
                raise validation_error(f'Cannot update in-progress endpoint "{endpoint.arn}".')
            endpoint.status = "Deleting"
        endpoint.announce()
        threading.Thread(target=ministack.in_context(lambda: self._end(endpoint)), daemon=True).start()
        return {}

    def find(self, name: str) -> Endpoint:
        """Return the endpoint under a name."""
        endpoint = self.endpoints.get(name)
        if endpoint is None:
            raise validation_error(
                f'Could not find endpoint "{self.context.arn("sagemaker", f"endpoint/{name}")}".'
            )
        return endpoint

    def close(self) -> None:
        """End every endpoint."""
        self._closing.set()
        ending = [
            threading.Thread(target=ministack.in_context(lambda endpoint=endpoint: endpoint.end(CLOSE_GRACE)))  # type: ignore[misc]
            for endpoint in self.endpoints.values()
        ]
        for thread in ending:
            thread.start()
        for thread in ending:
            thread.join()

    def _end(self, endpoint: Endpoint) -> None:
        with ministack.scope(self.context.region):
            endpoint.end(SERVER_GRACE)
            with self.lock:
                self.endpoints.pop(endpoint.name, None)
            self.tags.drop(endpoint.arn)
            endpoint.gone.set()

    def _tick(self) -> None:
        with ministack.scope(self.context.region):
            while not self._closing.wait(self.context.clock.interval(METRICS_FLUSH)):
                for endpoint in list(self.endpoints.values()):
                    try:
                        endpoint.tick()
                    except ServiceError:
                        logger.exception("what %s was asked can't be captured", endpoint.name)


def free_port() -> int:
    """Return a port of this machine that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def answers(port: int) -> bool:
    """Whether the server on a port answers the health check with 200."""
    connection = HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", "/ping")
        return connection.getresponse().status == 200  # noqa: PLR2004
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()


def tail(log: Path) -> str:
    """Return the last lines of a log; none where it could not be written."""
    if not log.is_file():
        return ""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - LOG_TAIL_BYTES))
        return "\n".join(file.read().decode(errors="replace").splitlines()[-LOG_TAIL:])
