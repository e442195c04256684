"""RapidOCR: the text of pictures and PDFs, in processes of its own that come and go."""

from nexus_inference_adapters.kinds.rapidocr.adapter import RapidOcr, can_read

__all__ = ["RapidOcr", "can_read"]
