"""Tiny GPT: a small causal character transformer on Tiny Shakespeare, many seeds and learning rates side by side.

    corpus = tiny_gpt_char.load(context=32)
    bench = CharBench(corpus, seeds=[0, 1, 2], rates=[3e-3], batch=16)         # 3 members; net=TinyGPT(context=32) by default
    for _ in range(250):
        bench.step(rule)
    bench.loss("valid")                                                        # (3, 1), nats per character
    dict(zip(bench.net.names, bench.params))["block0.up"]                      # (members, width, mlp)

`CharBench` is `optimizer_bench.Bench` on windows of text: members, pairing, `state`, `gradients`, `step` and the update rule's
signature are the same. One training "image" is a window of `context` characters; its labels are the same window one character on.

The network is a pre-norm transformer as in GPT-2 without biases: token plus learned position embedding, `depth` blocks
x + attention(norm(x)), x + down(gelu(up(norm(x)))), a last norm and a head of its own. Its default is the compendium's S size, 35,568
parameters.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

from encore import datasets
from encore.bases import optimizer_bench
from encore.bases.optimizer_bench import Bench, Split

ALPHABET = "\n !$&',-.3:;?ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
"""The 65 characters of Tiny Shakespeare; a character's number is its place here."""


def encode(text: str) -> torch.Tensor:
    """Numbers (len(text),) int64 of the characters. Raises ValueError for a character outside `ALPHABET`."""
    number = {c: i for i, c in enumerate(ALPHABET)}
    if strange := sorted(set(text) - set(number)):
        raise ValueError(f"tiny_gpt_char: {strange[0]!r} is not one of the {len(ALPHABET)} characters of Tiny Shakespeare; remove it")
    return torch.tensor([number[c] for c in text])


def decode(numbers: torch.Tensor) -> str:
    """The text of the numbers (n,) that `encode` gives."""
    return "".join(ALPHABET[int(i)] for i in numbers)


def windows(codes: torch.Tensor, context: int, every: int, dtype: torch.dtype = torch.float32) -> tuple[torch.Tensor, torch.Tensor]:
    """Windows of `context` characters starting at 0, `every`, ...: x (n, context), y (n, context) int64, the same one character on.

    x carries the characters' numbers in the floating type that the network computes in. Both are views where torch allows it.
    """
    if len(codes) <= context:
        raise ValueError(f"tiny_gpt_char: a window of {context} characters and the one after it do not fit into {len(codes)} characters")
    return codes[:-1].to(dtype).unfold(0, context, every), codes[1:].unfold(0, context, every)


def load(context: int = 32, n_valid: int = 512, dtype: torch.dtype = torch.float32) -> Split:
    """Tiny Shakespeare as parts "train" (every window of the first 90 % of the text) and "valid".

    The validation windows are `n_valid` of the windows that tile the last 10 % without overlap, evenly spaced, always the same.
    Raises ValueError if there are fewer.
    """
    data = datasets.load("tinyshakespeare")
    codes = encode(data["text"])
    cut = len(codes) * 9 // 10
    train, valid = windows(codes[:cut], context, 1, dtype), windows(codes[cut:], context, context, dtype)
    if not 1 <= n_valid <= len(valid[0]):
        raise ValueError(f"tiny_gpt_char.load: there are {len(valid[0])} validation windows of {context} characters, not {n_valid}")
    keep = torch.arange(n_valid) * len(valid[0]) // n_valid
    return Split({"train": train[0], "valid": valid[0][keep]}, {"train": train[1], "valid": valid[1][keep]}, data.provenance)


