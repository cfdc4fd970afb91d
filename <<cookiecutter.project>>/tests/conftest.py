"""Settings of all tests: a property may take its time, since the machine may be busy."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("project", deadline=None)
settings.load_profile("project")
PROJECT_TOML = Path(__file__).resolve().parents[1] / "project.toml"


@pytest.fixture(scope="session")
def settings_of() -> Callable[..., str]:
    """Give project.toml as another project has it; in the template its answers still have to be put in."""
    text = PROJECT_TOML.read_text(encoding="utf-8")
    for answer, put in (("__model", "gradient_boosting"), ("workload", "tabular"), ("__target", "price")):
        text = re.sub(f'"<{{2}} cookiecutter.{answer} >>"', f'"{put}"', text)

    def given(name: str, region: str) -> str:
        named = re.sub(r"(?m)^name = .*$", f'name = "{name}"', text, count=1)
        return re.sub(r"(?m)^region = .*$", f'region = "{region}"', named, count=1)

    return given
