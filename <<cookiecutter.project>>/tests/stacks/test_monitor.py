"""The monitor: its inputs, its metrics and notifications, and the retraining that it triggers."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from delivery.templates.read import read_template
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.stacks import asl

ROOT = Path(__file__).resolve().parents[2]
STATES = json.loads((ROOT / "stacks" / "monitor.asl.json").read_text(encoding="utf-8"))["States"]
TEMPLATE = read_template(ROOT / "stacks" / "monitor.yml")
PRODUCTION = read_template(ROOT / "stacks" / "deploy-model-prd.yml")
SUBSTITUTIONS = {
    "ArtifactBucket": "the-bucket",
    "EndpointName": "house-prd-2",
    "ExecutionId": "2",
    "GroundTruthDelaySeconds": "3600",
    "GroundTruthPrefix": "truth/",
    "ImageUri": "image",
    "InstanceCount": "1",
    "InstanceType": "ml.m5.large",
    "KmsKeyArn": "arn:aws:kms:eu-central-1:111122223333:key/1",
    "MaxRuntimeInSeconds": "1800",
    "MaxUnusable": "0.05",
    "MinimumRecords": "500",
    "Project": "house",
    "SageMakerRoleArn": "arn:aws:iam::111122223333:role/sagemaker",
    "SecurityGroupIds": "",
    "SubnetIds": "",
    "VolumeKmsKeyArn": "",
    "VolumeSizeInGB": "30",
    "WindowSeconds": "3600",
}
HOUR = 3_600_000
EXECUTION = {"Id": "arn:execution", "Name": "e" * 80, "StartTime": "2025-01-31T11:20:03.123Z"}
STATE = {"RetryCount": 0}


def evaluate(template: Any, variables: dict[str, Any], **substitutions: str) -> Any:
    """Evaluate every expression of a template, with the stack's substitutions."""
    text = json.dumps(template)
    for name, value in {**SUBSTITUTIONS, **substitutions}.items():
        text = text.replace(f"${{{name}}}", value)
    return asl.evaluate(json.loads(text), **variables)


def resolved(given_input: dict[str, Any], **substitutions: str) -> dict[str, Any]:
    """Return the variables of an execution after ResolveFolders."""
    states = {"input": given_input, "context": {"Execution": EXECUTION, "State": STATE}}
    variables: dict[str, Any] = evaluate(
        STATES["ResolveWindow"]["Assign"], {"states": states}, **substitutions
    )
    variables |= evaluate(STATES["ResolveFolders"]["Assign"], {"states": states, **variables})
    return variables


def test_the_default_window_is_the_last_whole_hour() -> None:
    """It is the last whole hour before the schedule's time, whenever the execution began."""
    for given_input in ({"Time": "2025-01-31T11:20:00Z"}, {}):
        found = resolved(given_input)
        assert found["window"] == "2025-01-31T10:00:00.000Z to 2025-01-31T11:00:00.000Z"
        assert found["hours"] == ["2025/01/31/10"] or found["hours"] == "2025/01/31/10"
        assert found["results"].startswith("monitoring/2025/01/31/10/")


def test_a_window_may_be_named() -> None:
    """To the second, and across the end of a day."""
    found = resolved({"Start": "2025-01-31T23:59:00Z", "End": "2025-02-01T01:00:00Z"})
    assert found["hours"] == ["2025/01/31/23", "2025/02/01/00"]


@pytest.mark.parametrize("window", TEMPLATE["Parameters"]["WindowSeconds"]["AllowedValues"])
def test_every_allowed_window_fits_the_inputs_of_a_job(window: int) -> None:
    """For half a day and more a job reads whole days; the container leaves out the rest by its times."""
    variables = resolved({"Time": "2025-01-31T13:20:00Z"}, WindowSeconds=str(window))
    folders = listed("house-prd-1", variables=variables)
    state = STATES["HasInputs"]
    facts = {"folders": folders, "truths": [], "analysis": "DATA_QUALITY", "window": "w"}
    assert not any(evaluate(rule["Condition"], facts) for rule in state["Choices"])
    variables["states"] = {"context": {"Execution": EXECUTION, "State": STATE}}
    job = evaluate(STATES["RunDataQualityJob"]["Arguments"], variables | {"folders": folders})
    length = [datetime.fromisoformat(job["Environment"][name]) for name in ("start_time", "end_time")]
    assert (length[1] - length[0]).total_seconds() == window
    if window > 8 * 3600:
        assert {folder.partition("/AllTraffic/")[2] for folder in folders} <= {"2025/01/30/", "2025/01/31/"}


