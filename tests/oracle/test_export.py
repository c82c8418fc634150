"""`tools/export_sam.py` makes a model that computes what Meta's own code computes.

A tiny SAM with random weights is built from the package `segment-anything` and saved; the tool turns it into a model;
ONNX Runtime runs that, and its results are compared with those of Meta's modules, which the tool does not know. The
program then opens the model. MobileSAM is no package: some values of its encoder, computed once by its authors' code
(commit 34bbbfd) with weights that a formula gives, are written down here.

    apt-get install --no-install-recommends python3-torch         # or: pip install torch
    pip install -r tests/oracle/requirements-torch.txt
    pytest tests/oracle/test_export.py
"""

import hashlib
import importlib
import os
import subprocess
import sys
import tomllib
import types
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from conftest import REPOSITORY

TOOL = REPOSITORY / "tools/export_sam.py"
SIZE, GRID = 256, 16
NEEDED = "torch", "onnx", "onnxruntime", "segment_anything"


def imported(name: str):
    """A module; where it is missing the tests are skipped, and fail with `CI=true`."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        missing = f"{error} (see the head of {Path(__file__).name})"
        if os.environ.get("CI") == "true":
            pytest.fail(missing)
        pytest.skip(missing)


@pytest.fixture(scope="module", autouse=True)
def packages():
    """All that is needed, with stand-ins for torchvision: `segment_anything` imports it for what is not used here."""
    for name in ("torchvision.ops.boxes", "torchvision.transforms.functional"):
        parts = name.split(".")
        for i in range(1, len(parts) + 1):
            sys.modules.setdefault(".".join(parts[:i]), types.ModuleType(".".join(parts[:i])))
        for attribute in ("batched_nms", "box_area", "resize", "to_pil_image"):
            setattr(sys.modules[name], attribute, None)
    return [imported(name) for name in NEEDED]


@pytest.fixture
def tool(packages, monkeypatch):
    """Makes the tool's modules importable."""
    monkeypatch.syspath_prepend(TOOL.parent)


def randomised(module):
    """Weights that make every part count: Meta's modules start with zeros in the relative positions."""
    import torch

    random = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            size = 0.3 if "rel_pos" in name or "attention_biases" in name else 0.05
            parameter.add_(torch.randn(parameter.shape, generator=random) * size)
        for name, buffer in module.named_buffers():
            if "running" in name:
                buffer.add_(torch.rand(buffer.shape, generator=random) * 0.5)
    return module.eval()


@pytest.fixture(scope="module")
def official(packages):
    """Meta's SAM, tiny: two blocks, one with windows that need padding (16 is no multiple of 6), one without."""
    import torch
    from segment_anything import modeling

    torch.manual_seed(0)
    encoder = modeling.ImageEncoderViT(
        depth=2, embed_dim=32, img_size=SIZE, mlp_ratio=4, norm_layer=partial(torch.nn.LayerNorm, eps=1e-6),
        num_heads=2, patch_size=16, qkv_bias=True, use_rel_pos=True, global_attn_indexes=[1], window_size=6,
        out_chans=256,
    )  # fmt: skip
    prompts = modeling.PromptEncoder(
        embed_dim=256, image_embedding_size=(GRID, GRID), input_image_size=(SIZE, SIZE), mask_in_chans=16
    )
    transformer = modeling.TwoWayTransformer(depth=2, embedding_dim=256, mlp_dim=512, num_heads=8)
    decoder = modeling.MaskDecoder(transformer=transformer, transformer_dim=256, iou_head_hidden_dim=256)
    return randomised(modeling.Sam(encoder, prompts, decoder))


def export(*arguments, status: int = 0) -> subprocess.CompletedProcess:
    done = subprocess.run([sys.executable, TOOL, *map(str, arguments)], capture_output=True, text=True, timeout=300)
    assert done.returncode == status, (done.stdout[-2000:], done.stderr[-4000:])
    assert "Traceback" not in done.stderr, done.stderr[-4000:]
    return done


@pytest.fixture(scope="module")
def checkpoint(official, tmp_path_factory) -> Path:
    import torch

    file = tmp_path_factory.mktemp("checkpoint") / "tiny sam.pth"
    torch.save(official.state_dict(), file)
    return file


@pytest.fixture(scope="module")
def model(checkpoint, tmp_path_factory) -> Path:
    """The folder that the tool makes of it."""
    folder = tmp_path_factory.mktemp("model") / "tiny"
    said = export(checkpoint, "--out", folder).stdout
    assert "custom (ViT, blocks: 2, channels: 32, frame: 256)" in said and "differs from PyTorch at most" in said
    return folder


def session(file: Path):
    import onnxruntime

    return onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])


def image():
    import torch

    return torch.randn(1, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(2))


