"""The files are JSON, laid out like the analyzer's, and never half-written."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from container.monitor.files import render, write

plain = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
)
documents = st.recursive(
    plain,
    lambda inner: (
        st.lists(plain) | st.lists(st.dictionaries(st.text(), inner)) | st.dictionaries(st.text(), inner)
    ),
    max_leaves=8,
)


@settings(max_examples=50)
@given(documents)
def test_every_document_reads_back_as_it_was(document: Any) -> None:
    """Names may contain quotes, other alphabets and line breaks."""
    assert json.loads(render(document)) == document


def test_layout_is_the_analyzers() -> None:
    """The two can be compared by eye and by diff."""
    document = {"a": [{"b": [[1.0, 2.0], [3.0]]}, {"c": []}], "d": {"e": ["x", "é"]}}
    assert render(document) == (
        '{\n  "a" : [ {\n    "b" : [ [ 1.0, 2.0 ], [ 3.0 ] ]\n  }, {\n    "c" : []\n  } ],\n'
        '  "d" : {\n    "e" : [ "x", "é" ]\n  }\n}'
    )


def test_failed_write_leaves_what_was_there(tmp_path: Path) -> None:
    """A reader never sees half a file, whatever stops the job."""
    path = tmp_path / "new" / "statistics.json"
    write(path, {"version": 0.0})
    with pytest.raises(ValueError, match="JSON compliant"):
        write(path, {"version": float("nan")})
    assert json.loads(path.read_text()) == {"version": 0.0}
    assert list(path.parent.iterdir()) == [path]
