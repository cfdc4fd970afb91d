"""Handlers named by templates exist, and read the environment variables that the templates set."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from delivery.templates.read import read_template, template_paths

ROOT = Path(__file__).resolve().parents[2]
FUNCTIONS = ROOT / "functions"
TEMPLATES = {path.name: read_template(path) for path in template_paths(ROOT)}
KINDS = ("AWS::Lambda::Function", "AWS::Serverless::Function")
# Imports each handler as Lambda does, with its own environment only, and lists the fields of the
# dataclasses in its module; one of these dataclasses is read from the environment.
PROBE = """
import dataclasses, importlib, json, os, sys
given, own = json.load(sys.stdin), dict(os.environ)
for function in given:
    for name in [name for name in sys.modules if name.partition(".")[0] in ("api", "canary")]:
        del sys.modules[name]
    os.environ.clear()
    os.environ.update(own)
    os.environ.update(dict.fromkeys(function["variables"], "1"))
    module, _, name = function["handler"].rpartition(".")
    try:
        loaded = importlib.import_module(module)
        function["found"] = callable(getattr(loaded, name, None))
        function["reads"] = [
            [field.name.upper() for field in dataclasses.fields(one)]
            for one in vars(loaded).values() if isinstance(one, type) and dataclasses.is_dataclass(one)
        ]
    except Exception as error:
        function["fault"] = f"{type(error).__name__}: {error}"
json.dump(given, sys.stdout)
"""


def functions(templates: dict[str, Any]) -> list[dict[str, Any]]:
    """List the templates' functions whose code is in this repository: name, handler and set variables."""
    found = []
    for template in templates.values():
        shared = template.get("Globals", {}).get("Function", {}).get("Environment", {}).get("Variables", {})
        for name, resource in template["Resources"].items():
            properties = resource.get("Properties", {})
            if resource["Type"] in KINDS and "Handler" in properties:
                own = properties.get("Environment", {}).get("Variables", {})
                inherited = shared if resource["Type"] == "AWS::Serverless::Function" else {}
                variables = sorted({**inherited, **own})
                found.append({"name": name, "handler": properties["Handler"], "variables": variables})
    return found


def faults(templates: dict[str, Any], folder: Path) -> list[str]:
    """List handlers that cannot be imported, and variables that are set and not read, or read and not set."""
    environment = {"PATH": os.environ["PATH"], "AWS_DEFAULT_REGION": "eu-central-1"}
    request = json.dumps(functions(templates))
    done = subprocess.run(
        [sys.executable, "-c", PROBE],
        cwd=folder,
        env=environment,
        input=request,
        capture_output=True,
        text=True,
        check=True,
    )
    return [fault for function in json.loads(done.stdout) for fault in faults_of_function(function)]


def faults_of_function(function: dict[str, Any]) -> list[str]:
    name, handler, given = function["name"], function["handler"], set(function["variables"])
    if "fault" in function:
        return [f"{name}: {handler} can't be imported: {function['fault']}"]
    if not function["found"]:
        return [f"{name}: there is no {handler}"]
    nearest = max(map(set, function["reads"]), key=lambda reads: len(reads & given) - len(reads ^ given))
    unread, unset = sorted(given - nearest), sorted(nearest - given)
    return [f"{name} never reads {one}" for one in unread] + [f"{name} reads {one}, not set" for one in unset]


def test_handlers_exist_and_read_the_variables_that_are_set() -> None:
    """Otherwise a function fails on its first call, or silently uses a default value."""
    assert {function["name"] for function in functions(TEMPLATES)} >= {
        "ApiFunction",
        "GoldenFunction",
        "PostTrafficFunction",
        "PreTrafficFunction",
        "SyntheticFunction",
    }
    assert faults(TEMPLATES, FUNCTIONS) == []


def test_a_missing_handler_or_variable_is_reported(tmp_path: Path) -> None:
    """The difference may be in the template or in the code."""
    folder = Path(shutil.copytree(FUNCTIONS, tmp_path / "functions"))
    code = (folder / "canary" / "settings.py").read_text(encoding="utf-8")
    (folder / "canary" / "settings.py").write_text(code.replace("capture_url: str", "capture_place: str"))
    broken = json.loads(
        json.dumps({name: TEMPLATES[name] for name in ("deploy-model-prd.yml", "verify.yml")})
    )
    production = broken["deploy-model-prd.yml"]["Resources"]
    production["ApiFunction"]["Properties"]["Handler"] = "api.handler.handle"
    production["SyntheticFunction"]["Properties"]["Handler"] = "canary.synthetics.handler"
    production["PreTrafficFunction"]["Properties"]["Environment"]["Variables"]["GOLDEN"] = "x"
    del broken["verify.yml"]["Resources"]["GoldenFunction"]["Properties"]["Environment"]["Variables"][
        "ANSWER_TOLERANCE"
    ]
    found = faults(broken, folder)
    assert "ApiFunction: there is no api.handler.handle" in found
    assert "SyntheticFunction: canary.synthetics.handler can't be imported" in " ".join(found)
    assert "PreTrafficFunction never reads GOLDEN" in found
    assert {
        "PostTrafficFunction never reads CAPTURE_URL",
        "PostTrafficFunction reads CAPTURE_PLACE, not set",
    } <= {*found}
    assert "GoldenFunction reads ANSWER_TOLERANCE, not set" in found
