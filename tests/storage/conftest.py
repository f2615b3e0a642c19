"""Storage for tables: a folder, memory, and a real object store if its server is installed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest


@pytest.fixture(scope="session")
def object_store() -> Iterator[str]:
    """The URL of a bucket in an S3 server of this process."""
    server_of = pytest.importorskip("moto.server", reason="needs pip install 'moto[server]' s3fs")
    s3fs = pytest.importorskip("s3fs")
    server = server_of.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            environment.setenv(name, "test")
        environment.setenv("AWS_DEFAULT_REGION", "us-east-1")
        s3fs.S3FileSystem().mkdir("tables")
        yield "s3://tables"
    server.stop()


@pytest.fixture(params=["file", "memory", "s3"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty folder for a table."""
    match request.param:
        case "file":
            return str(tmp_path / "table")
        case "memory":
            return f"memory://{uuid4().hex}/table"
        case _:
            return f"{request.getfixturevalue('object_store')}/{uuid4().hex}/table"
