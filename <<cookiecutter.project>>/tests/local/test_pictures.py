"""Images in the local commands: packing, sending and changing them, and reading the prepared data."""

import base64
import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest
from delivery.history import results
from delivery.inference.rows import COLUMN, Pictures, read_pictures
from PIL import Image, ImageStat
from rich.console import Console

from local import pictures, scenarios
from local.project import LocalError


def encode_image(colour: str) -> bytes:
    body = io.BytesIO()
    Image.new("RGB", (8, 8), colour).save(body, "PNG")
    return body.getvalue()


def images_of(*colours: str) -> Pictures:
    return Pictures.of({f"{row}.png": encode_image(each) for row, each in enumerate(colours)}, colours)


def test_a_zip_preserves_the_images() -> None:
    """The images and labels that are added as training data equal those that were sent."""
    images = images_of("red", "green", "blue")
    assert read_pictures(images.packed("label")) == images


@pytest.mark.parametrize(
    ("names", "message"),
    [(["in/a.png"], ""), (["a.png", "x/a.png"], ""), (["x/a.png", "y/a.png"], "x/a.png or y/a.png")],
)
def test_a_list_may_omit_folders(tmp_path: Path, names: list[str], message: str) -> None:
    with zipfile.ZipFile(tmp_path / "p.zip", "w") as archive:
        for name in names:
            archive.writestr(name, encode_image("red"))
        archive.writestr("p.lst", "0\tcat\ta.png\n")
    if message:
        with pytest.raises(LocalError, match=message):
            pictures.read_file(tmp_path / "p.zip")
        return
    found = pictures.read_file(tmp_path / "p.zip")
    assert (base64.b64decode(found.rows[0][0]), found.labels) == (encode_image("red"), ("cat",))


def test_a_file_that_is_no_image_is_refused_before_it_is_sent(tmp_path: Path) -> None:
    """A table given to an image model is not called a picture, which an endpoint would find corrupt."""
    (tmp_path / "rows.csv").write_text("a,b\n1,2\n")
    with pytest.raises(LocalError, match=r"rows\.csv can't be read as a picture, .*: it is not a PNG, JPEG"):
        pictures.read_file(tmp_path / "rows.csv")
    (tmp_path / "red").write_bytes(encode_image("red"))
    assert len(pictures.read_file(tmp_path / "red").rows) == 1


def test_what_of_a_zip_is_not_predicted_is_said(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "p.zip", "w") as archive:
        for name in ("cat/a.png", "dog/b.png"):
            archive.writestr(name, encode_image("red"))
        for name in ("cat/a.txt", "notes.txt", "dog/damaged.png"):
            archive.writestr(name, b"x")
    found = pictures.read_file(tmp_path / "p.zip")
    assert found.labels == ("cat", "dog")
    assert found.remarks == (
        "the label of p.zip/cat/a.png is cat: folders of level 1 are labels",
        "3 files are left out, such as p.zip/notes.txt: it is not a PNG, JPEG, WebP, BMP, TIFF or GIF",
    )


def test_a_run_shows_what_was_taken_for_labels() -> None:
    shown = Console(file=io.StringIO(), width=100)
    left_out = {"counts": {"hidden": 1}, "files": []}
    labels = "the label of cat/0.png is cat"
    shown.print(results.data({"pictures": {"read": 2, "kept": 2}, "labels": labels, "left_out": left_out}))
    assert isinstance(shown.file, io.StringIO)
    assert shown.file.getvalue().split("\n")[:3] == [
        "data: 2 read, 2 kept",
        f"  {labels}",
        "  images left out: 1, hidden",
    ]


def test_a_request_has_the_images_from_start_to_stop() -> None:
    images = images_of("red", "green", "blue")
    assert json.loads(images.body(1, 3)) == {"instances": [{"b64": text} for (text,) in images.rows[1:]]}


