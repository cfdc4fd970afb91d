"""Image classification as a service: the one that answers requests for a model of images.

The answer is JSON with each label's probability, or CSV with the label and its probability, as `Accept` asks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from container.images import decode
from container.payload import images, negotiation
from container.payload.limits import MAX_RESPONSE_BYTES
from container.payload.negotiation import JSON
from container.payload.responses import content_type
from container.serving.service import Answer, Service

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from container.model_artifact import Artefact


class ImageService(Service):
    """Answer requests about images with one loaded model."""

    def __init__(self, artefact: Artefact, most: int = MAX_RESPONSE_BYTES) -> None:
        super().__init__(artefact, most)
        self.side = artefact.schema.side or 0

    def answer(self, body: bytes, content: bytes, accept: bytes) -> Answer:
        """Score a body of a `Content-Type` and write it as `Accept` asks. Raises `Refusal`."""
        bodies = images.split(body, content)
        answer_kind = negotiation.answer_type(accept, JSON)
        self.answers.check(len(bodies), answer_kind)
        pixels: NDArray[Any] = np.stack(
            [
                decode.pixels(images.decode_image(encoded, row), self.side)
                for row, encoded in enumerate(bodies, 1)
            ]
        )
        written = self.answers.write(self.artefact.predict(pixels), answer_kind)
        self.totals.rows += len(pixels)
        headers = [(b"content-type", content_type(answer_kind)), (b"content-length", b"%d" % len(written))]
        return Answer(200, headers, written)

    def warm_up(self) -> None:
        """Predict a grey image, so that the first caller does not pay for lazy imports."""
        grey: NDArray[Any] = np.full((1, self.artefact.schema.width), 128, dtype=np.uint8)
        self.artefact.predict(grey)
