"""Embeddings on disk, keyed by the content of the text, so that each distinct text is computed once."""

from __future__ import annotations

import hashlib
import os
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.numpy import save_file

from routing_assets.foundation.progress import progress_bar
from routing_assets.prediction.encoder.encoder import SentenceEncoder
from routing_assets.prediction.encoder.key_index import KEY_BYTES, UNKNOWN, KeyIndex, Keys, Rows
from routing_assets.prediction.encoder.precision import Precision

SHARD_ROWS = 4_096
"""A shard is written after this many new texts, so an interrupted run loses little."""
FEW_TEXTS = 256
"""So many are embedded before a progress bar could be read."""

Vectors = NDArray[np.float32]
Source = Path | dict[str, NDArray[Any]]
"""A file with ``key`` and ``embedding`` of each text, or its content."""


@dataclass(frozen=True)
class _Shard:
    """Keys and embeddings of some texts: in memory, or in a file of which only wanted rows are read."""

    first: int
    """Number of its first row among the rows of all shards."""
    source: Source

    def copy(self, name: str, rows: Rows, values: NDArray[Any], places: Rows) -> None:
        """Write ``"key"`` or ``"embedding"`` of the given rows into these places of ``values``."""
        wanted, into = _as_slice(rows - self.first), _as_slice(places)
        if isinstance(self.source, dict):
            values[into] = self.source[name][wanted]
            return
        with safe_open(self.source, "pt") as file:  # as PyTorch's, the file is mapped and not read as a whole
            values[into] = file.get_tensor(name).numpy()[wanted]


def _as_slice(rows: Rows) -> Rows | slice:
    """Rows that follow each other as a slice, which NumPy need not copy."""
    first, last = int(rows[0]), int(rows[-1])
    return slice(first, last + 1) if np.array_equal(rows, np.arange(first, last + 1)) else rows


class EmbeddingCache:
    """Embeddings of one encoder under ``directory`` (in memory only when it is None).

    Each write is a new safetensors shard, put in place by rename: processes may share a directory without locks; at
    worst two of them compute the same text. Keys are the sha256 of the text; the folder is the encoder's fingerprint.
    Memory holds where the embedding of a key lies, neither the key nor the embedding, so that millions may be kept.
    """

    def __init__(self, encoder: SentenceEncoder, directory: Path | str | None = None) -> None:
        self.encoder, self._folder = encoder, directory
        self._directory = None if directory is None else Path(directory) / encoder.fingerprint[:16]
        self._index = KeyIndex(self._whole_keys)
        self._shards: list[_Shard] = []
        self._read: set[str] = set()

    def with_precision(self, precision: Precision) -> EmbeddingCache:
        """This cache, or one in the same folder of the same encoder in another precision."""
        config, device = self.encoder.config, self.encoder.device
        if precision == config.precision:
            return self
        return EmbeddingCache(SentenceEncoder(replace(config, precision=precision), device), self._folder)

    def embed(self, texts: Sequence[str], progress: bool = True) -> Vectors:
        """(N, embedding_width) embeddings of ``texts``; only texts never seen before are computed."""
        keys = _keys(texts)
        rows = self._index.find(keys)
        if (rows == UNKNOWN).any():
            self._find_shards()
            rows = self._index.find(keys)
        if (rows == UNKNOWN).any():
            each = zip(keys, texts, rows, strict=True)
            missing = {key.tobytes(): text for key, text, row in each if row == UNKNOWN}
            self._compute(list(missing.values()), progress)
            rows = self._index.find(keys)
        return self._fill(np.empty((len(rows), self.encoder.embedding_width), np.float32), "embedding", rows)

    def add(self, texts: Sequence[str], embeddings: Vectors) -> None:
        """Keep embeddings (N, embedding_width) of ``texts`` that this cache's encoder made."""
        shard: dict[str, NDArray[Any]] = {"key": _keys(texts), "embedding": embeddings}
        self._register([shard if self._directory is None else _write_shard(self._directory, shard)])

    def _compute(self, texts: list[str], progress: bool) -> None:
        with progress_bar("embedding", len(texts), "texts", shown=progress and len(texts) > FEW_TEXTS) as advance:
            for start in range(0, len(texts), SHARD_ROWS):
                part = texts[start : start + SHARD_ROWS]
                self.add(part, self.encoder.embed(part, advance))

    def _find_shards(self) -> None:
        if self._directory is not None and self._directory.is_dir():
            files = sorted(self._directory.glob("*.safetensors"))
            self._register([file for file in files if file.name not in self._read])

    def _register(self, sources: Sequence[Source]) -> None:
        self._shards += map(_Shard, self._index.add(map(_keys_in, sources)), sources)
        self._read |= {source.name for source in sources if isinstance(source, Path)}

    def _whole_keys(self, rows: Rows) -> Keys:
        return self._fill(np.empty((len(rows), KEY_BYTES), np.uint8), "key", rows)

    def _fill(self, values: NDArray[Any], name: str, rows: Rows) -> NDArray[Any]:
        """Read the named values of the given rows, shard by shard."""
        shard_of_row = np.searchsorted([shard.first for shard in self._shards], rows, side="right") - 1
        for shard in np.unique(shard_of_row):
            here = np.flatnonzero(shard_of_row == shard)
            self._shards[shard].copy(name, rows[here], values, here)
        return values


def _keys(texts: Sequence[str]) -> Keys:
    return np.frombuffer(b"".join(_key(text) for text in texts), np.uint8).reshape(-1, KEY_BYTES)


def _key(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def _keys_in(source: Source) -> Keys:
    if isinstance(source, dict):
        return source["key"]
    with safe_open(source, "np") as file:
        keys: Keys = file.get_tensor("key")
    return keys


def _write_shard(directory: Path, shard: dict[str, NDArray[Any]]) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"{uuid.uuid4().hex}.safetensors"
    partial = path.with_name(f"{path.name}.partial")
    save_file(shard, partial)
    os.replace(partial, path)
    return path
