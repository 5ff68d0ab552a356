"""EfficientNet-Lite0, the frozen ImageNet network of the compendium (4.7 million parameters, 1000 classes).

    net = load(datasets.load("efficientnet-lite0")["state"])
    logits = net(to_input(images))                                # images: (n, 224, 224, 3) uint8
    x = to_input(images).requires_grad_()
    logits, maps = net.with_maps(x, ["blocks.10.depthwise", "head"])
    (gradient,) = torch.autograd.grad(logits[:, 285].sum(), maps["head"])

The layers follow the reference: Tan and Le 2019, EfficientNet (arXiv 1905.11946), in the "lite" variant of the TensorFlow TPU
repository: no squeeze-and-excitation, ReLU6 for swish, stem and head of fixed width, TensorFlow's "SAME" padding.
Sizes at 224 x 224: stem 112, blocks.0 112, blocks.1-2 56, blocks.3-4 28, blocks.5-10 14, blocks.11-15 and head 7.
"""

from collections.abc import Iterable

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

SIZE = 224
"""Height and width of the images the weights were trained on."""

STAGES = [(1, 3, 1, 1, 16), (2, 3, 2, 6, 24), (2, 5, 2, 6, 40), (3, 3, 2, 6, 80), (3, 5, 1, 6, 112), (4, 5, 2, 6, 192), (1, 3, 1, 6, 320)]
"""(blocks, kernel, stride of the first block, expansion, output channels)"""


class ConvNorm(nn.Module):
    """Convolution with "SAME" padding (output ceil(size / stride), odd pixel on the right), batch norm, activation if given."""

    def __init__(self, n_in: int, n_out: int, kernel: int, stride: int, groups: int, activation: type[nn.Module] | None):
        super().__init__()
        self.conv = nn.Conv2d(n_in, n_out, kernel, stride, groups=groups, bias=False)
        self.norm = nn.BatchNorm2d(n_out, eps=1e-3)
        self.activation = activation() if activation else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x: (n, n_in, h, w) -> (n, n_out, ceil(h / stride), ceil(w / stride))"""
        kernel, stride = self.conv.kernel_size[0], self.conv.stride[0]
        pads = [max((-(-side // stride) - 1) * stride + kernel - side, 0) for side in (x.shape[3], x.shape[2])]
        if any(pads):
            x = F.pad(x, [part for p in pads for part in (p // 2, p - p // 2)])
        return self.activation(self.norm(self.conv(x)))


class Block(nn.Module):
    """Inverted bottleneck: expand 1x1, depthwise kxk, project 1x1 (no activation), added to the input where the shapes agree."""

    def __init__(self, n_in: int, n_out: int, kernel: int, stride: int, expansion: int, activation: type[nn.Module]):
        super().__init__()
        wide = n_in * expansion
        self.expand = ConvNorm(n_in, wide, 1, 1, 1, activation) if expansion > 1 else nn.Identity()
        self.depthwise = ConvNorm(wide, wide, kernel, stride, wide, activation)
        self.project = ConvNorm(wide, n_out, 1, 1, 1, None)
        self.residual = stride == 1 and n_in == n_out

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x: (n, n_in, h, w) -> (n, n_out, ceil(h / stride), ceil(w / stride))"""
        y = self.project(self.depthwise(self.expand(x)))
        return x + y if self.residual else y


