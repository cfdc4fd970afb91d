"""Bakes: their files, the effect of answers, and refused answers."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from typing import TYPE_CHECKING

import pytest
from cookiecutter import cli

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Bake

HOSTILE = [
    'O\'Connor "and" sons',
    'ends in a quote"',
    "ends in a backslash\\",
    'C:\\new\\u0041 \\" """ \'\'\' r"""',
    "two\nlines\r\nand\ta tab",
    "[project]\nname = 1 # no table",
    "]]> --> </script> <!-- <b> & &amp;",
    "```\n# heading\n- item [a](b) | cell |",
    "{{ cookiecutter.project }} {% if %} {# x #}",
    "<< cookiecutter.project >> <% raw %> <# x #> << 1 <<",
    "$(touch pwned) `id` ${HOME} %s %(x)s {0}",
    "naïve 予測 🙂 \u202e\u2028 Ω",
]

REFUSED = [
    ("project", ""),
    ("project", "a"),
    ("project", "My Project"),
    ("project", "House-Prices"),
    ("project", "house_prices"),
    ("project", "2024-sales"),
    ("project", "-prices"),
    ("project", "prices-"),
    ("project", "house--prices"),
    ("project", "a-name-of-17-char"),
    ("project", "prices\n"),
    ("project", "prévisions"),
    ("project", "aws-prices"),
    ("project", "ssm"),
    ("project_name", "  "),
    ("project_name", "bell\a"),
    ("description", "null\x00byte"),
    ("description", "delete\x7f"),
    ("region", "Europe"),
    ("region", "eu-central"),
    ("region", "eu-central-1a"),
    ("region", ""),
]


def project_table(bake: Path) -> dict[str, str]:
    """Read the table [project] of project.toml."""
    table: dict[str, str] = tomllib.loads((bake / "project.toml").read_text(encoding="utf-8"))["project"]
    return table


TENSORFLOWS = {
    "container/models/_distributed.py",
    "container/models/_keras.py",
    "container/models/_network.py",
    "container/models/image/_convolutions.py",
    "container/models/image/convolutional_network.py",
    "container/models/multilayer_perceptron.py",
    "container/requirements-tensorflow.in",
    "container/requirements-tensorflow.txt",
    "tests/container/serving/test_serving_tensorflow.py",
    "tests/container/test_convolutions.py",
    "tests/container/test_multilayer_perceptron.py",
    "tests/container/test_networks.py",
}


IMAGES = {
    *(
        f"container/images/{name}.py"
        for name in (
            "dataset",
            "decode",
            "folders",
            "hog",
            "image_statistics",
            "inspection",
            "labelled_file",
            "parquet_images",
            "prepare",
            "shards",
            "sources",
            "tags",
        )
    ),
    "container/inference/hog_svm.py",
    "container/models/image/_convolutions.py",
    "container/models/image/convolutional_network.py",
    "container/models/image/hog_svm.py",
    "container/payload/images.py",
    "container/serving/image_service.py",
    "local/pictures.py",
    "tests/container/monitor/test_monitor_pictures.py",
    "tests/container/serving/test_serving_pictures.py",
    "tests/container/test_convolutions.py",
    "tests/container/test_image_models.py",
    "tests/container/test_image_sources.py",
    "tests/container/test_images.py",
    "tests/local/test_pictures.py",
}


@pytest.mark.parametrize(
    ("workload", "framework", "declined"),
    [
        ("tabular", "scikit-learn", TENSORFLOWS | IMAGES),
        ("tabular", "tensorflow", IMAGES),
        ("image", "scikit-learn", TENSORFLOWS),
        ("image", "tensorflow", set()),
    ],
)
def test_bake_has_exactly_the_tracked_files(
    bake: Bake, product_files: list[str], workload: str, framework: str, declined: set[str]
) -> None:
    """Protects bakes from lost and additional files; the folder for cruft is not rendered."""
    folder = bake(workload=workload, framework=framework)
    found = [str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()]
    assert sorted(found) == sorted(set(product_files) - declined)
    assert declined <= set(product_files)
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def test_caches_beside_the_template_stay_out_of_bakes(
    template: Path, settings: Path, tmp_path: Path, product_files: list[str]
) -> None:
    """Protects developers who have run the product's tests in the template."""
    copy = tmp_path / "template"
    shutil.copytree(template, copy)
    for name in (".mypy_cache/3.11", ".pytest_cache", ".hypothesis/constants", "container/__pycache__"):
        folder = copy / "<<cookiecutter.project>>" / name
        folder.mkdir(parents=True)
        (folder / "cache.json").write_bytes(b"<< \x9a {{ <% broken")
    command = [sys.executable, "-m", "cookiecutter", str(copy), "--config-file", str(settings), "--no-input"]
    subprocess.run([*command, "--output-dir", str(tmp_path / "out")], check=True, capture_output=True)
    folder = tmp_path / "out" / "house-prices"
    found = [str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()]
    assert sorted(found) == sorted(set(product_files) - TENSORFLOWS - IMAGES)


