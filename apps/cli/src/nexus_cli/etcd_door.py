"""Whether etcd lets somebody in: looked at from outside, as whoever knocks would see it."""

from __future__ import annotations

import asyncio
import contextlib
import ssl

from nexus_mesh.identity import role_server_name

__all__ = ["admits"]

SECONDS = 3.0
TRIES = 3
"""A refusal may be cut short by the end of the connection, and then says nothing."""
REFUSALS = ("CERTIFICATE", "UNKNOWN_CA")
"""What alerts that judge the certificate shown are called."""

# What an HTTP/2 client says first, with empty settings: whoever was let in is answered with settings.
HELLO = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"


async def admits(address: str, context: ssl.SSLContext, trust_domain: str) -> bool:
    """Whether etcd at host:port answers who shows the certificate of `context`, or none if there is none in it.

    Raises OSError when nothing there proves to be the mesh's etcd.
    """
    context.set_alpn_protocols(["h2"])
    name = role_server_name("etcd", trust_domain)
    for left in reversed(range(TRIES)):
        try:
            async with asyncio.timeout(SECONDS):
                return await _knock(address, context, name)
        except TimeoutError:
            raise OSError("it does not answer in time") from None
        except ssl.SSLCertVerificationError:
            raise OSError("who answers there is not the mesh's etcd") from None
        except ssl.SSLError as error:
            if any(word in (error.reason or "") for word in REFUSALS):
                return False
            raise OSError("it does not speak TLS as etcd does") from None
        except ConnectionResetError:
            if not left:
                raise
    raise AssertionError  # the last try returns or raises


async def _knock(address: str, context: ssl.SSLContext, name: str) -> bool:
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(
        host.strip("[]"), int(port), ssl=context, server_hostname=name
    )
    try:
        writer.write(HELLO)
        await writer.drain()
        return bool(await reader.read(1))
    except OSError:  # by TLS 1.3 who we are is judged after the handshake
        return False
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
