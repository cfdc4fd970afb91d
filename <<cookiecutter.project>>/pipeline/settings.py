"""The sections of project.toml: each entry with its rule, default and the template parameter it fills."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pipeline.rules import (
    choice,
    column_kinds,
    entry,
    flag,
    fraction,
    instance_type,
    integer,
    number,
    optional_column,
    text,
    threshold,
    watched_features,
    words,
)
from pipeline.schedules import cron, schedule

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# Three jobs of that length stay within the state machine's TimeoutSeconds.
MAX_JOB_SECONDS = 4 * 24 * 60 * 60
# The folders of the artifact bucket that the pipeline writes.
RESERVED_PREFIXES = ("runs/", "models/", "capture/", "monitoring/", "packages/", "source/")
NOT_RESERVED = f"(?!{'|'.join(RESERVED_PREFIXES)})"
IMAGE_SIZES = (32, *range(16, 32, 8), *range(40, 257, 8))  # the default first, as messages name it
SCHEDULE_STATES = {True: "ENABLED", False: "DISABLED"}
# These instances have NVMe disks, encrypted by the hardware; SageMaker refuses a volume key for them.
NVME_INSTANCES = re.compile(
    r"ml\.([a-z]+\d+[a-z]*d[a-z]*|g[5-9][a-z]*|p[5-9][a-z]*|trn\d+[a-z]*|i\d[a-z]*)\."
)
DEPLOYMENT_PREFERENCES = (  # CodeDeploy's for Lambda, by SAM's names; SAM itself checks none
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


@dataclass(frozen=True)
class Project:
    """The section [project]."""

    name: str = entry(
        text(
            r"(?=.{2,16}\Z)(?!aws|ssm|sthree-|amzn-)[a-z](-?[a-z0-9])+",
            "2 to 16 lower-case letters, digits and single hyphens,"
            " without aws, ssm, sthree- or amzn- in front",
            "house-prices",
        ),
        parameter="Project",
    )
    title: str = entry(text(r"(?s).*", "a text", "House Prices"))
    description: str = entry(text(r"(?s).*", "a text", "Predicts house prices"))
    region: str = entry(text(r"[a-z]{2}(-[a-z]+){1,2}-\d{1,2}", "an AWS region", "eu-central-1"))


@dataclass(frozen=True)
class Data:
    """The section [data]."""

    prefix: str = entry(
        text(
            rf"{NOT_RESERVED}([A-Za-z0-9_!.*'()-]+/)+",
            "a folder that ends in / and is none of those that the pipeline writes:"
            f" {', '.join(RESERVED_PREFIXES)}",
            "raw/",
        ),
        parameter="DataPrefix",
    )
    target: str = entry(
        text(r"(?s)(?=.*\S).{1,256}", "the name of a column, of 1 to 256 characters", "price")
    )
    task: str = entry(choice("auto", "regression", "classification"), default="auto")
    workload: str = entry(choice("tabular", "image"), default="tabular", parameter="Workload")
    image_size: int = entry(choice(*IMAGE_SIZES), default=32)
    interval_days: int = entry(integer(0, 36500), default=0)
    validation_fraction: float = entry(fraction(), default=0.15)
    test_fraction: float = entry(fraction(), default=0.2)
    seed: int = entry(integer(0, 2**32 - 1), default=42)
    group: str = entry(optional_column(), default="")
    time: str = entry(optional_column(), default="")
    kinds: Mapping[str, str] = entry(column_kinds(), default=())
    missing_words: Sequence[str] = entry(words(), default=())
    kind_share: float = entry(number(0.5, 1), default=0.95)
    max_missing_target: float = entry(number(0, 0.9), default=0.05)
    max_skipped: float = entry(number(0, 1), default=0.1)
    delimiter: str = entry(choice("auto", "comma", "semicolon", "tab", "pipe"), default="auto")
    decimal: str = entry(choice("auto", "point", "comma"), default="auto")
    date_order: str = entry(choice("auto", "month-first", "day-first"), default="auto")


@dataclass(frozen=True)
class Model:
    """The section [model]."""

    name: str = entry(
        text(r"[a-z][a-z0-9_]*", "the name of a file in container/models, without .py", "gradient_boosting")
    )
    refit: bool = entry(flag(), default=True)
    hyperparameters: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Gate:
    """The section [gate]."""

    metric: str = entry(
        text(r"[a-z][a-z0-9_]*", "the name of a metric of the evaluation, or auto", "rmse"), default="auto"
    )
    comparison: str = entry(choice("auto", "greater", "less"), default="auto")
    threshold: float | str = entry(threshold(), default="naive")
    margin: float = entry(number(0, 1e15), default=0.0)
    on_request: str = entry(choice("not_worse", "better", "any"), default="not_worse")


@dataclass(frozen=True)
class Experiments:
    """The section [experiments]."""

    mlflow_tracking_uri: str = entry(
        text(
            r"(https?://[A-Za-z0-9.-]+(:\d{1,5})?(/[A-Za-z0-9._~/-]*)?)?",
            "the http or https address of a tracking server, without a password in it, or empty",
            "http://mlflow.internal:5000",
        ),
        default="",
        parameter="MlflowTrackingUri",
    )


@dataclass(frozen=True)
class Job:
    """The sections [stages.baseline] and [stages.evaluate]."""

    instance_type: str = entry(instance_type(), parameter="InstanceType")
    volume_gb: int = entry(integer(1, 16384), parameter="VolumeSizeInGB")
    max_runtime_seconds: int = entry(integer(1, MAX_JOB_SECONDS), parameter="MaxRuntimeInSeconds")


@dataclass(frozen=True)
class MultiInstanceJob(Job):
    """The sections [stages.prepare] and [stages.monitor], and a part of [stages.train]."""

    instance_count: int = entry(integer(1, 20), default=1, parameter="InstanceCount")


@dataclass(frozen=True)
class Training(MultiInstanceJob):
    """The section [stages.train]."""

    spot: bool = entry(flag(), default=False)
    max_wait_seconds: int = entry(integer(1, MAX_JOB_SECONDS), default=MAX_JOB_SECONDS)


@dataclass(frozen=True)
class Endpoint:
    """The section [stages.dev], and a part of [stages.prd]."""

    instance_type: str = entry(instance_type(), parameter="InstanceType")
    instance_count: int = entry(integer(1, 100), parameter="InstanceCount")
    capture_percentage: int = entry(integer(0, 100), default=100, parameter="CapturePercentage")


@dataclass(frozen=True)
class Production(Endpoint):
    """The section [stages.prd]."""

    min_capacity: int = entry(integer(1, 1000), default=1, parameter="MinCapacity")
    max_capacity: int = entry(integer(1, 1000), default=4, parameter="MaxCapacity")
    invocations_per_instance: int = entry(integer(1, 10**6), default=750, parameter="InvocationsPerInstance")
    deployment_preference: str = entry(
        choice(*DEPLOYMENT_PREFERENCES), default=DEPLOYMENT_PREFERENCES[0], parameter="DeploymentPreference"
    )
    latency_threshold_ms: int = entry(integer(1, 29_000), default=1000, parameter="LatencyThresholdMs")
    golden_tolerance: float = entry(number(0, 1000), default=0.1, parameter="GoldenTolerance")
    answer_tolerance: float = entry(number(1e-12, 1), default=1e-9, parameter="AnswerTolerance")
    synthetic_rate: int = entry(integer(0, 600), default=60, parameter="SyntheticRate")
    authorization: str = entry(choice("AWS_IAM", "NONE"), default="AWS_IAM", parameter="AuthorizationType")
    throttling_rate_limit: int = entry(integer(1, 10_000), default=100, parameter="ThrottlingRateLimit")
    throttling_burst_limit: int = entry(integer(1, 5_000), default=200, parameter="ThrottlingBurstLimit")
    access_log: bool = entry(flag(), default=False, parameter="AccessLog")


@dataclass(frozen=True)
class Stages:
    """The sections [stages.…]."""

    prepare: MultiInstanceJob = field(metadata={"section": MultiInstanceJob})
    baseline: Job = field(metadata={"section": Job})
    train: Training = field(metadata={"section": Training})
    evaluate: Job = field(metadata={"section": Job})
    dev: Endpoint = field(metadata={"section": Endpoint})
    prd: Production = field(metadata={"section": Production})
    monitor: MultiInstanceJob = field(metadata={"section": MultiInstanceJob})


@dataclass(frozen=True)
class Monitor:
    """The section [monitor]."""

    engine: str = entry(choice("container", "model-monitor"), default="container", parameter="DriftEngine")
    schedule: str = entry(cron(), default="cron(20 * * * ? *)", parameter="ScheduleExpression")
    enabled: bool = entry(flag(), default=True, parameter="ScheduleState", texts=SCHEDULE_STATES)
    window_seconds: int = entry(
        choice(3600, 300, 600, 900, 1800, 7200, 10_800, 14_400, 21_600, 43_200, 86_400),
        default=3600,
        parameter="WindowSeconds",
    )
    namespace: str = entry(
        text(
            r"[A-Za-z0-9._/#:-]{1,255}",
            "a namespace of CloudWatch",
            "aws/sagemaker/Endpoints/data-metrics",
        ),
        default="aws/sagemaker/Endpoints/data-metrics",
        parameter="MetricNamespace",
    )
    drift_threshold: float = entry(number(0, 1), default=0.1, parameter="DriftThreshold")
    minimum_records: int = entry(integer(1, 10**9), default=500, parameter="MinimumRecords")
    max_unusable: float = entry(number(0, 1), default=0.05, parameter="MaxUnusable")
    features: Sequence[str] = entry(watched_features(), default=(), parameter="WatchedFeatures")
    ground_truth_prefix: str = entry(
        text(
            rf"(?=.{{0,200}}$)({NOT_RESERVED}([A-Za-z0-9_.-]+/)+)?",
            "empty, or a folder that ends in / and is none of those that the pipeline writes",
            "ground-truth/",
        ),
        default="",
        parameter="GroundTruthPrefix",
    )
    ground_truth_delay_seconds: int = entry(
        integer(0, 30 * 86_400), default=3600, parameter="GroundTruthDelaySeconds"
    )


@dataclass(frozen=True)
class Governor:
    """The section [governor]."""

    quiet_seconds: int = entry(integer(1, 86_400), default=300, parameter="QuietSeconds")
    cooldown_seconds: int = entry(integer(0, 30 * 86_400), default=3600, parameter="CooldownSeconds")
    daily_cap: int = entry(integer(1, 100), default=4, parameter="DailyCap")
    look_again_seconds: int = entry(integer(60, 86_400), default=3600, parameter="LookAgainSeconds")
    schedule: str = entry(schedule(), default="cron(0 12 1 * ? *)", parameter="ScheduleExpression")
    schedule_enabled: bool = entry(flag(), default=False, parameter="ScheduleState", texts=SCHEDULE_STATES)


@dataclass(frozen=True)
class Settings:
    """All sections of project.toml."""

    project: Project = field(metadata={"section": Project})
    data: Data = field(metadata={"section": Data})
    model: Model = field(metadata={"section": Model})
    gate: Gate = field(metadata={"section": Gate})
    experiments: Experiments = field(metadata={"section": Experiments})
    stages: Stages = field(metadata={"section": Stages})
    monitor: Monitor = field(metadata={"section": Monitor})
    governor: Governor = field(metadata={"section": Governor})


def encrypts_volume(machine: Job | Endpoint) -> bool:
    """Tell whether SageMaker takes a key for the volumes of the instances."""
    return not NVME_INSTANCES.match(machine.instance_type)
