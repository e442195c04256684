"""Runs llama.cpp's own HTTP server until it is killed: `llama_cpp_child.py MODEL PORT OPTIONS_JSON`."""

from __future__ import annotations

import json
import sys
import threading

from xllamacpp.xllamacpp import CommonParams, Server


def main(model: str, port: str, options: str) -> None:
    params = CommonParams()
    params.model.path = model
    params.hostnames = ["127.0.0.1"]
    params.port = int(port)
    params.cpuparams.n_threads = 1
    params.n_threads_http = 8
    params.warmup = False
    for name, value in json.loads(options).items():
        setattr(params, name, value)
    server = Server(params)
    sys.stdout.write(f"listening on {server.listening_address}\n")
    threading.Event().wait()


if __name__ == "__main__":
    main(*sys.argv[1:])
