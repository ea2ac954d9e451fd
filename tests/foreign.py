"""Pictures as other tools write them, made by hand from each tool's documented format (none was saved by the tool itself):

A1111 and Forge (infotext_utils.py; JPEG and WebP: EXIF UserComment in UTF-16), ComfyUI (nodes.py SaveImage: `prompt` and `workflow`;
WebP: EXIF Model and Make), InvokeAI (`invokeai_metadata`), SwarmUI (`parameters` with `sui_image_params`), Fooocus (meta_parser.py,
both schemes). The pixels are a scripted gradient; what matters is the container.
"""
from __future__ import annotations

import io
import json
from collections.abc import Mapping
from typing import Any

from PIL import Image, PngImagePlugin

from models.scripted import seed_picture

FORGE = (
    "a red mug on a wooden table <lora:Foil_v2:0.8>, (steam:1.2)\n"
    "soft light\n"
    "Negative prompt: blurry, text\n"
    "Steps: 20, Sampler: Euler, Schedule type: Simple, CFG scale: 1, Distilled CFG Scale: 3.5, Seed: 1234567, Size: 896x1152, "
    'Model hash: 4610115bb0, Model: flux1-dev-fp8, Lora hashes: "Foil_v2: aabbcc", Module 1: ae, Version: f2.0.1v1.10.1'
)
A1111 = (
    "a castle, BREAK on a hill\nNegative prompt: fog\nSteps: 30, Sampler: DPM++ 2M, Schedule type: Karras, CFG scale: 7, Seed: 42, "
    'Size: 512x768, Model hash: abc, Model: "sd_xl_base, fixed", Denoising strength: 0.4, Clip skip: 2, Version: v1.10.1'
)
SWARM: dict[str, Any] = {
    "sui_image_params": {
        "prompt": "a teal vase", "negativeprompt": "dust", "model": "Flux/flux1-schnell-fp8.safetensors", "seed": 77, "steps": 4,
        "cfgscale": 1.0, "fluxguidancescale": 3.5, "width": 1344, "height": 768, "aspectratio": "16:9", "sampler": "euler",
        "scheduler": "simple", "loras": ["studio/Foil_v2", "grain"], "loraweights": ["0.7", "-0.5"], "variationseed": 5,
        "swarm_version": "0.9.8.0",
    },
    "sui_extra_data": {"date": "2026-11-20", "generation_time": "4.84 sec"},
    "sui_models": [{"name": "flux1-schnell-fp8.safetensors", "param": "model", "hash": "0xd7a9"}],
}  # fmt: skip
INVOKE: dict[str, Any] = {
    "generation_mode": "flux_txt2img", "positive_prompt": "a yellow lamp", "negative_prompt": "", "width": 832, "height": 1216,
    "seed": 3141592653, "rand_device": "cpu", "cfg_scale": 1.0, "guidance": 4.0, "steps": 28, "scheduler": "euler",
    "model": {"key": "1f", "hash": "blake3:aa", "name": "FLUX.1 Krea dev", "base": "flux", "type": "main"},
    "loras": [{"model": {"key": "2f", "name": "foil_v2", "base": "flux", "type": "lora"}, "weight": 0.75}],
    "vae": {"name": "FLUX.1-schnell_ae"}, "t5_encoder": {"name": "t5_bnb_int8"}, "controlnets": [], "app_version": "6.14.0",
}  # fmt: skip
FOOOCUS: dict[str, Any] = {
    "adm_guidance": "(1.5, 0.8, 0.3)", "base_model": "juggernautXL_v8Rundiffusion", "base_model_hash": "aeb7e9e689",
    "full_prompt": ["a black teapot, cinematic"], "guidance_scale": 4.0, "loras": [["sd_xl_offset", 0.1, "4852686128"]],
    "metadata_scheme": "fooocus", "negative_prompt": "cup", "performance": "Speed", "prompt": "a black teapot", "refiner_model": "None",
    "resolution": "(1152, 896)", "sampler": "dpmpp_2m_sde_gpu", "scheduler": "karras", "seed": "8765", "sharpness": 2.0, "steps": 30,
    "styles": "['Fooocus V2']", "vae": "Default (model)", "version": "Fooocus v2.5.5",
}  # fmt: skip
FOOOCUS_TEXT = (
    "a black teapot, cinematic, glossy\nNegative prompt: cup, low quality\n"
    "Steps: 30, Sampler: DPM++ 2M SDE Karras, Seed: 8765, Size: 1152x896, CFG scale: 4, Sharpness: 2, ADM Guidance: \"(1.5, 0.8, 0.3)\", "
    "Model: juggernautXL_v8, Model hash: aeb7, Performance: Speed, Scheduler: karras, VAE: Default (model), Raw prompt: a black teapot, "
    "Raw negative prompt: cup, Lora hashes: \"sd_xl_offset: 4852\", Lora weights: \"sd_xl_offset: 0.1\", Version: Fooocus v2.5.5"
)  # fmt: skip

