"""Jobs: their processes, inputs, outputs, instances, limits and events."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tarfile
import time
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

import localcloud
from localcloud.core.context import CloudContext
from localcloud.services.sagemaker import images
from localcloud.services.sagemaker.scripts import Script

BUCKET = "artifacts"


def channel(name: str, uri: str, kind: str = "S3Prefix") -> dict[str, Any]:
    return {"ChannelName": name, "DataSource": {"S3DataSource": {"S3DataType": kind, "S3Uri": uri}}}


def container_record(rig: Any, job: Any) -> Any:
    """Return the files and the environment that the stand-in container recorded in its model."""
    key = job["ModelArtifacts"]["S3ModelArtifacts"].removeprefix(f"s3://{BUCKET}/")
    with tarfile.open(fileobj=io.BytesIO(rig.get(key)), mode="r:gz") as tar:
        file = tar.extractfile("seen.json")
        assert file is not None
        return json.loads(file.read())


def test_a_training_job_reads_its_files_and_writes_its_model(rig: Any) -> None:
    """A container finds its files where SageMaker puts them; its model is an archive in S3."""
    folder = rig.unique("data")
    rig.put(f"{folder}/part/a.csv", "1")
    rig.put(f"{folder}-other/b.csv", "2")
    job = rig.trained(
        {"depth": "3"},
        InputDataConfig=[channel("train", f"s3://{BUCKET}/{folder}/")],
        Environment={"COLOUR": "blue"},
        AlgorithmSpecification={
            "TrainingImage": "image",
            "TrainingInputMode": "File",
            "MetricDefinitions": [{"Name": "rmse", "Regex": "validation_rmse=([0-9.]+);"}],
        },
    )
    assert job["TrainingJobStatus"] == "Completed", job
    assert [stage["Status"] for stage in job["SecondaryStatusTransitions"]] == [
        *("Starting", "Downloading", "Training", "Uploading", "Completed")
    ]
    assert [(metric["MetricName"], metric["Value"]) for metric in job["FinalMetricDataList"]] == [
        ("rmse", 0.5)
    ]
    record = container_record(rig, job)
    assert json.loads(record["tree"]["input/config/hyperparameters.json"]) == {"depth": "3"}
    assert json.loads(record["tree"]["input/config/resourceconfig.json"])["hosts"] == ["algo-1"]
    assert "train" in json.loads(record["tree"]["input/config/inputdataconfig.json"])
    assert record["tree"]["input/data/train/part/a.csv"] == "1"
    assert record["environment"]["COLOUR"] == "blue"


def test_a_job_does_not_get_the_users_settings_of_aws(rig: Any) -> None:
    """A job finds no credentials, no profile, no proxy and no metadata service."""
    environment = container_record(rig, rig.trained())["environment"]
    expected = {"AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE", "AWS_EC2_METADATA_DISABLED"}
    assert {name for name in environment if name.startswith("AWS_")} == expected
    assert not [name for name in environment if "proxy" in name.lower()]
    assert "jobs" in environment["HOME"]


def test_a_failed_training_has_its_reason(rig: Any) -> None:
    """The text of /opt/ml/output/failure is the reason, in SageMaker's words, and no model is left."""
    job = rig.trained({"fail": "no such column"})
    assert job["TrainingJobStatus"] == job["SecondaryStatus"] == "Failed"
    assert job["FailureReason"] == "AlgorithmError: no such column, exit code: 1"
    assert not rig.keys(f"training/{job['TrainingJobName']}/")


def test_a_training_ends_at_its_time_limit(rig: Any) -> None:
    """MaxRuntimeInSeconds stops a hung job."""
    began = time.monotonic()
    job = rig.trained({"sleep": "60"}, StoppingCondition={"MaxRuntimeInSeconds": 1})
    assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("Stopped", "MaxRuntimeExceeded")
    assert time.monotonic() - began < 5


