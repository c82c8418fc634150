"""Tables of a dataset as polars frames, and the two encoded columns as arrays."""

import io
from pathlib import Path

import numpy as np
import polars as pl
from PIL import Image


def table(dataset: Path, name: str, **equal) -> pl.DataFrame:
    """A table, with the rows whose columns have the given values."""
    frame = pl.read_parquet(dataset / name / "**/*.parquet", hive_partitioning=False)
    return frame.filter(**equal) if equal else frame


def decode_mask(mask: dict) -> np.ndarray:
    """The bitmap of COCO's compressed run-length code, after `rleFrString` and `rleDecode` of pycocotools."""
    text = mask["counts"].encode() if isinstance(mask["counts"], str) else mask["counts"]
    runs, at = [], 0
    while at < len(text):
        value, shift, more = 0, 0, True
        while more:
            code = text[at] - 48
            value |= (code & 0x1F) << shift
            more, shift, at = bool(code & 0x20), shift + 5, at + 1
            if not more and code & 0x10:
                value |= -1 << shift
        runs.append(value + runs[-2] if len(runs) > 2 else value)
    height, width = mask["size"]
    pixels = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
    assert pixels.size == height * width
    return pixels.reshape(width, height).T


def decode_picture(image: dict) -> np.ndarray:
    """The pixels of a slice, decoded by Pillow."""
    picture = Image.open(io.BytesIO(image["bytes"]))
    assert picture.format == "PNG" and picture.mode in ("L", "RGB")
    return np.asarray(picture)


def bounding_box(mask: np.ndarray) -> list[int]:
    """First column, first row, last column, last row of the true pixels."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return [int(columns[0]), int(rows[0]), int(columns[-1]), int(rows[-1])]
