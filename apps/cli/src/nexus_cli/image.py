"""`nexus image`: a prompt, painted into a file, or into a picture that there is."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from nexus_client import Client, Options, Picture, Progress
from nexus_operations import PICTURES

from nexus_cli.chat import Wanted, key_of, url_of
from nexus_cli.layout import Layout
from nexus_cli.output import Failure, console, on_terminal, print_json
from nexus_cli.say import STANDARD, opened

__all__ = ["Painting", "image"]


@dataclass(frozen=True, slots=True)
class Painting:
    """What to paint, and into what. `form` empty = by the file's ending; `seed` None = by chance.

    `pictures`: those it is to be made of; `mask`: what changes of them.
    """

    prompt: str
    output: str
    model: str
    size: str = "auto"
    seed: int | None = None
    form: str = ""
    url: str = ""
    key_file: Path | None = None
    zone: str = ""
    pictures: tuple[Path, ...] = ()
    mask: Path | None = None


def image(layout: Layout, painting: Painting, *, as_json: bool) -> None:
    """Writes the picture. Raises Failure, MeshError; a file that is there is whole."""
    form = _format(painting)
    if not painting.prompt.strip():
        raise Failure("There is nothing to paint.", 'Say what: nexus image "a red circle" -o out.png')
    if painting.mask is not None and not painting.pictures:
        raise Failure("A mask says what changes of a picture, and there is none.", "Give it with -i in.png.")
    pictures = [_read(file) for file in painting.pictures]
    mask = None if painting.mask is None else _read(painting.mask)
    key = key_of(Wanted(key_file=painting.key_file), os.environ.get("NEXUS_KEY", ""))
    asked: dict[str, object] = {"output_format": form, "size": painting.size}
    if painting.seed is not None:
        asked["seed"] = painting.seed
    made, options = Picture(b"", ""), Options(zone=painting.zone, parameters=asked)
    with (
        opened(painting.output, "picture") as file,
        Client.by_key(painting.url or url_of(layout), key) as client,
        client.draw(painting.model, painting.prompt, options, pictures=pictures, mask=mask) as steps,
        _shown() as show,
    ):
        for step in steps:
            if isinstance(step, Progress):
                show(f"{step.done} of {step.total} steps")
            else:
                made = step
        file.write(made.data)
    if painting.output == STANDARD:
        return
    told = {"file": painting.output, "bytes": len(made.data), "size": made.size, "seed": made.seed}
    if as_json:
        print_json({**told, "format": form})
    else:
        again = "" if made.seed is None else f"; --seed {made.seed} paints it again"
        console.print(f"{painting.output}: {len(made.data):,} bytes of {form}, {made.size}{again}")


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise Failure(
            f"{file} cannot be read: {error.strerror}.", "Give a picture: png, jpeg or webp."
        ) from None


def _format(painting: Painting) -> str:
    form = painting.form or (
        "png" if painting.output == STANDARD else Path(painting.output).suffix[1:].lower()
    )
    form = {"jpg": "jpeg"}.get(form, form)
    if form not in PICTURES:
        known = ", ".join(PICTURES)
        raise Failure(f"The format {form or 'of a file without an ending'!r} is none.", f"There are {known}.")
    return form


@contextlib.contextmanager
def _shown() -> Iterator[Callable[[str], None]]:
    """Says how far it is, on a terminal."""
    if not on_terminal():
        yield lambda _: None
        return
    with console.status("Waiting for the first step") as status:
        yield status.update
