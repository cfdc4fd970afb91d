"""Images of every format, folder layout, list and Parquet file are read alike, and what is not is counted."""

import io
import json
import struct
import zipfile
import zlib
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from PIL import Image

from container.data.reading import ReadingSettings
from container.data.schema import Schema
from container.images import dataset, decode, parquet_images, sources
from container.images.decode import ImageError
from container.images.prepare import MAX_LISTED, Settings, prepare
from container.runtime.environment import read
from container.runtime.errors import UserError

SIDE = 16
KEPT = pytest.approx(0, abs=40)  # what JPEG and palettes change of a level
Files = dict[str, bytes]


def drawn(seed: int) -> Image.Image:
    coarse = np.random.Generator(np.random.PCG64(seed)).integers(40, 216, (4, 6, 3)).astype(np.uint8)
    return Image.fromarray(coarse).resize((30, 20), Image.Resampling.BICUBIC)


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    body = io.BytesIO()
    image.save(body, kind, **options)
    return body.getvalue()


def many(name: str, count: int, kind: str = "PNG", seed: int = 0) -> Files:
    """Return different images under names with their numbers."""
    base = sum(name.encode()) * 1000 + seed
    return {name.format(number): encoded(drawn(base + number), kind) for number in range(count)}


def written(folder: Path, files: Files) -> Path:
    for name, body in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(body)
    return folder


def prepared(root: Path, files: Files, **settings: Any) -> dict[str, Any]:
    """Prepare images, and return the report."""
    prepare(Settings(SIDE, **settings), written(root / "in", files), root / "out")
    return json.loads((root / "out" / "report" / "report.json").read_bytes())  # type: ignore[no-any-return]


def labels(folder: Path, target: str = "") -> dict[str, int]:
    return dict(Counter(file.label for file in sources.find(folder, target).files))


def turned(**options: Any) -> dict[str, Any]:
    exif = Image.Exif()
    exif[0x0112] = 6
    return {"exif": exif, **options}


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("PNG", {}),
        ("PNG", turned()),
        ("JPEG", turned(quality=95)),
        ("WEBP", {"lossless": True}),
        ("WEBP", turned(lossless=True)),
        ("BMP", {}),
        ("TIFF", {}),
        ("TIFF", {"tiffinfo": {0x0112: 6}}),
        ("TIFF", {"tiffinfo": {0x0112: 6}, "compression": "tiff_lzw"}),
        ("TIFF", {"compression": "jpeg", "quality": 95}),
        ("TIFF", {"big_tiff": True}),
        ("GIF", {}),
        *((kind, {"save_all": True, "append_images": [drawn(1)]}) for kind in ("PNG", "GIF", "TIFF", "WEBP")),
    ],
)
def test_the_first_frame_is_read_upright(kind: str, options: dict[str, Any]) -> None:
    image = drawn(0)
    found = decode.decode(encoded(image, kind, **options))
    is_turned = "exif" in options or "tiffinfo" in options
    wanted = image.transpose(Image.Transpose.ROTATE_270) if is_turned else image
    assert found.size == wanted.size
    difference = np.abs(np.asarray(found, dtype=int) - np.asarray(wanted, dtype=int))
    assert difference.max() == (KEPT if kind in {"JPEG", "GIF", "WEBP"} or "quality" in options else 0)


@pytest.mark.parametrize("options", [{}, {"compression": "tiff_lzw"}])
def test_grey_of_16_bits_looks_like_that_of_8(options: dict[str, Any]) -> None:
    grey = np.arange(600, dtype=np.uint16).reshape(20, 30) * 100
    for white, wanted in ((1, grey >> 8), (0, 255 - (grey >> 8))):
        body = encoded(Image.fromarray(grey), "TIFF", tiffinfo={262: white}, **options)
        assert np.array_equal(np.asarray(decode.decode(body))[..., 0], wanted)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_transparent_level_of_16_bits_is_white(channels: int) -> None:
    """Pillow compares all 16 bits of the level with the 8 bits of colours that it reads."""
    level, row = 1000, [1000, 232 * 256, 5 * 256]

    def chunk(name: bytes, content: bytes) -> bytes:
        return len(content).to_bytes(4) + name + content + zlib.crc32(name + content).to_bytes(4)

    header = struct.pack(">IIBBBBB", 3, 1, 16, channels - 1, 0, 0, 0)
    pixels = b"\0" + b"".join(each.to_bytes(2) * channels for each in row)
    parts = ((b"IHDR", header), (b"tRNS", level.to_bytes(2) * channels), (b"IDAT", zlib.compress(pixels)))
    body = b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*each) for each in (*parts, (b"IEND", b"")))
    assert np.asarray(decode.decode(body))[0, :, 0].tolist() == [255, 232, 5]


