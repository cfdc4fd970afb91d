"""Render what each stage of the pipeline is given, from project.toml, a commit, data and an execution.

Calls nothing and reads no clock: the same arguments give the same bytes. Standard library only.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import os
import re
import sys
import tomllib
from dataclasses import MISSING, asdict, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

ROOT = Path(__file__).resolve().parent.parent
MODELS = ROOT / "container" / "models"
DASHBOARD = ROOT / "stacks" / "dashboard.json"
DASHBOARD_PIECES, LONGEST_PARAMETER = 3, 4096  # of stacks/dashboard.yml, and of CloudFormation
# In seconds; three jobs of that length stay within the state machine's TimeoutSeconds.
FOUR_DAYS = 4 * 24 * 60 * 60
MOST_HYPERPARAMETERS, LONGEST_HYPERPARAMETER = 100, 2500  # of SageMaker
OWN_HYPERPARAMETERS = ("model", "seed")
NOT_OURS = r"(?!(runs|models|capture|monitoring|packages|source)/)"  # folders that the pipeline writes
# Three hours have three folders of ground truth, and of capture as many for each endpoint; a job reads nine.
LONGEST_QUALITY_WINDOW = 10_800
MOST_ALARMS, LONGEST_FEATURE = 100, 200  # a stack has 500 resources, an alarm's name 255 characters
UNASKED = ("data", "schedule", "drift")  # reasons for which nobody asks for a model unless it is better
PREFERENCES = (  # CodeDeploy's for Lambda, as SAM takes them; SAM itself checks none
    "Canary10Percent5Minutes",
    "Canary10Percent10Minutes",
    "Canary10Percent15Minutes",
    "Canary10Percent30Minutes",
    "Linear10PercentEvery1Minute",
    "Linear10PercentEvery2Minutes",
    "Linear10PercentEvery3Minutes",
    "Linear10PercentEvery10Minutes",
    "AllAtOnce",
)
# These instances have disks of their own, encrypted by the hardware; SageMaker refuses a volume key for them.
OWN_DISKS = re.compile(r"ml\.([a-z]+\d+[a-z]*d[a-z]*|g[5-9][a-z]*|p[5-9][a-z]*|trn\d+[a-z]*|i\d[a-z]*)\.")


def cron_field(value: str, *special: str) -> re.Pattern[str]:
    """Match a field of a cron: values, ranges and steps between commas, or what only this field has."""
    item = rf"(\*|({value})(-({value}))?)(/[1-9]\d*)?"
    return re.compile("|".join([f"{item}(,{item})*", *special]))


MONTHS = "JAN|FEB|MAR|APR|MAY|JUN|JUL|AUG|SEP|OCT|NOV|DEC"
WEEKDAYS = "[1-7]|SUN|MON|TUE|WED|THU|FRI|SAT"
DAYS = "0?[1-9]|[12][0-9]|3[01]"
CRON = (  # of EventBridge Scheduler: minutes, hours, day of the month, month, day of the week, year
    cron_field("[0-5]?[0-9]"),
    cron_field("[01]?[0-9]|2[0-3]"),
    cron_field(DAYS, r"\?", "L", "LW", f"({DAYS})W"),
    cron_field(f"0?[1-9]|1[0-2]|{MONTHS}"),
    cron_field(WEEKDAYS, r"\?", "L", f"({WEEKDAYS})L", f"({WEEKDAYS})#[1-5]"),
    cron_field("19[7-9][0-9]|2[01][0-9]{2}"),
)
CRON_WORDS = (
    "a cron of six fields (minutes, hours, day of the month, month, day of the week, year;"
    " one of the two days is ?)"
)
RATE = re.compile(r"rate\((1 (minute|hour|day)|([2-9]|[1-9][0-9]+) (minutes|hours|days))\)")
ONCE = re.compile(
    r"at\([0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])T([01][0-9]|2[0-3])(:[0-5][0-9]){2}\)"
)

T = TypeVar("T")


class SettingsError(Exception):
    """Says in one sentence what is wrong, what the rule is and what would do."""


# What an entry has to be


@dataclass(frozen=True)
class Rule:
    """What a value has to be, in words and as a function, with a value that would do."""

    words: str
    holds: Callable[[Any], bool]
    example: str


def entry(rule: Rule, default: Any) -> Any:
    """Declare an entry of a section; without a default it has to be given."""
    return field(default=default, metadata={"rule": rule})


def text(pattern: str, words: str, example: str, default: Any = MISSING) -> Any:
    """Declare a text that the pattern matches from end to end."""
    whole = re.compile(pattern)
    rule = Rule(words, lambda value: isinstance(value, str) and bool(whole.fullmatch(value)), f'"{example}"')
    return entry(rule, default)


def choice(*allowed: str | int) -> Any:
    """Declare one of a few texts or numbers; the first is the default."""
    words = f"one of {', '.join(map(str, allowed))}"
    rule = Rule(words, lambda v: type(v) in (str, int) and v in allowed, json.dumps(allowed[0]))
    return entry(rule, allowed[0])


def integer(low: int, high: int, default: Any = MISSING) -> Any:
    """Declare a whole number from low to high."""
    rule = Rule(
        f"a whole number from {low} to {high}", lambda v: type(v) is int and low <= v <= high, str(low)
    )
    return entry(rule, default)


def number(low: float, high: float, default: float) -> Any:
    """Declare a number from low to high."""
    rule = Rule(
        f"a number from {low:g} to {high:g}", lambda v: is_number(v) and low <= v <= high, f"{default:g}"
    )
    return entry(rule, default)


def fraction(default: float) -> Any:
    """Declare a share of the rows."""
    rule = Rule("a number from 0.01 to 0.9", lambda v: type(v) is float and 0.01 <= v <= 0.9, str(default))  # noqa: PLR2004
    return entry(rule, default)


def flag(*, default: bool) -> Any:
    """Declare true or false."""
    return entry(Rule("true or false", lambda value: type(value) is bool, "false"), default)


def threshold() -> Any:
    """Declare a number, or the word naive."""
    return entry(Rule("a number, or naive", lambda v: v == "naive" or is_number(v), '"naive"'), "naive")


def features() -> Any:
    """Declare features with alarms of their own; CloudFormation makes names of their letters and digits."""
    rule = Rule(
        "a list of at most 100 features, each with an ASCII letter or digit of its own and no comma",
        lambda value: isinstance(value, list | tuple) and len(value) <= MOST_ALARMS and are_nameable(value),
        '["income", "age"]',
    )
    return entry(rule, ())


def are_nameable(names: Sequence[Any]) -> bool:
    """Tell whether each text makes a name of its own, of its ASCII letters and digits."""
    if not all(isinstance(name, str) and "," not in name and len(name) <= LONGEST_FEATURE for name in names):
        return False
    made = [re.sub("[^A-Za-z0-9]", "", name) for name in names]
    return all(made) and len(set(made)) == len(made) and all(name == name.strip() for name in names)


def expression(words: str, default: str, holds: Callable[[str], bool]) -> Any:
    """Declare when something is due."""
    return entry(Rule(words, lambda v: isinstance(v, str) and holds(v), json.dumps(default)), default)


def is_schedule(value: str) -> bool:
    """Tell whether EventBridge Scheduler takes the expression, of whichever kind it is."""
    return is_cron(value) or bool(RATE.fullmatch(value) or ONCE.fullmatch(value))


def is_cron(value: str) -> bool:
    """Tell whether EventBridge Scheduler takes the expression as a cron: a day of one kind only."""
    fields = re.fullmatch(r"cron\((.+)\)", value)
    cells = fields[1].split(" ") if fields else []
    if len(cells) != len(CRON) or [cells[2], cells[4]].count("?") != 1:
        return False
    return all(rule.fullmatch(cell) for rule, cell in zip(CRON, cells, strict=True))


def instance_type() -> Any:
    """Declare a type of instances."""
    return text(r"ml\.[a-z0-9-]+\.[a-z0-9-]+", "an instance type of SageMaker", "ml.m5.xlarge")


def is_number(value: Any) -> bool:
    """Tell whether the value is a finite number and no truth value."""
    return type(value) in (int, float) and math.isfinite(value)


# project.toml


@dataclass(frozen=True)
class Project:
    """[project]."""

    name: str = text(
        r"(?=.{2,16}\Z)(?!aws|ssm|sthree-|amzn-)[a-z](-?[a-z0-9])+",
        "2 to 16 lower-case letters, digits and single hyphens, without aws, ssm, sthree- or amzn- in front",
        "house-prices",
    )
    title: str = text(r"(?s).*", "a text", "House Prices")
    description: str = text(r"(?s).*", "a text", "Predicts house prices")
    region: str = text(r"[a-z]{2}(-[a-z]+){1,2}-\d{1,2}", "an AWS region", "eu-central-1")


@dataclass(frozen=True)
class Data:
    """[data]."""

    prefix: str = text(
        rf"{NOT_OURS}([A-Za-z0-9_!.*'()-]+/)+",
        "a folder that ends in / and is none of those that the pipeline writes:"
        " runs/, models/, capture/, monitoring/, packages/, source/",
        "raw/",
    )
    target: str = text(r"(?s)(?=.*\S).{1,256}", "the name of a column, of 1 to 256 characters", "price")
    task: str = choice("auto", "regression", "classification")
    workload: str = choice("tabular", "image")
    image_size: int = choice(32, *(side for side in range(16, 257, 8) if side != 32))  # noqa: PLR2004
    interval_days: int = integer(0, 36500, 0)
    validation_fraction: float = fraction(0.15)
    test_fraction: float = fraction(0.2)
    seed: int = integer(0, 2**32 - 1, 42)


@dataclass(frozen=True)
class Model:
    """[model]."""

    name: str = text(
        r"[a-z][a-z0-9_]*", "the name of a file in container/models, without .py", "gradient_boosting"
    )
    hyperparameters: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Gate:
    """[gate]."""

    metric: str = text(r"[a-z][a-z0-9_]*", "the name of a metric of the evaluation, or auto", "rmse", "auto")
    comparison: str = choice("auto", "greater", "less")
    threshold: float | str = threshold()
    margin: float = number(0, 1e15, 0.0)
    on_request: str = choice("not_worse", "better", "any")


@dataclass(frozen=True)
class Experiments:
    """[experiments]."""

    mlflow_tracking_uri: str = text(
        r"(https?://[A-Za-z0-9.-]+(:\d{1,5})?(/[A-Za-z0-9._~/-]*)?)?",
        "the http or https address of a tracking server, without a password in it, or empty",
        "http://mlflow.internal:5000",
        "",
    )


@dataclass(frozen=True)
class Job:
    """[stages.baseline] and [stages.evaluate]."""

    instance_type: str = instance_type()
    volume_gb: int = integer(1, 16384)
    max_runtime_seconds: int = integer(1, FOUR_DAYS)


@dataclass(frozen=True)
class Shared(Job):
    """[stages.prepare] and [stages.monitor], and what [stages.train] has too."""

    instance_count: int = integer(1, 20, 1)


@dataclass(frozen=True)
class Training(Shared):
    """[stages.train]."""

    spot: bool = flag(default=False)
    max_wait_seconds: int = integer(1, FOUR_DAYS, FOUR_DAYS)


@dataclass(frozen=True)
class Endpoint:
    """[stages.dev]."""

    instance_type: str = instance_type()
    instance_count: int = integer(1, 100)
    capture_percentage: int = integer(0, 100, 100)


@dataclass(frozen=True)
class Production(Endpoint):
    """[stages.prd]."""

    min_capacity: int = integer(1, 1000, 1)
    max_capacity: int = integer(1, 1000, 4)
    invocations_per_instance: int = integer(1, 10**6, 750)
    deployment_preference: str = choice(*PREFERENCES)
    latency_threshold_ms: int = integer(1, 29_000, 1000)
    golden_tolerance: float = number(0, 1000, 0.1)
    answer_tolerance: float = number(1e-12, 1, 1e-9)
    synthetic_rate: int = integer(0, 600, 60)
    authorization: str = choice("AWS_IAM", "NONE")
    throttling_rate_limit: int = integer(1, 10_000, 100)
    throttling_burst_limit: int = integer(1, 5_000, 200)
    access_log: bool = flag(default=False)


@dataclass(frozen=True)
class Stages:
    """[stages]."""

    prepare: Shared = field(metadata={"section": Shared})
    baseline: Job = field(metadata={"section": Job})
    train: Training = field(metadata={"section": Training})
    evaluate: Job = field(metadata={"section": Job})
    dev: Endpoint = field(metadata={"section": Endpoint})
    prd: Production = field(metadata={"section": Production})
    monitor: Shared = field(metadata={"section": Shared})


@dataclass(frozen=True)
class Monitor:
    """[monitor]."""

    engine: str = choice("container", "model-monitor")
    schedule: str = expression(f"{CRON_WORDS} of EventBridge Scheduler", "cron(20 * * * ? *)", is_cron)
    enabled: bool = flag(default=True)
    window_seconds: int = choice(3600, 300, 600, 900, 1800, 7200, 10_800, 14_400, 21_600, 43_200, 86_400)
    namespace: str = text(
        r"[A-Za-z0-9._/#:-]{1,255}",
        "a namespace of CloudWatch",
        "aws/sagemaker/Endpoints/data-metrics",
        "aws/sagemaker/Endpoints/data-metrics",
    )
    drift_threshold: float = number(0, 1, 0.1)
    minimum_records: int = integer(1, 10**9, 500)
    features: Sequence[str] = features()
    ground_truth_prefix: str = text(
        rf"(?=.{{0,200}}$)({NOT_OURS}([A-Za-z0-9_.-]+/)+)?",
        "empty, or a folder that ends in / and is none of those that the pipeline writes",
        "ground-truth/",
        "",
    )
    ground_truth_delay_seconds: int = integer(0, 30 * 86_400, 3600)


@dataclass(frozen=True)
class Governor:
    """[governor]."""

    quiet_seconds: int = integer(1, 86_400, 300)
    cooldown_seconds: int = integer(0, 30 * 86_400, 3600)
    daily_cap: int = integer(1, 100, 4)
    look_again_seconds: int = integer(60, 86_400, 3600)
    schedule: str = expression(
        f"{CRON_WORDS}, a rate such as rate(7 days) or a time such as at(2030-01-31T12:00:00) of EventBridge"
        " Scheduler",
        "cron(0 12 1 * ? *)",
        is_schedule,
    )
    schedule_enabled: bool = flag(default=False)


@dataclass(frozen=True)
class Settings:
    """project.toml, as a whole."""

    project: Project = field(metadata={"section": Project})
    data: Data = field(metadata={"section": Data})
    model: Model = field(metadata={"section": Model})
    gate: Gate = field(metadata={"section": Gate})
    experiments: Experiments = field(metadata={"section": Experiments})
    stages: Stages = field(metadata={"section": Stages})
    monitor: Monitor = field(metadata={"section": Monitor})
    governor: Governor = field(metadata={"section": Governor})


def read_settings(path: Path) -> Settings:
    """Read and check project.toml; raise SettingsError for the first entry that is not as it has to be."""
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(f"cannot be read as TOML: {error}.") from None
    settings = read_section(Settings, table, "")
    check_together(settings)
    return settings


def read_section(kind: type[T], table: Any, where: str) -> T:
    """Make the section's dataclass; unknown, missing and wrong entries are refused."""
    if not isinstance(table, dict):
        raise SettingsError(f"{where} has to be a section: write [{where}] above its entries.")
    known = {declared.name: declared for declared in fields(kind)}  # type: ignore[arg-type]
    for name in sorted(table.keys() - known.keys()):
        there = ", ".join(known)
        raise SettingsError(
            f"nothing reads {dotted(where, name)}: correct or remove it; there {are(known)} {there}."
        )
    return kind(**{name: read_entry(declared, table, where) for name, declared in known.items()})


