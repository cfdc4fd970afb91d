"""The model registry: groups of model packages, which are versions with an approval status."""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from localcloud.core import account, ministack
from localcloud.core.clock import iso, now
from localcloud.core.errors import validation_error
from localcloud.core.service import Kept
from localcloud.services.sagemaker.errors import conflict
from localcloud.services.sagemaker.models import check_model_data
from localcloud.services.sagemaker.pagination import list_resources, select
from localcloud.services.sagemaker.resource_store import ResourceStore

if TYPE_CHECKING:
    from localcloud.core.context import CloudContext
    from localcloud.core.service import Json, Operation

VERSION_NAME = re.compile(r"(?:arn:.+:model-package/)?(?P<group>[^/:]+)/(?P<version>\d+)")
UNVERSIONED = "The local cloud has model packages of a ModelPackageGroupName only, without Tags of their own."
LOCAL_PRINCIPAL: Json = {"IamIdentity": {"Arn": f"arn:aws:iam::{account.ACCOUNT}:user/local"}}
UPDATABLE = ("ModelApprovalStatus", "ApprovalDescription")
SUMMARY_MEMBERS = (
    "ModelPackageGroupName",
    "ModelPackageVersion",
    "ModelPackageDescription",
    "ModelPackageStatus",
    "ModelApprovalStatus",
)


@dataclass
class ModelPackageGroups(ResourceStore):
    """Groups of model packages, with the versions of all groups by ARN."""

    versions: dict[str, Json] = field(default_factory=dict, kw_only=True)

    def create(self, request: Json) -> Json:
        """Create a group without versions."""
        return super().create({**request, "CreatedBy": {}, "ModelPackageGroupStatus": "Completed"})

    def list(self, request: Json) -> Json:
        """List the groups."""
        shown = ("ModelPackageGroupDescription", "ModelPackageGroupStatus")
        groups = list(self.items.values())
        return list_resources(request, groups, self.member, f"{self.member}SummaryList", shown)

    def delete(self, request: Json) -> Json:
        """Delete an empty group.

        Raises:
            ServiceError: the group does not exist, or has model packages.
        """
        name = request["ModelPackageGroupName"]
        if any(version["ModelPackageGroupName"] == name for version in list(self.versions.values())):
            raise conflict(f"{self.arn(name)} has model packages: delete them first.")
        return super().delete(request)


