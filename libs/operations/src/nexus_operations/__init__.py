"""The kinds of work: what each is called, where it goes, what there is to read in it and what comes of it."""

from nexus_operations.counting import SAMPLED, sample, tokens_of
from nexus_operations.prompts import is_text, prompts_in
from nexus_operations.spec import Body, Form, IncompleteError, Prompt, Shape, Spec, Times, Unit, complete
from nexus_operations.table import (
    ANSWER_BEGINS,
    AUDIO,
    PER_MEDIUM,
    PER_MESSAGE,
    PICTURES,
    SPECS,
    Operation,
    Size,
    affinity,
    estimate,
    measure,
    spec_of,
)
from nexus_operations.uploads import ENOUGH, LARGEST_CHUNK, UploadError, UploadOrder

__all__ = [
    "ANSWER_BEGINS",
    "AUDIO",
    "ENOUGH",
    "LARGEST_CHUNK",
    "PER_MEDIUM",
    "PER_MESSAGE",
    "PICTURES",
    "SAMPLED",
    "SPECS",
    "Body",
    "Form",
    "IncompleteError",
    "Operation",
    "Prompt",
    "Shape",
    "Size",
    "Spec",
    "Times",
    "Unit",
    "UploadError",
    "UploadOrder",
    "affinity",
    "complete",
    "estimate",
    "is_text",
    "measure",
    "prompts_in",
    "sample",
    "spec_of",
    "tokens_of",
]