def read_entry(declared: Any, table: dict[str, Any], where: str) -> Any:
    """Read one entry or section of a table, or take its default."""
    name = declared.name
    if "section" in declared.metadata:
        return read_section(declared.metadata["section"], table.get(name, {}), dotted(where, name))
    if declared.default_factory is not MISSING:
        return hyperparameters(table.get(name, {}))
    rule: Rule = declared.metadata["rule"]
    value = table.get(name, declared.default)
    if value is MISSING:
        raise SettingsError(f"{dotted(where, name)} is missing: add {name} = {rule.example} to [{where}].")
    if not rule.holds(value):
        given = shortened(value)
        raise SettingsError(
            f"{dotted(where, name)} is {given}, but has to be {rule.words}, such as {rule.example}."
        )
    return value


def hyperparameters(table: Any) -> dict[str, str]:
    """Turn the model's hyperparameters into what SageMaker takes: texts."""
    where = "model.hyperparameters"
    if not isinstance(table, dict) or len(table) > MOST_HYPERPARAMETERS - len(OWN_HYPERPARAMETERS):
        raise SettingsError(f"{where} has to be a section of at most 98 entries: SageMaker takes no more.")
    for name in OWN_HYPERPARAMETERS:
        if name in table:
            place = {"model": "model.name", "seed": "data.seed"}[name]
            raise SettingsError(f"{where}.{name} has its own place: give it as {place} instead.")
    return {name: hyperparameter(dotted(where, name), value) for name, value in table.items()}


