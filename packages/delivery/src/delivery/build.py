"""Package the stage templates, and keep the variables that the pipeline's execution was started with.

`pipeline/build.mk` runs this as `python -m delivery.build`, so one process makes all calls to AWS.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError
from botocore.session import get_session

from delivery.templates.packaging import PackagingError, Uploads, package

if TYPE_CHECKING:
    from collections.abc import Sequence

VARIABLES = "variables"  # the file's name in the output folder


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the packaged templates and the variables; 0 when that is done, 1 with a reason otherwise."""
    given = parser().parse_args(arguments)
    session = get_session()
    try:
        variables = execution_variables(session, given.pipeline, given.execution)
        uploads = Uploads(session.create_client("s3"), given.bucket, given.kms_key)
        packaged = {template.name: package(template, uploads) for template in given.templates}
    except (BotoCoreError, ClientError, OSError, PackagingError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    for name, text in {VARIABLES: json.dumps(variables), **packaged}.items():
        (given.output_dir / name).write_text(text, encoding="utf-8")
    return 0


def parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    command = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    command.add_argument("templates", nargs="+", type=Path, metavar="TEMPLATE")
    command.add_argument("--bucket", required=True, help="the artifact bucket")
    command.add_argument("--kms-key", required=True, help="ARN of the key that encrypts packages")
    command.add_argument("--pipeline", required=True, help="name of the pipeline")
    command.add_argument("--execution", required=True, help="id of its execution")
    command.add_argument("--output-dir", required=True, type=Path, metavar="FOLDER")
    return command


def execution_variables(session: Any, pipeline: str, execution: str) -> list[dict[str, str]]:
    """Return the variables of an execution; none where DATA_VERSION is set, which replaces them."""
    if os.environ.get("DATA_VERSION"):
        return []
    client = session.create_client("codepipeline")
    answer = client.get_pipeline_execution(pipelineName=pipeline, pipelineExecutionId=execution)
    variables: list[dict[str, str]] = answer["pipelineExecution"].get("variables", [])
    return variables


if __name__ == "__main__":
    sys.exit(main())
