"""ministack, and every private name of it that the local cloud uses: they stand here and nowhere else.

They are checked when the cloud starts, because ministack promises none of them.
"""

from __future__ import annotations

import contextlib
import contextvars
import importlib
import importlib.metadata
import json
import threading
import uuid
from contextvars import ContextVar
from functools import partial
from typing import TYPE_CHECKING, Any

from localcloud.core import account, protocol, sdk
from localcloud.core.errors import ServiceError, TaskError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from localcloud.core.service import Json, Resource, Service, Target, Task

PINNED = "1.5.33"
NAMES = {
    "ministack.app": ("app", "SERVICE_HANDLERS", "AUTH"),
    "ministack.core.iam_evaluator": ("find_iam_access_key_account",),
    "ministack.core.responses": ("request_scope",),
    "ministack.services.s3": ("_bucket_tags", "_buckets", "_get_object_data", "_put_object"),
    "ministack.services.cloudwatch": (
        "_alarms",
        "_dims_key",
        "_dispatch_alarm_actions",
        "_evaluate_alarm",
        "_evaluate_all_alarms",
        "_evaluate_parent_alarms",
        "_metrics",
        "_put_metric_alarm",
        "_put_metric_data",
        "_record_history",
    ),
    "ministack.services.eventbridge": (
        "_SCHEDULER_TICK_INTERVAL",
        "_apply_input_transformer",
        "_cron_next_fire",
        "_invoke_target",
        "_parse_rate_seconds",
        "_pattern_event_view",
        "_put_events",
    ),
    "ministack.services.scheduler": ("_SCHEDULE_TICK_INTERVAL", "_at_time_epoch"),
    "ministack.services.apigateway_v1": ("_call_lambda_raw", "_lambda_proxy_response"),
    "ministack.services.lambda_svc": (
        "_effective_func_record_for_qualifier",
        "_emit_lambda_metrics",
        "_execute_function",
        "_execute_function_warm",
        "_functions",
        "_get_func_record_for_ref",
        "_invoke",
        "_update_alias",
        "execution_credentials",
        "invoke_async_with_retry",
    ),
    "ministack.core.lambda_runtime": (
        "_PYTHON_WORKER_SCRIPT",
        "Worker",
        "execution_credentials",
        "kill_workers",
    ),
    "ministack.services.sns": ("_fanout",),
    "ministack.services.sts": ("_sessions",),
    "ministack.services.stepfunctions": (
        "_AWS_SDK_SERVICE_MAP",
        "_apply_jsonata_arguments",
        "_apply_jsonata_output",
        "_apply_output_path",
        "_apply_state_assign",
        "_run_parallel_branches",
        "_state_query_language",
        "_AWS_SDK_ERROR_PREFIX",
        "_prefix_sdk_error",
        "_ExecutionError",
        "_SERVICE_DISPATCH",
        "_execute_task",
        "_invoke_resource_with_timeout",
        "_register_sfn_jsonata_functions",
        "_run_sub_machine",
        "_sfn_jsonata_to_millis",
        "_state_machines",
    ),
    "ministack.services.cloudformation": ("_stacks",),
    "ministack.services.cloudformation.changesets": (
        "_apply_transforms",
        "_deploy_stack_async",
        "_evaluate_conditions",
        "_resolve_props_for_diff",
    ),
    "ministack.services.cloudformation.custom_resource": ("_pending",),
    "ministack.services.cloudformation.engine": (
        "CfnLoader",
        "_construct_cfn_tag",
        "_NO_VALUE",
        "_evaluate_conditions",
        "_extract_deps",
        "_resolve_refs",
        "_transform_parameters",
    ),
    "ministack.services.cloudformation.handlers": (
        "_apply_transforms",
        "_capabilities_enforced",
        "_deploy_stack_async",
        "_evaluate_conditions",
    ),
    "ministack.services.cloudformation.helpers": ("_resolve_document",),
    "ministack.services.cloudformation.provisioners": (
        "_RESOURCE_HANDLERS",
        "_STACK_TAG_PROPERTY",
        "_cw_metric_alarm_record",
    ),
    "ministack.services.cloudformation.stacks": ("_evaluate_conditions", "_runs_on_worker_thread"),
    "ministack.services.cloudformation.wait_conditions": ("has_handle",),
}