# Two passes of KSampler over a checkpoint with a LoRA; the prompt comes out of a join of two strings.
COMFY_KSAMPLER: dict[str, Any] = {
    "3": {"class_type": "KSampler", "inputs": {"seed": ["20", 0], "steps": 24, "cfg": 6.5, "sampler_name": "dpmpp_2m",
     "scheduler": "karras",
          "denoise": 1.0, "model": ["10", 0], "positive": ["6", 0], "negative": ["7", 0], "latent_image": ["5", 0]}},
    "4": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "sd_xl_base_1.0.safetensors"}},
    "5": {"class_type": "EmptyLatentImage", "inputs": {"width": 1216, "height": 832, "batch_size": 1}},
    "6": {"class_type": "CLIPTextEncode", "inputs": {"text": ["21", 0], "clip": ["10", 1]}},
    "7": {"class_type": "CLIPTextEncode", "inputs": {"text": "watermark", "clip": ["10", 1]}},
    "8": {"class_type": "VAEDecode", "inputs": {"samples": ["11", 0], "vae": ["4", 2]}},
    "9": {"class_type": "SaveImage", "inputs": {"filename_prefix": "ComfyUI", "images": ["8", 0]}},
    "10": {"class_type": "LoraLoader", "inputs": {"lora_name": "sdxl\\foil_v2.safetensors", "strength_model": 0.6, "strength_clip": 1.0,
           "model": ["4", 0], "clip": ["4", 1]}},
    "11": {"class_type": "KSampler", "inputs": {"seed": 9, "steps": 12, "cfg": 6.5, "sampler_name": "dpmpp_2m", "scheduler": "karras",
           "denoise": 0.4, "model": ["10", 0], "positive": ["6", 0], "negative": ["7", 0], "latent_image": ["12", 0]}},
    "12": {"class_type": "LatentUpscaleBy", "inputs": {"upscale_method": "bislerp", "scale_by": 1.5, "samples": ["3", 0]}},
    "20": {"class_type": "PrimitiveInt", "inputs": {"value": 664154487549730}},
    "21": {"class_type": "StringConcatenate", "inputs": {"string_a": "a fox", "string_b": ["22", 0], "delimiter": " in "}},
    "22": {"class_type": "PrimitiveString", "inputs": {"value": "the snow"}},
}  # fmt: skip

# FLUX.1-dev as ComfyUI's own example has it: the custom sampler, its guider, noise and sigmas on nodes of their own.
COMFY_FLUX: dict[str, Any] = {
    "5": {"class_type": "EmptySD3LatentImage", "inputs": {"width": 1024, "height": 1024, "batch_size": 1}},
    "6": {"class_type": "CLIPTextEncode", "inputs": {"text": "a white shoe on the beach", "clip": ["11", 0]}},
    "8": {"class_type": "VAEDecode", "inputs": {"samples": ["13", 0], "vae": ["10", 0]}},
    "9": {"class_type": "SaveImage", "inputs": {"filename_prefix": "ComfyUI", "images": ["8", 0]}},
    "10": {"class_type": "VAELoader", "inputs": {"vae_name": "ae.safetensors"}},
    "11": {"class_type": "DualCLIPLoader", "inputs": {"clip_name1": "t5xxl_fp16.safetensors", "clip_name2": "clip_l.safetensors",
     "type": "flux"}},
    "12": {"class_type": "UNETLoader", "inputs": {"unet_name": "flux1-dev.safetensors", "weight_dtype": "default"}},
    "13": {"class_type": "SamplerCustomAdvanced", "inputs": {"noise": ["25", 0], "guider": ["22", 0], "sampler": ["16", 0],
           "sigmas": ["17", 0], "latent_image": ["5", 0]}},
    "16": {"class_type": "KSamplerSelect", "inputs": {"sampler_name": "euler"}},
    "17": {"class_type": "BasicScheduler", "inputs": {"scheduler": "simple", "steps": 22, "denoise": 1.0, "model": ["30", 0]}},
    "22": {"class_type": "BasicGuider", "inputs": {"model": ["30", 0], "conditioning": ["26", 0]}},
    "25": {"class_type": "RandomNoise", "inputs": {"noise_seed": 219670278747233}},
    "26": {"class_type": "FluxGuidance", "inputs": {"guidance": 3.2, "conditioning": ["6", 0]}},
    "30": {"class_type": "ModelSamplingFlux", "inputs": {"max_shift": 1.15, "base_shift": 0.5, "width": 1024, "height": 1024,
           "model": ["31", 0]}},
    "31": {"class_type": "LoraLoaderModelOnly", "inputs": {"lora_name": "foil_v2.safetensors", "strength_model": 0.9, "model": ["12", 0]}},
}  # fmt: skip