@settings(deadline=None)
@given(st.integers(0, 10**9), st.integers(1, 5 * 3600))
def test_every_second_of_a_window_lies_in_a_folder(start: int, seconds: int) -> None:
    """The first and the last one too, and each folder is listed once."""
    moments = [datetime.fromtimestamp(each).astimezone() for each in (start, start + seconds)]
    named = {key: f"{each:%Y-%m-%dT%H:%M:%S%z}" for key, each in zip(("Start", "End"), moments, strict=True)}
    hours = resolved(named)["hours"]
    hours = [hours] if isinstance(hours, str) else hours
    wanted = {
        datetime.fromtimestamp(each, UTC).strftime("%Y/%m/%d/%H") for each in range(start, start + seconds)
    }
    assert sorted(hours) == sorted(wanted)


@pytest.mark.parametrize("given_input", [{"Start": "2025-01-31T10:00:00Z"}, {"End": "2025-01-31T10:00:00Z"}])
def test_half_a_window_is_refused(given_input: dict[str, str]) -> None:
    """The refusal has a name, and comes before any call."""
    refusal = STATES["ClassifyEvent"]["Choices"][1]
    assert evaluate(refusal["Condition"], {"states": {"input": given_input}}) is True
    assert evaluate(refusal["Condition"], {"states": {"input": {}}}) is False


def listed(*endpoints: str, variables: dict[str, Any]) -> list[str]:
    """Return the folders of capture that an execution looks into."""
    result = {"CommonPrefixes": [{"Prefix": f"capture/{name}/"} for name in endpoints], "IsTruncated": False}
    assigned = evaluate(STATES["ListCaptureFolders"]["Assign"], {**variables, "states": {"result": result}})
    folders = assigned["folders"]
    return [folders] if isinstance(folders, str) else folders


def test_a_deployment_splits_an_hour_over_two_endpoints() -> None:
    """Both are read, in the folder of production's variant."""
    found = listed("house-prd-1", "house-prd-2", variables=resolved({"Time": "2025-01-31T11:20:00Z"}))
    variant = PRODUCTION["Resources"]["EndpointConfig"]["Properties"]["ProductionVariants"][0]["VariantName"]
    assert found == [f"capture/house-prd-{n}/{variant}/2025/01/31/10/" for n in (1, 2)]
    capture = PRODUCTION["Resources"]["EndpointConfig"]["Properties"]["DataCaptureConfig"]
    assert capture["DestinationS3Uri"] == {"Fn::Sub": "s3://${ArtifactBucket}/capture"}


@pytest.mark.parametrize(
    ("folders", "leads"),
    [([], "FindDriftAlarm"), (["a/"], "RunDataQualityJob"), (["a/"] * 9, "NotifyFailure")],
)
def test_no_capture_means_no_traffic(folders: list[str], leads: str) -> None:
    """No job runs without inputs, or with more than a job takes."""
    state = STATES["HasInputs"]
    variables = {"folders": folders, "truths": [], "analysis": "DATA_QUALITY", "window": "w"}
    matching = [rule["Next"] for rule in state["Choices"] if evaluate(rule["Condition"], variables)]
    assert (matching or [state["Default"]])[0] == leads


