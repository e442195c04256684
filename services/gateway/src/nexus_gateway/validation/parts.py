"""What a message may have beside its role and a text: parts of other kinds, a name, calls of tools."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nexus.types.v1 import model_pb2
from nexus_mesh.core import JsonObject

from nexus_gateway.validation.images import clean_image_url
from nexus_gateway.validation.params import array, mapping, one_of, string, text
from nexus_gateway.validation.refusals import bad_value, missing, unsupported, wrong_type

__all__ = ["PARTS", "check_content", "check_rest"]

_MAY_LACK_CONTENT = frozenset({"assistant", "function"})
_name = string(256)
_call_id = string(65_536)  # some gateways hide a model's signed thoughts in it
_audio_format = one_of("wav", "mp3")
_OF_IMAGE = frozenset({"url", "detail"})
_OF_AUDIO = frozenset({"data", "format"})


def check_content(message: JsonObject, path: str, needs: dict[int, str]) -> None:
    content = message.get("content")
    if content is None:
        if message["role"] in _MAY_LACK_CONTENT:
            return
        raise missing(path) if "content" not in message else wrong_type(path, "a string or an array", content)
    if type(content) is not list:
        raise wrong_type(path, "a string or an array", content)
    for index, part in enumerate(content):
        _check_part(part, f"{path}[{index}]", needs)


def _check_part(part: object, path: str, needs: dict[int, str]) -> None:
    part = mapping(part, path)
    kind = part.get("type")
    if kind is None:
        raise missing(f"{path}.type")
    check = PARTS.get(kind) if type(kind) is str else None
    if check is None:
        raise bad_value(f"{path}.type", f"be one of {', '.join(PARTS)}")
    if kind not in part:
        raise missing(f"{path}.{kind}")
    if kind == "image_url" and type(part[kind]) is str:
        part[kind] = {"url": part[kind]}
    check(part[kind], f"{path}.{kind}", needs)
    if (
        len(part) > 2
    ):  # what an engine makes of more was looked at by nobody: an address, the name of another's image
        for name in part.keys() - {"type", kind}:
            del part[name]


def _text_part(value: object, path: str, _: dict[int, str]) -> None:
    text(value, path)


def _image_part(value: object, path: str, needs: dict[int, str]) -> None:
    value = mapping(value, path)
    if "url" not in value:
        raise missing(f"{path}.url")
    text(value["url"], f"{path}.url")
    value["url"] = clean_image_url(value["url"], f"{path}.url")
    for name in value.keys() - _OF_IMAGE:
        del value[name]
    needs[model_pb2.CAPABILITY_VISION] = "messages"


def _audio_part(value: object, path: str, needs: dict[int, str]) -> None:
    value = mapping(value, path)
    for name in ("data", "format"):
        if name not in value:
            raise missing(f"{path}.{name}")
    text(value["data"], f"{path}.data")
    _audio_format(value["format"], f"{path}.format")
    for name in value.keys() - _OF_AUDIO:
        del value[name]
    needs[model_pb2.CAPABILITY_AUDIO] = "messages"


def _file_part(_: Any, path: str, __: dict[int, str]) -> None:
    raise unsupported(path, "no backend of the mesh reads files. Send their text, or pages as images.")


PARTS: dict[str, Callable[[Any, str, dict[int, str]], None]] = {
    "text": _text_part,
    "refusal": _text_part,
    "image_url": _image_part,
    "input_audio": _audio_part,
    "file": _file_part,
}


def check_rest(message: JsonObject, path: str) -> None:
    if message.get("name") is not None:
        _name(message["name"], f"{path}.name")
    if message.get("tool_call_id") is not None:
        _call_id(message["tool_call_id"], f"{path}.tool_call_id")
    if message.get("tool_calls") is not None:
        _check_tool_calls(message["tool_calls"], f"{path}.tool_calls")


def _check_tool_calls(calls: object, path: str) -> None:
    calls = array(calls, path)
    for index, call in enumerate(calls):
        here = f"{path}[{index}]"
        mapping(call, here)
        if call.get("type", "function") != "function":
            continue
        if "function" not in call:
            raise missing(f"{here}.function")
        function = call["function"]
        function = mapping(function, f"{here}.function")
        for name in ("name", "arguments"):
            if name not in function:
                raise missing(f"{here}.function.{name}")
            text(function[name], f"{here}.function.{name}")
