"""Reads a pickle of lists, dicts, numbers and numpy vectors without unpickling it.

A pickle is a program: Python's own reader calls whatever it names, and numpy's classes can be made to crash the
process. Here its instructions are listed by ``pickletools`` and carried out on plain values. Three names of numpy stand
for "a vector follows"; nothing is imported or called for them.
Format: https://docs.python.org/3/library/pickletools.html and ``numpy.ndarray.__reduce__``.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any

import numpy as np

LONGEST_VECTOR = 1024
DTYPES = {f"{kind}{size}" for kind, sizes in {"f": (2, 4, 8), "i": (1, 2, 4, 8)}.items() for size in sizes}


class UnreadablePickle(ValueError):
    """The pickle holds more than plain values and vectors of numbers, or is damaged."""


@dataclass(frozen=True)
class _Name:
    """A name that the pickle may mention."""

    what: str


@dataclass
class _Dtype:
    """``numpy.dtype`` as a pickle describes it: first kind and size, then the byte order."""

    code: str
    order: str = "|"


@dataclass
class Vector:
    """A numpy vector; without values until the pickle has described it."""

    values: np.ndarray = field(default_factory=lambda: np.empty(0))


_MARK = object()
_RECONSTRUCT, _NDARRAY, _DTYPE = _Name("_reconstruct"), _Name("ndarray"), _Name("dtype")
_NAMES = {
    ("numpy.core.multiarray", "_reconstruct"): _RECONSTRUCT,  # as numpy 1 wrote it
    ("numpy._core.multiarray", "_reconstruct"): _RECONSTRUCT,  # as numpy 2 writes it
    ("numpy", "ndarray"): _NDARRAY,
    ("numpy", "dtype"): _DTYPE,
}
_PLAIN = {
    *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
    *("UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8", "SHORT_BINBYTES", "BINBYTES", "BINBYTES8"),
}
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}


def read_pickle(content: bytes) -> Any:
    """What the pickle holds: ``None``, bool, int, float, str, bytes, tuple, list, dict with text keys, :class:`Vector`.

    Memory is bounded by a small multiple of the content's length.

    Raises:
        UnreadablePickle: it names anything else, or is damaged.
    """
    machine = _Machine()
    try:
        for code, argument, _ in pickletools.genops(BytesIO(content)):
            if code.name == "STOP":
                return machine.pop()
            machine.carry_out(code.name, argument)
    except UnreadablePickle:
        raise
    except Exception as error:  # pickletools raises many types of errors for bytes that are not a pickle
        raise UnreadablePickle(str(error) or type(error).__name__) from error
    raise UnreadablePickle("it ends early")


class _Machine:
    """The stack and the memo of a pickle that is being read."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}
        self.actions: dict[str, Callable[[], object]] = {
            "MARK": lambda: self.stack.append(_MARK),
            "EMPTY_LIST": lambda: self.stack.append([]),
            "EMPTY_TUPLE": lambda: self.stack.append(()),
            "EMPTY_DICT": lambda: self.stack.append({}),
            "LIST": lambda: self.stack.append(self.pop_to_mark()),
            "TUPLE": lambda: self.stack.append(tuple(self.pop_to_mark())),
            "TUPLE1": lambda: self.stack.append(self.pop_tuple(1)),
            "TUPLE2": lambda: self.stack.append(self.pop_tuple(2)),
            "TUPLE3": lambda: self.stack.append(self.pop_tuple(3)),
            "DICT": lambda: self.stack.append(_set_items({}, self.pop_to_mark())),
            "APPEND": lambda: self.extend([self.pop()]),
            "APPENDS": lambda: self.extend(self.pop_to_mark()),
            "SETITEM": lambda: self.set_items(list(self.pop_tuple(2))),
            "SETITEMS": lambda: self.set_items(self.pop_to_mark()),
            "MEMOIZE": lambda: self.memo.update({len(self.memo): self.top()}),
            "STACK_GLOBAL": lambda: self.stack.append(_named(*self.pop_tuple(2))),
            "REDUCE": lambda: self.stack.append(_begun(*self.pop_tuple(2))),
            "BUILD": lambda: _describe(self.pop(), self.top()),
        }

    def carry_out(self, name: str, argument: Any) -> None:
        if name in _PLAIN:
            self.stack.append(argument)
        elif name in self.actions:
            self.actions[name]()
        elif name in _CONSTANTS:
            self.stack.append(_CONSTANTS[name])
        elif name in ("BINGET", "LONG_BINGET", "GET"):
            self.stack.append(self.memo[argument])
        elif name in ("BINPUT", "LONG_BINPUT", "PUT"):
            self.memo[argument] = self.top()
        elif name in ("GLOBAL", "INST"):
            self.stack.append(_named(*argument.split(" ", 1)))
        elif name not in ("PROTO", "FRAME"):
            raise UnreadablePickle(f"it holds the instruction {name}")

    def top(self) -> Any:
        if not self.stack or self.stack[-1] is _MARK:
            raise UnreadablePickle("it takes from an empty stack")
        return self.stack[-1]

    def pop(self) -> Any:
        self.top()
        return self.stack.pop()

    def pop_tuple(self, length: int) -> tuple[Any, ...]:
        return tuple([self.pop() for _ in range(length)][::-1])

    def pop_to_mark(self) -> list[Any]:
        popped = []
        while self.stack and self.stack[-1] is not _MARK:
            popped.append(self.stack.pop())
        if not self.stack:
            raise UnreadablePickle("it takes from an empty stack")
        self.stack.pop()
        return popped[::-1]

    def extend(self, values: list[Any]) -> None:
        if type(self.top()) is not list:
            raise UnreadablePickle("it appends to something that is not a list")
        self.top().extend(values)

    def set_items(self, items: list[Any]) -> None:
        if type(self.top()) is not dict:
            raise UnreadablePickle("it sets items of something that is not a dict")
        _set_items(self.top(), items)


