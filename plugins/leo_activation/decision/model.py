"""Gemma 3 270M on torch, reduced to what forced decoding needs.

The difference to transformers is not the result (a test compares the logits) but what is left
out: no logits over the vocabulary, and one shared prefix of keys and values. An adapter has two
parts, one that reads the developer turn and one that goes on from there.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.nn.functional import gelu, linear

LayerCache = tuple[Tensor, Tensor]
Adapter = dict[str, Tensor]
PROJECTIONS = ("qkv", "o", "gate_up", "down")
# How the names of the corrections begin that are active in the developer turn.
READER = "reader."


@dataclass(frozen=True)
class Prefix:
    """What the model remembers of a developer turn.

    :param layers: keys and values of each layer, shape (tokens, head size).
    :param length: tokens.
    """

    layers: list[LayerCache]
    length: int


@dataclass
class Layer:
    """The weights of one layer, with projections of the same input joined."""

    projections: dict[str, Tensor]
    norms: dict[str, Tensor]
    is_local: bool


@dataclass
class Rows:
    """Sequences in progress that continue one prefix.

    :param layers: own keys and values of each layer, shape (rows, tokens, head size).
    :param valid: which own tokens are real and which padding, shape (rows, tokens).
    """

    layers: list[LayerCache]
    valid: Tensor


class Gemma:
    """The network.

    :param config: the parsed ``config.json``.
    :param tensors: by their names in ``model.safetensors``.
    """

    def __init__(self, config: dict[str, Any], tensors: dict[str, Tensor]) -> None:
        """Join the projections of each layer."""
        self.heads = config["num_attention_heads"]
        self.head_size = config["head_dim"]
        self.epsilon = config["rms_norm_eps"]
        self.window = config["sliding_window"]
        self.scale = config["query_pre_attn_scalar"] ** -0.5
        self.hidden_size = config["hidden_size"]
        self.embedding = tensors["model.embed_tokens.weight"]
        self.final_norm = 1 + tensors["model.norm.weight"]
        kinds = config["layer_types"]
        self.layers = [
            _layer(tensors, index, kind == "sliding_attention") for index, kind in enumerate(kinds)
        ]
        rope = config["rope_parameters"]
        self._inverse_global = self._inverse(rope["full_attention"]["rope_theta"])
        self._inverse_local = self._inverse(rope["sliding_attention"]["rope_theta"])

    @classmethod
    def load(cls, folder: Path, dtype: torch.dtype = torch.float32) -> Gemma:
        """Load a prepared model.

        :param dtype: of the projections. Embeddings, norms and sums stay in float32, so bfloat16
            is good enough to train with; decisions are made in float32.
        """
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        tensors = load_file(folder / "model.safetensors")
        return cls(
            config,
            {
                name: tensor.to(dtype if "_proj." in name else torch.float32)
                for name, tensor in tensors.items()
            },
        )

    def _inverse(self, theta: float) -> Tensor:
        steps = torch.arange(0, self.head_size, 2, dtype=torch.float32) / self.head_size
        inverse: Tensor = 1.0 / theta**steps
        return inverse

    def read_prefix(
        self, ids: Sequence[int], adapter: Adapter | None, *, is_learning: bool = False
    ) -> Prefix:
        """Read a developer turn once.

        :param adapter: of which only the part for developer turns is used, if it has one.
        :param is_learning: whether that part is being trained.
        """
        with torch.inference_mode(mode=not is_learning):
            _, rows = self.forward(torch.tensor([list(ids)]), None, None, reader(adapter))
        return Prefix([(keys[0], values[0]) for keys, values in rows.layers], len(ids))

    def forward(
        self,
        ids: Tensor,
        prefix: Prefix | None,
        past: Rows | None,
        adapter: Adapter | None,
        valid: Tensor | None = None,
    ) -> tuple[Tensor, Rows]:
        """Continue sequences by some tokens.

        :param ids: shape (rows, tokens).
        :param prefix: what all rows have read before, or none.
        :param past: what each row has read since the prefix, or none.
        :param adapter: low-rank corrections by name, or none for the base model.
        :param valid: False where ids are padding; all are real when left out.
        :returns: the normalised last hidden states, and the rows to continue from.
        """
        ours = torch.ones_like(ids, dtype=torch.bool) if valid is None else valid
        known = ours if past is None else torch.cat([past.valid, ours], dim=1)
        offset = prefix.length if prefix else 0
        # Padding takes no place: a row's tokens are numbered as if it stood alone.
        places = known.long().cumsum(dim=1) - 1 + offset
        masks = self._masks(places, known, ids.shape[1], offset)
        layout = _Layout(ours, places[:, -ids.shape[1] :])
        angles = [layout.pack(layout.places)[:, None].float() * inverse
                  for inverse in (self._inverse_global, self._inverse_local)]  # fmt: skip
        hidden = self.embedding[layout.pack(ids)] * math.sqrt(self.hidden_size)
        layers: list[LayerCache] = []
        for index, layer in enumerate(self.layers):
            apply = _Projector(layer.projections, adapter, index)
            hidden, cache = self._attend(
                hidden, layer, apply, layout, angles[layer.is_local], masks[layer.is_local],
                prefix.layers[index] if prefix else None,
                past.layers[index] if past else None,
            )  # fmt: skip
            layers.append(cache)
            inner = self._norm(hidden, layer.norms["pre_feedforward"])
            gate, up = apply("gate_up", inner).chunk(2, dim=-1)
            inner = apply("down", gelu(gate, approximate="tanh") * up)
            hidden = hidden + self._norm(inner, layer.norms["post_feedforward"])
        return layout.unpack(self._norm(hidden, self.final_norm)), Rows(layers, known)

    def scores(self, hidden: Tensor, ids: Sequence[int]) -> Tensor:
        """Return the logits of a few tokens only."""
        return linear(hidden, self.embedding[list(ids)])

    def _masks(
        self, places: Tensor, known: Tensor, tokens: int, offset: int
    ) -> tuple[Tensor, Tensor]:
        """Return what each new token may look at, for global and for local layers."""
        rows = known.shape[0]
        before = torch.arange(offset).expand(rows, offset)
        keys = torch.cat([before, places], dim=1)[:, None, :]
        real = torch.cat([torch.ones(rows, offset, dtype=torch.bool), known], dim=1)[:, None, :]
        queries = places[:, -tokens:, None]
        causal = real & (keys <= queries)
        near = causal & (queries - keys < self.window)
        blocked = torch.finfo(torch.float32).min
        both = []
        for allowed in (causal, near):
            mask = torch.zeros(allowed.shape)
            mask.masked_fill_(~allowed, blocked)
            # One row per token and head: the heads of a token share its keys.
            both.append(mask.repeat_interleave(self.heads, dim=1))
        return both[0], both[1]

    def _attend(
        self,
        hidden: Tensor,
        layer: Layer,
        apply: _Projector,
        layout: _Layout,
        angles: Tensor,
        mask: Tensor,
        prefix: LayerCache | None,
        past: LayerCache | None,
    ) -> tuple[Tensor, LayerCache]:
        joined = apply("qkv", self._norm(hidden, layer.norms["input"]))
        split = [self.heads * self.head_size, self.head_size, self.head_size]
        queries, keys, values = torch.split(joined, split, dim=-1)
        queries = queries.reshape(-1, self.heads, self.head_size)
        queries = _rotate(self._norm(queries, layer.norms["q"]), angles[:, None, :])
        keys = layout.unpack(_rotate(self._norm(keys, layer.norms["k"]), angles))
        values = layout.unpack(values)
        if past is not None:
            keys, values = torch.cat([past[0], keys], 1), torch.cat([past[1], values], 1)
        flat = layout.unpack(queries.flatten(1)) * self.scale
        flat = flat.reshape(flat.shape[0], -1, self.head_size)
        weights = flat @ keys.transpose(1, 2)
        if prefix is not None:
            weights = torch.cat([flat @ prefix[0].T, weights], dim=-1)
        weights = torch.softmax(weights.float() + mask, dim=-1).to(values.dtype)
        offset = weights.shape[-1] - keys.shape[1]
        mixed = weights[..., offset:] @ values
        if prefix is not None:
            mixed = mixed + weights[..., :offset] @ prefix[1]
        mixed = mixed.reshape(mixed.shape[0], -1, self.heads * self.head_size)
        out = apply("o", layout.pack(mixed))
        return hidden + self._norm(out, layer.norms["post_attention"]), (keys, values)

    def _norm(self, hidden: Tensor, weight: Tensor) -> Tensor:
        raised = hidden.float()
        normal = raised * torch.rsqrt(raised.pow(2).mean(-1, keepdim=True) + self.epsilon)
        return (normal * weight.float()).to(hidden.dtype)


class _Layout:
    """Where the real tokens of padded rows are: only those go through the linear maps.

    :param valid: False where a row is padded.
    :param places: the place of each token in its own row.
    """

    def __init__(self, valid: Tensor, places: Tensor) -> None:
        self.valid, self.places = valid, places
        self.is_full = bool(valid.all())

    def pack(self, padded: Tensor) -> Tensor:
        """Return the real tokens of all rows, one after the other."""
        return padded.flatten(0, 1) if self.is_full else padded[self.valid]

    def unpack(self, packed: Tensor) -> Tensor:
        """Return rows again, with zeros where they are padded."""
        rows, tokens = self.valid.shape
        if self.is_full:
            return packed.reshape(rows, tokens, *packed.shape[1:])
        padded = packed.new_zeros(rows, tokens, *packed.shape[1:])
        return padded.index_put((self.valid,), packed)


class _Projector:
    """The linear maps of one layer, with the adapter's correction where there is one."""

    def __init__(self, weights: dict[str, Tensor], adapter: Adapter | None, index: int) -> None:
        self.weights = weights
        self.adapter = adapter
        self.index = index

    def __call__(self, name: str, hidden: Tensor) -> Tensor:
        weight = self.weights[name]
        hidden = hidden.to(weight.dtype)
        out = linear(hidden, weight)
        if self.adapter is None:
            return out
        down = self.adapter[f"{self.index}.{name}.down"].to(hidden.dtype)
        up = self.adapter[f"{self.index}.{name}.up"].to(hidden.dtype)
        return out + linear(linear(hidden, down), up)


