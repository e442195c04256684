"""What the user has said about the world outside, to pip, to uv or to the hub's tools: read as they read it."""

from __future__ import annotations

import base64
import configparser
import contextlib
import os
import socket
import ssl
import sys
import tomllib
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.request import getproxies

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from nexus_mesh.core import MeshError, Reason
from yarl import URL

from nexus_inference_adapters.store.fetcher import is_public

__all__ = ["VARIABLES", "Outside", "open_outside", "outside"]

PUBLIC_INDEX = "https://pypi.org/simple"
"""What pip and uv ask when nobody says anything else."""
PUBLIC_FILES = "files.pythonhosted.org"
"""Where that index has its files. Networks with a mirror of it give both names an address at home."""
HUB = "https://huggingface.co"
INDEX = ("UV_DEFAULT_INDEX", "UV_INDEX_URL", "PIP_INDEX_URL")
MORE = ("UV_INDEX", "UV_EXTRA_INDEX_URL", "PIP_EXTRA_INDEX_URL")
CERTIFICATES = ("SSL_CERT_FILE", "PIP_CERT", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
FILES = ("PIP_CONFIG_FILE", "UV_CONFIG_FILE", "SSL_CERT_DIR", "NETRC", "XDG_CONFIG_HOME")
PROXIES = tuple(
    spelt for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY") for spelt in (name, name.lower())
)
VARIABLES = (*INDEX, *MORE, *CERTIFICATES, *FILES, *PROXIES, "PIP_PROXY", "HF_ENDPOINT", "HF_TOKEN")
"""All that is read here: who fetches models is given these, and no engine is."""


@dataclass(frozen=True, slots=True)
class Outside:
    """`indexes` without passwords; `passwords` holds the header of each origin that has one."""

    indexes: Sequence[URL]
    hub: URL
    certificates: Path | None = None
    proxy: str | None = field(default=None, repr=False)
    passwords: Mapping[URL, str] = field(default_factory=dict, repr=False)

    def authorization(self, url: URL) -> str | None:
        return self.passwords.get(url.origin())

    @property
    def named(self) -> frozenset[str]:
        """The hosts that the user named, or we: mirrors and proxies at home are at private addresses on purpose."""
        proxies = [self.proxy or "", *getproxies().values()]
        urls = [*self.indexes, self.hub, *(URL(text if "//" in text else f"//{text}") for text in proxies)]
        return frozenset(url.host.lower() for url in urls if url.host) | {PUBLIC_FILES}


def outside(environment: Mapping[str, str] = os.environ) -> Outside:
    """As it stands now. Raises UPSTREAM_ERROR for an address that is none."""
    said = _said(environment)
    passwords: dict[URL, str] = {}
    first = _first(said, environment, INDEX, "index-url") or [PUBLIC_INDEX]
    given = [*first, *_words(said, environment)]
    indexes = [_address(text, passwords) for text in given]
    hub = _address(environment.get("HF_ENDPOINT") or HUB, passwords)
    if token := environment.get("HF_TOKEN", "").strip():
        passwords[hub.origin()] = f"Bearer {token}"
    [*certificates] = _first(said, environment, CERTIFICATES, "cert")
    [*proxies] = _first(said, environment, ("PIP_PROXY",), "proxy")
    return Outside(
        tuple(dict.fromkeys(indexes)),
        hub,
        Path(certificates[0]) if certificates else None,
        proxies[0] if proxies else None,
        passwords,
    )


@contextlib.asynccontextmanager
async def open_outside(settings: Outside) -> AsyncIterator[aiohttp.ClientSession]:
    """The session for what is fetched: by the user's proxies, certificates and netrc, and with no cookies."""
    trust = ssl.create_default_context(cafile=settings.certificates)
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(ssl=trust, resolver=_Guard(settings.named)),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=30.0),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        trust_env=True,
        proxy=settings.proxy,
        headers={"Accept-Encoding": "identity", "User-Agent": "nexus"},
    ) as session:
        yield session


