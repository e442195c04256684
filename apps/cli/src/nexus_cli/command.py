"""What every subcommand shares: the options they all have, and one way to run and to fail."""

from __future__ import annotations

import errno
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from nexus_mesh.core import ConfigError, MeshError, default_home

from nexus_cli.output import CONFIG_EXIT, Failure, fail

__all__ = ["Demanded", "Home", "Json", "Level", "demanded", "failures", "run"]

Home = Annotated[
    Path, typer.Option("--home", default_factory=default_home, help="Data directory.", show_default=False)
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Demanded = Annotated[
    str | None, typer.Option("--zone", help="The privacy zone its requests must stay in; open = none.")
]


class Level(StrEnum):
    """What is logged at least."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


ADVICE = {
    errno.ENOSPC: "The disk is full: make room on it, or choose another data directory with --home DIR or NEXUS_HOME.",
    errno.EDQUOT: "Your share of the disk is used up: make room, or choose another data directory with --home DIR.",
    errno.EROFS: "That disk can only be read: choose another data directory with --home DIR or NEXUS_HOME.",
    errno.EACCES: "It belongs to somebody else: see to its owner and mode, or choose another one with --home DIR.",
    errno.EPERM: "It belongs to somebody else: see to its owner and mode, or choose another one with --home DIR.",
    errno.EMFILE: "Too many files are open: raise the limit with `ulimit -n`.",
}


def run(coroutine: Coroutine[Any, Any, None], *, as_json: bool) -> None:
    """Runs a command; every failure becomes one message, a hint and exit code 1, or 2 for what the user set."""
    import asyncio

    with failures(as_json=as_json):
        asyncio.run(coroutine)


@contextmanager
def failures(*, as_json: bool) -> Iterator[None]:
    """The same for what is no coroutine."""
    try:
        yield
    except Failure as failure:
        raise fail(failure, as_json=as_json) from None
    except MeshError as error:
        hint = "Is the mesh running? `nexus status` tells." if error.metadata.get("transport") else ""
        raise fail(Failure(error.message, hint), as_json=as_json) from None
    except ConfigError as error:
        failure = Failure("The settings do not hold.", "\n".join(error.problems), code=CONFIG_EXIT)
        raise fail(failure, as_json=as_json) from None
    except OSError as error:
        raise fail(_of_the_system(error), as_json=as_json) from None
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


def _of_the_system(error: OSError) -> Failure:
    """What a disk or a network did not do for us, and what its owner can do about that."""
    where = f"{error.filename}: " if error.filename else ""
    advice = ADVICE.get(error.errno or 0, "See to it, and try again.")
    return Failure(f"{where}{error.strerror or type(error).__name__}.", advice)


def demanded(zone: str | None) -> str | None:
    """As the vault takes it: empty for none, None for nothing said."""
    return "" if zone == "open" else zone
