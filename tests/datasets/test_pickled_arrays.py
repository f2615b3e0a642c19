"""Pickles from strangers: read without running anything, without a crash, within bounded memory."""

from __future__ import annotations

import contextlib
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from routing_assets.datasets.option_logits import LARGEST_FILE, read_option_logits
from routing_assets.datasets.pickled_arrays import UnreadablePickle, Vector, read_pickle
from routing_assets.foundation.errors import InvalidInput


class Call:
    """Pickles as a call of a function."""

    def __init__(self, function: object, *arguments: object) -> None:
        self.function, self.arguments = function, arguments

    def __reduce__(self) -> tuple:
        return self.function, self.arguments


RECORDS = [{"id": i, "logits_options": np.arange(6, dtype=np.float32) + i} for i in range(3)]
GOOD = [pickle.dumps(RECORDS, protocol=protocol) for protocol in (3, 4)]
OBJECTS_OVER_BYTES = Call(np.ndarray, (6,), np.dtype("O"), b"A" * 48)
DEEP_KEY = b"\x80\x04})" + b"\x85" * 3_000_000 + b"K\x01s."
HOSTILE = {
    "an object array over chosen bytes": pickle.dumps([{"id": 0, "logits_options": OBJECTS_OVER_BYTES}], protocol=4),
    "a key of tuples in tuples": DEEP_KEY,
    "a text of lists that hold lists": b"\x80\x04]" + b"\x942(h\x00h\x00e" * 60 + b"\x8c\x01x\x93.",
    "a memo of two thousand million places": b"\x80\x04N\x72\xff\xff\xff\x7f.",
    "a text of 2^62 bytes": b"\x80\x04\x8d" + (1 << 62).to_bytes(8, "little") + b"x.",
    "bytes of 30 GB": b"\x80\x04\x8e" + (30 << 30).to_bytes(8, "little") + b"x.",
    "a frame of 30 GB": b"\x80\x04\x95" + (30 << 30).to_bytes(8, "little") + b"N.",
    "a whole number of a million digits": b"I" + b"9" * 1_000_000 + b"\n.",
    "a state for a name": b"\x80\x04\x8c\x05numpy\x8c\x05dtype\x93}\x8c\x01xK\x01sb.",
    "an array of 2^60 numbers": pickle.dumps(RECORDS, protocol=3).replace(
        b"K\x06\x85", b"\x8a\x08" + b"\0" * 7 + b"\x10\x85"
    ),
    "a list that holds itself": b"\x80\x04]\x94h\x00a.",
}
READ_ALL = """
import resource, sys
from pathlib import Path
from routing_assets.datasets.option_logits import read_option_logits
from routing_assets.foundation.errors import InvalidInput
resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))
for path in sorted(Path(sys.argv[1]).iterdir()):
    try:
        read_option_logits(path)
        print("read", path.name)
    except InvalidInput as error:
        print("refused", path.name)
"""


def test_nothing_crashes_the_process_or_fills_its_memory(tmp_path: Path) -> None:
    """In a process of its own, with 4 GiB of addresses: numpy's ``ndarray`` over chosen bytes ended it by SIGSEGV."""
    for name, content in HOSTILE.items():
        (tmp_path / name).write_bytes(content)
    ended = subprocess.run(
        [sys.executable, "-c", READ_ALL, str(tmp_path)], capture_output=True, text=True, timeout=120, check=False
    )
    assert ended.returncode == 0, ended.stderr[-2000:]
    assert sorted(ended.stdout.splitlines()) == sorted(f"refused {name}" for name in HOSTILE)


@settings(max_examples=5 * settings().max_examples)
@given(
    st.sampled_from(GOOD),
    st.lists(st.tuples(st.integers(0, 400), st.integers(0, 4), st.binary(max_size=6)), min_size=1, max_size=4),
)
def test_a_damaged_pickle_is_read_as_plain_values_or_refused(good: bytes, edits: list[tuple[int, int, bytes]]) -> None:
    content = good
    for start, removed, inserted in edits:
        content = content[:start] + inserted + content[start + removed :]
    with contextlib.suppress(UnreadablePickle):
        only_plain(read_pickle(content))


@given(st.binary(max_size=200))
def test_any_bytes_are_read_as_plain_values_or_refused(content: bytes) -> None:
    with contextlib.suppress(UnreadablePickle):
        only_plain(read_pickle(b"\x80\x04" + content))


def only_plain(value: object, seen: frozenset[int] = frozenset()) -> None:
    """Fails for anything but plain values and vectors of numbers."""
    if id(value) in seen:
        return
    seen = seen | {id(value)}
    if isinstance(value, list | tuple):
        for part in value:
            only_plain(part, seen)
    elif isinstance(value, dict):
        for key, part in value.items():
            assert type(key) is str
            only_plain(part, seen)
    elif isinstance(value, Vector):
        assert value.values.dtype.kind in "fi"
    else:
        assert value is None or type(value) in (bool, int, float, str, bytes) or not callable(value)


@pytest.mark.parametrize("dtype", ["<f2", "<f4", ">f4", "<f8", "<i8", ">i4", "i1"])
def test_vectors_of_every_number_are_read(tmp_path: Path, dtype: str) -> None:
    path = tmp_path / "logits.pkl"
    path.write_bytes(pickle.dumps([{"id": 2, "logits_options": np.arange(7).astype(dtype)}], protocol=4))
    ids, logits = read_option_logits(path)
    assert (ids.tolist(), logits.tolist()) == ([2], [[0, 1, 2, 3, 4, 5]])


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros(6, dtype=object), "dtype 'O8'"),
        (np.zeros(6, dtype="U3"), "dtype 'U3'"),
        (np.zeros(6, dtype=[("a", "f4")]), "dtype 'V4'"),
        (np.zeros((2, 6)), "something else than a vector"),
        (np.zeros(2000), "an array of 2000 f8"),
    ],
)
def test_arrays_of_anything_else_are_refused_by_name(tmp_path: Path, array: np.ndarray, message: str) -> None:
    path = tmp_path / "logits.pkl"
    path.write_bytes(pickle.dumps([{"id": 2, "logits_options": array}], protocol=4))
    with pytest.raises(InvalidInput, match=message):
        read_option_logits(path)


def test_a_file_that_is_far_too_large_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "logits.pkl"
    with path.open("wb") as file:
        file.truncate(LARGEST_FILE + 1)
    with pytest.raises(InvalidInput, match="more than 32"):
        read_option_logits(path)


@pytest.mark.parametrize("identity", [2**70, -(2**63) - 1, "3", None, 1.5])
def test_an_id_that_is_no_whole_number_is_refused(tmp_path: Path, identity: object) -> None:
    path = tmp_path / "logits.pkl"
    path.write_bytes(pickle.dumps([{"id": identity, "logits_options": np.zeros(6)}], protocol=4))
    with pytest.raises(InvalidInput, match="row 1: the record is not an id"):
        read_option_logits(path)
