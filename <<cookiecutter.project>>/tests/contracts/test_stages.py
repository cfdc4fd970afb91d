"""Contracts between stages: dev and production, jobs and container, alarms and metrics, names."""

from __future__ import annotations

import copy
import itertools
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from delivery.templates.read import machines_in, read_template, walk
from jsonata import Jsonata

from container.__main__ import COMMANDS
from container.data import metrics
from container.data.schema import Target
from container.payload import negotiation
from functions.api import endpoint
from functions.api.settings import Settings
from pipeline.rules import MAX_FEATURE_LENGTH

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

ROOT = Path(__file__).resolve().parents[2]
TEMPLATES = {
    path.name: read_template(path)
    for path in (*ROOT.glob("pipeline/*.yml"), *ROOT.glob("stacks/*.yml"))
    if path.name != "buildspec.yml"
}
DEV, PRD = TEMPLATES["deploy-model-dev.yml"], TEMPLATES["deploy-model-prd.yml"]
MACHINES = {
    path.name.partition(".")[0]: json.loads(path.read_text(encoding="utf-8"))
    for path in (ROOT / "stacks").glob("*.asl.json")
}
Template = dict[str, Any]


def image_types() -> set[str]:
    """Return the content types of images, which a project of tables does not read."""
    images = pytest.importorskip("container.payload.images")
    return {negotiation.JSON, *images.IMAGE_TYPES}


@pytest.mark.parametrize(
    ("workload", "types"), [("tabular", lambda: {*negotiation.SUPPORTED}), ("image", image_types)]
)
def test_a_registered_model_lists_the_containers_content_types(
    workload: str, types: Callable[[], set[str]]
) -> None:
    """Users of the registry rely on these content types; image/jpg is absent as a misspelling."""
    read = types()
    (package,) = (
        node["Arguments"]
        for _, node in walk(MACHINES["workflow"])
        if isinstance(node, dict) and str(node.get("Resource")).endswith(":createModelPackage")
    )
    specification = package["InferenceSpecification"]
    expression = Jsonata(specification["SupportedContentTypes"].removeprefix("{%").removesuffix("%}"))
    expression.assign("settings", {"Data": {"Workload": workload}})
    assert {*expression.evaluate(None)} == read - {"image/jpg"}
    assert tuple(specification["SupportedResponseMIMETypes"]) == negotiation.SUPPORTED


def test_the_workflow_defines_each_metric_and_lists_the_error_metrics() -> None:
    """SageMaker parses metrics of a training by these names, and the gate's direction depends on the list."""
    numbers = metrics.scores(np.array([1.0, 2.0]), np.array([1.5, 2.0]), Target("y", "regression"))
    sure = np.array([[0.9, 0.1], [0.2, 0.8]])
    classes = metrics.scores(np.array([0.0, 1.0]), sure, Target("y", "binary", ("a", "b")))
    texts = [node for _, node in walk(MACHINES["workflow"]) if isinstance(node, str)]
    (defined,) = (text for text in texts if "'validation:'" in text)
    found = Jsonata(defined.removeprefix("{%").removesuffix("%}")).evaluate(None)
    assert [one["Name"] for one in found] == [f"validation:{name}" for name in (*numbers, *classes)]
    for one in found:
        name = one["Name"].removeprefix("validation:")
        assert re.fullmatch(one["Regex"], f"validation_{name}={1e-7!r};")
    (chosen,) = (text for text in texts if "'less' : 'greater'" in text)
    (listed,) = re.findall(r"\$metric in \[(.*?)\]", chosen)
    assert re.findall(r"\w+", listed) == [*metrics.ERRORS]


SERVING = {"Model", "EndpointConfig", "Endpoint"}
# Parameters of production that dev lacks, by their purpose.
ONLY_PRODUCTION = {
    "the API": {"LambdaImageUri", "ApiPackage", "AuthorizationType", "AccessLog", "EfsAccessPointArn"}
    | {"ThrottlingRateLimit", "ThrottlingBurstLimit"},
    "the canary": {"DeploymentHash", "DeploymentPreference", "GoldenUrl", "LatencyThresholdMs"}
    | {
        "GoldenTolerance",
        "AnswerTolerance",
        "SyntheticRate",
        "NotificationTopicArn",
        "PermissionsBoundaryArn",
    },
    "scaling": {"MinCapacity", "MaxCapacity", "InvocationsPerInstance"},
}