@pytest.mark.parametrize("kind", [np.float32, np.int32])
def test_numbers_without_a_known_white_are_refused(kind: type) -> None:
    with pytest.raises(ImageError, match=r"32-bit numbers.*: save it with 8 or 16 bits") as caught:
        decode.decode(encoded(Image.fromarray(np.ones((20, 20), dtype=kind)), "TIFF"))
    assert caught.value.reason == "unsupported"


def test_pillow_opens_no_other_format() -> None:
    """A reader such as that of EPS would start another program."""
    for kind in ("EPS", "PPM", "ICO", "TGA", "PDF", "JPEG2000"):
        with pytest.raises(ImageError, match="it is not a PNG, JPEG, WebP, BMP, TIFF or GIF"):
            decode.decode(encoded(drawn(0), kind))


def tiff(tags: dict[int, int], kind: int = 4, count: int = 1) -> bytes:
    """Return a TIFF of a directory alone, whose tags have one type and count."""
    entries = b"".join(struct.pack("<HHII", tag, kind, count, value) for tag, value in tags.items())
    return b"II*\0\x08\0\0\0" + struct.pack("<H", len(tags)) + entries + bytes(12)


def directory(count: int) -> bytes:
    """Return a TIFF directory whose tags all refer to nearly the whole file."""
    return tiff(dict.fromkeys(range(1000, 1000 + count), 0), 7, count * 12)


TILED = tiff({256: 9, 257: 9, 258: 8, 259: 5, 262: 1, 277: 1, 322: 60_000, 323: 60_000, 324: 8, 325: 9})


def in_jpeg(body: bytes) -> bytes:
    parts = (b"Exif\0\0" + body[start : start + 65000] for start in range(0, len(body), 65000))
    segments = b"".join(b"\xff\xe1" + (len(part) + 2).to_bytes(2) + part for part in parts)
    jpeg = encoded(drawn(0), "JPEG")
    return jpeg[:2] + segments + jpeg[2:]


def patched(kind: str, at: int, content: bytes) -> bytes:
    body = encoded(drawn(0), kind, **turned() if kind == "WEBP" else {})
    return body[:at] + content + body[at + len(content) :]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (directory(10_000), "corrupt"),
        (in_jpeg(directory(10_000)), "corrupt"),
        (encoded(drawn(0), exif=b"Exif\0\0" + directory(10_000)), "corrupt"),
        (encoded(drawn(0), "WEBP", exif=directory(10_000)), "corrupt"),
        (TILED, "too-many-pixels"),
        (patched("GIF", 6, b"\xff\xff\xff\xff"), "too-many-pixels"),
        (patched("BMP", 18, b"\0\0\1\0\0\0\1\0"), "too-many-pixels"),
        (patched("WEBP", 24, b"\xff\x3f\0\xff\x3f\0"), "too-many-pixels"),
    ],
    ids=["tiff", "jpeg", "png", "webp", "tile", "gif-size", "bmp-size", "webp-size"],
)
def test_files_that_would_fill_the_memory_are_refused(body: bytes, reason: str) -> None:
    with pytest.raises(ImageError) as caught:
        decode.decode(body)
    assert caught.value.reason == reason


def test_pictures_are_read_by_content_and_no_class_vanishes(tmp_path: Path) -> None:
    files = {
        **many("cat/{}.png", 8),
        **many("cat/{}.webp", 8, "WEBP"),
        **many("dog/{}.bmp", 16, "BMP"),
        **many("bird/{}.jpg", 16, "WEBP"),
        **many("fish/{}", 16, "TIFF"),
    }
    report = prepared(tmp_path, files)
    assert report["classes"] == dict.fromkeys(("bird", "cat", "dog", "fish"), 16)
    assert report["left_out"]["counts"] == {}


HIDDEN = ("cat/._0.png", ".ipynb_checkpoints/0.png", "__MACOSX/cat/0.png", "cat/Thumbs.db", "dog/.DS_Store")


def test_what_is_not_read_is_counted(tmp_path: Path) -> None:
    files = {**many("cat/{}.png", 30), **many("dog/{}.png", 30), **dict.fromkeys(HIDDEN, b"x")}
    report = prepared(tmp_path, {**files, "dog/notes.txt": b"x", "README.md": b"x"})
    assert report["pictures"] == {"read": 62, "kept": 60}
    assert report["left_out"]["counts"] == {"hidden": 5, "other-format": 2}
    left_out = {file["name"] for file in report["left_out"]["files"]}
    assert left_out == {*HIDDEN, "dog/notes.txt", "README.md"}


