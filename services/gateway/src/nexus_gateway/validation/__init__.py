"""What a request may say: types, limits, spellings, and who may send what."""

from nexus_gateway.validation.documents import take_document
from nexus_gateway.validation.fields import shape_of_form, value_of_field
from nexus_gateway.validation.images import IMAGES, image_type, inlined
from nexus_gateway.validation.offered import Backing, Offer, offered
from nexus_gateway.validation.parse import CHECKS, check_request, decode_object, decoding, granted
from nexus_gateway.validation.priority import check_priority
from nexus_gateway.validation.references import InBody, reference_shape, take_references
from nexus_gateway.validation.refusals import REQUEST_CODES, RequestCode, invalid
from nexus_gateway.validation.shapes import body_shape, engine_shape
from nexus_gateway.validation.videos import REMIXED, defaults_of, with_defaults
from nexus_gateway.validation.zone import check_zone

__all__ = [
    "CHECKS",
    "IMAGES",
    "REMIXED",
    "REQUEST_CODES",
    "Backing",
    "InBody",
    "Offer",
    "RequestCode",
    "body_shape",
    "check_priority",
    "check_request",
    "check_zone",
    "decode_object",
    "decoding",
    "defaults_of",
    "engine_shape",
    "granted",
    "image_type",
    "inlined",
    "invalid",
    "offered",
    "reference_shape",
    "shape_of_form",
    "take_document",
    "take_references",
    "value_of_field",
    "with_defaults",
]
