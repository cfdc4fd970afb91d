"""Provisioned products: a stack each, created in the role of the product's launch constraint."""

from __future__ import annotations

import threading
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from localcloud.core import account, iam, kept, ministack
from localcloud.core import cloudformation as stacks
from localcloud.core.clock import now
from localcloud.core.service import Kept
from localcloud.services.servicecatalog.errors import duplicate_resource, invalid_parameters, not_found
from localcloud.services.servicecatalog.models import ProvisionedProduct, new_id

if TYPE_CHECKING:
    from collections.abc import Callable

    from localcloud.core.context import CloudContext
    from localcloud.core.service import Json
    from localcloud.services.servicecatalog.catalog import Catalog
    from localcloud.services.servicecatalog.models import Portfolio, Product, ProvisioningArtifact

PRINCIPAL = "servicecatalog.amazonaws.com"
POLL_SECONDS = 0.15
# Service Catalog acknowledges these capabilities itself.
CAPABILITIES = ["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"]


class StackError(Exception):
    """A stack could not be created or deleted."""


class ClosingError(Exception):
    """The cloud is closing, and does not wait for stacks any more."""


@dataclass
class ProvisionedProducts:
    """All provisioned products."""

    context: CloudContext
    connect: Callable[[str], Any]
    catalog: Catalog
    products: dict[str, ProvisionedProduct] = field(default_factory=dict)
    tokens: dict[str, Json] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)
    closing: threading.Event = field(default_factory=threading.Event)

    def kept(self) -> dict[str, Kept]:
        """Return how provisioned products and the answers to tokens outlive the cloud."""
        return {
            "provisioned products": Kept(
                lambda: [asdict(each) for each in self.products.values()], self._load_products
            ),
            "tokens": Kept(lambda: self.tokens, self._load_tokens),
        }

    def _load_products(self, saved: list[Json]) -> None:
        for each in saved:
            provisioned = self.products[each["description"]["Id"]] = ProvisionedProduct(**each)
            if [record for record in provisioned.records if _end(record)]:
                provisioned.description |= {"Status": "ERROR", "StatusMessage": kept.STOPPED}

    def _load_tokens(self, saved: dict[str, Json]) -> None:
        records = {one["RecordId"]: one for each in self.products.values() for one in each.records}
        for token, record in saved.items():
            _end(record)
            self.tokens[token] = records.get(record["RecordId"], record)

    def provision(self, request: Json) -> Json:
        """Answer ProvisionProduct, once for a token."""
        with self.lock:
            token = request["ProvisionToken"]
            if token not in self.tokens:
                self.tokens[token] = self._provision(request)
            return {"RecordDetail": _record_detail(self.tokens[token])}

    def _provision(self, request: Json) -> Json:
        name = request["ProvisionedProductName"]
        if any(one.description["Name"] == name for one in self.products.values()):
            raise duplicate_resource(f"There is a provisioned product {name} already.")
        product = self.catalog.find_launchable(request.get("ProductId"), request.get("ProductName"))
        artifact, path = _find_version(product, request), _find_path(self.catalog, product, request)
        members = {
            "ProvisionedProductName": name,
            "ProvisionedProductType": "CFN_STACK",
            "ProvisionedProductId": new_id("pp"),
            "ProductId": product.id,
            "ProvisioningArtifactId": artifact.id,
            "PathId": path.path_id,
        }
        if product.id in path.constraints:
            role = path.constraints[product.id].role
            if not iam.can_assume(self.connect, role, PRINCIPAL):
                raise invalid_parameters(f"Access denied while assuming the role {role}.")
            members["LaunchRoleArn"] = role
        provisioned = self._keep(members)
        record = provisioned.begin_record("PROVISION_PRODUCT", members)
        stack = {
            "StackName": provisioned.stack,
            "TemplateURL": artifact.template,
            "Parameters": [
                {"ParameterKey": one["Key"], "ParameterValue": one["Value"]}
                for one in request.get("ProvisioningParameters", [])
            ],
            "Tags": _merged_tags(path.tags, product.tags, request.get("Tags", [])),
            "Capabilities": CAPABILITIES,
        }
        self._begin(provisioned, record, lambda: self._create_stack(stack))
        return record

    def _keep(self, members: Json) -> ProvisionedProduct:
        product_id, name = members["ProvisionedProductId"], members["ProvisionedProductName"]
        arn = self.context.arn("servicecatalog", f"stack/{name}/{product_id}")
        copied = ("ProductId", "ProvisioningArtifactId", "LaunchRoleArn")
        provisioned = ProvisionedProduct(
            {
                "Name": name,
                "Arn": arn,
                "Type": "CFN_STACK",
                "Id": product_id,
                "CreatedTime": now(),
                **{key: members[key] for key in copied if key in members},
            },
            f"SC-{account.ACCOUNT}-{product_id}",
        )
        self.products[product_id] = provisioned
        return provisioned

    def terminate(self, request: Json) -> Json:
        """Answer TerminateProvisionedProduct, once for a token; the product goes when its stack is deleted.

        Raises:
            ServiceError: the provisioned product does not exist, or is being changed.
        """
        with self.lock:
            token = request["TerminateToken"]
            if token not in self.tokens:
                provisioned = self._find(
                    request.get("ProvisionedProductId"), request.get("ProvisionedProductName")
                )
                if provisioned.description["Status"] == "UNDER_CHANGE":
                    raise invalid_parameters(f"{provisioned.description['Name']} is being changed.")
                record = provisioned.begin_record("TERMINATE_PROVISIONED_PRODUCT", provisioned.records[0])
                self._begin(provisioned, record, lambda: self._delete_stack(provisioned))
                self.tokens[token] = record
            return {"RecordDetail": _record_detail(self.tokens[token])}

    def describe(self, request: Json) -> Json:
        """Answer DescribeProvisionedProduct."""
        provisioned = self._find(request.get("Id"), request.get("Name"))
        return {"ProvisionedProductDetail": dict(provisioned.description)}

    def describe_record(self, request: Json) -> Json:
        """Answer DescribeRecord.

        Raises:
            ServiceError: the record does not exist.
        """
        for record in self.tokens.values():
            if record["RecordId"] == request["Id"]:
                return {"RecordDetail": _record_detail(record), "RecordOutputs": record.get("Outputs", [])}
        raise not_found(f"Record {request['Id']} not found.")

    def close(self) -> None:
        """Stop waiting for stacks."""
        self.closing.set()

    def _find(self, product_id: str | None, name: str | None) -> ProvisionedProduct:
        for key, provisioned in self.products.items():
            if product_id in (key, None) and name in (provisioned.description["Name"], None):
                return provisioned
        raise not_found(f"Provisioned product {product_id or name} not found.")

    def _begin(self, provisioned: ProvisionedProduct, record: Json, act: Callable[[], None]) -> None:
        """Act in a thread, and write the result into the record."""
        activity = self.context.activities.begin()

        def run() -> None:
            with self.context.activities.active():
                activity.end()
                perform()

        def perform() -> None:
            record["Status"] = "IN_PROGRESS"
            try:
                act()
            except ClosingError:
                return
            except (StackError, ClientError) as error:
                record["RecordErrors"] = [{"Code": "ResourceError", "Description": str(error)}]
                provisioned.description |= {"Status": "ERROR", "StatusMessage": str(error)}
                record.update(Status="FAILED", UpdatedTime=now())
                return
            record["Outputs"] = self._outputs(provisioned)
            provisioned.description["Status"] = "AVAILABLE"
            record.update(Status="SUCCEEDED", UpdatedTime=now())

        threading.Thread(target=ministack.in_context(run), name=provisioned.stack, daemon=True).start()

    def _create_stack(self, request: Json) -> None:
        cloudformation, name = self.connect("cloudformation"), request["StackName"]
        cloudformation.create_stack(**request)
        status = stacks.wait_until_settled(cloudformation, name, self._wait)
        if status not in stacks.DONE:
            raise StackError(f"{name} ended as {status}: {stacks.failure_reason(cloudformation, name)}")

    def _delete_stack(self, provisioned: ProvisionedProduct) -> None:
        cloudformation = self.connect("cloudformation")
        cloudformation.delete_stack(StackName=provisioned.stack)
        status = stacks.wait_until_settled(cloudformation, provisioned.stack, self._wait)
        if status is not None:
            reason = stacks.failure_reason(cloudformation, provisioned.stack)
            raise StackError(f"{provisioned.stack} ended as {status}: {reason}")
        del self.products[provisioned.description["Id"]]

    def _outputs(self, provisioned: ProvisionedProduct) -> list[Json]:
        """Return the ARN of the stack and the stack's outputs."""
        stack = stacks.describe(self.connect("cloudformation"), provisioned.stack)
        if not stack:
            return []
        outputs = {"CloudformationStackARN": stack["StackId"], **stacks.outputs(stack)}
        return [{"OutputKey": key, "OutputValue": value} for key, value in outputs.items()]

    def _wait(self, is_over: Callable[[], bool]) -> None:
        def look() -> bool:
            if self.closing.is_set():
                raise ClosingError
            return is_over()

        self.context.activities.poll(look, POLL_SECONDS)


