"""A tiny CLIP with random weights, as a folder that open_clip reads."""
from __future__ import annotations

import json
from pathlib import Path

WORDS = ["a", "the", "red", "blue", "mug", "vase", "on", "table", "sale", "photo", "professional", "of", "soft", "light", ",", "."]


def write_clip(folder: Path, seed: int, width: int = 16) -> Path:
    """A whole folder as open_clip reads it, with a vocabulary of its own."""
    import open_clip
    import torch
    from safetensors.torch import save_file
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    folder.mkdir(parents=True)
    vocabulary = {word: index for index, word in enumerate(["<pad>", "<unk>", "<start>", *WORDS, "<end>"])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<start> $A <end>", special_tokens=[("<start>", vocabulary["<start>"]), ("<end>", vocabulary["<end>"])]
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    tokens = {"bos_token": "<start>", "eos_token": "<end>", "unk_token": "<unk>", "pad_token": "<pad>"}
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "PreTrainedTokenizerFast", **tokens}))
    config = {
        "model_cfg": {
            "embed_dim": width,
            "vision_cfg": {"image_size": 32, "patch_size": 8, "width": width, "layers": 1, "head_width": 8},
            "text_cfg": {
                "context_length": 12,
                "vocab_size": len(vocabulary),
                "width": width,
                "heads": 2,
                "layers": 1,
                "hf_tokenizer_name": ".",
                "pool_type": "eos",
                "eos_id": vocabulary["<end>"],
            },
        },
        "preprocess_cfg": {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5], "resize_mode": "squash"},
    }
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    torch.manual_seed(seed)
    model = open_clip.create_model(f"local-dir:{folder}", load_weights=False)
    save_file(model.state_dict(), str(folder / "open_clip_model.safetensors"))
    return folder