class MissingNameError(Exception):
    """ministack lacks a private name that the local cloud uses."""


def check(names: Mapping[str, tuple[str, ...]] = NAMES) -> None:
    """Raise MissingNameError naming each private name that the installed ministack lacks."""
    missing = []
    for module, attributes in names.items():
        try:
            loaded = importlib.import_module(module)
        except ImportError:
            missing.append(module)
        else:
            missing += [f"{module}.{attribute}" for attribute in attributes if not hasattr(loaded, attribute)]
    if missing:
        installed = importlib.metadata.version("ministack")
        raise MissingNameError(
            f"ministack {installed} lacks {', '.join(missing)}, which the local cloud uses; "
            f"it is made for ministack {PINNED}: install that version"
        )


def name(module: str, attribute: str) -> Any:
    """Return a private name, which must be in the list."""
    if attribute not in NAMES[module]:
        raise MissingNameError(f"{module}.{attribute} is used but not listed")
    return getattr(importlib.import_module(module), attribute)


def replace(module: str, attribute: str, value: Any) -> None:
    """Put something else under a private name, which must be in the list."""
    name(module, attribute)
    setattr(importlib.import_module(module), attribute, value)


# ministack reads S3's XML without types: sizes would be text, truth "true", and putObject isn't there. Its
# state machines know neither CloudFormation nor Scheduler.
BY_BOTOCORE = ("cloudformation", "s3", "scheduler")
# What `aws-sdk:` tasks call the services whose names botocore has otherwise.
SDK_NAMES = {"cloudwatchlogs": "logs", "eventbridge": "events", "rdsdata": "rds-data", "sfn": "stepfunctions"}
STEPS = "ministack.services.stepfunctions"
S3 = "ministack.services.s3"
PROVISIONERS = "ministack.services.cloudformation.provisioners"
STACKS = "ministack.services.cloudformation.stacks"
HANDLERS = "ministack.services.cloudformation.handlers"
EVENTS = "ministack.services.eventbridge"
EXECUTION: ContextVar[Execution] = ContextVar("execution")
# The role that an operation is called in, where a state machine calls it.
CALLER: ContextVar[str] = ContextVar("caller")
# Resource types whose handlers wait, and so must have a thread of their own.
WAITING: set[str] = set()
FAILURES: ContextVar[tuple[threading.Event, ...]] = ContextVar("failures", default=())


class Execution:
    """The execution that a task belongs to, as the task may ask about it."""

    def __init__(self, record: Mapping[str, Any], failures: tuple[threading.Event, ...] = ()) -> None:
        """Keep ministack's record, and what tells of failures in the branches beside."""
        self._record, self._failures = record, failures
        self.timed_out = False

    @property
    def caller(self) -> str:
        """The role of the state machine, as it is assumed for this execution; empty when that is gone."""
        machine = name(STEPS, "_state_machines").get(self._record.get("stateMachineArn")) or {}
        role = machine.get("roleArn", "").rpartition("/")[2]
        session = f"assumed-role/{role}/{self._record.get('name')}"
        return f"arn:aws:sts::{account.ACCOUNT}:{session}" if role else ""

    def abandoned(self) -> bool:
        """Whether the execution was stopped, the state timed out, or a branch beside this one failed."""
        stopped = self._record.get("status", "RUNNING") != "RUNNING"
        return self.timed_out or stopped or any(failure.is_set() for failure in self._failures)


def ended() -> SystemExit:
    """Return what ends the thread of a stopped execution, which must be neither caught nor failed."""
    return SystemExit()


