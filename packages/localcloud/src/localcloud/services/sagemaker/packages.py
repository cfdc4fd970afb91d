"""The model registry: groups of model packages, each a version with its approval."""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from localcloud.core import account, ministack
from localcloud.core.clock import iso, now
from localcloud.core.errors import ServiceError, validation_error
from localcloud.services.sagemaker.models import Catalogue, require_data
from localcloud.services.sagemaker.tags import chosen, listed

if TYPE_CHECKING:
    from localcloud.core.context import CloudContext
    from localcloud.core.service import Json, Operation

VERSION = re.compile(r"(?:arn:.+:model-package/)?(?P<group>[^/:]+)/(?P<version>\d+)")
UNVERSIONED = "The local cloud has model packages of a ModelPackageGroupName only, without Tags of their own."
SOMEONE: Json = {"IamIdentity": {"Arn": f"arn:aws:iam::{account.ACCOUNT}:user/local"}}
UPDATED = ("ModelApprovalStatus", "ApprovalDescription")
SUMMARISED = (
    "ModelPackageGroupName",
    "ModelPackageVersion",
    "ModelPackageDescription",
    "ModelPackageStatus",
    "ModelApprovalStatus",
)


@dataclass
class Groups(Catalogue):
    """Groups of model packages, with the versions of all by ARN."""

    versions: dict[str, Json] = field(default_factory=dict, kw_only=True)

    def create(self, request: Json) -> Json:
        """Make a group without any version."""
        return super().create({**request, "CreatedBy": {}, "ModelPackageGroupStatus": "Completed"})

    def delete(self, request: Json) -> Json:
        """Forget a group, which must be empty."""
        name = request["ModelPackageGroupName"]
        if any(version["ModelPackageGroupName"] == name for version in list(self.versions.values())):
            raise ServiceError(
                "ConflictException", f"{self.arn(name)} has model packages: delete them first."
            )
        return super().delete(request)


@dataclass
class Packages:
    """The versions in the groups."""

    context: CloudContext
    groups: Groups
    tokens: dict[str, str] = field(default_factory=dict)
    newest: dict[str, int] = field(default_factory=dict)
    lock: threading.RLock = field(default_factory=threading.RLock)

    def operations(self) -> dict[str, Operation]:
        """Return the operations on groups and packages."""
        return {
            "CreateModelPackageGroup": self.groups.create,
            "DescribeModelPackageGroup": self.groups.describe,
            "DeleteModelPackageGroup": self.groups.delete,
            "CreateModelPackage": self.create,
            "DescribeModelPackage": self.describe,
            "UpdateModelPackage": self.update,
            "ListModelPackages": self.list,
            "DeleteModelPackage": self.delete,
        }

    def create(self, request: Json) -> Json:
        """Add a version to a group, once for a token."""
        if "ModelPackageGroupName" not in request or "Tags" in request or "ModelPackageName" in request:
            raise validation_error(UNVERSIONED)
        group, token = request["ModelPackageGroupName"], request.get("ClientToken")
        self.groups.find(group)
        for container in request.get("InferenceSpecification", {}).get("Containers", []):
            require_data(container)
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
                "CreatedBy": SOMEONE,
                "CertifyForMarketplace": False,
                "ModelPackageStatus": "Completed",
                "ModelPackageStatusDetails": {"ValidationStatuses": [], "ImageScanStatuses": []},
            }
            if token:
                self.tokens[token] = arn
        self.announce(self.groups.versions[arn])
        return {"ModelPackageArn": arn}

    def describe(self, request: Json) -> Json:
        """Describe a version."""
        return dict(self.find(request["ModelPackageName"]))

    def update(self, request: Json) -> Json:
        """Approve or reject a version."""
        strange = sorted(request.keys() - {"ModelPackageArn", *UPDATED})
        if strange:
            raise validation_error(
                f"The local cloud does not update {', '.join(strange)} of a model package."
            )
        with self.lock:
            package = self.find(request["ModelPackageArn"])
            package |= {**chosen(request, *UPDATED), "LastModifiedTime": now(), "LastModifiedBy": SOMEONE}
        self.announce(package)
        return {"ModelPackageArn": package["ModelPackageArn"]}

    def list(self, request: Json) -> Json:
        """List versions, of one group or of all."""
        wanted = chosen(request, "ModelPackageGroupName", "ModelApprovalStatus")
        found = [item for item in list(self.groups.versions.values()) if wanted.items() <= item.items()]
        return listed(request, found, "ModelPackage", "ModelPackageSummaryList", SUMMARISED)

    def delete(self, request: Json) -> Json:
        """Forget a version; its number is not given again."""
        with self.lock:
            del self.groups.versions[self.find(request["ModelPackageName"])["ModelPackageArn"]]
        return {}

    def find(self, named: str) -> Json:
        """Return the version that a name or an ARN stands for."""
        found = VERSION.fullmatch(named)
        arn = (
            self.context.arn("sagemaker", f"model-package/{found['group']}/{found['version']}")
            if found
            else named
        )
        if arn not in self.groups.versions:
            raise validation_error(f"ModelPackage {arn} does not exist.")
        return self.groups.versions[arn]

    def announce(self, package: Json) -> None:
        """Send the state-change event."""
        detail = {key: iso(value) if key.endswith("Time") else value for key, value in package.items()}
        arn = package["ModelPackageArn"]
        ministack.put_event("aws.sagemaker", "SageMaker Model Package State Change", detail, [arn])
