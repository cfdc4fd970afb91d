"""Images become lists and splits, or are refused; other files are left out with a reason."""

import base64
import csv
import io
import json
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from container import model_artifact, models
from container.data.schema import IMAGE, Schema
from container.data.split import SplitSettings
from container.evaluation import command as evaluate
from container.images import (
    CONFIDENCE,
    STATISTICS,
    dataset,
    decode,
    image_statistics,
    labelled_file,
    sources,
)
from container.images.decode import ImageError
from container.images.prepare import Settings, prepare, run
from container.monitor import command
from container.monitor.settings import Settings as MonitorSettings
from container.runtime.environment import read
from container.runtime.errors import UserError
from container.runtime.paths import ContainerPaths

SIDE = 16
COUNT = 60


def drawn(seed: int, size: tuple[int, int] = (24, 20)) -> Image.Image:
    random = np.random.Generator(np.random.PCG64(seed))
    return Image.fromarray(random.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8))


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    body = io.BytesIO()
    image.save(body, kind, **options)
    return body.getvalue()


def folders(root: Path, count: int = COUNT) -> Path:
    """Write images into a folder a label."""
    for number in range(count):
        path = root / "in" / "ab"[number % 2] / f"{number:03}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encoded(drawn(number)))
    return root / "in"


def prepared(root: Path, seed: int = 0) -> Path:
    prepare(Settings(SIDE, SplitSettings(seed)), root / "in", root / "out")
    return root / "out"


def report(out: Path) -> dict[str, Any]:
    return json.loads((out / "report" / "report.json").read_bytes())  # type: ignore[no-any-return]


def shown(out: Path, split: str) -> set[bytes]:
    """Return what the images of a split show."""
    files = sources.find(out / split).files
    return {decode.digest(decode.decode(file.read())) for file in files}


def reasons(out: Path) -> dict[str, str]:
    return {each["name"]: each["reason"] for each in report(out)["left_out"]["files"]}


def packed(path: Path, files: dict[str, bytes]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)


def bomb(width: int, height: int) -> bytes:
    """Return a small PNG that says it is large."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return (
            struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        )

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    rows = zlib.compress(bytes(1000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def test_labelled_folders_become_three_lists(tmp_path: Path) -> None:
    folders(tmp_path)
    out = prepared(tmp_path)
    schema = Schema.read(out / "schema" / "schema.json")
    assert (schema.target.classes, schema.target.task, schema.side) == (("a", "b"), "binary", SIDE)
    counts = report(out)["splits"]
    assert counts == {"train": 39, "validation": 9, "test": 12} or sum(counts.values()) == COUNT
    for name, count in counts.items():
        lines = (out / "report" / f"{name}.lst").read_text().splitlines()
        assert [line.split("\t")[0] for line in lines] == list(map(str, range(count)))
        assert all(Path(path).parent.name == label for _, label, path in (line.split("\t") for line in lines))
        images = dataset.read(out / name, schema)
        assert images.features.shape == (count, SIDE * SIDE * 3)
        assert min(np.bincount(images.target.astype(int))) >= count // 2 - 1


def test_a_golden_request_is_what_the_model_sees(tmp_path: Path) -> None:
    """So it is small, and its answer is the one that was recorded."""
    folders(tmp_path)
    out = prepared(tmp_path)
    images = dataset.read(out / "test", Schema.read(out / "schema" / "schema.json"))
    (image,) = json.loads(images.body(3))["instances"]
    seen = decode.decode(base64.b64decode(image["b64"]))
    assert seen.size == (SIDE, SIDE)
    assert np.array_equal(decode.pixels(seen, SIDE), images.features[3])


def test_the_same_picture_is_in_one_split_whatever_its_file_is(tmp_path: Path) -> None:
    """An image saved again, with an alpha channel or twice under other names, is still the same image."""
    folder = folders(tmp_path)
    for number in range(0, COUNT, 3):
        (folder / "ab"[number % 2] / f"again-{number}.png").write_bytes(
            encoded(drawn(number).convert("RGBA"))
        )
    out = prepared(tmp_path)
    found = [shown(out, name) for name in ("train", "validation", "test")]
    assert sum(map(len, found)) == len(set.union(*found)) == COUNT
    assert report(out)["left_out"]["counts"] == {"duplicate": COUNT // 3}


def test_more_pictures_move_none_from_training_to_test(tmp_path: Path) -> None:
    """So a retrained model and production's can be compared on images that are new to both."""
    folders(tmp_path / "one")
    folders(tmp_path / "two", COUNT * 2)
    before, after = prepared(tmp_path / "one"), prepared(tmp_path / "two")
    assert not shown(before, "train") & shown(after, "test")
    assert shown(before, "test") & shown(after, "test")