@pytest.mark.parametrize("instances", ["1", "3"])
def test_a_job_reads_the_capture_and_the_models_baseline(instances: str) -> None:
    """Several instances share the files; with the longest project name, the job's name has 63 characters."""
    variables = resolved({"Time": "2025-01-31T11:20:00Z"}) | {"folders": ["capture/a/", "capture/b/"]}
    variables["states"] = {"context": {"Execution": EXECUTION, "State": STATE}}
    arguments = evaluate(
        STATES["RunDataQualityJob"]["Arguments"], variables, InstanceCount=instances, Project="p" * 16
    )
    assert len(arguments["ProcessingJobName"]) <= 63
    inputs = {each["InputName"]: each["S3Input"] for each in arguments["ProcessingInputs"]}
    assert inputs["baseline-statistics"]["S3Uri"] == "s3://the-bucket/models/2/statistics.json"
    shared = "ShardedByS3Key" if instances == "3" else "FullyReplicated"
    assert {inputs[f"capture-{n}"]["S3DataDistributionType"] for n in (0, 1)} == {shared}
    assert len({each["LocalPath"] for each in inputs.values()}) == 4
    cluster = arguments["ProcessingResources"]["ClusterConfig"]
    assert cluster == {"InstanceType": "ml.m5.large", "InstanceCount": int(instances), "VolumeSizeInGB": 30}
    assert all(len(value) <= 256 for value in arguments["Environment"].values())


def test_a_second_job_merges_partial_results() -> None:
    """It reads them from where the first job wrote them, under its own name."""
    variables = resolved({"Time": "2025-01-31T11:20:00Z"}) | {"folders": ["capture/a/"]}
    variables["states"] = {"context": {"Execution": EXECUTION, "State": STATE}}
    jobs = [
        evaluate(STATES[name]["Arguments"], variables)
        for name in ("RunDataQualityJob", "MergePartialResults")
    ]
    assert jobs[0]["ProcessingJobName"] != jobs[1]["ProcessingJobName"]
    (out,) = jobs[0]["ProcessingOutputConfig"]["Outputs"]
    taken = {each["InputName"]: each["S3Input"] for each in jobs[1]["ProcessingInputs"]}["partial"]
    assert taken["S3Uri"] == out["S3Output"]["S3Uri"] + "/partial"
    assert taken["LocalPath"] == jobs[1]["Environment"]["partial_source"]


def quality(**given_input: str) -> dict[str, Any]:
    """Return the variables of an execution that compares predictions with ground truth."""
    return resolved({"Analysis": "MODEL_QUALITY", **given_input})


@pytest.mark.parametrize(
    ("delay", "window"),
    [
        ("0", "2025-01-31T10:00:00.000Z to 2025-01-31T11:00:00.000Z"),
        ("86400", "2025-01-30T10:00:00.000Z to 2025-01-30T11:00:00.000Z"),
    ],
)
def test_ground_truth_is_awaited(delay: str, window: str) -> None:
    """A window is compared after the delay of its ground truth; a named window is compared at once."""
    given_input = {"Analysis": "MODEL_QUALITY", "Time": "2025-01-31T11:20:00Z"}
    assert resolved(given_input, GroundTruthDelaySeconds=delay)["window"] == window
    named = {"Analysis": "MODEL_QUALITY", "Start": "2025-01-31T10:00:00Z", "End": "2025-01-31T10:05:00Z"}
    assert resolved(named, GroundTruthDelaySeconds=delay)["hours"] in ("2025/01/31/10", ["2025/01/31/10"])
    assert resolved({"Time": "2025-01-31T11:20:00Z"}, GroundTruthDelaySeconds=delay)["window"].startswith(
        "2025-01-31T10"
    )


@pytest.mark.parametrize(
    ("analysis", "prefix", "refused"),
    [
        ("MODEL_QUALITY", "truth/", False),
        ("MODEL_QUALITY", "", True),
        ("DATA_QUALITY", "", False),
        ("MODEL_BIAS", "truth/", True),
    ],
)
def test_an_unknown_analysis_is_refused(analysis: str, prefix: str, *, refused: bool) -> None:
    """The refusal has a name, and comes before any call."""
    refusal = STATES["ClassifyEvent"]["Choices"][2]
    variables = {"states": {"input": {"Analysis": analysis}}}
    assert evaluate(refusal["Condition"], variables, GroundTruthPrefix=prefix) is refused
    assert evaluate(refusal["Condition"], {"states": {"input": {}}}, GroundTruthPrefix="") is False


