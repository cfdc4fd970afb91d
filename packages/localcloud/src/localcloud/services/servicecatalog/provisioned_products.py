"""What was launched: a stack each, made in the role that the product's constraint names."""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from localcloud.core import account, iam, ministack
from localcloud.core import cloudformation as stacks
from localcloud.core.clock import now
from localcloud.core.errors import ServiceError
from localcloud.services.servicecatalog.catalog import invalid, new_id, not_found, path_id

if TYPE_CHECKING:
    from collections.abc import Callable

    from localcloud.core.context import CloudContext
    from localcloud.core.service import Json
    from localcloud.services.servicecatalog.catalog import Artifact, Catalog, Portfolio, Product

logger = logging.getLogger(__name__)
PRINCIPAL = "servicecatalog.amazonaws.com"
LOOK_EVERY = 0.15
# Service Catalog acknowledges for whoever launches.
CAPABILITIES = ["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"]


class StackError(Exception):
    """A stack did not become what it was to become."""


class ClosingError(Exception):
    """The cloud ends, and nobody waits any more."""


@dataclass
class Launch:
    """A provisioned product: a stack, and what was done about it."""

    described: Json
    stack: str
    records: list[Json] = field(default_factory=list)

    def begin(self, kind: str, template: Json) -> Json:
        """Begin a record of something that is done to the stack."""
        made: Json = {
            **template,
            "RecordId": new_id("rec"),
            "RecordType": kind,
            "Status": "CREATED",
            "CreatedTime": now(),
            "UpdatedTime": now(),
        }
        self.records.append(made)
        self.described |= {"Status": "UNDER_CHANGE", "LastRecordId": made["RecordId"]}
        return made


