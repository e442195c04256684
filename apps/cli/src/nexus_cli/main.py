"""The `nexus` command: one table of subcommands."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from nexus_mesh.core import VERSION, addresses, guard_process

from nexus_cli import completing
from nexus_cli.command import Home, Json, failures, run
from nexus_cli.config_commands import config
from nexus_cli.grammar import SECTIONS, App, Root
from nexus_cli.identity_commands import identities
from nexus_cli.key_commands import keys
from nexus_cli.layout import Layout
from nexus_cli.output import Failure, fail, print_json
from nexus_cli.policy_commands import policy
from nexus_cli.tenant_commands import tenants

__all__ = ["app", "main"]

app = App(
    cls=Root,
    help="One OpenAI-compatible endpoint in front of the machines you own.",
)
token = App(help="Tokens that let another machine join.")
service = App(help="Start the mesh at login.")
RUN, MODELS, LOOK, ACCESS, SETTINGS, _ = SECTIONS
app.add_typer(keys, name="keys", rich_help_panel=ACCESS)
app.add_typer(tenants, name="tenants", rich_help_panel=ACCESS)
app.add_typer(service, name="service", rich_help_panel=RUN)
app.add_typer(token, name="token", rich_help_panel=ACCESS)
app.add_typer(config, name="config", rich_help_panel=SETTINGS)
app.add_typer(policy, name="policy", rich_help_panel=SETTINGS)
app.add_typer(identities, name="identities", rich_help_panel=ACCESS)


def _tell_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"nexus {VERSION}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool,
        typer.Option(
            "--version", "-V", is_eager=True, callback=_tell_version, help="Print the version and end."
        ),
    ] = False,
) -> None:
    """What may stand before the command."""


@app.does("help", section=SETTINGS)
def help_(
    command: Annotated[
        list[str] | None, typer.Argument(help="Of which command; of all if not given.")
    ] = None,
) -> None:
    """Show what a command does and takes."""
    app([*(command or []), "--help"], prog_name="nexus")


class Level(StrEnum):
    """What is logged at least."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


def host_of(listen: str) -> str:
    """The address meant by --listen."""
    return addresses.loopback() if listen == "localhost" else addresses.bare(listen)


def gguf_file(model: Path | None, *, as_json: bool) -> Path | None:
    """The model file's whole path. Refuses what a look at it shows to be no model, before anything starts."""
    from nexus_inference_adapters.gguf import read_gguf

    if model is None:
        return None
    try:
        read_gguf(model)
    except OSError as error:
        refused = Failure(f"{model} cannot be read: {error.strerror}.", "Give the path of a GGUF model.")
    except ValueError as error:
        advice = "Download or copy it again, or give the path of another GGUF model."
        refused = Failure(f"{model} cannot be served: {error}.", advice)
    else:
        return model.resolve()
    raise fail(refused, as_json=as_json)


