"""Refuse answers that AWS, or the project's own files, would refuse later."""

import json
import re
import sys
import unicodedata
from collections.abc import Iterator

ANSWERS: dict[str, str] = json.loads(r"""<< cookiecutter | tojson >>""")

# Job names are <project>-<kind>-<36-character execution id>-<retry>, and SageMaker takes 63 characters.
PROJECT = re.compile(r"(?=.{2,16}\Z)[a-z][a-z0-9]*(-[a-z0-9]+)*")
# Parameter Store refuses the first two, S3 refuses the others.
RESERVED = ("aws", "ssm", "sthree-", "amzn-")
REGION = re.compile(r"[a-z]{2}(-[a-z]+){1,2}-[1-9][0-9]?")


def refused(question: str, rule: str, example: str) -> str:
    """Return one sentence that names the answer, the rule and an example."""
    answer = json.dumps(ANSWERS[question])
    return f"error: the answer to `{question}` is {answer}, but {rule}, for example {example}."


def has_control_characters(text: str) -> bool:
    """Return whether the text, with white space as single blanks, has characters that TOML forbids."""
    return any(unicodedata.category(character) in {"Cc", "Cs"} for character in " ".join(text.split()))


def text_faults() -> Iterator[str]:
    """Yield an error message for each text that the project's files can't contain."""
    for question, example in (("project_name", "House Prices"), ("description", "Predicts house prices")):
        if not ANSWERS[question].strip() or has_control_characters(ANSWERS[question]):
            yield refused(question, "it must be text without control characters", example)


def name_faults() -> Iterator[str]:
    """Yield an error message for a project or region that AWS would refuse."""
    if not PROJECT.fullmatch(ANSWERS["project"]):
        rule = (
            "it must be 2 to 16 lower-case letters, digits and single hyphens, with a letter first "
            "and no hyphen last"
        )
        yield refused("project", rule, "house-prices")
    elif ANSWERS["project"].startswith(RESERVED):
        rule = f"AWS keeps names that begin with {', '.join(RESERVED[:-1])} or {RESERVED[-1]} for itself"
        yield refused("project", rule, "house-prices")
    if not REGION.fullmatch(ANSWERS["region"]):
        yield refused("region", "it must be the code of an AWS region", "eu-central-1")


if sentences := [*text_faults(), *name_faults()]:
    sys.exit("\n".join(sentences))
