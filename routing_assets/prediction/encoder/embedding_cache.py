"""Embeddings on disk, keyed by the content of the text, so that each distinct text is computed once."""

from __future__ import annotations

import hashlib
import os
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.numpy import save_file

from routing_assets.foundation.progress import progress_bar
from routing_assets.prediction.encoder.encoder import SentenceEncoder
from routing_assets.prediction.encoder.precision import Precision

SHARD_ROWS = 4_096
"""A shard is written after this many new texts, so an interrupted run loses little."""

KEY = "S32"
"""A SHA-256 in an array."""

Keys = NDArray[np.bytes_]
Rows = NDArray[np.int64]
Vectors = NDArray[np.float32]


@dataclass(frozen=True)
class _Shard:
    """Embeddings of up to :data:`SHARD_ROWS` texts: in memory, or in a file of which only wanted rows are read."""

    first: int
    """Number of its first row among the rows of all shards."""
    source: Path | Vectors

    def copy(self, rows: Rows, values: Vectors, places: Rows) -> None:
        """Write the embeddings of the given rows into these places of ``values``."""
        wanted, into = _as_slice(rows - self.first), _as_slice(places)
        if isinstance(self.source, np.ndarray):
            values[into] = self.source[wanted]
            return
        with safe_open(self.source, "pt") as file:  # as PyTorch's, the file is mapped and not read as a whole
            values[into] = file.get_tensor("embedding").numpy()[wanted]


def _as_slice(rows: Rows) -> Rows | slice:
    """Rows that follow each other as a slice, which NumPy need not copy."""
    first, last = int(rows[0]), int(rows[-1])
    return slice(first, last + 1) if np.array_equal(rows, np.arange(first, last + 1)) else rows


class EmbeddingCache:
    """Embeddings of one encoder under ``directory`` (in memory only when it is None).

    Each write is a new safetensors shard, put in place by rename: processes may share a directory without locks; at
    worst two of them compute the same text. Keys are the sha256 of the text; the folder is the encoder's fingerprint.
    Memory holds the keys and where their embeddings lie, not the embeddings, so that millions may be kept.
    """

    def __init__(self, encoder: SentenceEncoder, directory: Path | str | None = None) -> None:
        self.encoder, self._folder = encoder, directory
        self._directory = None if directory is None else Path(directory) / encoder.fingerprint[:16]
        self._keys, self._rows = np.empty(0, KEY), np.empty(0, np.int64)
        self._shards: list[_Shard] = []
        self._size = 0
        self._read: set[str] = set()

    def with_precision(self, precision: Precision) -> EmbeddingCache:
        """This cache, or one in the same folder of the same encoder in another precision."""
        config, device = self.encoder.config, self.encoder.device
        if precision == config.precision:
            return self
        return EmbeddingCache(SentenceEncoder(replace(config, precision=precision), device), self._folder)

    def embed(self, texts: Sequence[str], progress: bool = False) -> Vectors:
        """(N, embedding_width) embeddings of ``texts``; only texts never seen before are computed."""
        keys = _keys_of(texts)
        rows = self._find(keys)
        if (rows < 0).any():
            self._find_shards()
            rows = self._find(keys)
        if (missing := np.flatnonzero(rows < 0)).size:
            _, first = np.unique(keys[missing], return_index=True)
            self._compute([texts[i] for i in missing[np.sort(first)]], progress)
            rows = self._find(keys)
        return self._look_up(rows)

    def add(self, texts: Sequence[str], embeddings: Vectors) -> None:
        """Keep embeddings (N, embedding_width) of ``texts`` that this cache's encoder made."""
        keys, directory = _keys_of(texts), self._directory
        self._register([(keys, embeddings if directory is None else self._write_shard(directory, keys, embeddings))])

    def _compute(self, texts: list[str], progress: bool) -> None:
        with progress_bar("embedding", len(texts), "texts", shown=progress) as advance:
            for start in range(0, len(texts), SHARD_ROWS):
                part = texts[start : start + SHARD_ROWS]
                self.add(part, self.encoder.embed(part, advance))

    def _find(self, keys: Keys) -> Rows:
        """The row of each key among the rows of all shards; -1 where no shard has it."""
        if not len(self._keys):
            return np.full(len(keys), -1)
        place = np.maximum(np.searchsorted(self._keys, keys, side="right") - 1, 0)  # the last of equal keys
        return np.where(self._keys[place] == keys, self._rows[place], -1)

    def _look_up(self, rows: Rows) -> Vectors:
        values = np.empty((len(rows), self.encoder.embedding_width), dtype=np.float32)
        shard_of_row = np.searchsorted([shard.first for shard in self._shards], rows, side="right") - 1
        for shard in np.unique(shard_of_row):
            here = np.flatnonzero(shard_of_row == shard)
            self._shards[shard].copy(rows[here], values, here)
        return values

    def _find_shards(self) -> None:
        if self._directory is None or not self._directory.is_dir():
            return
        found: list[tuple[Keys, Path]] = []
        for path in sorted(self._directory.glob("*.safetensors")):
            if path.name not in self._read:
                with safe_open(path, "np") as file:
                    found.append((file.get_tensor("key").view(KEY).ravel(), path))
        self._register(found)

    def _register(self, shards: Sequence[tuple[Keys, Path | Vectors]]) -> None:
        if not shards:
            return
        for keys, source in shards:
            if isinstance(source, Path):
                self._read.add(source.name)
            self._shards.append(_Shard(self._size, source))
            self._size += len(keys)
        keys = np.concatenate([self._keys, *(keys for keys, _ in shards)])
        rows = np.append(self._rows, np.arange(len(self._rows), self._size))
        order = np.argsort(keys, kind="stable")
        self._keys, self._rows = keys[order], rows[order]

    def _write_shard(self, directory: Path, keys: Keys, embeddings: Vectors) -> Path:
        directory.mkdir(parents=True, exist_ok=True)
        path = directory / f"{uuid.uuid4().hex}.safetensors"
        partial = path.with_name(f"{path.name}.partial")
        save_file({"key": keys.view(np.uint8).reshape(-1, 32), "embedding": embeddings}, partial)
        os.replace(partial, path)
        return path


def _keys_of(texts: Sequence[str]) -> Keys:
    return np.frombuffer(b"".join(hashlib.sha256(text.encode()).digest() for text in texts), KEY)