def test_bake_keeps_what_is_executable(bake: Bake, product_files: list[str], template: Path) -> None:
    folder, source = bake(workload="image", framework="tensorflow"), template / "<<cookiecutter.project>>"
    for name in product_files:
        assert os.access(folder / name, os.X_OK) == os.access(source / name, os.X_OK), name


def test_files_without_answers_come_out_byte_for_byte(
    bake: Bake, product_files: list[str], template: Path
) -> None:
    """Protects the braces of CloudFormation, JSONata and GitHub, which the template must not render.

    Nor does an answer stay unrendered: cookiecutter.json lists kinds of files that are only copied.
    """
    folder, source = bake(workload="image", framework="tensorflow"), template / "<<cookiecutter.project>>"
    changed = [name for name in product_files if (folder / name).read_bytes() != (source / name).read_bytes()]
    assert set(changed) <= {"Makefile", "README.md", "project.toml", "pyproject.toml"}
    assert [name for name in product_files if b"<< cookiecutter." in (folder / name).read_bytes()] == []


@pytest.mark.parametrize(
    ("name", "project"),
    [
        ("House Prices", "house-prices"),
        ("California Housing Prices", "california"),
        ("Internationalisation", "internationalisa"),
        ("O'Connor & Sons", "o-connor-sons"),
        ("2024 Sales", "sales"),
        ("AWS Churn", "churn"),
        ("Прогноз цен", "prognoz-tsen"),
        ("🙂", "ml-project"),
        ("a-fifteen-chars", "a-fifteen-chars"),
        ("sixteen chars ab", "sixteen-chars-ab"),
        ("sixteen chars a bcd", "sixteen-chars-a"),
    ],
)
def test_short_name_is_derived_and_fits(bake: Bake, name: str, project: str) -> None:
    """Protects users who accept the default: AWS accepts the derived name."""
    assert bake(project_name=name).name == project


@pytest.mark.parametrize("answer", HOSTILE)
def test_hostile_answers_bake_into_valid_files(bake: Bake, answer: str) -> None:
    """Protects files from the text of answers: each stays valid, runs nothing, and has the text unchanged."""
    folder = bake(project_name=answer, description=answer, project="hostile")
    tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))
    assert project_table(folder)["description"] == " ".join(answer.split())
    assert (
        subprocess.run(["make", "-n", "help"], cwd=folder, check=False, capture_output=True).returncode == 0
    )
    readme = (folder / "README.md").read_text(encoding="utf-8").splitlines()
    assert readme[0] == "# " + " ".join(answer.split())
    assert not list(folder.glob("pwned"))


def test_region_reaches_the_project(bake: Bake) -> None:
    assert project_table(bake(region="us-gov-west-1"))["region"] == "us-gov-west-1"


@pytest.mark.parametrize(
    ("workload", "framework", "model", "target"),
    [
        ("tabular", "scikit-learn", "gradient_boosting", "MedHouseVal"),
        ("tabular", "tensorflow", "multilayer_perceptron", "MedHouseVal"),
        ("image", "scikit-learn", "image/hog_svm", "label"),
        ("image", "tensorflow", "image/convolutional_network", "label"),
    ],
)
def test_workload_and_framework_decide_what_is_trained_on(
    bake: Bake, workload: str, framework: str, model: str, target: str
) -> None:
    """The default model needs only packages of the image; project.toml alone names model and target."""
    folder = bake(workload=workload, framework=framework)
    table = tomllib.loads((folder / "project.toml").read_text(encoding="utf-8"))
    assert (table["data"]["workload"], table["data"]["target"]) == (workload, target)
    assert table["model"]["name"] == model.rpartition("/")[2]
    assert (folder / "container" / "models" / f"{model}.py").is_file()