def stage_faults(dev: Template, prd: Template) -> Iterator[str]:
    """List the differences between dev and production beyond the stage in names and ONLY_PRODUCTION."""
    for name in sorted(SERVING):
        mine, theirs = (
            json.dumps(one["Resources"].get(name), sort_keys=True).replace(f"-{stage}-", "-stage-")
            for stage, one in (("dev", dev), ("prd", prd))
        )
        if mine != theirs:
            yield f"{name} differs"
    yield from (f"dev alone has {name}" for name in sorted(dev["Resources"].keys() - SERVING))
    listed = set().union(*ONLY_PRODUCTION.values())
    yield from (
        f"parameter {name} differs"
        for name in sorted((dev["Parameters"].keys() ^ prd["Parameters"].keys()) ^ listed)
    )
    for name in sorted(dev["Parameters"].keys() & prd["Parameters"].keys()):
        rules = ({**one["Parameters"][name], "Description": ""} for one in (dev, prd))
        if len({json.dumps(rule, sort_keys=True) for rule in rules}) > 1:
            yield f"parameter {name} is another"


def test_dev_and_production_differ_only_in_listed_parameters() -> None:
    """The configuration that is tested in dev is the one that serves."""
    assert list(stage_faults(DEV, PRD)) == []


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        (["Resources", "Model", "Properties", "EnableNetworkIsolation"], False, "Model differs"),
        (["Resources", "Endpoint", "Properties", "Tags"], [], "Endpoint differs"),
        (["Resources", "Alarm"], {}, "dev alone has Alarm"),
        (["Parameters", "Threads"], {"Type": "Number"}, "parameter Threads differs"),
        (["Parameters", "MaxCapacity"], {"Type": "Number"}, "parameter MaxCapacity differs"),
        (["Parameters", "InstanceType", "Default"], "ml.t2.medium", "parameter InstanceType is another"),
    ],
)
def test_a_difference_between_dev_and_production_is_reported(path: list[str], value: Any, words: str) -> None:
    """Each kind of difference is found."""
    assert words in stage_faults(changed(DEV, path, value), PRD)


def changed(content: Any, path: list[Any], value: Any) -> Any:
    """Copy a document and put a value at a path of it."""
    broken = copy.deepcopy(content)
    place = broken
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return broken


def command_faults(machines: dict[str, dict[str, Any]], known: Collection[str]) -> Iterator[str]:
    """List the jobs whose command the container lacks, and the commands that no job runs."""
    run = {"train", "serve"}  # commands that SageMaker sets for training jobs and endpoints
    for _, inner in (one for machine in machines.values() for one in machines_in(machine, "")):
        for name, state in inner["States"].items():
            arguments = state.get("Arguments")
            if isinstance(arguments, dict) and "AppSpecification" in arguments:
                (command,) = arguments["AppSpecification"]["ContainerArguments"]
                run.add(command)
                if command not in known:
                    yield f"{name} runs {command}, which the container lacks"
    yield from (f"nothing runs {command}" for command in sorted(set(known) - run))


def test_the_state_machine_runs_commands_of_the_container() -> None:
    """Otherwise a job ends with a usage error, after its instance has been paid for."""
    assert list(command_faults(MACHINES, COMMANDS)) == []


def test_an_unknown_or_unused_command_is_reported() -> None:
    """Both an unknown and an unused command are found."""
    path = ["workflow", "States", "EvaluateModel", "Arguments", "AppSpecification", "ContainerArguments"]
    found = list(command_faults(changed(MACHINES, path, ["evalute"]), COMMANDS))
    assert found == ["EvaluateModel runs evalute, which the container lacks", "nothing runs evaluate"]


# Metrics of AWS for a function behind an alias, and for a variant (CloudWatch metrics references).
BY_ALIAS = ({"FunctionName", "Resource"}, {"FunctionName", "Resource", "ExecutedVersion"})
PUBLISHED: dict[str, dict[str, tuple[set[str], ...]]] = {
    "AWS/Lambda": {"Errors": BY_ALIAS, "Duration": BY_ALIAS},
    "AWS/SageMaker": dict.fromkeys(
        ("Invocation5XXErrors", "ModelLatency"), ({"EndpointName", "VariantName"},)
    ),
}


