"""SageMaker Studio: domains, which bear tags, and projects, which are stacks of a template."""

from __future__ import annotations

import secrets
import string
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from localcloud.core import cloudformation as stacks
from localcloud.core import iam, protocol
from localcloud.core.clock import now
from localcloud.core.errors import ServiceError, validation_error

if TYPE_CHECKING:
    from collections.abc import Callable

    from localcloud.core.context import CloudContext
    from localcloud.core.service import Json, Operation, Service
    from localcloud.services.sagemaker.tags import Tags

LETTERS = string.ascii_lowercase + string.digits
ID_LENGTH = 12
CLOUDFORMATION = "cloudformation.amazonaws.com"
CAPABILITIES = ["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"]
RECORDS = {"CREATED": "InProgress", "IN_PROGRESS": "InProgress", "SUCCEEDED": "Completed", "FAILED": "Failed"}


@dataclass
class Domains:
    """Domains, as far as something is noted on them."""

    context: CloudContext
    tags: Tags
    domains: dict[str, Json] = field(default_factory=dict)

    def operations(self) -> dict[str, Operation]:
        """Return CreateDomain, DescribeDomain and ListDomains."""
        return {
            "CreateDomain": self._create,
            "DescribeDomain": self._describe,
            "ListDomains": self._list,
        }

    def _create(self, request: Json) -> Json:
        own = f"d-{new_id()}"
        arn = self.context.arn("sagemaker", f"domain/{own}")
        kept = {key: value for key, value in request.items() if key != "Tags"}
        made = {"DomainId": own, "DomainArn": arn, "Status": "InService", "CreationTime": now()}
        self.domains[own] = {**kept, **made}
        self.tags.set(arn, request.get("Tags", []))
        return {"DomainArn": arn, "DomainId": own}

    def _describe(self, request: Json) -> Json:
        if request["DomainId"] not in self.domains:
            raise ServiceError("ResourceNotFound", f"Domain {request['DomainId']} not found.")
        return dict(self.domains[request["DomainId"]])

    def _list(self, request: Json) -> Json:  # noqa: ARG002  # an operation's signature
        known = ("DomainArn", "DomainId", "DomainName", "Status", "CreationTime")
        return {"Domains": [{key: one[key] for key in known} for one in self.domains.values()]}


