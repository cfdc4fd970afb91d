"""Packaging of stage templates: local files are uploaded to S3, and templates name their addresses there.

This does for the properties in `FORMS` what `aws cloudformation package` does, with three differences: zips
are the same for the same files, a property that is left out uploads nothing, and a path has to be written in
one line, without YAML's anchors, aliases, tags and merge keys, since only the path's text is replaced.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import stat
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import yaml
from botocore.exceptions import ClientError

from delivery.templates.read import LOOP, TemplateLoader

if TYPE_CHECKING:
    from collections.abc import Iterator

PREFIX = "packages/"  # in the artifact bucket; the roles of pipeline.yml name it
ZIP_TIME = (1980, 1, 1, 0, 0, 0)  # the earliest that a zip can hold
EXECUTABLE, PLAIN = 0o100755, 0o100644
UNIX = 3  # the system whose file modes `external_attr` holds
# HeadObject's answers for a missing object: 403 to a role that may not list the bucket, such as the build's.
ABSENT = ("403", "404")


class PackagingError(Exception):
    """A template names something that cannot be packaged."""


class Form(NamedTuple):
    """The form that CloudFormation takes an address in: a URL, or a mapping with these keys."""

    keys: tuple[str, str] | None
    zips: bool  # a single file too; a folder always

    def location(self, bucket: str, key: str) -> str | dict[str, str]:
        """Return the address of an object."""
        if self.keys is None:
            return f"s3://{bucket}/{key}"
        return dict(zip(self.keys, (bucket, key), strict=True))


FORMS = {
    ("AWS::Lambda::Function", "Code"): Form(("S3Bucket", "S3Key"), zips=True),
    ("AWS::Lambda::LayerVersion", "Content"): Form(("S3Bucket", "S3Key"), zips=True),
    ("AWS::Serverless::Function", "CodeUri"): Form(None, zips=True),
    ("AWS::Serverless::LayerVersion", "ContentUri"): Form(None, zips=True),
    ("AWS::Serverless::StateMachine", "DefinitionUri"): Form(("Bucket", "Key"), zips=False),
    ("AWS::StepFunctions::StateMachine", "DefinitionS3Location"): Form(("Bucket", "Key"), zips=False),
}


# The AWS CLI packages these as well; no template of the project has one.
UNSUPPORTED = (
    ("AWS::CloudFormation::Stack", "TemplateURL"),
    ("AWS::Serverless::Api", "DefinitionUri"),
    ("AWS::Serverless::Application", "Location"),
    ("AWS::Serverless::HttpApi", "DefinitionUri"),
)
REMOTE = ("s3://", "https://")
MERGE = "tag:yaml.org,2002:merge"


class LocalPath(NamedTuple):
    """A property whose value is a local path."""

    property: str  # as in Resource.Property
    path: str
    form: Form
    start: int  # of the value in the template's text
    end: int


class Uploads:
    """Files in the artifact bucket, named by their content; a content that is there is not sent again."""

    def __init__(self, s3: Any, bucket: str, kms_key: str) -> None:
        """Take a client of S3, and the key that encrypts what is uploaded."""
        self._s3, self._bucket, self._kms_key = s3, bucket, kms_key
        self._keys: dict[tuple[Path, bool], str] = {}

    def address(self, path: Path, form: Form) -> str:
        """Upload a file or folder, and return its address as YAML."""
        source = (path, form.zips)
        if source not in self._keys:
            self._keys[source] = self._upload(content(path, zips=form.zips))
        location = form.location(self._bucket, self._keys[source])
        return location if isinstance(location, str) else json.dumps(location)

    def _upload(self, body: bytes) -> str:
        key = PREFIX + hashlib.sha256(body).hexdigest()
        if not self._exists(key):
            self._s3.put_object(
                Bucket=self._bucket,
                Key=key,
                Body=body,
                ServerSideEncryption="aws:kms",
                SSEKMSKeyId=self._kms_key,
            )
        return key

    def _exists(self, key: str) -> bool:
        try:
            self._s3.head_object(Bucket=self._bucket, Key=key)
        except ClientError as error:
            if error.response["Error"]["Code"] in ABSENT:
                return False
            raise
        return True


def package(template: Path, uploads: Uploads) -> str:
    """Upload what a template names by local paths, and return its text with their addresses.

    Only these values change, so comments, order and short forms such as !Ref stay.

    Raises:
        PackagingError: The file is not a template, or has a path that does not exist or cannot be packaged.

    """
    try:
        text = template.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise PackagingError(f"{template} is not UTF-8 ({error}): save it as UTF-8.") from None
    parts, end = [], 0
    for local in sorted(local_paths(template, text), key=lambda local: local.start):
        _check_written_once(template, local, text, end)
        path = template.parent / local.path
        if not path.exists():
            raise PackagingError(
                f"{template}: {local.property} is {local.path}, and {path} does not exist: correct the path,"
                " which is relative to the template's folder."
            )
        parts += [text[end : local.start], uploads.address(path.resolve(), local.form)]
        end = local.end
    return "".join([*parts, text[end:]])


def local_paths(template: Path, text: str) -> Iterator[LocalPath]:
    """Find the local paths of a template, in the order of its text.

    Raises:
        PackagingError: The text is not YAML, or has no resources.

    """
    try:
        tree = yaml.compose(text, Loader=TemplateLoader)
    except yaml.YAMLError as error:
        raise PackagingError(f"{template} is not YAML: {error}") from None
    resources = members(tree).get("Resources")
    if resources is None:
        raise PackagingError(f"{template} has no Resources, so it is not a CloudFormation template.")
    for name, resource in unrolled(resources):
        entries = members(resource)
        kind, properties = entries.get("Type"), members(entries.get("Properties"))
        type_name = kind.value if isinstance(kind, yaml.ScalarNode) else ""
        _check_supported(template, name, type_name, entries)
        for key, value in properties.items():
            form = FORMS.get((type_name, key))
            if form and is_local(value):
                yield LocalPath(
                    f"{name}.{key}", value.value, form, value.start_mark.index, value.end_mark.index
                )


def _check_written_once(template: Path, local: LocalPath, text: str, end: int) -> None:
    """Refuse a value that cannot be replaced in its place: an alias, an anchor, or several lines."""
    written = text[local.start : local.end]
    if local.start < end or written[:1] in "&*!|>" or "\n" in written:
        raise PackagingError(
            f"{template}: {local.property} is {local.path} by an alias, an anchor, a tag or a block of lines:"
            " write the path in one line, at each place that needs it."
        )


def _check_supported(template: Path, name: str, kind: str, entries: dict[str, yaml.Node]) -> None:
    """Refuse local paths that would stay in the template: behind merge keys, and of other properties."""
    properties = entries.get("Properties")
    pairs = properties.value if isinstance(properties, yaml.MappingNode) else []
    if any(key.tag == MERGE for key, _ in pairs) and any(
        kind == known for known, _ in (*FORMS, *UNSUPPORTED)
    ):
        raise PackagingError(f"{template}: {name} has merged properties: write its properties out.")
    for key, value in members(properties).items():
        if (kind, key) in UNSUPPORTED and is_local(value):
            raise PackagingError(
                f"{template}: {name}.{key} is {value.value}, a local path that the build does not package:"
                " upload the file and give its address."
            )


def members(node: yaml.Node | None) -> dict[str, yaml.Node]:
    """Return a mapping's members by name; none of another node."""
    if not isinstance(node, yaml.MappingNode):
        return {}
    return {key.value: value for key, value in node.value if isinstance(key, yaml.ScalarNode)}