def hyperparameter(where: str, value: Any) -> str:
    """Write a number, text or truth value as text."""
    if not isinstance(value, str | bool) and not is_number(value):
        raise SettingsError(f"{where} is {shortened(value)}, but has to be a number, a text, true or false.")
    written = value if isinstance(value, str) else json.dumps(value)
    if len(written) > LONGEST_HYPERPARAMETER:
        raise SettingsError(
            f"{where} has {len(written)} characters, but SageMaker takes at most 2,500: shorten it."
        )
    return written


def check_together(settings: Settings) -> None:
    """Refuse entries that are right alone and wrong together."""
    data, gate, train = settings.data, settings.gate, settings.stages.train
    if data.validation_fraction + data.test_fraction > 0.95:  # noqa: PLR2004
        raise SettingsError(
            "data.validation_fraction and data.test_fraction leave less than 0.05 for training: lower one."
        )
    if gate.metric == "auto" and (gate.comparison, gate.threshold, gate.margin) != ("auto", "naive", 0):
        raise SettingsError(
            "gate.comparison, gate.threshold and gate.margin mean nothing while gate.metric is auto:"
            " name a metric."
        )
    if train.spot and train.max_wait_seconds < train.max_runtime_seconds:
        raise SettingsError(
            f"stages.train.max_wait_seconds is {train.max_wait_seconds}, but SageMaker wants no less than"
            f" max_runtime_seconds ({train.max_runtime_seconds}): raise it."
        )
    if data.prefix.startswith(f"{settings.project.name}-"):
        raise SettingsError(
            f"data.prefix is {data.prefix}, but what begins with {settings.project.name}- are the"
            " artifacts of the pipeline, which expire: rename it."
        )
    check_ground_truth(settings)
    if (data.workload, settings.monitor.engine) == ("image", "model-monitor"):
        raise SettingsError(
            "monitor.engine is model-monitor, which reads no pictures: where data.workload is image,"
            " take container."
        )
    check_shared(settings)
    check_capacity(settings.stages.prd)
    folder = MODELS if data.workload == "tabular" else MODELS / data.workload
    offered = sorted(path.stem for path in folder.glob("[!_]*.py"))
    if offered and settings.model.name not in offered:
        raise SettingsError(
            f"model.name is {settings.model.name}, but {folder.relative_to(ROOT)} has {', '.join(offered)}."
        )


