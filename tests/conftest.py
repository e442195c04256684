"""What every suite has. The fixtures that start servers come with the suites that use them: support/parts.py."""

pytest_plugins = ["faults.options", "support.alone", "support.attacks"]
