"""medcosmos against its Python peers and against the limits of the machine, on the same generated work, in one run.

    python3 -m venv bench-env && bench-env/bin/pip install -r benches/requirements.txt
    bench-env/bin/python benches/compare.py                  # all of it: some ten minutes on two cores
    bench-env/bin/python benches/compare.py build metrics    # parts: build, growth, metrics, masks, fourier, predict, evaluate

Every program runs in a process of its own, on one thread, in turn with the others, several times; what counts is the
median. CPU seconds are those of the process and its children, memory is its peak resident set. Reading is from warm
caches. The machine should be idle: ratios hold on a busy one, seconds do not.

Volumes are drawn: a body with two organs and the noise of a scanner, 512 x 512 x 120 voxels of 16 bits, gzipped, half of
whose bytes are left. Set `--volumes` and `--repeats` for a longer or shorter run.
"""

import argparse
import gzip
import importlib.util
import json
import os
import shutil
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
SIDE, SLICES = 512, 120


# ---- What is compared: generated work


def body(shape: tuple[int, int, int], seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A CT of a trunk with two organs (z, y, x), and their labels."""
    rng = np.random.default_rng(seed)
    z, y, x = (np.linspace(-1, 1, n, dtype=np.float32) for n in shape)
    z, y, x = z[:, None, None], y[None, :, None], x[None, None, :]
    trunk = (x / 0.8) ** 2 + (y / 0.6) ** 2 < 1
    lobes = 1 + 0.15 * np.sin(5 * np.arctan2(y - 0.05, x + 0.3))
    liver = ((x + 0.3) ** 2 + (1.3 * (y - 0.05)) ** 2 < (0.3 * lobes) ** 2) & (abs(z) < 2)
    tumour = (x + 0.25) ** 2 + (y - 0.1) ** 2 < 0.09**2 * (1 + 0.3 * np.sin(3 * z) ** 2)
    volume = np.where(trunk, np.float32(20), np.float32(-1000)) + rng.normal(0, 12, shape).astype(np.float32)
    volume += 60 * liver - 40 * tumour
    labels = np.broadcast_to(np.where(tumour, 2, np.where(liver, 1, 0)), shape)
    return np.clip(volume, -1024, 3071).astype(np.int16), labels.astype(np.uint8)


def write_volumes(folder: Path, count: int) -> list[tuple[Path, Path]]:
    """As the Medical Segmentation Decathlon lays its liver task out."""
    import nibabel as nib

    found = []
    for n in range(count):
        image, labels = body((SLICES, SIDE, SIDE), n)
        pair = []
        for kind, array in (("imagesTr", image), ("labelsTr", labels)):
            path = folder / "Task03_Liver" / kind / f"liver_{n}.nii.gz"
            path.parent.mkdir(parents=True, exist_ok=True)
            nifti = nib.Nifti1Image(array.T, np.diag([0.8, 0.8, 2.5, 1]))
            with gzip.open(path, "wb", compresslevel=6) as file:
                file.write(nifti.to_bytes())
            pair.append(path)
        found.append(tuple(pair))
    return found


def write_apart(folder: Path, count: int) -> list[tuple[Path, Path]]:
    """`write_volumes` in a process of its own: the memory of this one counts for every process that it starts."""
    done = subprocess.run([sys.executable, __file__, "--write", folder, str(count)], check=True, capture_output=True, text=True)
    return [tuple(map(Path, line.split("\t"))) for line in done.stdout.splitlines()]


def blob(kind: str, shift: float) -> np.ndarray:
    """A mask of 512 x 512: a compact organ, a lobed one, a ring, one with a ragged boundary, or many cells."""
    y, x = np.mgrid[:SIDE, :SIDE].astype(float)
    if kind == "cells":
        return (((x + shift) % 40 - 20) ** 2 + (y % 40 - 20) ** 2 < 81).astype(np.uint8)
    lobes, radius = {"compact": (0.05, 60), "lobed": (0.25, 110), "ring": (0.1, 90), "ragged": (0.2, 80)}[kind]
    distance = np.hypot(x - 250 - shift, y - 260)
    angle = np.arctan2(y - 260, x - 250 - shift)
    edge = radius * (1 + lobes * np.sin(5 * angle))
    if kind == "ragged":
        edge *= 1 + 0.1 * np.sin(17 * angle) + 0.06 * np.sin(31 * angle + 1)
    inner = 0.6 * edge if kind == "ring" else -1
    return ((distance < edge) & (distance > inner)).astype(np.uint8)


KINDS = ("compact", "lobed", "ring", "cells")


def write_masks(path: Path, masks: list[np.ndarray]) -> None:
    path.write_bytes(struct.pack("<III", len(masks), SIDE, SIDE) + b"".join(mask.tobytes() for mask in masks))


def write_pairs(path: Path) -> list[tuple[np.ndarray, np.ndarray]]:
    """A prediction and a truth of each kind, into a file one after the other."""
    pairs = [(blob(kind, 6.0), blob(kind, 0.0)) for kind in KINDS]
    write_masks(path, [mask for pair in pairs for mask in pair])
    return pairs


# ---- The peers, each as its users write it


def build_with_nibabel(raw: Path, out: Path) -> int:
    import nibabel as nib
    from PIL import Image

    slices = 0
    for path in sorted((raw / "Task03_Liver" / "imagesTr").iterdir()):
        image = np.asanyarray(nib.load(path).dataobj)
        labels = np.asanyarray(nib.load(path.parent.parent / "labelsTr" / path.name).dataobj)
        for z in range(image.shape[2]):
            present = [value for value in np.unique(labels[:, :, z]) if value]
            masks = [labels[:, :, z].T == value for value in present]
            masks = [mask for mask in masks if mask.sum() > 50]
            if not masks:
                continue
            plane = image[:, :, z].T.astype(np.float32)
            grey = ((plane - plane.min()) / (plane.max() - plane.min()) * 255).astype(np.uint8)
            Image.fromarray(grey).save(out / f"{path.name}_{z}.png")
            for value, mask in zip(present, masks):
                Image.fromarray(mask.astype(np.uint8) * 255).save(out / f"{path.name}_{z}_{value}.png")
            slices += 1
    return slices


def build_with_simpleitk(raw: Path, out: Path) -> int:
    import SimpleITK as sitk

    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    slices = 0
    for path in sorted((raw / "Task03_Liver" / "imagesTr").iterdir()):
        image = sitk.ReadImage(str(path))
        labels = sitk.ReadImage(str(path.parent.parent / "labelsTr" / path.name))
        for z in range(image.GetDepth()):
            plane = sitk.GetArrayViewFromImage(labels[:, :, z])
            present = [int(v) for v in np.unique(plane) if v and (plane == v).sum() > 50]
            if not present:
                continue
            grey = sitk.Cast(sitk.RescaleIntensity(image[:, :, z], 0, 255), sitk.sitkUInt8)
            sitk.WriteImage(grey, str(out / f"{path.name}_{z}.png"))
            for value in present:
                sitk.WriteImage((labels[:, :, z] == value) * 255, str(out / f"{path.name}_{z}_{value}.png"))
            slices += 1
    return slices


def build_as_medsam(raw: Path, out: Path) -> int:
    """The steps of MedSAM's `pre_CT_MR.py`: a window, then 1024 x 1024 x 3 floats for each slice."""
    import SimpleITK as sitk
    from skimage import transform

    slices = 0
    for path in sorted((raw / "Task03_Liver" / "imagesTr").iterdir()):
        image = sitk.GetArrayFromImage(sitk.ReadImage(str(path)))
        labels = sitk.GetArrayFromImage(sitk.ReadImage(str(path.parent.parent / "labelsTr" / path.name)))
        image = np.clip(image, -160, 240)
        image = np.uint8((image - image.min()) / (image.max() - image.min()) * 255.0)
        for z in range(min(len(image), 12)):  # a tenth of a volume: it takes minutes
            colour = np.repeat(image[z][:, :, None], 3, axis=-1)
            resized = transform.resize(
                colour, (1024, 1024), order=3, preserve_range=True, mode="constant", anti_aliasing=True
            )
            resized = (resized - resized.min()) / np.clip(resized.max() - resized.min(), 1e-8, None)
            mask = transform.resize(
                labels[z], (1024, 1024), order=0, preserve_range=True, mode="constant", anti_aliasing=False
            )
            np.save(out / f"img_{path.name}_{z}.npy", resized)
            np.save(out / f"gts_{path.name}_{z}.npy", np.uint8(mask))
            slices += 1
        break
    return slices


BUILDERS = {"nibabel + Pillow": build_with_nibabel, "SimpleITK": build_with_simpleitk, "MedSAM's recipe": build_as_medsam}


def median_seconds(run, at_least: int = 3, budget: float = 1.0) -> float:
    times: list[float] = []
    while len(times) < at_least or (sum(times) < budget and len(times) < 200):
        started = time.perf_counter()
        run()
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def metrics_of_peers(prediction: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """Seconds of each peer for Dice, IoU, HD, HD95 and ASSD (and NSD where the tool has it)."""
    import surface_distance
    from medpy.metric import binary

    a, b = prediction.astype(bool), truth.astype(bool)

    def medpy() -> None:
        binary.dc(a, b), binary.jc(a, b), binary.hd(a, b), binary.hd95(a, b), binary.assd(a, b)

    def deepmind() -> None:
        distances = surface_distance.compute_surface_distances(a, b, (1.0, 1.0))
        surface_distance.compute_robust_hausdorff(distances, 100)
        surface_distance.compute_robust_hausdorff(distances, 95)
        surface_distance.compute_average_surface_distance(distances)
        surface_distance.compute_surface_dice_at_tolerance(distances, 1)
        surface_distance.compute_dice_coefficient(a, b)

    def scipy() -> None:
        from scipy.ndimage import binary_erosion, distance_transform_edt

        edges = [mask & ~binary_erosion(mask) for mask in (a, b)]
        there, back = (distance_transform_edt(~edges[1 - i])[edges[i]] for i in (0, 1))
        both = np.concatenate([there, back])
        both.max(), np.percentile(both, 95), both.mean(), (both <= 1).mean()
        shared = (a & b).sum()
        2 * shared / (a.sum() + b.sum()), shared / (a | b).sum()

    peers = {"MedPy": medpy, "surface-distance": deepmind, "scipy": scipy}
    if importlib.util.find_spec("monai"):
        import torch
        from monai import metrics as monai

        torch.set_num_threads(1)
        pair = [torch.from_numpy(mask.astype(np.float32))[None, None] for mask in (a, b)]
        options = {"include_background": True}

        def with_monai() -> None:
            monai.compute_dice(*pair, **options), monai.compute_iou(*pair, **options)
            monai.compute_hausdorff_distance(*pair, **options)
            monai.compute_hausdorff_distance(*pair, percentile=95, **options)
            monai.compute_average_surface_distance(*pair, symmetric=True, **options)
            monai.compute_surface_dice(*pair, class_thresholds=[1.0], **options)

        peers["MONAI"] = with_monai
    return {name: median_seconds(run) for name, run in peers.items()}


def masks_of_pycocotools(prediction: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """Seconds to encode a mask, to decode it, and for the IoU of two encoded ones."""
    from pycocotools import mask as coco

    bitmap = np.asfortranarray(prediction)
    codes = [coco.encode(np.asfortranarray(mask)) for mask in (prediction, truth)]
    return {
        "encode": median_seconds(lambda: coco.encode(bitmap)),
        "decode": median_seconds(lambda: coco.decode(codes[0])),
        "iou": median_seconds(lambda: coco.iou(codes[:1], codes[1:], [0])),
    }


def predict_with_onnxruntime(slices: Path, models: Path) -> tuple[int, float]:
    """The same strategies as in a notebook: each slice encoded once, each mask decoded with each kind of prompt, the best of
    four candidates by Dice. Masks and seconds, without loading the model."""
    import cv2
    import onnxruntime
    from PIL import Image

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    encoder, decoder = (
        onnxruntime.InferenceSession(models / f"mobile_sam.{part}.onnx", options, providers=["CPUExecutionProvider"])
        for part in ("encoder", "decoder")
    )
    name = encoder.get_inputs()[0].name
    mean, std = np.float32([123.675, 116.28, 103.53]), np.float32([58.395, 57.12, 57.375])
    started, count = time.perf_counter(), 0
    for path in sorted(slices.glob("*/images/*.png")):
        image = Image.open(path).convert("RGB")
        labels = np.array(Image.open(path.parent.parent / "labels" / path.name))
        scale = 1024 / max(image.size)
        small = image.resize([round(side * scale) for side in image.size], Image.BILINEAR)
        padded = np.zeros((1024, 1024, 3), np.float32)
        padded[: small.height, : small.width] = (np.asarray(small, np.float32) - mean) / std
        embedding = encoder.run(None, {name: padded.transpose(2, 0, 1)[None]})[0]
        for truth in [labels == value for value in np.unique(labels) if value and (labels == value).sum() > 50]:
            count += 1
            inside = np.argwhere(truth)
            box = [inside.min(0)[::-1], inside.max(0)[::-1]]
            points = inside[np.linspace(0, len(inside) - 1, 10).astype(int), ::-1]
            none = [[0, 0]]
            prompts = [
                (np.vstack([points[:1], none]), [1, -1]), (np.vstack([points[:5], none]), [1] * 5 + [-1]),
                (np.vstack([points, none]), [1] * 5 + [0] * 5 + [-1]), (np.vstack(box), [2, 3]),
                (np.vstack([points[:1], *([b] for b in box)]), [1, 2, 3]),
            ]  # fmt: skip
            for coordinates, kinds in prompts:
                found = decoder.run(None, {
                    "image_embeddings": embedding,
                    "point_coords": np.float32(coordinates * scale)[None],
                    "point_labels": np.float32(kinds)[None],
                    "mask_input": np.zeros((1, 1, 256, 256), np.float32),
                    "has_mask_input": np.zeros(1, np.float32),
                })  # fmt: skip
                masks = next(output for output in found if output.ndim == 4)[0]
                masks = [cv2.resize(mask, (1024, 1024))[: small.height, : small.width] for mask in masks]
                masks = [cv2.resize(mask, image.size) > 0 for mask in masks]
                max(2 * (mask & truth).sum() / (mask.sum() + truth.sum()) for mask in masks)
    return count, time.perf_counter() - started


def fourier_of_pyefd(mask: np.ndarray) -> tuple[int, float, int]:
    """Both searches, as one writes them with pyefd and OpenCV: descriptors of rising order, each decoded and filled.

    The paper's order and its Dice (Dice above 0.97, or a plateau), and the first order with Dice above 0.97.
    """
    import cv2
    import pyefd

    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    contour = max(contours, key=len)[:, 0].astype(float)
    closed = np.vstack([contour, contour[:1]])
    locus = pyefd.calculate_dc_coefficients(closed)
    original = np.zeros(mask.shape, np.uint8)
    cv2.fillPoly(original, [contour.astype(np.int32)], 1)
    before, stopped = None, None
    for order in range(1, 201):
        coefficients = pyefd.elliptic_fourier_descriptors(closed, order=order)
        decoded = pyefd.reconstruct_contour(coefficients, locus, len(contour))
        found = np.zeros(mask.shape, np.uint8)
        cv2.fillPoly(found, [np.rint(decoded).astype(np.int32)], 1)
        dice = 2 * (found & original).sum() / (found.sum() + original.sum())
        if stopped is None and (dice > 0.97 or (before is not None and abs(dice - before) < 0.001)):
            stopped = order, dice
        if dice > 0.97:
            return *stopped, order
        before = dice
    return *(stopped or (200, dice)), 200


# ---- Measuring


def run(command: list, env: dict | None = None) -> dict:
    """A process: seconds of wall clock and CPU, peak memory, and what it printed."""
    started = time.perf_counter()
    with tempfile.TemporaryFile("w+") as out:
        process = subprocess.Popen([str(word) for word in command], stdout=out, env={**os.environ, **(env or {})})
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - started
        out.seek(0)
        text = out.read()
    if status:
        sys.exit(f"{command[0]} ended with status {status}: {text}")
    return {"wall": wall, "cpu": usage.ru_utime + usage.ru_stime, "memory": usage.ru_maxrss * 1024, "out": text}


def size_of(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def table(title: str, header: list[str], rows: list[list]) -> None:
    print(f"\n### {title}\n\n| {' | '.join(header)} |\n|{'|'.join('---' for _ in header)}|")
    for row in rows:
        print(f"| {' | '.join(str(cell) for cell in row)} |")
    sys.stdout.flush()


def cargo(*words: str) -> None:
    subprocess.run(["cargo", *words], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)


def limits(*words) -> list[dict]:
    done = subprocess.run(
        ["cargo", "bench", "--quiet", "--bench", "limits", "--", *map(str, words)],
        cwd=ROOT, check=True, capture_output=True, text=True,
    )  # fmt: skip
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def compare_build(program: Path, work: Path, volumes: int, repeats: int) -> None:
    raw = work / "raw"
    pairs = write_apart(raw, volumes)
    found: dict[str, list[dict]] = {}
    measured_limits: list[list[dict]] = []
    for _ in range(repeats):
        measured_limits.append(limits("volume", *pairs[0]))
        for name in ["medcosmos", *BUILDERS]:
            out = work / "out"
            shutil.rmtree(out, ignore_errors=True)
            if name == "medcosmos":
                measured = run([program, "build", raw, "--out", out, "--source", "msd", "--threads", 1, "--json"])
                slices = json.loads(measured["out"])["sources"]["msd"]["slices"]
            else:
                out.mkdir()
                measured = run([sys.executable, __file__, "--peer", name, raw, out], {"OMP_NUM_THREADS": "1"})
                slices = int(measured["out"])
            measured.update(slices=slices, bytes=size_of(out), rate=slices / measured["cpu"])
            found.setdefault(name, []).append(measured)
    middle = {name: {key: statistics.median(m[key] for m in runs) for key in ("rate", "wall", "cpu", "memory", "bytes", "slices")} for name, runs in found.items()}  # fmt: skip
    rows = []
    for name, m in middle.items():
        ratio = "" if name == "medcosmos" else f"{middle['medcosmos']['rate'] / m['rate']:.1f}"
        rows.append([name, int(m["slices"]), f"{m['rate']:.1f}", ratio, f"{m['wall']:.2f}", f"{m['memory'] / 2**20:.0f}", f"{m['bytes'] / m['slices'] / 2**20:.3f}"])  # fmt: skip
    table(
        f"Build of {volumes} CT volumes ({SIDE} x {SIDE} x {SLICES}, .nii.gz, two organs)",
        ["", "slices", "slices a CPU second", "medcosmos is faster by", "seconds", "peak MiB", "MiB a slice"],
        rows,
    )

    # In turn with the builds, as the machine may be faster at one time than at another.
    steps = {}
    for lines in zip(*measured_limits):
        steps[lines[0]["limit"]] = {**lines[0], "seconds": statistics.median(line["seconds"] for line in lines)}
    slices = steps["slices"]["bytes"]
    own = middle["medcosmos"]["cpu"] / middle["medcosmos"]["slices"]
    rows = [[name, f"{1000 * line['seconds'] / slices:.3f}", f"{line['bytes'] / max(line['seconds'], 1e-9) / 1e6:.0f}"] for name, line in steps.items() if name != "slices"]  # fmt: skip
    total = sum(steps[name]["seconds"] for name in ("gunzip", "png", "sha256 of the files", "parquet")) / slices
    rows.append(["sum: gunzip + png + sha256 + parquet", f"{1000 * total:.3f}", ""])
    rows.append(["medcosmos build, all of it", f"{1000 * own:.3f}", ""])
    table("Limits of one core for the same", ["step", "ms a slice", "MB a second"], rows)
    print(f"\nThe build reaches {total / own:.2f} of the sum of its limits.")


def compare_growth(program: Path, work: Path) -> None:
    """The same build of 1, 10 and 100 volumes, on one thread and on all: what a slice costs, and the peak of memory."""
    first = write_apart(work / "one", 1)[0]
    volume = SIDE * SIDE * SLICES * 2
    rows = []
    for count in (1, 10, 100):
        raw = work / f"raw{count}" / "Task03_Liver"
        for n in range(count):
            for path in first:
                (raw / path.parent.name).mkdir(parents=True, exist_ok=True)
                os.link(path, raw / path.parent.name / f"liver_{n}.nii.gz")
        for threads in (1, os.cpu_count()):
            out = work / "grown"
            shutil.rmtree(out, ignore_errors=True)
            m = run([program, "build", raw.parent, "--out", out, "--source", "msd", "--threads", threads, "--quiet", "--json"])
            slices = count * SLICES
            bound = threads * 2 * volume + 200e6
            rows.append([count, threads, f"{1000 * m['cpu'] / slices:.2f}", f"{slices / m['wall']:.0f}", f"{m['memory'] / 1e6:.0f}", f"{bound / 1e6:.0f}"])  # fmt: skip
    header = ["volumes", "threads", "CPU ms a slice", "slices a second", "peak MB", "2 volumes a thread + 200 MB"]
    table("Growth of a build", header, rows)


def compare_metrics(work: Path) -> None:
    pairs = write_pairs(work / "pairs")
    own, rows = limits("pairs", work / "pairs"), []
    for kind, pair, line in zip(KINDS, pairs, own):
        peers, seconds = metrics_of_peers(*pair), line["seconds"]
        rows.append([kind, f"{1000 * seconds:.3f}", *(f"{1000 * t:.1f} ({t / seconds:.0f} x)" for t in peers.values())])
    if "MONAI" not in peers:
        print("\nMONAI is not here (benches/requirements-monai.txt).")
    header = ["masks", "medcosmos ms", *(f"{name} ms" for name in peers)]
    table(f"All metrics of a pair, {SIDE} x {SIDE} (MedPy: without NSD)", header, rows)


def compare_masks(work: Path) -> None:
    pairs = write_pairs(work / "pairs")
    own, rows = limits("masks", work / "pairs"), []
    for at, (kind, pair) in enumerate(zip(KINDS, pairs)):
        peer = masks_of_pycocotools(*pair)
        mine = {line["limit"]: line["seconds"] for line in own[3 * at : 3 * at + 3]}
        rows.append([kind, *(f"{1e6 * mine[step]:.1f} / {1e6 * peer[step]:.1f}" for step in peer)])
    table(f"Masks of {SIDE} x {SIDE}, µs: medcosmos / pycocotools", ["masks", *peer], rows)


def compare_fourier(work: Path) -> None:
    kinds = ("compact", "lobed", "ring", "ragged")
    masks = [blob(kind, 0.0) for kind in kinds]
    write_masks(work / "contours", masks)
    rows = []
    for kind, mask, line in zip(kinds, masks, limits("contours", work / "contours")):
        order, dice, true_order = fourier_of_pyefd(mask)
        assert (order, true_order) == (line["order"], line["true_order"]), (kind, order, true_order, line)
        seconds = median_seconds(lambda: fourier_of_pyefd(mask))
        rows.append([kind, order, true_order, f"{dice:.4f}", f"{1e6 * line['seconds']:.0f}", f"{1e6 * seconds:.0f}", f"{seconds / line['seconds']:.0f}"])  # fmt: skip
    header = ["contour", "order", "true order", "Dice at the stop", "medcosmos µs", "pyefd + OpenCV µs", "ratio"]
    table("Boundary complexity of a contour", header, rows)


def compare_predict() -> None:
    done = subprocess.run(
        ["cargo", "bench", "--quiet", "--bench", "sam_overhead"], cwd=ROOT, check=True, capture_output=True, text=True
    )
    print(f"\n### predict against ONNX Runtime alone, one thread\n\n```\n{done.stdout.strip()}\n```")
    samples = Path(os.environ.get("MEDCOSMOS_SAMPLES", ROOT.parent / "shared" / "samples"))  # as sam_overhead has it
    if samples.is_dir():
        masks, seconds = predict_with_onnxruntime(samples / "cosmos", samples.parent / "models")
        print(f"\nThe same in Python with ONNX Runtime, {masks} masks: {seconds:.2f} s")


def compare_evaluate(program: Path, work: Path, repeats: int) -> None:
    """Pairs a minute of `evaluate`, on predictions of the baseline for the built volumes, and of their factors."""
    raw, data = work / "raw", work / "evaluated"
    if not raw.exists():
        write_apart(raw, 1)
    run([program, "build", raw, "--out", data, "--threads", 1, "--quiet", "--json"])
    run([program, "predict", data, "--model", "otsu-box", "--threads", 1, "--quiet", "--json"])
    rows, built = [], work / "predicted"
    shutil.move(data, built)
    for _ in range(repeats):
        shutil.rmtree(data, ignore_errors=True)
        shutil.copytree(built, data)
        measured = run([program, "evaluate", data, "--threads", 1, "--json"])
        compared = json.loads(measured["out"])["comparisons"]
        rows.append((60 * compared / measured["cpu"], compared, measured["cpu"]))
    rate, compared, seconds = sorted(rows)[len(rows) // 2]
    table("evaluate: metrics and factors", ["pairs", "CPU seconds", "pairs a minute and core"], [[compared, f"{seconds:.2f}", f"{rate:.0f}"]])  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", help="what to measure [default: all]")
    parser.add_argument("--volumes", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--peer", nargs=3, metavar=("NAME", "RAW", "OUT"), help=argparse.SUPPRESS)
    parser.add_argument("--write", nargs=2, metavar=("FOLDER", "COUNT"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.write:
        folder, count = arguments.write
        for pair in write_volumes(Path(folder), int(count)):
            print(*pair, sep="\t")
        return
    if arguments.peer:
        name, raw, out = arguments.peer
        print(BUILDERS[name](Path(raw), Path(out)))
        return
    program = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release" / "medcosmos"
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        parts = {
            "build": lambda: compare_build(program, work, arguments.volumes, arguments.repeats),
            "growth": lambda: compare_growth(program, work),
            "metrics": lambda: compare_metrics(work),
            "masks": lambda: compare_masks(work),
            "fourier": lambda: compare_fourier(work),
            "predict": compare_predict,
            "evaluate": lambda: compare_evaluate(program, work, arguments.repeats),
        }
        for other in set(arguments.parts) - set(parts):
            parser.error(f"there is no part {other!r}, but {', '.join(parts)}")
        # The program is built with the benchmarks: features of their dependencies would have it compiled twice.
        cargo("bench", "--no-run", "--bench", "limits", "--bench", "sam_overhead")
        for part in arguments.parts or parts:
            parts[part]()


if __name__ == "__main__":
    main()