def check_ground_truth(settings: Settings) -> None:
    """Refuse ground truth that would be trained on, and windows whose folders are more than a job reads."""
    truth, data = settings.monitor.ground_truth_prefix, settings.data.prefix
    if not truth:
        return
    if truth.startswith((data, f"{settings.project.name}-")) or data.startswith(truth):
        raise SettingsError(
            f"monitor.ground_truth_prefix is {truth}, and data.prefix {data}: neither may lie in the other,"
            f" nor begin with {settings.project.name}-, as what expires does; rename it."
        )
    if settings.monitor.window_seconds > LONGEST_QUALITY_WINDOW:
        raise SettingsError(
            f"monitor.window_seconds is {settings.monitor.window_seconds}, but a job reads the hours of"
            f" {LONGEST_QUALITY_WINDOW} seconds at most when it compares with ground truth: shorten it, or"
            " leave monitor.ground_truth_prefix empty."
        )


def check_shared(settings: Settings) -> None:
    """Refuse to prepare tables on several instances."""
    count = settings.stages.prepare.instance_count
    if count > 1 and settings.data.workload == "tabular":
        raise SettingsError(
            f"stages.prepare.instance_count is {count}, but one instance prepares tables: set it to 1."
            " Several prepare pictures."
        )


def check_capacity(prd: Production) -> None:
    """Refuse numbers of instances that scaling could not keep."""
    if not prd.min_capacity <= prd.instance_count <= prd.max_capacity:
        raise SettingsError(
            f"stages.prd.instance_count is {prd.instance_count}, but scaling keeps {prd.min_capacity} to"
            f" {prd.max_capacity} instances: change it, min_capacity or max_capacity."
        )


def dotted(where: str, name: str) -> str:
    """Name an entry as TOML would."""
    return f"{where}.{name}" if where else name


def are(names: Mapping[str, Any]) -> str:
    """Agree with the number of names."""
    return "is only" if len(names) == 1 else "are"


def shortened(value: Any) -> str:
    """Show a value as it stands in the file, or its beginning."""
    shown = json.dumps(value, ensure_ascii=False, default=str)
    return shown if len(shown) <= 60 else f"{shown[:60]}…"  # noqa: PLR2004


# The run


def argument(environment: str, pattern: str, words: str, example: str, default: Any = MISSING) -> Any:
    """Declare an argument of the command and the variable that it is taken from when it is not given."""
    declared = text(pattern, words, example)
    return field(default=default, metadata={**declared.metadata, "environment": environment})


def optional(environment: str, pattern: str, words: str, example: str) -> Any:
    """Declare an argument that may be empty."""
    return argument(environment, f"({pattern})?", f"{words}, or nothing", example, "")


