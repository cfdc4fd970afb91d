"""SageMaker Studio: domains, which have tags, and projects, which are stacks of a template."""

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
from localcloud.core.service import Kept
from localcloud.services.sagemaker.errors import conflict, resource_not_found

if TYPE_CHECKING:
    from collections.abc import Callable

    from localcloud.core.context import CloudContext
    from localcloud.core.service import Json, Operation, Service
    from localcloud.services.sagemaker.tags import Tags

LETTERS = string.ascii_lowercase + string.digits
ID_LENGTH = 12
CLOUDFORMATION_PRINCIPAL = "cloudformation.amazonaws.com"
CAPABILITIES = ["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"]
PROJECT_STATUS_BY_RECORD = {
    "CREATED": "InProgress",
    "IN_PROGRESS": "InProgress",
    "SUCCEEDED": "Completed",
    "FAILED": "Failed",
}


@dataclass
class Domains:
    """Domains with their tags and nothing else: the local cloud has no Studio."""

    context: CloudContext
    tags: Tags
    domains: dict[str, Json] = field(default_factory=dict)

    def kept(self) -> dict[str, Kept]:
        """Return how the domains outlive the cloud."""
        return {"domains": Kept.table(self.domains)}

    def operations(self) -> dict[str, Operation]:
        """Return CreateDomain, DescribeDomain and ListDomains."""
        return {
            "CreateDomain": self._create,
            "DescribeDomain": self._describe,
            "ListDomains": self._list,
        }

    def _create(self, request: Json) -> Json:
        domain_id = f"d-{_new_id()}"
        arn = self.context.arn("sagemaker", f"domain/{domain_id}")
        settings = {key: value for key, value in request.items() if key != "Tags"}
        own = {"DomainId": domain_id, "DomainArn": arn, "Status": "InService", "CreationTime": now()}
        self.domains[domain_id] = {**settings, **own}
        self.tags.set(arn, request.get("Tags", []))
        return {"DomainArn": arn, "DomainId": domain_id}

    def _describe(self, request: Json) -> Json:
        if request["DomainId"] not in self.domains:
            raise resource_not_found(f"Domain {request['DomainId']} not found.")
        return dict(self.domains[request["DomainId"]])

    def _list(self, request: Json) -> Json:  # noqa: ARG002 - an operation's signature
        shown = ("DomainArn", "DomainId", "DomainName", "Status", "CreationTime")
        return {"Domains": [{key: one[key] for key in shown} for one in self.domains.values()]}


