"""How the command is spoken to: sections, examples, words of other tools, and what a typo was meant to be."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from types import MappingProxyType
from typing import Any

import typer
from typer import _click as click
from typer.core import TyperCommand, TyperGroup, TyperOption

from nexus_cli.examples import EXAMPLES

__all__ = [
    "ACCESS",
    "ALIASES",
    "LOOK",
    "MEANT",
    "MODELS",
    "RUN",
    "SECTIONS",
    "SETTINGS",
    "App",
    "Group",
    "Root",
]

SECTIONS = RUN, MODELS, LOOK, ACCESS, SETTINGS, REST = (
    "Run",
    "Models",
    "Look inside",
    "Access",
    "Settings",
    "Commands",
)
"""Of the help, in their order."""
NEAR = 0.55
"""Of difflib: `stats` is near `status`, `foo` is near nothing."""
WRONG_CHOICE = re.compile(r"'([^']*)' is not one of ")
ALIASES = MappingProxyType({"ls": "models", "list": "models", "ps": "status", "run": "chat"})
"""Words of other tools that do the same here; no help shows them."""
MEANT = MappingProxyType(
    {
        **dict.fromkeys(("start", "serve", "server", "launch"), "up"),
        **dict.fromkeys(("down", "kill", "quit", "exit", "halt", "shutdown"), "stop"),
        **dict.fromkeys(("ask", "prompt", "generate", "talk", "repl"), "chat"),
        **dict.fromkeys(("hear", "listen", "stt", "whisper"), "transcribe"),
        **dict.fromkeys(("read", "scan"), "ocr"),
        **dict.fromkeys(("remove", "delete", "del"), "rm"),
        **dict.fromkeys(("download", "fetch", "get", "install"), "pull"),
        **dict.fromkeys(("log", "tail"), "logs"),
        **dict.fromkeys(("check", "health", "diagnose"), "doctor"),
        **dict.fromkeys(("settings", "configure"), "config"),
        **dict.fromkeys(("why", "route"), "explain"),
        **dict.fromkeys(("watch", "stats"), "top"),
        **dict.fromkeys(("key", "apikey", "apikeys"), "keys"),
        **dict.fromkeys(("add", "attach", "connect"), "join"),
        "reload": "restart",
        "autocomplete": "completion",
        "info": "status",
    }
)
"""Words of other tools that are near no command of ours by their letters, and what does it here."""


class Command(TyperCommand):
    """A command whose help has examples, and whose unknown flags are answered with the one that was meant."""

    def get_help_option(self, ctx: click.Context) -> TyperOption | None:
        return _quick(super().get_help_option(ctx))

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        return _with_near(lambda: super(Command, self).parse_args(ctx, args))

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        _write_examples(ctx, formatter)


class Group(TyperGroup):
    """A group whose help has sections, and whose unknown commands are answered with the one that was meant."""

    aliases: Mapping[str, str] = MappingProxyType({})
    meant: Mapping[str, str] = MappingProxyType({})

    def get_help_option(self, ctx: click.Context) -> TyperOption | None:
        return _quick(super().get_help_option(ctx))

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        return _with_near(lambda: super(Group, self).parse_args(ctx, args))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = self.aliases.get(args[0], args[0])
        if self.get_command(ctx, name) is None and not name.startswith("-") and not ctx.resilient_parsing:
            guess = self._guess(name)
            ctx.fail(f"No such command {name!r}." + (f" Did you mean {guess!r}?" if guess else ""))
        return super().resolve_command(ctx, [name, *args[1:]])

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        shown = {name: command for name, command in self.commands.items() if not command.hidden}
        width = max(map(len, shown))
        there = {_section(command) for command in shown.values()}
        for section in sorted(there, key=SECTIONS.index):
            with formatter.section(section):
                formatter.write_dl(
                    [
                        (name.ljust(width), command.get_short_help_str(limit=200))
                        for name, command in shown.items()
                        if _section(command) == section
                    ]
                )

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        _write_examples(ctx, formatter)

    def _guess(self, name: str) -> str:
        word = name.lower()
        if word in self.meant:
            return self.meant[word]
        shown = [each for each, command in self.commands.items() if not command.hidden]
        near = get_close_matches(word, shown, 1, NEAR) or get_close_matches(word, self.meant, 1, NEAR)
        return self.meant.get(near[0], near[0]) if near else ""


class Root(Group):
    """`nexus` itself."""

    aliases = ALIASES
    meant = MEANT


class App(typer.Typer):
    """A table of commands in this grammar; `section` is where a command stands in the help."""

    def __init__(self, *, help: str, cls: type[Group] = Group) -> None:  # noqa: A002 - as typer names it
        super().__init__(
            cls=cls,
            help=help,
            no_args_is_help=True,
            add_completion=False,
            pretty_exceptions_enable=False,
            rich_markup_mode=None,
            context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80},
        )

    def does(
        self, name: str | None = None, *, section: str | None = None, hidden: bool = False
    ) -> Callable[[Callable[..., None]], Callable[..., None]]:
        """Makes a function a command."""
        return self.command(name, cls=Command, rich_help_panel=section, hidden=hidden)


def _quick(option: TyperOption | None) -> TyperOption | None:
    """typer loads pydantic, a third of a second, to convert what is not given; False needs no conversion."""
    if option is not None:
        option.default = False
    return option


def _with_near(parse: Callable[[], list[str]]) -> list[str]:
    try:
        return parse()
    except click.exceptions.NoSuchOption as error:
        known = error.possibilities or _flags_near(error)
        if known:
            error.message += f". Did you mean {known[0]!r}?"
            error.possibilities = None
        raise
    except click.exceptions.BadParameter as error:
        error.message = error.message.removeprefix("Value error, ")  # pydantic's, through typer
        descriptor = getattr(error.param, "type_descriptor", None)
        wrong = WRONG_CHOICE.match(error.message)
        if descriptor is not None and descriptor.choices and wrong:
            near = get_close_matches(
                wrong[1].lower(), [str(choice) for choice in descriptor.choices], 1, NEAR
            )
            error.message += f" Did you mean {near[0]!r}?" if near else ""
        raise


def _flags_near(error: click.exceptions.NoSuchOption) -> list[str]:
    """Of a flag that is too far from all for click."""
    flags = [flag for param in error.ctx.command.params for flag in param.opts] if error.ctx else []
    return get_close_matches(error.option_name, flags, 1, NEAR)


def _section(command: Any) -> str:
    section = getattr(command, "rich_help_panel", None)
    return section if isinstance(section, str) else REST


def _write_examples(ctx: click.Context, formatter: click.HelpFormatter) -> None:
    examples = EXAMPLES.get(" ".join(ctx.command_path.split()[1:]), ())
    if examples:
        with formatter.section("Examples"):
            for example in examples:
                formatter.write(f"{' ' * formatter.current_indent}{example}\n")
