"""What stands at the gateway's doors is typed: a slip in a new endpoint is found before it runs."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

GATEWAY = Path(__file__).parents[2] / "services/gateway/src/nexus_gateway"
CALLED = frozenset({"__init__", "__call__"})
Function = ast.FunctionDef | ast.AsyncFunctionDef


def test_no_public_signature_of_the_gateway_says_any() -> None:
    found = [
        f"{file.relative_to(GATEWAY)}:{function.lineno} {function.name}"
        for file in sorted(GATEWAY.rglob("*.py"))
        for function in public_functions(ast.parse(file.read_text()))
        if any(says_any(annotation) for annotation in hints(function))
    ]
    assert not found


def public_functions(scope: ast.AST) -> Iterator[Function]:
    """Those of a module and of its public classes; what is inside a function is its own."""
    for node in ast.iter_child_nodes(scope):
        if isinstance(node, Function):
            if not node.name.startswith("_") or node.name in CALLED:
                yield node
        elif isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield from public_functions(node)


def hints(function: Function) -> Iterator[ast.expr]:
    given = function.args
    every = (*given.posonlyargs, *given.args, *given.kwonlyargs, given.vararg, given.kwarg)
    yield from (one.annotation for one in every if one is not None and one.annotation is not None)
    if function.returns is not None:
        yield function.returns


def says_any(annotation: ast.expr) -> bool:
    return any(isinstance(node, ast.Name) and node.id == "Any" for node in ast.walk(annotation))


def test_the_walk_over_signatures_finds_one() -> None:
    planted = ast.parse("class Door:\n    async def enter(self, who: dict[str, Any] | None) -> int: ...")
    (function,) = public_functions(planted)
    assert any(says_any(annotation) for annotation in hints(function))
