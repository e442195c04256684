"""This suite works with real servers."""

import pytest
from support.parts import load


def pytest_configure(config: pytest.Config) -> None:
    load(config)