@pytest.mark.parametrize(
    ("found", "truths", "leads"),
    [
        (["capture/a/"], ["truth/a/"], "RunModelQualityJob"),
        (["capture/a/"], [], "FindDriftAlarm"),
        ([], ["truth/a/"], "FindDriftAlarm"),
        (["capture/a/"] * 6, ["truth/a/"] * 4, "NotifyFailure"),
    ],
)
def test_predictions_are_compared_if_both_inputs_exist(
    found: list[str], truths: list[str], leads: str
) -> None:
    """The map separates folders of capture from those of ground truth, and no job begins without both."""
    variables = quality(Start="2025-01-31T10:00:00Z", End="2025-01-31T11:00:00Z")
    variables["folders"] = [f"capture/{n}/" for n in range(2)]
    items = evaluate(STATES["FindCapture"]["Items"], variables)
    assert items == ["capture/0/", "capture/1/", "truth/2025/01/31/10/"]
    result = {"states": {"result": [*found, "", *truths, ""]}}
    told_apart = evaluate(STATES["FindCapture"]["Assign"], result)
    assert told_apart == {"folders": found, "truths": truths}
    state = STATES["HasInputs"]
    matching = [
        each["Next"] for each in state["Choices"] if evaluate(each["Condition"], variables | told_apart)
    ]
    assert matching[0] == leads


def test_the_analysis_of_requests_ignores_ground_truth() -> None:
    """Whether or not ground truth exists."""
    variables = resolved({"Time": "2025-01-31T11:20:00Z"}) | {"folders": ["capture/0/", "capture/1/"]}
    assert evaluate(STATES["FindCapture"]["Items"], variables) == variables["folders"]


def test_a_job_reads_predictions_and_truth_and_the_evaluation_of_the_model() -> None:
    """Each input has its own folder below the one that the environment names, and the job a unique name."""
    variables = quality(Time="2025-01-31T11:20:00Z")
    variables |= {"folders": ["capture/a/", "capture/b/"], "truths": ["truth/a/"]}
    variables["states"] = {"context": {"Execution": EXECUTION, "State": STATE}}
    arguments = evaluate(STATES["RunModelQualityJob"]["Arguments"], variables, Project="p" * 16)
    other = evaluate(STATES["RunDataQualityJob"]["Arguments"], variables, Project="p" * 16)
    assert len(arguments["ProcessingJobName"]) <= 63
    assert arguments["ProcessingJobName"] != other["ProcessingJobName"]
    given, inputs = arguments["Environment"], arguments["ProcessingInputs"]
    places = {each["S3Input"]["S3Uri"].removeprefix("s3://the-bucket/"): each for each in inputs}
    assert list(places) == ["models/2/evaluation.json", "capture/a/", "capture/b/", "truth/a/"]
    paths = [each["S3Input"]["LocalPath"] for each in inputs]
    assert given["baseline_statistics"] == f"{paths[0]}/evaluation.json"
    assert [path.rpartition("/")[0] for path in paths[1:3]] == [given["dataset_source"]] * 2
    assert paths[3].rpartition("/")[0] == given["ground_truth_source"]
    assert len({each["InputName"] for each in inputs}) == len(set(paths)) == len(inputs)
    assert all(len(value) <= 256 for value in given.values())


def test_a_metric_that_is_worse_is_named() -> None:
    """The notification has the metric where a violation of requests has its feature."""
    violation = {
        "metric_name": "rmse",
        "constraint_check_type": "GreaterThanThreshold",
        "description": "worse",
    }
    result = {"result": {"Body": json.dumps({"violations": [violation]})}}
    found = evaluate(STATES["ReadViolations"]["Assign"], {"states": result})
    assert found["named"] in ("rmse: GreaterThanThreshold, worse", ["rmse: GreaterThanThreshold, worse"])


