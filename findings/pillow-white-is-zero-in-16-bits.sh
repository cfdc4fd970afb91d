#!/usr/bin/env bash
# Pillow inverts a grey TIFF whose white is 0 when it has 8 bits a pixel, and does not when it has 16.
#
# TIFF's tag PhotometricInterpretation says what 0 means: 1 black, 0 white (as scanners write). A program that reads
# both depths gets a negative of one of them without a warning.
#
# Seen with Pillow 13.0.0, Python 3.11, for one pixel of value 0, as bits, PhotometricInterpretation and the pixel read:
#   8 1 0
#   8 0 255
#   16 1 0
#   16 0 0
#
# Ends 0 while this is so, and 1 when it has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install -qq --disable-pip-version-check pillow==13.0.0
seen=$("$folder/venv/bin/python" - <<'PYTHON'
import io
import struct

from PIL import Image

SHORT, LONG = 3, 4


def grey(bits: int, photometric: int) -> bytes:
    """Return a TIFF of one pixel, 0, without compression."""
    fields = [
        (256, SHORT, 1),  # width
        (257, SHORT, 1),  # height
        (258, SHORT, bits),
        (259, SHORT, 1),  # no compression
        (262, SHORT, photometric),
        (273, LONG, 8),  # where the pixel is
        (277, SHORT, 1),
        (278, LONG, 1),
        (279, LONG, bits // 8),
    ]
    directory = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in fields)
    return b"II*\0" + struct.pack("<IHH", 10, 0, len(fields)) + directory + struct.pack("<I", 0)


for bits in (8, 16):
    for photometric in (1, 0):
        print(bits, photometric, Image.open(io.BytesIO(grey(bits, photometric))).getpixel((0, 0)))
PYTHON
)
echo "$seen"
[ "$seen" = "$(printf '8 1 0\n8 0 255\n16 1 0\n16 0 0')" ]
