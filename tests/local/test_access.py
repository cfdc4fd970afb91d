"""Access to the local cloud: for its owner and the cloud's own processes, and for no other user."""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import psutil
import pytest
from botocore.auth import HmacV1Auth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import ClientError
from cloud_harness import project_at

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

access: Any = importlib.import_module("localcloud.core.access")
gateway: Any = importlib.import_module("localcloud.core.gateway")
private: Any = importlib.import_module("localcloud.core.private_files")
process: Any = importlib.import_module("localcloud.core.process")
timers: Any = importlib.import_module("localcloud.core.timers")
runs: Any = importlib.import_module("local.run")
projects: Any = importlib.import_module("local.project")

NOBODY = 65534
# Becomes another user only after importing its modules, since that user may not read this Python.
STRANGER = """
import email.parser, encodings.idna, http.client, json, os, sys
given = json.load(sys.stdin)
os.setgroups([])
os.setgid(given["user"])
os.setuid(given["user"])
def answered(method, path, headers, body):
    connection = http.client.HTTPConnection("127.0.0.1", given["port"], timeout=10)
    connection.request(method, path, body, headers)
    return connection.getresponse().status
def seen(path):
    try:
        return os.listdir(path) if os.path.isdir(path) else [open(path).read(1)]
    except PermissionError:
        return None
print(json.dumps([[answered(*each) for each in given["requests"]], [seen(each) for each in given["paths"]]]))
"""
SOURCE = {"type": "NO_SOURCE", "buildspec": "version: 0.2\nphases: {build: {commands: [id]}}"}
CODE_RUNNING = json.dumps(
    {
        "name": "stranger",
        "source": SOURCE,
        "artifacts": {"type": "NO_ARTIFACTS"},
        "environment": {"type": "LINUX_CONTAINER", "image": "i", "computeType": "BUILD_GENERAL1_SMALL"},
        "serviceRole": "arn:aws:iam::000000000000:role/build",
    }
)
REQUESTS: list[tuple[str, str, dict[str, str], str]] = [
    ("POST", "/", {"X-Amz-Target": "CodeBuild_20161006.CreateProject"}, CODE_RUNNING),
    ("POST", "/", {"X-Amz-Target": "CodeBuild_20161006.StartBuild"}, '{"projectName": "stranger"}'),
    ("GET", "/2015-03-31/functions", {}, ""),
    ("GET", "/artifacts/model/model.tar.gz", {}, ""),
    ("POST", "/", {"Content-Type": "application/x-www-form-urlencoded"}, "Action=GetCallerIdentity"),
    ("GET", "/_local/health", {}, ""),
    ("GET", "/_local/deployments", {}, ""),
    ("GET", "/_ministack/health", {}, ""),
    ("GET", "/_localstack/health", {}, ""),
    ("POST", "/_ministack/reset", {}, ""),
    ("PUT", "/_ministack/cfn-response/none", {}, "{}"),
]
OTHERS = access.AccessKey.create()


def signed(key: str) -> dict[str, str]:
    credential = f"{key}/20260101/eu-central-1/s3/aws4_request"
    return {"Authorization": f"AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders=host, Signature=0"}


@pytest.fixture(scope="module")
def open_cloud(open_project: Path) -> Iterator[Any]:
    """Start a cloud in a folder that other users may enter, with a `.local` that was open to them before."""
    (open_project / ".local").mkdir(mode=0o755)
    (open_project / ".local" / "old").touch(mode=0o644)
    cloud = process.start(project_at(open_project))
    cloud.client("s3").create_bucket(
        Bucket="artifacts", CreateBucketConfiguration={"LocationConstraint": cloud.region}
    )
    cloud.client("s3").put_object(Bucket="artifacts", Key="model/model.tar.gz", Body=b"")
    yield cloud
    process.stop(project_at(open_project))


