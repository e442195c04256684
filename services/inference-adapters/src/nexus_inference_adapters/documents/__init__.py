"""Documents of strangers as pages: opened in processes that can do nothing else, and what is read of them."""

from nexus_inference_adapters.documents.answers import Line, Page, Reading
from nexus_inference_adapters.documents.layout import markdown_of, page_of, text_of
from nexus_inference_adapters.documents.pages import MOST_BYTES, Documents, Look, Sheet

__all__ = [
    "MOST_BYTES",
    "Documents",
    "Line",
    "Look",
    "Page",
    "Reading",
    "Sheet",
    "markdown_of",
    "page_of",
    "text_of",
]
