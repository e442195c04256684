"""What is done with models: `chat`, `say`, `transcribe`, `ocr`, `image`, `video`, `load`, `unload`, `pull`, `rm`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nexus_cli import completing
from nexus_cli.command import Home, Json, failures, run
from nexus_cli.grammar import MODELS, App
from nexus_cli.layout import Layout

__all__ = ["modelling"]

modelling = App(help="Use models.")


@modelling.does(section=MODELS)
def chat(
    home: Home,
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[MODEL] [PROMPT]",
            help="A first word alone is the model. Standard input is added to the prompt.",
            autocompletion=completing.models,
        ),
    ] = None,
    model: Annotated[
        str,
        typer.Option(
            "--model", "-m", help="Whom to ask. [the first there is]", autocompletion=completing.models
        ),
    ] = "",
    system: Annotated[str, typer.Option("--system", "-s", help="What it is told first.")] = "",
    url: Annotated[str, typer.Option(help="Another endpoint: http://HOST:PORT.")] = "",
    key_file: Annotated[
        Path | None,
        typer.Option(help="A file with the key, where one is needed. [or the variable NEXUS_KEY]"),
    ] = None,
    zone: Annotated[str, typer.Option(help="The privacy zone the answer must come from.")] = "",
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Tell who answered, and why.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the whole answer, as OpenAI has it.")
    ] = False,
) -> None:
    """Talk to a model: one question, or a conversation until Ctrl-D."""
    import os

    from nexus_cli import chat as chat_command

    wanted = chat_command.Wanted(words or (), model, system, url, key_file, zone, verbose)
    with failures(as_json=as_json):
        key = chat_command.key_of(wanted, os.environ.get("NEXUS_KEY", ""))
        chat_command.chat(Layout(home), wanted, key, as_json=as_json)


@modelling.does(section=MODELS)
def say(
    home: Home,
    text: Annotated[str, typer.Argument(help="What to say. [standard input]")] = "",
    output: Annotated[
        str, typer.Option("--output", "-o", help="The file; its ending says the format. - = standard output.")
    ] = "-",
    model: Annotated[
        str,
        typer.Option(
            "--model", "-m", help="Who speaks. [whoever has the voice]", autocompletion=completing.models
        ),
    ] = "",
    voice: Annotated[
        str, typer.Option("--voice", "-v", help="In which voice; GET /v1/audio/voices lists them.")
    ] = "en-us",
    form: Annotated[str, typer.Option("--format", help="wav, mp3, opus, aac, flac or pcm.")] = "",
    speed: Annotated[float, typer.Option(help="1 = as fast as usual.")] = 1.0,
    url: Annotated[str, typer.Option(help="Another endpoint: http://HOST:PORT.")] = "",
    key_file: Annotated[
        Path | None,
        typer.Option(help="A file with the key, where one is needed. [or the variable NEXUS_KEY]"),
    ] = None,
    zone: Annotated[str, typer.Option(help="The privacy zone the sound must come from.")] = "",
    as_json: Json = False,
) -> None:
    """Speak a text into a file."""
    from nexus_cli import say as say_command

    speech = say_command.Speech(text, output, model, voice, form, speed, url, key_file, zone)
    with failures(as_json=as_json):
        say_command.say(Layout(home), speech, as_json=as_json)


@modelling.does(section=MODELS)
def transcribe(
    file: Annotated[Path, typer.Argument(help="A recording: wav, mp3, m4a, flac, ogg, webm and their like.")],
    home: Home,
    model: Annotated[
        str,
        typer.Option("--model", "-m", help="Which. [the first that hears]", autocompletion=completing.models),
    ] = "",
    language: Annotated[
        str, typer.Option("--language", "-l", help="Its language. [what it sounds like]")
    ] = "",
    form: Annotated[
        str, typer.Option("--format", help="text, json, verbose_json, srt or vtt.", metavar="FORMAT")
    ] = "text",
    translate: Annotated[bool, typer.Option("--translate", help="Into English.")] = False,
    url: Annotated[str, typer.Option(help="Another endpoint: http://HOST:PORT.")] = "",
    key_file: Annotated[
        Path | None,
        typer.Option(help="A file with the key, where one is needed. [or the variable NEXUS_KEY]"),
    ] = None,
) -> None:
    """Write down what is said in a recording."""
    import os

    from nexus_cli import chat as chat_command
    from nexus_cli import transcribe as transcribe_command

    asked = transcribe_command.Recording(
        file, model, language, form, url.rstrip("/").removesuffix("/v1"), translate
    )
    with failures(as_json=False):
        key = chat_command.key_of(chat_command.Wanted(key_file=key_file), os.environ.get("NEXUS_KEY", ""))
    run(transcribe_command.transcribe(Layout(home), asked, key), as_json=False)


@modelling.does(section=MODELS)
def ocr(
    file: Annotated[Path, typer.Argument(help="A picture (PNG, JPEG, WebP, TIFF) or a PDF.")],
    home: Home,
    model: Annotated[
        str,
        typer.Option("--model", "-m", help="Which. [the first that reads]", autocompletion=completing.models),
    ] = "",
    pages: Annotated[str, typer.Option(help="From 1, as 1-3,5. [all]")] = "",
    scan: Annotated[
        bool, typer.Option("--scan", help="Read what is seen, whatever text a PDF has of its own.")
    ] = False,
    url: Annotated[str, typer.Option(help="Another endpoint: http://HOST:PORT.")] = "",
    key_file: Annotated[
        Path | None,
        typer.Option(help="A file with the key, where one is needed. [or the variable NEXUS_KEY]"),
    ] = None,
    zone: Annotated[str, typer.Option(help="The privacy zone it must be read in.")] = "",
    as_json: Json = False,
) -> None:
    """Read the text of a picture or PDF."""
    import os

    from nexus_cli import chat as chat_command
    from nexus_cli import ocr as ocr_command

    asked = ocr_command.Paper(file, model, pages, zone, url.rstrip("/").removesuffix("/v1"), not scan)
    with failures(as_json=as_json):
        key = chat_command.key_of(chat_command.Wanted(key_file=key_file), os.environ.get("NEXUS_KEY", ""))
    run(ocr_command.read(Layout(home), asked, key, as_json=as_json), as_json=as_json)


@modelling.does(section=MODELS)
def image(
    home: Home,
    prompt: Annotated[str, typer.Argument(help="What to paint.")],
    output: Annotated[
        str, typer.Option("--output", "-o", help="The file; its ending says the format. - = standard output.")
    ] = "-",
    model: Annotated[
        str, typer.Option("--model", "-m", help="Who paints.", autocompletion=completing.models)
    ] = "nexus-painter",
    size: Annotated[str, typer.Option(help="As 256x256. [the model's own]")] = "auto",
    seed: Annotated[
        int | None, typer.Option(min=0, help="The same one paints the same again. [by chance]")
    ] = None,
    pictures: Annotated[
        list[Path] | None, typer.Option("--image", "-i", help="A picture to change.", metavar="FILE")
    ] = None,
    mask: Annotated[
        Path | None,
        typer.Option(help="Of its size; only where this is transparent it changes.", metavar="FILE"),
    ] = None,
    form: Annotated[str, typer.Option("--format", help="png, jpeg or webp.")] = "",
    url: Annotated[str, typer.Option(help="Another endpoint: http://HOST:PORT.")] = "",
    key_file: Annotated[
        Path | None,
        typer.Option(help="A file with the key, where one is needed. [or the variable NEXUS_KEY]"),
    ] = None,
    zone: Annotated[str, typer.Option(help="The privacy zone the picture must come from.")] = "",
    as_json: Json = False,
) -> None:
    """Paint a picture into a file, or change one."""
    from nexus_cli import image as image_command

    painting = image_command.Painting(
        prompt, output, model, size, seed, form, url, key_file, zone, tuple(pictures or ()), mask
    )
    with failures(as_json=as_json):
        image_command.image(Layout(home), painting, as_json=as_json)


@modelling.does(section=MODELS)
def video(
    home: Home,
    prompt: Annotated[str, typer.Argument(help="What to show.")],
    output: Annotated[
        str, typer.Option("--output", "-o", help="The file, an MP4. - = standard output.")
    ] = "-",
    model: Annotated[
        str, typer.Option("--model", "-m", help="Who makes it.", autocompletion=completing.models)
    ] = "nexus-painter",
    size: Annotated[str, typer.Option(help="As 256x256. [the model's own]")] = "",
    seconds: Annotated[str, typer.Option(help="How long. [the model's own]")] = "",
    seed: Annotated[
        int | None, typer.Option(min=0, help="The same one makes the same again. [by chance]")
    ] = None,
    url: Annotated[str, typer.Option(help="Another endpoint: http://HOST:PORT.")] = "",
    key_file: Annotated[
        Path | None,
        typer.Option(help="A file with the key, where one is needed. [or the variable NEXUS_KEY]"),
    ] = None,
    zone: Annotated[str, typer.Option(help="The privacy zone the video must come from.")] = "",
    as_json: Json = False,
) -> None:
    """Have a video made into a file; the mesh needs a store."""
    import os

    from nexus_cli import chat as chat_command
    from nexus_cli import video as video_command

    filming = video_command.Filming(prompt, output, model, size, seconds, seed, url, zone)
    with failures(as_json=as_json):
        key = chat_command.key_of(chat_command.Wanted(key_file=key_file), os.environ.get("NEXUS_KEY", ""))
    run(video_command.video(Layout(home), filming, key, as_json=as_json), as_json=as_json)


Model = Annotated[
    str, typer.Argument(help="The model, as `nexus models` lists it.", autocompletion=completing.models)
]
BackendName = Annotated[
    str,
    typer.Option(
        "--backend",
        help="Which backend, where several come into question.",
        autocompletion=completing.backends,
    ),
]


@modelling.does(section=MODELS)
def load(model: Model, home: Home, backend: BackendName = "", as_json: Json = False) -> None:
    """Bring a model into memory."""
    from nexus_cli import lifecycle

    run(lifecycle.do(Layout(home), "load", model, backend, as_json=as_json), as_json=as_json)


@modelling.does(section=MODELS)
def unload(model: Model, home: Home, backend: BackendName = "", as_json: Json = False) -> None:
    """Take a model out of memory."""
    from nexus_cli import lifecycle

    run(lifecycle.do(Layout(home), "unload", model, backend, as_json=as_json), as_json=as_json)


@modelling.does(section=MODELS)
def pull(
    model: Annotated[str, typer.Argument(help="The model, as the backend's library calls it.")],
    home: Home,
    backend: BackendName = "",
    as_json: Json = False,
) -> None:
    """Have a backend fetch a model."""
    from nexus_cli import lifecycle

    run(lifecycle.pull(Layout(home), model, backend, as_json=as_json), as_json=as_json)


@modelling.does(section=MODELS)
def rm(model: Model, home: Home, backend: BackendName = "", as_json: Json = False) -> None:
    """Delete a model's files from its backend."""
    from nexus_cli import lifecycle

    run(lifecycle.do(Layout(home), "delete", model, backend, as_json=as_json), as_json=as_json)