@pytest.fixture
def published(capsys: pytest.CaptureFixture[str]) -> dict[str, dict[str, tuple[set[str], ...]]]:
    """Add the metrics of the API's function, by running it."""
    namespace = "the-namespace"
    endpoint.count_failure(Settings("the-endpoint", "1", "0", namespace), 404)
    (metric,) = json.loads(capsys.readouterr().out)["_aws"]["CloudWatchMetrics"]
    assert metric["Namespace"] == namespace
    variables = PRD["Globals"]["Function"]["Environment"]["Variables"]
    assert variables["METRIC_NAMESPACE"] == {"Ref": "Project"}
    own = {one["Name"]: tuple(map(set, metric["Dimensions"])) for one in metric["Metrics"]}
    return {**PUBLISHED, "Project": own}


def alarm_faults(template: Template, known: dict[str, dict[str, tuple[set[str], ...]]]) -> Iterator[str]:
    """List the alarms whose metric does not exist, which would be silent for ever."""
    for name, resource in template["Resources"].items():
        if resource["Type"] != "AWS::CloudWatch::Alarm":
            continue
        alarm = resource["Properties"]
        namespace = alarm["Namespace"]["Ref"] if isinstance(alarm["Namespace"], dict) else alarm["Namespace"]
        metrics = known.get(namespace, {})
        dimensions = {entry["Name"] for entry in alarm["Dimensions"]}
        if alarm["MetricName"] not in metrics:
            yield f"{name}: nobody publishes {namespace} {alarm['MetricName']}"
        elif dimensions not in metrics[alarm["MetricName"]]:
            yield f"{name}: {alarm['MetricName']} has no dimensions {sorted(dimensions)}"


def test_alarms_watch_published_metrics(published: dict[str, Any]) -> None:
    """Namespace, metric and dimensions of each alarm exist, and every published metric has an alarm."""
    assert list(alarm_faults(PRD, published)) == []
    watched = {
        one["Properties"]["MetricName"]
        for one in PRD["Resources"].values()
        if one["Type"] == "AWS::CloudWatch::Alarm"
    }
    assert watched == {metric for metrics in published.values() for metric in metrics}


@pytest.mark.parametrize(
    ("alarm", "key", "value", "words"),
    [
        ("HandledFailuresAlarm", "MetricName", "Failures", "nobody publishes Project Failures"),
        ("HandledFailuresAlarm", "Namespace", "failures", "nobody publishes failures HandledFailures"),
        ("HandledFailuresAlarm", "Dimensions", [{"Name": "Endpoint"}], "has no dimensions ['Endpoint']"),
        ("EndpointErrorsAlarm", "MetricName", "5XXErrors", "nobody publishes AWS/SageMaker 5XXErrors"),
        ("VersionErrorsAlarm", "Dimensions", [{"Name": "ExecutedVersion"}], "has no dimensions"),
    ],
)
def test_an_alarm_without_a_metric_is_reported(
    published: dict[str, Any], alarm: str, key: str, value: Any, words: str
) -> None:
    """One wrong letter makes an alarm that never fires."""
    broken = changed(PRD, ["Resources", alarm, "Properties", key], value)
    assert any(words in fault for fault in alarm_faults(broken, published))


LIMITS = {  # of each service, in characters
    "AWS::CloudWatch::Alarm": ("AlarmName", 255),
    "AWS::CloudWatch::Dashboard": ("DashboardName", 255),
    "AWS::CodeBuild::Project": ("Name", 150),
    "AWS::CodePipeline::Pipeline": ("Name", 100),
    "AWS::ECR::Repository": ("RepositoryName", 256),
    "AWS::IAM::Policy": ("PolicyName", 128),
    "AWS::KMS::Alias": ("AliasName", 256),
    "AWS::Lambda::Function": ("FunctionName", 64),
    "AWS::Logs::LogGroup": ("LogGroupName", 512),
    "AWS::SSM::Parameter": ("Name", 1011),
    "AWS::SageMaker::Endpoint": ("EndpointName", 63),
    "AWS::SageMaker::EndpointConfig": ("EndpointConfigName", 63),
    "AWS::SageMaker::Model": ("ModelName", 63),
    "AWS::SageMaker::MonitoringSchedule": ("MonitoringScheduleName", 63),
    "AWS::SageMaker::ModelPackageGroup": ("ModelPackageGroupName", 63),
    "AWS::Scheduler::Schedule": ("Name", 64),
    "AWS::Serverless::Api": ("Name", 255),
    "AWS::Serverless::Function": ("FunctionName", 64),
    "AWS::StepFunctions::StateMachine": ("StateMachineName", 80),
}
LONGEST = {
    "Project": "p" * 16,
    "ExecutionId": "0f0cbb6e-3b0e-4a7e-9d3a-6a2f8f2f5a10",
    "Feature": "f" * MAX_FEATURE_LENGTH,
}


