"""Run by the Python of a ComfyUI, in its folder: writes a checkpoint and a LoRA with random weights.

Stable Diffusion 1's form with one block, and the tiny autoencoder: 290 MB, most of it the text encoder, and steps at
64 pixels in tenths of a second on a CPU.
"""

from __future__ import annotations

import sys

sys.argv = [sys.argv[0], "--cpu"]
sys.path.insert(0, ".")

import comfy.options  # noqa: E402  # pyright: ignore[reportMissingImports]

comfy.options.enable_args_parsing()

import comfy.ops  # noqa: E402  # pyright: ignore[reportMissingImports]
import torch  # noqa: E402  # pyright: ignore[reportMissingImports]
from comfy import sd1_clip  # noqa: E402  # pyright: ignore[reportMissingImports]
from comfy.ldm.modules.diffusionmodules.openaimodel import (  # noqa: E402  # pyright: ignore[reportMissingImports]
    UNetModel,
)
from comfy.taesd.taesd import TAESD  # noqa: E402  # pyright: ignore[reportMissingImports]
from safetensors.torch import save_file  # noqa: E402  # pyright: ignore[reportMissingImports]


def weights(module, prefix, scale):
    found = {}
    for name, value in module.state_dict().items():
        if value.dtype.is_floating_point and not name.startswith("vae_"):
            if value.ndim > 1:
                filled = torch.randn(value.shape) * scale
            else:
                filled = torch.ones_like(value) if name.endswith("weight") else torch.zeros_like(value)
            found[prefix + name] = filled.half().contiguous()
    return found


def main() -> None:
    torch.manual_seed(1)
    painter = UNetModel(
        image_size=32, in_channels=4, out_channels=4, model_channels=320, num_res_blocks=[1], channel_mult=[1],
        transformer_depth=[1], transformer_depth_output=[1, 1], transformer_depth_middle=-2, context_dim=768,
        num_heads=8, use_spatial_transformer=True, legacy=False, operations=comfy.ops.disable_weight_init,
    )  # fmt: skip
    reader = sd1_clip.SDClipModel(device="cpu", dtype=torch.float16, model_options={})
    found = weights(painter, "model.diffusion_model.", 0.02)
    found |= weights(TAESD(), "first_stage_model.", 0.06)
    found |= weights(reader.transformer, "cond_stage_model.transformer.", 0.02)
    save_file(found, "models/checkpoints/tiny.safetensors")
    at = "lora_unet_input_blocks_1_1_proj_in"
    style = {
        f"{at}.lora_down.weight": torch.randn(4, 320, 1, 1),
        f"{at}.lora_up.weight": torch.randn(320, 4, 1, 1),
    }
    save_file(style, "models/loras/tiny-style.safetensors")


if __name__ == "__main__":
    main()
