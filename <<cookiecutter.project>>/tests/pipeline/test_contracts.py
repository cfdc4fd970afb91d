"""The contracts of the rendered files with the templates, the state machine and the container."""

import copy
import dataclasses
import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from delivery.templates.read import expressions, machines_in, read_template

from container.data import split
from pipeline import checks
from pipeline.checks import check_consistency
from pipeline.inputs import AUTOMATIC_REASONS
from pipeline.paths import IMAGES
from pipeline.reader import read_section, read_settings
from pipeline.run import Run
from pipeline.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
STACKS = {f"{path.stem}.json": path.name for path in (ROOT / "stacks").glob("*.yml")}
MACHINE = json.loads((ROOT / "stacks" / "workflow.asl.json").read_text(encoding="utf-8"))
MISSING = object()
SECTIONS = {"Prepare", "Baseline", "Train", "Evaluate", "Gate", "Data"}


TEMPLATES = {parameters: read_template(ROOT / "stacks" / name) for parameters, name in STACKS.items()}
Content = dict[str, Any]


def parameter_faults(rendered: Content, templates: dict[str, Content]) -> Iterator[str]:
    """List the parameters that only a template or a rendered file has, and the values that are refused."""
    for file, template in templates.items():
        declared, given = template["Parameters"], rendered[file]["Parameters"]
        yield from (f"{file}: the template has no {name}" for name in sorted(given.keys() - declared.keys()))
        yield from (f"{file}: nobody gives {name}" for name in sorted(declared.keys() - given.keys()))
        for name in sorted(given.keys() & declared.keys()):
            if not accepted(declared[name], given[name]):
                yield f"{file}: {name} is {given[name]!r}, which the template refuses"


def accepted(rules: Content, value: Any) -> bool:
    """Return whether a parameter's rules accept a value, as CloudFormation checks it during a deployment."""
    if not isinstance(value, str) or not re.fullmatch(rules.get("AllowedPattern", "(?s).*"), value):
        return False
    if value not in map(str, rules.get("AllowedValues", [value])):
        return False
    if rules["Type"] == "Number":
        return bool(rules.get("MinValue", 0) <= float(value) <= rules.get("MaxValue", float("inf")))
    return bool(rules.get("MinLength", 0) <= len(value) <= rules.get("MaxLength", 4096))


def test_rendered_parameters_match_the_templates(rendered: Content) -> None:
    """CloudFormation refuses unknown parameters, missing values, and values against a rule."""
    assert list(parameter_faults(rendered, TEMPLATES)) == []


@pytest.mark.parametrize(
    ("file", "path", "value", "words"),
    [
        ("verify.json", ["Extra"], {"Type": "String"}, "verify.json: nobody gives Extra"),
        ("workflow.json", ["KmsKeyArn"], None, "workflow.json: the template has no KmsKeyArn"),
        ("governor.json", ["DataPrefix", "AllowedPattern"], "data/", "DataPrefix is 'raw/', which"),
        ("deploy-model-prd.json", ["ApiPackage", "AllowedValues"], ["image"], "ApiPackage is 'zip', which"),
        ("deploy-model-prd.json", ["MaxCapacity", "MaxValue"], 3, "MaxCapacity is '4', which"),
        ("deploy-model-dev.json", ["Project", "MaxLength"], 15, "Project is 'pppppppppppppppp', which"),
    ],
)
def test_parameter_faults_are_reported(
    rendered: Content, file: str, path: list[str], value: Any, words: str
) -> None:
    """Missing and unknown parameters are reported, and values against each kind of rule."""
    assert any(words in fault for fault in parameter_faults(rendered, changed_templates(file, path, value)))


def changed_templates(file: str, path: list[str], value: Any) -> dict[str, Content]:
    """Copy the templates, and change a value in the parameters of one template; None removes the value."""
    broken = copy.deepcopy(TEMPLATES)
    place = broken[file]["Parameters"]
    for key in path[:-1]:
        place = place[key]
    if value is None:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return broken