@dataclass
class Projects:
    """Projects, each made by Service Catalog of a product, or of a template in S3."""

    context: CloudContext
    tags: Tags
    catalog: Service
    connect: Callable[[str], Any]
    projects: dict[str, Json] = field(default_factory=dict)

    def operations(self) -> dict[str, Operation]:
        """Return CreateProject, DescribeProject and DeleteProject."""
        return {
            "CreateProject": self._create,
            "DescribeProject": self._describe,
            "DeleteProject": self._delete,
        }

    def _create(self, request: Json) -> Json:
        name, own = request["ProjectName"], f"p-{new_id()}"
        if name in self.projects and self._status(name)[0] != "DeleteCompleted":
            raise validation_error(f"Project {name} already exists.")
        ways = [key for key in ("ServiceCatalogProvisioningDetails", "TemplateProviders") if key in request]
        if len(ways) != 1:
            raise validation_error(
                "A project takes either ServiceCatalogProvisioningDetails or TemplateProviders."
            )
        arn = self.context.arn("sagemaker", f"project/{name}")
        made = {**request, "ProjectArn": arn, "ProjectId": own, "CreationTime": now()}
        tags = [*marks(name, own), *made.pop("Tags", [])]
        begin = self._launch if ways[0] == "ServiceCatalogProvisioningDetails" else self._stack
        self.projects[name] = begin(made, tags)
        self.tags.set(arn, tags)
        return {"ProjectArn": arn, "ProjectId": own}

    def _launch(self, project: Json, tags: list[Json]) -> Json:
        """Have Service Catalog provision the product."""
        details = project["ServiceCatalogProvisioningDetails"]
        if "ProvisioningArtifactId" not in details:
            raise validation_error("The local cloud takes products with a ProvisioningArtifactId.")
        request = {
            **{
                key: details[key]
                for key in ("ProductId", "ProvisioningArtifactId", "PathId")
                if key in details
            },
            "ProvisionedProductName": f"{project['ProjectName']}-{project['ProjectId']}",
            "ProvisioningParameters": [*details.get("ProvisioningParameters", []), *filled_in(project)],
            "Tags": tags,
            "ProvisionToken": str(uuid.uuid4()),
        }
        try:
            record = protocol.call(self.catalog, "ProvisionProduct", request)["RecordDetail"]
        except ServiceError as error:
            raise validation_error(f"{error.message} (Service: ServiceCatalog, Code: {error.code})") from None
        return {**project, "record": record["RecordId"], "launch": record["ProvisionedProductId"]}

    def _stack(self, project: Json, tags: list[Json]) -> Json:
        """Make the stack of a template in S3, in the role that is given."""
        if len(project["TemplateProviders"]) != 1:
            raise validation_error("A project takes one template.")
        provider = project["TemplateProviders"][0]["CfnTemplateProvider"]
        role = provider.get("RoleARN")
        if role and not iam.can_assume(self.connect, role, CLOUDFORMATION):
            raise validation_error(f"Role {role} is invalid or cannot be assumed")
        name = f"SP-{project['ProjectName']}-{project['ProjectId']}"
        given = [*provider.get("Parameters", []), *filled_in(project)]
        try:
            made = self.connect("cloudformation").create_stack(
                StackName=name,
                TemplateURL=provider["TemplateURL"],
                Parameters=[
                    {"ParameterKey": one["Key"], "ParameterValue": one.get("Value", "")} for one in given
                ],
                Tags=tags,
                Capabilities=CAPABILITIES,
                **({"RoleARN": role} if role else {}),
            )
        except ClientError as error:
            raise validation_error(error.response["Error"]["Message"]) from None
        return {**project, "stack": made["StackId"]}

    def _describe(self, request: Json) -> Json:
        name = request["ProjectName"]
        project = self._find(name)
        status, why = self._status(name)
        known = ("ProjectArn", "ProjectName", "ProjectId", "ProjectDescription", "CreationTime")
        seen: Json = {key: project[key] for key in known if key in project} | {"ProjectStatus": status}
        if "launch" in project:
            details = {"ProvisionedProductId": project["launch"], "ProvisionedProductStatusMessage": why}
            given = project["ServiceCatalogProvisioningDetails"]
            return seen | {
                "ServiceCatalogProvisioningDetails": given,
                "ServiceCatalogProvisionedProductDetails": details,
            }
        own = {"Name": project["stack"].split("/")[1], "Id": project["stack"], "StatusMessage": why}
        provider = {**project["TemplateProviders"][0]["CfnTemplateProvider"], "StackDetail": own}
        return seen | {"TemplateProviderDetails": [{"CfnTemplateProviderDetail": provider}]}

    def _delete(self, request: Json) -> Json:
        project = self._find(request["ProjectName"])
        if self._status(request["ProjectName"])[0].endswith("InProgress"):
            raise ServiceError("ConflictException", f"Project {request['ProjectName']} is being changed.")
        if "launch" in project:
            token = {"ProvisionedProductId": project["launch"], "TerminateToken": str(uuid.uuid4())}
            record = protocol.call(self.catalog, "TerminateProvisionedProduct", token)["RecordDetail"]
            project["record"] = record["RecordId"]
        else:
            self.connect("cloudformation").delete_stack(StackName=project["stack"])
        project["deleting"] = True
        return {}

    def _find(self, name: str) -> Json:
        if name not in self.projects:
            raise validation_error(f"Project with name {name} does not exist.")
        return self.projects[name]

    def _status(self, name: str) -> tuple[str, str]:
        """Return how the project stands, and what is said about it."""
        project = self.projects[name]
        verb = "Delete" if project.get("deleting") else "Create"
        if "record" in project:
            record = protocol.call(self.catalog, "DescribeRecord", {"Id": project["record"]})["RecordDetail"]
            errors = [one["Description"] for one in record.get("RecordErrors", [])]
            return verb + RECORDS[record["Status"]], "; ".join(errors) or record["Status"]
        cloudformation = self.connect("cloudformation")
        status = stacks.described(cloudformation, project["stack"]).get("StackStatus", "DELETE_COMPLETE")
        if status.endswith("_IN_PROGRESS"):
            return f"{verb}InProgress", status
        done = ("DELETE_COMPLETE",) if verb == "Delete" else stacks.DONE
        if status in done:
            return f"{verb}Completed", status
        return f"{verb}Failed", stacks.cause(cloudformation, project["stack"])


def marks(name: str, own: str) -> list[Json]:
    """Return the tags of what is made for a project."""
    return [{"Key": "sagemaker:project-name", "Value": name}, {"Key": "sagemaker:project-id", "Value": own}]


def filled_in(project: Json) -> list[Json]:
    """Return the parameters that SageMaker gives to a template by itself."""
    return [{"Key": f"SageMaker{key}", "Value": project[key]} for key in ("ProjectName", "ProjectId")]


def new_id() -> str:
    """Return letters and digits that nothing has yet."""
    return "".join(secrets.choice(LETTERS) for _ in range(ID_LENGTH))