def test_a_folder_without_images_is_no_class(tmp_path: Path) -> None:
    """Protects classes from the folder of annotations beside them."""
    files = {**many("cat/{}.png", 30), **many("dog/{}.png", 30), "ann/0.xml": b"x", "ann/1.xml": b"y"}
    report = prepared(tmp_path, files)
    assert report["classes"] == {"cat": 30, "dog": 30}
    assert report["left_out"]["counts"] == {"other-format": 2}
    words = "the folder 'ann' holds no image, so it is not a class"
    assert {file["words"] for file in report["left_out"]["files"]} == {words}
    many_more = {f"ann/{number}.xml": b"x" for number in range(12)}
    with pytest.raises(
        UserError, match=f"ann/0.xml is left out .other-format: {words}.*12 of 72 files, more than"
    ):
        prepared(tmp_path, many_more)


def test_the_report_says_which_column_has_the_labels(tmp_path: Path) -> None:
    """Protects from a column that is taken since the target's name is in no file."""
    images = [encoded(drawn(number)) for number in range(60)]
    pl.DataFrame({"image": images, "label": ["a", "b"] * 30}).write_parquet(tmp_path / "a.parquet")
    assert sources.find(tmp_path, "label").labels == ""
    assert sources.find(tmp_path, "y").labels == (
        "the labels of a.parquet are in its column 'label', since no column of labels is named 'y'"
    )


def test_a_report_counts_all_files_and_names_the_first(tmp_path: Path) -> None:
    hidden = {f".cache/{number}": b"" for number in range(MAX_LISTED + 20)}
    report = prepared(tmp_path, {**many("cat/{}.png", 25), **many("dog/{}.png", 25), **hidden})
    assert report["left_out"]["counts"] == {"hidden": MAX_LISTED + 20}
    assert len(report["left_out"]["files"]) == MAX_LISTED


@pytest.mark.parametrize(
    ("count", "share", "rule"),
    [
        (12, "0.1", r"bird/0.heic is left out.*12 of 72 files, more than 10% .*max_skipped in project.toml"),
        (12, "0.5", r"no image of the class 'bird' can be used \(bird/0.heic: other-format"),
        (1, "0.1", "no image of the class 'bird' can be used"),
    ],
)
def test_a_class_of_unreadable_files_is_refused(tmp_path: Path, count: int, share: str, rule: str) -> None:
    reading = read(ReadingSettings, {"MAX_SKIPPED": share})
    files = {f"bird/{number}.heic": b"\0\0\0\x18ftypheic" for number in range(count)}
    with pytest.raises(UserError, match=rule):
        prepared(tmp_path, {**many("cat/{}.png", 30), **many("dog/{}.png", 30), **files}, reading=reading)


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (["cat/cam1/0.png", "cat/cam2/0.png", "dog/cam1/0.png"], {"cat": 2, "dog": 1}),
        (["data/cat/0.png", "data/dog/0.png"], {"cat": 1, "dog": 1}),
        (["train/cat/0.png", "test/cat/0.png", "test/dog/0.png"], {"cat": 2, "dog": 1}),
        (["Train/x/cat/0.png", "val_set/x/dog/0.png"], {"cat": 1, "dog": 1}),
        (["cat/train/0.png", "cat/test/0.png", "dog/train/0.png"], {"cat": 2, "dog": 1}),
        (["bus/0.png", "train/0.png"], {"bus": 1, "train": 1}),
        (["cat/0.png", "cat/notes/all/0.txt", "dog/0.png", "notes.txt"], {"cat": 2, "dog": 1}),
        (["data/cat/0.png", "data/dog/0.png", "docs/all/0.txt"], {"cat": 1, "dog": 1}),
        (["cat/cam1/0.png", "cat/cam2/0.png", "bird/cam1/0.heic"], {"bird": 1, "cat": 2}),
    ],
)
def test_the_class_is_the_first_folder_that_differs(
    tmp_path: Path, names: list[str], found: dict[str, int]
) -> None:
    assert labels(written(tmp_path, dict.fromkeys(names, b""))) == found


@pytest.mark.parametrize(
    ("names", "rule"),
    [
        (["cat/0.png", "dog/cam1/0.png"], "depth 1, and .* 2, so the classes may be cat, dog, or cam1, cat"),
        (["train/cat/0.png", "train/dog/0.png", "test/0.png"], "may be test, train, or cat, dog, test"),
        (["train/a/0.png", "cat/b/0.png"], "train among the folders cat, train may be a split.*or a, b"),
        (["train/0.png", "test/0.png"], "test, train are named like splits, not like classes"),
        (["0.png", "cat/0.png"], "0.png has no label"),
    ],
)
def test_folders_with_two_readings_are_refused(tmp_path: Path, names: list[str], rule: str) -> None:
    with pytest.raises(UserError, match=rule):
        sources.find(written(tmp_path, dict.fromkeys(names, b"")))