@dataclass
class ModelPackages:
    """The versions in the groups."""

    context: CloudContext
    groups: ModelPackageGroups
    tokens: dict[str, str] = field(default_factory=dict)
    newest: dict[str, int] = field(default_factory=dict)
    lock: threading.RLock = field(default_factory=threading.RLock)

    def kept(self) -> dict[str, Kept]:
        """Return how groups and versions, and the numbers that are not used again, outlive the cloud."""
        return {
            **self.groups.kept(),
            "model packages": Kept.table(self.groups.versions, "model packages"),
            "tokens": Kept.table(self.tokens),
            "newest": Kept.table(self.newest),
        }

    def operations(self) -> dict[str, Operation]:
        """Return the operations on groups and packages."""
        return {
            "CreateModelPackageGroup": self.groups.create,
            "DescribeModelPackageGroup": self.groups.describe,
            "DeleteModelPackageGroup": self.groups.delete,
            "ListModelPackageGroups": self.groups.list,
            "CreateModelPackage": self.create,
            "DescribeModelPackage": self.describe,
            "UpdateModelPackage": self.update,
            "ListModelPackages": self.list,
            "DeleteModelPackage": self.delete,
        }

    def create(self, request: Json) -> Json:
        """Add a version to a group, once for a token.

        Raises:
            ServiceError: the request has no group or has tags, or the group or the model data do not exist.
        """
        if "ModelPackageGroupName" not in request or "Tags" in request or "ModelPackageName" in request:
            raise validation_error(UNVERSIONED)
        group, token = request["ModelPackageGroupName"], request.get("ClientToken")
        self.groups.find(group)
        for container in request.get("InferenceSpecification", {}).get("Containers", []):
            check_model_data(container)
        with self.lock:
            if token in self.tokens:
                return {"ModelPackageArn": self.tokens[token]}
            version = self.newest[group] = self.newest.get(group, 0) + 1
            arn = self.context.arn("sagemaker", f"model-package/{group}/{version}")
            self.groups.versions[arn] = {
                "ModelApprovalStatus": "PendingManualApproval",
                **{key: value for key, value in request.items() if key != "ClientToken"},
                "ModelPackageName": group,
                "ModelPackageVersion": version,
                "ModelPackageArn": arn,
                "CreationTime": now(),
                "CreatedBy": LOCAL_PRINCIPAL,
                "CertifyForMarketplace": False,
                "ModelPackageStatus": "Completed",
                "ModelPackageStatusDetails": {"ValidationStatuses": [], "ImageScanStatuses": []},
            }
            if token:
                self.tokens[token] = arn
        self.announce(self.groups.versions[arn])
        return {"ModelPackageArn": arn}

    def describe(self, request: Json) -> Json:
        """Describe a version; as AWS does, without a name, which packages without a group only have."""
        package = dict(self.find(request["ModelPackageName"]))
        del package["ModelPackageName"]
        return package

    def update(self, request: Json) -> Json:
        """Approve or reject a version.

        Raises:
            ServiceError: the version does not exist, or the request changes another member.
        """
        unsupported = sorted(request.keys() - {"ModelPackageArn", *UPDATABLE})
        if unsupported:
            raise validation_error(
                f"The local cloud does not update {', '.join(unsupported)} of a model package."
            )
        with self.lock:
            package = self.find(request["ModelPackageArn"])
            package |= {
                **select(request, *UPDATABLE),
                "LastModifiedTime": now(),
                "LastModifiedBy": LOCAL_PRINCIPAL,
            }
        self.announce(package)
        return {"ModelPackageArn": package["ModelPackageArn"]}

    def list(self, request: Json) -> Json:
        """List the versions of one group, or of all with a ModelPackageType; AWS lists none by default."""
        filters = select(request, "ModelPackageGroupName", "ModelApprovalStatus")
        if "ModelPackageGroupName" in filters:
            filters["ModelPackageGroupName"] = filters["ModelPackageGroupName"].rpartition("/")[2]
        elif request.get("ModelPackageType", "Unversioned") == "Unversioned":
            return {"ModelPackageSummaryList": []}
        versions = [item for item in list(self.groups.versions.values()) if filters.items() <= item.items()]
        answer = list_resources(request, versions, "ModelPackage", "ModelPackageSummaryList", SUMMARY_MEMBERS)
        for summary in answer["ModelPackageSummaryList"]:
            del summary["ModelPackageName"]  # as above
        return answer

    def delete(self, request: Json) -> Json:
        """Delete a version, whose number is not used again."""
        with self.lock:
            del self.groups.versions[self.find(request["ModelPackageName"])["ModelPackageArn"]]
        return {}

    def find(self, name_or_arn: str) -> Json:
        """Return the version of a name or an ARN.

        Raises:
            ServiceError: the version does not exist.
        """
        match = VERSION_NAME.fullmatch(name_or_arn)
        arn = (
            self.context.arn("sagemaker", f"model-package/{match['group']}/{match['version']}")
            if match
            else name_or_arn
        )
        if arn not in self.groups.versions:
            raise validation_error(f"ModelPackage {arn} does not exist.")
        return self.groups.versions[arn]

    def announce(self, package: Json) -> None:
        """Send the state-change event."""
        detail = {key: iso(value) if key.endswith("Time") else value for key, value in package.items()}
        arn = package["ModelPackageArn"]
        ministack.put_event("aws.sagemaker", "SageMaker Model Package State Change", detail, [arn])
