"""Tiny models with random weights, one of each architecture, saved as diffusers folders that the real loading code reads.

Every builder takes a folder, writes the model there (a few hundred kilobytes) and returns a card for it.
"""
from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from models.cards import ModelCard
from models.presets import load_catalogue

CATALOGUE = load_catalogue()
WORDS = [
    "<unk>", "<pad>", "</s>", "<s>", "a", "the", "red", "blue", "mug", "bottle", "on", "in", "table", "studio", ",", ".", "system", "user",
]  # fmt: skip


def flux1(folder: Path, guidance_embeds: bool = False, seed: int = 0) -> ModelCard:
    """FluxPipeline: with guidance embeds a card like FLUX.1-dev's, without one like the embedded model's (true cfg). f8, 16 channels."""
    import torch
    from diffusers import AutoencoderKL, FluxPipeline, FluxTransformer2DModel

    torch.manual_seed(seed)
    transformer = FluxTransformer2DModel(
        in_channels=64, num_layers=1, num_single_layers=1, attention_head_dim=16, num_attention_heads=2,
        joint_attention_dim=32, pooled_projection_dim=24, guidance_embeds=guidance_embeds, axes_dims_rope=(4, 4, 8),
    )  # fmt: skip
    vae = AutoencoderKL(
        latent_channels=16, scaling_factor=0.36, shift_factor=0.11, use_quant_conv=False, use_post_quant_conv=False, **_vae()
    )
    FluxPipeline(_scheduler(), vae, _clip_text(), _tokenizer(77), _t5(), _tokenizer(48), transformer).save_pretrained(folder)
    base = CATALOGUE.card("flux1-dev" if guidance_embeds else "embedded")
    return _card(base, folder)


def kontext(folder: Path) -> ModelCard:
    """FluxKontextPipeline over the parts of `flux1`."""
    card = flux1(folder, guidance_embeds=True)
    return replace(_card(CATALOGUE.card("flux1-kontext-dev"), folder), max_tokens=card.max_tokens)


def klein(folder: Path, distilled: bool) -> ModelCard:
    """Flux2KleinPipeline: Qwen3 text encoder (28 layers, for the pipeline reads the states after 9, 18 and 27)."""
    import torch
    from diffusers import Flux2KleinPipeline
    from transformers import Qwen3Config, Qwen3ForCausalLM

    torch.manual_seed(1)
    config = Qwen3Config(
        vocab_size=len(WORDS), hidden_size=16, intermediate_size=16, num_hidden_layers=28, num_attention_heads=2,
        num_key_value_heads=1, head_dim=8, max_position_embeddings=600,
    )  # fmt: skip
    parts = (_scheduler(), _vae2(), Qwen3ForCausalLM(config), _tokenizer(512, _CHAT), _transformer2(guidance_embeds=False))
    Flux2KleinPipeline(*parts, is_distilled=distilled).save_pretrained(folder)
    return _card(CATALOGUE.card("flux2-klein-4b" if distilled else "flux2-klein-base-4b"), folder)


def flux2(folder: Path) -> ModelCard:
    """Flux2Pipeline: Mistral 3 text encoder (31 layers, for the pipeline reads the states after 10, 20 and 30)."""
    import torch
    from diffusers import Flux2Pipeline
    from transformers import Mistral3Config, Mistral3ForConditionalGeneration

    torch.manual_seed(2)
    text = {
        "model_type": "mistral", "vocab_size": len(WORDS), "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 31,
        "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 8, "max_position_embeddings": 600,
    }  # fmt: skip
    vision = {
        "model_type": "pixtral", "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
        "image_size": 28, "patch_size": 14, "head_dim": 8,
    }  # fmt: skip
    encoder = Mistral3ForConditionalGeneration(Mistral3Config(text_config=text, vision_config=vision, image_token_index=0))
    Flux2Pipeline(_scheduler(), _vae2(), encoder, _tokenizer(512, _CHAT), _transformer2(guidance_embeds=True)).save_pretrained(folder)
    return _card(CATALOGUE.card("flux2-dev"), folder)