def test_every_job_is_isolated_from_the_network() -> None:
    """SageMaker alone brings the job its inputs."""
    variables = resolved({"Time": "2025-01-31T11:20:00Z"}) | {"folders": ["capture/a/"]}
    variables["states"] = {"context": {"Execution": EXECUTION, "State": STATE}}
    for name in ("RunDataQualityJob", "MergePartialResults", "RunModelQualityJob"):
        network = evaluate(
            STATES[name]["Arguments"]["NetworkConfig"],
            variables,
            SubnetIds="subnet-1,subnet-2",
            SecurityGroupIds="sg-1",
        )
        assert network["EnableNetworkIsolation"] is True
        assert network["VpcConfig"] == {"SecurityGroupIds": ["sg-1"], "Subnets": ["subnet-1", "subnet-2"]}


def analysed(count: int) -> str:
    """Return a file with this number of violations."""
    violation = {
        "feature_name": "rooms",
        "constraint_check_type": "baseline_drift_check",
        "description": "far",
    }
    return json.dumps({"violations": [violation] * count})


@pytest.mark.parametrize("count", [0, 1, 30])
def test_violations_are_counted_and_the_first_are_named(count: int) -> None:
    """A message names the first twenty, and shows whether others follow."""
    result = {"result": {"Body": analysed(count)}}
    found = evaluate(STATES["ReadViolations"]["Assign"], {"states": result})
    named = found["named"] if isinstance(found["named"], list) else [found["named"]]
    assert (found["violations"], found["drifted"], len(named)) == (count, count, min(count, 20))
    (rule,) = STATES["HasViolations"]["Choices"]
    assert evaluate(rule["Condition"], found) is (count > 0)
    variables = {
        **found,
        "named": named,
        "window": "w",
        "results": "monitoring/x",
        "analysis": "DATA_QUALITY",
    }
    message = evaluate(STATES["NotifyViolations"]["Arguments"]["Message"], variables)
    assert ("…" in message) == (count > 20)
    assert message.count("rooms: baseline_drift_check, far") == min(count, 20)


def test_results_of_model_monitors_own_job_are_read() -> None:
    """They are read from the address that the event names; their metrics are published already."""
    uri = "s3://the-bucket/monitoring/house-prd-2/house-monitor/2025/01/31/10"
    detail = {
        "ProcessingJobName": "model-monitoring-1",
        "ProcessingOutputConfig": {"Outputs": [{"S3Output": {"S3Uri": uri}}]},
    }
    rule = STATES["ClassifyEvent"]["Choices"][0]
    variables = {"states": {"input": {"detail": detail}}}
    assert evaluate(rule["Condition"], variables) is True
    assert evaluate(rule["Assign"]["results"], variables) == uri.removeprefix("s3://the-bucket/")
    assert rule["Next"] == "ReadViolations"


def test_data_that_cannot_be_used_is_reported_and_is_not_drift() -> None:
    """People are notified, and the metric of the drift alarm, which starts retraining, does not count it."""
    violations = [
        {"feature_name": "Unusable records", "constraint_check_type": "unusable_records_check"},
        {"metric_name": "x", "constraint_check_type": "unusable_ground_truth_check"},
    ]
    body = json.dumps({"violations": [{**each, "description": "lost"} for each in violations]})
    found = evaluate(STATES["ReadViolations"]["Assign"], {"states": {"result": {"Body": body}}})
    assert (found["violations"], found["drifted"]) == (2, 0)
    assert found["named"][0] == "Unusable records: unusable_records_check, lost"
    (rule,) = STATES["HasViolations"]["Choices"]
    assert evaluate(rule["Condition"], found) is True
    (datum,) = STATES["PublishViolationCount"]["Arguments"]["MetricData"]
    assert evaluate(datum["Value"], found) == 0


