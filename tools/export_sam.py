#!/usr/bin/env python3
"""Turn a checkpoint of SAM into a model that medcosmos runs: encoder.onnx, decoder.onnx and model.toml.

    pip install torch onnx onnxruntime
    python tools/export_sam.py sam_vit_b_01ec64.pth --out sam-vit-b
    medcosmos models check sam-vit-b
    medcosmos models add sam-vit-b          # then: medcosmos predict data/ --model sam-vit-b

Official checkpoints of SAM (ViT-B, ViT-L, ViT-H), MedSAM and MobileSAM are recognised by the shapes of their
parameters, and so are others of the same architecture. No other code is needed than PyTorch: the modules are in
sam_modules.py.

Before model.toml is written, both files are run by ONNX Runtime and compared with PyTorch. ViT-H keeps its weights of
2.5 GB, of which several copies are in memory meanwhile, in a file of their own: encoder.onnx.data belongs to the model.
MedSAM was trained with boxes, on images stretched to the square frame: medcosmos pads them instead.
"""

import argparse
import hashlib
import inspect
import json
import math
import re
import sys
import tempfile
import warnings
from pathlib import Path

try:
    import numpy
    import onnx
    import onnxruntime
    import torch

    import sam_modules
    from sam_modules import STRIDE, FourMaskDecoder, NotSam

    MISSING = None
except ImportError as error:  # the help is there without them
    MISSING, NotSam = error, Exception

# Largest absolute differences that rounding may make.
TOLERANCES = {"image_embeddings": 1e-4, "low_res_masks": 1e-3, "iou_predictions": 1e-4}

# Of the decoder, in the order of the module.
OUTPUTS = ("iou_predictions", "low_res_masks")

# A protobuf file ends at 2 GB; what is not weights stays far below the difference.
LARGEST_ONNX = 2**31 - 2**26

SAM_INPUT = ([123.675, 116.28, 103.53], [58.395, 57.12, 57.375])
# Default name, mean and standard deviation of the input for each type.
TYPES = {
    "vit_b": ("sam-vit-b", *SAM_INPUT),
    "vit_l": ("sam-vit-l", *SAM_INPUT),
    "vit_h": ("sam-vit-h", *SAM_INPUT),
    "mobile_sam": ("mobile-sam", *SAM_INPUT),
    # A ViT-B by its shapes, trained on images from 0 to 1.
    "medsam": ("medsam", [0.0] * 3, [255.0] * 3),
}
MEDSAM_SHAPE = "vit_b"


class Refused(Exception):
    """Why nothing was exported: a sentence for the user."""


# Reading a checkpoint


def read_state(path: Path) -> dict:
    """The parameters of a checkpoint, in single precision. Only tensors are read from it, and no code is run."""
    if not path.is_file():
        raise Refused(f"{path} is not there: give the .pth file of a SAM")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds
        reason = str(error).strip().split("\n")[0]
        raise Refused(
            f"{path} cannot be read as weights ({reason}). It must be what `torch.save` writes of a state dict: if it "
            "holds other objects too, load it where it was made and save its state dict alone"
        ) from None
    for key in ("model", "state_dict", "model_state_dict"):  # training code keeps the optimiser beside it
        if isinstance(state, dict) and isinstance(state.get(key), dict):
            state = state[key]
    if not isinstance(state, dict) or not all(torch.is_tensor(value) for value in state.values()):
        raise Refused(f"{path} holds no state dict: save `model.state_dict()` by `torch.save`")
    return {name.removeprefix("module."): single(value) for name, value in state.items()}


def single(value):
    """A tensor in single precision; one of whole numbers (a counter of batches) as it is."""
    return value.float() if value.is_floating_point() else value