def lora(folder: Path, seed: int = 7, rank: int = 2, scale: float = 0.5) -> Path:
    """A LoRA file for the transformer of `flux1`, in diffusers' own format."""
    import torch
    from diffusers import FluxPipeline

    generator = torch.Generator().manual_seed(seed)
    layers = {}
    for target in ("attn.to_q", "attn.to_v"):
        name = f"transformer_blocks.0.{target}"
        layers[f"{name}.lora_A.weight"] = scale * torch.randn(rank, 32, generator=generator)
        layers[f"{name}.lora_B.weight"] = scale * torch.randn(32, rank, generator=generator)
    FluxPipeline.save_lora_weights(folder, transformer_lora_layers=layers, weight_name=f"lora{seed}.safetensors")
    return folder / f"lora{seed}.safetensors"


_CHAT = (
    "{% for m in messages %}{{ m['role'] }} {% if m['content'] is string %}{{ m['content'] }}"
    "{% else %}{{ m['content'][0]['text'] }}{% endif %} {% endfor %}"
)


def _card(card: ModelCard, folder: Path) -> ModelCard:
    """The real card, with the tiny folder as its repository and the tiny size."""
    tiny = replace(card.parameters, transformer=0.0001, text=0.0001, vae=0.0001)
    tokens = min(card.max_tokens, 64)
    return replace(card, name="tiny-" + card.name, repo=str(folder), parameters=tiny, max_tokens=tokens, multiple=16)


def _vae() -> dict:
    return {
        "down_block_types": ["DownEncoderBlock2D"] * 4, "up_block_types": ["UpDecoderBlock2D"] * 4, "block_out_channels": [4, 4, 8, 8],
        "layers_per_block": 1, "norm_num_groups": 2, "mid_block_add_attention": False, "sample_size": 64,
    }  # fmt: skip


def _vae2():
    import torch
    from diffusers import AutoencoderKLFlux2

    vae = AutoencoderKLFlux2(latent_channels=32, **_vae())
    # Statistics of trained weights are not 0 and 1; ones that differ a channel show whether they are applied.
    vae.bn.running_mean.copy_(torch.linspace(-0.2, 0.2, 128))
    vae.bn.running_var.copy_(torch.linspace(0.5, 1.5, 128))
    return vae


def _transformer2(guidance_embeds: bool):
    from diffusers import Flux2Transformer2DModel

    return Flux2Transformer2DModel(
        in_channels=128, num_layers=1, num_single_layers=1, attention_head_dim=16, num_attention_heads=2,
        joint_attention_dim=48, axes_dims_rope=(4, 4, 4, 4), guidance_embeds=guidance_embeds,
    )  # fmt: skip


def _scheduler():
    from diffusers import FlowMatchEulerDiscreteScheduler

    return FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True, base_shift=0.5, max_shift=1.15)


def _clip_text():
    from transformers import CLIPTextConfig, CLIPTextModel

    sizes = {"hidden_size": 24, "intermediate_size": 24, "num_hidden_layers": 1, "num_attention_heads": 2, "vocab_size": len(WORDS)}
    return CLIPTextModel(CLIPTextConfig(max_position_embeddings=77, eos_token_id=2, bos_token_id=3, pad_token_id=1, **sizes))


def _t5():
    from transformers import T5Config, T5EncoderModel

    return T5EncoderModel(T5Config(d_model=32, d_kv=8, d_ff=32, num_layers=1, num_heads=2, vocab_size=len(WORDS)))


def _tokenizer(length: int, chat: str | None = None):
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="<unk>"))
    if chat is None:
        tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 2)])
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="<unk>", pad_token="<pad>", eos_token="</s>", bos_token="<s>", model_max_length=length
    )
    fast.chat_template = chat
    return fast