def install(services: tuple[Service, ...], connect: Callable[[str], Any]) -> None:
    """Make the services known to ministack's CloudFormation and Step Functions, and mend what they need.

    `connect` returns a boto3 client of a service of this cloud.
    """
    check()
    if name("ministack.app", "AUTH"):
        raise MissingNameError("ministack's AUTH is on; the local cloud verifies no signature")
    for service in services:
        for type_name, resource in service.resources.items():
            _add_resource(type_name, resource)
        if service.tasks:
            _add_tasks(f"arn:aws:states:::{service.name}:", service.tasks.get)
        if service.operations:
            _add_sdk(service)
        service.install()
    for sdk_service in BY_BOTOCORE:
        _add_tasks(
            f"arn:aws:states:::aws-sdk:{sdk_service}:", sdk.tasks(sdk_service, partial(connect, sdk_service))
        )
    _name_errors_of_sdk()
    _follow_executions()
    _complete_parallel()
    _run_waiting_resources_on_threads()
    _add_targets({service.name: service.target for service in services if service.target})
    _ask_for_capabilities()


def caller() -> str:
    """Return who calls the present operation; empty for whoever is not a state machine."""
    return CALLER.get("")


def application() -> Any:
    """Return ministack's ASGI application."""
    return name("ministack.app", "app")


@contextlib.contextmanager
def scope(region: str) -> Iterator[None]:
    """Act for the one account and the project's region; threads of ours have no request to take them from."""
    with name("ministack.core.responses", "request_scope")(account.ACCOUNT, region):
        yield


def issued(identifier: str) -> bool:
    """Whether an access key's id is of a session of STS or of a user of IAM, both of this cloud."""
    if identifier in name("ministack.services.sts", "_sessions"):
        return True
    return name("ministack.core.iam_evaluator", "find_iam_access_key_account")(identifier) is not None


def awaited(path: str) -> bool:
    """Whether a path is one that CloudFormation gave out to be answered at, its token as the credential.

    On AWS these are presigned URLs: of a custom resource's response, and of a wait condition's signal.
    """
    place, _, token = path.rpartition("/")
    if place == "/_ministack/cfn-response":
        return token in name("ministack.services.cloudformation.custom_resource", "_pending")
    if place == "/_ministack/cfn-signal":
        return bool(name("ministack.services.cloudformation.wait_conditions", "has_handle")(token))
    return False


def object_keys(bucket: str) -> dict[str, int] | None:
    """Return the keys of a bucket with the objects' sizes, or None when there is no such bucket."""
    found = name(S3, "_buckets").get(bucket)
    return None if found is None else {key: value["size"] for key, value in found["objects"].copy().items()}


def get_object(bucket: str, key: str) -> bytes | None:
    """Return an object's content, or None when it isn't there."""
    content: bytes | None = name(S3, "_get_object_data")(bucket, key)
    return content


def put_object(bucket: str, key: str, content: bytes, headers: Mapping[str, str]) -> None:
    """Store an object whole, with its event; raise ServiceError when S3 refuses it."""
    status, _, body = name(S3, "_put_object")(bucket, key, content, dict(headers))
    if status >= 300:  # noqa: PLR2004
        raise ServiceError(
            "S3Error", f"s3://{bucket}/{key} can't be written: {body.decode(errors='replace')}"
        )


def put_metrics(namespace: str, data: list[Json]) -> None:
    """Store metrics, given as PutMetricData takes them."""
    name("ministack.services.cloudwatch", "_put_metric_data")(
        {}, {"Namespace": namespace, "MetricData": data}, is_cbor=False, is_json=True
    )


def put_event(source: str, detail_type: str, detail: Json, resources: list[str]) -> None:
    """Send an event as the service `source` of AWS."""
    entry = {
        "Source": source,
        "DetailType": detail_type,
        "Detail": json.dumps(detail),
        "Resources": resources,
    }
    name("ministack.services.eventbridge", "_put_events")({"Entries": [entry]}, allow_aws_source=True)