class EfficientNetLite0(nn.Module):
    """The network: `stem`, `blocks` 0-15, `head` (1x1 convolution to 1280 maps), global average pooling, `classifier`.

    `activation` is the class of the rectifiers, nn.ReLU6 in the trained network; a page that changes the backward pass of the
    rectifiers hands in its own. Dropout of the training is left out.
    """

    def __init__(self, activation: type[nn.Module] = nn.ReLU6):
        super().__init__()
        self.stem = ConvNorm(3, 32, 3, 2, 1, activation)
        blocks, n_in = [], 32
        for repeats, kernel, stride, expansion, n_out in STAGES:
            for j in range(repeats):
                blocks.append(Block(n_in, n_out, kernel, stride if j == 0 else 1, expansion, activation))
                n_in = n_out
        self.blocks = nn.Sequential(*blocks)
        self.head = ConvNorm(n_in, 1280, 1, 1, 1, activation)
        self.classifier = nn.Linear(1280, 1000)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x: (n, 3, h, w) as made by `to_input` -> logits (n, 1000), scores before the softmax, classes in the usual ILSVRC order."""
        return self.classifier(self.features(x))

    def features(self, x: torch.Tensor) -> torch.Tensor:
        """x: (n, 3, h, w) -> (n, 1280), pooled activations of the head, in [0, 6]; what `classifier` sees."""
        return self.head(self.blocks(self.stem(x))).mean((2, 3))

    def with_maps(self, x: torch.Tensor, layers: Iterable[str]) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Logits (n, 1000) and the outputs (n, channels, h, w) of the named layers, such as "stem", "blocks.10.depthwise" or "head".

        The maps are part of the graph: torch.autograd.grad of a logit with respect to them works if x requires a gradient (the
        weights of a loaded network do not). Raises ValueError for a layer that does not exist.
        """
        modules, maps = dict(self.named_modules()), {}
        layers = list(layers)
        if unknown := [name for name in layers if name not in modules]:
            known = "'stem', 'head', 'blocks.0' ... 'blocks.15' or a part such as 'blocks.3.depthwise'"
            raise ValueError(f"EfficientNet-Lite0 has no layer {unknown[0]!r}; take {known}")

        def keep(name):
            return lambda _module, _args, output: maps.__setitem__(name, output)

        hooks = [modules[name].register_forward_hook(keep(name)) for name in layers]
        try:
            return self(x), maps
        finally:
            for hook in hooks:
                hook.remove()


def _rename(key: str) -> str:
    """Name in `EfficientNetLite0` of a tensor of the published state dict (`_blocks.0._depthwise_conv.weight`, `_bn1.bias`, ...)."""
    *where, layer, tensor = key.replace("_blocks", "blocks").split(".")
    if layer == "_fc":
        return f"classifier.{tensor}"
    convs = {f"_{name}_conv": name for name in ("expand", "depthwise", "project")} | {"_conv_stem": "stem", "_conv_head": "head"}
    norms = {"_bn0": "expand", "_bn1": "depthwise", "_bn2": "project"} if where else {"_bn0": "stem", "_bn1": "head"}
    return ".".join([*where, convs[layer], "conv", tensor] if layer in convs else [*where, norms[layer], "norm", tensor])


def load(state_dict: dict[str, torch.Tensor], activation: type[nn.Module] = nn.ReLU6) -> EfficientNetLite0:
    """The trained network, in evaluation mode and frozen (no parameter requires a gradient).

    state_dict: `datasets.load("efficientnet-lite0")["state"]`, 296 tensors; `activation`: see `EfficientNetLite0`.
    Raises ValueError if the state dict is another network's.
    """
    net = EfficientNetLite0(activation)
    try:
        net.load_state_dict({_rename(key): value for key, value in state_dict.items()})
    except (KeyError, ValueError, RuntimeError) as e:
        raise ValueError('this is not the state dict of EfficientNet-Lite0; pass datasets.load("efficientnet-lite0")["state"]') from e
    return net.eval().requires_grad_(False).to(memory_format=torch.channels_last)  # a quarter faster on a CPU, same numbers to rounding


def to_input(images) -> torch.Tensor:
    """RGB images (n, h, w, 3), uint8 or float in [0, 255], -> network input (n, 3, h, w) float32, (v - 127) / 128."""
    x = torch.tensor(np.asarray(images))
    if x.ndim != 4 or x.shape[3] != 3:
        raise ValueError(f"to_input needs RGB images of shape (n, h, w, 3), not {tuple(x.shape)}; add a leading axis to a single image")
    return ((x.float() - 127) / 128).permute(0, 3, 1, 2).contiguous()


def centre_square(image, size: int = SIZE) -> np.ndarray:
    """The largest centred square of an RGB image (h, w, 3) uint8, resized by bicubic interpolation -> (size, size, 3) uint8."""
    from PIL import Image

    image = np.asarray(image)
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(f"centre_square needs an RGB image (h, w, 3) of uint8, not {image.shape} {image.dtype}")
    side = min(image.shape[:2])
    top, left = (image.shape[0] - side) // 2, (image.shape[1] - side) // 2
    return np.asarray(Image.fromarray(image[top : top + side, left : left + side]).resize((size, size), Image.Resampling.BICUBIC))
