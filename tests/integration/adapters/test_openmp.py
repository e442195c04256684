"""llama.cpp loads where the system has no OpenMP library: a child finds the one that another wheel carries."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from nexus_inference_adapters.kinds.embedded import openmp

LOADED = "import ctypes; ctypes.CDLL('libgomp.so.1'); print(open('/proc/self/maps').read())"

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the library is GNU's, for Linux")


def test_a_child_loads_the_library_of_the_other_wheel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openmp, "_is_here", lambda: False)
    with openmp.library_path() as found:
        place = Path(found["LD_LIBRARY_PATH"].split(":")[0])
        lent = (place / openmp.NAME).resolve()
        assert subprocess.run(
            [sys.executable, "-c", LOADED], env=found, capture_output=True, check=True, text=True
        ).stdout.count(str(lent))
    assert not place.exists()


def test_what_the_operator_says_of_libraries_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openmp, "_is_here", lambda: False)
    monkeypatch.setenv("LD_LIBRARY_PATH", "/opt/own")
    with openmp.library_path() as found:
        assert found["LD_LIBRARY_PATH"].endswith(":/opt/own")


def test_nothing_is_lent_where_the_system_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openmp, "_is_here", lambda: True)
    with openmp.library_path() as found:
        assert found == {}