def test_embeddings_are_those_of_meta(official, model):
    import torch

    with torch.no_grad():
        expected = official.image_encoder(image()).numpy()
    (found,) = session(model / "encoder.onnx").run(["image_embeddings"], {"input_image": image().numpy()})
    assert found.shape == (1, 256, GRID, GRID)
    np.testing.assert_allclose(found, expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("with_mask", [False, True], ids=["", "mask"])
@pytest.mark.parametrize(
    "prompts, points, with_box",
    [(1, 1, False), (1, 5, False), (1, 0, True), (1, 1, True), (3, 1, False), (3, 0, True), (3, 4, True)],
)
def test_masks_are_those_of_meta(official, model, prompts, points, with_box, with_mask):
    import torch

    random = torch.Generator().manual_seed(prompts + 10 * points)
    places = torch.rand(prompts, points, 2, generator=random) * SIZE
    labels = (torch.rand(prompts, points, generator=random) > 0.5).float()
    corners = torch.rand(prompts, 2, 2, generator=random) * SIZE
    mask = torch.randn(1, 1, 4 * GRID, 4 * GRID, generator=random) * 5
    with torch.no_grad():
        embedding = official.image_encoder(image())
        sparse, dense = official.prompt_encoder(
            points=(places, labels) if points else None,
            boxes=corners.reshape(prompts, 4) if with_box else None,
            masks=mask if with_mask else None,
        )
        code = official.prompt_encoder.get_dense_pe()
        # One mask for all prompts has one code, no mask as many as there are prompts.
        expected_masks, expected_ious = official.mask_decoder.predict_masks(embedding, code, sparse, dense[:1])
    # The order of tokens that medcosmos has: points, then the box or a point of padding.
    last = corners if with_box else torch.zeros(prompts, 1, 2)
    last_labels = torch.tensor([[2.0, 3.0]] if with_box else [[-1.0]]).expand(prompts, -1)
    inputs = {
        "image_embeddings": embedding,
        "point_coords": torch.cat([places, last], dim=1),
        "point_labels": torch.cat([labels, last_labels], dim=1),
        "mask_input": mask,  # ignored without the next
        "has_mask_input": torch.tensor([float(with_mask)]),
    }
    running = session(model / "decoder.onnx")
    ious, masks = running.run(["iou_predictions", "low_res_masks"], {n: v.numpy() for n, v in inputs.items()})
    assert masks.shape == (prompts, 4, 4 * GRID, 4 * GRID)
    np.testing.assert_allclose(masks, expected_masks.numpy(), atol=1e-3, rtol=0)
    np.testing.assert_allclose(ious, expected_ious.numpy(), atol=1e-4, rtol=0)


def waves(shape, phase: float):
    """Numbers from -1 to 1 that any machine gives."""
    import torch

    count = torch.arange(torch.Size(shape).numel(), dtype=torch.float64)
    return torch.sin(count * 1.7 + phase).reshape(shape).float()


def wavy_tiny_vit() -> dict:
    """A small TinyViT's parameters, which only their names and shapes decide."""
    import sam_modules

    shape = sam_modules.Geometry("tiny_vit", 1024, (8, 16, 20, 320), (1, 1, 2, 1), (0, 2, 5, 4), (0, 7, 14, 7), 4, 10)
    state = sam_modules.TinyVit(shape, 256).state_dict()
    for i, (name, value) in enumerate(sorted(state.items())):
        if name.endswith("num_batches_tracked"):
            continue
        scale = name.endswith("running_var") or (value.ndim == 1 and name.endswith("weight"))
        inputs = value[0].numel() if value.ndim > 1 and "biases" not in name else 4
        state[name] = 1 + 0.3 * waves(value.shape, i) if scale else waves(value.shape, i) * 1.4 / inputs**0.5
    return state


def test_mobile_sam_has_the_embeddings_of_its_authors(official, tool, tmp_path):
    import export_sam
    import sam_modules
    import torch

    rest = {name: value for name, value in official.state_dict().items() if not name.startswith("image_encoder.")}
    state = rest | {f"image_encoder.{name}": value for name, value in wavy_tiny_vit().items()}
    torch.save(state, tmp_path / "mobile.pt")
    # Without the tool's comparison, which takes a minute at this size; its decoder is that of the other tests.
    read = export_sam.read_state(tmp_path / "mobile.pt")
    geometry = sam_modules.geometry_of(read)
    assert "custom (TinyViT" in export_sam.described(geometry)
    export_sam.export_encoder(sam_modules.load(read, geometry), tmp_path / "encoder.onnx", opset=17)
    (found,) = session(tmp_path / "encoder.onnx").run(None, {"input_image": waves((1, 3, 1024, 1024), 0.5).numpy()})
    expected = {
        (0, 0, 0): -1.03018,
        (7, 13, 31): 1.124,
        (100, 32, 5): -0.6622,
        (200, 63, 63): 0.38821,
        (255, 40, 20): 0.89066,
    }
    assert {place: float(found[0][place]) for place in expected} == pytest.approx(expected, abs=5e-4)


def test_the_graph_tells_its_form(model):
    shapes = {node.name: node.shape for node in session(model / "decoder.onnx").get_outputs()}
    assert shapes == {"iou_predictions": ["prompts", 4], "low_res_masks": ["prompts", 4, 4 * GRID, 4 * GRID]}


def test_the_description_holds_every_digest(model):
    described = tomllib.loads((model / "model.toml").read_text())
    digests = {file: hashlib.sha256((model / file).read_bytes()).hexdigest() for file in described["files"]}
    assert described["files"] == digests and set(digests) == {"encoder.onnx", "decoder.onnx"}
    assert described["name"] == "tiny-sam"
    assert described["encoder"]["size"] == SIZE and described["decoder"]["interface"] == "four-mask"
    assert sorted(file.name for file in model.iterdir()) == ["decoder.onnx", "encoder.onnx", "model.toml"]


def opened(medcosmos, monkeypatch, model: Path):
    """The program shows and checks a model. Random weights find no disc, so that the check's status is 1."""
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=os.pathsep)  # has ONNX Runtime
    assert 'interface = "four-mask"' in medcosmos("models", "show", model).stdout
    said = medcosmos("models", "check", model, status=1).stdout
    assert "decoder: FourMask, 3 mask(s) per prompt" in said, said