def _set_items(target: dict[str, Any], items: list[Any]) -> dict[str, Any]:
    keys, values = items[::2], items[1::2]
    if any(type(key) is not str for key in keys):
        raise UnreadablePickle("a key is not text")
    target.update(zip(keys, values, strict=True))
    return target


def _named(module: Any, name: Any) -> _Name:
    if type(module) is not str or type(name) is not str:
        raise UnreadablePickle("it wants to load something without a name")
    if (module, name) not in _NAMES:
        raise UnreadablePickle(f"it wants to load {module[:100]}.{name[:100]}")
    return _NAMES[module, name]


def _begun(function: Any, arguments: Any) -> Vector | _Dtype:
    """The value that a call in the pickle would make."""
    if function is _RECONSTRUCT and type(arguments) is tuple and arguments and arguments[0] is _NDARRAY:
        return Vector()
    if function is _DTYPE and type(arguments) is tuple and arguments and type(arguments[0]) is str:
        if arguments[0] in DTYPES:
            return _Dtype(arguments[0])
        raise UnreadablePickle(
            f"it holds an array of dtype {arguments[0][:20]!r}; known are {', '.join(sorted(DTYPES))}"
        )
    raise UnreadablePickle("it wants to make something else than an array of numbers")


def _describe(state: Any, target: Any) -> None:
    """Give a dtype its byte order, or a vector its values."""
    match target, state:
        case _Dtype(), (3, "<" | ">" | "|" as order, None, None, None, -1, -1, 0):
            target.order = order
        case Vector(), (1, (int(length),), _Dtype() as dtype, bool(), bytes(content)):
            kind = np.dtype(dtype.order + dtype.code)
            if not (0 <= length <= LONGEST_VECTOR and len(content) == length * kind.itemsize):
                raise UnreadablePickle(f"an array of {length} {dtype.code} holds {len(content)} bytes")
            target.values = np.frombuffer(content, kind)
        case _:
            raise UnreadablePickle("it describes something else than a vector of numbers")