def unrolled(resources: yaml.Node) -> Iterator[tuple[str, yaml.Node]]:
    """Return each resource with its name, those in a loop of AWS::LanguageExtensions too."""
    for name, resource in members(resources).items():
        if not name.startswith(LOOP):
            yield name, resource
        elif isinstance(resource, yaml.SequenceNode) and resource.value:
            yield from unrolled(resource.value[-1])


def is_local(value: yaml.Node) -> bool:
    """Whether a value is a path here: a text that neither a function such as !Sub makes nor S3 holds."""
    text = isinstance(value, yaml.ScalarNode) and value.tag == "tag:yaml.org,2002:str"
    return text and not str(value.value).startswith(REMOTE)


def content(path: Path, *, zips: bool) -> bytes:
    """Return what is uploaded: a folder as a zip, and a file as it is, or as a zip with `zips`."""
    if path.is_dir():
        return zipped((name, file) for name, file in files(path))
    if zips and not zipfile.is_zipfile(path):
        return zipped([(path.name, path)])
    return path.read_bytes()


def files(folder: Path) -> list[tuple[str, Path]]:
    """List a folder's files with their names in it, but for what Python has compiled."""
    paths = []
    for base, folders, names in os.walk(folder, followlinks=True):
        folders[:] = [name for name in folders if name != "__pycache__"]
        paths += [Path(base) / name for name in names]
    return sorted((path.relative_to(folder).as_posix(), path) for path in paths)


def zipped(entries: Iterator[tuple[str, Path]] | list[tuple[str, Path]]) -> bytes:
    """Zip files: the same bytes for the same names, contents and permissions to execute."""
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as archive:
        for name, path in entries:
            entry = zipfile.ZipInfo(name, ZIP_TIME)
            entry.create_system = UNIX
            mode = EXECUTABLE if path.stat().st_mode & stat.S_IXUSR else PLAIN
            entry.external_attr = mode * 2**16  # the upper half is Unix's
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, path.read_bytes())
    return sink.getvalue()