def test_the_program_opens_it(model, medcosmos, monkeypatch):
    opened(medcosmos, monkeypatch, model)


def test_weights_beyond_a_file_lie_beside_it(checkpoint, tmp_path, medcosmos, monkeypatch):
    """What happens to ViT-H, whose weights one protobuf file cannot hold, with another limit."""
    code = "import sys, export_sam; export_sam.LARGEST_ONNX = 1 << 20; sys.exit(export_sam.main())"
    command = [sys.executable, "-c", code, checkpoint, "--out", tmp_path / "large"]
    subprocess.run(command, cwd=TOOL.parent, check=True, timeout=300)
    described = tomllib.loads((tmp_path / "large/model.toml").read_text())
    assert set(described["files"]) == {f"{part}.onnx{end}" for part in ("encoder", "decoder") for end in ("", ".data")}
    assert (tmp_path / "large/decoder.onnx").stat().st_size < 1 << 20
    opened(medcosmos, monkeypatch, tmp_path / "large")


def test_training_checkpoints_are_unwrapped(official, tmp_path):
    import torch

    state = {f"module.{name}": value.half() for name, value in official.state_dict().items()}
    torch.save({"model": state, "epoch": 3}, tmp_path / "epoch.pth")
    assert "the model mine" in export(tmp_path / "epoch.pth", "--out", tmp_path / "out", "--name", "mine").stdout


def test_mistakes_are_explained(checkpoint, model, official, tmp_path):
    import torch

    def refused(*arguments) -> str:
        return export(*arguments, status=1).stderr

    assert "is not there" in refused(tmp_path / "absent.pth", "--out", tmp_path)
    assert "holds a model already" in refused(checkpoint, "--out", model)
    assert "is not vit_l: by the shapes" in refused(checkpoint, "--out", tmp_path / "l", "--type", "vit_l")
    assert "expected letters" in refused(checkpoint, "--out", tmp_path / "n", "--name", "a/b")
    (tmp_path / "text.pth").write_text("no weights")
    assert "cannot be read as weights" in refused(tmp_path / "text.pth", "--out", tmp_path)
    torch.save({"conv.weight": torch.zeros(1)}, tmp_path / "other.pth")
    assert "neither the image encoder of SAM" in refused(tmp_path / "other.pth", "--out", tmp_path)
    state = {**official.state_dict(), "adapter.weight": torch.zeros(1)}
    torch.save(state, tmp_path / "adapted.pth")
    assert "adapter.weight" in refused(tmp_path / "adapted.pth", "--out", tmp_path)
    assert not (tmp_path / "model.toml").exists()


def test_differences_are_found(tool):
    """The tool's comparison refuses what is wrong, infinite or of another shape."""
    import torch
    from export_sam import Comparison

    for wrong in (np.float32([1, 2.1]), np.float32([1, np.nan]), np.float32([1, 2, 3])):
        comparison = Comparison()
        comparison.add("low_res_masks", "a box", torch.tensor([1.0, 2.0]), wrong)
        comparison.add("low_res_masks", "one point", torch.tensor([1.0]), np.float32([1.0001]))
        (fault,) = comparison.faults()
        assert "a box" in fault
    comparison.worst.clear()
    comparison.add("low_res_masks", "one point", torch.tensor([1.0]), np.float32([1.0001]))
    assert comparison.faults() == []
