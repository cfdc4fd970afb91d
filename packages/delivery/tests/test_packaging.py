"""Packaging does what `aws cloudformation package` does, and names what it uploads by its content."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import zipfile
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from botocore.session import get_session

from aws import REGION
from delivery import build
from delivery.templates import packaging
from delivery.templates.read import TemplateLoader

if TYPE_CHECKING:
    from pathlib import Path

    from aws import Aws

KEY_ARN = "arn:aws:kms:eu-central-1:000000000000:key/1"
TEMPLATE = """\
Transform: [AWS::LanguageExtensions, AWS::Serverless-2016-10-31]
Resources:
  Function:
    Type: AWS::Lambda::Function
    Properties:
      Description: ünïcode 🙂 before the path
      Code: ../code # a comment
      Role: !GetAtt Role.Arn
  Layer:
    Type: AWS::Lambda::LayerVersion
    Properties: {Content: "../code", LayerName: !Sub "${AWS::StackName}-layer"}
  Api:
    Type: AWS::Serverless::Function
    Properties:
      CodeUri: one.py
      Environment: {Variables: {A: !If [Yes, "1", !Ref "AWS::NoValue"]}}
  Libraries:
    Type: AWS::Serverless::LayerVersion
    Properties:
      ContentUri: ../code
  Flow:
    Type: AWS::Serverless::StateMachine
    Properties:
      DefinitionUri: machine.json
  Machine:
    Type: AWS::StepFunctions::StateMachine
    Properties:
      DefinitionS3Location: 'machine.json'
      DefinitionSubstitutions: {Code: ../code}
  Inline:
    Type: AWS::Lambda::Function
    Properties:
      Code: {ZipFile: "pass"}
  Computed:
    Type: AWS::Serverless::Function
    Properties:
      CodeUri: !Sub s3://${Bucket}/code.zip
  Stored:
    Type: AWS::Serverless::Function
    Properties:
      CodeUri: s3://other/code.zip
  Fn::ForEach::Loop:
    - Name
    - [A, B]
    - Machine${Name}:
        Type: AWS::StepFunctions::StateMachine
        Properties:
          DefinitionS3Location: machine.json
"""
# What `aws cloudformation package` of AWS CLI 1.46.2 made of these properties; it named objects by MD5 sums.
BY_THE_CLI = {
    "Function.Code": {"S3Bucket": "bucket", "S3Key": "packages/CODE"},
    "Layer.Content": {"S3Bucket": "bucket", "S3Key": "packages/CODE"},
    "Api.CodeUri": "s3://bucket/packages/ONE",
    "Libraries.ContentUri": "s3://bucket/packages/CODE",
    "Flow.DefinitionUri": {"Bucket": "bucket", "Key": "packages/MACHINE"},
    "Machine.DefinitionS3Location": {"Bucket": "bucket", "Key": "packages/MACHINE"},
    "Machine${Name}.DefinitionS3Location": {"Bucket": "bucket", "Key": "packages/MACHINE"},
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Write the template and what it names."""
    for name in ("stacks", "code/inner", "code/__pycache__"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "code" / "b.py").write_text("b = 1\n", encoding="utf-8")
    (tmp_path / "code" / "inner" / "a.py").write_text("a = 1\n", encoding="utf-8")
    (tmp_path / "code" / "__pycache__" / "b.pyc").write_bytes(b"compiled")
    (tmp_path / "stacks" / "one.py").write_text("one = 1\n", encoding="utf-8")
    (tmp_path / "stacks" / "machine.json").write_text("{}\n", encoding="utf-8")
    (tmp_path / "stacks" / "template.yml").write_text(TEMPLATE, encoding="utf-8")
    return tmp_path


