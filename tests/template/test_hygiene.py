"""Rules for the template's source, such as: each file is valid in its own language before rendering."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
PRODUCT = "<<cookiecutter.project>>"

DELIMITER = re.compile(r"<<|<%|<#")
SUBSTITUTION = re.compile(r"<< cookiecutter\.[a-z_]+(\.split\(\) \| join\(' '\))? >>")
MAY_SUBSTITUTE = {"Makefile", "README.md", "project.toml", "pyproject.toml"}

REGISTRY = re.compile(r"(pypi|pythonhosted|(deb|security)[.]debian|registry[.]npmjs)[.](org|com)")
MACHINE_PATH = re.compile(r"(^|[^.\w])/(work|farm|root|home|Users)/")
LINK = re.compile(r"\]\(([^)#\s]+)[^)]*\)")


class CloudFormation(yaml.SafeLoader):
    """YAML with CloudFormation's short forms (!Ref, !Sub, …)."""


CloudFormation.add_multi_constructor("!", lambda loader, _, node: short_form(loader, node))


def short_form(loader: yaml.SafeLoader, node: yaml.Node) -> Any:
    """Return the value of a short form, without its name."""
    if isinstance(node, yaml.ScalarNode):
        return loader.construct_scalar(node)
    if isinstance(node, yaml.SequenceNode):
        return loader.construct_sequence(node, deep=True)
    assert isinstance(node, yaml.MappingNode)
    return loader.construct_mapping(node, deep=True)


@pytest.fixture(scope="session")
def texts(tracked: list[str]) -> dict[str, str]:
    """Read all tracked files, which have to be UTF-8 text."""
    return {name: (ROOT / name).read_text(encoding="utf-8") for name in tracked if not name.endswith(".whl")}


def test_delimiters_are_used_only_for_answers(texts: dict[str, str]) -> None:
    """A stray `<<` breaks every bake, and a stray `<#` silently swallows text."""
    stray = [
        f"{name}: {line.strip()}"
        for name, text in texts.items()
        if name.startswith(PRODUCT)
        for line in text.splitlines()
        if DELIMITER.search(SUBSTITUTION.sub("", line) if Path(name).name in MAY_SUBSTITUTE else line)
    ]
    assert stray == []


def test_answers_are_used_in_four_files_only(texts: dict[str, str]) -> None:
    """Protects code, templates and state machines, which read answers from project.toml or as parameters."""
    found = {name for name, text in texts.items() if name.startswith(PRODUCT) and SUBSTITUTION.search(text)}
    assert found <= {f"{PRODUCT}/{name}" for name in MAY_SUBSTITUTE}


def test_directory_name_is_quoted_in_every_script(texts: dict[str, str]) -> None:
    """Protects from a shell that reads the unquoted name as a heredoc and writes a file."""
    scripts = [name for name in texts if name.startswith((".ci/", "scripts/")) and not name.endswith(".py")]
    for name in scripts:
        bare = [line for line in texts[name].splitlines() if re.search(r"(?<![\"'])<<cookiecutter", line)]
        assert bare == [], name


def faults(texts: dict[str, str]) -> Iterator[str]:
    """Parse each file in its own language, and yield the errors."""
    for name, text in texts.items():
        try:
            parse(name, text)
        except (SyntaxError, ValueError, yaml.YAMLError, subprocess.CalledProcessError) as error:
            yield f"{name}: {error}"


def parse(name: str, text: str) -> None:
    """Parse a file in the language of its suffix or first line."""
    suffix = Path(name).suffix
    if suffix == ".py" or text.startswith("#!/usr/bin/env python"):
        ast.parse(text)
    elif suffix == ".toml":
        tomllib.loads(text)
    elif suffix == ".json":
        json.loads(text)
    elif suffix in {".yml", ".yaml"}:
        yaml.load(text, CloudFormation)  # noqa: S506 - derived from SafeLoader
    elif text.startswith(("#!/bin/sh", "#!/usr/bin/env bash")):
        shell = "bash" if "bash" in text.splitlines()[0] else "sh"
        subprocess.run([shell, "-n", ROOT / name], check=True, capture_output=True)


def test_every_file_is_valid_in_its_own_language(texts: dict[str, str]) -> None:
    """Protects editors, linters and reviewers, who read the source: Jinja inserts values, never structure."""
    assert list(faults(texts)) == []


@pytest.mark.parametrize("folder", [".", PRODUCT])
def test_makefile_is_valid_and_help_lists_every_target(folder: str) -> None:
    """Protects users who look for a target in `make help`."""
    makefile = (ROOT / folder / "Makefile").read_text(encoding="utf-8")
    targets = re.findall(r"^\.PHONY: (.*)", makefile, flags=re.MULTILINE)[0].split()
    for target in targets:
        subprocess.run(["make", "-n", target], cwd=ROOT / folder, check=True, capture_output=True)
    helped = subprocess.run(["make", "help"], cwd=ROOT / folder, check=True, capture_output=True, text=True)
    assert re.findall(r"^make (\S+)", helped.stdout, flags=re.MULTILINE) == targets


def test_makefiles_need_nothing_newer_than_make_3_81(texts: dict[str, str]) -> None:
    """Protects users of Macs, which ship GNU make 3.81 and BSD's tools."""
    newer = re.compile(
        r"\.ONESHELL|\$\(file |\$\(let |\$\(guile |^\S+ *!=|::=|\bsed -i\b|grep -P|readlink -f", re.MULTILINE
    )
    scripts = [
        name for name in texts if Path(name).name in {"Makefile", "environment", "requirements", "run"}
    ]
    assert len(scripts) >= 4
    assert [name for name in scripts if newer.search(texts[name])] == []


def test_links_between_documents_have_a_target(texts: dict[str, str]) -> None:
    """Protects newcomers from dead links."""
    dead = [
        f"{name}: {target}"
        for name, text in texts.items()
        if name.endswith(".md")
        for target in LINK.findall(text)
        if "://" not in target and not (ROOT / name).parent.joinpath(target).exists()
    ]
    assert dead == []


def test_no_file_names_a_registry_or_a_machine(texts: dict[str, str]) -> None:
    """The machine chooses the package index, and paths of one machine do not exist on another."""
    found = [
        f"{name}:{number}: {line.strip()}"
        for name, text in texts.items()
        for number, line in enumerate(text.splitlines(), start=1)
        if REGISTRY.search(line) or MACHINE_PATH.search(line)
    ]
    assert found == []


def test_requirements_are_pinned_hashed_and_agree(texts: dict[str, str]) -> None:
    """All requirement files of an environment come from one resolution: one version a package, hashed."""
    versions: dict[str, set[str]] = {}
    for name, text in texts.items():
        if not re.search(r"requirements[\w-]*\.txt$", name):
            continue
        lines = re.findall(r"^[^\s#-].*$", text, flags=re.MULTILINE)
        pinned = [re.match(r"([\w.-]+(?:\[[\w,-]+\])?)==(\S+)", line) for line in lines]
        assert all(pinned), f"{name}: without version"
        # The benchmarks' packages resolve separately, without hashes; docs/decisions.md has the reason.
        if name.startswith("benchmarks/"):
            continue
        # The SageMaker SDK has an environment, and so a resolution, of its own.
        for found in filter(None, pinned if "requirements-sdk" not in name else []):
            versions.setdefault(found[1], set()).add(found[2])
        assert [line for line in lines if not line.endswith("\\")] == [], f"{name}: without hashes"
    assert {package: found for package, found in versions.items() if len(found) > 1} == {}
    assert {"cookiecutter", "ministack", "scikit-learn", "cfn-lint"} <= set(versions)