def name_faults(template: Template) -> Iterator[str]:
    """List the names that are too long for the longest project, and those without a known limit."""
    for logical, resource in template["Resources"].items():
        key, most = LIMITS.get(resource["Type"], ("", 0))
        named = [name for name in resource["Properties"] if re.fullmatch(r"(?!File)\w*Name|Name", name)]
        if not key:
            own = [name for name in named if has_project(resource["Properties"][name])]
            yield from (f"{logical}.{name} has no limit here" for name in own)
        elif key in resource["Properties"]:
            given = resource["Properties"][key]
            text = given["Fn::Sub"] if "Fn::Sub" in given else "${" + given["Ref"] + "}"
            length = len(re.sub(r"\$\{(\w+)\}", lambda found: LONGEST[found[1]], text))
            yield from (
                f"{logical} has {length} characters, and {most} are allowed" for _ in range(length > most)
            )


def has_project(value: Any) -> bool:
    return "${Project}" in json.dumps(value) or value == {"Ref": "Project"}


@pytest.mark.parametrize("name", TEMPLATES)
def test_names_fit(name: str) -> None:
    """The project has 16 characters and the execution 36."""
    assert list(name_faults(TEMPLATES[name])) == []


@pytest.mark.parametrize(
    ("resource", "key", "given", "words"),
    [
        ("Endpoint", "EndpointName", "${Project}-production-${ExecutionId}", "64 characters, and 63"),
        ("PreTrafficFunction", "FunctionName", "CodeDeployHook_${Project}-" + "x" * 40, "and 64 are allowed"),
        ("Model", "ModelName", "${Project}-serving-model-${ExecutionId}", "and 63 are allowed"),
    ],
)
def test_a_name_that_is_too_long_is_reported(resource: str, key: str, given: str, words: str) -> None:
    """SageMaker allows 63 characters, and Lambda 64."""
    broken = changed(PRD, ["Resources", resource, "Properties", key], {"Fn::Sub": given})
    assert any(words in fault for fault in name_faults(broken))


JOB_LIMITS = {"ProcessingJobName": 63, "TrainingJobName": 63, "TransformJobName": 63}
JOB_LIMITS["HyperParameterTuningJobName"] = 32
MAX_RETRIES = 9  # one digit
CONTEXT = {"Execution": {"Name": LONGEST["ExecutionId"]}, "State": {"RetryCount": MAX_RETRIES}}


def job_name_faults(machine: dict[str, Any]) -> Iterator[str]:
    """List the jobs whose name is too long, or would be the same in a retry."""
    for where, content in walk(machine):
        if not isinstance(content, dict) or ".Output" in where:  # a name that is only reported
            continue
        for key in content.keys() & JOB_LIMITS.keys():
            if not str(content[key]).startswith("{%"):
                continue
            first, last = (job_name(content[key], retry) for retry in (0, MAX_RETRIES))
            if len(last) > JOB_LIMITS[key]:
                yield f"{where}.{key} has {len(last)} characters, and {JOB_LIMITS[key]} are allowed"
            if first == last:
                yield f"{where}.{key} is the same in each retry"


def job_name(expression: str, retry: int) -> str:
    """Evaluate the name of a job for the longest project and an execution."""
    context = {**CONTEXT, "State": {"RetryCount": retry}}
    found = Jsonata(expression[2:-2]).evaluate(None, {"states": {"context": context}})
    return str(found).replace("${Project}", LONGEST["Project"])


@pytest.mark.parametrize("name", MACHINES)
def test_names_of_jobs_fit(name: str) -> None:
    """SageMaker allows 63 characters, and accepts each name once."""
    assert list(job_name_faults(MACHINES[name])) == []


