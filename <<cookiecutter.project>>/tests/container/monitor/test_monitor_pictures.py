"""Captured images are compared with the training images by statistics, as tables are by their columns.

The model's confidence in them is compared with its confidence in the test images.
"""

import base64
import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from PIL import Image, ImageFilter

from container.data.schema import Target
from container.images import CONFIDENCE, STATISTICS, image_statistics
from container.monitor import command
from container.monitor.baseline import add_columns
from container.monitor.response_rows import read_confidences
from container.monitor.settings import Settings
from container.payload.negotiation import CSV, JSON, JSON_LINES, NPY
from container.payload.responses import ResponseEncoder
from container.runtime.paths import ContainerPaths

COUNT = 600
FORMS = (JSON, CSV, JSON_LINES, NPY)
ANSWERS = ResponseEncoder(Target("label", "multiclass", ("a", 'b, "c"', "d")))
SURE, UNSURE = (0.9, 0.97), (0.5, 0.7)  # between which confidence lies


def drawn(random: np.random.Generator) -> Image.Image:
    """Draw coloured spots, each image with another brightness."""
    coarse = random.integers(40, 216, (6, 6, 3)).astype(np.uint8)
    return Image.fromarray(coarse).resize((24, 24), Image.Resampling.BICUBIC)


def encoded(image: Image.Image, kind: str = "PNG") -> bytes:
    body = io.BytesIO()
    image.save(body, kind)
    return body.getvalue()


def side(data: str, encoding: str, kind: str) -> dict[str, str]:
    return {"observedContentType": kind, "data": data, "encoding": encoding}


def record(number: int, asked: dict[str, str], answered: dict[str, str]) -> str:
    about = {"eventId": str(number), "inferenceTime": "2026-01-01T00:00:00Z"}
    sides = {"endpointInput": asked, "endpointOutput": answered}
    return json.dumps({"captureData": sides, "eventMetadata": about, "eventVersion": "0"})


def answer(form: str, *sure: float) -> dict[str, str]:
    """Return a captured response in a format of the endpoint: JSON and CSV as text, others as base64."""
    rows = [[(1 - each) / 4, each, (1 - each) * 3 / 4] for each in sure]
    body = ANSWERS.encode(np.array(rows), form)
    if form in {JSON, CSV}:
        return side(body.decode(), form.rpartition("/")[2].upper(), form)
    return side(base64.b64encode(body).decode(), "BASE64", form)


def captured(images: list[Image.Image], sure: list[float]) -> str:
    """Write captured requests: TIFF and PNG as base64, and every third one as JSON with a data URL."""
    lines = []
    for number, image in enumerate(images):
        kind = ("PNG", "TIFF")[number % 2]
        text = base64.b64encode(encoded(image, kind)).decode()
        asked = side(text, "BASE64", f"image/{kind.lower()}")
        if not number % 3:
            url = f"data:image/png;base64,{text}"
            asked = side(json.dumps({"instances": [{"b64": url}]}), "JSON", "application/json")
        lines.append(record(number, asked, answer(FORMS[number % len(FORMS)], sure[number])))
    none = side("bm8gcGljdHVyZQ==", "BASE64", "image/png")
    return "\n".join([*lines, record(COUNT, none, answer(JSON, 1.0)), ""])


