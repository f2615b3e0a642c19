"""Content hashes that name a version: equal content, equal version."""

from __future__ import annotations

import hashlib

import pyarrow as pa


def content_version(*tables: pa.Table) -> str:
    """First twelve hex digits of a SHA-256 over schemas and values, independent of how the tables are chunked."""
    digest = hashlib.sha256()
    for table in tables:
        stream = pa.BufferOutputStream()
        with pa.ipc.new_stream(stream, table.schema) as writer:
            writer.write_table(table.combine_chunks())
        digest.update(stream.getvalue())
    return digest.hexdigest()[:12]
