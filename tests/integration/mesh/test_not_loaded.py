"""What a process does not use, it does not carry."""

from __future__ import annotations

import subprocess
import sys


def test_zeroconf_is_not_loaded_before_it_is_used() -> None:
    """It costs each process some 4 MiB."""
    services = "nexus_inference_adapters.app, nexus_gateway.app"
    look = f"import sys, {services}; print([name for name in ('zeroconf', 'ifaddr') if name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", look], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "[]"


def test_a_gateway_that_scrubs_nothing_does_not_carry_the_libraries() -> None:
    code = "import nexus_gateway.app, sys; print(sorted({'phonenumbers', 'stdnum'} & sys.modules.keys()))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"
