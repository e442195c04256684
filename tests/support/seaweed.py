"""A real S3 server of the package index, SeaweedFS: on loopback, in a folder of its own, with a key and a secret."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import obstore
import pytest
from nexus_store.config import S3Settings
from obstore.exceptions import BaseError
from obstore.store import S3Store
from support.processes import ChildProcess, free_port, start

__all__ = ["Seaweed"]

BUCKET, KEY, SECRET = "files", "AKIAEXAMPLE", "c2VjcmV0IG9mIGEgdGVzdA"
PORTS = ("master", "volume", "filer", "s3")
START_SECONDS = 60.0


class Seaweed:
    """`full`: no room is left, as far as it knows."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ports = {name: (free_port(), free_port()) for name in PORTS}
        self._process: ChildProcess | None = None

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.ports['s3'][0]}"

    def settings(self, secret: str = SECRET, **changes: str) -> S3Settings:
        for name, text in (("key", KEY), ("secret", secret)):
            (self.folder / name).write_text(text + "\n")
        told = {"endpoint": self.endpoint, "bucket": BUCKET, **changes}
        return S3Settings(**told, access_key_file=self.folder / "key", secret_key_file=self.folder / "secret")

    def store(self) -> S3Store:
        """As anybody else would look at what is there."""
        return S3Store(
            BUCKET,
            config={
                "endpoint": self.endpoint, "region": "us-east-1", "access_key_id": KEY, "secret_access_key": SECRET
            },
            client_options={"allow_http": True},
            retry_config={"max_retries": 0},
        )  # fmt: skip

    def there(self) -> list[str]:
        return [one["path"] for some in obstore.list(self.store(), "nexus") for one in some]

    def start(self, *, full: bool = False) -> None:
        identity = {
            "name": "nexus",
            "credentials": [{"accessKey": KEY, "secretKey": SECRET}],
            "actions": ["Admin", "Read", "Write", "List", "Tagging"],
        }
        (self.folder / "s3.json").write_text(json.dumps({"identities": [identity]}))
        (self.folder / "data").mkdir(exist_ok=True)
        ports = [
            flag
            for name, (http, grpc) in self.ports.items()
            for flag in (f"-{name}.port={http}", f"-{name}.port.grpc={grpc}")
        ]
        self._process = start(
            [
                Path(sys.executable).with_name("weed"), "-logtostderr=true", "server", f"-dir={self.folder / 'data'}",
                "-ip=127.0.0.1", "-ip.bind=127.0.0.1", *ports, "-master.telemetry=false",
                "-master.volumeSizeLimitMB=64", "-volume.max=8", f"-volume.minFreeSpace={100 if full else 0}",
                "-volume.preStopSeconds=0", "-s3", f"-s3.config={self.folder / 's3.json'}", "-s3.port.iceberg=0",
                "-s3.port.lance=0", f"-filer.localSocket={self.folder / 'f.sock'}",
                f"-s3.localSocket={self.folder / 's.sock'}",
            ],
            self.folder / "weed.log",
            {"HOME": str(self.folder)},
        )  # fmt: skip
        self._await(full)

    def _await(self, full: bool) -> None:
        """A put that went well makes the bucket, too."""
        store, deadline = self.store(), time.monotonic() + START_SECONDS
        while True:
            try:
                if full:
                    list(obstore.list(store, "nexus"))
                else:
                    obstore.put(store, "ready", b"ready")
            except (BaseError, OSError):
                assert self._process is not None
                assert self._process.alive, self._process.output()
                assert time.monotonic() < deadline, self._process.output()
                time.sleep(0.1)
            else:
                return

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process = None


@pytest.fixture(scope="session")
def seaweed_of_run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seaweed]:
    server = Seaweed(tmp_path_factory.mktemp("weed"))
    server.start()
    yield server
    server.kill()


@pytest.fixture
def own_seaweed(tmp_path: Path) -> Iterator[Seaweed]:
    """One that may be killed."""
    (tmp_path / "weed").mkdir()
    server = Seaweed(tmp_path / "weed")
    yield server
    server.kill()
