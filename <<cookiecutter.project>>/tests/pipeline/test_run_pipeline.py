"""The command: the same bytes from the same arguments, and one clear sentence for each error."""

import ast
import dataclasses
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline import run_pipeline
from pipeline.run import Run, option_name

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "pipeline" / "run_pipeline.py"
MODULES = [path for path in sorted((ROOT / "pipeline").glob("*.py")) if path.stem != "__init__"]
FILES = {
    "workflow.json",
    "workflow-input.json",
    "verify.json",
    "verify-dev.json",
    "verify-prd.json",
    "governor.json",
    "registry.json",
    "deploy-model-dev.json",
    "deploy-model-prd.json",
    "monitor.json",
    "dashboard.json",
}


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_same_arguments_give_the_same_bytes(arguments: list[str], tmp_path: Path) -> None:
    """Processes with other hash seeds, in another folder and time zone, write the same files."""
    seen = []
    for seed, zone in (("0", "UTC"), ("1", "Asia/Tokyo")):
        environment = {**os.environ, "PYTHONHASHSEED": seed, "TZ": zone}
        subprocess.run([sys.executable, str(SCRIPT), *arguments], check=True, env=environment, cwd=tmp_path)
        seen.append(content(tmp_path / "build"))
    assert seen[0] == seen[1]
    assert seen[0].keys() == FILES


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_modules_import_only_the_standard_library(path: Path) -> None:
    """The build renders before anything is installed; the result depends on neither AWS, clock nor chance."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    imported |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    own = {name for name in imported if name.partition(".")[0] == "pipeline"} | {"container"}
    assert {name.partition(".")[0] for name in imported - own} <= {*sys.stdlib_module_names}
    assert not imported & {"datetime", "time", "random", "uuid", "socket", "urllib", "http", "subprocess"}


def test_importing_the_package_loads_only_the_standard_library(tmp_path: Path) -> None:
    """No module of the package imports an installed one, not even indirectly."""
    program = (
        "import sys; before = set(sys.modules); sys.path.insert(0, sys.argv[1])\n"
        f"import {', '.join(f'pipeline.{path.stem}' for path in MODULES)}\n"
        "print(*(set(sys.modules) - before))"
    )
    command = [sys.executable, "-c", program, str(ROOT)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=tmp_path)
    loaded = set(done.stdout.split())
    assert "pipeline.settings" in loaded
    # The container's only module here has the former names of models.
    assert {name for name in loaded if name.startswith("container.")} == {"container.deprecated_names"}
    packages = {name.partition(".")[0] for name in loaded}
    assert packages <= {*sys.stdlib_module_names, "container", "pipeline"}


def test_arguments_come_from_the_environment_too(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CodeBuild sets variables, and a person gives options; an option takes precedence."""
    assert run_pipeline.main(arguments) == 0
    expected = content(tmp_path / "build")
    for declared in dataclasses.fields(Run):
        position = arguments.index(option_name(declared.name))
        monkeypatch.setenv(declared.metadata["environment"], arguments[position + 1])
        del arguments[position : position + 2]
    assert run_pipeline.main(arguments) == 0
    assert content(tmp_path / "build") == expected
    monkeypatch.setenv("COMMIT_ID", "not this one")
    assert run_pipeline.main([*arguments, "--commit", "3f2a91c"]) == 0
    assert content(tmp_path / "build") == expected


def test_missing_arguments_come_from_variables_of_the_execution(arguments: list[str], tmp_path: Path) -> None:
    """The pipeline's variables have the lowest precedence, so a person may give another reason."""
    position = arguments.index("--data-version")
    del arguments[position : position + 2]
    path = tmp_path / "variables"
    path.write_text(json.dumps([{"name": "DataVersion", "resolvedValue": "v 2"}]), encoding="utf-8")
    assert run_pipeline.main([*arguments, "--variables-file", str(path)]) == 0
    rendered = json.loads(content(tmp_path / "build")["workflow-input.json"])
    assert (rendered["DataVersion"], rendered["Reason"]) == ("v 2", "commit")