def type_of(geometry, wanted, checkpoint: Path) -> str:
    """The type by shapes, unless the user says another that has the same; `custom` for what is not published."""
    found = geometry.name
    if wanted is None:
        return "medsam" if found == MEDSAM_SHAPE and "medsam" in checkpoint.name.lower() else found
    if found != (MEDSAM_SHAPE if wanted == "medsam" else wanted):
        raise Refused(
            f"{checkpoint} is not {wanted}: by the shapes of its parameters it is {described(geometry)}. "
            "Leave out --type, or give the checkpoint of that model"
        )
    return wanted


def described(geometry) -> str:
    kind = {"vit": "ViT", "tiny_vit": "TinyViT"}[geometry.encoder]
    blocks, channels = (" + ".join(map(str, numbers)) for numbers in (geometry.depths, geometry.dims))
    return f"{geometry.name} ({kind}, blocks: {blocks}, channels: {channels}, frame: {geometry.size})"


# Writing ONNX


def decoder_inputs(size: int, coordinates, labels, mask=None) -> dict:
    """Inputs of the decoder but for the embedding; `mask` holds the logits of an earlier mask."""
    side = size // STRIDE * 4
    return {
        "point_coords": torch.as_tensor(coordinates, dtype=torch.float32),
        "point_labels": torch.as_tensor(labels, dtype=torch.float32),
        "mask_input": torch.zeros(1, 1, side, side) if mask is None else mask,
        "has_mask_input": torch.tensor([0.0 if mask is None else 1.0]),
    }


def export_encoder(sam, path: Path, opset: int):
    size, grid = sam.geometry.size, sam.geometry.size // STRIDE
    inputs = {"input_image": torch.zeros(1, 3, size, size)}
    export(sam.image_encoder, inputs, {"image_embeddings": [1, channels(sam), grid, grid]}, {}, path, opset)


def export_decoder(sam, path: Path, opset: int):
    size, grid = sam.geometry.size, sam.geometry.size // STRIDE
    embedding = {"image_embeddings": torch.zeros(1, channels(sam), grid, grid)}
    # More than one prompt and point, lest the tracer takes an axis of one for a constant.
    prompts = decoder_inputs(size, torch.ones(2, 3, 2), torch.ones(2, 3))
    outputs = {"iou_predictions": ["prompts", 4], "low_res_masks": ["prompts", 4, 4 * grid, 4 * grid]}
    free = {"point_coords": {0: "prompts", 1: "points"}, "point_labels": {0: "prompts", 1: "points"}}
    export(FourMaskDecoder(sam), {**embedding, **prompts}, outputs, free, path, opset)


def channels(sam) -> int:
    return sam.prompt_encoder.no_mask_embed.weight.shape[1]


def export(module, inputs: dict, outputs: dict, free: dict, path: Path, opset: int):
    """Writes a module as ONNX. `outputs` gives the shapes, so that the graph tells its form; `free` the free axes."""
    axes = {name: {i: axis for i, axis in enumerate(shape) if isinstance(axis, str)} for name, shape in outputs.items()}
    # The exporter by tracing, where there is another: the one that all versions of PyTorch have.
    tracing = {"dynamo": False} if "dynamo" in inspect.signature(torch.onnx.export).parameters else {}
    names = dict(input_names=list(inputs), output_names=list(outputs), dynamic_axes={**free, **axes})
    with tempfile.TemporaryDirectory(dir=path.parent) as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that traced shapes are constants: they are to be
        traced = Path(folder) / path.name
        try:
            torch.onnx.export(module, tuple(inputs.values()), str(traced), opset_version=opset, **names, **tracing)
        except Exception as error:  # torch raises many kinds
            raise Refused(
                f"PyTorch {torch.__version__} cannot export {path.name} with opset {opset}: {error}. "
                "Try the default --opset, or another version of torch"
            ) from error
        graph = onnx.load(str(traced))
    for output in graph.graph.output:
        name_axes(output, outputs[output.name])
    save(graph, path)


def name_axes(output, shape: list):
    del output.type.tensor_type.shape.dim[:]
    for axis in shape:
        added = output.type.tensor_type.shape.dim.add()
        if isinstance(axis, str):
            added.dim_param = axis
        else:
            added.dim_value = axis


