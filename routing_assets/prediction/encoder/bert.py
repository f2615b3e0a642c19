"""BERT as sentence encoders use it: bit for bit what ``transformers`` computes, without the seconds of loading that.

Modules have the names of its checkpoints.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.functional import gelu, scaled_dot_product_attention

UNUSED = ("pooler.", "embeddings.position_ids")


@dataclass(frozen=True)
class BertShape:
    """The entries of ``config.json`` that say what a BERT computes."""

    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_attention_heads: int
    num_hidden_layers: int
    max_position_embeddings: int
    type_vocab_size: int
    layer_norm_eps: float
    hidden_dropout_prob: float
    attention_probs_dropout_prob: float

    @classmethod
    def of(cls, directory: Path) -> BertShape:
        about = json.loads((directory / "config.json").read_text(encoding="utf-8"))
        return cls(**{field.name: about[field.name] for field in fields(cls)})


class Embeddings(nn.Module):
    """The sum of a token's own embedding, that of the first segment, and that of its position."""

    def __init__(self, shape: BertShape) -> None:
        super().__init__()
        self.word_embeddings = nn.Embedding(shape.vocab_size, shape.hidden_size)
        self.position_embeddings = nn.Embedding(shape.max_position_embeddings, shape.hidden_size)
        self.token_type_embeddings = nn.Embedding(shape.type_vocab_size, shape.hidden_size)
        self.LayerNorm = nn.LayerNorm(shape.hidden_size, eps=shape.layer_norm_eps)
        self.dropout = nn.Dropout(shape.hidden_dropout_prob)

    def forward(self, input_ids: Tensor) -> Tensor:
        position = torch.arange(input_ids.shape[1], device=input_ids.device)[None]
        summed = self.word_embeddings(input_ids) + self.token_type_embeddings(torch.zeros_like(input_ids))
        states: Tensor = self.dropout(self.LayerNorm(summed + self.position_embeddings(position)))
        return states


class SelfAttention(nn.Module):
    def __init__(self, shape: BertShape) -> None:
        super().__init__()
        self.heads, self.dropout = shape.num_attention_heads, shape.attention_probs_dropout_prob
        self.query = nn.Linear(shape.hidden_size, shape.hidden_size)
        self.key = nn.Linear(shape.hidden_size, shape.hidden_size)
        self.value = nn.Linear(shape.hidden_size, shape.hidden_size)

    def forward(self, states: Tensor, mask: Tensor | None) -> Tensor:
        rows, length, width = states.shape
        query, key, value = (
            product(states).view(rows, length, self.heads, width // self.heads).transpose(1, 2)
            for product in (self.query, self.key, self.value)
        )
        dropout = self.dropout if self.training else 0.0
        attended = scaled_dot_product_attention(query, key, value, attn_mask=mask, dropout_p=dropout)
        return attended.transpose(1, 2).reshape(rows, length, width)


class Residual(nn.Module):
    """A product, added to what went before."""

    def __init__(self, width: int, shape: BertShape) -> None:
        super().__init__()
        self.dense = nn.Linear(width, shape.hidden_size)
        self.LayerNorm = nn.LayerNorm(shape.hidden_size, eps=shape.layer_norm_eps)
        self.dropout = nn.Dropout(shape.hidden_dropout_prob)

    def forward(self, states: Tensor, before: Tensor) -> Tensor:
        added: Tensor = self.LayerNorm(self.dropout(self.dense(states)) + before)
        return added


class Attention(nn.Module):
    def __init__(self, shape: BertShape) -> None:
        super().__init__()
        self.self = SelfAttention(shape)
        self.output = Residual(shape.hidden_size, shape)

    def forward(self, states: Tensor, mask: Tensor | None) -> Tensor:
        attended: Tensor = self.output(self.self(states, mask), states)
        return attended


class Intermediate(nn.Module):
    def __init__(self, shape: BertShape) -> None:
        super().__init__()
        self.dense = nn.Linear(shape.hidden_size, shape.intermediate_size)

    def forward(self, states: Tensor) -> Tensor:
        return gelu(self.dense(states))


class Layer(nn.Module):
    def __init__(self, shape: BertShape) -> None:
        super().__init__()
        self.attention = Attention(shape)
        self.intermediate = Intermediate(shape)
        self.output = Residual(shape.intermediate_size, shape)

    def forward(self, states: Tensor, mask: Tensor | None = None) -> Tensor:
        """``mask`` (B, 1, 1 or T, T) is True where a token may be attended to; None: everywhere."""
        attended = self.attention(states, mask)
        after: Tensor = self.output(self.intermediate(attended), attended)
        return after


class Encoder(nn.Module):
    def __init__(self, shape: BertShape) -> None:
        super().__init__()
        self.layer = nn.ModuleList(Layer(shape) for _ in range(shape.num_hidden_layers))


@dataclass(frozen=True)
class States:
    """``hidden_states``: (B, T, width) after the embeddings and after each layer."""

    hidden_states: tuple[Tensor, ...]


class Bert(nn.Module):
    """``attention_mask`` (B, T) is 1 for tokens and 0 for padding."""

    def __init__(self, shape: BertShape) -> None:
        super().__init__()
        self.config = shape
        self.embeddings = Embeddings(shape)
        self.encoder = Encoder(shape)

    @classmethod
    def read(cls, directory: Path) -> Bert:
        with torch.device("meta"):
            model = cls(BertShape.of(directory))
        weights = load_file(directory / "model.safetensors")
        used = {name: weight for name, weight in weights.items() if not name.startswith(UNUSED)}
        model.load_state_dict(used, assign=True)
        return model.eval()

    def forward(self, input_ids: Tensor, attention_mask: Tensor, output_hidden_states: bool = True) -> States:
        keep = attention_mask.bool()
        length = keep.shape[1]
        mask = None if bool(keep.all()) else keep[:, None, None, :].expand(-1, 1, length, -1)
        states = [self.embeddings(input_ids)]
        for layer in self.encoder.layer:
            states.append(layer(states[-1], mask))
        return States(tuple(states))