def multiply(name: str, x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
    """The product of activations x (members, tokens, in) with the matrix `name`, w (members, in, out)."""
    return torch.bmm(x, w)


@dataclass(frozen=True)
class TinyGPT:
    """`depth` blocks of `width`, `heads` heads (a divisor of width), `mlp` hidden units (4 x width if None), `context` characters.

    product: called as `multiply` for every matrix of a block and for the head; a page replaces it to quantise or to look inside.
    """

    depth: int = 1
    width: int = 48
    heads: int = 4
    context: int = 32
    mlp: int | None = None
    vocabulary: int = len(ALPHABET)
    product: Callable[[str, torch.Tensor, torch.Tensor], torch.Tensor] = multiply

    def __post_init__(self):
        if self.width % self.heads:
            raise ValueError(f"TinyGPT: {self.heads} heads do not divide the width {self.width}; choose a divisor")

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Name -> shape of one member's parameter, in the order of the list of parameters. Matrices are (in, out)."""
        d, m = self.width, self.mlp or 4 * self.width
        out = {"token": (self.vocabulary, d), "position": (self.context, d)}
        for k in range(self.depth):
            block = {"norm1": (d,), "qkv": (d, 3 * d), "out": (d, d), "norm2": (d,), "up": (d, m), "down": (m, d)}
            out |= {f"block{k}.{name}": shape for name, shape in block.items()}
        return out | {"norm": (d,), "head": (d, self.vocabulary)}

    @property
    def names(self) -> list[str]:
        """Names of the parameters, in order."""
        return list(self.shapes)

    @property
    def matrices(self) -> list[str]:
        """Names of the blocks' matrices: all 2-D parameters but the embeddings and the head."""
        return [name for name, shape in self.shapes.items() if name.startswith("block") and len(shape) == 2]

    def init(self, generator: torch.Generator, dtype: torch.dtype) -> list[torch.Tensor]:
        """One member's weights: gains one, embeddings normal with deviation 0.1, matrices normal with deviation 1/sqrt(in).

        What writes into the residual stream ("out", "down") is divided by sqrt(2 depth), as in GPT-2, and the head by 4, so that the
        first loss is close to log(vocabulary).
        """
        out = []
        for name, shape in self.shapes.items():
            kind = name.split(".")[-1]
            scale = {"token": 0.1, "position": 0.1, "out": (2 * self.depth * shape[0]) ** -0.5, "down": (2 * self.depth * shape[0]) ** -0.5}
            scale = scale.get(kind, shape[0] ** -0.5 / (4 if kind == "head" else 1))
            gain = len(shape) == 1
            out.append(torch.ones(shape, dtype=dtype) if gain else scale * torch.randn(shape, dtype=dtype, generator=generator))
        return out

    def __call__(self, params: list[torch.Tensor], x: torch.Tensor) -> torch.Tensor:
        """x: (members, n, length <= context), characters' numbers; params: (members, ...) each. Logits (members, n, length, vocabulary)."""
        p = dict(zip(self.shapes, params, strict=True))
        members, n, length = x.shape
        if length > self.context:
            raise ValueError(f"TinyGPT: a window of {length} characters is longer than the context {self.context}")
        rows = x.long() + self.vocabulary * torch.arange(members, device=x.device)[:, None, None]
        h = F.embedding(rows, p["token"].flatten(0, 1)) + p["position"][:, None, :length]
        h = h.flatten(1, 2)  # (members, n * length, width): tokens side by side
        for k in range(self.depth):
            block = {name: p[f"block{k}.{name}"] for name in ("norm1", "qkv", "out", "norm2", "up", "down")}
            qkv = self.product(f"block{k}.qkv", _norm(h, block["norm1"]), block["qkv"]).view(members * n, length, 3, self.heads, -1)
            mixed = attention(*qkv.transpose(1, 3).unbind(2))
            h = h + self.product(f"block{k}.out", mixed.transpose(1, 2).reshape(h.shape), block["out"])
            hidden = F.gelu(self.product(f"block{k}.up", _norm(h, block["norm2"]), block["up"]), approximate="tanh")
            h = h + self.product(f"block{k}.down", hidden, block["down"])
        return self.product("head", _norm(h, p["norm"]), p["head"]).view(members, n, length, -1)


def _norm(h: torch.Tensor, gain: torch.Tensor) -> torch.Tensor:
    """Layer norm over the width, without shift. h (members, tokens, width), gain (members, width)."""
    return F.layer_norm(h, h.shape[-1:]) * gain[:, None]


def attention(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    """Causal softmax attention, all (..., length, head width): row i is a mean of v[:i + 1]. Can be differentiated twice."""
    later = torch.ones(q.shape[-2], k.shape[-2], dtype=torch.bool, device=q.device).triu(1)
    scores = (q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])).masked_fill(later, -torch.inf)
    return scores.softmax(-1) @ v


def cross_entropy(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """logits (members, n, length, vocabulary), labels (members, n, length). Mean of each member in nats per character, (members,)."""
    return optimizer_bench.cross_entropy(logits.flatten(1, 2), labels.flatten(1, 2))


class CharBench(Bench):
    """`Bench` on windows of text; net: a `TinyGPT` whose context is the corpus's, loss: like `cross_entropy` above."""

    def __init__(self, corpus: Split, seeds, rates, batch: int = 16, wd=0.0, net: TinyGPT | None = None, loss: Callable = cross_entropy):
        super().__init__(corpus, seeds, rates, batch, wd, net or TinyGPT(context=corpus.x["train"].shape[1]), loss)

    @torch.no_grad()
    def _logits(self, part: str):
        for x, y in zip(self.split.x[part].split(128), self.split.y[part].split(128), strict=True):
            yield self.net(self.params, x.expand(len(self.lr), -1, -1)), y.expand(len(self.lr), -1, -1)

    @torch.no_grad()
    def accuracy(self, part: str) -> np.ndarray:
        """Share of characters predicted correctly, (seeds, rates), in [0, 1]."""
        right = sum((logits.argmax(-1) == labels).sum((1, 2)) for logits, labels in self._logits(part))
        return (right / self.split.y[part].numel()).double().numpy().reshape(self.shape)