def _end(record: Json) -> bool:
    """End a record that the end of the cloud has interrupted, and return whether it was one."""
    interrupted = record["Status"] in ("CREATED", "IN_PROGRESS")
    if interrupted:
        reason = {"Code": "ResourceError", "Description": kept.STOPPED}
        record |= {"Status": "FAILED", "RecordErrors": [reason]}
    return interrupted


def _find_version(product: Product, request: Json) -> ProvisioningArtifact:
    """Return the version that a request names by its id or its name."""
    artifact_id, name = request.get("ProvisioningArtifactId"), request.get("ProvisioningArtifactName")
    matches = [one for one in product.artifacts if artifact_id in (one.id, None) and name in (one.name, None)]
    if len(matches) != 1 or artifact_id is name is None:
        raise not_found(f"Provisioning artifact {artifact_id or name} of product {product.id} not found.")
    return matches[0]


def _find_path(catalog: Catalog, product: Product, request: Json) -> Portfolio:
    """Return the portfolio through which a product is launched; a request need not name the only one."""
    path_id, name = request.get("PathId"), request.get("PathName")
    matches = [
        one
        for one in catalog.launch_paths(product.id)
        if path_id in (one.path_id, None) and name in (one.description["DisplayName"], None)
    ]
    if len(matches) > 1:
        raise invalid_parameters(f"Product {product.id} has several launch paths: give the id of one.")
    if not matches:
        raise not_found(f"No launch paths found for resource: {product.id}")
    return matches[0]


def _merged_tags(*lists: list[Json]) -> list[Json]:
    """Return the tags of several lists; a later list overrides the earlier ones."""
    tags = {tag["Key"]: tag["Value"] for one in lists for tag in one if not tag["Key"].startswith("aws:")}
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def _record_detail(record: Json) -> Json:
    """Return a record without its outputs, which answers have beside it."""
    return {key: value for key, value in record.items() if key != "Outputs"}
