"""Segments bright objects: Otsu's threshold, then connected components, for every TIFF of a folder.

Writes NAME.tiff (labels from 1) and NAME.csv (label, area in pixels) for each image NAME; takes the flags that BIOMERO
gives to a BIAFLOWS workflow.
"""

import argparse
import csv
import sys
from pathlib import Path

import numpy
import tifffile
from scipy import ndimage


def otsu(image, bins=256):
    """The value that separates an image's histogram into the two classes of the greatest variance between them."""
    counts, edges = numpy.histogram(image, bins=bins)
    centres = (edges[:-1] + edges[1:]) / 2
    below = numpy.cumsum(counts)
    above = below[-1] - below
    total = numpy.cumsum(counts * centres)
    with numpy.errstate(divide="ignore", invalid="ignore"):
        difference = total / below - (total[-1] - total) / above
        between = below * above * difference**2
    best = numpy.flatnonzero(numpy.nan_to_num(between) == numpy.nanmax(between))
    # Several are best where the histogram has a gap: its middle.
    return float(edges[1:][best].mean())


def segment(image, scale):
    """Labels of the connected components that are brighter than the threshold times `scale`."""
    labels, count = ndimage.label(image > otsu(image) * scale)
    return labels.astype(numpy.uint16 if count < 2**16 else numpy.uint32), count


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--infolder", type=Path, required=True)
    parser.add_argument("--outfolder", type=Path, required=True)
    parser.add_argument("--gtfolder", type=Path)
    parser.add_argument("--local", action="store_true")
    parser.add_argument("-nmc", action="store_true")
    parser.add_argument("--threshold_scale", type=float, default=1.0)
    options = parser.parse_args()
    images = sorted(path for path in options.infolder.iterdir() if path.suffix.lower() in (".tif", ".tiff"))
    if not images:
        sys.exit(f"no TIFF in {options.infolder}")
    for number, path in enumerate(images, 1):
        labels, count = segment(tifffile.imread(path), options.threshold_scale)
        name = path.name[: -len(path.suffix)]
        tifffile.imwrite(options.outfolder / f"{name}.tiff", labels, compression="zlib")
        with open(options.outfolder / f"{name}.csv", "w", newline="") as table:
            rows = csv.writer(table)
            rows.writerow(["label", "area"])
            rows.writerows(enumerate(numpy.bincount(labels.ravel(), minlength=count + 1)[1:].tolist(), 1))
        print(f"{path.name}: {count} objects, {100 * number // len(images)}%", flush=True)


main()