def test_settings_and_templates_agree_on_project_names() -> None:
    """A name that only one of them accepts fails halfway through a deployment."""
    own = (ROOT / "pipeline" / f"{name}.yml" for name in ("pipeline", "network", "studio"))
    templates = [*(ROOT / "stacks").glob("*.yml"), *own]
    rules = [read_template(path)["Parameters"]["Project"] for path in templates]
    assert {(rule["AllowedPattern"], rule["MinLength"], rule["MaxLength"]) for rule in rules} == {
        ("[a-z](-?[a-z0-9])+", 2, 16)
    }


@pytest.mark.parametrize(
    ("tags", "accepted"),
    [
        ("", True),
        ("Owner=risk,Cost Center=42", True),
        ("a=project=x", False),
        ("projects=x,stage2=y", True),
        ("Owner=risk,stage=x", False),
        ("project=x", False),
        ("aws:x=y", False),
    ],
)
def test_the_pipeline_accepts_the_tags_that_rendering_accepts(tags: str, accepted: bool) -> None:  # noqa: FBT001 - a parameter of the cases
    """Other tags would be accepted when the pipeline is deployed, and then fail every build."""
    pattern = read_template(ROOT / "pipeline" / "pipeline.yml")["Parameters"]["Tags"]["AllowedPattern"]
    (declared,) = (each for each in dataclasses.fields(Run) if each.name == "tags")
    assert bool(re.fullmatch(pattern, tags)) == declared.metadata["rule"].accepts(tags) == accepted


def test_the_pipeline_stack_outputs_the_account_settings_of_rendering() -> None:
    """Values that differ by account are outputs of pipeline.yml, so that a person can render by hand too."""
    outputs = read_template(ROOT / "pipeline" / "pipeline.yml")["Outputs"]
    names = {re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower() for name in outputs}
    required = {
        declared.name for declared in dataclasses.fields(Run) if declared.default is dataclasses.MISSING
    }
    assert (
        required - {"commit", "data_version", "execution_id", "image_uri"}
        == {name.replace("sage_maker", "sagemaker") for name in names} & required
    )


def input_faults(source: Content, machine: Content) -> Iterator[str]:
    """List the values that a state machine reads and its input lacks, and those that it never reads."""
    text = " ".join(expression for _, expression in expressions(machine))
    for path in sorted(set(re.findall(r"\$settings((?:\.\w+)+)", text))):
        value: Any = source
        for name in path.split(".")[1:]:
            value = value.get(name, MISSING) if isinstance(value, dict) else MISSING
        if value is MISSING:
            yield f"{path[1:]} is read, and nobody gives it"
    read = set(re.findall(r"\$(?:settings|states\.input)((?:\.\w+)+)", text))
    for name in sorted(source):
        inner = source[name] if name in SECTIONS else {}
        for given in [f".{name}", *(f".{name}.{key}" for key in inner)]:
            if not any(f"{path}.".startswith(f"{given}.") for path in read):
                yield f"{given[1:]} is given, and nobody reads it"


def test_the_state_machine_reads_its_whole_input(rendered: Content) -> None:
    """Every $settings.X.Y of an expression is in workflow-input.json, and every value there is read."""
    assert list(input_faults(rendered["workflow-input.json"], MACHINE)) == []


def test_input_faults_are_reported(rendered: Content) -> None:
    """Missing and unused values are reported, within a section too."""
    broken = copy.deepcopy(rendered["workflow-input.json"])
    broken["Gate"]["Level"] = broken["Gate"].pop("Threshold")
    broken["Unused"] = 1
    assert list(input_faults(broken, MACHINE)) == [
        "Gate.Threshold is read, and nobody gives it",
        "Gate.Level is given, and nobody reads it",
        "Unused is given, and nobody reads it",
    ]


def test_the_production_record_has_one_name(rendered: dict[str, Any]) -> None:
    """The verification writes the parameter that the next training and the governor read."""
    given = {
        name: content["Parameters"]["ProductionParameter"]
        for name, content in rendered.items()
        if "ProductionParameter" in content.get("Parameters", {})
    }
    assert given.keys() == {"workflow.json", "verify.json", "governor.json"}
    assert len(set(given.values())) == 1