def publish(topic: str, message: str, subject: str) -> None:
    """Publish to a topic; one that is gone is no fault of who tells it something."""
    name("ministack.services.sns", "_fanout")(topic, str(uuid.uuid4()), message, subject)


def _add_resource(type_name: str, resource: Resource) -> None:
    def create(logical_id: str, properties: Json, stack: str) -> tuple[str, Json]:
        return resource.create(properties, f"{stack}-{logical_id}")

    def update(physical_id: str, old: Json, new: Json, stack: str, logical_id: str) -> tuple[str, Json]:
        return resource.update(physical_id, old, new, f"{stack}-{logical_id}")

    handlers = {"create": create, "update": update, "update_with_logical_id": True, "delete": resource.delete}
    WAITING.add(type_name)
    name(PROVISIONERS, "_RESOURCE_HANDLERS")[type_name] = handlers
    name(PROVISIONERS, "_STACK_TAG_PROPERTY")[type_name] = ("Tags", "list")


def _run_waiting_resources_on_threads() -> None:
    original: Callable[[str], bool] = name(STACKS, "_runs_on_worker_thread")
    # A handler that waits on ministack's event loop would stop everything that it could wait for.
    vars(importlib.import_module(STACKS))["_runs_on_worker_thread"] = lambda resource_type: (
        resource_type in WAITING or original(resource_type)
    )


def _ask_for_capabilities() -> None:
    """Refuse a stack that makes roles or is transformed, unless the request acknowledges it, as AWS does."""
    name(HANDLERS, "_capabilities_enforced")
    vars(importlib.import_module(HANDLERS))["_capabilities_enforced"] = lambda: True


def _add_targets(targets: Mapping[str, Target]) -> None:
    """Let EventBridge's rules have targets of our services."""
    original = name(EVENTS, "_invoke_target")

    def invoke(target: Json, event: Json, rule: Json, view: Any = None) -> None:
        arn = target.get("Arn", "")
        reached = targets.get(arn.split(":")[2]) if arn.count(":") > 2 else None  # noqa: PLR2004
        if reached is None:
            original(target, event, rule, view)
            return
        given = _target_input(target, event, rule, view)
        # In a thread: what is reached may call this very server.
        act = in_context(partial(reached, arn, rule.get("Arn", ""), given))
        threading.Thread(target=act, name=f"target {arn}", daemon=True).start()

    vars(importlib.import_module(EVENTS))["_invoke_target"] = invoke


def _target_input(target: Json, event: Json, rule: Json, view: Any) -> str | None:
    """Return the input that a rule itself gives to its target, or None where that is the event."""
    if transformer := target.get("InputTransformer"):
        seen = view or name(EVENTS, "_pattern_event_view")(event)
        return str(name(EVENTS, "_apply_input_transformer")(transformer, rule, seen))
    return target.get("Input")


def _add_tasks(beginning: str, find: Callable[[str], Task | None]) -> None:
    """Answer the tasks whose resource begins so by what `find` returns for the rest of it."""
    error = name(STEPS, "_ExecutionError")

    def perform(resource: str, request: Json) -> Json:
        task = find(resource.removeprefix(beginning))
        if task is None:
            raise error("States.Runtime", f"{resource} is not part of the local cloud")
        try:
            return task(request or {}, EXECUTION.get())
        except TaskError as failure:
            raise error(failure.error, failure.cause) from None

    name(STEPS, "_SERVICE_DISPATCH")[beginning] = perform


def _add_sdk(service: Service) -> None:
    """Let state machines call the service's operations as `aws-sdk:` tasks."""

    async def answer(caller: str, path: str, headers: Mapping[str, str], body: bytes) -> Any:
        CALLER.set(caller)
        status, _, answered = await protocol.json_route(service)(path, headers, body)
        return status, {"Content-Type": "application/x-amz-json-1.1"}, answered

    def handle(method: str, path: str, headers: Mapping[str, str], body: bytes, query: Json) -> Any:  # noqa: ARG001
        # Only here, in the execution's own thread, is it known who calls.
        execution = EXECUTION.get(None)
        return answer(execution.caller if execution else "", path, headers, body)

    prefix = protocol.target_prefix(service.name)
    name("ministack.app", "SERVICE_HANDLERS")[service.name] = handle
    name(STEPS, "_AWS_SDK_SERVICE_MAP")[service.name] = {"target_prefix": prefix, "protocol": "json"}
    name(STEPS, "_AWS_SDK_ERROR_PREFIX")[service.name] = protocol.sdk_name(service.name)


