"""Production of a generated project on its local cloud: endpoints, deployments, alarms and approvals."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.harness import until

if TYPE_CHECKING:
    from tests.harness import Rig

approval: Any = importlib.import_module("delivery.approval")
stacks: Any = importlib.import_module("delivery.local_stacks")
change_sets: Any = importlib.import_module("delivery.stacks")


@dataclass(frozen=True)
class Production:
    """The stack deploy-prd of a project; a version is the pipeline execution that delivered it."""

    rig: Rig

    @property
    def project(self) -> str:
        return self.rig.root.name

    @property
    def stack(self) -> str:
        return f"{self.project}-deploy-prd"

    @property
    def pipeline(self) -> str:
        return f"{self.project}-pipeline"

    @property
    def function(self) -> str:
        return f"{self.project}-api"

    def client(self, service: str) -> Any:
        return self.rig.cloud().client(service)

    def url(self) -> str:
        """Return the local URL of the API."""
        cloud = self.rig.cloud()
        return str(cloud.local_url(stacks.outputs(cloud, self.stack)["ApiUrl"]))

    def versions(self) -> list[str]:
        """List the versions that have an endpoint."""
        prefix = f"{self.project}-prd-"
        found = self.client("sagemaker").list_endpoints(NameContains=prefix)["Endpoints"]
        return [each["EndpointName"].removeprefix(prefix) for each in found]

    def serving(self) -> str:
        """Wait until one version is left, and return it."""
        return str(until(lambda: found[0] if len(found := self.versions()) == 1 else None))

    def deployments(self) -> list[dict[str, Any]]:
        """List the deployments by CloudFormation, oldest first, without those that roll back."""
        return [each for each in self.rig.cloud().deployments() if each["creator"] == "CloudFormation"]

    def shifting(self) -> dict[str, Any] | None:
        """Return the deployment in progress under which two versions share the traffic."""
        newest = self.deployments()[-1:]
        return next((each for each in newest if len(each["shifts"]) == 1 and not each["completed"]), None)

    def event(self, name: str) -> str:
        """Return the status of a lifecycle event of the newest deployment."""
        events = [event for each in self.deployments()[-1:] for event in each["events"]]
        return next((event["status"] for event in events if event["lifecycleEventName"] == name), "")

    def pending_approval(self) -> Any:
        """Return the pending approval."""
        return approval.find(self.rig.cloud(), self.pipeline)

    def approve(self, pending: Any) -> None:
        approval.answer(self.rig.cloud(), pending, "Approved", "by a test")

    def states(self, version: str) -> dict[str, set[str]]:
        """Return the states of each alarm of a version so far."""
        cloudwatch = self.client("cloudwatch")
        prefix = f"{self.project}-{version}-"
        found = cloudwatch.describe_alarms(AlarmNamePrefix=prefix)["MetricAlarms"]
        histories = {
            each["AlarmName"]: cloudwatch.describe_alarm_history(AlarmName=each["AlarmName"])
            for each in found
        }
        return {
            name.removeprefix(prefix): {
                item["HistorySummary"].rpartition(" ")[2] for item in history["AlarmHistoryItems"]
            }
            for name, history in histories.items()
        }

    def log(self, function: str) -> str:
        """Return the log of a function."""
        group = f"/aws/lambda/{function}"
        events = self.client("logs").filter_log_events(logGroupName=group, limit=10_000)["events"]
        return "\n".join(event["message"] for event in events)

    def configuration(self, version: str) -> dict[str, Any]:
        """Return the configuration of the API function's version that serves a version of the model."""
        listed = self.client("lambda").list_versions_by_function(FunctionName=self.function)["Versions"]
        (found,) = [
            each
            for each in listed
            if each["Environment"]["Variables"]["EXECUTION_ID"] == version and each["Version"] != "$LATEST"
        ]
        return dict(found)

    def update(self, **parameters: str) -> None:
        """Change only parameters of the stack, and wait until the update has ended."""
        cloudformation = self.client("cloudformation")
        (described,) = cloudformation.describe_stacks(StackName=self.stack)["Stacks"]
        kept = {each["ParameterKey"] for each in described["Parameters"]} - parameters.keys()
        # The processed template is SAM's result for the existing version, so the original one is used.
        template = cloudformation.get_template(StackName=self.stack, TemplateStage="Original")["TemplateBody"]
        cloudformation.update_stack(
            StackName=self.stack,
            TemplateBody=template,
            Parameters=[
                *({"ParameterKey": key, "UsePreviousValue": True} for key in kept),
                *({"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()),
            ],
            Capabilities=["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"],
        )
        until(lambda: not self.status().endswith("PROGRESS"))

    def status(self) -> str:
        """Return the status of the stack; it is empty without a stack."""
        found = change_sets.find(self.rig.cloud(), self.stack)
        return str(found["StackStatus"]) if found else ""