@dataclass(frozen=True)
class Run:
    """What is not in project.toml, because it differs from run to run or from account to account."""

    commit: str = argument(
        "COMMIT_ID", r"[A-Za-z0-9_.:/=+@-]{1,256}", "a commit id or another mark of the source", "3f2a91c"
    )
    data_version: str = argument(
        "DATA_VERSION", r"(?s)(?=.*\S).{1,1000}", "1 to 1,000 characters", "2025-01-31"
    )
    execution_id: str = argument(
        "PIPELINE_EXECUTION_ID",
        r"(?=.{1,36}\Z)[A-Za-z0-9](-*[A-Za-z0-9])*",
        "1 to 36 letters, digits and hyphens, because it becomes part of names that end at 63",
        "0f0cbb6e-3b0e-4a7e-9d3a-6a2f8f2f5a10",
    )
    image_uri: str = argument(
        "IMAGE_URI",
        r"[^\s]{1,255}",
        "the address of an image",
        "111122223333.dkr.ecr.eu-central-1.amazonaws.com/p:tag",
    )
    artifact_bucket: str = argument(
        "ARTIFACT_BUCKET",
        r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]",
        "the name of a bucket",
        "house-prices-artifacts",
    )
    kms_key_arn: str = argument(
        "KMS_KEY_ARN",
        r"arn:[a-z0-9-]+:kms:.+",
        "the ARN of a key",
        "arn:aws:kms:eu-central-1:111122223333:key/…",
    )
    sagemaker_role_arn: str = argument(
        "SAGEMAKER_ROLE_ARN",
        r"arn:[a-z0-9-]+:iam:.+",
        "the ARN of a role",
        "arn:aws:iam::111122223333:role/…",
    )
    notification_topic_arn: str = argument(
        "NOTIFICATION_TOPIC_ARN",
        r"arn:[a-z0-9-]+:sns:[a-z0-9-]+:\d{12}:.+",
        "the ARN of a topic",
        "arn:aws:sns:eu-central-1:111122223333:…",
    )
    reason: str = argument("REASON", r"(?s)(?=.*\S).{1,1000}", "1 to 1,000 characters", "commit", "commit")
    project: str = optional(
        "PROJECT", r"[a-z0-9-]+", "the project that the pipeline delivers", "house-prices"
    )
    lambda_image_uri: str = optional(
        "LAMBDA_IMAGE_URI",
        r"[^\s]{1,255}",
        "the address of the image of the API's function",
        "111122223333.dkr.ecr.eu-central-1.amazonaws.com/p-api:tag",
    )
    subnet_ids: str = optional(
        "SUBNET_IDS", r"subnet-\w+(,subnet-\w+)*", "subnets, separated by commas", "subnet-1,subnet-2"
    )
    security_group_ids: str = optional(
        "SECURITY_GROUP_IDS", r"sg-\w+(,sg-\w+)*", "security groups, separated by commas", "sg-1"
    )
    efs_access_point_arn: str = optional(
        "EFS_ACCESS_POINT_ARN",
        r"arn:[a-z0-9-]+:elasticfilesystem:.+",
        "the ARN of an access point",
        "arn:aws:elasticfilesystem:eu-central-1:111122223333:access-point/…",
    )
    permissions_boundary_arn: str = optional(
        "PERMISSIONS_BOUNDARY_ARN",
        r"arn:[a-z0-9-]+:iam:.+",
        "the ARN of a policy",
        "arn:aws:iam::111122223333:policy/…",
    )
    analyzer_image_uri: str = optional(
        "ANALYZER_IMAGE_URI",
        r"[^\s]{1,255}",
        "the address of the image of Model Monitor's analyzer",
        "….dkr.ecr.eu-central-1.amazonaws.com/sagemaker-model-monitor-analyzer",
    )
    tags: str = optional(
        "TAGS",
        r"(?!.*(^|,)(aws:|(project|stage|commit)=))[\w.:/+@-][\w .:/+@-]*=[\w .:/+@-]*"
        r"(,[\w.:/+@-][\w .:/+@-]*=[\w .:/+@-]*)*",
        "tags, other than project, stage and commit, separated by commas",
        "Owner=risk,CostCenter=42",
    )


def check_run(settings: Settings, run: Run) -> None:
    """Refuse another project's pipeline, whose roles may not deliver this one, and one without an image."""
    if settings.monitor.engine == "model-monitor" and not run.analyzer_image_uri:
        raise SettingsError(
            "monitor.engine is model-monitor, but the image of its analyzer is not known: give"
            " AnalyzerImageUri to the pipeline's stack, or take the engine container."
        )
    if run.project not in ("", settings.project.name):
        raise SettingsError(
            f"project.name is {settings.project.name}, but this pipeline delivers {run.project}: correct it,"
            " or deploy a pipeline with that name."
        )


def option(name: str) -> str:
    """Write a field of Run as an option of the command."""
    return "--" + name.replace("_", "-")


def read_variables(path: Path | None) -> dict[str, str]:
    """Read the variables of the pipeline's execution, named as the environment would name them."""
    if path is None:
        return {}
    try:
        listed = json.loads(path.read_text(encoding="utf-8"))
        return {re.sub(r"(?<!^)(?=[A-Z])", "_", one["name"]).upper(): one["resolvedValue"] for one in listed}
    except (OSError, ValueError, TypeError, KeyError):
        raise SettingsError(
            f"--variables-file is {path}, but has to be a list of the names and resolvedValues that"
            " codepipeline get-pipeline-execution answers: write it with --query pipelineExecution.variables."
        ) from None


def read_run(given: Mapping[str, str | None], environment: Mapping[str, str]) -> Run:
    """Take each argument from the command line, else from its variable, and check it."""
    values = {}
    for declared in fields(Run):
        rule, variable = declared.metadata["rule"], declared.metadata["environment"]
        without = "" if declared.default is MISSING else declared.default
        value = given.get(declared.name) or environment.get(variable) or without
        if not rule.holds(value):
            state = f"is {shortened(value)}" if value else "is missing"
            way_out = f"give {option(declared.name)} or set {variable} to it, such as {rule.example}"
            raise SettingsError(f"{option(declared.name)} {state}, but has to be {rule.words}: {way_out}.")
        values[declared.name] = value
    return Run(**values)


# What each stage is given


def render(settings: Settings, run: Run) -> dict[str, Any]:
    """Give the content of each file by its name."""
    return {
        "workflow.json": workflow_parameters(settings, run),
        "workflow-input.json": workflow_input(settings, run),
        "verify.json": verify_parameters(settings, run),
        "verify-dev.json": verify_input(settings, run, "dev"),
        "verify-prd.json": verify_input(settings, run, "prd"),
        "governor.json": governor_parameters(settings, run),
        "registry.json": registry_parameters(settings, run),
        "deploy-model-dev.json": dev_parameters(settings, run),
        "deploy-model-prd.json": prd_parameters(settings, run),
        "monitor.json": monitor_parameters(settings, run),
        "dashboard.json": dashboard_parameters(settings, run),
    }


