"""The target of EventBridge rules that start a pipeline."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING

from localcloud.core.errors import ServiceError

if TYPE_CHECKING:
    from localcloud.services.codepipeline.pipelines import Pipelines

logger = logging.getLogger(__name__)


def start_for_rule(pipelines: Pipelines, arn: str, rule: str, rule_input: str | None) -> None:
    """Start the pipeline of an ARN for a rule, whose input, a JSON text, may set variables and revisions."""
    name = arn.split(":", 5)[-1]
    try:
        content = json.loads(rule_input) if rule_input else {}
        request = {key: content[key] for key in ("variables", "sourceRevisions") if key in content}
        pipelines.start_for({"name": name, **request}, "CloudWatchEvent", rule)
    except ServiceError as error:
        # On AWS a failed start shows in the rule's metric only.
        logger.warning("the rule %s could not start %s: %s", rule, name, error.message)
    except (ValueError, TypeError, KeyError) as error:
        logger.warning("the rule %s has an input that %s can't be started with: %s", rule, name, error)
