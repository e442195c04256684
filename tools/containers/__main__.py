"""`python -m tools.containers`: builds the images, runs the mesh of compose/compose.yaml, checks it, removes it."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator

import openai

from tools.containers import images, prerequisites
from tools.containers.checks import CHECKS, CheckFailed, ChecksOf
from tools.containers.mesh import ContainerMesh, running_mesh
from tools.containers.podman import CommandFailed, Podman, configured

Result = tuple[bool, str, str]


def main() -> int:
    arguments = argparse.ArgumentParser(prog="make e2e-containers", description=__doc__)
    arguments.add_argument("--no-build", action="store_true", help="use the images of the last run")
    build = not arguments.parse_args().no_build
    missing = prerequisites.missing()
    if missing:
        print("The containers cannot be checked here:", *missing, sep="\n  ")
        return 2
    with configured() as podman:
        try:
            results = list(_results(podman, build=build))
        except CommandFailed as failure:
            print(failure)
            return 1
    failed = sum(not passed for passed, _, _ in results)
    print(f"\n{len(results) - failed} passed, {failed} failed")
    return 1 if failed else 0


def _results(podman: Podman, *, build: bool) -> Iterator[Result]:
    base = images.base(podman)
    etcd = images.etcd(podman, base)
    with running_mesh(podman, base, etcd, build=build) as mesh:
        for check in CHECKS:
            yield from _run(check, mesh)
    yield _report(not mesh.remains(), "nothing is left", ", ".join(mesh.remains()) or "all removed")


def _run(check: ChecksOf, mesh: ContainerMesh) -> Iterator[Result]:
    """The outcomes of one function's checks; what it could not get to is a failure of its own."""
    try:
        for name, detail in check(mesh):
            yield _report(True, name, detail)
    except (CheckFailed, CommandFailed, openai.OpenAIError) as failure:
        yield _report(False, (check.__doc__ or check.__name__).rstrip("."), str(failure))
        print(mesh.logs(errors_only=True))


def _report(passed: bool, name: str, detail: str) -> Result:
    print(f"{'ok  ' if passed else 'FAIL'}  {name:<44}  {detail}", flush=True)
    return passed, name, detail


if __name__ == "__main__":
    sys.exit(main())
