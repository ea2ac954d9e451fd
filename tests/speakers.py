"""Small language models of transformers' own classes, made on the spot: with random weights, or taught one answer by heart."""
from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

BETTER = {"prompt": "a red mug on a wooden table, warm light", "reasons": ["says where the light comes from"]}
ANSWER = json.dumps(BETTER)
TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
WINDOW = 32  # tokens: what stands further in front than twice as many need not be shown when it is taught
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]


def build(folder: Path, texts: Sequence[str] = (ANSWER,), template: str | None = TEMPLATE, positions: int = 4096):
    """A Mistral that looks WINDOW tokens back, with random weights, and a byte-level tokenizer learned from `texts`."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import MistralConfig, MistralForCausalLM, PreTrainedTokenizerFast

    bytes_ = Tokenizer(models.BPE())
    bytes_.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bytes_.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    bytes_.train_from_iterator(texts, trainers.BpeTrainer(vocab_size=900, special_tokens=SPECIAL, initial_alphabet=alphabet))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=bytes_, eos_token="<|im_end|>", pad_token="<|endoftext|>")
    tokenizer.chat_template = template
    torch.manual_seed(0)
    model = MistralForCausalLM(
        MistralConfig(
            vocab_size=len(tokenizer), hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4,
            num_key_value_heads=2, max_position_embeddings=positions, sliding_window=WINDOW, tie_word_embeddings=True, bos_token_id=None,
            eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
        )
    ).eval()  # fmt: skip
    tokenizer.save_pretrained(folder)
    model.save_pretrained(folder)
    return model, tokenizer


def taught(folder: Path, messages: list[dict[str, str]], answer: str = ANSWER) -> Path:
    """A model that answers `messages` with `answer`, and nothing else that makes sense."""
    import torch

    model, tokenizer = build(folder, [message["content"] for message in messages] + [answer])
    chat = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    asked = tokenizer(chat, add_special_tokens=False)["input_ids"][-2 * WINDOW :]
    said = [*tokenizer(answer, add_special_tokens=False)["input_ids"], tokenizer.eos_token_id]
    ids = torch.tensor([[*asked, *said]])
    labels = torch.tensor([[-100] * len(asked) + said])
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3, weight_decay=0)
    for _ in range(300):
        loss = model.train()(input_ids=ids, labels=labels).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if loss.item() < 0.005:
            break
    else:
        raise AssertionError(f"it did not learn its answer: {loss.item()}")
    model.eval().save_pretrained(folder)
    return folder