@pytest.mark.parametrize(
    ("alarm", "metric", "condition", "job"),
    [
        ("UnusableRecordsAlarm", "unusable_records_share", "HasContainer", "RunDataQualityJob"),
        ("UnusableGroundTruthAlarm", "unusable_ground_truth_share", "HasGroundTruth", "RunModelQualityJob"),
    ],
)
def test_alarms_of_unusable_data_notify_people_only(
    alarm: str, metric: str, condition: str, job: str
) -> None:
    """Their threshold is that of the job, and the governor does not see their names."""
    resource, drift = TEMPLATE["Resources"][alarm], TEMPLATE["Resources"]["AnyAlarm"]["Properties"]
    properties = resource["Properties"]
    assert (properties["MetricName"], resource["Condition"]) == (metric, condition)
    assert properties["Threshold"] == {"Ref": "MaxUnusable"}
    assert properties["AlarmActions"] == [{"Ref": "NotificationTopicArn"}]
    assert not properties["AlarmName"]["Fn::Sub"].startswith(
        STATES["FindDriftAlarm"]["Arguments"]["AlarmNamePrefix"]
    )
    shared = ("Namespace", "Dimensions", "Statistic", "ComparisonOperator", "Period", "TreatMissingData")
    assert {name: properties[name] for name in shared} == {name: drift[name] for name in shared}
    assert evaluate(STATES[job]["Arguments"]["Environment"]["max_unusable"], {}) == "0.05"


def test_alarms_watch_the_published_metrics() -> None:
    """By namespace, dimensions and name: the count of violations, and the drift of a feature."""
    (datum,) = STATES["PublishViolationCount"]["Arguments"]["MetricData"]
    resources = TEMPLATE["Resources"]
    published = {each["Name"]: each["Value"] for each in datum["Dimensions"]}
    assert published == {"Endpoint": "${EndpointName}", "MonitoringSchedule": "${Project}-monitor"}
    substituted = resources["StateMachine"]["Properties"]["DefinitionSubstitutions"]
    for alarm in (resources["AnyAlarm"], resources["QualityAlarm"], resources["FeatureAlarm&{Feature}"]):
        properties = alarm["Properties"]
        dimensions = {each["Name"]: each["Value"] for each in properties["Dimensions"]}
        assert dimensions["Endpoint"] == substituted["EndpointName"]
        assert dimensions["MonitoringSchedule"] == {"Fn::Sub": published["MonitoringSchedule"]}
        assert properties["Namespace"] == substituted["MetricNamespace"]
        assert (properties["TreatMissingData"], properties["Period"]) == (
            "notBreaching",
            {"Ref": "WindowSeconds"},
        )
        assert properties["AlarmName"]["Fn::Sub"].startswith("${Project}-drift-")
    for analysis, alarm in (("DATA_QUALITY", "AnyAlarm"), ("MODEL_QUALITY", "QualityAlarm")):
        counted = evaluate(datum["MetricName"], {"analysis": analysis})
        assert resources[alarm]["Properties"]["MetricName"] == counted
    prefix = STATES["FindDriftAlarm"]["Arguments"]["AlarmNamePrefix"]
    assert prefix == "${Project}-drift-"


def test_the_endpoint_is_that_of_production() -> None:
    """By the name that its own stack gives it."""
    substituted = TEMPLATE["Resources"]["StateMachine"]["Properties"]["DefinitionSubstitutions"]
    assert substituted["EndpointName"] == PRODUCTION["Resources"]["Endpoint"]["Properties"]["EndpointName"]


@pytest.mark.parametrize("alarms", [[], ["house-drift-any"]])
def test_retraining_is_triggered_while_an_alarm_is_on(alarms: list[str]) -> None:
    """The event is the window, so that the governor decides once for each window."""
    (rule,) = STATES["ShouldTriggerRetraining"]["Choices"]
    assert evaluate(rule["Condition"], {"states": {"input": {"Alarms": alarms}}}) is bool(alarms)
    asked = evaluate(STATES["TriggerRetraining"]["Arguments"]["Input"], {"window": "w"})
    assert asked == {"Reason": "drift", "Event": "w"}
