"""One rule in two distributions."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_model_archives_are_checked_alike_in_the_container_and_here() -> None:
    """Protects a rule of two distributions, neither of which may import the other."""
    container = ROOT / "<<cookiecutter.project>>" / "container" / "runtime" / "archive.py"
    package = ROOT / "packages" / "localcloud" / "src" / "localcloud" / "core" / "model_archive.py"
    assert container.read_bytes() == package.read_bytes()
