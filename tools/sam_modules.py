"""SAM's modules in PyTorch, for exporting: just what a forward pass in single precision needs.

Written after the papers (Kirillov et al. 2023, *Segment Anything*; Li et al. 2022, *Exploring Plain Vision Transformer
Backbones*, for the image encoder; Wu et al. 2022, *TinyViT*, for that of MobileSAM). Parameters carry the names of the
official checkpoints, so that `load_state_dict(strict=True)` fits or says what does not. All sizes are read from the
shapes of a checkpoint (`Geometry`); only what no parameter tells is written down here.
"""

import math
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F

STRIDE = 16  # pixels of the frame per position of the embedding
DECODER_HEADS = 8


class NotSam(Exception):
    """A checkpoint is not what was expected. Its text says what is wrong."""


# What a checkpoint says about itself


@dataclass(frozen=True)
class Geometry:
    """All sizes of a model, by the shapes of its parameters."""

    encoder: str  # "vit" or "tiny_vit"
    size: int  # side of the frame in pixels
    dims: tuple  # channels: one number (vit), or one for each stage
    depths: tuple  # blocks: one number (vit), or one for each stage
    heads: tuple  # attention heads: likewise; 0 where a stage has no attention
    windows: tuple  # side of the attention windows of each block (vit) or stage; 0 is the whole image
    mlp: int  # hidden channels of an encoder block's MLP per channel
    classes: int = 0  # of the classifier that TinyViT carries along, unused

    @property
    def name(self) -> str:
        """Which of the published models this is, or `custom`."""
        own = (self.encoder, self.size, self.dims, self.depths)
        return next((name for name, published in PUBLISHED.items() if published == own), "custom")


PUBLISHED = {
    "vit_b": ("vit", 1024, (768,), (12,)),
    "vit_l": ("vit", 1024, (1024,), (24,)),
    "vit_h": ("vit", 1024, (1280,), (32,)),
    "mobile_sam": ("tiny_vit", 1024, (64, 128, 160, 320), (2, 2, 6, 2)),
}


def geometry_of(state: dict) -> Geometry:
    """The sizes of the model that a state dict belongs to."""
    try:
        if "image_encoder.pos_embed" in state:
            return _vit_geometry(state)
        if "image_encoder.patch_embed.seq.0.c.weight" in state:
            return _tiny_vit_geometry(state)
    except KeyError as missing:
        raise NotSam(f"it has no parameter {missing}, which every SAM has") from None
    raise NotSam("it has neither the image encoder of SAM (`image_encoder.pos_embed`) nor that of MobileSAM")


def _count(state: dict, pattern: str) -> int:
    n = 0
    while pattern.format(n) in state:
        n += 1
    return n


