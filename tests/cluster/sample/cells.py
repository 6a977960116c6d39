"""Writes images of OME-Zarr 0.4 from a real micrograph: a cell that the wheel of scikit-image holds as `data/cell.png`.

Usage: cells.py WHEEL FOLDER NAME… ; each image is another part of the micrograph, TCZYX, 8 bits, chunks of 128 by 128.
"""

import json
import struct
import sys
import zipfile
import zlib
from pathlib import Path

CHUNK = 128


def plane(png):
    """The rows of a grey PNG of 8 bits that is not interlaced (PNG specification, 9: filtering)."""
    position, data, header = 8, b"", None
    while position < len(png):
        length, kind = struct.unpack(">I4s", png[position : position + 8])
        body = png[position + 8 : position + 8 + length]
        if kind == b"IHDR":
            header = struct.unpack(">IIBBBBB", body)
        elif kind == b"IDAT":
            data += body
        position += 12 + length
    width, height, depth, colour, _, _, interlaced = header
    if (depth, colour, interlaced) != (8, 0, 0):
        sys.exit(f"cell.png is of another kind: {header}")
    raw, rows, above = zlib.decompress(data), [], bytes(width)
    for y in range(height):
        kind, line = raw[y * (width + 1)], bytearray(raw[y * (width + 1) + 1 : (y + 1) * (width + 1)])
        for x in range(width):
            left, up, corner = (line[x - 1] if x else 0), above[x], (above[x - 1] if x else 0)
            if kind == 1:
                line[x] = (line[x] + left) & 255
            elif kind == 2:
                line[x] = (line[x] + up) & 255
            elif kind == 3:
                line[x] = (line[x] + (left + up) // 2) & 255
            elif kind == 4:
                estimate = left + up - corner
                nearest = min((abs(estimate - left), 0, left), (abs(estimate - up), 1, up), (abs(estimate - corner), 2, corner))
                line[x] = (line[x] + nearest[2]) & 255
        rows.append(bytes(line))
        above = rows[-1]
    return rows


def write(folder, rows):
    height, width = len(rows), len(rows[0])
    array = folder / "0"
    array.mkdir(parents=True)
    (folder / ".zgroup").write_text(json.dumps({"zarr_format": 2}))
    axes = [{"name": "t", "type": "time"}, {"name": "c", "type": "channel"}] + [{"name": n, "type": "space"} for n in "zyx"]
    scale = [{"type": "scale", "scale": [1.0] * 5}]
    multiscale = {"version": "0.4", "axes": axes, "datasets": [{"path": "0", "coordinateTransformations": scale}]}
    (folder / ".zattrs").write_text(json.dumps({"multiscales": [multiscale]}))
    described = {
        "zarr_format": 2, "shape": [1, 1, 1, height, width], "chunks": [1, 1, 1, CHUNK, CHUNK], "dtype": "|u1",
        "compressor": {"id": "zlib", "level": 1}, "fill_value": 0, "order": "C", "filters": None, "dimension_separator": ".",
    }
    (array / ".zarray").write_text(json.dumps(described))
    for y in range(0, height, CHUNK):
        for x in range(0, width, CHUNK):
            tile = b"".join(
                (rows[row][x : x + CHUNK] if row < height else b"").ljust(CHUNK, b"\0") for row in range(y, y + CHUNK)
            )
            (array / f"0.0.0.{y // CHUNK}.{x // CHUNK}").write_bytes(zlib.compress(tile, 1))


def main():
    wheel, folder, names = sys.argv[1], Path(sys.argv[2]), sys.argv[3:]
    rows = plane(zipfile.ZipFile(wheel).read("skimage/data/cell.png"))
    part = len(rows) // len(names)
    for index, name in enumerate(names):
        write(folder / f"{name}.zarr", rows[index * part : (index + 1) * part])


main()