@app.does(section=RUN)
def up(
    home: Home,
    config: Annotated[
        Path | None,
        typer.Option(envvar="NEXUS_CONFIG", help="nexus.toml to use instead of the one in the home."),
    ] = None,
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="HTTP port; 0 = any free one. [8080]")
    ] = None,
    listen: Annotated[
        str, typer.Option(help="Address to listen on. Beyond loopback, API keys are demanded.")
    ] = "localhost",
    advertise: Annotated[
        str | None, typer.Option(help="Address other machines reach this one at. [found out]")
    ] = None,
    model: Annotated[Path | None, typer.Option(help="A GGUF file to serve.")] = None,
    name: Annotated[str | None, typer.Option(help="What to call its model. [the file's name]")] = None,
    discovery: Annotated[
        bool, typer.Option(help="Look for engines: on their usual local ports, and by mDNS.")
    ] = True,
    log_level: Annotated[Level, typer.Option(help="Least level logged.")] = Level.INFO,
    detached: Annotated[
        bool, typer.Option("--detach", "-d", help="Leave it running, and come back once it is ready.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Start a whole mesh on this machine, until Ctrl-C."""
    from nexus_cli import background
    from nexus_cli.plan import Options
    from nexus_cli.up import up as start

    layout, chosen = Layout(home.resolve()), gguf_file(model, as_json=as_json)
    if detached:
        with failures(as_json=as_json):
            background.detach(layout, sys.argv[1:], as_json=as_json)
        return
    options = Options(
        home.resolve(), config, port, host_of(listen), chosen, discovery, log_level.value, name, advertise
    )
    run(start(options, sys.argv[1:], as_json=as_json), as_json=as_json)


@app.does(section=RUN)
def stop(home: Home, as_json: Json = False) -> None:
    """Stop the mesh of this machine, in order, and wait until it has ended."""
    from nexus_cli import background

    with failures(as_json=as_json):
        background.stop(Layout(home.resolve()), as_json=as_json)


@app.does(section=RUN)
def restart(home: Home, as_json: Json = False) -> None:
    """Stop it, and start it in the background as it was started last."""
    from nexus_cli import background

    with failures(as_json=as_json):
        background.restart(Layout(home.resolve()), as_json=as_json)


@app.does(section=RUN)
def join(
    home: Home,
    join_token: Annotated[
        str | None,
        typer.Argument(
            metavar="-", help="Read the token from standard input. [asked for, or standard input]"
        ),
    ] = None,
    token_file: Annotated[Path | None, typer.Option(help="Read the token from a file.")] = None,
    listen: Annotated[
        str | None, typer.Option(help="Address of this machine in the mesh. [found out]")
    ] = None,
    discovery: Annotated[
        bool, typer.Option(help="Look for engines: on their usual local ports, and by mDNS.")
    ] = True,
    model: Annotated[Path | None, typer.Option(help="A GGUF file to serve.")] = None,
    name: Annotated[str | None, typer.Option(help="What to call its model. [the file's name]")] = None,
    as_json: Json = False,
) -> None:
    """Join this machine's engines to a mesh, and serve them until Ctrl-C.

    The token of `nexus token create` is asked for; in scripts it comes by standard input or --token-file, never as an
    argument, which every user of this machine could read. A machine that has joined needs none to serve again.
    """
    from nexus_cli import join as join_command

    layout, chosen = Layout(home.resolve()), gguf_file(model, as_json=as_json)
    source = join_command.Source(join_token, token_file)
    address = None if listen is None else host_of(listen)
    run(
        join_command.join(layout, source, address, discovery, chosen, name, as_json=as_json),
        as_json=as_json,
    )


@app.does(hidden=True)
def bootstrap(
    home: Home,
    node: Annotated[str, typer.Option(help="The node every member is part of.")],
    join_dir: Annotated[Path, typer.Option(help="Where tokens go: DIR/<role>/token.")],
    etcd_dir: Annotated[Path, typer.Option(help="Where etcd's certificate goes.")],
    as_json: Json = False,
) -> None:
    """Prepare a mesh run by something else (containers): tokens, etcd's certificate. Runs on, to renew it."""
    from nexus_cli import bootstrap as bootstrap_command

    run(bootstrap_command.bootstrap(Layout(home), node, join_dir, etcd_dir), as_json=as_json)


@app.does(section=LOOK)
def status(
    home: Home,
    watched: Annotated[
        bool, typer.Option("--watch", "-w", help="Show it again every 2 seconds, until Ctrl-C.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Show every process of the mesh and whether it serves."""
    from functools import partial

    from nexus_cli import status as status_command

    if watched:
        show = partial(status_command.status, as_json=as_json)
        run(status_command.watch(Layout(home), show), as_json=as_json)
    run(status_command.status(Layout(home), as_json=as_json), as_json=as_json)


@app.does(section=LOOK)
def top(
    home: Home,
    once: Annotated[bool, typer.Option("--once", help="Show it once, and end.")] = False,
    as_json: Json = False,
) -> None:
    """Show what the backends are doing, again every 2 seconds, until Ctrl-C."""
    from functools import partial

    from nexus_cli import status as status_command

    show = partial(status_command.top, as_json=as_json)
    layout = Layout(home)
    run(show(layout) if once else status_command.watch(layout, show), as_json=as_json)


@app.does(section=LOOK)
def models(home: Home, as_json: Json = False) -> None:
    """List the models, where they run, and what they can do."""
    from nexus_cli import models as models_command

    run(models_command.models(Layout(home), as_json=as_json), as_json=as_json)


@app.does(section=LOOK)
def logs(
    home: Home,
    service: Annotated[
        str,
        typer.Argument(
            help="gateway, router, adapter, ... [all]",
            autocompletion=completing.services,
            show_default=False,
        ),
    ] = "",
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on with what comes, until Ctrl-C.")
    ] = False,
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, help="How many of the last ones.")] = 50,
    level: Annotated[Level, typer.Option(help="Least level shown.")] = Level.INFO,
    as_json: Annotated[bool, typer.Option("--json", help="Print the lines as they were logged.")] = False,
) -> None:
    """Show what the processes of this machine logged."""
    from nexus_cli import log_lines

    with failures(as_json=as_json):
        log_lines.print_logs(
            Layout(home), service, lines=lines, level=level.value, follow=follow, as_json=as_json
        )


@app.does(section=MODELS)
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


@app.does(section=MODELS)
def say(
    home: Home,
    text: Annotated[str, typer.Argument(help="What to say. [standard input]")] = "",
    output: Annotated[
        str, typer.Option("--output", "-o", help="The file; its ending says the format. - = standard output.")
    ] = "-",
    model: Annotated[
        str, typer.Option("--model", "-m", help="Who speaks.", autocompletion=completing.models)
    ] = "espeak-ng",
    voice: Annotated[str, typer.Option(help="Its voice; GET /v1/audio/voices lists them.")] = "en-us",
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


@app.does(section=MODELS)
def load(model: Model, home: Home, backend: BackendName = "", as_json: Json = False) -> None:
    """Bring a model into memory."""
    from nexus_cli import lifecycle

    run(lifecycle.do(Layout(home), "load", model, backend, as_json=as_json), as_json=as_json)


@app.does(section=MODELS)
def unload(model: Model, home: Home, backend: BackendName = "", as_json: Json = False) -> None:
    """Take a model out of memory."""
    from nexus_cli import lifecycle

    run(lifecycle.do(Layout(home), "unload", model, backend, as_json=as_json), as_json=as_json)


@app.does(section=MODELS)
def pull(
    model: Annotated[str, typer.Argument(help="The model, as the backend's library calls it.")],
    home: Home,
    backend: BackendName = "",
    as_json: Json = False,
) -> None:
    """Have a backend fetch a model."""
    from nexus_cli import lifecycle

    run(lifecycle.pull(Layout(home), model, backend, as_json=as_json), as_json=as_json)


@app.does(section=MODELS)
def rm(model: Model, home: Home, backend: BackendName = "", as_json: Json = False) -> None:
    """Delete a model's files from its backend."""
    from nexus_cli import lifecycle

    run(lifecycle.do(Layout(home), "delete", model, backend, as_json=as_json), as_json=as_json)


@app.does(section=LOOK)
def explain(
    model: Annotated[
        str, typer.Argument(help="As a client would name it.", autocompletion=completing.models)
    ],
    home: Home,
    operation: Annotated[str, typer.Option(help="chat, completion or embedding.")] = "chat",
    needs: Annotated[
        list[str] | None, typer.Option("--need", help="tools, vision, json, ... (repeatable)")
    ] = None,
    zone: Annotated[str, typer.Option(help="The privacy zone the client demands.")] = "",
    as_json: Json = False,
) -> None:
    """Tell where a request would go, and why not elsewhere."""
    from nexus_cli import explain as explain_command

    run(
        explain_command.explain(Layout(home), model, operation, needs or [], zone, as_json=as_json),
        as_json=as_json,
    )


@app.does(section=LOOK)
def doctor(
    home: Home,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show what is well, too.")] = False,
    as_json: Json = False,
) -> None:
    """Find what is wrong or will be, and say what to do."""
    from nexus_cli import doctor as doctor_command

    run(doctor_command.doctor(Layout(home), verbose=verbose, as_json=as_json), as_json=as_json)


@app.does(section=SETTINGS)
def version(as_json: Json = False) -> None:
    """Print the version."""
    if as_json:
        print_json({"version": VERSION, "python": sys.version.split()[0]})
    else:
        typer.echo(f"nexus {VERSION}")


class Shell(StrEnum):
    """What completion can be had for."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


@app.does(section=SETTINGS)
def completion(shell: Annotated[Shell, typer.Argument(help="Your shell.")]) -> None:
    """Print what makes your shell complete commands, models, backends and keys."""
    typer.echo(completing.SCRIPTS[shell.value], nl=False)


@service.does()
def install(
    home: Home,
    force: Annotated[bool, typer.Option("--force", help="Write over a file that is there.")] = False,
    as_json: Json = False,
) -> None:
    """Write what starts it at login: a systemd user unit, or launchd's file."""
    from nexus_cli import login_service

    with failures(as_json=as_json):
        login_service.install(Layout(home.resolve()), force=force, as_json=as_json)


@token.does("create")
def token_create(
    home: Home,
    node: Annotated[str, typer.Option(help="The joining machine's name in the mesh.")],
    role: Annotated[
        str, typer.Option(help="adapter: a machine with engines. client: a program that asks models.")
    ] = "adapter",
    tenant: Annotated[str, typer.Option(help="Of a client: the tenant its requests belong to.")] = "",
    name: Annotated[str, typer.Option(help="Its name on that machine.")] = "main",
    zone: Annotated[str, typer.Option(help="Its privacy zone.")] = "default",
    models: Annotated[
        str,
        typer.Option(
            help="Models it may offer (a client: ask), * and ? allowed, commas between: 'llama*,qwen*'. [any]"
        ),
    ] = "",
    priority_floor: Annotated[
        int | None,
        typer.Option(
            min=0, max=1_000_000, help="Best priority number it may claim; 0 = any.", show_default="50"
        ),
    ] = None,
    minutes: Annotated[float, typer.Option(min=1, max=1440, help="How long the token is good.")] = 10,
    as_json: Json = False,
) -> None:
    """Make a single-use token for one machine, or for one program of a tenant."""
    from nexus_cli import tokens as tokens_command

    wanted = tokens_command.Wanted(role, node, name, tenant, zone, models, priority_floor, minutes)
    run(tokens_command.create(Layout(home), wanted, as_json=as_json), as_json=as_json)


def main() -> None:
    """The console script."""
    guard_process()
    if sys.argv[1:2] == [completing.WORD]:
        completing.answer(app, sys.argv[2:])
    else:
        app()