def _vit_geometry(state: dict) -> Geometry:
    _, grid, _, dim = state["image_encoder.pos_embed"].shape
    depth = _count(state, "image_encoder.blocks.{}.norm1.weight")
    if depth == 0:
        raise NotSam("its image encoder has no blocks")
    tables = [state[f"image_encoder.blocks.{i}.attn.rel_pos_h"].shape for i in range(depth)]
    sides = [(length + 1) // 2 for length, _ in tables]  # offsets -(side - 1) to side - 1
    mlp = state["image_encoder.blocks.0.mlp.lin1.weight"].shape[0] // dim
    windows = tuple(0 if side == grid else side for side in sides)
    return Geometry("vit", grid * STRIDE, (dim,), (depth,), (dim // tables[0][1],), windows, mlp)


def _tiny_vit_geometry(state: dict) -> Geometry:
    depths, dims, heads, windows = [], [], [], []
    while (dim := _stage_channels(state, prefix := f"image_encoder.layers.{len(dims)}.")) is not None:
        dims.append(dim)
        conv, attention = prefix + "blocks.{}.conv1.c.weight", prefix + "blocks.{}.attn.attention_biases"
        depths.append(_count(state, conv) or _count(state, attention))
        biases = state.get(attention.format(0))
        heads.append(0 if biases is None else biases.shape[0])
        windows.append(0 if biases is None else math.isqrt(biases.shape[1]))
    mlp = state[f"image_encoder.layers.{len(dims) - 1}.blocks.0.mlp.fc1.weight"].shape[0] // dims[-1]
    classes = state["image_encoder.head.weight"].shape[0]
    # Nothing in a TinyViT tells the size of its frame: all that are published have SAM's.
    return Geometry("tiny_vit", 1024, tuple(dims), tuple(depths), tuple(heads), tuple(windows), mlp, classes)


def _stage_channels(state: dict, prefix: str):
    """Channels of a stage, be it convolutional or with attention; None where there is no such stage."""
    for name, axis in (("blocks.0.conv1.c.weight", 1), ("blocks.0.attn.norm.weight", 0)):
        if prefix + name in state:
            return state[prefix + name].shape[axis]
    return None


# Parts that several modules share


class ChannelNorm(nn.Module):
    """Layer norm over the channels of [B, C, H, W]."""

    def __init__(self, channels: int):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x):
        x = F.layer_norm(x.permute(0, 2, 3, 1), self.weight.shape, self.weight, self.bias, 1e-6)
        return x.permute(0, 3, 1, 2)


class TwoLinear(nn.Module):
    """The MLP of a transformer block."""

    def __init__(self, dim: int, hidden: int, activation):
        super().__init__()
        self.lin1 = nn.Linear(dim, hidden)
        self.lin2 = nn.Linear(hidden, dim)
        self.activation = activation

    def forward(self, x):
        return self.lin2(self.activation(self.lin1(x)))


def neck(dim: int, out: int) -> nn.Sequential:
    """From an encoder's channels to those of the embedding."""
    return nn.Sequential(
        nn.Conv2d(dim, out, 1, bias=False),
        ChannelNorm(out),
        nn.Conv2d(out, out, 3, padding=1, bias=False),
        ChannelNorm(out),
    )


def into_windows(x, side: int):
    """[B, H, W, C] in windows [B * windows, side, side, C]; the last of a row or column are padded with zeros."""
    # As numbers, so that an exporter that traces takes them for constants: a frame has one size.
    batch, height, width, channels = map(int, x.shape)
    x = F.pad(x, (0, 0, 0, -width % side, 0, -height % side))
    rows, columns = -(-height // side), -(-width // side)
    x = x.reshape(batch, rows, side, columns, side, channels).transpose(2, 3)
    return x.reshape(batch * rows * columns, side, side, channels)


def from_windows(x, side: int, height: int, width: int):
    """Undoes `into_windows`, and drops the padding."""
    rows, columns, channels = -(-height // side), -(-width // side), int(x.shape[-1])
    x = x.reshape(-1, rows, columns, side, side, channels).transpose(2, 3)
    return x.reshape(-1, rows * side, columns * side, channels)[:, :height, :width]


# The image encoder of SAM: a plain vision transformer, most of whose blocks attend inside windows


class WindowAttention(nn.Module):
    """Attention over [B, H, W, C] with a learnt term for the vertical and one for the horizontal offset of two places.

    The term depends on the query: the dot product of the query and the embedding of the offset."""

    def __init__(self, dim: int, heads: int, side: int):
        super().__init__()
        self.heads, self.width = heads, dim // heads
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)
        self.rel_pos_h = nn.Parameter(torch.zeros(2 * side - 1, self.width))
        self.rel_pos_w = nn.Parameter(torch.zeros(2 * side - 1, self.width))
        place = torch.arange(side)
        # Row of the table for query place i and key place j: i - j, from 0.
        self.register_buffer("offset", place[:, None] - place[None, :] + side - 1, persistent=False)

    def forward(self, x):
        batch, height, width, dim = map(int, x.shape)
        places = height * width
        qkv = self.qkv(x).reshape(batch, places, 3, self.heads, self.width).permute(2, 0, 3, 1, 4)
        q, k, v = qkv[0], qkv[1], qkv[2]
        scores = (q * self.width**-0.5) @ k.transpose(-2, -1)
        vertical, horizontal = self.position_scores(q.reshape(batch, self.heads, height, width, self.width))
        scores = scores.reshape(batch, self.heads, height, width, height, width)
        scores = scores + vertical.unsqueeze(-1) + horizontal.unsqueeze(-2)
        mixed = scores.reshape(batch, self.heads, places, places).softmax(-1) @ v
        return self.proj(mixed.transpose(1, 2).reshape(batch, height, width, dim))

    def position_scores(self, q):
        """Terms [B, heads, H, W, key row] and [B, heads, H, W, key column] of the (unscaled) queries."""
        rows = self.rel_pos_h[self.offset].transpose(-2, -1)
        columns = self.rel_pos_w[self.offset].transpose(-2, -1)
        return q @ rows, (q.transpose(2, 3) @ columns).transpose(2, 3)


class VitBlock(nn.Module):
    def __init__(self, dim: int, heads: int, mlp: int, window: int, grid: int):
        super().__init__()
        self.window = window
        self.norm1 = nn.LayerNorm(dim, eps=1e-6)
        self.attn = WindowAttention(dim, heads, window or grid)
        self.norm2 = nn.LayerNorm(dim, eps=1e-6)
        self.mlp = TwoLinear(dim, mlp * dim, F.gelu)

    def forward(self, x):
        y = self.norm1(x)
        if self.window:
            windows = self.attn(into_windows(y, self.window))
            y = from_windows(windows, self.window, int(x.shape[1]), int(x.shape[2]))
        else:
            y = self.attn(y)
        x = x + y
        return x + self.mlp(self.norm2(x))


class PatchEmbed(nn.Module):
    def __init__(self, dim: int):
        super().__init__()
        self.proj = nn.Conv2d(3, dim, STRIDE, stride=STRIDE)

    def forward(self, x):
        return self.proj(x).permute(0, 2, 3, 1)


class Vit(nn.Module):
    """[1, 3, size, size], normalised and padded, to [1, 256, size / 16, size / 16]."""

    def __init__(self, geometry: Geometry, out: int):
        super().__init__()
        (dim,), (heads,), grid = geometry.dims, geometry.heads, geometry.size // STRIDE
        self.patch_embed = PatchEmbed(dim)
        self.pos_embed = nn.Parameter(torch.zeros(1, grid, grid, dim))
        self.blocks = nn.ModuleList(VitBlock(dim, heads, geometry.mlp, w, grid) for w in geometry.windows)
        self.neck = neck(dim, out)

    def forward(self, image):
        x = self.patch_embed(image) + self.pos_embed
        for block in self.blocks:
            x = block(x)
        return self.neck(x.permute(0, 3, 1, 2))


# The image encoder of MobileSAM: TinyViT, whose first stage is convolutional


class ConvNorm(nn.Sequential):
    """A convolution and the batch norm after it."""

    def __init__(self, dim: int, out: int, kernel: int = 1, stride: int = 1, groups: int = 1):
        super().__init__()
        self.add_module("c", nn.Conv2d(dim, out, kernel, stride, kernel // 2, groups=groups, bias=False))
        self.add_module("bn", nn.BatchNorm2d(out))


class InvertedBottleneck(nn.Module):
    EXPANSION = 4

    def __init__(self, dim: int):
        super().__init__()
        hidden = self.EXPANSION * dim
        self.conv1 = ConvNorm(dim, hidden)
        self.conv2 = ConvNorm(hidden, hidden, 3, groups=hidden)
        self.conv3 = ConvNorm(hidden, dim)

    def forward(self, x):
        y = F.gelu(self.conv2(F.gelu(self.conv1(x))))
        return F.gelu(x + self.conv3(y))


class Downsample(nn.Module):
    """To the channels of the next stage, and half its side (but to the last stage, whose side SAM needs)."""

    def __init__(self, dim: int, out: int, stride: int):
        super().__init__()
        self.conv1 = ConvNorm(dim, out)
        self.conv2 = ConvNorm(out, out, 3, stride, groups=out)
        self.conv3 = ConvNorm(out, out)

    def forward(self, x):
        return self.conv3(F.gelu(self.conv2(F.gelu(self.conv1(x)))))


class BiasedAttention(nn.Module):
    """Attention over [B, side, side, C] with a learnt bias for each distance of two places along both axes."""

    def __init__(self, dim: int, heads: int, side: int):
        super().__init__()
        self.heads, self.width = heads, dim // heads
        self.norm = nn.LayerNorm(dim)
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)
        self.attention_biases = nn.Parameter(torch.zeros(heads, side * side))
        row, column = torch.arange(side * side) // side, torch.arange(side * side) % side
        distance = (row[:, None] - row).abs() * side + (column[:, None] - column).abs()
        self.register_buffer("distance", distance, persistent=False)

    def forward(self, x):
        batch, height, width, dim = map(int, x.shape)
        places = height * width
        # The channels of one head's query, key and value follow each other: another order than in SAM's own encoder.
        qkv = self.qkv(self.norm(x)).reshape(batch, places, self.heads, 3, self.width).permute(3, 0, 2, 1, 4)
        q, k, v = qkv[0], qkv[1], qkv[2]
        scores = (q @ k.transpose(-2, -1)) * self.width**-0.5 + self.attention_biases[:, self.distance]
        mixed = scores.softmax(-1) @ v
        return self.proj(mixed.transpose(1, 2).reshape(batch, height, width, dim))


class NormedMlp(nn.Module):
    def __init__(self, dim: int, hidden: int):
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.fc1 = nn.Linear(dim, hidden)
        self.fc2 = nn.Linear(hidden, dim)

    def forward(self, x):
        return self.fc2(F.gelu(self.fc1(self.norm(x))))


class TinyVitBlock(nn.Module):
    """Attention inside windows, a convolution over their borders, and an MLP, on [B, C, H, W]."""

    def __init__(self, dim: int, heads: int, mlp: int, window: int):
        super().__init__()
        self.window = window
        self.attn = BiasedAttention(dim, heads, window)
        self.mlp = NormedMlp(dim, mlp * dim)
        self.local_conv = ConvNorm(dim, dim, 3, groups=dim)

    def forward(self, x):
        windows = self.attn(into_windows(x.permute(0, 2, 3, 1), self.window))
        mixed = from_windows(windows, self.window, int(x.shape[2]), int(x.shape[3]))
        x = self.local_conv(x + mixed.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        return (x + self.mlp(x)).permute(0, 3, 1, 2)


class TinyVitStage(nn.Module):
    def __init__(self, geometry: Geometry, stage: int):
        super().__init__()
        dim, heads, window = geometry.dims[stage], geometry.heads[stage], geometry.windows[stage]
        make = (lambda: TinyVitBlock(dim, heads, geometry.mlp, window)) if heads else (lambda: InvertedBottleneck(dim))
        self.blocks = nn.ModuleList(make() for _ in range(geometry.depths[stage]))
        self.downsample = None
        last = len(geometry.dims) - 1
        if stage < last:
            self.downsample = Downsample(dim, geometry.dims[stage + 1], stride=1 if stage + 1 == last else 2)

    def forward(self, x):
        for block in self.blocks:
            x = block(x)
        return x if self.downsample is None else self.downsample(x)


class TinyVitStem(nn.Module):
    def __init__(self, dim: int):
        super().__init__()
        self.seq = nn.Sequential(ConvNorm(3, dim // 2, 3, 2), nn.GELU(), ConvNorm(dim // 2, dim, 3, 2))

    def forward(self, x):
        return self.seq(x)


class TinyVit(nn.Module):
    """As `Vit`. Its classifier is of no use, but in the checkpoints."""

    def __init__(self, geometry: Geometry, out: int):
        super().__init__()
        self.patch_embed = TinyVitStem(geometry.dims[0])
        self.layers = nn.ModuleList(TinyVitStage(geometry, i) for i in range(len(geometry.dims)))
        self.norm_head = nn.LayerNorm(geometry.dims[-1])
        self.head = nn.Linear(geometry.dims[-1], geometry.classes)
        self.neck = neck(geometry.dims[-1], out)

    def forward(self, image):
        x = self.patch_embed(image)
        for stage in self.layers:
            x = stage(x)
        return self.neck(x)


# Prompts and masks


class PositionEncoding(nn.Module):
    """Sines and cosines of random projections of a place in the unit square."""

    def __init__(self, dim: int):
        super().__init__()
        self.register_buffer("positional_encoding_gaussian_matrix", torch.zeros(2, dim // 2))

    def forward(self, places):
        angle = 2 * math.pi * ((2 * places - 1) @ self.positional_encoding_gaussian_matrix)
        return torch.cat([angle.sin(), angle.cos()], dim=-1)

    def grid(self, side: int):
        """[1, C, side, side]: the codes of the embedding's positions."""
        centre = (torch.arange(side, dtype=torch.float32) + 0.5) / side
        places = torch.stack([centre.expand(side, side), centre[:, None].expand(side, side)], dim=-1)  # x, y
        return self(places).permute(2, 0, 1).unsqueeze(0)


class PromptEncoder(nn.Module):
    PADDING = -1  # label of a token that is no point; 0 background, 1 foreground, 2 and 3 the corners of a box

    def __init__(self, dim: int, size: int, mask_channels: int):
        super().__init__()
        self.size = size
        self.pe_layer = PositionEncoding(dim)
        self.point_embeddings = nn.ModuleList(nn.Embedding(1, dim) for _ in range(4))
        self.not_a_point_embed = nn.Embedding(1, dim)
        self.mask_downscaling = nn.Sequential(
            nn.Conv2d(1, mask_channels // 4, 2, stride=2),
            ChannelNorm(mask_channels // 4),
            nn.GELU(),
            nn.Conv2d(mask_channels // 4, mask_channels, 2, stride=2),
            ChannelNorm(mask_channels),
            nn.GELU(),
            nn.Conv2d(mask_channels, dim, 1),
        )
        self.no_mask_embed = nn.Embedding(1, dim)

    def sparse(self, coordinates, labels):
        """Tokens [B, N, C] of points [B, N, 2] in pixels of the frame and their labels [B, N]."""
        padding = self.is_label(labels, self.PADDING)
        # Pixels have their coordinates at their corners, and are meant at their centres.
        tokens = self.pe_layer((coordinates + 0.5) / self.size) * (1 - padding)
        tokens = tokens + padding * self.not_a_point_embed.weight
        for label, embedding in enumerate(self.point_embeddings):
            tokens = tokens + self.is_label(labels, label) * embedding.weight
        return tokens

    @staticmethod
    def is_label(labels, label: int):
        return (labels == label).to(torch.float32).unsqueeze(-1)

    def dense(self, mask, has_mask):
        """What is added to the embedding: codes of an earlier mask's logits, or of there being none."""
        none = self.no_mask_embed.weight.reshape(1, -1, 1, 1)
        return has_mask * self.mask_downscaling(mask) + (1 - has_mask) * none


class Attention(nn.Module):
    """Attention of one set of tokens to another. A batch of 1 is taken along with any other."""

    def __init__(self, dim: int, inner: int):
        super().__init__()
        self.inner = inner
        self.q_proj = nn.Linear(dim, inner)
        self.k_proj = nn.Linear(dim, inner)
        self.v_proj = nn.Linear(dim, inner)
        self.out_proj = nn.Linear(inner, dim)

    def forward(self, q, k, v):
        q, k, v = self.heads(self.q_proj(q)), self.heads(self.k_proj(k)), self.heads(self.v_proj(v))
        scores = q @ k.transpose(-2, -1) / math.sqrt(self.inner // DECODER_HEADS)
        mixed = scores.softmax(-1) @ v
        return self.out_proj(mixed.transpose(1, 2).flatten(2))

    def heads(self, x):
        return x.reshape(x.shape[0], x.shape[1], DECODER_HEADS, self.inner // DECODER_HEADS).transpose(1, 2)


class TwoWayBlock(nn.Module):
    """Tokens attend to each other, then to the image; and the image to the tokens."""

    def __init__(self, dim: int, inner: int, mlp: int, first: bool):
        super().__init__()
        self.first = first
        self.self_attn = Attention(dim, dim)
        self.norm1 = nn.LayerNorm(dim)
        self.cross_attn_token_to_image = Attention(dim, inner)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = TwoLinear(dim, mlp, F.relu)
        self.norm3 = nn.LayerNorm(dim)
        self.norm4 = nn.LayerNorm(dim)
        self.cross_attn_image_to_token = Attention(dim, inner)

    def forward(self, tokens, image, token_code, image_code):
        if self.first:  # the tokens are their own codes here, and nothing is added to them
            tokens = self.self_attn(tokens, tokens, tokens)
        else:
            coded = tokens + token_code
            tokens = tokens + self.self_attn(coded, coded, tokens)
        tokens = self.norm1(tokens)
        tokens = self.norm2(tokens + self.cross_attn_token_to_image(tokens + token_code, image + image_code, image))
        tokens = self.norm3(tokens + self.mlp(tokens))
        turned = self.cross_attn_image_to_token(image + image_code, tokens + token_code, tokens)
        return tokens, self.norm4(image + turned)


class TwoWayTransformer(nn.Module):
    def __init__(self, dim: int, inner: int, mlp: int, depth: int):
        super().__init__()
        self.layers = nn.ModuleList(TwoWayBlock(dim, inner, mlp, first=i == 0) for i in range(depth))
        self.final_attn_token_to_image = Attention(dim, inner)
        self.norm_final_attn = nn.LayerNorm(dim)

    def forward(self, image, image_code, code):
        tokens = code
        for layer in self.layers:
            tokens, image = layer(tokens, image, code, image_code)
        seen = self.final_attn_token_to_image(tokens + code, image + image_code, image)
        return self.norm_final_attn(tokens + seen), image


class Perceptron(nn.Module):
    def __init__(self, sizes: list):
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in zip(sizes, sizes[1:]))

    def forward(self, x):
        for layer in self.layers[:-1]:
            x = F.relu(layer(x))
        return self.layers[-1](x)


class MaskDecoder(nn.Module):
    MASKS = 4  # the single mask, and the three of multimask output

    def __init__(self, dim: int, inner: int, mlp: int, depth: int):
        super().__init__()
        self.transformer = TwoWayTransformer(dim, inner, mlp, depth)
        self.iou_token = nn.Embedding(1, dim)
        self.mask_tokens = nn.Embedding(self.MASKS, dim)
        self.output_upscaling = nn.Sequential(
            nn.ConvTranspose2d(dim, dim // 4, 2, stride=2),
            ChannelNorm(dim // 4),
            nn.GELU(),
            nn.ConvTranspose2d(dim // 4, dim // 8, 2, stride=2),
            nn.GELU(),
        )
        mlps = (Perceptron([dim, dim, dim, dim // 8]) for _ in range(self.MASKS))
        self.output_hypernetworks_mlps = nn.ModuleList(mlps)
        self.iou_prediction_head = Perceptron([dim, dim, dim, self.MASKS])

    def forward(self, embedding, embedding_code, sparse):
        """IoUs [B, 4] and logits [B, 4, 4 side, 4 side], of an embedding [1, C, side, side] and prompts [B, N, C]."""
        dim, side = int(embedding.shape[1]), int(embedding.shape[-1])
        own = torch.cat([self.iou_token.weight, self.mask_tokens.weight])
        own = own.unsqueeze(0) + torch.zeros_like(sparse[:, :1, :1])  # one for each prompt
        image, code = (x.flatten(2).transpose(1, 2) for x in (embedding, embedding_code))
        tokens, image = self.transformer(image, code, torch.cat([own, sparse], dim=1))
        pixels = self.output_upscaling(image.transpose(1, 2).reshape(-1, dim, side, side))
        weights = [mlp(tokens[:, 1 + i]) for i, mlp in enumerate(self.output_hypernetworks_mlps)]
        logits = torch.stack(weights, dim=1) @ pixels.flatten(2)
        return self.iou_prediction_head(tokens[:, 0]), logits.reshape(-1, self.MASKS, 4 * side, 4 * side)


class Sam(nn.Module):
    """The three parts, under the names that checkpoints give them."""

    def __init__(self, geometry: Geometry, state: dict):
        super().__init__()
        dim = state["prompt_encoder.no_mask_embed.weight"].shape[1]
        layer = "mask_decoder.transformer.layers.{}."
        inner = state[layer.format(0) + "cross_attn_token_to_image.q_proj.weight"].shape[0]
        mlp = state[layer.format(0) + "mlp.lin1.weight"].shape[0]
        self.image_encoder = (Vit if geometry.encoder == "vit" else TinyVit)(geometry, dim)
        mask_channels = state["prompt_encoder.mask_downscaling.3.weight"].shape[0]
        self.prompt_encoder = PromptEncoder(dim, geometry.size, mask_channels)
        self.mask_decoder = MaskDecoder(dim, inner, mlp, _count(state, layer + "norm1.weight"))
        self.geometry = geometry


class FourMaskDecoder(nn.Module):
    """Prompt encoder and mask decoder as one graph: all four masks of every prompt."""

    def __init__(self, sam: Sam):
        super().__init__()
        self.prompt_encoder, self.mask_decoder = sam.prompt_encoder, sam.mask_decoder
        code = sam.prompt_encoder.pe_layer.grid(sam.geometry.size // STRIDE)
        self.register_buffer("code", code.detach(), persistent=False)

    def forward(self, image_embeddings, point_coords, point_labels, mask_input, has_mask_input):
        sparse = self.prompt_encoder.sparse(point_coords, point_labels)
        dense = self.prompt_encoder.dense(mask_input, has_mask_input)
        return self.mask_decoder(image_embeddings + dense, self.code, sparse)


def load(state: dict, geometry: Geometry) -> Sam:
    """The model with these parameters, ready for a forward pass."""
    try:
        sam = Sam(geometry, state)
    except KeyError as missing:
        raise NotSam(f"it has no parameter {missing}, which every SAM has") from None
    try:
        sam.load_state_dict(state, strict=True)
    except RuntimeError as mismatch:
        reason = " ".join(str(mismatch).split())
        raise NotSam(f"its parameters do not fit: {reason[:600]}{'…' * (len(reason) > 600)}") from None
    return sam.eval()