def test_parameters_that_state_machines_write_belong_to_no_stack(rendered: dict[str, Any]) -> None:
    """CloudFormation writes a parameter's first value again whenever a tag of its stack changes."""
    written = {
        state["Arguments"]["Name"]
        for path in (ROOT / "stacks").glob("*.asl.json")
        for _, machine in machines_in(json.loads(path.read_text(encoding="utf-8")), "")
        for state in machine["States"].values()
        if state.get("Resource", "").endswith(":ssm:putParameter")
    }
    assert written == {"${ProductionParameter}"}
    production = rendered["verify.json"]["Parameters"]["ProductionParameter"]
    for path in [*(ROOT / "stacks").glob("*.yml"), *(ROOT / "pipeline").glob("*.yml")]:
        resources = read_template(path).get("Resources", {}).values()
        owned = [one["Properties"].get("Name") for one in resources if one["Type"] == "AWS::SSM::Parameter"]
        project = rendered["verify.json"]["Parameters"]["Project"]
        names = [json.dumps(name).replace("${Project}", project) for name in owned]
        assert not any(production in name or "Ref" in name for name in names), path.name


def test_the_governors_reasons_are_automatic_reasons() -> None:
    """With a reason outside of the list, a worse model could replace the champion automatically."""
    machine = (ROOT / "stacks" / "governor.asl.json").read_text(encoding="utf-8")
    schedule = read_template(ROOT / "stacks" / "governor.yml")["Resources"]["Schedule"]["Properties"]
    given = {*re.findall(r'"reason": "(\w+)"', machine), json.loads(schedule["Target"]["Input"])["Reason"]}
    assert given >= {"data", "schedule"}
    assert given <= set(AUTOMATIC_REASONS)
    variables = read_template(ROOT / "pipeline" / "pipeline.yml")["Resources"]["Pipeline"]["Properties"]
    (asked,) = [one["DefaultValue"] for one in variables["Variables"] if one["Name"] == "Reason"]
    assert asked not in AUTOMATIC_REASONS


@pytest.mark.parametrize("stage", ["dev", "prd"])
def test_verification_gets_the_name_of_the_deployed_endpoint(rendered: dict[str, Any], stage: str) -> None:
    """The state machine receives the name before the endpoint exists."""
    parameters = rendered[f"deploy-model-{stage}.json"]["Parameters"]
    template = read_template(ROOT / "stacks" / f"deploy-model-{stage}.yml")
    name = template["Resources"]["Endpoint"]["Properties"]["EndpointName"]["Fn::Sub"]
    assert rendered[f"verify-{stage}.json"] == {
        "Stage": stage,
        "EndpointName": re.sub(r"\$\{(\w+)\}", lambda found: parameters[found[1]], name),
        "PipelineExecutionId": parameters["ExecutionId"],
    }


# Further folders of a command whose modules read the environment.
FURTHER_FOLDERS = {"prepare": ("data", "images")}


def job_environments(rendered: Content) -> dict[str, Content]:
    """Return the environment variables that the state machines set for each command of the container."""
    found: dict[str, Content] = {}
    monitor = json.loads((ROOT / "stacks" / "monitor.asl.json").read_text(encoding="utf-8"))
    for _, inner in (*machines_in(MACHINE, ""), *machines_in(monitor, "")):
        for state in inner["States"].values():
            arguments = state.get("Arguments")
            if isinstance(arguments, dict) and "Environment" in arguments:
                (command,) = arguments["AppSpecification"]["ContainerArguments"]
                given = arguments["Environment"]
                if isinstance(given, str):
                    (section,) = re.findall(r"\$settings\.(\w+)\.Environment", given)
                    own = dict(re.findall(r"'(\w+)': '([^']*)'", given))
                    given = rendered["workflow-input.json"][section]["Environment"] | own
                found[command] = found.get(command, {}) | given
    if not IMAGES.exists():  # a project of tables sets these too, and has nothing that reads them
        for name in ("IMAGE_SIZE", "PARTIAL_SOURCE"):
            found["prepare"].pop(name)
    return found


def command_code(command: str) -> str:
    """Return the code of a command of the container."""
    main = (ROOT / "container" / "__main__.py").read_text(encoding="utf-8")
    (module,) = re.findall(rf"def _{command}\(\) -> None:\n    from container\.(\w+)", main)
    folders = (module, *FURTHER_FOLDERS.get(command, ()))
    paths = (
        (ROOT / "container").glob(f"{module}.py"),
        *((ROOT / "container" / folder).glob("*.py") for folder in folders),
    )
    return "\n".join(path.read_text(encoding="utf-8") for some in paths for path in some)