@pytest.fixture
def uploads(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> packaging.Uploads:
    """Upload to the stand-in."""
    for name, value in aws.environment.items():
        monkeypatch.setenv(name, value)
    client = get_session().create_client("s3", region_name=REGION)
    return packaging.Uploads(client, "bucket", KEY_ARN)


def parsed(text: str) -> dict[str, Any]:
    """Read a template with its short forms written out."""
    return dict(yaml.load(text, Loader=TemplateLoader))  # noqa: S506 - a kind of safe loader


def resources(template: dict[str, Any]) -> dict[str, Any]:
    """Return the resources by name, those of a loop too."""
    found = dict(template["Resources"])
    for name in [name for name in found if name.startswith("Fn::ForEach::")]:
        found |= found.pop(name)[2]
    return found


def test_a_template_is_left_as_the_cli_leaves_it(folder: Path, uploads: packaging.Uploads, aws: Aws) -> None:
    """The same properties have addresses in the same form; nothing else has changed."""
    text = packaging.package(folder / "stacks" / "template.yml", uploads)
    names = {content_name(body): path.rpartition("/")[2] for path, body in aws.objects.items()}
    assert names.keys() == {"CODE", "ONE", "MACHINE"}
    expected, found = parsed(TEMPLATE), parsed(text)
    for place, value in BY_THE_CLI.items():
        name, _, key = place.partition(".")
        given = json.dumps(value)
        for word, digest in names.items():
            given = given.replace(word, digest)
        resources(expected)[name]["Properties"][key] = json.loads(given)
    assert found == expected
    assert list(found["Resources"]) == list(expected["Resources"])
    assert "# a comment" in text


def content_name(body: bytes) -> str:
    """Name one of the three contents: two zips, and a state machine as it is."""
    if body == b"{}\n":
        return "MACHINE"
    with zipfile.ZipFile(io.BytesIO(body)) as archive:
        return {("b.py", "inner/a.py"): "CODE", ("one.py",): "ONE"}[tuple(archive.namelist())]


def test_the_parser_without_c_finds_the_same(
    folder: Path, uploads: packaging.Uploads, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PyYAML may have been built without libyaml."""
    path = folder / "stacks" / "template.yml"
    expected = packaging.package(path, uploads)
    monkeypatch.setattr(packaging, "TemplateLoader", yaml.SafeLoader)
    assert packaging.package(path, uploads) == expected


@pytest.mark.parametrize("missing", [404, 403])
def test_what_is_there_is_not_uploaded_again(
    folder: Path, uploads: packaging.Uploads, aws: Aws, missing: int
) -> None:
    """A second build asks for each content and sends none; 403 is what a role that lists no bucket gets."""
    aws.missing = missing
    packaging.package(folder / "stacks" / "template.yml", uploads)
    sent = [call for call in aws.calls if call.startswith("PUT")]
    assert len(sent) == len(set(sent)) == 3
    for path, body in aws.objects.items():
        assert path == f"/bucket/packages/{hashlib.sha256(body).hexdigest()}"
        assert aws.headers[path]["x-amz-server-side-encryption"] == "aws:kms"
        assert aws.headers[path]["x-amz-server-side-encryption-aws-kms-key-id"] == KEY_ARN
    aws.calls.clear()
    again = packaging.Uploads(uploads._s3, "bucket", KEY_ARN)  # noqa: SLF001 - one client does
    packaging.package(folder / "stacks" / "template.yml", again)
    assert [call.partition(" ")[0] for call in aws.calls] == ["HEAD"] * 3


def test_another_answer_than_missing_fails(folder: Path, uploads: packaging.Uploads, aws: Aws) -> None:
    """A bucket that can't be asked does not count as empty."""
    aws.missing = 400
    with pytest.raises(Exception, match="400"):
        packaging.package(folder / "stacks" / "template.yml", uploads)
    assert aws.objects == {}


def test_a_zip_is_made_of_contents_alone(folder: Path) -> None:
    """Times, order, what Python has compiled, and permissions other than to execute change nothing."""
    code = folder / "code"
    first = packaging.content(code, zips=True)
    (code / "b.py").rename(code / "c.py")
    (code / "c.py").rename(code / "b.py")
    os.utime(code / "b.py", (0, 0))
    (code / "b.py").chmod(0o600)
    (code / "__pycache__" / "d.pyc").write_bytes(b"more")
    assert packaging.content(code, zips=True) == first
    (code / "b.py").chmod(0o700)
    executable = packaging.content(code, zips=True)
    assert executable != first
    with zipfile.ZipFile(io.BytesIO(executable)) as archive:
        modes = {entry.filename: entry.external_attr // 2**16 for entry in archive.infolist()}
    assert modes == {"b.py": 0o100755, "inner/a.py": 0o100644}


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("../code # a", "../cod # a", r"Function\.Code is \.\./cod, and .*cod does not exist"),
        ("DefinitionS3Location: machine.json", "DefinitionS3Location: m.json", r"Machine\$\{Name\}\.Def"),
        ("Resources:", "Other:", "has no Resources"),
        ("Resources:", "Resources: {", "is not YAML"),
    ],
)
def test_what_cannot_be_packaged_is_named(
    folder: Path, uploads: packaging.Uploads, old: str, new: str, words: str
) -> None:
    """The template, the property and the path; nothing is written."""
    path = folder / "stacks" / "template.yml"
    path.write_text(TEMPLATE.replace(old, new), encoding="utf-8")
    with pytest.raises(packaging.PackagingError, match=words) as caught:
        packaging.package(path, uploads)
    assert str(path) in str(caught.value)


FUNCTION = "  F: {{Type: AWS::Serverless::Function, Properties: {}}}\n"
BLOCK = """\
  F:
    Type: AWS::Serverless::Function
    Properties:
      CodeUri: >-
        ../code
      Description: d
"""
MERGED = "<" * 2  # YAML's merge key; written out, cookiecutter would take it for its own


@pytest.mark.parametrize(
    "resources",
    [
        FUNCTION.format("&p {CodeUri: ../code}") + FUNCTION.format("*p").replace("  F:", "  G:"),
        FUNCTION.format("{CodeUri: &code ../code, Description: *code}"),
        BLOCK,
        FUNCTION.format("{CodeUri: !!str ../code}"),
        FUNCTION.format(f"{{{MERGED}: {{CodeUri: ../code}}}}"),
        "  F: {Type: AWS::CloudFormation::Stack, Properties: {TemplateURL: nested.yml}}\n",
        "  F: {Type: AWS::Serverless::HttpApi, Properties: {DefinitionUri: api.yml}}\n",
    ],
    ids=[
        "alias of properties",
        "anchor",
        "block",
        "tag",
        "merge key",
        "nested stack",
        "definition of an API",
    ],
)
def test_a_path_that_would_be_wrong_or_left_is_refused(
    folder: Path, uploads: packaging.Uploads, resources: str
) -> None:
    """Protects a deployment from a wrong address, and from a local path that only the build knows."""
    path = folder / "stacks" / "template.yml"
    path.write_text(f"Resources:\n{resources}", encoding="utf-8")
    with pytest.raises(packaging.PackagingError, match=r"write|upload the file"):
        packaging.package(path, uploads)


def test_a_byte_order_mark_moves_nothing(folder: Path, uploads: packaging.Uploads) -> None:
    """Protects templates that Windows editors have saved."""
    path = folder / "stacks" / "template.yml"
    plain = packaging.package(path, uploads)
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert packaging.package(path, uploads) == plain


def test_the_command_says_why_it_fails(
    folder: Path, aws: Aws, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line and exit code 1, for a path that is missing and for a service that refuses."""
    for name, value in {**aws.environment, "DATA_VERSION": "1"}.items():
        monkeypatch.setenv(name, value)
    given = [
        "--output-dir",
        str(folder),
        "--bucket",
        "bucket",
        "--kms-key",
        KEY_ARN,
        "--pipeline",
        "p-pipeline",
    ]
    given += ["--execution", "1"]
    assert build.main([*given, str(folder / "none.yml")]) == 1
    assert re.fullmatch(r"error: .*No such file.*none\.yml'\n", capsys.readouterr().err)
    aws.missing = 400
    assert build.main([*given, str(folder / "stacks" / "template.yml")]) == 1
    assert re.fullmatch(r"error: .*HeadObject.*\n", capsys.readouterr().err)
    assert sorted(path.name for path in folder.iterdir()) == ["code", "stacks"]
