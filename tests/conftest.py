"""What every suite has. The fixtures that start servers come with the suites that use them: support/parts.py."""

import signal

pytest_plugins = ["faults.options", "support.alone", "support.attacks"]

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell gives that to what it runs in the background; children inherit it, and Ctrl-C would never end them.
    signal.signal(signal.SIGINT, signal.default_int_handler)