def test_a_folder_is_packed_and_a_zip_is_unchanged(tmp_path: Path) -> None:
    """`prepare` counts the files that it cannot read; hidden ones are counted here."""
    names = ("a/1.png", "b/2.JPG", "bird/3.heic", "list.lst", "notes.txt")
    for name in (*names, "a/._1.png", ".ipynb_checkpoints/1.png", "Thumbs.db", "d/4.parquet", "e.zip"):
        (tmp_path / "shop" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "shop" / name).write_bytes(name.encode())
    (tmp_path / "made").mkdir()
    (table, archive, packed), note = pictures.data_files(tmp_path / "shop", tmp_path / "made")
    assert note == "7 files are uploaded, and 3 hidden ones are not."
    assert (table, archive) == (tmp_path / "shop" / "d" / "4.parquet", tmp_path / "shop" / "e.zip")
    with zipfile.ZipFile(packed) as made:
        assert tuple(made.namelist()) == names
        assert made.read("a/1.png") == b"a/1.png"
    once = packed.read_bytes()
    assert pictures.data_files(tmp_path / "shop", tmp_path / "made")[0][2].read_bytes() == once
    for path in (packed, archive, table):
        assert pictures.data_files(path, tmp_path / "other") == ((path,), "")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda folder: (folder / "dog").symlink_to(folder / "cat"), "dog is a link to a folder"),
        (lambda folder: (folder / "gone.png").symlink_to(folder / "nothing"), "or to nothing"),
        (lambda folder: [(folder / at / "0.parquet").touch() for at in ("cat", "train")], "of the same name"),
        (lambda folder: [(folder / at / "0.zip").touch() for at in ("cat", "train")], "of the same name"),
        (lambda folder: (folder / f"{folder.name}.zip").touch(), "or one of the folder's name"),
    ],
)
def test_a_folder_of_which_files_would_vanish_is_refused(
    tmp_path: Path, change: Callable[[Path], object], message: str
) -> None:
    for name in ("cat", "train"):
        (tmp_path / name).mkdir()
    (tmp_path / "cat" / "1.png").touch()
    change(tmp_path)
    with pytest.raises(LocalError, match=message):
        pictures.data_files(tmp_path, tmp_path)


@pytest.mark.parametrize("name", ["nothing", "empty", "table.csv"])
def test_a_file_or_folder_without_images_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "table.csv").touch()
    with pytest.raises(LocalError, match=f"{name} is neither a zip or Parquet file"):
        pictures.data_files(tmp_path / name, tmp_path / "made")


def test_scenarios_change_images_as_they_describe() -> None:
    images = images_of("white", "gray", "white", "gray")

    def brightness(changed: Pictures) -> list[float]:
        opened = [Image.open(io.BytesIO(base64.b64decode(text))) for (text,) in changed.rows]
        return [sum(ImageStat.Stat(picture).mean) for picture in opened]

    darker = scenarios.applied(pictures.SCENARIOS["darker"], images, COLUMN, 0.5, Random(0))
    assert isinstance(darker, Pictures)
    assert brightness(darker) == pytest.approx([each / 2 for each in brightness(images)], abs=3)
    assert darker.labels == images.labels
    others = scenarios.applied(pictures.SCENARIOS["class"], images, COLUMN, 1.0, Random(0))
    assert not set(others.rows) & set(images.rows)
    types = {COLUMN: pictures.PICTURE}
    assert scenarios.usable_features(pictures.SCENARIOS["blurred"], None, types) == [COLUMN]
    with pytest.raises(LocalError, match="scenario shift takes a feature of type"):
        scenarios.usable_features(scenarios.OF_TABLES["shift"], None, types)


@pytest.mark.parametrize("name", sorted(pictures.SCENARIOS))
def test_every_default_strength_is_accepted(name: str) -> None:
    scenario = pictures.SCENARIOS[name]
    assert scenario.takes(scenario.strength)
    assert not scenario.takes(1.5)


def test_the_sample_has_images_of_digits(tmp_path: Path) -> None:
    path, _, description = pictures.write_sample(tmp_path)
    found = read_pictures(path.read_bytes())
    assert len(found.rows) == 1797
    assert set(found.labels or ()) == set("0123456789")
    assert "digits" in description