class _Guard(AbstractResolver):
    """Names of the wide world lead out to it, and never to this machine or this network."""

    def __init__(self, named: frozenset[str]) -> None:
        self._named = named
        self._asked = aiohttp.DefaultResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = await self._asked.resolve(host, port, family)
        if host.lower() in self._named:
            return found
        if not (public := [one for one in found if is_public(one["host"])]):
            raise MeshError(
                Reason.UPSTREAM_ERROR,
                f"{host} is at an address of this machine or network, and nobody named it: not asked. A mirror "
                "of yours is named in UV_DEFAULT_INDEX, UV_INDEX, PIP_INDEX_URL or HF_ENDPOINT.",
            )
        return public

    async def close(self) -> None:
        await self._asked.close()


def _first(
    said: Mapping[str, str], environment: Mapping[str, str], variables: Sequence[str], key: str
) -> Sequence[str]:
    """The first that is set: the variables in their order, then the files. Empty or one."""
    found = [environment[name] for name in variables if environment.get(name)]
    return [*found, *([said[key]] if said.get(key) else [])][:1]


def _words(said: Mapping[str, str], environment: Mapping[str, str]) -> Iterator[str]:
    """Further indexes: safe to ask, because a file is held to its hash wherever it comes from."""
    for text in (*(environment.get(name, "") for name in MORE), said.get("extra-index-url", "")):
        for word in text.split():
            yield word.partition("=")[2] if "=" in word.partition("://")[0] else word


def _address(text: str, passwords: dict[URL, str]) -> URL:
    """The URL without its password, which is put beside."""
    try:
        url = URL(text.strip())
    except ValueError:
        url = URL()
    if url.scheme not in ("http", "https") or not url.host:
        raise MeshError(
            Reason.UPSTREAM_ERROR,
            "The package index or hub in your settings is no http(s) address: see UV_DEFAULT_INDEX, PIP_INDEX_URL, "
            "pip.conf, uv.toml and HF_ENDPOINT.",
        )
    if url.user or url.password:
        pair = f"{url.user or ''}:{url.password or ''}".encode()
        passwords[url.origin()] = f"Basic {base64.b64encode(pair).decode()}"
    return url.with_user(None)


def _said(environment: Mapping[str, str]) -> dict[str, str]:
    """What the files of pip and uv say, the later and more personal ones over the others."""
    home = Path(environment.get("HOME") or Path.home())
    own = Path(environment.get("XDG_CONFIG_HOME") or home / ".config")
    said: dict[str, str] = {}
    pip = [Path("/etc/xdg/pip/pip.conf"), Path("/etc/pip.conf"), home / ".pip/pip.conf", own / "pip/pip.conf"]
    for path in (*pip, Path(sys.prefix) / "pip.conf", Path(environment.get("PIP_CONFIG_FILE") or os.devnull)):
        said |= _pip(path)
    for path in (
        Path("/etc/uv/uv.toml"),
        own / "uv/uv.toml",
        Path(environment.get("UV_CONFIG_FILE") or os.devnull),
    ):
        said |= _uv(path)
    return said


def _pip(path: Path) -> dict[str, str]:
    parser = configparser.RawConfigParser()
    with contextlib.suppress(OSError, configparser.Error, UnicodeDecodeError):
        parser.read_string(path.read_text())
    return dict(parser["global"]) if parser.has_section("global") else {}


def _uv(path: Path) -> dict[str, str]:
    document: dict[str, object] = {}
    with contextlib.suppress(OSError, tomllib.TOMLDecodeError, UnicodeDecodeError):
        document = tomllib.loads(path.read_text())
    said = {key: text for key in ("index-url",) if isinstance(text := document.get(key), str)}
    rows = document.get("index")
    for row in rows if isinstance(rows, list) else []:
        if isinstance(row, dict) and row.get("default") and isinstance(row.get("url"), str):
            said["index-url"] = str(row["url"])
    return said
