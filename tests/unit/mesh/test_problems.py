"""What is wrong is said in plain words, where it is, and without the value."""

from __future__ import annotations

from typing import Any, Literal, get_args

import pytest
from nexus_mesh.settings.problems import WORDS, path_of, sentences
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core.core_schema import ErrorType


class Inner(BaseModel):
    model_config = ConfigDict(extra="forbid")

    kind: Literal["a", "b"] = "a"
    share: float = Field(0.5, gt=0, le=1, allow_inf_nan=False)


class Sample(BaseModel):
    model_config = ConfigDict(extra="forbid")

    count: int = Field(1, ge=1)
    names: dict[str, str] = Field(default_factory=dict)
    rules: list[Inner] = Field(default_factory=list, max_length=2)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"count": "x"}, "count: must be a whole number"),
        ({"count": 0}, "count: must be at least 1"),
        ({"names": {"a.b": 1}}, 'names."a.b": must be text'),
        ({"names": {1: "x"}}, "names.1: must be text"),
        ({"rules": [{}, {"kind": "c"}]}, "rules.1.kind: must be one of 'a' or 'b'"),
        ({"rules": [{"share": 0}]}, "rules.0.share: must be greater than 0"),
        ({"rules": {}}, "rules: must be a list"),
        ({"rules": [{}, {}, {}]}, "rules: must have at most 2 entries"),
        ({"secret": "hush"}, "secret: is not a known setting"),
    ],
)
def test_it_says_where_and_what(given: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Sample.model_validate(given)
    assert sentences(caught.value) == [told]


def test_the_words_are_for_errors_that_exist() -> None:
    assert set(WORDS) <= {*get_args(ErrorType)}


def test_a_path_is_written_as_toml_would() -> None:
    assert path_of("routing", "aliases", 'a "b"', 3) == 'routing.aliases."a \\"b\\"".3'
