"""Lines of the log: short, whole, and without secrets."""

from __future__ import annotations

import json
import subprocess
import sys

SCRIPT = """
from nexus_mesh.core import telemetry
telemetry.setup_logging("gateway", "info")
telemetry.logger("t").info("request", outcome="ok", detail=None, resumed=None, waited=0, api_token="hush")
"""


def test_a_field_without_a_value_takes_no_bytes() -> None:
    """E9: a line for each request is what logs grow by."""
    ran = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    told = json.loads(ran.stderr)
    assert {"detail", "resumed"}.isdisjoint(told)
    assert (told["outcome"], told["waited"], told["api_token"]) == ("ok", 0, "***")


LEFT = """
import logging
from grpc import _cython
from nexus_mesh.core import telemetry
telemetry.setup_logging("adapter", "info")
for kind in (_cython.cygrpc.ExecuteBatchError, _cython.cygrpc.InternalError):
    try:
        raise kind("of the test")
    except Exception as error:
        logging.getLogger("grpc._cython.cygrpc").error("raised in core", exc_info=error)
"""


def test_whoever_leaves_in_the_middle_of_a_message_costs_no_line() -> None:
    ran = subprocess.run([sys.executable, "-c", LEFT], capture_output=True, text=True, check=True)
    (line,) = ran.stderr.splitlines()
    assert "InternalError" in line
