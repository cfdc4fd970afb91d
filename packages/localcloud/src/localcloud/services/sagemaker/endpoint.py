"""One endpoint: the instances of its only variant, with their capture and metrics."""

from __future__ import annotations

import logging
import shutil
import threading
import time
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from localcloud.core import disk_errors, kept, ministack, object_store
from localcloud.core.clock import INVOCATION_TIMEOUT, now
from localcloud.core.errors import ServiceError
from localcloud.services.sagemaker import images
from localcloud.services.sagemaker.capture import DataCapture
from localcloud.services.sagemaker.instance import CLOSE_GRACE, PING_SECONDS, Instance, ServerSettings
from localcloud.services.sagemaker.jobs import milliseconds
from localcloud.services.sagemaker.logs import LogForwarder
from localcloud.services.sagemaker.metrics import Metrics
from localcloud.services.sagemaker.models import container_of, unpack

if TYPE_CHECKING:
    from pathlib import Path

    from localcloud.core.activity import Activity
    from localcloud.core.context import CloudContext
    from localcloud.core.service import Json
    from localcloud.services.sagemaker.container_client import ContainerClient

logger = logging.getLogger(__name__)
# AWS gives a server four minutes, unless the variant has a ContainerStartupHealthCheckTimeoutInSeconds.
LOCAL_HEALTH_CHECK = 60.0
SERVER_GRACE = 10.0
POLL_SECONDS = 0.02
LOG_TAIL_LINES = 15
LOG_TAIL_BYTES = 8192
# The attributes that change after the creation, and outlive the cloud.
CHANGING = ("modified", "status", "reason", "desired", "weight")