def workflow_parameters(settings: Settings, run: Run) -> dict[str, Any]:
    """Fill in the parameters of stacks/workflow.yml."""
    parameters = {
        "Project": settings.project.name,
        "ArtifactBucket": run.artifact_bucket,
        "KmsKeyArn": run.kms_key_arn,
        "NotificationTopicArn": run.notification_topic_arn,
        "SageMakerRoleArn": run.sagemaker_role_arn,
        "ProductionParameter": production_parameter(settings),
        "MlflowTrackingUri": settings.experiments.mlflow_tracking_uri,
        "SubnetIds": run.subnet_ids,
        "SecurityGroupIds": run.security_group_ids,
        "PermissionsBoundaryArn": run.permissions_boundary_arn,
    }
    return {"Parameters": parameters, "Tags": tags(settings, run, "workflow")}


def dev_parameters(settings: Settings, run: Run) -> dict[str, Any]:
    """Fill in the parameters of stacks/deploy-model-dev.yml; CloudFormation takes texts only."""
    parameters = model_parameters(settings, run, settings.stages.dev)
    return {"Parameters": parameters, "Tags": tags(settings, run, "dev")}


def model_parameters(settings: Settings, run: Run, endpoint: Endpoint) -> dict[str, str]:
    """Fill in what every stack with a model takes."""
    return {
        "Project": settings.project.name,
        "ExecutionId": run.execution_id,
        "ImageUri": run.image_uri,
        "ModelDataUrl": f"{model_folder(run)}/model.tar.gz",
        "SageMakerRoleArn": run.sagemaker_role_arn,
        "KmsKeyArn": run.kms_key_arn,
        "ArtifactBucket": run.artifact_bucket,
        "InstanceType": endpoint.instance_type,
        "InstanceCount": str(endpoint.instance_count),
        "CapturePercentage": str(endpoint.capture_percentage),
        "EncryptVolume": json.dumps(encrypts_volume(endpoint)),
        "SubnetIds": run.subnet_ids,
        "SecurityGroupIds": run.security_group_ids,
    }


def model_folder(run: Run) -> str:
    """Tell where the training copies its model to."""
    return f"s3://{run.artifact_bucket}/models/{run.execution_id}"


def prd_parameters(settings: Settings, run: Run) -> dict[str, Any]:
    """Fill in the parameters of stacks/deploy-model-prd.yml."""
    prd = settings.stages.prd
    parameters = {
        **model_parameters(settings, run, prd),
        **limits(prd),
        "NotificationTopicArn": run.notification_topic_arn,
        "PermissionsBoundaryArn": run.permissions_boundary_arn,
        "GoldenUrl": f"{model_folder(run)}/golden.json",
        "DeploymentHash": deployment_hash(settings, run),
        "DeploymentPreference": prd.deployment_preference,
        "MinCapacity": str(prd.min_capacity),
        "MaxCapacity": str(prd.max_capacity),
        "InvocationsPerInstance": str(prd.invocations_per_instance),
        "SyntheticRate": str(prd.synthetic_rate),
        **api_parameters(prd, run),
    }
    return {"Parameters": parameters, "Tags": tags(settings, run, "prd")}


def limits(prd: Production) -> dict[str, str]:
    """Fill in what an answer to a golden request has to keep."""
    return {
        "LatencyThresholdMs": str(prd.latency_threshold_ms),
        "GoldenTolerance": f"{prd.golden_tolerance:g}",
        "AnswerTolerance": f"{prd.answer_tolerance:g}",
    }


def api_parameters(prd: Production, run: Run) -> dict[str, str]:
    """Fill in the API's part of the parameters."""
    return {
        "AuthorizationType": prd.authorization,
        "ThrottlingRateLimit": str(prd.throttling_rate_limit),
        "ThrottlingBurstLimit": str(prd.throttling_burst_limit),
        "AccessLog": json.dumps(prd.access_log),
        "ApiPackage": "image" if run.lambda_image_uri else "zip",
        "LambdaImageUri": run.lambda_image_uri,
        "EfsAccessPointArn": run.efs_access_point_arn,
    }


def dashboard_parameters(settings: Settings, run: Run) -> dict[str, Any]:
    """Fill in the parameters of stacks/dashboard.yml."""
    body = dashboard(settings, run)
    most = DASHBOARD_PIECES * LONGEST_PARAMETER
    if len(body.encode()) > most:
        raise SettingsError(
            f"{DASHBOARD.name} takes {len(body.encode())} bytes, and the dashboard's parameters hold {most}:"
            " leave out a widget."
        )
    ends = [number * LONGEST_PARAMETER for number in range(DASHBOARD_PIECES + 1)]
    pieces = {f"Body{number}": body[ends[number - 1] : ends[number]] for number in range(1, len(ends))}
    return {"Parameters": {"Project": settings.project.name, **pieces}, "Tags": tags(settings, run, "prd")}


def dashboard(settings: Settings, run: Run) -> str:
    """Put the names of this deployment into stacks/dashboard.json; in ASCII, a character is a byte."""
    project, (_, partition, _, region, account, *_) = (
        settings.project.name,
        run.notification_topic_arn.split(":"),
    )
    names = {
        "Account": account,
        "Commit": run.commit,
        "DriftNamespace": settings.monitor.namespace,
        "EndpointName": f"{project}-prd-{run.execution_id}",
        "ExecutionId": run.execution_id,
        "FunctionName": f"{project}-api-image" if run.lambda_image_uri else f"{project}-api",
        "Partition": partition,
        "Project": project,
        "Region": region,
    }
    try:
        text = re.sub(r"\$\{(\w+)\}", lambda found: names[found[1]], DASHBOARD.read_text(encoding="utf-8"))
        return json.dumps(json.loads(text), separators=(",", ":"))
    except KeyError as error:
        raise SettingsError(
            f"{DASHBOARD.name} asks for ${{{error.args[0]}}}, but there are only {', '.join(names)}."
        ) from None
    except ValueError as error:
        raise SettingsError(f"{DASHBOARD.name} cannot be read as JSON: {error}.") from None


