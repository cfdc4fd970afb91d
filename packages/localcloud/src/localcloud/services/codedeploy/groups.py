"""Applications and deployment groups: triggers, alarms and the configuration of the traffic shift."""

from __future__ import annotations

import threading
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from localcloud.core.clock import now
from localcloud.core.service import Kept
from localcloud.services.codedeploy import errors
from localcloud.services.codedeploy.traffic import shift_steps

if TYPE_CHECKING:
    from localcloud.core.service import Json

ALL_AT_ONCE = "CodeDeployDefault.LambdaAllAtOnce"


@dataclass
class Groups:
    """All applications with their deployment groups."""

    applications: dict[str, Json] = field(default_factory=dict)
    groups: dict[tuple[str, str], Json] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def kept(self) -> dict[str, Kept]:
        """Return how the applications and groups outlive the cloud."""
        return {
            "applications": Kept.table(self.applications),
            "groups": Kept(lambda: [[*key, group] for key, group in self.groups.items()], self._load),
        }

    def _load(self, saved: list[Any]) -> None:
        self.groups.update({(application, name): group for application, name, group in saved})

    def find_application(self, name: str) -> Json:
        """Return an application's description.

        Raises:
            ServiceError: the application does not exist.
        """
        if name not in self.applications:
            raise errors.application_not_found(name)
        return self.applications[name]

    def find(self, application: str, name: str) -> Json:
        """Return a deployment group's description.

        Raises:
            ServiceError: the application or the group does not exist.
        """
        self.find_application(application)
        if (application, name) not in self.groups:
            raise errors.group_not_found(name)
        return self.groups[application, name]

    def get_application(self, request: Json) -> Json:
        """Describe an application."""
        return {"application": self.find_application(request["applicationName"])}

    def list_applications(self, _: Json) -> Json:
        """List the applications' names."""
        return {"applications": sorted(self.applications)}

    def get(self, request: Json) -> Json:
        """Describe a deployment group."""
        return {"deploymentGroupInfo": self.find(request["applicationName"], request["deploymentGroupName"])}

    def list(self, request: Json) -> Json:
        """List the names of an application's deployment groups."""
        application = request["applicationName"]
        self.find_application(application)
        names = sorted(name for owner, name in self.groups if owner == application)
        return {"applicationName": application, "deploymentGroups": names}

    def create_application(self, request: Json) -> str:
        """Create an application and return its id.

        Raises:
            ServiceError: there is an application of this name.
        """
        name, identifier = request["applicationName"], str(uuid.uuid4())
        with self.lock:
            if name in self.applications:
                raise errors.application_already_exists(name)
            self.applications[name] = {
                "applicationId": identifier,
                "applicationName": name,
                "createTime": now(),
                "linkedToGitHub": False,
                "computePlatform": request["computePlatform"],
            }
        return identifier

    def put(self, request: Json) -> str:
        """Create a deployment group, or change the one of this name, and return its id.

        Raises:
            ServiceError: the application or the deployment configuration does not exist.
        """
        application, name = request["applicationName"], request["deploymentGroupName"]
        self.find_application(application)
        config = request.get("deploymentConfigName", ALL_AT_ONCE)
        if shift_steps(config) is None:
            raise errors.configuration_not_found(config)
        with self.lock:
            former = self.groups.get((application, name), {})
            identifier = str(former.get("deploymentGroupId", uuid.uuid4()))
            self.groups[application, name] = {
                **request,
                "deploymentGroupId": identifier,
                "deploymentConfigName": config,
                "computePlatform": "Lambda",
            }
        return identifier
