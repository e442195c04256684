"""What the nodes of a server take, as its object_info tells: choices, bounds, and which inputs there must be."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Self

from nexus_inference_adapters.contract import Http, Json, JsonObject

__all__ = ["Nodes"]

NUMBERS = {"INT": "integer", "FLOAT": "number"}
PLAIN = {"STRING": "string", "BOOLEAN": "boolean"}
MOST_TEXT = 32_000


class Nodes:
    """By class. Takes whatever a server says: what makes no sense is as if it had not been said."""

    def __init__(self, told: JsonObject) -> None:
        self._told = {name: one for name, one in told.items() if isinstance(one, dict)}

    @classmethod
    async def of(cls, http: Http, classes: Iterable[str]) -> Self:
        """Asks for these alone: of all there are, some servers have too many to be asked every minute."""
        told: JsonObject = {}
        for name in sorted(classes):
            seen = await http.look("GET", f"/object_info/{name}")
            if isinstance(seen.body, dict):
                told |= seen.body
        return cls(told)

    def __contains__(self, name: str) -> bool:
        return name in self._told

    def has(self, name: str, parameter: str) -> bool:
        return self._spec(name, parameter) is not None

    def required(self, name: str) -> set[str]:
        """Inputs without which it does not run."""
        return set(self._inputs(name, "required"))

    def choices(self, name: str, parameter: str) -> list[Json] | None:
        """What there is for an input; None where it is no matter of choosing. Newer servers tell it another way."""
        spec = self._spec(name, parameter) or [None]
        if isinstance(spec[0], list):
            return spec[0]
        options = self._options(spec).get("options")
        return options if spec[0] == "COMBO" and isinstance(options, list) else None

    def bounds(self, name: str, parameter: str) -> tuple[int, int, int]:
        """The least, the most and the step of a number of pixels."""
        told = self._options(self._spec(name, parameter) or [])
        low, high, step = (told.get(key) for key in ("min", "max", "step"))
        return (
            low if isinstance(low, int) else 1,
            high if isinstance(high, int) else 2**16,
            step if isinstance(step, int) and step > 0 else 1,
        )

    def schema(self, name: str, parameter: str, usual: Json) -> JsonObject | None:
        """What an input takes, as JSON Schema; None where there is nothing to choose. `usual`: what it is without."""
        spec = self._spec(name, parameter) or [None]
        told = self._options(spec)
        choices = self.choices(name, parameter)
        rule: JsonObject
        if choices is not None:
            if not choices:
                return None
            rule = {"enum": choices}
        elif spec[0] in NUMBERS:
            rule = {"type": NUMBERS[spec[0]]}
            for key, ours in (("min", "minimum"), ("max", "maximum")):
                if isinstance(told.get(key), int | float):
                    rule[ours] = told[key]
        else:
            rule = {"type": PLAIN.get(str(spec[0]), "string")}
            if rule["type"] == "string":
                rule["maxLength"] = MOST_TEXT
        if usual != "" and (choices is None or usual in choices):
            rule["default"] = usual
        if isinstance(told.get("tooltip"), str):
            rule["description"] = told["tooltip"]
        return rule

    def _spec(self, name: str, parameter: str) -> list[Json] | None:
        for part in ("required", "optional"):
            spec = self._inputs(name, part).get(parameter)
            if isinstance(spec, list) and spec:
                return spec
        return None

    def _inputs(self, name: str, part: str) -> JsonObject:
        told = self._told.get(name, {}).get("input")
        inputs = told.get(part) if isinstance(told, dict) else None
        return inputs if isinstance(inputs, dict) else {}

    @staticmethod
    def _options(spec: list[Json]) -> JsonObject:
        return spec[1] if len(spec) > 1 and isinstance(spec[1], dict) else {}
