"""all-MiniLM-L6-v2: a BERT encoder with 6 layers that turns a sentence into a unit vector of 384 numbers.

    model = minilm.load()
    model.embed(["learning rate warm-up", "schedules"])      # (2, 384), rows of length one

Wang et al. 2020 (MiniLM), Reimers and Gurevych 2019 (mean pooling). Tokens are WordPieces of lower-cased text, as in BERT's uncased models
(Devlin et al. 2019). Nothing is trained here: the weights are the data set `minilm`.
"""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from encore import datasets

LAYERS, WIDTH, HEADS, MAX_TOKENS = 6, 384, 12, 256
_EPS = 1e-12


def words(text: str) -> list[str]:
    """Lower-cased words and single punctuation marks, without accents and control characters (BERT's basic tokenizer)."""
    out, current = [], ""
    for c in unicodedata.normalize("NFD", text.lower()):
        kind = unicodedata.category(c)
        if kind == "Mn" or (kind.startswith("C") and c not in "\t\n\r"):
            continue
        alone = kind.startswith("P") or (c.isascii() and c.isprintable() and not c.isalnum() and c != " ") or "\u4e00" <= c <= "\u9fff"
        if alone or c.isspace():
            out += [current] * bool(current) + [c] * alone
            current = ""
        else:
            current += c
    return out + [current] * bool(current)


def pieces(word: str, vocabulary: dict[str, int]) -> list[int]:
    """Ids of a word's longest-match-first WordPieces; the id of [UNK] if it cannot be covered."""
    ids, start = [], 0
    while start < len(word):
        for end in range(len(word), start, -1):
            found = vocabulary.get(("##" if start else "") + word[start:end])
            if found is not None:
                ids.append(found)
                start = end
                break
        else:
            return [vocabulary["[UNK]"]]
    return ids


@dataclass(frozen=True)
class MiniLM:
    """The encoder. `state`: the checkpoint's tensors; `vocabulary`: token -> id."""

    state: dict[str, torch.Tensor]
    vocabulary: dict[str, int]

    def tokens(self, text: str) -> list[int]:
        """Ids of [CLS], the text's pieces and [SEP], at most 256 in all; a longer text is cut."""
        body = [i for w in words(text) for i in pieces(w, self.vocabulary)][: MAX_TOKENS - 2]
        return [self.vocabulary["[CLS]"], *body, self.vocabulary["[SEP]"]]

    @torch.no_grad()
    def hidden(self, ids: torch.Tensor, mask: torch.Tensor, layers: int = LAYERS) -> torch.Tensor:
        """Token vectors (n, tokens, 384) after `layers` blocks, 0 to 6. ids (n, tokens) int64; mask (n, tokens), 1 where a token is."""
        s = self.state
        x = s["embeddings.word_embeddings.weight"][ids] + s["embeddings.position_embeddings.weight"][: ids.shape[1]]
        x = self._norm(x + s["embeddings.token_type_embeddings.weight"][0], "embeddings.LayerNorm")
        allowed = mask.bool()[:, None, None, :]
        for k in range(layers):
            block = f"encoder.layer.{k}."
            q, key, v = (
                self._linear(x, f"{block}attention.self.{name}").unflatten(-1, (HEADS, -1)).transpose(1, 2)
                for name in ("query", "key", "value")
            )
            mixed = F.scaled_dot_product_attention(q, key, v, attn_mask=allowed).transpose(1, 2).flatten(2)
            x = self._norm(x + self._linear(mixed, f"{block}attention.output.dense"), f"{block}attention.output.LayerNorm")
            wide = F.gelu(self._linear(x, f"{block}intermediate.dense"))
            x = self._norm(x + self._linear(wide, f"{block}output.dense"), f"{block}output.LayerNorm")
        return x

    def batch(self, texts: Sequence[str]) -> tuple[torch.Tensor, torch.Tensor]:
        """ids and mask, both (n, longest), of some texts; padded with [PAD]."""
        rows = [self.tokens(t) for t in texts]
        longest = max(map(len, rows))
        ids = torch.tensor([r + [self.vocabulary["[PAD]"]] * (longest - len(r)) for r in rows])
        return ids, torch.tensor([[1] * len(r) + [0] * (longest - len(r)) for r in rows])

    def embed(self, texts: Sequence[str]) -> torch.Tensor:
        """Sentence embeddings (n, 384): the mean of the last layer's token vectors, scaled to length one. Raises ValueError for no text."""
        if not texts:
            raise ValueError("MiniLM.embed: give at least one text")
        ids, mask = self.batch(texts)
        x = self.hidden(ids, mask) * mask[..., None]
        return F.normalize(x.sum(1) / mask.sum(1, keepdim=True), dim=-1)

    def _linear(self, x, name):
        return F.linear(x, self.state[f"{name}.weight"], self.state[f"{name}.bias"])

    def _norm(self, x, name):
        return F.layer_norm(x, (x.shape[-1],), self.state[f"{name}.weight"], self.state[f"{name}.bias"], _EPS)


def load() -> MiniLM:
    """The pretrained encoder. Raises DatasetError if its files cannot be had."""
    d = datasets.load("minilm")
    return MiniLM(d["state"], {t: i for i, t in enumerate(d["vocabulary"])})
