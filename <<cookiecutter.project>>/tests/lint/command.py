"""The command: all checks over the project, by tools and by our own code."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from delivery.templates.read import read_template, template_paths

from tests.lint import variants
from tests.lint.machines import machine_faults, substitution_faults

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT = Path(__file__).resolve().parents[2]


def main() -> int:
    """Run all checks over the project; return 0 when they find nothing."""
    os.environ.setdefault("AWS_DEFAULT_REGION", variants.REGION)  # SAM does not translate without a region
    machines = sorted((ROOT / "stacks").glob("*.asl.json"))
    templates = {path: read_template(path) for path in template_paths(ROOT)}
    faults = [f"{path.relative_to(ROOT)}: {fault}" for path in machines for fault in machine_faults(path)]
    faults += [*substitution_faults(ROOT / "stacks"), *variants.value_faults(templates)]
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor() as pool:
        copies = [without_computed_waits(path, Path(folder)) for path in machines]
        concurrent = pool.submit(variant_faults, templates, Path(folder))
        codes = [run("cfn-lint"), run("statelint", *map(str, copies))]
        faults += concurrent.result()
    sys.stderr.write("".join(f"{fault}\n" for fault in faults))
    return 1 if faults or any(codes) else 0


def variant_faults(templates: Mapping[Path, dict[str, Any]], folder: Path) -> list[str]:
    """Return the remarks of cfn-lint about templates with values in place of parameters.

    Raises:
        RuntimeError: cfn-lint failed without a remark.

    """
    files = dict(file for item in templates.items() for file in variants.write_variants(*item, folder))
    command = [str(Path(sys.executable).with_name("cfn-lint")), "--format", "parseable"]
    command += ["--config-file", str(ROOT / ".cfnlintrc.yaml"), "--template", *map(str, files)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    remarks = [line for line in done.stdout.splitlines() if line]
    if done.returncode != 0 and not remarks:
        raise RuntimeError(done.stderr)
    return [f"{line.removeprefix(f'{folder}/')} with {values_of(files, line)}" for line in remarks]


def values_of(files: Mapping[Path, Mapping[str, str]], line: str) -> str:
    """List the values that the template of a line was written with."""
    values = files.get(Path(line.partition(":")[0]), {})
    return ", ".join(f"{name}={value}" for name, value in values.items())


def run(name: str, *arguments: str) -> int:
    """Run a tool that is installed in this interpreter's environment."""
    command = [str(Path(sys.executable).with_name(name)), *arguments]
    return subprocess.run(command, cwd=ROOT, check=False).returncode


def without_computed_waits(path: Path, folder: Path) -> Path:
    """Copy a state machine for statelint, which refuses a wait whose seconds are an expression."""
    copy = folder / path.name
    copy.write_text(re.sub(r'"Seconds": "\{%.*?%\}"', '"Seconds": 1', path.read_text(encoding="utf-8")))
    return copy
