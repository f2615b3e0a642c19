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

Keys = NDArray[np.uint8]
Vectors = NDArray[np.float32]


@dataclass(frozen=True)
class _Shard:
    """Embeddings of up to :data:`SHARD_ROWS` texts: in memory, or in a file of which only wanted rows are read."""

    first: int
    """Number of its first row among the rows of all shards."""
    source: Path | Vectors

    def rows(self, rows: NDArray[np.int64]) -> Vectors:
        """The embeddings of the given rows."""
        wanted = rows - self.first
        if isinstance(self.source, np.ndarray):
            return self.source[wanted]
        start = int(wanted.min())
        with safe_open(self.source, "np") as file:
            part: Vectors = file.get_slice("embedding")[start : int(wanted.max()) + 1]
        return part[wanted - start]


class EmbeddingCache:
    """Embeddings of one encoder under ``directory`` (in memory only when it is None).

    Each write is a new safetensors shard, put in place by rename: processes may share a directory without locks; at
    worst two of them compute the same text. Keys are the sha256 of the text; the folder is the encoder's fingerprint.
    Memory holds the keys and where their embeddings lie, not the embeddings, so that millions may be kept.
    """

    def __init__(self, encoder: SentenceEncoder, directory: Path | str | None = None) -> None:
        self.encoder, self._folder = encoder, directory
        self._directory = None if directory is None else Path(directory) / encoder.fingerprint[:16]
        self._row: dict[bytes, int] = {}
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
        keys = [_key(text) for text in texts]
        if any(key not in self._row for key in keys):
            self._find_shards()
        missing = {key: text for key, text in zip(keys, texts, strict=True) if key not in self._row}
        if missing:
            self._compute(list(missing.values()), progress)
        return self._look_up(np.fromiter((self._row[key] for key in keys), np.int64, len(keys)))

    def add(self, texts: Sequence[str], embeddings: Vectors) -> None:
        """Keep embeddings (N, embedding_width) of ``texts`` that this cache's encoder made."""
        keys = np.frombuffer(b"".join(_key(text) for text in texts), np.uint8).reshape(-1, 32)
        directory = self._directory
        self._register(keys, embeddings if directory is None else self._write_shard(directory, keys, embeddings))

    def _compute(self, texts: list[str], progress: bool) -> None:
        with progress_bar("embedding", len(texts), "texts", shown=progress) as advance:
            for start in range(0, len(texts), SHARD_ROWS):
                part = texts[start : start + SHARD_ROWS]
                self.add(part, self.encoder.embed(part, advance))

    def _look_up(self, rows: NDArray[np.int64]) -> Vectors:
        values = np.empty((len(rows), self.encoder.embedding_width), dtype=np.float32)
        shard_of_row = np.searchsorted([shard.first for shard in self._shards], rows, side="right") - 1
        for shard in np.unique(shard_of_row):
            here = np.flatnonzero(shard_of_row == shard)
            values[here] = self._shards[shard].rows(rows[here])
        return values

    def _find_shards(self) -> None:
        if self._directory is None or not self._directory.is_dir():
            return
        for path in sorted(self._directory.glob("*.safetensors")):
            if path.name not in self._read:
                with safe_open(path, "np") as file:
                    self._register(file.get_tensor("key"), path)

    def _register(self, keys: Keys, source: Path | Vectors) -> None:
        if isinstance(source, Path):
            self._read.add(source.name)
        self._shards.append(_Shard(self._size, source))
        self._row.update((key.tobytes(), row) for row, key in enumerate(keys, start=self._size))
        self._size += len(keys)

    def _write_shard(self, directory: Path, keys: Keys, embeddings: Vectors) -> Path:
        directory.mkdir(parents=True, exist_ok=True)
        path = directory / f"{uuid.uuid4().hex}.safetensors"
        partial = path.with_name(f"{path.name}.partial")
        save_file({"key": keys, "embedding": embeddings}, partial)
        os.replace(partial, path)
        return path


def _key(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()
