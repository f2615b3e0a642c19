"""Embeddings on disk, keyed by the content of the text, so that each distinct text is computed once."""

from __future__ import annotations

import hashlib
import os
import uuid
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file
from tqdm import tqdm

from routing_assets.prediction.encoder import SentenceEncoder

SHARD_ROWS = 4_096
"""A shard is written after this many new texts, so an interrupted run loses little."""


class EmbeddingCache:
    """Embeddings of one encoder under ``directory`` (in memory only when it is None).

    Each write is a new safetensors shard, put in place by rename: processes may share a directory without locks; at
    worst two of them compute the same text. Keys are the sha256 of the text; the folder is the encoder's fingerprint.
    """

    def __init__(self, encoder: SentenceEncoder, directory: Path | str | None = None) -> None:
        self.encoder = encoder
        self._directory = None if directory is None else Path(directory) / encoder.fingerprint[:16]
        self._known: dict[bytes, NDArray[np.float32]] = {}
        self._read: set[str] = set()

    def embed(self, texts: Sequence[str], progress: bool = False) -> NDArray[np.float32]:
        """(N, embedding_width) embeddings of ``texts``; only texts never seen before are computed."""
        keys = [hashlib.sha256(text.encode()).digest() for text in texts]
        if any(key not in self._known for key in keys):
            self._read_shards()
        missing = {key: text for key, text in zip(keys, texts, strict=True) if key not in self._known}
        if missing:
            self._compute(missing, progress)
        if not keys:
            return np.empty((0, self.encoder.embedding_width), dtype=np.float32)
        return np.stack([self._known[key] for key in keys])

    def _compute(self, missing: dict[bytes, str], progress: bool) -> None:
        items = list(missing.items())
        with tqdm(total=len(items), desc="embedding", unit="text", disable=not progress) as bar:
            for start in range(0, len(items), SHARD_ROWS):
                keys, texts = zip(*items[start : start + SHARD_ROWS], strict=True)
                values = self.encoder.embed(texts, bar.update)
                self._known.update(zip(keys, values, strict=True))
                self._write_shard(keys, values)

    def _read_shards(self) -> None:
        if self._directory is None or not self._directory.is_dir():
            return
        for path in sorted(self._directory.glob("*.safetensors")):
            if path.name not in self._read:
                self._read.add(path.name)
                shard = load_file(path)
                self._known.update(zip((key.tobytes() for key in shard["key"]), shard["embedding"], strict=True))

    def _write_shard(self, keys: Sequence[bytes], values: NDArray[np.float32]) -> None:
        if self._directory is None:
            return
        self._directory.mkdir(parents=True, exist_ok=True)
        name = f"{uuid.uuid4().hex}.safetensors"
        partial = self._directory / f"{name}.partial"
        save_file({"key": np.frombuffer(b"".join(keys), dtype=np.uint8).reshape(-1, 32), "embedding": values}, partial)
        os.replace(partial, self._directory / name)
        self._read.add(name)
