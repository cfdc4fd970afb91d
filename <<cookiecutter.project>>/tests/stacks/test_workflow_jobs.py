"""The training's jobs: their names, inputs, outputs, network and encryption."""

import json
from typing import Any

import pytest

from tests.stacks.asl import evaluate
from tests.stacks.workflow import CONTEXT, DESCRIPTION, JOBS, REPORTS, STATES, UUID, choose, copies

SETTINGS_OF_JOBS = {"Train": {"Cluster": {"InstanceCount": 1}}}


def arguments_of(
    name: str, context: dict[str, Any] = CONTEXT, network: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Return a job's arguments; the training's are assembled from the variable of the state before it."""
    variables = {
        "states": {"context": context},
        "settings": SETTINGS_OF_JOBS | {"Network": network or {}},
        "job": DESCRIPTION,
    }
    given = JOBS[name]["Arguments"]
    if isinstance(given, str):
        return dict(evaluate(given, **variables))
    return {**given, "NetworkConfig": evaluate(given["NetworkConfig"], **variables)}


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("PrepareData", "prep"),
        ("MergePartialResults", "merge"),
        ("ComputeBaseline", "base"),
        ("TrainModel", "train"),
        ("EvaluateModel", "eval"),
    ],
)
def test_job_names_are_new_with_each_retry(name: str, kind: str) -> None:
    """SageMaker accepts a name once; the name has room for one digit."""
    retries = sum(rule["MaxAttempts"] for rule in JOBS[name]["Retry"])
    assert retries <= 9
    context = {"Execution": {"Name": UUID}, "State": {"RetryCount": retries}}
    arguments = arguments_of(name, context)
    template = next(value for key, value in arguments.items() if key.endswith("JobName"))
    job = evaluate(template, states={"context": context}).replace("${Project}", "p" * 16)
    assert job == f"{'p' * 16}-{kind}-{UUID}-{retries}"


def test_a_job_that_ran_and_failed_is_not_run_again() -> None:
    """Only the service's own faults are retried, with growing pauses."""
    for name, state in JOBS.items():
        retried = {error for rule in state["Retry"] for error in rule["ErrorEquals"]}
        assert not retried & {"States.ALL", "States.TaskFailed"}, name
        assert all(rule["BackoffRate"] > 1 for rule in state["Retry"]), name


@pytest.mark.parametrize("instances", [1, 3])
def test_partial_results_are_merged_by_one_instance(instances: int) -> None:
    """It reads them from where they were written, and writes the outputs that one instance would have."""
    cluster = {"InstanceType": "ml.m5.xlarge", "InstanceCount": instances, "VolumeSizeInGB": 30}
    given_settings = {
        "Prepare": {"Cluster": cluster, "Environment": {"SEED": "1"}, "EncryptVolume": False},
        "Network": {},
    }
    prepare, merge = (
        evaluate(STATES[name]["Arguments"], states={"context": CONTEXT}, settings=given_settings, run="RUN")
        for name in ("PrepareData", "MergePartialResults")
    )
    left = {each["S3Output"]["S3Uri"] for each in prepare["ProcessingOutputConfig"]["Outputs"]}
    merged = {each["S3Output"]["S3Uri"] for each in merge["ProcessingOutputConfig"]["Outputs"]}
    following, _ = choose("HasPartialResults", {}, settings=given_settings)
    if instances == 1:
        assert (following, left) == ("RunBaselineAndTraining", merged)
        return
    assert (following, STATES["MergePartialResults"]["Next"]) == (
        "MergePartialResults",
        "RunBaselineAndTraining",
    )
    assert merge["ProcessingResources"]["ClusterConfig"] == {**cluster, "InstanceCount": 1}
    taken = {each["InputName"]: each["S3Input"] for each in merge["ProcessingInputs"]}
    assert {taken["partial"]["S3Uri"]} == left
    assert merge["Environment"] == {"SEED": "1", "PARTIAL_SOURCE": taken["partial"]["LocalPath"]}
    assert taken["data"] == prepare["ProcessingInputs"][0]["S3Input"]


@pytest.mark.parametrize(("workload", "completed"), [("tabular", set()), ("image", {"RUN/baseline"})])
def test_jobs_read_the_outputs_of_earlier_jobs(workload: str, completed: set[str]) -> None:
    """Each input is an output of a job before it; for images the evaluation completes the baseline."""
    known = {"Data": {"Workload": workload}}
    outputs = evaluate(STATES["PrepareData"]["Arguments"]["ProcessingOutputConfig"]["Outputs"], run="RUN")
    given_places = {output["S3Output"]["S3Uri"] for output in outputs}
    channels = evaluate(DESCRIPTION["InputDataConfig"], run="RUN")
    taken = {channel["DataSource"]["S3DataSource"]["S3Uri"] for channel in channels}
    inputs = evaluate(
        STATES["EvaluateModel"]["Arguments"]["ProcessingInputs"],
        run="RUN",
        training={"ModelDataUrl": "MODEL"},
        champions=[{"name": "champion", "uri": "MODEL"}],
        settings=known,
    ) + evaluate(JOBS["ComputeBaseline"]["Arguments"]["ProcessingInputs"], run="RUN")
    taken |= {one["S3Input"]["S3Uri"] for one in inputs}
    assert (taken - {"MODEL"}) - given_places == completed
    place = "evaluation" if completed else "baseline"
    assert {copy["to"]: copy["from"].removeprefix("${ArtifactBucket}/RUN/") for copy in copies(workload)} == {
        "model.tar.gz": "b/m.tar.gz",
        **{f"{name}.json": f"evaluation/{name}.json" for name in REPORTS},
        **{f"{name}.json": f"{place}/{name}.json" for name in ("statistics", "constraints")},
    }


def test_jobs_are_isolated_encrypted_and_tagged() -> None:
    """No job reaches the network; outputs and volumes use the project's key."""
    for name in JOBS:
        given = arguments_of(name, network={"EnableNetworkIsolation": False})
        assert given.get("NetworkConfig", given)["EnableNetworkIsolation"] is True, name
        text = json.dumps(given)
        assert '"KmsKeyId": "${KmsKeyArn}"' in text, name
        assert "'VolumeKmsKeyId': '${KmsKeyArn}'" in text, name
        assert given["Tags"] == "{% $settings.Tags %}", name


@pytest.mark.parametrize(("instances", "encrypted"), [(1, False), (2, True)])
def test_traffic_between_instances_is_encrypted(instances: int, *, encrypted: bool) -> None:
    """A single instance has no such traffic, and would only wait for the encrypted network."""
    variables = {"states": {"context": CONTEXT}, "job": {}}
    settings = {"Network": {}, "Train": {"Cluster": {"InstanceCount": instances}}}
    given = evaluate(JOBS["TrainModel"]["Arguments"], **variables, settings=settings)
    assert given["EnableInterContainerTrafficEncryption"] is encrypted


@pytest.mark.parametrize("name", JOBS)
def test_jobs_run_in_the_given_network(name: str) -> None:
    """A single subnet stays a list; without a network, VpcConfig is left out."""
    network = {"VpcConfig": {"SecurityGroupIds": ["sg-1"], "Subnets": ["subnet-1"]}}
    given = arguments_of(name, network=network)
    assert given.get("NetworkConfig", given)["VpcConfig"] == network["VpcConfig"]
    given = arguments_of(name)
    assert "VpcConfig" not in given.get("NetworkConfig", given)


def test_environment_values_fit() -> None:
    """SageMaker accepts at most 256 characters for a value."""
    values = JOBS["ComputeBaseline"]["Arguments"]["Environment"].values()
    assert all(len(value) <= 256 for value in values)
