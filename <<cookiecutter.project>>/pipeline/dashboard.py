"""The dashboard of production: its body, and the parameters of stacks/dashboard.yml that carry the body."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from pipeline.errors import SettingsError
from pipeline.paths import DASHBOARD
from pipeline.run import endpoint_name

if TYPE_CHECKING:
    from pipeline.run import Run
    from pipeline.settings import Settings

BODY_PARAMETERS = 3  # Body1 to Body3 of stacks/dashboard.yml, which joins them
MAX_PARAMETER_BYTES = 4096  # of CloudFormation


def dashboard_parameters(settings: Settings, run: Run) -> dict[str, str]:
    """Return the parameters of stacks/dashboard.yml: one parameter is too short for the body.

    Raises:
        SettingsError: if the body is too long for all parameters together, or cannot be made.
    """
    body = dashboard_body(settings, run)
    most = BODY_PARAMETERS * MAX_PARAMETER_BYTES
    if len(body.encode()) > most:
        raise SettingsError(
            f"{DASHBOARD.name} takes {len(body.encode())} bytes, and the dashboard's parameters hold {most}:"
            " leave out a widget."
        )
    starts = range(0, most, MAX_PARAMETER_BYTES)
    pieces = {
        f"Body{number}": body[start : start + MAX_PARAMETER_BYTES] for number, start in enumerate(starts, 1)
    }
    return {"Project": settings.project.name, **pieces}


def dashboard_body(settings: Settings, run: Run) -> str:
    """Return stacks/dashboard.json with the names of this deployment, in ASCII: a character is a byte.

    Raises:
        SettingsError: if the file is not JSON, or has a placeholder that is not known.
    """
    names = deployed_names(settings, run)
    try:
        text = re.sub(r"\$\{(\w+)\}", lambda found: names[found[1]], DASHBOARD.read_text(encoding="utf-8"))
        return json.dumps(json.loads(text), separators=(",", ":"))
    except KeyError as error:
        raise SettingsError(
            f"{DASHBOARD.name} asks for ${{{error.args[0]}}}, but there are only {', '.join(names)}."
        ) from None
    except ValueError as error:
        raise SettingsError(f"{DASHBOARD.name} cannot be read as JSON: {error}.") from None


def deployed_names(settings: Settings, run: Run) -> dict[str, str]:
    """Return the values of the placeholders in stacks/dashboard.json."""
    project = settings.project.name
    _, partition, _, region, account, *_ = run.notification_topic_arn.split(":")
    return {
        "Account": account,
        "Commit": run.commit,
        "DriftNamespace": settings.monitor.namespace,
        "EndpointName": endpoint_name(settings, run, "prd"),
        "ExecutionId": run.execution_id,
        "FunctionName": f"{project}-api-image" if run.lambda_image_uri else f"{project}-api",
        "Partition": partition,
        "Project": project,
        "Region": region,
    }