def test_a_training_can_be_stopped_once(rig: Any) -> None:
    """StopTrainingJob ends the process; a second time is refused as on AWS."""
    request = rig.training({"sleep": "60"})
    name = request["TrainingJobName"]
    rig.sagemaker.create_training_job(**request)
    rig.sagemaker.stop_training_job(TrainingJobName=name)
    assert rig.ended(name)["SecondaryStatus"] == "Stopped"
    with pytest.raises(ClientError, match=r"ValidationException.*is in status Stopped"):
        rig.sagemaker.stop_training_job(TrainingJobName=name)


@pytest.mark.parametrize(
    ("change", "code", "text"),
    [
        (
            {"TrainingJobName": "-bad-"},
            "ValidationException",
            "at 'trainingJobName' failed to satisfy constraint",
        ),
        ({"RoleArn": "x" * 30}, "ValidationException", "at 'roleArn'"),
        (
            {"InputDataConfig": [channel("train", f"s3://{BUCKET}/nothing/here")]},
            "ValidationException",
            "No S3 objects found under S3 URL",
        ),
        (
            {"ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 21, "VolumeSizeInGB": 1}},
            "ValidationException",
            "InstanceCount is 21: the local cloud runs at most 20 instances at once",
        ),
    ],
)
def test_an_invalid_request_is_refused(rig: Any, change: dict[str, Any], code: str, text: str) -> None:
    """Requests are compared with botocore's model and with the limits of the local cloud."""
    with pytest.raises(ClientError) as caught:
        rig.sagemaker.create_training_job(**rig.training(**change))
    assert caught.value.response["Error"]["Code"] == code
    assert text in caught.value.response["Error"]["Message"]


SCRIPT = """
import json, os, pathlib, sys
seen = {
    "python": sys.executable,
    "folder": os.getcwd(),
    "argument": sys.argv[1],
    "variable": os.environ["PLACE"],
    "hyperparameters": json.loads(pathlib.Path("/opt/ml/input/config/hyperparameters.json").read_text()),
    "data": pathlib.Path("/opt/ml/input/data/train/a.txt").read_text(),
    "other": "/opt/mlflow",
    "cloud": os.environ["AWS_ENDPOINT_URL"],
}
pathlib.Path("/opt/ml/model/seen.json").write_text(json.dumps(seen))
"""
AWS_IMAGE = "763104351884.dkr.ecr.eu-central-1.amazonaws.com/pytorch-training:2.0.0-cpu-py310"


def script(rig: Any, **specification: Any) -> Any:
    """Run a script by a shell, as ModelTrainer does, and return the job."""
    folder = rig.unique("script")
    rig.put(f"{folder}/code/run.py", SCRIPT)
    rig.put(f"{folder}/train/a.txt", "/opt/ml/model")
    channels = [channel(name, f"s3://{BUCKET}/{folder}/{name}/") for name in ("code", "train")]
    command = "cd /opt/ml/input/data/code && echo hello && python3 run.py /opt/ml/model"
    return rig.trained(
        {"dir": "/opt/ml/model"},
        InputDataConfig=channels,
        Environment={"PLACE": "/opt/ml/output"},
        AlgorithmSpecification={
            "TrainingImage": AWS_IMAGE,
            "TrainingInputMode": "File",
            "ContainerEntrypoint": ["/bin/bash"],
            "ContainerArguments": ["-c", command],
            **specification,
        },
    )


def test_a_script_finds_opt_ml_and_this_python(rig: Any) -> None:
    """Protects the SDK's jobs, whose commands and files name /opt/ml, from files and Pythons of the user."""
    job = script(rig)
    assert job["TrainingJobStatus"] == "Completed", job
    seen = container_record(rig, job)
    root = seen["argument"].removesuffix("/model")
    assert os.path.normpath(seen.pop("python")) == os.path.normpath(sys.executable)
    assert seen == {
        "folder": f"{root}/input/data/code",
        "argument": f"{root}/model",
        "variable": f"{root}/output",
        "hyperparameters": {"dir": f"{root}/model"},
        "data": "/opt/ml/model",
        "other": "/opt/mlflow",
        "cloud": rig.cloud.endpoint_url,
    }
    # What ran in place of the image is said where a person looks.
    messages = [each["StatusMessage"] for each in job["SecondaryStatusTransitions"]]
    assert [text for text in messages if AWS_IMAGE in text and "in place of" in text]
    log = rig.cloud.root / ".local" / "logs" / "jobs" / job["TrainingJobName"] / "algo-1.log"
    lines = log.read_text(encoding="utf-8").splitlines()
    assert AWS_IMAGE in lines[0]
    assert lines[1].startswith("localcloud: python is ")
    assert f"/opt/ml is {root} here" in lines[1]
    group = {"logGroupName": "/aws/sagemaker/TrainingJobs"}
    prefix = f"{job['TrainingJobName']}/algo-1-"
    (stream,) = rig.logs.describe_log_streams(**group, logStreamNamePrefix=prefix)["logStreams"]
    stored = rig.logs.get_log_events(**group, logStreamName=stream["logStreamName"], startFromHead=True)
    assert [event["message"] for event in stored["events"]] == [*lines[:2], "hello"]


def test_events_are_filtered_by_the_prefix_of_their_streams(rig: Any) -> None:
    """Jobs share a log group; the name of one, the prefix of its streams, leaves out the lines of others."""
    group = {"logGroupName": "shared"}
    rig.logs.create_log_group(**group)
    for name in ("one/algo-1", "two/algo-1"):
        rig.logs.create_log_stream(**group, logStreamName=name)
        events = [{"timestamp": 1_000 * int(time.time()), "message": name}]
        rig.logs.put_log_events(**group, logStreamName=name, logEvents=events)

    def found(**chosen: Any) -> list[str]:
        return [event["message"] for event in rig.logs.filter_log_events(**group, **chosen)["events"]]

    assert found() == ["one/algo-1", "two/algo-1"]
    assert found(logStreamNamePrefix="two/") == ["two/algo-1"]
    assert found(logStreamNamePrefix="three/") == []
    with pytest.raises(ClientError, match="InvalidParameterException"):
        found(logStreamNamePrefix="two/", logStreamNames=["one/algo-1"])


def test_a_folder_whose_name_needs_quotes_has_a_link(tmp_path: Path) -> None:
    """Protects projects in folders with spaces, at which a shell would split the path, and their archives."""
    folder = tmp_path / 'a project\'s "folder" $HOME'
    (folder / "code" / "__pycache__").mkdir(parents=True)
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        member = tarfile.TarInfo("run.sh")
        member.size = len(b"echo found > /opt/ml/found\n")
        tar.addfile(member, io.BytesIO(b"echo found > /opt/ml/found\n"))
    (folder / "code" / "sourcedir.tar.gz").write_bytes(packed.getvalue())
    (folder / "code" / "binary").write_bytes(b"\0/opt/ml")
    made = Script(CloudContext(localcloud.Project(tmp_path, "p")), folder, Path(sys.executable))
    try:
        made.change_files(folder / "code")
        command = made.command(
            ["/bin/sh"], ["-c", "cd /opt/ml/code && tar xzf sourcedir.tar.gz && . ./run.sh"]
        )
        subprocess.run(command, check=True)
    finally:
        made.close()
    assert (folder / "found").read_text() == "found\n"
    assert (folder / "code" / "binary").read_bytes() == b"\0/opt/ml"
    assert not (folder / "code" / "__pycache__").exists()
    assert made.changed == 1
    assert not Path(made.root).parent.exists()


def test_the_program_of_an_aws_image_is_refused(rig: Any) -> None:
    """Protects a person from this project's model in place of the algorithm that was asked for."""
    image = "664544806723.dkr.ecr.eu-central-1.amazonaws.com/linear-learner:1"
    specification = {"TrainingImage": image, "TrainingInputMode": "File"}
    with pytest.raises(ClientError, match=r"ValidationException.*linear-learner:1, an image of AWS"):
        rig.sagemaker.create_training_job(**rig.training(AlgorithmSpecification=specification))


@pytest.mark.parametrize(
    ("image", "own", "of_aws"),
    [
        ("local/house:latest", True, False),
        ("000000000000.dkr.ecr.eu-central-1.amazonaws.com/house:3f2a", True, False),
        ("123456789012.dkr.ecr.eu-central-1.amazonaws.com/house:3f2a", False, False),
        ("123456789012.dkr.ecr.eu-central-1.amazonaws.com/sagemaker-house:1", False, False),
        ("image", False, False),
        (AWS_IMAGE, False, True),
        ("683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3", False, True),
        ("174872318107.dkr.ecr.us-west-2.amazonaws.com/kmeans:1", False, True),
    ],
)
def test_images_are_known_by_their_repositories(tmp_path: Path, image: str, own: bool, of_aws: bool) -> None:  # noqa: FBT001 - pytest names them
    """Protects a person's own images from a refusal, and AWS's from this project's program."""
    context = CloudContext(localcloud.Project(tmp_path, "house"))
    assert (images.is_own(context, image), images.is_of_aws(image)) == (own, of_aws)


@pytest.mark.parametrize("member", ["AlgorithmSpecification", "ResourceConfig"])
def test_members_that_the_model_does_not_require_are_required(rig: Any, member: str) -> None:
    """Protects callers of a newer botocore from an error 500."""
    request = rig.training()
    del request[member]
    with pytest.raises(ClientError, match=r"ValidationException.*must not be null"):
        rig.sagemaker.create_training_job(**request)


def cluster(count: int) -> dict[str, Any]:
    return {"InstanceType": "ml.m5.large", "InstanceCount": count, "VolumeSizeInGB": 1}


def test_the_instances_of_a_training_write_one_archive(rig: Any) -> None:
    """Each instance has its own files, share of the data and log; the last file of a name stays."""
    folder = rig.unique("data")
    for name in "abcde":
        rig.put(f"{folder}/{name}", name)
    shared, whole = channel("train", f"s3://{BUCKET}/{folder}/"), channel("test", f"s3://{BUCKET}/{folder}/")
    shared["DataSource"]["S3DataSource"]["S3DataDistributionType"] = "ShardedByS3Key"
    job = rig.trained(InputDataConfig=[shared, whole], ResourceConfig=cluster(2))
    assert job["TrainingJobStatus"] == "Completed", job
    name = job["TrainingJobName"]
    with tarfile.open(fileobj=io.BytesIO(rig.get(f"training/{name}/output/model.tar.gz"))) as tar:
        assert sorted(tar.getnames()) == ["algo-1", "algo-2", "seen.json"]
    tree = container_record(rig, job)["tree"]
    resources = json.loads(tree["input/config/resourceconfig.json"])
    assert (resources["current_host"], resources["hosts"]) == ("algo-2", ["algo-1", "algo-2"])
    assert resources["instance_groups"][0]["hosts"] == resources["hosts"]
    assert [path.rpartition("/")[2] for path in sorted(tree) if "/train/" in path] == ["b", "d"]
    assert [path.rpartition("/")[2] for path in sorted(tree) if "/test/" in path] == list("abcde")
    folder = rig.cloud.root / ".local" / "logs" / "jobs" / name
    for host in resources["hosts"]:
        assert "rmse=0.5" in (folder / f"{host}.log").read_text(encoding="utf-8")


def test_an_instance_that_fails_ends_the_others(rig: Any) -> None:
    """The job does not wait for the others, and has the reason of the failed instance."""
    began = time.monotonic()
    job = rig.trained({"fails": "algo-2", "sleep": "60"}, ResourceConfig=cluster(3))
    assert job["FailureReason"] == "AlgorithmError: algo-2 has no memory left, exit code: 1"
    assert time.monotonic() - began < 30


def test_all_instances_are_stopped(rig: Any) -> None:
    """A job ends with its last instance; meanwhile a job above the limit of instances is refused."""
    request = rig.training({"sleep": "60"}, ResourceConfig=cluster(2))
    rig.sagemaker.create_training_job(**request)
    with pytest.raises(ClientError, match=r"ResourceLimitExceeded.*at most 20 instances at once: 2 run"):
        rig.sagemaker.create_training_job(**rig.training(ResourceConfig=cluster(19)))
    base = rig.cloud.root / ".local" / "jobs" / request["TrainingJobName"]
    rig.until(lambda: len(list(base.glob("*/model/seen.json"))) == 2)
    rig.sagemaker.stop_training_job(TrainingJobName=request["TrainingJobName"])
    began = time.monotonic()
    assert rig.ended(request["TrainingJobName"])["TrainingJobStatus"] == "Stopped"
    assert time.monotonic() - began < 30


def test_names_are_used_once(rig: Any) -> None:
    """A job's name can't be used again, and an unknown name is not found, in AWS's words."""
    job = rig.trained()
    request = rig.training() | {"TrainingJobName": job["TrainingJobName"]}
    with pytest.raises(rig.sagemaker.exceptions.ResourceInUse, match="must be unique within an AWS account"):
        rig.sagemaker.create_training_job(**request)
    with pytest.raises(ClientError, match=r"ValidationException.*Requested resource not found\."):
        rig.sagemaker.describe_training_job(TrainingJobName="unknown")


def test_jobs_are_listed_by_pages_with_their_tags(rig: Any) -> None:
    """Lists filter and page; tags can be added, listed and taken away; an ended job can be deleted."""
    names = [
        rig.trained(TrainingJobName=rig.unique("listed"), Tags=[{"Key": "a", "Value": "1"}])[
            "TrainingJobName"
        ]
        for _ in range(3)
    ]
    pages = rig.sagemaker.get_paginator("list_training_jobs").paginate(
        NameContains="listed", SortBy="Name", SortOrder="Ascending", PaginationConfig={"PageSize": 2}
    )
    listed = [job for page in pages for job in page["TrainingJobSummaries"]]
    assert [job["TrainingJobName"] for job in listed] == sorted(names)
    arn = listed[0]["TrainingJobArn"]
    rig.sagemaker.add_tags(ResourceArn=arn, Tags=[{"Key": "b", "Value": "2"}])
    rig.sagemaker.delete_tags(ResourceArn=arn, TagKeys=["a"])
    assert rig.sagemaker.list_tags(ResourceArn=arn)["Tags"] == [{"Key": "b", "Value": "2"}]
    rig.sagemaker.delete_training_job(TrainingJobName=min(names))
    with pytest.raises(ClientError, match="not found"):
        rig.sagemaker.describe_training_job(TrainingJobName=min(names))


def processing(
    rig: Any, environment: dict[str, str] | None = None, limit: int = 60, instances: int = 1
) -> Any:
    """Run a processing job on a manifest of two of three files, and return its description."""
    folder, name = rig.unique("raw"), rig.unique("prep")
    for file in ("a.csv", "b.csv", "c.csv"):
        rig.put(f"{folder}/in/{file}", file)
    manifest = [{"prefix": f"s3://{BUCKET}/{folder}/in/"}, "a.csv", "c.csv"]
    uri = rig.put(f"{folder}/manifest.json", json.dumps(manifest))
    rig.sagemaker.create_processing_job(
        ProcessingJobName=name,
        AppSpecification={"ImageUri": "image", "ContainerArguments": ["prepare"]},
        RoleArn=rig.role,
        Environment=environment or {},
        ProcessingInputs=[
            {
                "InputName": "data",
                "S3Input": {
                    "S3Uri": uri,
                    "S3DataType": "ManifestFile",
                    "S3InputMode": "File",
                    "S3DataDistributionType": "ShardedByS3Key",
                    "LocalPath": "/opt/ml/processing/input/data",
                },
            }
        ],
        ProcessingOutputConfig={
            "Outputs": [
                {
                    "OutputName": "copy",
                    "S3Output": {
                        "S3Uri": f"s3://{BUCKET}/{folder}/out",
                        "LocalPath": "/opt/ml/processing/output/copy",
                        "S3UploadMode": "EndOfJob",
                    },
                }
            ]
        },
        ProcessingResources={"ClusterConfig": cluster(instances)},
        StoppingCondition={"MaxRuntimeInSeconds": limit},
    )
    job = rig.until(
        lambda: rig.sagemaker.describe_processing_job(ProcessingJobName=name),
        lambda job: job["ProcessingJobStatus"] in ("Completed", "Failed", "Stopped"),
    )
    outputs = {
        key.removeprefix(f"{folder}/out/"): rig.get(key).decode() for key in rig.keys(f"{folder}/out/")
    }
    return {**job, "outputs": outputs}


def test_a_processing_job_moves_the_files_of_its_manifest(rig: Any) -> None:
    """The manifest's files are downloaded, the outputs uploaded, and the message is kept."""
    job = processing(rig, {"MESSAGE": "two files"})
    assert (job["ProcessingJobStatus"], job["ExitMessage"]) == ("Completed", "two files")
    assert job["outputs"] == {"a.csv": "a.csv", "c.csv": "c.csv"}
    assert job["ProcessingJobName"] in [
        item["ProcessingJobName"] for item in rig.sagemaker.list_processing_jobs()["ProcessingJobSummaries"]
    ]


def test_instances_share_the_files_of_a_processing_job(rig: Any) -> None:
    """An instance without files runs too; all upload to one URI, and the last file of a name stays."""
    job = processing(rig, {"TELL": "1"}, instances=3)
    assert job["ProcessingJobStatus"] == "Completed", job
    assert job["outputs"] == {
        "a.csv": "a.csv",
        "c.csv": "c.csv",
        "last": "algo-3",
        "algo-1": "a.csv",
        "algo-2": "c.csv",
        "algo-3": "",
    }


def test_a_failed_processing_job_uploads_nothing(rig: Any) -> None:
    """Outputs of a failed job are incomplete, and stay where they are."""
    job = processing(rig, {"EXIT": "1", "MESSAGE": "ragged line"})
    assert (job["ProcessingJobStatus"], job["ExitMessage"], job["outputs"]) == ("Failed", "ragged line", {})
    assert "exit code: 1" in job["FailureReason"]


def test_a_processing_job_ends_at_its_time_limit(rig: Any) -> None:
    """A hung processing job is stopped."""
    assert processing(rig, {"SLEEP": "60"}, limit=1)["ProcessingJobStatus"] == "Stopped"


def test_state_changes_are_events(rig: Any) -> None:
    """A rule on state changes receives every change of a job's status."""
    queue = rig.sqs.create_queue(QueueName=rig.unique("events"))["QueueUrl"]
    arn = rig.sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    rule = rig.unique("rule")
    pattern = {"source": ["aws.sagemaker"], "detail-type": ["SageMaker Training Job State Change"]}
    rig.events.put_rule(Name=rule, EventPattern=json.dumps(pattern))
    rig.events.put_targets(Rule=rule, Targets=[{"Id": "queue", "Arn": arn}])
    job = rig.trained()
    received: list[Any] = []

    def statuses() -> list[str]:
        messages = rig.sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10).get("Messages", [])
        received.extend(json.loads(message["Body"])["detail"] for message in messages)
        return [
            item["TrainingJobStatus"]
            for item in received
            if item["TrainingJobName"] == job["TrainingJobName"]
        ]

    rig.until(statuses, lambda values: sorted(values) == ["Completed", "InProgress"])
    assert all(isinstance(item["CreationTime"], int) for item in received)
    rig.events.remove_targets(Rule=rule, Ids=["queue"])
    rig.events.delete_rule(Name=rule)
