"""MiniLM: its blocks are torch's own, sentences are means of tokens, and words split as WordPieces do. No pretrained weights."""

import random
import re

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from encore.nets.minilm import HEADS, LAYERS, MAX_TOKENS, WIDTH, MiniLM, pieces, words

WIDE = 4 * WIDTH
TINY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "un", "##aff", "##able", "learning", "rate", "##s", "-", "!", "cafe", "中", "$", "a"]
VOCABULARY = {t: i for i, t in enumerate(TINY)}


@pytest.fixture(scope="module")
def net():
    g = torch.Generator().manual_seed(0)

    def normal(*shape, mean=0.0):
        return mean + 0.1 * torch.randn(*shape, generator=g, dtype=torch.float64)

    def linear(name, outputs, inputs):
        return {f"{name}.weight": normal(outputs, inputs), f"{name}.bias": normal(outputs)}

    def norm(name):
        return {f"{name}.weight": normal(WIDTH, mean=1.0), f"{name}.bias": normal(WIDTH)}

    state = {
        "embeddings.word_embeddings.weight": normal(len(TINY), WIDTH),
        "embeddings.position_embeddings.weight": normal(512, WIDTH),
        "embeddings.token_type_embeddings.weight": normal(2, WIDTH),
        **norm("embeddings.LayerNorm"),
    }
    for k in range(LAYERS):
        block = f"encoder.layer.{k}"
        for name in ("query", "key", "value"):
            state |= linear(f"{block}.attention.self.{name}", WIDTH, WIDTH)
        state |= linear(f"{block}.attention.output.dense", WIDTH, WIDTH) | norm(f"{block}.attention.output.LayerNorm")
        state |= linear(f"{block}.intermediate.dense", WIDE, WIDTH)
        state |= linear(f"{block}.output.dense", WIDTH, WIDE) | norm(f"{block}.output.LayerNorm")
    return MiniLM(state, VOCABULARY)


def torch_blocks(state, layers):
    """torch's own encoder with the same weights: normalised after each part, gelu."""
    block = nn.TransformerEncoderLayer(WIDTH, HEADS, WIDE, 0.0, "gelu", 1e-12, batch_first=True, norm_first=False, dtype=torch.float64)
    theirs = {}
    for k in range(layers):
        ours = f"encoder.layer.{k}."
        for kind in ("weight", "bias"):
            qkv = [state[f"{ours}attention.self.{n}.{kind}"] for n in ("query", "key", "value")]
            theirs[f"layers.{k}.self_attn.in_proj_{kind}"] = torch.cat(qkv)
            for name, place in {
                "self_attn.out_proj": "attention.output.dense",
                "norm1": "attention.output.LayerNorm",
                "linear1": "intermediate.dense",
                "linear2": "output.dense",
                "norm2": "output.LayerNorm",
            }.items():
                theirs[f"layers.{k}.{name}.{kind}"] = state[f"{ours}{place}.{kind}"]
    encoder = nn.TransformerEncoder(block, layers, enable_nested_tensor=False)
    encoder.load_state_dict(theirs)
    return encoder.eval()


def embedded(state, ids):
    """Words, places and the first of two segments, summed and normalised."""
    x = F.embedding(ids, state["embeddings.word_embeddings.weight"])
    x = x + F.embedding(torch.arange(ids.shape[1]), state["embeddings.position_embeddings.weight"])
    x = x + F.embedding(torch.zeros_like(ids), state["embeddings.token_type_embeddings.weight"])
    middle, spread = x.mean(-1, keepdim=True), x.var(-1, correction=0, keepdim=True)
    return (x - middle) / spread.sqrt() * state["embeddings.LayerNorm.weight"] + state["embeddings.LayerNorm.bias"]


@pytest.mark.parametrize("layers", [0, 1, LAYERS])
def test_the_blocks_are_those_of_torch(net, layers):
    g = torch.Generator().manual_seed(layers)
    ids = torch.randint(len(TINY), (3, 11), generator=g)
    mask = (torch.arange(11) < torch.tensor([[11], [4], [7]])).long()
    with torch.no_grad():
        x = embedded(net.state, ids)
        theirs = torch_blocks(net.state, layers)(x, src_key_padding_mask=mask == 0) if layers else x
    ours = net.hidden(ids, mask, layers)
    assert ours.shape == (3, 11, WIDTH)
    assert (ours - theirs)[mask.bool()].abs().max() < 1e-9


def test_a_sentence_is_the_mean_of_its_tokens_whatever_stands_beside_it(net):
    texts = ["rate", "learning rates - unaffable cafe!", ""]
    together = net.embed(texts)
    assert together.shape == (3, WIDTH)
    for text, row in zip(texts, together, strict=True):
        ids = torch.tensor([net.tokens(text)])
        mean = net.hidden(ids, torch.ones_like(ids))[0].mean(0)
        torch.testing.assert_close(row, mean / mean.norm(), rtol=0, atol=1e-10)
        torch.testing.assert_close(row, net.embed([text])[0], rtol=0, atol=1e-10)
    with pytest.raises(ValueError, match="at least one text"):
        net.embed([])


@pytest.mark.parametrize(
    ("text", "split"),
    [
        ("UNaffable", ["un", "##aff", "##able"]),
        ("learning rates", ["learning", "rate", "##s"]),
        ("Café CAFE\u0301", ["cafe", "cafe"]),
        ("learning-rate!!", ["learning", "-", "rate", "!", "!"]),
        ("rate中rate", ["rate", "中", "rate"]),
        ("a$a", ["a", "$", "a"]),
        ("xyz ratex un", ["[UNK]", "[UNK]", "un"]),
        ("ra\u200bte\u00a0rate\trate\n", ["rate", "rate", "rate"]),
        ("", []),
    ],
)
def test_known_splits(net, text, split):
    assert [TINY[i] for i in net.tokens(text)] == ["[CLS]", *split, "[SEP]"]


def test_a_long_text_is_cut(net):
    for n, length in ((253, 255), (254, 256), (255, 256), (1000, 256)):
        ids = net.tokens("rate " * n)
        assert len(ids) == length <= MAX_TOKENS
        assert ids[0] == VOCABULARY["[CLS]"]
        assert ids[-1] == VOCABULARY["[SEP]"]
        assert set(ids[1:-1]) == {VOCABULARY["rate"]}
    assert net.embed(["rate " * 1000]).shape == (1, WIDTH)


def test_random_words_split_as_a_greedy_regular_expression_does():
    draw = random.Random(0)
    for _ in range(200):
        tokens = {"".join(draw.choices("ab", k=draw.randint(1, 3))) for _ in range(6)}
        vocabulary = {"[UNK]": 0} | {f"{draw.choice(['', '##'])}{t}": k for k, t in enumerate(sorted(tokens), 1)}
        first, later = ([t for t in vocabulary if t.startswith("##") == is_later and t != "[UNK]"] for is_later in (False, True))
        longest = lambda some: "|".join(sorted((t.removeprefix("##") for t in some), key=len, reverse=True)) or "(?!)"
        word, found, start = "".join(draw.choices("ab", k=draw.randint(1, 8))), [], 0
        while start < len(word) and (m := re.compile(longest(later if start else first)).match(word, start)):
            found.append(vocabulary[("##" if start else "") + m[0]])
            start = m.end()
        assert pieces(word, vocabulary) == (found if start == len(word) else [0])


def test_words_are_lower_case_without_accents():
    assert words("Über-Größe, naïve\u0007!") == ["uber", "-", "große", ",", "naive", "!"]
