"""Captured pictures are held against the training pictures by statistics, as tables are by their columns."""

import base64
import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageFilter

from container.layout import Layout
from container.monitor import command, settings
from container.pictures import STATISTICS, statistics

COUNT = 600


def drawn(random: np.random.Generator) -> Image.Image:
    """Draw blots on a ground, each picture of another light."""
    coarse = random.integers(40, 216, (6, 6, 3)).astype(np.uint8)
    return Image.fromarray(coarse).resize((24, 24), Image.Resampling.BICUBIC)


def encoded(picture: Image.Image) -> bytes:
    body = io.BytesIO()
    picture.save(body, "PNG")
    return body.getvalue()


def record(number: int, data: str, encoding: str, kind: str) -> str:
    side = {"observedContentType": kind, "mode": "INPUT", "data": data, "encoding": encoding}
    about = {"eventId": str(number), "inferenceTime": "2026-01-01T00:00:00Z"}
    return json.dumps({"captureData": {"endpointInput": side}, "eventMetadata": about, "eventVersion": "0"})


def captured(pictures: list[Image.Image]) -> str:
    """Write requests as they are captured: PNG as base64, every third one JSON with base64."""
    lines = []
    for number, picture in enumerate(pictures):
        text = base64.b64encode(encoded(picture)).decode()
        if number % 3:
            lines.append(record(number, text, "BASE64", "image/png"))
        else:
            body = json.dumps({"instances": [{"b64": text}]})
            lines.append(record(number, body, "JSON", "application/json"))
    return "\n".join([*lines, record(COUNT, "bm8gcGljdHVyZQ==", "BASE64", "image/png"), ""])


@pytest.fixture(scope="module")
def baseline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base, random = tmp_path_factory.mktemp("baseline"), np.random.Generator(np.random.PCG64(0))
    (base / "data").mkdir()
    with (base / "data" / "baseline.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(STATISTICS)
        writer.writerows(statistics.measure(drawn(random)) for _ in range(COUNT))
    run(base, dataset_source=str(base / "data"), output_path=str(base / "out"))
    return base / "out"


def run(base: Path, **environment: str) -> str:
    place = Layout(base)
    return command.run(settings.read(environment, place), place.resources(), [])


def violations(
    tmp_path: Path, baseline: Path, change: Callable[[Image.Image], Image.Image]
) -> dict[str, Any]:
    random = np.random.Generator(np.random.PCG64(1))
    (tmp_path / "in").mkdir()
    lines = captured([change(drawn(random)) for _ in range(COUNT)])
    (tmp_path / "in" / "requests.jsonl").write_text(lines)
    said = run(
        tmp_path,
        dataset_format='{"sagemakerCaptureJson": {}}',
        dataset_source=str(tmp_path / "in"),
        output_path=str(tmp_path / "out"),
        baseline_statistics=str(baseline / "statistics.json"),
        baseline_constraints=str(baseline / "constraints.json"),
    )
    found = json.loads((tmp_path / "out" / "constraint_violations.json").read_bytes())["violations"]
    rows = json.loads((tmp_path / "out" / "statistics.json").read_bytes())["dataset"]["item_count"]
    assert rows == COUNT, said
    return {each["feature_name"]: each["constraint_check_type"] for each in found}


def test_pictures_like_those_of_the_training_violate_nothing(tmp_path: Path, baseline: Path) -> None:
    """A body that is no picture is counted, and neither fatal nor a row."""
    assert violations(tmp_path, baseline, lambda picture: picture) == {}
    summary = json.loads((tmp_path / "out" / "summary.json").read_bytes())
    assert "unreadable" in json.dumps(summary)


@pytest.mark.parametrize(
    ("change", "feature"),
    [
        (lambda picture: picture.point([value // 2 for value in range(256)] * 3), "brightness"),
        (lambda picture: picture.filter(ImageFilter.GaussianBlur(2)), "sharpness"),
        (lambda picture: picture.resize((36, 24)), "aspect"),
    ],
)
def test_pictures_that_differ_are_told_by_what_differs(
    tmp_path: Path, baseline: Path, change: Callable[[Image.Image], Image.Image], feature: str
) -> None:
    assert violations(tmp_path, baseline, change)[feature] == "baseline_drift_check"
