"""What was said so far: its items in order, as they are told, and as a chat model reads them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from nexus_mesh.core import JsonObject

from nexus_gateway.dialects.realtime.sound import PCM, Format
from nexus_gateway.dialects.realtime.wire import GivenItem, GivenPart, NewId, bad

__all__ = ["Conversation", "Item", "Part", "item_of", "messages"]

MOST_ITEMS = 2_000
MOST_CHARACTERS = 8 << 20


@dataclass(slots=True)
class Part:
    """One piece of a message's content. `transcript` None: nobody has listened to its sound yet."""

    type: str
    text: str = ""
    transcript: str | None = None
    detail: str = ""
    form: Format = PCM
    """Of the sound that was spoken."""
    spans: list[tuple[str, int]] = field(default_factory=list[tuple[str, int]])
    """Of sound that was spoken: each sentence, and how many bytes of sound it is."""

    @property
    def is_sound(self) -> bool:
        return self.type in ("input_audio", "output_audio")

    @property
    def said(self) -> str:
        """Its words."""
        return (self.transcript or "") if self.is_sound else self.text

    @property
    def wire(self) -> JsonObject:
        if self.is_sound:
            return {"type": self.type, "transcript": self.transcript}
        if self.type == "input_image":
            return {"type": self.type, "image_url": self.text, "detail": self.detail or "auto"}
        return {"type": self.type, "text": self.text}

    @property
    def spoken_ms(self) -> int:
        return self.form.milliseconds(sum(size for _, size in self.spans))

    def cut(self, end_ms: int) -> None:
        """Forgets what comes after so much of its sound: whole words, as near as the sentences tell."""
        left, kept = end_ms * self.form.bytes_per_ms, list[tuple[str, int]]()
        for text, size in self.spans:
            if size <= left:
                kept.append((text, size))
                left -= size
                continue
            near = text[: len(text) * left // size + 1]
            near = near[: near.rfind(" ") + 1]
            if near:
                kept.append((near, left))
            break
        self.spans = kept
        self.transcript = "".join(text for text, _ in kept)


@dataclass(slots=True)
class Item:
    """`role` of a message alone; `call_id` of a call and of its output; `text` a call's arguments, or its output."""

    id: str
    type: str
    role: str = ""
    status: str = "completed"
    content: list[Part] = field(default_factory=list[Part])
    call_id: str = ""
    name: str = ""
    text: str = ""

    @property
    def wire(self) -> JsonObject:
        told: JsonObject = {
            "id": self.id,
            "object": "realtime.item",
            "type": self.type,
            "status": self.status,
        }
        if self.type == "message":
            return told | {"role": self.role, "content": [part.wire for part in self.content]}
        if self.type == "function_call":
            return told | {"call_id": self.call_id, "name": self.name, "arguments": self.text}
        return told | {"call_id": self.call_id, "output": self.text}

    @property
    def size(self) -> int:
        return len(self.text) + sum(len(part.text) + len(part.transcript or "") for part in self.content)


ROLES = {
    "system": {"input_text"},
    "user": {"input_text", "input_audio", "input_image"},
    "assistant": {"output_text", "text", "output_audio"},
}


def item_of(given: GivenItem, make_id: NewId) -> tuple[Item, list[tuple[int, bytes]]]:
    """The item that a client has put together, and its sound by the index of its part. Raises INVALID_REQUEST."""
    made = Item(given.id or make_id("item"), given.type)
    if given.type == "function_call_output":
        made.call_id, made.text = _named(given.call_id, "call_id"), given.output or ""
        return made, []
    if given.type == "function_call":
        made.call_id, made.name = given.call_id or make_id("call"), _named(given.name, "name")
        made.text = given.arguments or "{}"
        return made, []
    if given.type != "message":
        raise bad(
            f"An item of the type {given.type[:64]!r} is not known here. Send message, function_call or "
            "function_call_output.",
            "item.type",
        )
    if given.role not in ROLES:
        raise bad("A message's role is system, user or assistant.", "item.role")
    made.role = given.role
    sounds: list[tuple[int, bytes]] = []
    for index, part in enumerate(given.content or ()):
        if part.type not in ROLES[given.role]:
            allowed = ", ".join(sorted(ROLES[given.role]))
            raise bad(f"A message of the {given.role} has parts of {allowed}.", f"item.content[{index}].type")
        made.content.append(_part(part, index, sounds))
    return made, sounds


def _part(given: GivenPart, index: int, sounds: list[tuple[int, bytes]]) -> Part:
    if given.type == "input_audio":
        if not given.audio:
            raise bad("A part of input_audio needs its sound in `audio`.", f"item.content[{index}].audio")
        sounds.append((index, given.audio))
        return Part(given.type)
    if given.type == "output_audio":
        return Part(given.type, transcript=given.transcript or "")
    if given.type == "input_image":
        if not (given.image_url or "").startswith("data:image/"):
            raise bad("A picture comes as a data: URL.", f"item.content[{index}].image_url")
        return Part(given.type, given.image_url or "", detail=given.detail or "")
    return Part("output_text" if given.type == "text" else given.type, given.text or "")


def _named(value: str | None, name: str) -> str:
    if not value:
        raise bad(f"Such an item needs `{name}`.", f"item.{name}")
    return value


class Conversation:
    """The items, in order."""

    def __init__(self) -> None:
        self._items: dict[str, Item] = {}
        self._order: list[str] = []
        self.size = 0
        """Characters, when an item was last added."""

    def __iter__(self) -> Iterator[Item]:
        return (self._items[each] for each in self._order)

    def get(self, item_id: str) -> Item:
        """Raises INVALID_REQUEST for one that is not there."""
        if item_id not in self._items:
            raise bad(f"The conversation has no item {item_id[:64]!r}.", "item_id", "item_not_found")
        return self._items[item_id]

    def has(self, item_id: str) -> bool:
        return item_id in self._items

    @property
    def last(self) -> str | None:
        return self._order[-1] if self._order else None

    def add(self, item: Item, after: str | None = None) -> str | None:
        """Puts it behind `after`: "root" = at the beginning, None = at the end. The id of the one before it.

        Raises INVALID_REQUEST.
        """
        if item.id in self._items:
            raise bad(f"There is an item {item.id[:64]!r} already.", "item.id")
        self.size = item.size + sum(each.size for each in self)
        if len(self._order) >= MOST_ITEMS or self.size > MOST_CHARACTERS:
            raise bad(
                "The conversation is as long as a session keeps one. Delete items with conversation.item.delete.",
                "item",
            )
        if after is None:
            at = len(self._order)
        elif after == "root":
            at = 0
        else:
            at = self._order.index(self.get(after).id) + 1
        self._order.insert(at, item.id)
        self._items[item.id] = item
        return self._order[at - 1] if at else None

    def remove(self, item_id: str) -> None:
        """Raises INVALID_REQUEST."""
        del self._items[self.get(item_id).id]
        self._order.remove(item_id)


def messages(items: Iterable[Item], instructions: str) -> list[JsonObject]:
    """A chat of them. Calls that follow each other are one message, as chat models want it."""
    made: list[JsonObject] = [{"role": "system", "content": instructions}] if instructions else []
    for item in items:
        if item.type == "function_call":
            call = {
                "id": item.call_id,
                "type": "function",
                "function": {"name": item.name, "arguments": item.text},
            }
            if made and made[-1].get("tool_calls"):
                made[-1]["tool_calls"].append(call)
            else:
                made.append({"role": "assistant", "content": None, "tool_calls": [call]})
        elif item.type == "function_call_output":
            made.append({"role": "tool", "tool_call_id": item.call_id, "content": item.text})
        elif content := _content(item):
            made.append({"role": item.role, "content": content})
    return made


def _content(item: Item) -> str | list[JsonObject]:
    if not any(part.type == "input_image" for part in item.content):
        return "\n".join(part.said for part in item.content if part.said)
    return [
        {
            "type": "image_url",
            "image_url": {"url": part.text, **({"detail": part.detail} if part.detail else {})},
        }
        if part.type == "input_image"
        else {"type": "text", "text": part.said}
        for part in item.content
        if part.type == "input_image" or part.said
    ]