def test_the_report_says_which_folders_are_labels(tmp_path: Path) -> None:
    names = ("train/cat/a/0.png", "test/dog/b/0.png")
    assert sources.find(written(tmp_path, dict.fromkeys(names, b""))).labels == (
        "the label of test/dog/b/0.png is dog: folders of level 2 are labels; "
        "test, train are not, and their images are split anew; a, b below them are not"
    )


def test_the_example_of_a_label_is_an_image_that_is_read(tmp_path: Path) -> None:
    names = ("bird/0.heic", "cat/0.heic", "cat/1.png", "dog/0.png")
    found = sources.find(written(tmp_path, dict.fromkeys(names, b"")))
    assert found.labels == "the label of cat/1.png is cat: folders of level 1 are labels"


def test_a_label_that_may_be_a_split_is_named(tmp_path: Path) -> None:
    found = sources.find(written(tmp_path, dict.fromkeys(("cat/0.png", "dog/0.png", "test/0.png"), b"")))
    assert found.labels.endswith("; test may be a split, and is read as a label")


def test_a_damaged_member_of_an_lzma_zip_is_left_out(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("cat/0.png", encoded(drawn(0)))
    body = bytearray((tmp_path / "a.zip").read_bytes())
    body[60:90] = bytes(30)
    (tmp_path / "a.zip").write_bytes(body)
    (file,) = sources.find(tmp_path).files
    with pytest.raises(ImageError, match="it cannot be unpacked"):
        file.read()


def test_a_zip_of_a_later_version_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("cat/0.png", b"")
    body = bytearray((tmp_path / "a.zip").read_bytes())
    body[body.index(b"PK\1\2") + 6] = 99
    (tmp_path / "a.zip").write_bytes(body)
    with pytest.raises(UserError, match=r"a.zip is not a zip, or is damaged: zip file version 9.9"):
        sources.find(tmp_path)


def test_a_list_from_windows_is_read(tmp_path: Path) -> None:
    r"""It has cat\0.png, numbers as labels, and leaves out an image."""
    lines = ["0\t1.000000\tcat\\0.png", "1\t0.000000\t.\\dog\\0.png", "2\t-1\tdog\\1.png", ""]
    bodies = dict.fromkeys(("cat/0.png", "dog/0.png", "dog/1.png", "dog/2.png"), b"x")
    found = sources.find(written(tmp_path, {**bodies, "all.lst": "\r\n".join(lines).encode()}))
    read_ = {file.name: (file.label, file.read()) for file in found.files}
    assert read_ == {"cat/0.png": ("1", b"x"), "dog/0.png": ("0", b"x"), "dog/1.png": ("-1", b"x")}
    assert [(file.name, file.reason) for file in found.skipped] == [("dog/2.png", "not-listed")]


STRUCTS = [{"bytes": b"%d" % number, "path": "a.png"} for number in range(70)]
BODIES = [each["bytes"] for each in STRUCTS]
CODES = [number % 2 for number in range(70)]
NAMES = {
    "huggingface": json.dumps(
        {"info": {"features": {"label": {"names": ["cat", "dog"], "_type": "ClassLabel"}}}}
    )
}


@pytest.mark.parametrize(
    ("columns", "metadata", "found"),
    [
        ({"image": STRUCTS, "label": CODES}, None, ["0", "1"]),
        ({"image": STRUCTS, "label": CODES}, NAMES, ["cat", "dog"]),
        ({"image": STRUCTS, "label": ["cat", "dog"] * 35}, NAMES, ["cat", "dog"]),
        ({"img": BODIES, "kind": ["b", " a"] * 35}, None, ["b", "a"]),
        ({"img": BODIES, "size": CODES, "kind": [0.0, 1.0] * 35}, None, ["0", "1"]),
    ],
)
def test_parquet_has_an_image_in_each_row(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    columns: dict[str, Any],
    metadata: dict[str, str] | None,
    found: list[str],
) -> None:
    monkeypatch.setattr(parquet_images, "MAX_CHUNK_ROWS", 32)
    pl.DataFrame(columns).write_parquet(tmp_path / "a.parquet", metadata=metadata, row_group_size=20)
    files = sources.find(tmp_path, "kind").files
    assert [file.label for file in files] == found * 35
    assert [file.read() for file in files] == BODIES
    assert files[69].name == "a.parquet/0000069"


@pytest.mark.parametrize("labels", [["a", "NA", "None", None], [1.0, float("nan"), None, None]])
def test_a_word_for_missing_is_not_a_label(tmp_path: Path, labels: list[Any]) -> None:
    """Protects from a class that is made of the rows without a label, which tables leave out too."""
    pl.DataFrame({"image": [b"x"] * 4, "label": labels}).write_parquet(tmp_path / "a.parquet")
    first, *others = sources.find(tmp_path).files
    assert first.label in {"a", "1"}
    for file in others:
        with pytest.raises(
            ImageError, match=r"it has no label|'(NA|None|NaN)' is a word for a missing value"
        ):
            file.read()


@pytest.mark.parametrize(
    ("names", "found"),
    [(["1.0", "2.0"], ["1", "2"]), ([" cat ", "dog"], ["cat", "dog"]), (["None", "b c"], ["None", "b c"])],
)
@pytest.mark.parametrize("source", ["folders", "column"])
def test_labels_are_alike_in_folders_columns_and_the_prepared_lists(
    tmp_path: Path, names: list[str], found: list[str], source: str
) -> None:
    images = [encoded(drawn(number)) for number in range(60)]
    files = {f"{names[number % 2]}/{number}.png": body for number, body in enumerate(images)}
    if source == "column":
        classes = {"info": {"features": {"label": {"names": names}}}}
        body = io.BytesIO()
        table = pl.DataFrame({"image": images, "label": [0, 1] * 30})
        table.write_parquet(body, metadata={"huggingface": json.dumps(classes)})
        files = {"a.parquet": body.getvalue()}
    assert prepared(tmp_path, files)["classes"] == dict.fromkeys(found, 30)
    schema = Schema.read(tmp_path / "out" / "schema" / "schema.json")
    assert set(dataset.read(tmp_path / "out" / "train", schema).target) == {0, 1}
    assert [schema.target.encode(label) for label in found] == [0, 1]


@pytest.mark.parametrize(
    ("names", "rule"),
    [
        (("a\tb", "c"), r"label 'a\\tb' is blank, or has a tab"),
        (("a\u2028b", "c"), "is blank, or has a tab or a line break"),
        (("01", "1"), "labels 01 and 1 are the same number"),
        (("2020-01-01", "2020-01-01 00:00:00"), "2020-01-01 00:00:00 are the same time"),
        (("1.0", "1"), "1 labels, such as 1,"),
    ],
)
def test_labels_that_a_list_cannot_hold_are_refused(tmp_path: Path, names: list[str], rule: str) -> None:
    files = {f"{names[number % 2]}/{number}.png": encoded(drawn(number)) for number in range(60)}
    with pytest.raises(UserError, match=rule):
        prepared(tmp_path, files)


def test_rows_without_an_image_or_a_label_are_left_out(tmp_path: Path) -> None:
    table = pl.DataFrame({"image": [None, b"x", b"x"], "label": [0, -1, None]})
    table.write_parquet(tmp_path / "a.parquet", metadata=NAMES)
    for file, reason in zip(sources.find(tmp_path).files, ("missing", "no-label", "no-label"), strict=True):
        with pytest.raises(ImageError) as caught:
            file.read()
        assert caught.value.reason == reason


@pytest.mark.parametrize(
    ("tables", "rule"),
    [
        ([{"a": [1]}], "0 columns of encoded images"),
        ([{"a": [b""], "b": [b""], "label": ["x"]}], "2 columns of encoded images"),
        ([{"a": [b""], "fine": [1], "coarse": [2]}], r"label \(fine, coarse\): set .*target"),
        ([{"a": [b""], "label": [1]}] * 2, "0.parquet and 1.parquet have .*one has no names of classes"),
        (
            [{"a": [b""], "fine": [1]}, {"a": [b""], "kind": [1]}],
            "0.parquet and 1.parquet have other columns",
        ),
    ],
)
def test_parquet_without_labelled_images_is_refused(
    tmp_path: Path, tables: list[dict[str, Any]], rule: str
) -> None:
    for number, columns in enumerate(tables):
        metadata = NAMES if number else None
        pl.DataFrame(columns).write_parquet(tmp_path / f"{number}.parquet", metadata=metadata)
    with pytest.raises(UserError, match=rule):
        sources.find(tmp_path)


def test_damaged_parquet_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"a.parquet can't be read as Parquet"):
        sources.find(written(tmp_path, {"a.parquet": b"x"}))
