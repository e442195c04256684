"""llama.cpp's own HTTP server as a child process: one order on stdin, one report on stdout, gone with its parent.

The parent holds our stdin open; when it ends for whatever reason, so do we.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
from typing import Any

from nexus_mesh.core import loopback

__all__ = ["main"]

MEAN_POOLING = 1
PR_SET_PDEATHSIG = 1
ONLY_ERRORS = -1


def main() -> None:
    """Order: {"path", "name", "context_tokens", "slots", "threads", "key", "embeds", "sampling"}; report: {"url"} or
    {"problem"}."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in a terminal is the parent's to handle
    order = json.loads(sys.stdin.readline())
    try:
        server = _start(order)
    except ImportError as error:
        _report({"problem": f"llama.cpp cannot be loaded on this machine: {error}"})
        return
    _report({"url": server.listening_address})
    sys.stdin.read()
    os._exit(0)  # llama.cpp's threads have nothing to save


def _report(report: dict[str, str]) -> None:
    sys.stdout.write(json.dumps(report) + "\n")
    sys.stdout.flush()


def _start(order: dict[str, Any]) -> Any:
    from xllamacpp import CommonParams, Server  # pyright: ignore[reportAttributeAccessIssue] - a C extension

    params = CommonParams()
    params.model.path = order["path"]
    params.model_alias = {order["name"]}
    params.hostnames = [loopback()]
    params.port = 0
    params.api_keys = [order["key"]]
    params.n_parallel = order["slots"]
    params.n_ctx = order["context_tokens"] * order["slots"]
    params.n_threads_http = order["slots"] + 4
    params.embedding = order["embeds"]
    if order["embeds"]:
        params.pooling_type = MEAN_POOLING
        params.n_ubatch = params.n_batch = max(order["context_tokens"], 512)
    params.verbosity = ONLY_ERRORS
    params.warmup = False
    params.ui = False
    params.use_jinja = True
    if sampling := order.get("sampling"):
        params.sampling.temp = sampling["temperature"]
        params.sampling.top_p = sampling["top_p"]
    if order.get("threads"):
        params.cpuparams.n_threads = order["threads"]
    return Server(params)


if __name__ == "__main__":
    main()