def save(graph, path: Path):
    """Writes one file, or two where one cannot hold the weights."""
    beside = data_file(path)
    beside.unlink(missing_ok=True)  # onnx would append to it
    if sum(len(tensor.raw_data) for tensor in graph.graph.initializer) > LARGEST_ONNX:
        onnx.save_model(graph, str(path), save_as_external_data=True, location=beside.name)
        beside.chmod(path.stat().st_mode & 0o777)  # onnx lets nobody else read it
    else:
        onnx.save_model(graph, str(path))


def data_file(path: Path) -> Path:
    return path.with_name(path.name + ".data")


# Comparing with PyTorch


class Comparison:
    """The largest difference seen of each tensor, and in which run."""

    def __init__(self):
        self.worst = {}

    def add(self, tensor: str, run: str, expected, found):
        expected = expected.numpy()
        same_shape = expected.shape == found.shape
        difference = float(numpy.abs(expected - found).max()) if same_shape else math.inf
        if math.isnan(difference):
            difference = math.inf
        if tensor not in self.worst or difference > self.worst[tensor][0]:
            self.worst[tensor] = (difference, run)

    def faults(self) -> list:
        return [
            f"{tensor} differs by {difference:.1e} ({run}), and {TOLERANCES[tensor]:.0e} is allowed"
            for tensor, (difference, run) in self.worst.items()
            if difference > TOLERANCES[tensor]
        ]

    def summary(self) -> str:
        return ", ".join(f"{tensor} by {difference:.1e}" for tensor, (difference, _) in self.worst.items())