@pytest.mark.parametrize("framework", ["scikit-learn", "tensorflow"])
def test_setup_installs_what_the_framework_takes(bake: Bake, framework: str) -> None:
    """Protects users from the download of a framework that they have not chosen."""
    folder = bake(framework=framework)
    printed = subprocess.run(
        ["make", "-n", "setup"], cwd=folder, check=True, capture_output=True, text=True
    ).stdout
    assert ("container/requirements-tensorflow.txt" in printed) == (framework == "tensorflow")
    assert "container/requirements.txt" in printed


def ask(template: Path, settings: Path, folder: Path, answers: dict[str, str]) -> object:
    """Run cookiecutter's command with the answers of a replay file, which are not rendered; return its code.

    The command runs in this process, because its imports take longer than a refused answer.
    """
    context = json.loads((template / "cookiecutter.json").read_text(encoding="utf-8"))
    defaults = {
        "project_name": "House Prices",
        "project": "house-prices",
        "region": "eu-central-1",
        "framework": "scikit-learn",
        "workload": "tabular",
    }
    replay = folder / "answers.json"
    replay.write_text(json.dumps({"cookiecutter": {**context, **defaults, **answers}}), encoding="utf-8")
    arguments = [str(template), "--config-file", str(settings), "--replay-file", str(replay)]
    with pytest.raises(SystemExit) as ended:
        cli.main([*arguments, "--output-dir", str(folder / "out")])
    return ended.value.code


@pytest.mark.parametrize(("question", "answer"), REFUSED)
def test_wrong_answers_end_in_one_sentence(  # noqa: PLR0913, PLR0917 - a case has these parts
    template: Path,
    settings: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    question: str,
    answer: str,
) -> None:
    """The message names the answer, the rule and an example, and no folder is left behind."""
    assert ask(template, settings, tmp_path, {question: answer}) == 1
    reported = capfd.readouterr().err
    if answer:
        named = re.escape(f"the answer to `{question}` is {json.dumps(answer)}, but ")
        pattern = rf"^error: {named}.*, for example \S.*\.$"
        assert re.search(pattern, reported, flags=re.MULTILINE), reported
        assert reported.count("error:") == 1
    assert not any((tmp_path / "out").glob("*"))


def test_refusal_leaves_an_older_project_alone(template: Path, settings: Path, tmp_path: Path) -> None:
    """Protects an existing project from a refused answer."""
    (tmp_path / "out" / "prices-").mkdir(parents=True)
    (tmp_path / "out" / "prices-" / "work.txt").write_text("mine", encoding="utf-8")
    assert ask(template, settings, tmp_path, {"project": "prices-"}) == 1
    assert (tmp_path / "out" / "prices-" / "work.txt").read_text(encoding="utf-8") == "mine"


def test_questions_can_be_answered_by_typing(template: Path, settings: Path, tmp_path: Path) -> None:
    """The questions appear in order, and a typed answer is not rendered as a template."""
    typed = 'Bob\'s "<< Model >>"\nbobs-model\na << b\n\n1\n2\n'
    command = [sys.executable, "-m", "cookiecutter", str(template), "--config-file", str(settings)]
    result = subprocess.run(
        [*command, "--output-dir", str(tmp_path)], input=typed, check=False, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    for words in (
        "Name of the project",
        "Short name",
        "What the project does",
        "AWS region",
        "Kind of data",
        "Library that trains the models",
    ):
        assert words in result.stdout
    assert "Next: cd bobs-model" in result.stdout
    assert project_table(tmp_path / "bobs-model")["description"] == "a << b"
    assert (tmp_path / "bobs-model" / "container" / "requirements-tensorflow.txt").is_file()


def test_missing_make_is_said_when_the_project_is_made(
    template: Path, settings: Path, tmp_path: Path
) -> None:
    """The Makefile can't report that make is missing, so the hook does."""
    (tmp_path / "bin").mkdir()
    command = [
        sys.executable,
        "-m",
        "cookiecutter",
        str(template),
        "--config-file",
        str(settings),
        "--no-input",
    ]
    result = subprocess.run(
        [*command, "--output-dir", str(tmp_path / "out")],
        env={"PATH": str(tmp_path / "bin")},
        check=False,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    assert "make is missing and the project needs it" in result.stdout
    assert "git is missing and the project needs it" in result.stdout


def test_a_project_holds_at_most_20_000_lines_of_python_besides_its_tests(bake: Bake) -> None:
    """Protects owners, who read, check and merge all of it."""
    folder = bake()
    files = [path for path in folder.rglob("*.py") if path.relative_to(folder).parts[0] != "tests"]
    assert sum(len(path.read_bytes().splitlines()) for path in files) <= 20_000
    assert not (folder / "local" / "cloud").exists()