@pytest.mark.parametrize("text", ["", "{", "[1]", "[{}]", "3"])
def test_a_file_without_variables_is_refused(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    """The message names the file, and the command that writes it."""
    path = tmp_path / "variables"
    path.write_text(text, encoding="utf-8")
    assert run_pipeline.main([*arguments, "--variables-file", str(path)]) == 2
    assert f"--variables-file is {path}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("--execution-id", "x" * 37, "1 to 36 letters"),
        ("--execution-id", "", "PIPELINE_EXECUTION_ID"),
        ("--data-version", "  ", "1 to 1,000 characters"),
        ("--commit", "a b", "commit id"),
        ("--kms-key-arn", "alias/x", "ARN of a key"),
        ("--artifact-bucket", "s3://bucket", "name of a bucket"),
    ],
)
def test_a_wrong_argument_is_refused_with_its_rule(
    arguments: list[str], option: str, value: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The message is one line."""
    arguments[arguments.index(option) + 1] = value
    assert run_pipeline.main(arguments) == 2
    said = capsys.readouterr().err
    assert option in said
    assert words in said
    assert said.count("\n") == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has /dev/full")
def test_a_full_disk_is_reported_in_a_sentence(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The build's log, and so the pipeline's reason, names the file; no half of the file is left."""
    (tmp_path / "build").mkdir()
    fresh = tmp_path / "build" / "workflow.json.new"
    fresh.symlink_to("/dev/full")
    assert run_pipeline.main(arguments) == 2
    assert capsys.readouterr().err == f"error: No space left on device: {fresh}.\n"
    assert not fresh.is_symlink()
    assert not (tmp_path / "build" / "workflow.json").exists()


def test_check_writes_nothing_and_names_each_change(
    arguments: list[str], project_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`--check` lists the old and new value of each changed entry and exits with 1, or else with 0."""
    assert run_pipeline.main([*arguments, "--check"]) == 1
    assert not (tmp_path / "build").exists()
    assert capsys.readouterr().out.count("is not there") == len(FILES)
    run_pipeline.main(arguments)
    assert run_pipeline.main([*arguments, "--check"]) == 0
    assert capsys.readouterr().out == ""
    before = content(tmp_path / "build")
    text = project_file.read_text(encoding="utf-8")
    project_file.write_text(re.sub(r"(?m)^seed = \d+", "seed = 4711", text), encoding="utf-8")
    assert run_pipeline.main([*arguments, "--check"]) == 1
    assert re.search(r'Prepare.Environment.SEED: "\d+" -> "4711"', capsys.readouterr().out)
    assert content(tmp_path / "build") == before


@pytest.mark.parametrize("text", ["[project", "\ufeff\x00", ""])
def test_unreadable_settings_end_in_a_sentence(
    arguments: list[str], project_file: Path, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A broken, empty or missing project.toml is named, without a traceback."""
    project_file.write_text(text, encoding="utf-8")
    assert run_pipeline.main(arguments) == 2
    project_file.unlink()
    assert run_pipeline.main(arguments) == 2
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 2
    assert all(str(project_file) in line for line in said)


def test_every_deployment_has_its_own_hash(project_file: Path, arguments: list[str], tmp_path: Path) -> None:
    """A change of commit, data, execution or setting changes the first ten characters of the hash."""

    def rendered_hash(*changed: str) -> str:
        assert run_pipeline.main([*arguments, *changed]) == 0
        file = tmp_path / "build" / "deploy-model-prd.json"
        return str(json.loads(file.read_text(encoding="utf-8"))["Parameters"]["DeploymentHash"])

    hashes = [
        rendered_hash(),
        rendered_hash("--commit", "another"),
        rendered_hash("--data-version", "another"),
        rendered_hash("--execution-id", "another"),
    ]
    text = project_file.read_text(encoding="utf-8")
    project_file.write_text(text.replace("synthetic_rate = 60", "synthetic_rate = 61"), encoding="utf-8")
    hashes.append(rendered_hash())
    assert all(re.fullmatch(r"[0-9a-f]{64}", one) for one in hashes)
    assert len({one[:10] for one in hashes}) == len(hashes)


@pytest.mark.parametrize(
    "tags", ["project=x", "Owner=a,stage=b", "aws:x=y", "Owner", "=x", "a=b,,c=d", "a=b;c"]
)
def test_reserved_and_malformed_tags_are_refused(
    arguments: list[str], capsys: pytest.CaptureFixture[str], tags: str
) -> None:
    """Tags that overwrite project or stage would hide the owner of a resource."""
    assert run_pipeline.main([*arguments, "--tags", tags]) == 2
    assert "--tags is" in capsys.readouterr().err


def test_former_names_of_models_and_hyperparameters_work_with_a_warning(
    arguments: list[str], project_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Protects a project that was made by the earlier release, whose project.toml has the former names."""
    text = project_file.read_text(encoding="utf-8")
    text = re.sub(r'(?m)^workload = "\w+"', 'workload = "tabular"', text)
    text = re.sub(r'(\[model\]\nname = )"\w+"', r'\1"linear_regression"', text)
    assert 'name = "linear_regression"' in text
    project_file.write_text(text, encoding="utf-8")
    assert run_pipeline.main(arguments) == 0
    shown = capsys.readouterr().err
    assert shown.startswith(
        f"warning: {project_file}: the model 'linear_regression' is now called 'linear_model'"
    )
    assert len(shown.splitlines()) == 1
