"""Converts an image of OME-Zarr to an ImageJ hyperstack: NAME.zarr (or NAME.ome.zarr) to NAME.tiff beside it."""

import argparse
import sys
from pathlib import Path

import numpy
import tifffile
import zarr

# The order in which ImageJ's hyperstacks hold them.
IMAGEJ = "tzcyx"


def axes_of(multiscale, dimensions):
    """The letters of an array's axes; before OME-Zarr 0.4 they may be missing, and then all five are there."""
    axes = [axis if isinstance(axis, str) else axis["name"] for axis in multiscale.get("axes", "tczyx"[-dimensions:])]
    if len(axes) != dimensions or not set(axes) <= set(IMAGEJ):
        sys.exit(f"axes {axes} of {dimensions} dimensions")
    return axes


def read(path):
    """The full resolution of the first image, its axes as ImageJ has them."""
    found = zarr.open(str(path), mode="r")
    if isinstance(found, zarr.Array):
        multiscale, array = {}, found
    else:
        attributes = dict(found.attrs)
        multiscales = attributes.get("ome", attributes).get("multiscales")
        if multiscales is None:
            # What bioformats2raw writes has its images below.
            found = found["0"]
            attributes = dict(found.attrs)
            multiscales = attributes.get("ome", attributes)["multiscales"]
        multiscale = multiscales[0]
        array = found[multiscale["datasets"][0]["path"]]
    axes = axes_of(multiscale, array.ndim)
    pixels = numpy.asarray(array[...])
    pixels = pixels.transpose([axes.index(axis) for axis in IMAGEJ if axis in axes])
    for position, axis in enumerate(IMAGEJ):
        if axis not in axes:
            pixels = numpy.expand_dims(pixels, position)
    return pixels


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("zarr_file", type=Path)
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    name = options.zarr_file.name.removesuffix(".zarr").removesuffix(".ome")
    output = options.output or options.zarr_file.with_name(f"{name}.tiff")
    pixels = read(options.zarr_file)
    # ImageJ knows these kinds of numbers only; others are written as a plain series of planes.
    known = pixels.dtype in (numpy.uint8, numpy.uint16, numpy.float32)
    if known:
        tifffile.imwrite(output, pixels, imagej=True, metadata={"axes": IMAGEJ.upper()})
    else:
        tifffile.imwrite(output, numpy.squeeze(pixels))
    print(f"{options.zarr_file} -> {output} {pixels.shape} {pixels.dtype}")


main()
