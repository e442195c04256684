"""Sound and pictures in the formats that people ask for: made where the bytes are, in processes of their own."""

from nexus_inference_adapters.media.decoding import UnreadableError, read_picture
from nexus_inference_adapters.media.encoding import Encoder
from nexus_inference_adapters.media.films import as_film
from nexus_inference_adapters.media.pictures import as_file

__all__ = ["Encoder", "UnreadableError", "as_file", "as_film", "read_picture"]