@pytest.fixture(scope="module")
def baseline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base, random = tmp_path_factory.mktemp("baseline"), np.random.Generator(np.random.PCG64(0))
    (base / "data").mkdir()
    with (base / "data" / "baseline.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(STATISTICS)
        writer.writerows(image_statistics.measure(drawn(random)) for _ in range(COUNT))
    run(base, dataset_source=str(base / "data"), output_path=str(base / "made"), comparison_threshold="0.15")
    add_columns(base / "made", pl.DataFrame({CONFIDENCE: random.uniform(*SURE, COUNT // 2)}), base / "out")
    return base / "out"


def run(base: Path, **environment: str) -> str:
    place = ContainerPaths(base)
    return command.run(Settings.read(environment, place), place.resources(), [])


def violations(
    tmp_path: Path,
    baseline: Path,
    change: Callable[[Image.Image], Image.Image] = lambda image: image,
    sure: tuple[float, float] = SURE,
) -> dict[str, Any]:
    random = np.random.Generator(np.random.PCG64(1))
    (tmp_path / "in").mkdir()
    lines = captured([change(drawn(random)) for _ in range(COUNT)], random.uniform(*sure, COUNT).tolist())
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


def test_images_like_those_of_the_training_violate_nothing(tmp_path: Path, baseline: Path) -> None:
    """A body that is not an image is counted, and is neither fatal nor a row."""
    assert violations(tmp_path, baseline) == {}
    summary = json.loads((tmp_path / "out" / "summary.json").read_bytes())
    assert summary["counts"]["unreadable"] == 1


@pytest.mark.parametrize(
    ("change", "feature"),
    [
        (lambda image: image.point([value // 2 for value in range(256)] * 3), "brightness"),
        (lambda image: image.filter(ImageFilter.GaussianBlur(2)), "sharpness"),
        (lambda image: image.resize((36, 24)), "aspect"),
    ],
)
def test_images_that_differ_violate_their_statistic(
    tmp_path: Path, baseline: Path, change: Callable[[Image.Image], Image.Image], feature: str
) -> None:
    assert violations(tmp_path, baseline, change)[feature] == "baseline_drift_check"


def test_a_model_that_becomes_unsure_is_a_violation_in_every_format(tmp_path: Path, baseline: Path) -> None:
    """There are a violation and a metric, and each response is counted, while the images are as before."""
    assert violations(tmp_path, baseline, sure=UNSURE) == {CONFIDENCE: "baseline_drift_check"}
    metrics = {
        each["MetricName"]: each for each in json.loads((tmp_path / "out/metrics/0.json").read_bytes())
    }
    assert metrics[f"feature_baseline_drift_{CONFIDENCE}"]["Value"] > 0.8
    assert metrics[f"feature_non_null_{CONFIDENCE}"]["StatisticValues"]["Sum"] == COUNT
    known = metrics[f"feature_data_{CONFIDENCE}"]["StatisticValues"]
    assert (known["Minimum"] > UNSURE[0], known["Maximum"] < UNSURE[1]) == (True, True)


def test_a_baseline_with_confidence_keeps_what_it_had(baseline: Path) -> None:
    """Its other columns, its number of rows and the project's threshold stay."""
    made = baseline.parent / "made"
    for name in ("statistics.json", "constraints.json"):
        before, after = (json.loads((folder / name).read_bytes()) for folder in (made, baseline))
        assert [each["name"] for each in after["features"]] == [*STATISTICS, CONFIDENCE]
        assert after | {"features": after["features"][:-1]} == before
        assert after["features"][-1]["inferred_type"] == "Fractional"


def test_a_baseline_without_confidence_is_compared_as_well(tmp_path: Path, baseline: Path) -> None:
    """Such a baseline belongs to a model from before responses were compared."""
    assert violations(tmp_path, baseline.parent / "made", sure=UNSURE) == {}


@pytest.mark.parametrize("form", FORMS)
def test_each_image_of_a_request_has_its_own_confidence(form: str) -> None:
    assert read_confidences(answer(form, 0.5, 0.75), 2) == [0.5, 0.75]


@pytest.mark.parametrize(
    "given",
    [
        None,
        answer(JSON, 0.5),
        side('{"predictions": [1.5, 2]}', "JSON", JSON),
        side('{"predictions": [{"label": "a"}, {"label": "b"}]}', "JSON", JSON),
        side("a\nb7", "CSV", CSV),
        side("a,nan\nb,0.5", "CSV", CSV),
        side("no base64", "BASE64", NPY),
    ],
)
def test_an_answer_that_says_no_confidence_is_a_missing_value(given: dict[str, str] | None) -> None:
    """A number alone, a label alone or another number of rows lowers the completeness."""
    assert read_confidences(given, 2) == [None, None]