def _name_errors_of_sdk() -> None:
    """Give errors of `aws-sdk:` tasks the names of the Java SDK instead of the codes that ministack has.

    A state machine on AWS sees `Ssm.ParameterNotFoundException`; the service's code is `ParameterNotFound`.
    """
    prefixed = name(STEPS, "_prefix_sdk_error")

    def named(service: str, code: str) -> str:
        known = protocol.sdk_error_names(SDK_NAMES.get(service, service))
        return str(prefixed(service, known.get(code, code)))

    replace(STEPS, "_prefix_sdk_error", named)


def _follow_executions() -> None:
    """Let tasks know their execution, so that a stopped or timed out one ends what it waits for."""
    steps = importlib.import_module(STEPS)
    execute, run_timed = name(STEPS, "_execute_task"), name(STEPS, "_invoke_resource_with_timeout")
    run_branch = name(STEPS, "_run_sub_machine")
    failed = name(STEPS, "_ExecutionError")

    def execute_task(state: Json, raw_input: Any, execution: Json, context: Json) -> Any:
        following = Execution(execution or {}, FAILURES.get())
        token = EXECUTION.set(following)
        try:
            if following.abandoned():
                raise ended()
            return execute(state, raw_input, execution, context)
        finally:
            EXECUTION.reset(token)

    def run_with_timeout(resource: str, request: Any, timeout: float) -> Any:
        following = EXECUTION.get()
        try:
            return run_timed(resource, request, timeout)
        except failed as error:
            # ministack leaves the task's thread running; on AWS the job is stopped.
            following.timed_out = error.error == "States.Timeout"
            raise

    def run_sub_machine(states: Json, start: str, given: Any, execution: Json, context: Json) -> Any:
        # Parallel branches share the context: they would read one another's `$states.context.State`, and what
        # they assign would be seen outside.
        own = {**context, "variables": {**context.get("variables", {})}}
        try:
            return run_branch(states, start, given, execution, own)
        except failed:
            # On AWS the other branches end with the first that fails.
            for failure in FAILURES.get()[-1:]:
                failure.set()
            raise

    vars(steps).update(
        _execute_task=execute_task,
        _invoke_resource_with_timeout=run_with_timeout,
        _run_sub_machine=run_sub_machine,
    )


def _complete_parallel() -> None:
    """Give Parallel states what ministack leaves out: one failure for all, and JSONata's fields."""
    steps = importlib.import_module(STEPS)
    run, language = name(STEPS, "_run_parallel_branches"), name(STEPS, "_state_query_language")
    arguments, output = name(STEPS, "_apply_jsonata_arguments"), name(STEPS, "_apply_jsonata_output")
    assign = name(STEPS, "_apply_state_assign")

    def run_branches(state: Json, raw_input: Any, execution: Json, context: Json) -> Any:
        token = FAILURES.set((*FAILURES.get(), threading.Event()))
        try:
            if language(state, context) != "JSONata":
                return run(state, raw_input, execution, context)
            result, following = run(state, arguments(state, raw_input, context), execution, context)
        finally:
            FAILURES.reset(token)
        shown = output(state, raw_input, context, result=result, default=result)
        assign(state, raw_input, context, result=result)
        return shown, following

    vars(steps)["_run_parallel_branches"] = run_branches


def in_context(function: Callable[[], Any]) -> Callable[[], Any]:
    """Return the function bound to the present account and region, for a thread."""
    context = contextvars.copy_context()
    return lambda: context.run(function)
