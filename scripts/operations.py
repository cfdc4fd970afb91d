"""Write the page of the local cloud's operations: `make operations`.

Our services' operations are those of the registered `Service` objects. ministack has no list of its own: it
has an operation when the service's module names it, as the key of a handler, or has a function of its name.
"""

from __future__ import annotations

import ast
import importlib.util
import re
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

import localcloud
from botocore import xform_name
from localcloud.core import patches, protocol
from localcloud.core.context import CloudContext
from localcloud.core.timers import Timers
from localcloud.services import registration

if TYPE_CHECKING:
    from collections.abc import Iterable

    from localcloud.core.service import Service

PAGE = Path(localcloud.__file__).with_name("OPERATIONS.md")
# The module of ministack for each service that the project's templates, state machines and commands call.
MINISTACK = {
    "apigateway": "apigateway_v1",
    "cloudformation": "cloudformation.handlers",
    "cloudwatch": "cloudwatch",
    "ecr": "ecr",
    "efs": "efs",
    "events": "eventbridge",
    "iam": "iam",
    "kms": "kms",
    "lambda": "lambda_svc",
    "logs": "cloudwatch_logs",
    "s3": "s3",
    "scheduler": "scheduler",
    "sns": "sns",
    "ssm": "ssm",
    "stepfunctions": "stepfunctions",
    "sts": "sts",
}
INTRODUCTION = """# Operations of the local cloud

`make operations` in the template's repository writes this page, and a test compares it with the code. A
service's operations are those of botocore's model. Our services refuse the others with an error that names
this page.
"""
HOLE = re.compile(r"\{[^}]*\}")


def page() -> str:
    """Return the page's text."""
    project = localcloud.Project(Path(), "project", "eu-central-1")
    services = registration.make(CloudContext(project, Timers()), lambda _: None)
    ours = sorted((each for each in services if each.operations), key=lambda each: each.name)
    sections = [
        INTRODUCTION,
        "## Implemented here\n",
        *(section for each in ours for section in (_of_service(each), _details(each))),
        *_of_routes(services),
        f"## Implemented by ministack {patches.PINNED}\n",
        *(_operations(name, _of_ministack(name, module)) for name, module in MINISTACK.items()),
        _replaced(),
    ]
    return "\n".join(section for section in sections if section)


def _of_service(service: Service) -> str:
    return _operations(service.name, set(service.operations))


def _of_routes(services: Iterable[Service]) -> list[str]:
    """Return the section of SageMaker's runtime, whose operations are known by their path."""
    name = "sagemaker-runtime"
    routes = [re.compile(pattern) for service in services for pattern in service.routes]
    model = protocol.model(name)
    paths = {
        each: HOLE.sub("x", model.operation_model(each).http["requestUri"]) for each in model.operation_names
    }
    answered = {each for each, path in paths.items() if any(route.fullmatch(path) for route in routes)}
    return [_operations(name, answered)]


def _of_ministack(service: str, module: str) -> set[str]:
    """Find the operations of a service that a module of ministack handles."""
    spec = importlib.util.find_spec("ministack")
    assert spec, "ministack is not installed"  # noqa: S101 - the package requires it
    assert spec.origin  # noqa: S101 - a package with a file
    path = (Path(spec.origin).parent / "services" / module.replace(".", "/")).with_suffix(".py")
    nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    names = {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    functions = {
        node.name.lstrip("_") for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    operations = protocol.model(service).operation_names
    return {each for each in operations if each in names or xform_name(each) in functions}


def _operations(service: str, implemented: set[str]) -> str:
    """Return a service's section: the operations, and below a fold those that are refused."""
    model = protocol.model(service)
    every = set(model.operation_names)
    refused = sorted(every - implemented)
    by_path = service in MINISTACK and model.metadata["protocol"].startswith("rest")
    least = "at least " if by_path else ""
    lines = [f"### {service}: {least}{len(implemented)} of {len(every)}\n", _filled(sorted(implemented)), ""]
    if by_path:
        lines.append("ministack finds these by their path; it may have others, too.\n")
    elif refused:
        lines += [
            f"<details><summary>{len(refused)} are refused</summary>\n",
            _filled(refused),
            "\n</details>\n",
        ]
    return "\n".join(lines)


def _details(service: Service) -> str:
    """Return what else a service of ours has: resource types of templates, tasks, routes and targets."""
    lines = [f"- CloudFormation: {', '.join(sorted(service.resources))}"] if service.resources else []
    if service.tasks:
        tasks = (f"`arn:aws:states:::{service.name}:{task}`" for task in sorted(service.tasks))
        lines.append(f"- Step Functions: {', '.join(tasks)}, and each operation as an `aws-sdk:` task")
    elif service.operations:
        lines.append("- Step Functions: each operation as an `aws-sdk:` task")
    if service.target:
        lines.append("- EventBridge: a target of rules")
    return "\n".join([*lines, ""])


def _replaced() -> str:
    rows = [
        f"| `{' '.join(module.removeprefix('ministack.') for module in each.modules)}` `{each.name}` "
        f"| {each.behaviour} | {each.reason} |"
        for each in sorted(patches.patches(), key=lambda each: (each.modules, each.name))
    ]
    head = [
        "## Replaced parts of ministack\n",
        "| name | ministack | why it is replaced |",
        "| --- | --- | --- |",
    ]
    return "\n".join([*head, *rows, ""])


def _filled(names: list[str]) -> str:
    return textwrap.fill(", ".join(names) + ".", 118, break_long_words=False)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