def as_stranger(
    cloud: Any, requests: list[tuple[str, str, dict[str, str], str]], paths: list[Path]
) -> tuple[list[int], list[list[str] | None]]:
    """Return the statuses of another user's requests, and the folders and files that this user can see."""
    given = {"user": NOBODY, "port": cloud.port, "requests": requests, "paths": [str(path) for path in paths]}
    done = subprocess.run(
        [sys.executable, "-c", STRANGER], input=json.dumps(given), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    statuses, seen = json.loads(done.stdout)
    return statuses, seen


@pytest.mark.skipif(os.geteuid() != 0, reason="becoming another user takes root")
def test_another_user_is_refused_everywhere(open_cloud: Any) -> None:
    """Our services and ministack refuse a request without a key or with a wrong one."""
    before = open_cloud.client("codebuild").list_projects().get("projects", [])
    for own in ({}, signed("local"), signed(OTHERS.id), OTHERS.header, signed("000000000000")):
        requests = [(method, path, headers | own, body) for method, path, headers, body in REQUESTS]
        statuses, _ = as_stranger(open_cloud, requests, [])
        assert statuses == [403] * len(REQUESTS), own
    assert open_cloud.client("codebuild").list_projects().get("projects", []) == before
    # These requests are answered if they have the key.
    answered, _ = as_stranger(open_cloud, [("GET", "/_local/health", open_cloud.key.header, "")], [])
    assert answered == [200]


@pytest.mark.skipif(os.geteuid() != 0, reason="becoming another user takes root")
def test_another_user_cannot_read_the_state(open_cloud: Any) -> None:
    """Only the project's folder is visible, although `.local` existed and was open before the cloud."""
    state = open_cloud.root / ".local"
    paths = [open_cloud.root / "project.toml", state, *sorted(state.rglob("*"))]
    _, (project, *seen) = as_stranger(open_cloud, [], paths)
    assert project == ["["]
    assert {"cloud.json", "old", "logs"} <= {path.name for path in paths}
    assert seen == [None] * len(seen)


def test_only_the_owner_can_read_written_files(open_project: Path, tmp_path: Path) -> None:
    """This holds for any umask, for any first command, and for files that a crash has left."""
    settings = '[project]\nname = "p"\nregion = "r"\n[data]\ntarget = "y"\nprefix = "raw/"\n'
    (tmp_path / "project.toml").write_text(settings)
    former = os.umask(0)
    try:
        project, text = runs.resolve_settings(projects.read_project(tmp_path), None)
        private.write_whole(project.settings, text)
        state = tmp_path / ".local"
        (state / "cloud.json.new").touch(mode=0o666)
        private.write_whole(state / "cloud.json", "{}")
        folder = project.folder("data")
    finally:
        os.umask(former)
    assert {path.stat().st_mode & 0o777 for path in (state, folder)} == {0o700}
    files = (state / "project.toml", state / "cloud.json", open_project / ".local" / "cloud.json")
    assert {path.stat().st_mode & 0o777 for path in files if path.exists()} == {0o600}


def test_a_folder_of_another_user_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error about a `.local` of another user is one sentence."""
    (tmp_path / ".local").mkdir(mode=0o755)

    def chmod(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(Path, "chmod", chmod)
    with pytest.raises(process.CloudError, match=r"\.local can't be closed to the machine's other users"):
        private.folder(tmp_path / ".local", "logs")


@pytest.mark.parametrize(
    ("service", "call", "code"),
    [
        ("sts", lambda client: client.get_caller_identity(), "InvalidClientTokenId"),
        ("cloudformation", lambda client: client.list_stacks(), "InvalidClientTokenId"),
        ("s3", lambda client: client.list_buckets(), "InvalidAccessKeyId"),
        ("sagemaker", lambda client: client.list_models(), "UnrecognizedClientException"),
        ("lambda", lambda client: client.list_functions(), "UnrecognizedClientException"),
        ("cloudwatch", lambda client: client.list_metrics(), "UnrecognizedClientException"),
    ],
)
def test_a_refusal_says_what_to_do(
    open_cloud: Any, service: str, call: Callable[[Any], Any], code: str
) -> None:
    """Each protocol's client gets AWS's error code, and the command that prints the variables."""
    client = boto3.client(  # type: ignore[call-overload]
        service,
        endpoint_url=open_cloud.endpoint_url,
        region_name=open_cloud.region,
        aws_access_key_id=OTHERS.id,
        aws_secret_access_key=OTHERS.secret,
        config=Config(retries={"total_max_attempts": 1}),
    )
    with pytest.raises(ClientError) as caught:
        call(client)
    assert caught.value.response["Error"]["Code"] == code
    assert "'python -m local up' prints the variables" in str(caught.value)
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403


def presigned(key: Any, version: str) -> str:
    client = boto3.client(
        "s3",
        region_name="us-east-1",
        aws_access_key_id=key.id,
        aws_secret_access_key=key.secret,
        config=Config(signature_version=version),
    )
    url: str = client.generate_presigned_url("get_object", Params={"Bucket": "b", "Key": "k"})
    return url.partition("?")[2]


def authorized(signer: Any, key: Any) -> str:
    request = AWSRequest("GET", "https://s3.amazonaws.com/b/k")
    signer(Credentials(key.id, key.secret)).add_auth(request)
    return str(request.headers["Authorization"])


def test_the_key_is_found_in_every_kind_of_signature() -> None:
    """Signers of botocore put the key's id into headers or presigned URLs, in both versions of signatures."""
    key = access.AccessKey.create()
    headers = [
        authorized(lambda credentials: SigV4Auth(credentials, "s3", "us-east-1"), key),
        authorized(HmacV1Auth, key),
        key.header["Authorization"],
    ]
    queries = [presigned(key, version) for version in ("s3v4", "s3")]
    assert "AWSAccessKeyId=" in queries[1]
    found = [access.claimed(header, b"").id for header in headers]
    found += [access.claimed("", query.encode()).id for query in queries]
    assert found == [key.id] * 5


@pytest.mark.parametrize("known", [True, False])
def test_a_websocket_takes_the_key_as_well(*, known: bool) -> None:
    """Without the key the connection is closed before ministack receives anything."""
    heard, sent = [], []
    key = access.AccessKey.create()

    async def backend(scope: Any, *_: Any) -> None:
        heard.append(scope)

    async def receive() -> dict[str, str]:
        return {"type": "websocket.connect"}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message["type"])

    guard = access.Guard(key, lambda _: False, lambda _: True, "up")
    credential = (
        f"X-Amz-Credential={(key if known else OTHERS).id}%2F20260101%2Fr%2Fexecute-api%2Faws4_request"
    )
    headers = [(b"host", b"localhost")]
    scope = {"type": "websocket", "path": "/a", "query_string": credential.encode(), "headers": headers}
    application = gateway.Gateway(backend, (), guard, timers.Timers(), lambda *_: None)
    asyncio.run(application(scope, receive, send))
    assert (len(heard), sent) == ((1, []) if known else (0, ["websocket.close"]))