@dataclass
class Endpoint:
    """The servers of an endpoint's only variant, its capture and its metrics."""

    context: CloudContext
    name: str
    arn: str
    config: Json
    model: Json
    created: float = field(default_factory=now)
    status: str = "Creating"
    reason: str | None = None
    # The tuple is replaced as a whole: the event loop reads it while threads resize it.
    instances: tuple[Instance, ...] = ()
    next_instance: int = 0
    updates: int = 0  # by UpdateEndpoint
    resumed: bool = False
    settled: threading.Event = field(default_factory=threading.Event)
    gone: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        """Derive the directories, the capture and the metrics."""
        self.modified = self.created
        self.variant: Json = self.config["ProductionVariants"][0]
        self.variant_name = str(self.variant["VariantName"])
        self.desired = int(self.variant.get("InitialInstanceCount", 1))
        self.weight = float(self.variant.get("InitialVariantWeight", 1.0))
        self.root = self.context.state / "endpoints" / self.name
        self.folder = self.root / f"update-{self.updates}" if self.updates else self.root
        self.log = self.context.state / "logs" / "endpoints" / f"{self.name}.log"
        self.metrics = Metrics(self.name, self.variant_name)
        stream = f"{self.variant_name}/{uuid.uuid4().hex[:17]}"
        self.logs = LogForwarder(
            f"/aws/sagemaker/Endpoints/{self.name}", self.context.region, {stream: self.log}
        )
        self.capture: DataCapture | None = None
        if config := self.config.get("DataCaptureConfig"):
            self.capture = DataCapture(self.name, self.variant_name, config, self.context.clock)

    @property
    def count(self) -> int:
        """The number of instances."""
        return len(self.instances)

    @property
    def health_check_seconds(self) -> float:
        """The seconds within which a server has to answer /ping."""
        seconds = self.variant.get("ContainerStartupHealthCheckTimeoutInSeconds")
        return float(seconds) if seconds else LOCAL_HEALTH_CHECK

    @property
    def in_flight(self) -> int:
        """The number of requests that wait for their responses."""
        return sum(instance.client.in_flight for instance in self.instances if instance.client)

    def saved(self) -> Json:
        """Return what of the endpoint outlives the cloud."""
        members = kept.attributes(self, ("name", "arn", "config", "model", "created", *CHANGING))
        # One that was in service, and whose servers are being started again, has not been created anew.
        return members | ({"status": "InService"} if self.resumed and not self.settled.is_set() else {})

    @classmethod
    def restored(cls, context: CloudContext, saved: Json) -> Endpoint:
        """Return the endpoint that `saved` described, without servers; `resume` starts them."""
        members = {name: saved[name] for name in ("name", "arn", "config", "model", "created")}
        endpoint = cls(context, **members)
        kept.restore(endpoint, CHANGING, saved)
        return endpoint

    def resume(self) -> None:
        """Start the servers of an endpoint that an earlier cloud had; it is in service when they answer."""
        self.status, self.reason, self.resumed = "Creating", None, True
        self._begin()

    def begin(self) -> None:
        """Bring the endpoint into service, in a thread."""
        self.announce()
        self._begin()

    def _begin(self) -> None:
        activity = self.context.activities.begin()
        start = ministack.in_context(lambda: self._start(activity))
        threading.Thread(target=start, name=self.name, daemon=True).start()

    def pick_client(self) -> ContainerClient | None:
        """Return the client of the ready server with the fewest requests; None if no server is ready."""
        instances = self.instances
        # Servers with equally few requests take turns.
        self.next_instance = first = (self.next_instance + 1) % max(1, len(instances))
        ready = [
            instance.client
            for instance in (*instances[first:], *instances[:first])
            if instance.ready.is_set() and instance.client
        ]
        return min(ready, key=lambda client: client.in_flight) if ready else None

    def flush_due(self) -> float | None:
        """Return the simulated time from which there is something to store; None while there is nothing."""
        clock = self.context.clock
        dues = [clock.to_simulated(self.metrics.since)] if self.metrics.since else []
        if self.capture and (due := self.capture.flush_due()) is not None:
            dues.append(due)
        return min(dues, default=None)

    def flush_if_due(self) -> bool:
        """Store the metrics, and the captured data if their interval has passed; return whether it has."""
        self.metrics.flush()
        return self.capture.flush_if_due() if self.capture else False

    def flush(self) -> None:
        """Store the metrics and the captured data."""
        self.metrics.flush()
        if self.capture:
            self.capture.flush()

    def end(self, grace: float) -> None:
        """End the servers after the requests in flight, and store the metrics and the captured data."""
        deadline = time.monotonic() + INVOCATION_TIMEOUT
        while self.in_flight and time.monotonic() < deadline and grace == SERVER_GRACE:
            time.sleep(POLL_SECONDS)
        threads = [threading.Thread(target=instance.end, args=(grace,)) for instance in self.instances]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.logs.close()
        self.flush()
        shutil.rmtree(self.root, ignore_errors=True)

    def announce(self) -> None:
        """Send the state-change event."""
        status = (
            "".join(f"_{letter}" if letter.isupper() else letter for letter in self.status).strip("_").upper()
        )
        detail = {**milliseconds(self.describe()), "EndpointStatus": status}
        ministack.put_event("aws.sagemaker", "SageMaker Endpoint State Change", detail, [self.arn])

    def set_status(self, status: str, reason: str | None = None) -> None:
        """Set a new status, and send the event."""
        self.status, self.reason, self.modified = status, reason, now()
        self.announce()

    def describe(self) -> Json:
        """Return the answer of DescribeEndpoint."""
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
        image = container_of(self.model)["Image"]
        resolved = image if images.is_own(self.context, image) else self.context.project.image
        return {
            "VariantName": self.variant_name,
            "DeployedImages": [
                {"SpecifiedImage": image, "ResolvedImage": resolved, "ResolutionTime": self.created}
            ],
            "CurrentWeight": self.weight,
            "DesiredWeight": self.weight,
            "CurrentInstanceCount": self.count,
            "DesiredInstanceCount": self.desired,
        }

    def _start(self, activity: Activity) -> None:
        with ministack.scope(self.context.region):
            try:
                self.log.parent.mkdir(parents=True, exist_ok=True)
                if not self.resumed:
                    self.log.write_bytes(b"")
                self.logs.begin(appended=self.resumed)
                with disk_errors.named(self.folder):
                    self.unpack_model()
                self.instances = self.start_instances(self.desired)
                reason = self.wait_until_ready(self.instances)
            except (object_store.DataError, ServiceError) as error:
                reason = str(error)
            except OSError as error:
                logger.exception("endpoint %s failed", self.name)
                reason = disk_errors.explained(error)
            except Exception as error:
                logger.exception("endpoint %s failed", self.name)
                reason = f"{type(error).__name__}: {error}"
            if reason:
                self.end(CLOSE_GRACE)
                self.set_status("Failed", reason)
            else:
                self.set_status("InService")
            self.settled.set()
            activity.end()

    def unpack_model(self) -> None:
        """Write the model into the folder that is the servers' /opt/ml, and what runs into the log."""
        shutil.rmtree(self.folder, ignore_errors=True)
        (self.folder / "model").mkdir(parents=True)
        unpack(container_of(self.model), self.folder / "model")
        if note := images.note(self.context, container_of(self.model)["Image"]):
            with self.log.open("a", encoding="utf-8") as log:
                log.write(f"localcloud: {note}\n")

    def start_instances(self, count: int) -> tuple[Instance, ...]:
        """Start a number of servers, which get no requests yet."""
        settings = ServerSettings(
            self.context,
            self.folder,
            self.log,
            container_of(self.model).get("Environment", {}),
            self.health_check_seconds,
            port_file=self.root / "port",
        )
        instances = tuple(Instance(settings) for _ in range(count))
        for instance in instances:
            instance.begin()
        return instances

    def wait_until_ready(self, instances: tuple[Instance, ...]) -> str | None:
        """Wait until all servers are ready; return the reason if one has failed."""
        while not all(instance.ready.is_set() for instance in instances):
            if failed := next((instance.failed for instance in instances if instance.failed), None):
                cause = f"{failed}{disk_errors.shortage(self.folder)}"
                return (
                    f"The primary container for production variant {self.variant_name} did not pass the ping "
                    f"health check: {cause}. The end of {self.log}:\n{tail(self.log)}"
                )
            time.sleep(PING_SECONDS / 2)
        return None


def tail(log: Path) -> str:
    """Return the last lines of a log, or an empty text if the log does not exist."""
    if not log.is_file():
        return ""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - LOG_TAIL_BYTES))
        return "\n".join(file.read().decode(errors="replace").splitlines()[-LOG_TAIL_LINES:])
