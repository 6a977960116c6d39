"""Writes the full resolution of an OME-Zarr image as an OME-TIFF beside it: NAME.zarr or NAME.ome.zarr to NAME.tiff.

One plane is in memory at a time. The file has its name only once it is whole. Both layouts of OME-Zarr are read: 0.4 (multiscales
among the attributes) and 0.5 (below `ome`).
"""

import argparse
import itertools
import os
import sys
from pathlib import Path

import tifffile
import zarr

ORDER = "tczyx"


def image_of(path):
    """The array of the full resolution, and a letter for each of its axes."""
    root = zarr.open(str(path), mode="r")
    if not isinstance(root, zarr.Group):
        return root, ORDER[-root.ndim :]
    attributes = dict(root.attrs)
    multiscales = attributes.get("ome", attributes).get("multiscales")
    if not multiscales:
        raise SystemExit(f"{path} is no OME-Zarr image: it has no multiscales")
    first = multiscales[0]
    array = root[first["datasets"][0]["path"]]
    axes = first.get("axes") or ORDER[-array.ndim :]
    names = "".join(axis["name"] if isinstance(axis, dict) else axis for axis in axes).lower()
    if len(names) != array.ndim or set(names) - set(ORDER) or not names.endswith("yx"):
        raise SystemExit(f"{path} has the axes {names!r} for {array.ndim} dimensions: expected some of t, c, z and then y, x")
    return array, names


def planes(array):
    """Its planes, the last of the leading axes running fastest."""
    for index in itertools.product(*(range(length) for length in array.shape[:-2])):
        yield array[index]


def convert(source):
    array, axes = image_of(source)
    name = source.name
    for ending in (".ome.zarr", ".zarr"):
        if name.endswith(ending):
            name = name[: -len(ending)]
            break
    target = source.with_name(f"{name}.tiff")
    part = source.with_name(f".{name}.{os.getpid()}.part.tiff")
    try:
        with tifffile.TiffWriter(part, bigtiff=array.nbytes >= 2**31, ome=True) as writer:
            writer.write(
                planes(array),
                shape=array.shape,
                dtype=array.dtype,
                photometric="minisblack",
                metadata={"axes": axes.upper()},
            )
        os.replace(part, target)
    finally:
        part.unlink(missing_ok=True)
    return target


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("zarr", type=Path, help="the image: a folder")
    source = parser.parse_args().zarr
    if not source.is_dir():
        raise SystemExit(f"{source} is no folder")
    print(f"written: {convert(source)}")


if __name__ == "__main__":
    sys.exit(main())