@dataclass
class Launches:
    """All provisioned products."""

    context: CloudContext
    connect: Callable[[str], Any]
    catalog: Catalog
    launches: dict[str, Launch] = field(default_factory=dict)
    tokens: dict[str, Json] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)
    closing: threading.Event = field(default_factory=threading.Event)

    def provision(self, request: Json) -> Json:
        """Answer ProvisionProduct: a token launches once."""
        with self.lock:
            token = request["ProvisionToken"]
            if token not in self.tokens:
                self.tokens[token] = self._provision(request)
            return {"RecordDetail": shown(self.tokens[token])}

    def _provision(self, request: Json) -> Json:
        name = request["ProvisionedProductName"]
        if any(one.described["Name"] == name for one in self.launches.values()):
            raise ServiceError(
                "DuplicateResourceException", f"There is a provisioned product {name} already."
            )
        product = self.catalog.offered(request.get("ProductId"), request.get("ProductName"))
        artifact, path = version_of(product, request), path_of(self.catalog, product, request)
        template = {
            "ProvisionedProductName": name,
            "ProvisionedProductType": "CFN_STACK",
            "ProvisionedProductId": new_id("pp"),
            "ProductId": product.id,
            "ProvisioningArtifactId": artifact.id,
            "PathId": path_id(path),
        }
        if product.id in path.constraints:
            role = path.constraints[product.id].role
            if not iam.can_assume(self.connect, role, PRINCIPAL):
                raise invalid(f"Access denied while assuming the role {role}.")
            template["LaunchRoleArn"] = role
        launch = self._launch(template)
        record = launch.begin("PROVISION_PRODUCT", template)
        wanted = {
            "StackName": launch.stack,
            "TemplateURL": artifact.template,
            "Parameters": [
                {"ParameterKey": one["Key"], "ParameterValue": one["Value"]}
                for one in request.get("ProvisioningParameters", [])
            ],
            "Tags": merged(path.tags, product.tags, request.get("Tags", [])),
            "Capabilities": CAPABILITIES,
        }
        self._begin(launch, record, lambda: self._made(launch, wanted))
        return record

    def _launch(self, template: Json) -> Launch:
        own = template["ProvisionedProductId"]
        arn = self.context.arn("servicecatalog", f"stack/{template['ProvisionedProductName']}/{own}")
        known = ("ProductId", "ProvisioningArtifactId", "LaunchRoleArn")
        launch = Launch(
            {
                "Name": template["ProvisionedProductName"],
                "Arn": arn,
                "Type": "CFN_STACK",
                "Id": own,
                "CreatedTime": now(),
                **{key: template[key] for key in known if key in template},
            },
            f"SC-{account.ACCOUNT}-{own}",
        )
        self.launches[own] = launch
        return launch

    def terminate(self, request: Json) -> Json:
        """Answer TerminateProvisionedProduct: its stack is deleted, and then it is forgotten."""
        with self.lock:
            token = request["TerminateToken"]
            if token not in self.tokens:
                launch = self._find(
                    request.get("ProvisionedProductId"), request.get("ProvisionedProductName")
                )
                if launch.described["Status"] == "UNDER_CHANGE":
                    raise invalid(f"{launch.described['Name']} is being changed.")
                record = launch.begin("TERMINATE_PROVISIONED_PRODUCT", launch.records[0])
                self._begin(launch, record, lambda: self._gone(launch))
                self.tokens[token] = record
            return {"RecordDetail": shown(self.tokens[token])}

    def describe(self, request: Json) -> Json:
        """Answer DescribeProvisionedProduct."""
        found = self._find(request.get("Id"), request.get("Name"))
        return {"ProvisionedProductDetail": dict(found.described)}

    def record(self, request: Json) -> Json:
        """Answer DescribeRecord."""
        for token in self.tokens.values():
            if token["RecordId"] == request["Id"]:
                return {"RecordDetail": shown(token), "RecordOutputs": token.get("Outputs", [])}
        raise not_found(f"Record {request['Id']} not found.")

    def close(self) -> None:
        """Wait for no stack any more."""
        self.closing.set()

    def _find(self, launch_id: str | None, name: str | None) -> Launch:
        for own, launch in self.launches.items():
            if launch_id in (own, None) and name in (launch.described["Name"], None):
                return launch
        raise not_found(f"Provisioned product {launch_id or name} not found.")

    def _begin(self, launch: Launch, record: Json, act: Callable[[], None]) -> None:
        """Act in a thread, and write down what came of it."""

        def run() -> None:
            record["Status"] = "IN_PROGRESS"
            try:
                act()
            except ClosingError:
                return
            except (StackError, ClientError) as error:
                record["RecordErrors"] = [{"Code": "ResourceError", "Description": str(error)}]
                launch.described |= {"Status": "ERROR", "StatusMessage": str(error)}
                record.update(Status="FAILED", UpdatedTime=now())
                return
            record["Outputs"] = self._outputs(launch)
            launch.described["Status"] = "AVAILABLE"
            record.update(Status="SUCCEEDED", UpdatedTime=now())

        threading.Thread(target=ministack.in_context(run), name=launch.stack, daemon=True).start()

    def _made(self, launch: Launch, wanted: Json) -> None:
        cloudformation = self.connect("cloudformation")
        cloudformation.create_stack(**wanted)
        status = stacks.settled(cloudformation, launch.stack, self._wait)
        if status not in stacks.DONE:
            raise StackError(
                f"{launch.stack} ended as {status}: {stacks.cause(cloudformation, launch.stack)}"
            )

    def _gone(self, launch: Launch) -> None:
        cloudformation = self.connect("cloudformation")
        cloudformation.delete_stack(StackName=launch.stack)
        status = stacks.settled(cloudformation, launch.stack, self._wait)
        if status is not None:
            raise StackError(
                f"{launch.stack} ended as {status}: {stacks.cause(cloudformation, launch.stack)}"
            )
        del self.launches[launch.described["Id"]]

    def _outputs(self, launch: Launch) -> list[Json]:
        """Return the stack's outputs, and the stack."""
        found = stacks.described(self.connect("cloudformation"), launch.stack)
        if not found:
            return []
        own = {"CloudformationStackARN": found["StackId"], **stacks.outputs(found)}
        return [{"OutputKey": key, "OutputValue": value} for key, value in own.items()]

    def _wait(self, over: Callable[[], bool]) -> None:
        while not over():
            if self.closing.wait(LOOK_EVERY):
                raise ClosingError


def version_of(product: Product, request: Json) -> Artifact:
    """Return the version that a request names."""
    wanted, name = request.get("ProvisioningArtifactId"), request.get("ProvisioningArtifactName")
    found = [one for one in product.artifacts if wanted in (one.id, None) and name in (one.name, None)]
    if len(found) != 1 or wanted is name is None:
        raise not_found(f"Provisioning artifact {wanted or name} of product {product.id} not found.")
    return found[0]


def path_of(catalog: Catalog, product: Product, request: Json) -> Portfolio:
    """Return the portfolio by which a product is launched; there may be one that nobody has to name."""
    wanted, name = request.get("PathId"), request.get("PathName")
    found = [
        one
        for one in catalog.paths(product.id)
        if wanted in (path_id(one), None) and name in (one.described["DisplayName"], None)
    ]
    if len(found) > 1:
        raise invalid(f"Product {product.id} has several launch paths: give the id of one.")
    if not found:
        raise not_found(f"No launch paths found for resource: {product.id}")
    return found[0]


def merged(*given: list[Json]) -> list[Json]:
    """Return tags of which later ones take the place of earlier ones."""
    tags = {tag["Key"]: tag["Value"] for some in given for tag in some if not tag["Key"].startswith("aws:")}
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def shown(record: Json) -> Json:
    """Return a record as it is shown."""
    return {key: value for key, value in record.items() if key != "Outputs"}
