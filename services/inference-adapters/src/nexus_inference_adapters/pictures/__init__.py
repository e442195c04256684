"""What servers that paint have in common: orders, schemas of what they take, and pictures made sure of."""

from nexus_inference_adapters.pictures.converter import Converter, Picture
from nexus_inference_adapters.pictures.handing import handed_on
from nexus_inference_adapters.pictures.orders import MOST_SEED, SIZES, Order, offered, order_of, size_of

__all__ = [
    "MOST_SEED",
    "SIZES",
    "Converter",
    "Order",
    "Picture",
    "handed_on",
    "offered",
    "order_of",
    "size_of",
]