def deployment_hash(settings: Settings, run: Run) -> str:
    """Give a hexadecimal SHA-256, another for each deployment: so a new model alone makes a new version."""
    facts = [run.commit, run.data_version, run.execution_id, asdict(settings)]
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def verify_parameters(settings: Settings, run: Run) -> dict[str, Any]:
    """Fill in the parameters of stacks/verify.yml."""
    parameters = {
        "Project": settings.project.name,
        "ArtifactBucket": run.artifact_bucket,
        "KmsKeyArn": run.kms_key_arn,
        "NotificationTopicArn": run.notification_topic_arn,
        "ProductionParameter": production_parameter(settings),
        **limits(settings.stages.prd),
        "PermissionsBoundaryArn": run.permissions_boundary_arn,
    }
    return {"Parameters": parameters, "Tags": tags(settings, run, "verify")}


def production_parameter(settings: Settings) -> str:
    """Name the parameter that records which model serves production; no stack owns the parameter."""
    return f"/{settings.project.name}/production"


def verify_input(settings: Settings, run: Run, stage: str) -> dict[str, Any]:
    """Fill in the input of an execution of stacks/verify.asl.json."""
    return {
        "Stage": stage,
        "EndpointName": f"{settings.project.name}-{stage}-{run.execution_id}",
        "PipelineExecutionId": run.execution_id,
    }


def governor_parameters(settings: Settings, run: Run) -> dict[str, Any]:
    """Fill in the parameters of stacks/governor.yml."""
    governor = settings.governor
    parameters = {
        "Project": settings.project.name,
        "ArtifactBucket": run.artifact_bucket,
        "KmsKeyArn": run.kms_key_arn,
        "NotificationTopicArn": run.notification_topic_arn,
        "DataPrefix": settings.data.prefix,
        "Workload": settings.data.workload,
        "ProductionParameter": production_parameter(settings),
        "QuietSeconds": str(governor.quiet_seconds),
        "CooldownSeconds": str(governor.cooldown_seconds),
        "DailyCap": str(governor.daily_cap),
        "LookAgainSeconds": str(governor.look_again_seconds),
        "ScheduleExpression": governor.schedule,
        "ScheduleState": "ENABLED" if governor.schedule_enabled else "DISABLED",
        "PermissionsBoundaryArn": run.permissions_boundary_arn,
    }
    return {"Parameters": parameters, "Tags": tags(settings, run, "governor")}


def registry_parameters(settings: Settings, run: Run) -> dict[str, Any]:
    """Fill in the parameters of stacks/registry.yml."""
    parameters = {
        "Project": settings.project.name,
        "ArtifactBucket": run.artifact_bucket,
        "KmsKeyArn": run.kms_key_arn,
        "NotificationTopicArn": run.notification_topic_arn,
        "PermissionsBoundaryArn": run.permissions_boundary_arn,
    }
    return {"Parameters": parameters, "Tags": tags(settings, run, "registry")}


def monitor_parameters(settings: Settings, run: Run) -> dict[str, Any]:
    """Fill in the parameters of stacks/monitor.yml."""
    monitor, machine = settings.monitor, settings.stages.monitor
    parameters = {
        "Project": settings.project.name,
        "ExecutionId": run.execution_id,
        "ImageUri": run.image_uri,
        "ArtifactBucket": run.artifact_bucket,
        "KmsKeyArn": run.kms_key_arn,
        "NotificationTopicArn": run.notification_topic_arn,
        "SageMakerRoleArn": run.sagemaker_role_arn,
        "PermissionsBoundaryArn": run.permissions_boundary_arn,
        "DriftEngine": monitor.engine,
        "AnalyzerImageUri": run.analyzer_image_uri,
        "InstanceType": machine.instance_type,
        "InstanceCount": str(machine.instance_count),
        "VolumeSizeInGB": str(machine.volume_gb),
        "MaxRuntimeInSeconds": str(machine.max_runtime_seconds),
        "EncryptVolume": json.dumps(encrypts_volume(machine)),
        "SubnetIds": run.subnet_ids,
        "SecurityGroupIds": run.security_group_ids,
        "ScheduleExpression": monitor.schedule,
        "ScheduleState": "ENABLED" if monitor.enabled else "DISABLED",
        "WindowSeconds": str(monitor.window_seconds),
        "MetricNamespace": monitor.namespace,
        "DriftThreshold": f"{monitor.drift_threshold:g}",
        "MinimumRecords": str(monitor.minimum_records),
        "WatchedFeatures": ",".join(monitor.features),
        "GroundTruthPrefix": monitor.ground_truth_prefix,
        "GroundTruthDelaySeconds": str(monitor.ground_truth_delay_seconds),
    }
    return {"Parameters": parameters, "Tags": tags(settings, run, "monitor")}


def workflow_input(settings: Settings, run: Run) -> dict[str, Any]:
    """Fill in the input of an execution of stacks/workflow.asl.json."""
    data, stages = settings.data, settings.stages
    return {
        "PipelineExecutionId": run.execution_id,
        "Commit": run.commit,
        "DataVersion": run.data_version,
        "Reason": run.reason,
        "ImageUri": run.image_uri,
        "RequireNewData": False,
        "Data": {
            "Workload": data.workload,
            "Prefix": data.prefix,
            "IntervalDays": data.interval_days,
        },
        "Prepare": {
            **job(stages.prepare, stages.prepare.instance_count),
            "Environment": prepare_environment(data),
        },
        "Baseline": {**job(stages.baseline), "Threshold": f"{settings.monitor.drift_threshold:g}"},
        "Train": training(settings),
        "Evaluate": job(stages.evaluate),
        "Gate": quality_gate(settings.gate, run.reason),
        "Network": network(run),
        "Tags": [{"Key": key, "Value": value} for key, value in tags(settings, run, "train").items()],
    }


def quality_gate(gate: Gate, reason: str) -> dict[str, Any]:
    """Say what a model has to reach: alone, and beside the one in production, the champion."""
    return {
        "Metric": gate.metric,
        "Comparison": gate.comparison,
        "Threshold": gate.threshold,
        "Champion": "better" if reason in UNASKED else gate.on_request,
        "Margin": gate.margin,
    }


