"""What a file is that is no LoRA for FLUX, so that a refusal can say it. Pure: names of tensors in, words out."""
from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from models.tensorfile import Tensor

# Other ways to adapt a model, by what their tensors are called. None of them is a sum of low-rank pairs beside the model.
_KINDS = (
    (re.compile(r"dora_scale|lora_magnitude_vector"), "It is a DoRA, which diffusers would load as a plain LoRA, and draw wrongly."),
    (re.compile(r"\.lokr_|^lokr_"), "It is a LoKr, which is not supported."),
    (re.compile(r"\.hada_"), "It is a LoHa, which is not supported."),
    (re.compile(r"\.oft_|\.boft_"), "It is an OFT, which is not supported."),
    (re.compile(r"\.(a1|a2|b1|b2)\.weight$"), "It is a GLoRA, which is not supported."),
    (re.compile(r"\.lora_mid\."), "It changes convolutions (a LoCon), which a FLUX transformer has none of."),
    (re.compile(r"\.lora_B(\.\w+)?\.bias$|\.lora_up\.bias$"), "It changes biases as well, which is not supported."),
    (re.compile(r"(query|key)_norm\.scale$"), "It is a control LoRA (depth, canny), which needs a pipeline of its own."),
    (re.compile(r"^(emb_params|string_to_param|clip_l|clip_g|t5xxl|<[^>]*>)$"), "It is a textual inversion (an embedding), not a LoRA."),
    (re.compile(r"controlnet|control_model"), "It is a ControlNet, not a LoRA."),
    (re.compile(r"ip_adapter|image_proj"), "It is an IP-Adapter, not a LoRA."),
)
_WHOLE = re.compile(r"(^|\.)(double_blocks\.\d+\.img_attn\.qkv|transformer_blocks\.\d+\.attn\.to_q|encoder\.block\.\d+\..*)\.weight$")

_FAMILIES = (
    (re.compile(r"^lora_te2_text_model|^text_encoder_2\.text_model"), "Stable Diffusion XL"),
    (re.compile(r"^lora_unet_(input|output|middle|down|up|mid)_block|^unet\."), "Stable Diffusion"),
    (re.compile(r"joint_blocks"), "Stable Diffusion 3"),
    (re.compile(r"(img|txt)_mlp[._]net[._]|(img|txt)_mod[._]1\b"), "Qwen-Image"),
    (re.compile(r"(^|[._])blocks[._]\d+[._](self_attn|cross_attn|ffn)"), "Wan"),
    (re.compile(r"(img|txt)_attn_(qkv|q|proj)\.|token_refiner|txt_in[._]individual"), "HunyuanVideo"),
    (re.compile(r"(^|[._])(layers|noise_refiner|context_refiner)[._]\d+[._](attention|feed_forward|adaLN)"), "Z-Image or Lumina"),
    (re.compile(r"distilled_guidance_layer"), "Chroma"),
    (re.compile(r"caption_projection|adaln_single|scale_shift_table"), "PixArt, Sana or LTX-Video"),
)


def refused_kind(tensors: Mapping[str, Tensor]) -> str:
    """Why a file of another kind is refused, "" for what looks like a LoRA."""
    for pattern, why in _KINDS:
        if any(pattern.search(key) for key in tensors):
            return why
    if any(_WHOLE.search(key) and "lora" not in key for key in tensors):
        return "It is a whole model, not a LoRA: its place is among the models."
    return ""


def foreign(keys: Iterable[str]) -> str:
    """The family of models that layers of these names belong to, "" where it is unknown."""
    listed = list(keys)
    return next((name for pattern, name in _FAMILIES if any(pattern.search(key) for key in listed)), "")
