"""A picture of generated galaxies, one class per row: mosaic.py STAMPS.npy PICTURE.png

cargo run --release --example synth -- galaxies 40 1 FOLDER && python mosaic.py FOLDER/galaxies-x.npy docs/galaxies.png
"""
import struct
import sys
import zlib

import numpy as np

CLASSES, COLUMNS = 5, 8

x = np.load(sys.argv[1])[: CLASSES * COLUMNS]
n, h, w, bands = x.shape
# Sample i is of class i mod 5. A little brighter than the sky, so that its noise shows; 6 bits keep the file small.
x = x.reshape(COLUMNS, CLASSES, h, w, bands).transpose(1, 2, 0, 3, 4).reshape(CLASSES * h, COLUMNS * w, bands)
rows = (np.clip(x + 0.05, 0, 1) * 63).astype("uint8") * 4
scanlines = b"".join(b"\0" + row.tobytes() for row in rows)


def chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


with open(sys.argv[2], "wb") as f:
    header = struct.pack(">IIBBBBB", COLUMNS * w, CLASSES * h, 8, 2, 0, 0, 0)
    f.write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(scanlines, 9)) + chunk(b"IEND", b""))
