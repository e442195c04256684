"""A picture that is changed: of any shape, as the painter sees it and as it comes back, with what stays as it was."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nexus_inference_adapters.painter.model import SIDE
from nexus_inference_adapters.painter.sample import Start, as_floats, as_pixels, stretched

__all__ = ["Original"]

Pixels = NDArray[np.uint8]
WHITE = 255


@dataclass(frozen=True, slots=True)
class Original:
    """`pixels`: (h, w, 3); `anew`: (h, w), where it is to be painted anew, None = everywhere."""

    pixels: Pixels
    anew: NDArray[np.bool_] | None = None

    @classmethod
    def of(cls, picture: Pixels, mask: Pixels | None = None) -> Original:
        """Of a picture and a mask with alpha, (h, w, 4): what is transparent in the mask, or without one in the
        picture, is painted anew. What shows through elsewhere is white. ValueError for a mask of another size."""
        if mask is not None and mask.shape != picture.shape:
            raise ValueError("a picture and its mask have the same size")
        alpha = picture[..., 3:].astype(np.uint16)
        on_white = (picture[..., :3] * alpha + WHITE * (WHITE - alpha) + WHITE // 2) // WHITE
        anew = (picture if mask is None else mask)[..., 3] == 0
        return cls(on_white.astype(np.uint8), anew if mask is not None or anew.any() else None)

    def sized(self, high: int, wide: int) -> Original:
        """The same in another size. What has any of a part that is painted anew is painted anew."""
        if self.pixels.shape[:2] == (high, wide):
            return self
        anew = (
            None
            if self.anew is None
            else stretched(self.anew[..., None].astype(np.float32), high, wide)[..., 0] > 0
        )
        return Original(as_pixels(stretched(as_floats(self.pixels), high, wide)), anew)

    def start(self, strength: float) -> Start:
        """What the painter begins with: all of it, in the painter's own shape."""
        seen = self.sized(SIDE, SIDE)
        return Start(seen.pixels, seen.anew, strength)

    def put_back(self, painted: Pixels) -> Pixels:
        """What was painted, a square, in this one's shape; what its mask leaves alone has this one's own pixels."""
        high, wide = self.pixels.shape[:2]
        new = as_pixels(stretched(as_floats(painted), high, wide))
        return new if self.anew is None else np.where(self.anew[..., None], new, self.pixels)