def compare(sam, encoder: Path, decoder: Path) -> Comparison:
    """Runs both files and both modules on a random image and all kinds of prompts."""
    comparison, random = Comparison(), torch.Generator().manual_seed(0)
    size = sam.geometry.size
    image = torch.randn(1, 3, size, size, generator=random)
    image[:, :, size * 3 // 4 :] = 0.0  # the padding of an image that is not square
    with torch.no_grad():
        embedding = sam.image_encoder(image)
        (found,) = session(encoder).run(None, {"input_image": image.numpy()})
        comparison.add("image_embeddings", "a random image", embedding, found)
        del found
        reference, running = FourMaskDecoder(sam), session(decoder)
        for run, prompts in all_prompts(size, random):
            inputs = {"image_embeddings": embedding, **prompts}
            found = running.run(list(OUTPUTS), {name: value.numpy() for name, value in inputs.items()})
            for tensor, expected, values in zip(OUTPUTS, reference(*inputs.values()), found):
                comparison.add(tensor, run, expected, values)
    return comparison


def session(path: Path):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors alone
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise Refused(f"ONNX Runtime {onnxruntime.__version__} cannot load {path}: {error}") from error


def all_prompts(size: int, random):
    """Names and inputs of prompts of every kind, each without and with an earlier mask."""

    def place(prompts: int, points: int):
        return torch.rand(prompts, points, 2, generator=random) * size

    no_box = torch.zeros(1, 1, 2)  # one padding point
    kinds = {
        "one point": (torch.cat([place(1, 1), no_box], dim=1), [[1, -1]]),
        "five points": (torch.cat([place(1, 5), no_box], dim=1), [[1, 1, 0, 1, 0, -1]]),
        "a box": (place(1, 2), [[2, 3]]),
        "a point and a box": (place(1, 3), [[1, 2, 3]]),
        "three prompts": (place(3, 2), [[1, -1], [2, 3], [0, -1]]),
    }
    side = size // STRIDE * 4
    for name, (coordinates, labels) in kinds.items():
        yield name, decoder_inputs(size, coordinates, labels)
        mask = torch.randn(1, 1, side, side, generator=random) * 8
        yield f"{name} and a mask", decoder_inputs(size, coordinates, labels, mask)


# The description


def model_toml(name: str, size: int, mean: list, std: list, files: list) -> str:
    """The text of model.toml, with the digest of every file."""
    digests = "\n".join(f"{json.dumps(file.name)} = {json.dumps(sha256(file))}" for file in files)
    return f"""name = {json.dumps(name)}

[files]
{digests}

[encoder]
file = "encoder.onnx"
input = "input_image"
size = {size}
layout = "chw"
prepared = "padded"
mean = {mean}
std = {std}

[decoder]
file = "decoder.onnx"
interface = "four-mask"
"""


def sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def free_folder(folder: Path) -> Path:
    if (folder / "model.toml").exists():
        raise Refused(f"{folder} holds a model already: give another --out, or remove it")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Refused(f"{folder} cannot be made: {error.strerror}. Give another --out") from None
    return folder


def name_of(given, kind: str, checkpoint: Path) -> str:
    """The model's name: it names a folder and a file of results, and is plain for that."""
    if given is None:
        return TYPES[kind][0] if kind in TYPES else re.sub("[^A-Za-z0-9_-]+", "-", checkpoint.stem).strip("-") or "sam"
    if not re.fullmatch("[A-Za-z0-9_-][A-Za-z0-9._-]*", given):
        raise Refused(f"--name {given!r}: expected letters, digits, dashes and dots")
    return given


def run(arguments):
    if MISSING is not None:
        raise Refused(f"{MISSING}. Install what is needed: pip install torch onnx onnxruntime")
    checkpoint = arguments.checkpoint
    state = read_state(checkpoint)
    try:
        geometry = sam_modules.geometry_of(state)
        kind = type_of(geometry, arguments.type, checkpoint)
        name = name_of(arguments.name, kind, checkpoint)
        sam = sam_modules.load(state, geometry)
    except NotSam as reason:
        raise Refused(f"{checkpoint} is not a checkpoint of SAM or MobileSAM: {reason}") from None
    del state
    folder = free_folder(arguments.out)
    print(f"{checkpoint}: {described(geometry)}{', taken for MedSAM' * (kind == 'medsam')}", flush=True)
    encoder, decoder = folder / "encoder.onnx", folder / "decoder.onnx"
    export_encoder(sam, encoder, arguments.opset)
    export_decoder(sam, decoder, arguments.opset)
    print("exported; comparing with PyTorch", flush=True)
    comparison = compare(sam, encoder, decoder)
    if faults := comparison.faults():
        raise Refused(
            f"{folder}: the ONNX files do not compute what PyTorch computes: {'; '.join(faults)}. No model.toml was "
            "written; try another --opset, or other versions of torch and onnxruntime"
        )
    print(f"ONNX Runtime differs from PyTorch at most: {comparison.summary()}")
    files = [file for path in (encoder, decoder) for file in (path, data_file(path)) if file.exists()]
    mean, std = TYPES[kind][1:] if kind in TYPES else SAM_INPUT
    (folder / "model.toml").write_text(model_toml(name, geometry.size, mean, std, files), encoding="utf-8")
    print(f"{folder} is the model {name}: `medcosmos models check {folder}`, then `medcosmos models add {folder}`")


def parse(words=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("checkpoint", type=Path, metavar="CHECKPOINT", help="the .pth (or .pt) file of a SAM")
    add("--out", type=Path, required=True, metavar="FOLDER", help="folder of the model, made where it is not there")
    add(
        "--type",
        choices=list(TYPES),
        help="what the checkpoint is, where its shapes do not tell: medsam has those of vit_b, and another preparation "
        "of images (without --type it is told by `medsam` in the file's name). Refused where the shapes are others",
    )
    add("--name", help="name of the model in tables and reports [default: by type, as sam-vit-b]")
    add("--opset", type=int, default=17, help="version of ONNX's operators [default: 17]")
    return parser.parse_args(words)


def main() -> int:
    arguments = parse()
    try:
        run(arguments)
    except Refused as reason:
        print(f"error: {reason}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
