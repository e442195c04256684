"""A4: an override overrides."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from nexus_mesh.rpc.channels import merged

ROOT = Path(__file__).parents[3]


def test_the_later_of_two_equal_options_is_the_one_that_counts() -> None:
    """A4: and there is only one of each name, whichever of two gRPC would take."""
    got = merged((("a", 1), ("b", 2)), [("a", 3)], (("c", 4), ("c", 5)))
    assert got == (("a", 3), ("b", 2), ("c", 5))


def _options_given() -> list[tuple[str, int, str]]:
    """Every `options=` (or third argument) of a channel or server made in our sources: file, line, code."""
    found = []
    for path in [path for top in ("apps", "libs", "services") for path in ROOT.glob(f"{top}/*/src/**/*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func).startswith("grpc.aio."):
                given = [each.value for each in node.keywords if each.arg == "options"]
                if isinstance(node.func, ast.Attribute) and node.func.attr == "secure_channel":
                    given += node.args[2:3]
                found += [(path.name, node.lineno, ast.unparse(each)) for each in given]
    return found


@pytest.mark.security
def test_options_are_put_together_in_one_place_only() -> None:
    """A4: no channel or server glues tuples of options together by itself."""
    given = _options_given()
    assert len(given) >= 2, given  # two kinds of servers; channels take theirs from one function
    glued = [each for each in given if "+" in each[2] or each[2].startswith(("(*", "[*"))]
    assert glued == []