# KSamplerAdvanced from a loaded picture, in the editor's form alone: widgets without names, a reroute, a bypassed LoRA, a muted node.
COMFY_WORKFLOW: dict[str, Any] = {
    "last_node_id": 12, "last_link_id": 20, "version": 0.4,
    "nodes": [
        {"id": 1, "type": "UNETLoader", "mode": 0, "inputs": [], "outputs": [{"name": "MODEL", "type": "MODEL", "links": [1]}],
         "widgets_values": ["flux-2-klein-base-4b.safetensors", "default"]},
        {"id": 2, "type": "LoraLoaderModelOnly", "mode": 4, "inputs": [{"name": "model", "type": "MODEL", "link": 1}],
         "outputs": [{"name": "MODEL", "type": "MODEL", "links": [2]}], "widgets_values": ["unused.safetensors", 1]},
        {"id": 3, "type": "KSamplerAdvanced", "mode": 0, "inputs": [
            {"name": "model", "type": "MODEL", "link": 2}, {"name": "positive", "type": "CONDITIONING", "link": 3},
            {"name": "negative", "type": "CONDITIONING", "link": 4}, {"name": "latent_image", "type": "LATENT", "link": 5}],
         "outputs": [{"name": "LATENT", "type": "LATENT", "links": [6]}],
         "widgets_values": ["enable", 99, "fixed", 36, 4.5, "euler", "simple", 6, 10000, "disable"]},
        {"id": 4, "type": "CLIPTextEncode", "mode": 0, "inputs": [{"name": "clip", "type": "CLIP", "link": None}],
         "outputs": [{"name": "CONDITIONING", "type": "CONDITIONING", "links": [7]}], "widgets_values": ["a purple candle"]},
        {"id": 5, "type": "CLIPTextEncode", "mode": 0, "inputs": [], "outputs": [{"name": "CONDITIONING", "type": "CONDITIONING",
         "links": [4]}],
         "widgets_values": ["smoke"]},
        {"id": 6, "type": "Reroute", "mode": 0, "inputs": [{"name": "", "type": "*", "link": 7}],
         "outputs": [{"name": "", "type": "CONDITIONING", "links": [3]}]},
        {"id": 7, "type": "VAEEncode", "mode": 0, "inputs": [{"name": "pixels", "type": "IMAGE", "link": 8}],
         "outputs": [{"name": "LATENT", "type": "LATENT", "links": [5]}]},
        {"id": 8, "type": "LoadImage", "mode": 0, "inputs": [], "outputs": [{"name": "IMAGE", "type": "IMAGE", "links": [8]}],
         "widgets_values": ["start.png", "image"]},
        {"id": 9, "type": "VAEDecode", "mode": 0, "inputs": [{"name": "samples", "type": "LATENT", "link": 6}],
         "outputs": [{"name": "IMAGE", "type": "IMAGE", "links": [9]}]},
        {"id": 10, "type": "SaveImage", "mode": 0, "inputs": [{"name": "images", "type": "IMAGE", "link": 9}],
         "widgets_values": ["ComfyUI"]},
        {"id": 11, "type": "SaveImage", "mode": 2, "inputs": [{"name": "images", "type": "IMAGE", "link": 9}], "widgets_values": ["off"]},
    ],
    "links": [[1, 1, 0, 2, 0, "MODEL"], [2, 2, 0, 3, 0, "MODEL"], [3, 6, 0, 3, 1, "CONDITIONING"], [4, 5, 0, 3, 2, "CONDITIONING"],
              [5, 7, 0, 3, 3, "LATENT"], [6, 3, 0, 9, 0, "LATENT"], [7, 4, 0, 6, 0, "CONDITIONING"], [8, 8, 0, 7, 0, "IMAGE"],
              [9, 9, 0, 10, 0, "IMAGE"]],
}  # fmt: skip


def png(texts: Mapping[str, str] = {}, size: tuple[int, int] = (64, 48), seed: int = 1) -> bytes:
    """A PNG with text chunks, as all of these tools write them."""
    info = PngImagePlugin.PngInfo()
    for key, text in texts.items():
        info.add_text(key, text)
    return _saved(seed_picture(seed, *size), "PNG", pnginfo=info)


def with_comment(text: str, kind: str) -> bytes:
    """A JPEG or WEBP whose EXIF UserComment holds `text` in UTF-16 (big-endian), as A1111, Forge and SwarmUI write it."""
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0x9286] = b"UNICODE\0" + text.encode("utf-16-be")
    return _saved(seed_picture(1, 64, 48), kind, exif=exif.tobytes())


def fooocus_jpeg(text: str, scheme: str) -> bytes:
    """Fooocus puts the text, the scheme and its version into the first EXIF folder."""
    exif = Image.Exif()
    exif[0x9286], exif[0x927C], exif[0x0131] = text, scheme, "Fooocus v2.5.5"
    return _saved(seed_picture(1, 64, 48), "JPEG", exif=exif.tobytes())


def comfy_webp(prompt: Mapping[str, Any]) -> bytes:
    """ComfyUI's WebP: graphs in tags meant for cameras."""
    exif = Image.Exif()
    exif[0x0110] = "prompt:" + json.dumps(prompt)
    exif[0x010F] = "workflow:{}"
    return _saved(seed_picture(1, 64, 48), "WEBP", exif=exif.tobytes())


def _saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()
