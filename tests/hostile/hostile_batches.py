"""Files that are no batch, each with what must be said of it. Written by hand; nothing here is run."""

from __future__ import annotations

import gzip
import io
import json
import lzma
import pickle
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from payload import Payload

Case = tuple[str, bytes, str]
"""Name of the file, its bytes, and a pattern of the reason."""

GOOD_CSV = b"instruction_id,instruction\n1,one\n2,two\n"
MANY = b"instruction_id,instruction\n" + b"".join(b"%d,%d\n" % (i, i * i) for i in range(500))


def parquet(table: pa.Table | dict[str, Any], **options: Any) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table if isinstance(table, pa.Table) else pa.table(table), sink, **options)
    return sink.getvalue()


def lines(*records: Any) -> bytes:
    return "".join(json.dumps(record) + "\n" for record in records).encode()


def request(custom_id: Any = "c", **body: Any) -> dict[str, Any]:
    return {"custom_id": custom_id, "method": "POST", "url": "/v1/chat/completions", "body": body}


def said(text: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": text}]}


def two(second: Any, name: str = "instruction") -> bytes:
    """A good line and one whose ``name`` is ``second``."""
    good = {"instruction_id": "1", "instruction": "one"}
    return lines(good, {**good, "instruction_id": "2", name: second})


def dictionary_bomb(**options: Any) -> bytes:
    """A hundred gigabytes of text in a few kilobytes."""
    one_megabyte = pa.array(["x" * 1_000_000])
    text = pa.DictionaryArray.from_arrays(pa.array([0] * 100_000, pa.int32()), one_megabyte)
    return parquet({"instruction_id": pa.array(range(100_000)), "instruction": text}, compression="zstd", **options)


def too_many_rows() -> bytes:
    return parquet({"instruction_id": pa.nulls(20_000_001), "instruction": pa.nulls(20_000_001)}, compression="zstd")


def auto_pickled_extension() -> bytes:
    """A column type that old pyarrow unpickled by itself (CVE-2023-47248)."""
    field = pa.field(
        "instruction",
        pa.string(),
        metadata={
            "ARROW:extension:name": "arrow.py_extension_type",
            "ARROW:extension:metadata": pickle.dumps(Payload("pyarrow")).decode("latin-1"),
        },
    )
    schema = pa.schema([pa.field("instruction_id", pa.string()), field])
    return parquet(pa.table({"instruction_id": ["1"], "instruction": [" "]}, schema=schema))


WHOLE = parquet({"instruction_id": ["1", "2"], "instruction": ["one", "two"]})
INVALID_UTF8 = pa.Array.from_buffers(
    pa.string(), 1, [None, pa.py_buffer(b"\0\0\0\0\2\0\0\0"), pa.py_buffer(b"\xff\xfe")]
)

BATCHES: dict[str, Case] = {
    "empty CSV": ("b.csv", b"", "no rows"),
    "empty JSONL": ("b.jsonl", b"", "no rows"),
    "empty Parquet": ("b.parquet", b"", "not a readable Parquet"),
    "blank lines only": ("b.jsonl", b"\n \n\t\n", "no rows"),
    "byte-order mark only": ("b.jsonl", b"\xef\xbb\xbf\n", "no rows"),
    "header only": ("b.csv", b"instruction_id,instruction\n", "no rows"),
    "Parquet without rows": ("b.parquet", parquet({"instruction_id": pa.array([], pa.string())}), "no rows"),
    "Parquet cut in half": ("b.parquet", WHOLE[: len(WHOLE) // 2], "not a readable Parquet"),
    "Parquet marks and nothing else": ("b.parquet", b"PAR1PAR1", "not a readable Parquet"),
    "Parquet with a broken footer": ("b.parquet", WHOLE[:-40] + b"\xff" * 30 + WHOLE[-10:], "not a readable Parquet"),
    "Parquet with a broken page": ("b.parquet", WHOLE[:4] + b"\xff" * 40 + WHOLE[44:], "not a readable Parquet"),
    "CSV called Parquet": ("b.parquet", GOOD_CSV, "not a readable Parquet"),
    "gzip that is cut off": ("b.csv.gz", gzip.compress(MANY)[:-20], "not whole gzip"),
    "gzip with a wrong sum": ("b.csv", gzip.compress(MANY)[:-8] + bytes(8), "not whole gzip"),
    "gzip within gzip": ("b.csv.gz", gzip.compress(gzip.compress(GOOD_CSV)), "a packed file within gzip"),
    "Parquet within gzip": ("b.parquet", gzip.compress(WHOLE), "not a readable Parquet"),
    "pickle within gzip": ("b.pkl.gz", gzip.compress(pickle.dumps(Payload("batch"))), "byte 0x80 is not UTF-8"),
    "zstd that is cut off": ("b.jsonl.zst", pa.compress(MANY, "zstd", asbytes=True)[:-9], "not whole zstd"),
    "zip": ("b.zip", b"PK\3\4" + bytes(40), "this is a zip archive.*Unpack it"),
    "xz": ("b.csv.xz", lzma.compress(GOOD_CSV), "packed by xz"),
    "spreadsheet": ("b.xlsx", b"PK\3\4", r"routing_assets\[excel\]|not a readable Excel file"),
    "array cut off": ("b.json", b'[{"instruction_id": "1", "instruction": "a"}, {"instr', "row 2: .*not JSON"),
    "array without a comma": ("b.json", b'[{"instruction_id": "1"} {"a": 1}]', "row 1: .*no comma follows"),
    "array and more": ("b.json", b'[{"instruction_id": "1", "instruction": "a"}] x', "more follows the end"),
    "two lists": ("b.json", b'{"data": [{"a": 1}], "rows": [{"b": 1}]}', "several lists: data, rows"),
    "pickle that runs code": ("b.pkl", pickle.dumps(Payload("batch")), "file type '.pkl' is not supported"),
    "Python": ("b.py", b"import os\n", "file type '.py' is not supported"),
    "prose": ("b.txt", b"Hello\nWorld\n", "file type '.txt' is not supported"),
    "UTF-16 that is cut off": ("b.csv", GOOD_CSV.decode().encode("utf-16")[:-1], "row 3: byte 0x0a is not utf-16"),
    "UTF-16 without a mark": ("b.csv", GOOD_CSV.decode().encode("utf-16-le"), "--encoding utf-16-le"),
    "Latin-1": (
        "b.csv",
        GOOD_CSV + "3,d\u00fcnn\n".encode("latin-1"),
        "row 4: byte 0xfc is not.*d\u00fcnn'.*--encoding cp1252",
    ),
    "Latin-1 in JSONL": ("b.jsonl", two("x") + b'{"instruction": "d\xfcnn"}\n', "row 3: byte 0xfc is not UTF-8"),
    "half a surrogate pair": ("b.jsonl", two("\ud83d"), "row 2: .*half a surrogate pair"),
    "half a surrogate pair in a name": ("b.jsonl", two("x", "\ud83d"), "row 2: .*half a surrogate pair"),
    "text that is no UTF-8": (
        "b.parquet",
        parquet({"instruction_id": ["1"], "instruction": INVALID_UTF8}),
        "row 1, column 'instruction': byte 0xff is not UTF-8",
    ),
    "bytes for text": ("b.parquet", parquet({"instruction_id": ["1"], "instruction": [b"\xff"]}), "type binary"),
    "column twice, CSV": ("b.csv", b"instruction_id,instruction,instruction\n1,a,b\n", "column name occurs twice"),
    "column twice, Parquet": (
        "b.parquet",
        parquet(pa.table([["1"], ["a"], ["b"]], names=["instruction_id", "instruction", "instruction"])),
        "column name occurs twice",
    ),
    "key twice": (
        "b.jsonl",
        b'{"instruction_id": "1", "instruction": "a", "instruction": "b"}\n',
        "a key occurs twice",
    ),
    "id twice": ("b.csv", b"instruction_id,instruction\n1,a\n1,b\n", "row 3, column 'instruction_id': '1' is already"),
    "id twice, as number and as text": (
        "b.jsonl",
        lines(*({"instruction_id": i, "instruction": "a"} for i in (7, "7"))),
        "'7' is already",
    ),
    "no id column": ("b.csv", b"id,instruction\n1,a\n", "'instruction_id': the required column is missing"),
    "no instruction column": ("b.csv", b"instruction_id,text\n1,a\n", "'instruction': the required column is missing"),
    "semicolons, then commas": (
        "b.csv",
        b"instruction_id;instruction\n1;a\n2,b\n",
        "Row #3: Expected 2 columns, got 1.*separated by semicolons",
    ),
    "quote never closed": ("b.csv", b'instruction_id,instruction\n1,"a\n2,b\n', "quote is never closed"),
    "a cell too many": ("b.csv", b"instruction_id,instruction\n1,a,b\n", "not a well-formed CSV"),
    "a cell too few": ("b.csv", b"instruction_id,instruction\n1\n", "not a well-formed CSV"),
    "tokens as a list": ("b.jsonl", two([1], "input_tokens"), "column 'input_tokens': .*is not a number"),
    "nested too deeply": ("b.jsonl", two("x") + b'{"a": ' + b"[" * 200_000, "row 3: the values are nested too deeply"),
    "number of 5,000 digits": ("b.jsonl", b'{"instruction_id": ' + b"1" * 5_000 + b"}\n", "row 1: .*not valid JSON"),
    "list of rows": ("b.jsonl", b'[{"instruction_id": "1"}]\n', "column 'instruction': the required column is missing"),
    "list of lists": ("b.jsonl", b'[["1", "a"]]\n', "row 1: the line holds a JSON list"),
    "pretty-printed JSON": (
        "b.jsonl",
        json.dumps({"instruction_id": "1"}, indent=1).encode(),
        "row 1: .*not valid JSON",
    ),
    "text": ("b.jsonl", b"hello\n", "row 1: .*not valid JSON"),
    "Python's own quotes": ("b.jsonl", b"{'instruction_id': '1'}\n", "row 1: .*not valid JSON"),
    "last line cut off": ("b.jsonl", two("x")[:-9], "row 2: .*not valid JSON"),
    "instruction as number": ("b.jsonl", lines({"instruction_id": "1", "instruction": 0.5}), "type double, not text"),
    "instruction as truth": ("b.jsonl", lines({"instruction_id": "1", "instruction": True}), "type bool, not text"),
    "instruction as object": ("b.jsonl", lines({"instruction_id": "1", "instruction": {"a": 1}}), "type struct"),
    "instruction as list": ("b.jsonl", lines({"instruction_id": "1", "instruction": ["a"]}), "type list"),
    "dates for ids": (
        "b.parquet",
        parquet({"instruction_id": pa.array([0], pa.date32()), "instruction": ["a"]}),
        "type date32",
    ),
    "a hundred gigabytes in a kilobyte": (
        "b.parquet",
        dictionary_bomb(),
        "too large: unpacked its texts have 93.1 GiB",
    ),
    "a hundred gigabytes that look like plain texts": (
        "b.parquet",
        dictionary_bomb(store_schema=False),
        "too large: unpacked its texts have 93.1 GiB",
    ),
    "twenty million rows and one": ("b.parquet", too_many_rows(), "too large: it has 20,000,001 rows"),
    "ten thousand columns and one": (
        "b.csv",
        b",".join(b"c%d" % i for i in range(10_001)) + b"\n",
        "too large: it has 10,001 columns",
    ),
    "ten thousand keys and one": (
        "b.jsonl",
        lines({f"c{i}": i for i in range(10_001)}),
        "too large: .*10001 different keys",
    ),
    "column type with a pickle": ("b.parquet", auto_pickled_extension(), "column 'instruction'"),
    "request with a list for body": ("b.jsonl", lines({"custom_id": "x", "body": [1]}), "row 1, column 'body'"),
    "request with an image": ("b.jsonl", lines(request(**said([{"type": "image_url"}]))), "no text of a user"),
    "request without a user": ("b.jsonl", lines(request(messages=[])), "no text of a user"),
    "request with a number for messages": ("b.jsonl", lines(request(messages=5)), "of type int, not text"),
    "request without id": ("b.jsonl", lines(request(None, **said("a"))), "column 'custom_id'"),
    "request with an object for id": ("b.jsonl", lines(request({"a": 1}, **said("a"))), "column 'custom_id'"),
    "request id twice": (
        "b.jsonl",
        lines(request(**said("a")), request(**said("b"))),
        "row 2.*'c' is already in row 1",
    ),
}

RECORDS: dict[str, Case] = {
    "NUL in CSV": ("b.csv", b"instruction_id,instruction\n1,a\0b\n2,b\n", "row 2, column 'instruction': .*NUL"),
    "NUL in JSONL": ("b.jsonl", two("a\0b"), "row 2, column 'instruction': .*NUL"),
    "NUL in an id": ("b.jsonl", two("2\0", "instruction_id"), "row 2, column 'instruction_id': .*NUL"),
    "empty id": (
        "b.csv",
        b"instruction_id,instruction\n1,a\n,b\n",
        "row 3, column 'instruction_id': the text is empty",
    ),
    "blank instruction": ("b.jsonl", two(" \u2003\n"), "row 2, column 'instruction': the text is empty"),
    "missing instruction": ("b.jsonl", two(None), "row 2, column 'instruction': the text is empty"),
    "negative tokens": ("b.jsonl", two(-1, "input_tokens"), "row 2, column 'input_tokens': .*-1"),
    "infinite tokens": ("b.jsonl", two(float("inf"), "input_tokens"), "row 2, column 'input_tokens': .*inf"),
    "tokens in words": (
        "b.csv",
        b"instruction_id,instruction,input_tokens\n1,a,many\n2,b,7\n",
        "row 2.*'many' is not a number",
    ),
    "one huge cell": ("b.csv", GOOD_CSV + b"3," + b"x" * 10_000_001 + b"\n", "row 4, .*more than 10 MB"),
    "request without body": (
        "b.jsonl",
        lines(request(**said("a")), {"custom_id": "x"}),
        "row 2, column 'body': the request has no body",
    ),
    "request of another endpoint": (
        "b.jsonl",
        lines(request(**said("a")), {**request("d", input="a"), "url": "/v1/embeddings"}),
        "row 2, column 'url': the request asks for embeddings",
    ),
    "request whose input the provider keeps": (
        "b.jsonl",
        lines(request(**said("a")), request("d", input="a", previous_response_id="r")),
        "row 2, column 'body.previous_response_id': .*cannot be counted",
    ),
    "request with a tool that the provider runs": (
        "b.jsonl",
        lines(request(**said("a")), request("d", input="a", tools=[{"type": "web_search_preview"}])),
        "row 2, column 'body.tools': .*at a price that is not known",
    ),
    "request for speech": (
        "b.jsonl",
        lines(request(**said("a")), request("d", **said("a"), modalities=["text", "audio"])),
        "row 2, column 'body.modalities': the answer is to be audio",
    ),
    "half a surrogate pair in a request": (
        "b.jsonl",
        lines(request(**said("a")), request("d", **said("\ud83d"))),
        "row 2.*half a surrogate pair",
    ),
}
"""Files of which one record cannot be routed: it is set aside, the others are routed; refused where that is asked."""