@dataclass
class Projects:
    """Projects, each created by Service Catalog from a product, or from a template in S3."""

    context: CloudContext
    tags: Tags
    catalog: Service
    connect: Callable[[str], Any]
    projects: dict[str, Json] = field(default_factory=dict)

    def kept(self) -> dict[str, Kept]:
        """Return how the projects outlive the cloud."""
        return {"projects": Kept.table(self.projects, "projects of Studio")}

    def operations(self) -> dict[str, Operation]:
        """Return CreateProject, DescribeProject and DeleteProject."""
        return {
            "CreateProject": self._create,
            "DescribeProject": self._describe,
            "DeleteProject": self._delete,
        }

    def _create(self, request: Json) -> Json:
        name, project_id = request["ProjectName"], f"p-{_new_id()}"
        if name in self.projects and self._status(name)[0] != "DeleteCompleted":
            raise validation_error(f"Project {name} already exists.")
        sources = [
            key for key in ("ServiceCatalogProvisioningDetails", "TemplateProviders") if key in request
        ]
        if len(sources) != 1:
            raise validation_error(
                "A project takes either ServiceCatalogProvisioningDetails or TemplateProviders."
            )
        arn = self.context.arn("sagemaker", f"project/{name}")
        project = {**request, "ProjectArn": arn, "ProjectId": project_id, "CreationTime": now()}
        tags = [*_project_tags(name, project_id), *project.pop("Tags", [])]
        create = (
            self._provision_product
            if sources[0] == "ServiceCatalogProvisioningDetails"
            else self._create_stack
        )
        self.projects[name] = create(project, tags)
        self.tags.set(arn, tags)
        return {"ProjectArn": arn, "ProjectId": project_id}

    def _provision_product(self, project: Json, tags: list[Json]) -> Json:
        """Let Service Catalog provision the product."""
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
            "ProvisioningParameters": [
                *details.get("ProvisioningParameters", []),
                *_project_parameters(project),
            ],
            "Tags": tags,
            "ProvisionToken": str(uuid.uuid4()),
        }
        try:
            record = protocol.call(self.catalog, "ProvisionProduct", request)["RecordDetail"]
        except ServiceError as error:
            raise validation_error(f"{error.message} (Service: ServiceCatalog, Code: {error.code})") from None
        return {
            **project,
            "record": record["RecordId"],
            "provisioned_product": record["ProvisionedProductId"],
        }

    def _create_stack(self, project: Json, tags: list[Json]) -> Json:
        """Create the stack of a template in S3, in the role that the request names."""
        if len(project["TemplateProviders"]) != 1:
            raise validation_error("A project takes one template.")
        provider = project["TemplateProviders"][0]["CfnTemplateProvider"]
        role = provider.get("RoleARN")
        if role and not iam.can_assume(self.connect, role, CLOUDFORMATION_PRINCIPAL):
            raise validation_error(f"Role {role} is invalid or cannot be assumed")
        name = f"SP-{project['ProjectName']}-{project['ProjectId']}"
        parameters = [*provider.get("Parameters", []), *_project_parameters(project)]
        try:
            stack = self.connect("cloudformation").create_stack(
                StackName=name,
                TemplateURL=provider["TemplateURL"],
                Parameters=[
                    {"ParameterKey": one["Key"], "ParameterValue": one.get("Value", "")} for one in parameters
                ],
                Tags=tags,
                Capabilities=CAPABILITIES,
                **({"RoleARN": role} if role else {}),
            )
        except ClientError as error:
            raise validation_error(error.response["Error"]["Message"]) from None
        return {**project, "stack": stack["StackId"]}

    def _describe(self, request: Json) -> Json:
        name = request["ProjectName"]
        project = self._find(name)
        status, why = self._status(name)
        shown = ("ProjectArn", "ProjectName", "ProjectId", "ProjectDescription", "CreationTime")
        description: Json = {key: project[key] for key in shown if key in project}
        description["ProjectStatus"] = status
        if "provisioned_product" in project:
            details = {
                "ProvisionedProductId": project["provisioned_product"],
                "ProvisionedProductStatusMessage": why,
            }
            return description | {
                "ServiceCatalogProvisioningDetails": project["ServiceCatalogProvisioningDetails"],
                "ServiceCatalogProvisionedProductDetails": details,
            }
        stack = {"Name": project["stack"].split("/")[1], "Id": project["stack"], "StatusMessage": why}
        provider = {**project["TemplateProviders"][0]["CfnTemplateProvider"], "StackDetail": stack}
        return description | {"TemplateProviderDetails": [{"CfnTemplateProviderDetail": provider}]}

    def _delete(self, request: Json) -> Json:
        project = self._find(request["ProjectName"])
        if self._status(request["ProjectName"])[0].endswith("InProgress"):
            raise conflict(f"Project {request['ProjectName']} is being changed.")
        if "provisioned_product" in project:
            token = {
                "ProvisionedProductId": project["provisioned_product"],
                "TerminateToken": str(uuid.uuid4()),
            }
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
        """Return the status of the project, and its message."""
        project = self.projects[name]
        verb = "Delete" if project.get("deleting") else "Create"
        if "record" in project:
            record = protocol.call(self.catalog, "DescribeRecord", {"Id": project["record"]})["RecordDetail"]
            errors = [one["Description"] for one in record.get("RecordErrors", [])]
            return verb + PROJECT_STATUS_BY_RECORD[record["Status"]], "; ".join(errors) or record["Status"]
        cloudformation = self.connect("cloudformation")
        status = stacks.describe(cloudformation, project["stack"]).get("StackStatus", "DELETE_COMPLETE")
        if status.endswith("_IN_PROGRESS"):
            return f"{verb}InProgress", status
        done = ("DELETE_COMPLETE",) if verb == "Delete" else stacks.DONE
        if status in done:
            return f"{verb}Completed", status
        return f"{verb}Failed", stacks.failure_reason(cloudformation, project["stack"])


def _project_tags(name: str, project_id: str) -> list[Json]:
    """Return the tags of a project's resources."""
    return [
        {"Key": "sagemaker:project-name", "Value": name},
        {"Key": "sagemaker:project-id", "Value": project_id},
    ]


def _project_parameters(project: Json) -> list[Json]:
    """Return the parameters that SageMaker itself adds to a template's."""
    return [{"Key": f"SageMaker{key}", "Value": project[key]} for key in ("ProjectName", "ProjectId")]


def _new_id() -> str:
    """Return a new random id of letters and digits."""
    return "".join(secrets.choice(LETTERS) for _ in range(ID_LENGTH))