def test_what_is_no_picture_is_left_out_with_its_reason(tmp_path: Path) -> None:
    folder = folders(tmp_path)
    whole = encoded(drawn(1000))
    broken = {
        "a/empty.png": (b"", "empty"),
        "a/cut.png": (whole[: len(whole) // 2], "corrupt"),
        "b/text.jpg": (b"no image", "corrupt"),
        "b/small.png": (encoded(drawn(1001, (SIDE, SIDE - 1))), "undersized"),
        "b/bomb.png": (bomb(60_000, 60_000), "too-many-pixels"),
    }
    for name, (body, _) in broken.items():
        (folder / name).write_bytes(body)
    assert reasons(prepared(tmp_path)) == {name: reason for name, (_, reason) in broken.items()}


def test_a_picture_with_two_labels_is_left_out_wherever_it_is(tmp_path: Path) -> None:
    folder = folders(tmp_path)
    (folder / "b" / "again.png").write_bytes((folder / "a" / "000.png").read_bytes())
    out = prepared(tmp_path)
    assert reasons(out) == {"a/000.png": "conflicting-labels", "b/again.png": "conflicting-labels"}


@pytest.mark.parametrize(
    ("body", "rule"), [(b"", "more than 10%.*empty"), (None, "more than 50%.*duplicate")]
)
def test_too_many_that_are_left_out_are_refused(tmp_path: Path, body: bytes | None, rule: str) -> None:
    folder = folders(tmp_path)
    for number in range(COUNT + 10):
        same = folder / "a" / "000.png"
        (folder / "a" / f"z{number}.png").write_bytes(same.read_bytes() if body is None else body)
    with pytest.raises(UserError, match=rule):
        prepared(tmp_path)


@pytest.mark.parametrize("listed", ["in/a.png", "a.png"])
@pytest.mark.parametrize("place", ["images.lst", "in/images.lst", "lists/images.lst"])
def test_a_list_finds_its_pictures(tmp_path: Path, listed: str, place: str) -> None:
    """Lists stand beside the images, above them or elsewhere, and name more or less of their path."""
    packed(tmp_path / "in.zip", {"in/a.png": b"A", place: f"7\t1.000000\t{listed}\n".encode()})
    (found,) = sources.find(tmp_path).files
    assert (found.name, found.label, found.read()) == ("in.zip/in/a.png", "1", b"A")


def test_a_picture_that_is_listed_and_not_there_is_told(tmp_path: Path) -> None:
    packed(tmp_path / "in.zip", {"a.png": b"A", "p.lst": b"0\t1\tb.png\n"})
    (found,) = sources.find(tmp_path).files
    with pytest.raises(ImageError, match=r"in.zip/p.lst: line 1 names it, and it is hidden or not there"):
        found.read()


@pytest.mark.parametrize(
    ("files", "rule"),
    [
        ({"../a.png": b""}, "'../a.png' points outside"),
        ({"/etc/a.png": b""}, "'/etc/a.png' points outside"),
        ({"a\\..\\..\\b.png": b""}, "points outside"),
        ({"c:/a.png": b""}, "points outside"),
        ({"a.png": b"", "l.lst": b"0\t1\t../../a.png\n"}, "line 1: '../../a.png' points outside"),
        (
            {"a.png": b"", "l.lst": b"0\t1 a.png\n"},
            "line 1 has 2 fields, and must have an index, a label and a",
        ),
        ({"a.png": b"", "l.lst": b"\xff\n"}, "l.lst cannot be read as UTF-8"),
        ({"x/a.png": b"", "y/a.png": b"", "l.lst": b"0\t1\ta.png\n"}, "may be x/a.png or y/a.png"),
        ({"a.png": b""}, "in.zip/a.png has no label"),
        ({"notes.txt": b""}, "no image in"),
    ],
)
def test_archives_that_lead_elsewhere_or_say_nothing_are_refused(
    tmp_path: Path, files: dict[str, bytes], rule: str
) -> None:
    packed(tmp_path / "in.zip", files)
    with pytest.raises(UserError, match=rule.replace("\\", "\\\\")):
        sources.find(tmp_path)


def test_links_in_archives_are_refused(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("a/passwd.png")
    link.external_attr = (stat.S_IFLNK | 0o777) * 65536
    with zipfile.ZipFile(tmp_path / "in.zip", "w") as archive:
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(UserError, match=r"in.zip holds the link 'a/passwd.png'"):
        sources.find(tmp_path)


def test_a_file_that_unpacks_to_too_much_is_no_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No more of it is unpacked than one byte beyond the bound."""
    monkeypatch.setattr(labelled_file, "MAX_BYTES", 1000)
    with zipfile.ZipFile(tmp_path / "in.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/zeros.png", bytes(1001))
    (found,) = sources.find(tmp_path).files
    with pytest.raises(ImageError, match="more than 1000 bytes"):
        found.read()


def test_a_damaged_archive_is_refused_and_a_damaged_member_left_out(tmp_path: Path) -> None:
    path = tmp_path / "in.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a/a.png", b"0123456789" * 10)
    path.write_bytes(path.read_bytes().replace(b"0123456789", b"9876543210", 1))
    (found,) = sources.find(tmp_path).files
    with pytest.raises(ImageError, match="cannot be unpacked"):
        found.read()
    path.write_bytes(b"PK no zip")
    with pytest.raises(UserError, match=r"in.zip is not a zip, or is damaged"):
        sources.find(tmp_path)


@pytest.mark.parametrize(
    "changed",
    [
        lambda grey: grey,
        lambda grey: grey.convert("RGB"),
        lambda grey: grey.convert("RGBA"),
        lambda grey: grey.convert("LA"),
        lambda grey: grey.convert("P"),
        lambda grey: Image.fromarray(np.asarray(grey).astype(np.uint16) * 256 + 255),
    ],
)
def test_a_picture_looks_the_same_in_every_mode(changed: Callable[[Image.Image], Image.Image]) -> None:
    grey = drawn(3).convert("L")
    found = decode.decode(encoded(changed(grey)))
    assert found.mode == "RGB"
    assert np.array_equal(np.asarray(found), np.asarray(grey.convert("RGB")))


def test_what_is_transparent_is_white() -> None:
    image = drawn(4).convert("RGBA")
    image.putalpha(0)
    assert np.asarray(decode.decode(encoded(image))).min() == 255


def test_a_photograph_is_looked_at_upright() -> None:
    turned = Image.Exif()
    turned[0x0112] = 6
    assert decode.decode(encoded(drawn(5, (30, 20)), "JPEG", exif=turned)).size == (20, 30)


@given(st.binary(max_size=200), st.integers(0, 400))
def test_damage_is_never_anything_but_a_reason(noise: bytes, at: int) -> None:
    body = encoded(drawn(6, (8, 8)))
    for damaged in (noise, body[:at] + noise + body[at + len(noise) :]):
        try:
            assert decode.decode(damaged).mode == "RGB"
        except ImageError as error:
            assert error.reason in {"empty", "corrupt", "too-many-pixels"}  # noqa: PT017 - one of several errors is right


def test_statistics_tell_what_changed() -> None:
    """Each number moves with what it is called by, and an even image has none to divide by zero for."""
    plain = drawn(7).resize((32, 32))
    numbers = dict(zip(STATISTICS, image_statistics.measure(plain), strict=True))
    dark = dict(
        zip(STATISTICS, image_statistics.measure(plain.point([v // 3 for v in range(256)] * 3)), strict=True)
    )
    wide = dict(zip(STATISTICS, image_statistics.measure(plain.resize((64, 32))), strict=True))
    assert dark["brightness"] < numbers["brightness"] / 2
    assert dark["contrast"] < numbers["contrast"] / 2
    assert dark["sharpness"] == pytest.approx(numbers["sharpness"], rel=0.1)
    assert wide["aspect"] == 2 * numbers["aspect"] == 2
    assert wide["sharpness"] < numbers["sharpness"]
    assert image_statistics.measure(Image.new("RGB", (4, 4), "black")) == (0, 0, 0, 1, 0)


def test_the_baseline_holds_a_row_a_training_picture(tmp_path: Path) -> None:
    folders(tmp_path)
    out = prepared(tmp_path)
    with (out / "baseline" / "baseline.csv").open(newline="") as file:
        header, *rows = csv.reader(file)
    assert tuple(header) == STATISTICS
    assert len(rows) == report(out)["splits"]["train"]


def as_instances(root: Path, count: int) -> Path:
    """Look at the images of a folder as each of several instances, and return where they leave it."""
    hosts = [f"algo-{number + 1}" for number in range(count)]
    for host in hosts:
        base = root / host
        (base / "config").mkdir(parents=True)
        (base / "processing" / "input").mkdir(parents=True)
        (base / "processing" / "input" / "data").symlink_to(root / "in")
        resources = {"current_host": host, "hosts": hosts}
        (base / "config" / "resourceconfig.json").write_text(json.dumps(resources))
        run({"IMAGE_SIZE": str(SIDE)}, ContainerPaths(base))
        (root / "partial").mkdir(exist_ok=True)
        (part,) = (base / "processing" / "output").rglob("*.*")
        part.rename(root / "partial" / part.name)
    return root / "partial"


def delivery(root: Path) -> Path:
    """Write images, some of them none, some twice, some with two labels, and one that is missing."""
    folder = folders(root)
    (folder / "a" / "empty.png").write_bytes(b"")
    (folder / "b" / "again.png").write_bytes((folder / "b" / "001.png").read_bytes())
    (folder / "b" / "torn.png").write_bytes((folder / "a" / "000.png").read_bytes())
    packed(folder / "more.zip", {"x.png": encoded(drawn(500)), "l.lst": b"0\ta\tx.png\n1\tb\ty.png\n"})
    return folder


def test_instances_share_the_pictures_and_one_goes_on_from_there(tmp_path: Path) -> None:
    """To the same files, byte for byte, as when one looks at all."""
    delivery(tmp_path)
    partial = as_instances(tmp_path, 3)
    assert sorted(path.name for path in partial.iterdir()) == ["algo-1.json", "algo-2.json", "algo-3.json"]
    alone = prepared(tmp_path)
    assert set(report(alone)["left_out"]["counts"]) == {"empty", "missing", "duplicate", "conflicting-labels"}
    prepare(Settings(SIDE), tmp_path / "in", tmp_path / "merged", partial)
    written = [path.relative_to(alone) for path in sorted(alone.rglob("*.*"))]
    assert [
        path.relative_to(tmp_path / "merged") for path in sorted((tmp_path / "merged").rglob("*.*"))
    ] == written
    for path in written:
        assert (tmp_path / "merged" / path).read_bytes() == (alone / path).read_bytes(), path


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        (
            lambda folder: (folder / "a" / "zz.png").write_bytes(b""),
            "60 images were inspected, and there are 61",
        ),
        (
            lambda folder: (folder / "a" / "000.png").rename(folder / "a" / "zz.png"),
            "has inspected a/002.png",
        ),
        (lambda folder: (folder / "b" / "003.png").write_bytes(b"else"), "b/003.png is another image now"),
    ],
)
def test_pictures_that_change_between_the_jobs_are_refused(
    tmp_path: Path, change: Callable[[Path], Any], rule: str
) -> None:
    """Or they would go where another image belongs."""
    folder = folders(tmp_path)
    partial = as_instances(tmp_path, 2)
    change(folder)
    with pytest.raises(UserError, match=f"{rule}.*: start again"):
        prepare(Settings(SIDE), folder, tmp_path / "out", partial)


def test_parts_that_went_elsewhere_are_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no partial result in"):
        prepare(Settings(SIDE), folders(tmp_path), tmp_path / "out", tmp_path / "nowhere")


def archived(out: Path, archive: Path) -> None:
    """Leave a model of the training images as a training job does."""
    name, schema, directory = "hog_svm", Schema.read(out / "schema" / "schema.json"), out / "model"
    chosen, train = models.module(name, IMAGE), dataset.read(out / "train", schema)
    model = chosen.create(schema, chosen.Hyperparameters(), 0)
    model.fit(train.features, train.target, None)
    directory.mkdir()
    model.save(directory)
    schema.write(directory / model_artifact.SCHEMA)
    (directory / model_artifact.MODEL).write_text(
        json.dumps({"version": model_artifact.VERSION, "model": name})
    )
    archive.parent.mkdir(parents=True)
    with tarfile.open(archive, "w:gz") as opened:
        opened.add(directory, ".")


def test_the_evaluation_adds_the_models_confidence_to_the_baseline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That in test images: in those that it has learned from it is surer than it will be of any other."""
    folders(tmp_path)
    out, given = prepared(tmp_path), tmp_path / "processing" / "input"
    archived(out, given / "model" / "model.tar.gz")
    for split in ("train", "validation", "test"):
        (given / split).symlink_to(out / split)
    wanted = {"dataset_source": str(out / "baseline"), "output_path": str(given / "baseline")}
    place = ContainerPaths(tmp_path)
    command.run(MonitorSettings.read(wanted, place), place.resources(), [])
    monkeypatch.setenv("SAGEMAKER_BASE_DIR", str(tmp_path))
    evaluate.main()
    left = tmp_path / "processing" / "output" / "evaluation"
    with (left / "differences.csv").open(newline="") as file:
        sure = [float(row["probability"]) for row in csv.DictReader(file)]
    *others, confidence = json.loads((left / "statistics.json").read_bytes())["features"]
    found = confidence["numerical_statistics"]
    assert [each["name"] for each in others] == [*STATISTICS]
    assert (confidence["name"], found["common"]["num_present"]) == (CONFIDENCE, report(out)["splits"]["test"])
    assert (found["min"], found["max"]) == (min(sure), max(sure))
    assert found["mean"] == pytest.approx(fmean(sure))
    asked = json.loads((left / "constraints.json").read_bytes())["features"][-1]
    assert asked == {
        "name": CONFIDENCE,
        "inferred_type": "Fractional",
        "completeness": 1.0,
        "num_constraints": {"is_non_negative": True},
    }


@pytest.mark.parametrize("text", ["", "8", "20", "264", "x"])
def test_a_side_that_no_model_sees_is_refused(text: str) -> None:
    with pytest.raises(UserError, match="IMAGE_SIZE"):
        read(Settings, {"IMAGE_SIZE": text})