def reader(adapter: Adapter | None) -> Adapter | None:
    """Return the part of an adapter that is active in the developer turn, or none."""
    own = {name.removeprefix(READER): tensor
           for name, tensor in (adapter or {}).items() if name.startswith(READER)}  # fmt: skip
    return own or None


def _layer(tensors: dict[str, Tensor], index: int, is_local: bool) -> Layer:
    start = f"model.layers.{index}."

    def joined(*names: str) -> Tensor:
        return torch.cat([tensors[f"{start}{name}.weight"] for name in names])

    def norm(name: str) -> Tensor:
        return 1 + tensors[f"{start}{name}.weight"]

    projections = {
        "qkv": joined("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
        "o": joined("self_attn.o_proj"),
        "gate_up": joined("mlp.gate_proj", "mlp.up_proj"),
        "down": joined("mlp.down_proj"),
    }
    norms = {
        "input": norm("input_layernorm"),
        "q": norm("self_attn.q_norm"),
        "k": norm("self_attn.k_norm"),
        "post_attention": norm("post_attention_layernorm"),
        "pre_feedforward": norm("pre_feedforward_layernorm"),
        "post_feedforward": norm("post_feedforward_layernorm"),
    }
    return Layer(projections, norms, is_local)


def _rotate(vectors: Tensor, angles: Tensor) -> Tensor:
    cosine, sine = angles.cos().to(vectors.dtype), angles.sin().to(vectors.dtype)
    first, second = vectors.chunk(2, dim=-1)
    return torch.cat([first * cosine - second * sine, second * cosine + first * sine], dim=-1)