@pytest.mark.parametrize("claim", ["", "local", "\xe9", "x" * 10_000])
def test_a_text_other_than_the_key_is_refused(claim: str) -> None:
    """The cases are an empty text, a part of the key, a longer text, and bytes outside of ASCII."""
    guard = access.Guard(key := access.AccessKey.create(), lambda _: False, lambda _: False, "up")
    for other in (claim, key.id[:-1], key.id + "A", key.id.lower(), key.secret):
        for headers in (
            {"authorization": f"Bearer {other}"},
            {"authorization": signed(other)["Authorization"]},
        ):
            assert guard.denial({"path": "/", "query_string": b""}, headers) is not None


def test_an_access_key_is_never_printed() -> None:
    """The representation of a cloud, as in a traceback, has no key. Keys differ, and all have AWS's form."""
    first, second = access.AccessKey.create(), access.AccessKey.create()
    assert first.id != second.id
    assert re.fullmatch(r"[A-Z][A-Z0-9]{15,127}", first.id)
    shown = repr(process.Cloud(project_at(Path()), 1, 1, first))
    assert first.id not in shown
    assert first.secret not in shown


LIST_BUCKETS = 'import boto3; print(*[one["Name"] for one in boto3.client("s3").list_buckets()["Buckets"]])'


def test_the_printed_variables_work_in_a_shell(open_cloud: Any, python_path: str) -> None:
    """`up` on a running cloud prints the lines with which any AWS client reaches the cloud."""
    shell = (
        f"eval \"$({sys.executable} -m local up | grep export)\"; exec {sys.executable} -c '{LIST_BUCKETS}'"
    )
    clean = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    paths = {"PYTHONPATH": python_path}
    done = subprocess.run(
        ["sh", "-c", shell],
        cwd=open_cloud.root,
        env=clean | paths,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.split()[-1:] == ["artifacts"], done.stderr


FUNCTION = """
import json, urllib.request
import boto3
def handler(event, context):
    boto3.client("s3").list_buckets()
    role = "arn:aws:iam::000000000000:role/other"
    given = boto3.client("sts").assume_role(RoleArn=role, RoleSessionName="session")["Credentials"]
    other = boto3.client(
        "s3", aws_access_key_id=given["AccessKeyId"], aws_secret_access_key=given["SecretAccessKey"],
        aws_session_token=given["SessionToken"])
    answer = {"Status": "SUCCESS", "PhysicalResourceId": "made", "StackId": event["StackId"],
        "RequestId": event["RequestId"], "LogicalResourceId": event["LogicalResourceId"],
        "Data": {"Buckets": str(len(other.list_buckets()["Buckets"]))}}
    signal = {"Status": "SUCCESS", "Reason": "done", "UniqueId": "1", "Data": "ready"}
    # As AWS's cfnresponse does: without any credential but the address.
    for url, body in ((event["ResourceProperties"]["Signal"], signal), (event["ResponseURL"], answer)):
        headers = {"Content-Type": ""}
        request = urllib.request.Request(url, json.dumps(body).encode(), headers, method="PUT")
        urllib.request.urlopen(request).close()
"""
TEMPLATE = {
    "Resources": {
        "Function": {
            "Type": "AWS::Lambda::Function",
            "Properties": {
                "Code": {"ZipFile": FUNCTION},
                "Handler": "index.handler",
                "Runtime": "python3.13",
                "Timeout": 30,
                "Role": "arn:aws:iam::000000000000:role/function",
            },
        },
        "Own": {
            "Type": "Custom::Own",
            "Properties": {
                "ServiceToken": {"Fn::GetAtt": ["Function", "Arn"]},
                "ServiceTimeout": "20",
                "Signal": {"Ref": "Handle"},
            },
        },
        "Handle": {"Type": "AWS::CloudFormation::WaitConditionHandle"},
        "Wait": {
            "Type": "AWS::CloudFormation::WaitCondition",
            "Properties": {"Handle": {"Ref": "Handle"}, "Timeout": "20"},
        },
    },
    "Outputs": {"Buckets": {"Value": {"Fn::GetAtt": ["Own", "Buckets"]}}},
}


def test_functions_and_builds_have_the_key_and_no_file_or_command_shows_it(open_cloud: Any) -> None:
    """Requests of functions and their sessions are accepted, and those of a build's commands."""
    rig = open_cloud
    rig.client("cloudformation").create_stack(StackName="own", TemplateBody=json.dumps(TEMPLATE))
    codebuild = rig.client("codebuild")
    identity = 'import boto3; print(boto3.client("sts").get_caller_identity()["Arn"])'
    commands = [f"python -c '{LIST_BUCKETS}'", f"python3 -c '{identity}'", "false"]
    spec = json.dumps({"version": 0.2, "phases": {"build": {"commands": commands}}}) + "\n"
    project = json.loads(CODE_RUNNING) | {"name": "own", "source": {"type": "NO_SOURCE", "buildspec": spec}}
    codebuild.create_project(**project)
    build = codebuild.start_build(projectName="own")["build"]["id"]
    shown: set[str] = set()
    while not (done := codebuild.batch_get_builds(ids=[build])["builds"][0])["buildComplete"]:
        shown |= arguments(rig.key)
    while (stack := described(rig))["StackStatus"].endswith("PROGRESS"):
        shown |= arguments(rig.key)
    assert (stack["StackStatus"], stack["Outputs"][0]["OutputValue"]) == ("CREATE_COMPLETE", "1")
    log = (rig.root / ".local" / "logs" / "builds").glob("own-*.log")
    text = next(log).read_text()
    assert done["buildStatus"] == "FAILED"
    assert "artifacts" in text, text
    assert shown == set()
    state = rig.root / ".local"
    assert {path.name for path in state.rglob("*") if path.is_file() and has(rig.key, path)} == {"cloud.json"}


def described(cloud: Any) -> dict[str, Any]:
    return dict(cloud.client("cloudformation").describe_stacks(StackName="own")["Stacks"][0])


def arguments(key: Any) -> set[str]:
    """Return the command lines of all processes of the machine that show the key."""
    lines = {" ".join(each.info["cmdline"] or ()) for each in psutil.process_iter(["cmdline"])}
    return {line for line in lines if key.id in line or key.secret in line}


def has(key: Any, path: Path) -> bool:
    content = path.read_bytes()
    return key.id.encode() in content or key.secret.encode() in content


def test_a_cloud_without_a_key_is_refused_and_can_be_stopped(project: Path) -> None:
    """A former version of the project may have started a cloud that has no key."""
    cloud = process.start(project_at(project))
    record = project / ".local" / "cloud.json"
    former = {"pid": cloud.pid, "port": cloud.port, "region": cloud.region, "speed": 1.0}
    record.write_text(json.dumps(former))
    try:
        for act in (process.find, process.start):
            with pytest.raises(
                process.CloudError, match="has no access key; 'python -m local down' stops it"
            ):
                act(project_at(project))
    finally:
        assert process.stop(project_at(project)) is True
    assert process.find(project_at(project)) is None


def test_each_cloud_has_its_own_key(open_cloud: Any, rig: Any) -> None:
    """A project's key does not open another project's cloud, and each cloud is found with its own key."""
    assert open_cloud.key.id != rig.cloud.key.id
    assert process.find(project_at(open_cloud.root)).key == open_cloud.key
    stray = replace(rig.cloud, key=open_cloud.key)
    assert not stray.answers()
    assert rig.cloud.answers()
