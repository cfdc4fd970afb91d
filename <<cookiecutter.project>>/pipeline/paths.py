"""The files of the project that are read besides project.toml."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
MODELS = ROOT / "container" / "models"
DASHBOARD = ROOT / "stacks" / "dashboard.json"
IMAGES = ROOT / "container" / "images" / "prepare.py"