def test_a_job_name_that_is_too_long_or_used_twice_is_reported() -> None:
    """The cases are a longer infix, and a name of the execution alone."""
    path = ["States", "PrepareData", "Arguments", "ProcessingJobName"]
    given = MACHINES["workflow"]["States"]["PrepareData"]["Arguments"]["ProcessingJobName"]
    (fault,) = job_name_faults(changed(MACHINES["workflow"], path, given.replace("-prep-", "-preparation-")))
    assert fault.endswith("ProcessingJobName has 67 characters, and 63 are allowed")
    alone = "{% '${Project}-' & $states.context.Execution.Name %}"
    (fault,) = job_name_faults(changed(MACHINES["workflow"], path, alone))
    assert fault.endswith("ProcessingJobName is the same in each retry")


# Properties whose names are unique within their parent, and not within the account.
UNIQUE_WITHIN_PARENT = {"MetricName", "PolicyName", "ServiceName", "StageName"}
NAME_CONTINUATION = re.compile(r"(-?[a-z0-9])+")  # the rest of another project's longer name


def account_names(templates: dict[str, Template]) -> Iterator[tuple[str, str, str]]:
    """Yield each name that is unique in an account: its type, its resource and its pattern."""
    for template in templates.values():
        for logical, resource in template["Resources"].items():
            for key, value in resource.get("Properties", {}).items():
                if re.fullmatch(r"(?!File)\w*Name|Name", key) and key not in UNIQUE_WITHIN_PARENT:
                    yield resource["Type"], logical, pattern_of(value)
        for logical, output in template.get("Outputs", {}).items():
            if "Export" in output:
                yield "export", logical, pattern_of(output["Export"]["Name"])


def pattern_of(value: Any) -> str:
    """Return a name with ${X} in it; it is empty where another resource or a person gives the name."""
    if isinstance(value, str):
        return value
    return str(value.get("Fn::Sub", "${Project}" if value == {"Ref": "Project"} else ""))


def collision_faults(templates: dict[str, Template]) -> Iterator[str]:
    """List the names that two projects would share, with the project name that leads to the collision."""
    known: dict[str, list[tuple[str, str]]] = {}
    for kind, logical, pattern in account_names(templates):
        if pattern and "${Project}" not in pattern:
            yield f"{logical} is called {pattern} in every project"
        known.setdefault(kind, []).append((logical, pattern))
    for names in known.values():
        for (logical, longer), (other, shorter) in itertools.permutations(names, 2):
            before, _, ending = shorter.partition("${Project}")
            rest = longer.removeprefix(f"{before}${{Project}}").removesuffix(ending)
            if f"{before}${{Project}}{rest}{ending}" == longer and NAME_CONTINUATION.fullmatch(rest):
                yield f"{logical} of a project is {other} of one whose name continues with {rest}"


def test_two_projects_have_no_name_in_common() -> None:
    """One project's name may be the beginning of the other's."""
    assert list(collision_faults(TEMPLATES)) == []


@pytest.mark.parametrize(
    ("name", "path", "value", "words"),
    [
        ("deploy-model-prd.yml", ["ApiLogGroup", "Properties", "LogGroupName"], "/api", "is called /api in"),
        ("workflow.yml", ["StateMachineRole", "Properties", "RoleName"], "MLOps", "is called MLOps in every"),
        (
            "pipeline.yml",
            ["ApiRepository", "Properties", "RepositoryName"],
            {"Fn::Sub": "${Project}-api"},
            "ApiRepository of a project is Repository of one whose name continues with -api",
        ),
        (
            "verify.yml",
            ["GoldenFunction", "Properties", "FunctionName"],
            {"Fn::Sub": "CodeDeployHook_${Project}-golden-pre-traffic"},
            "GoldenFunction of a project is PreTrafficFunction of one whose name continues with -golden",
        ),
    ],
)
def test_a_name_that_two_projects_would_share_is_reported(
    name: str, path: list[str], value: Any, words: str
) -> None:
    """The cases are a fixed name, and a name that another project's longer name produces."""
    broken = {**TEMPLATES, name: changed(TEMPLATES[name], ["Resources", *path], value)}
    assert any(words in fault for fault in collision_faults(broken)), list(collision_faults(broken))
