"""structlog without rich: it loads rich where it finds it, for a console renderer that no service uses.

That would cost every process 6 MB and a tenth of a second of its start.
"""

from __future__ import annotations

import sys

__all__ = ["structlog"]

_hidden = "rich" not in sys.modules
if _hidden:
    sys.modules["rich"] = None  # type: ignore[assignment] - makes `import rich` fail as if it were not installed
try:
    import structlog
finally:
    if _hidden:
        del sys.modules["rich"]