def environment_faults(given: Content, code: str) -> Iterator[str]:
    """List the variables that are set and not read, or read and not set, and those that SageMaker refuses."""
    read = set(re.findall(r'(?:Variable|_fraction)\("(\w+)"', code))
    yield from (f"{name} is set, and nobody reads it" for name in sorted(given.keys() - read))
    yield from (f"{name} is read, and nobody sets it" for name in sorted(read - given.keys()))
    yield from (
        f"{name} has more than 256 characters, or is not a text"
        for name, value in given.items()
        if not isinstance(value, str) or len(value) > 256
    )


def test_settings_and_the_job_refuse_the_same_fractions() -> None:
    """Protects from settings that pass here and stop the first job."""
    assert checks.MAX_NOT_TRAINED == split.MAX_NOT_TRAINED


def test_the_container_reads_the_environment_of_its_jobs(rendered: Content) -> None:
    """A renamed variable would silently leave the container with its default."""
    jobs = job_environments(rendered)
    assert {"prepare", "monitor"} <= jobs.keys()
    for command, given in jobs.items():
        assert list(environment_faults(given, command_code(command))) == [], command


def test_environment_faults_are_reported(rendered: Content) -> None:
    """Missing and unused variables are reported, and a value that is too long."""
    given = job_environments(rendered)["prepare"]
    assert set(environment_faults({"SEEDS": "1", "SEED": "1" * 257}, command_code("prepare"))) == {
        "SEEDS is set, and nobody reads it",
        "SEED has more than 256 characters, or is not a text",
        *(f"{name} is read, and nobody sets it" for name in given.keys() - {"SEED"}),
    }


def test_every_model_of_the_container_can_be_chosen(project_file: Path) -> None:
    """model.name accepts each module of container/models and container/models/image."""
    table = tomllib.loads(project_file.read_text(encoding="utf-8"))
    folder = ROOT / "container" / "models"
    offered = {
        "tabular": [path.stem for path in folder.glob("[!_]*.py")],
        "image": [path.stem for path in (folder / "image").glob("[!_]*.py")],
    }
    assert table["model"]["name"] in offered[table["data"]["workload"]]
    for workload, name in ((workload, name) for workload, names in offered.items() for name in names):
        table["data"]["workload"], table["model"]["name"] = workload, name
        check_consistency(read_section(Settings, table, ""))


def test_answers_may_contain_quotes_and_any_script(project_file: Path) -> None:
    """project.toml accepts an answer as the template escapes it, with backslashes and quotes."""
    answer = 'A "quoted" \\ title, d\'été 日本 🏠'
    escaped = answer.replace("\\", "\\\\").replace('"', '\\"')
    text = re.sub(
        r"(?m)^title = .*$", lambda _: f'title = "{escaped}"', project_file.read_text(encoding="utf-8")
    )
    project_file.write_text(text, encoding="utf-8")
    assert tomllib.loads(text)["project"]["title"] == answer
    assert read_settings(project_file).project.title == answer


def test_deployed_names_fit(rendered: dict[str, Any]) -> None:
    """Names of models and endpoints have at most 63 characters and tags 256, with the longest project."""
    parameters = rendered["deploy-model-dev.json"]["Parameters"]
    name = f"{parameters['Project']}-dev-{parameters['ExecutionId']}"
    assert len(parameters["Project"]) == 16
    assert len(name) <= 63
    assert re.fullmatch(r"[a-zA-Z0-9](-*[a-zA-Z0-9])*", name)
    for name, content in ((name, content) for name, content in rendered.items() if "Tags" in content):
        tags = content["Tags"]
        pairs = tags.items() if isinstance(tags, dict) else [(tag["Key"], tag["Value"]) for tag in tags]
        assert {key for key, _ in pairs} == {"project", "stage", "commit"}, name
        assert all(re.fullmatch(r"[\w .:/=+@-]{1,256}", value) for _, value in pairs)
