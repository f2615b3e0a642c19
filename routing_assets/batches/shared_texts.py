"""Texts that stand in several parts of a batch, embedded once before the parts are scored at the same time."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb

from routing_assets.batches.matrices import Rows, router_kept_in
from routing_assets.engine import Engine
from routing_assets.foundation.files import PARTIAL
from routing_assets.foundation.sql import query
from routing_assets.storage.draft import Draft, write_table
from routing_assets.storage.partitioned import PartitionedTable

EMBEDDED_AT_ONCE = 4_096
MEMORY = "1GB"
"""Of the database, beyond which it sorts on disk."""


def embed_shared_texts(engine: Engine, instructions: PartitionedTable, directory: Path, embeddings: Path) -> int:
    """Put the embeddings of the texts that several parts share into the cache; return how many texts these are.

    Processes that score parts at the same time do not see each other's texts: each would embed a shared one. Texts that
    only one part has are embedded where it is scored.

    Args:
        directory: of the router.
        embeddings: the cache's folder, which all nodes see; the texts lie there while the work lasts.
    """
    if len(instructions.parts) < 2 or not router_kept_in(directory, embeddings).classifier.reads_embeddings:
        return 0
    embeddings.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=embeddings, prefix=".shared-texts-", suffix=PARTIAL) as folder:
        with duckdb.connect(config={"temp_directory": f"{folder}/sorted", "memory_limit": MEMORY}) as connection:
            paths = [part.path for part in instructions.parts]
            texts = connection.sql(query("texts_of_several_parts"), params={"parts": paths}).to_arrow_reader()
            shared = write_table(Draft(f"{folder}/texts", texts.schema), texts, part_rows=EMBEDDED_AT_ONCE)
        if shared.rows:
            for _ in engine.map(embed_texts, shared.parts, directory, embeddings):
                pass
        return shared.rows


def embed_texts(part: Rows, directory: Path, embeddings: Path) -> int:
    """Put the embeddings of the part's instructions into the cache; return how many instructions these are."""
    texts = part.read()["instruction"].to_pylist()
    return len(router_kept_in(directory, embeddings).classifier.embeddings(texts))