def job(stage: Job, instances: int = 1) -> dict[str, Any]:
    """Describe the machine of a job and when it is stopped."""
    machine = {
        "InstanceType": stage.instance_type,
        "InstanceCount": instances,
        "VolumeSizeInGB": stage.volume_gb,
    }
    return {
        "Cluster": machine,
        "EncryptVolume": encrypts_volume(stage),
        "StoppingCondition": {"MaxRuntimeInSeconds": stage.max_runtime_seconds},
    }


def network(run: Run) -> dict[str, Any]:
    """Name the network that SageMaker moves the data of jobs through; the jobs themselves reach none."""
    if not run.subnet_ids:
        return {}
    groups, subnets = run.security_group_ids.split(","), run.subnet_ids.split(",")
    return {"VpcConfig": {"SecurityGroupIds": groups, "Subnets": subnets}}


def training(settings: Settings) -> dict[str, Any]:
    """Describe the training job."""
    train = settings.stages.train
    described = job(train, train.instance_count)
    if train.spot:
        described["StoppingCondition"]["MaxWaitTimeInSeconds"] = train.max_wait_seconds
    own = {"model": settings.model.name, "seed": str(settings.data.seed)}
    return {**described, "Spot": train.spot, "HyperParameters": {**own, **settings.model.hyperparameters}}


def prepare_environment(data: Data) -> dict[str, str]:
    """Tell the container's `prepare` what to predict and how to split."""
    return {
        "WORKLOAD": data.workload,
        "IMAGE_SIZE": str(data.image_size),
        "TARGET": data.target,
        "TASK": data.task,
        "SEED": str(data.seed),
        "VALIDATION_FRACTION": str(data.validation_fraction),
        "TEST_FRACTION": str(data.test_fraction),
    }


def encrypts_volume(machine: Job | Endpoint) -> bool:
    """Tell whether the instances take a key for their volume."""
    return not OWN_DISKS.match(machine.instance_type)


def tags(settings: Settings, run: Run, stage: str) -> dict[str, str]:
    """Mark what a stage makes."""
    own = {"project": settings.project.name, "stage": stage, "commit": run.commit}
    return own | dict(tag.split("=", 1) for tag in run.tags.split(",") if tag)


# Files


def as_text(content: Any) -> str:
    """Write JSON, always the same way."""
    return json.dumps(content, indent=2) + "\n"


def write(folder: Path, rendered: Mapping[str, Any]) -> None:
    """Write the files; each is whole at any moment."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in rendered.items():
        fresh = folder / f"{name}.new"
        try:
            fresh.write_text(as_text(content), encoding="utf-8")
            fresh.replace(folder / name)
        except OSError as error:
            error.filename = error.filename or str(fresh)  # a write names no file
            fresh.unlink(missing_ok=True)
            raise


def changes(folder: Path, rendered: Mapping[str, Any]) -> Iterator[str]:
    """Say what writing the files would change, an entry a line."""
    for name, content in rendered.items():
        path = folder / name
        if not path.is_file():
            yield f"{path}: is not there"
        elif path.read_text(encoding="utf-8") != as_text(content):
            yield from (f"{path}: {line}" for line in differences(read_json(path), content))


def read_json(path: Path) -> Any:
    """Read a file that was rendered before; an empty object where it is not JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        return {}


def differences(old: Any, new: Any) -> list[str]:
    """List the entries that differ, or say that only the layout does."""
    before, after = dict(entries(old)), dict(entries(new))
    names = [*after, *(name for name in before if name not in after)]
    found = [
        f"{name}: {before.get(name, 'nothing')} -> {after.get(name, 'nothing')}"
        for name in names
        if before.get(name) != after.get(name)
    ]
    return found or ["only its layout differs"]


def entries(content: Any, where: str = "") -> Iterator[tuple[str, str]]:
    """Give every value in a JSON document with its path."""
    if isinstance(content, dict | list) and content:
        pairs = content.items() if isinstance(content, dict) else enumerate(content)
        for key, value in pairs:
            yield from entries(value, dotted(where, str(key)))
    else:
        yield where, json.dumps(content)


# The command


def parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    command = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    for declared in fields(Run):
        rule, variable = declared.metadata["rule"], declared.metadata["environment"]
        command.add_argument(
            option(declared.name), metavar="TEXT", help=f"{rule.words}; else from {variable}"
        )
    command.add_argument("--project-file", type=Path, default=ROOT / "project.toml", metavar="FILE")
    command.add_argument(
        "--variables-file",
        type=Path,
        metavar="FILE",
        help="JSON of the execution's variables, for what is given neither here nor in the environment",
    )
    command.add_argument("--output-dir", type=Path, default=ROOT / "build", metavar="FOLDER")
    command.add_argument(
        "--check", action="store_true", help="write nothing, say what would change, and end 1 if so"
    )
    return command


def main(arguments: Sequence[str] | None = None) -> int:
    """Render the files; 0 when that is done, 1 when a check found changes, 2 when something was refused."""
    given = parser().parse_args(arguments)
    try:
        return render_or_check(given)
    except OSError as error:
        return refuse(f"{error.strerror or error}: {error.filename or given.output_dir}.")


def render_or_check(given: argparse.Namespace) -> int:
    """Carry out the command and give its exit code."""
    try:
        set_here = {name: value for name, value in os.environ.items() if value}
        run = read_run(vars(given), read_variables(given.variables_file) | set_here)
    except SettingsError as error:
        return refuse(str(error))
    try:
        settings = read_settings(given.project_file)
        check_run(settings, run)
        rendered = render(settings, run)
    except SettingsError as error:
        return refuse(f"{given.project_file}: {error}")
    if not given.check:
        write(given.output_dir, rendered)
        return 0
    found = list(changes(given.output_dir, rendered))
    sys.stdout.write("".join(f"{line}\n" for line in found))
    return 1 if found else 0


def refuse(reason: str) -> int:
    """Say why on standard error."""
    sys.stderr.write(f"error: {reason}\n")
    return 2


if __name__ == "__main__":
    sys.exit(main())
