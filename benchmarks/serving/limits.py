"""Our server without decoding and encoding: `python -m benchmarks.serving.limits constant 1`.

`constant` returns a constant response; `kernel` predicts rows that are already numbers.
"""

from __future__ import annotations

import sys
from itertools import cycle
from typing import TYPE_CHECKING, Any

from container import serving
from container.serving import worker
from container.serving.messages import Response

from benchmarks.serving import subjects

if TYPE_CHECKING:
    from pathlib import Path

    from container.serving.service import Service

BODY = b'{"predictions":[1.2345678901234567]}'
HEADERS = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(BODY))]
RESPONSE = Response(200, HEADERS, BODY)


def main(mode: str, size: int) -> None:
    """Serve constant responses, without any work or after the prediction of `size` rows."""
    prepare = worker.prepare
    rows = subjects.rows(subjects.ASKED, seed=3)
    parts = cycle([rows[start : start + size] for start in range(0, len(rows) - size + 1, size)])

    def constant(*_: Any) -> Response:
        return RESPONSE

    def prepared(model: Path, max_answer: int) -> Service:
        service = prepare(model, max_answer)
        predict = service.artifact.model.predict

        def kernel(*_: Any) -> Response:
            predict(next(parts))
            return RESPONSE

        service.respond = constant if mode == "constant" else kernel  # type: ignore[assignment]
        return service

    worker.prepare = prepared
    serving.main()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
