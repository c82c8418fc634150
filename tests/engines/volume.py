"""A volume of very many tiny slices, as a case of ACDC."""

import gzip
import struct
from pathlib import Path

SIZE = 16


def write_case(raw: Path, slices: int) -> None:
    """16 x 16 pixels with a square of 9 x 9 in every slice."""
    inside = [2 <= i % SIZE < 11 and 3 <= i // SIZE < 12 for i in range(SIZE * SIZE)]
    grey = b"".join(struct.pack("<h", 200 if yes else 50) for yes in inside)
    frame = raw / "training/patient001/patient001_frame01"
    frame.parent.mkdir(parents=True)
    _nifti(Path(f"{frame}.nii.gz"), slices, (4, 16), grey * slices)
    _nifti(Path(f"{frame}_gt.nii.gz"), slices, (2, 8), bytes(3 * yes for yes in inside) * slices)


def _nifti(path: Path, slices: int, kind: tuple[int, int], voxels: bytes) -> None:
    """NIfTI-1 with the given code and bits of its type."""
    header = bytearray(352)
    struct.pack_into("<i", header, 0, 348)
    struct.pack_into("<8h", header, 40, 3, SIZE, SIZE, slices, 1, 1, 1, 1)
    struct.pack_into("<2h", header, 70, *kind)
    struct.pack_into("<8f", header, 76, 1, 1, 1, 1, 1, 1, 1, 1)
    struct.pack_into("<f", header, 108, 352)
    struct.pack_into("<2h", header, 252, 0, 1)
    struct.pack_into("<12f", header, 280, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0)
    header[344:348] = b"n+1\0"
    path.write_bytes(gzip.compress(bytes(header) + voxels, 1))
