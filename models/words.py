"""How a model reads a prompt: tokens by text encoder, the words it does not know, and what does not fit.

Only the `tokenizers` library and the tokenizer files of the model are used: the page's process may import this.
"""
from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from models.cards import ModelCard
from models.weights import Where, weights_found

if TYPE_CHECKING:
    from tokenizers import Encoding, Tokenizer

Spans = tuple[tuple[str, int, int], ...]
_NONE: Spans = ()
# What FLUX.2's pipelines put around a prompt before its language model reads it.
_CHAT = {
    "Flux2KleinPipeline": "<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n",
    "Flux2Pipeline": (
        "<s>[SYSTEM_PROMPT]You are an AI that reasons about image descriptions. You give structured responses focusing on object "
        "relationships, object\nattribution and actions without speculation.[/SYSTEM_PROMPT][INST]{}[/INST]"
    ),
}
_RUN = re.compile(r"[^\W_]+", re.UNICODE)
_WORD = re.compile(r"\w+(?:['\u2019]\w+)*|[^\w\s]", re.UNICODE)


@dataclass(frozen=True)
class PromptReading:
    """counts: encoder ("clip", "t5" or "llm") -> (tokens, most it reads). unknown: (word, start, end) with offsets in characters.
    cut: the end of the prompt that the long encoder does not read, "" if it reads all. estimated: counted without the model's own
    tokenizer, because it is not on this machine."""

    counts: dict[str, tuple[int, int]]
    unknown: Spans = ()
    cut: str = ""
    estimated: bool = False


def read_prompt(card: ModelCard, prompt: str, models_dir: Where = None) -> PromptReading:
    """What the encoders of `card` make of `prompt`. CLIP only sets the mood of FLUX.1 and may overflow; what the long encoder ("t5",
    "llm") cannot hold is in `cut`."""
    folder = weights_found(card, models_dir)
    tokenizers = {name: found for name, place in _places(card) if folder and (found := load_tokenizer(folder / place))}
    if len(tokenizers) < len(card.lengths):
        return _estimate(card, prompt)
    long = next(reversed(tokenizers))
    before, after = _CHAT.get(card.pipeline, "{}").split("{}")
    counts: dict[str, tuple[int, int]] = {}
    cut, unknown = "", _NONE
    for name, tokenizer in tokenizers.items():
        encoding = tokenizer.encode(prompt)
        around = len(tokenizer.encode(before + after, add_special_tokens=False).ids) if before else 0
        most = card.lengths[name]
        counts[name] = (len(encoding.ids) + around, most)
        if name == long:
            cut = _cut(prompt, encoding, most - around)
            unknown = _unknown(prompt, tokenizer, encoding) if card.vocabulary == "embedded" else _NONE
    return PromptReading(counts, unknown, cut)


def _places(card: ModelCard) -> list[tuple[str, str]]:
    """Encoders with their tokenizer folders, the long one last."""
    return [("clip", "tokenizer"), ("t5", "tokenizer_2")] if card.clip_tokens else [("llm", "tokenizer")]


def load_tokenizer(folder: Path) -> Tokenizer | None:
    """The tokenizer in a folder of a diffusers model, or None if there is none that `tokenizers` can read."""
    stamp = folder / "tokenizer.json"
    if not stamp.is_file():
        stamp = folder / "vocab.json"
        if not (stamp.is_file() and (folder / "merges.txt").is_file()):
            return None
    return _load(folder, stamp.stat().st_mtime_ns)


@lru_cache(maxsize=16)
def _load(folder: Path, _stamp: int) -> Tokenizer:
    from tokenizers import Tokenizer

    if (folder / "tokenizer.json").is_file():
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    else:
        tokenizer = _clip_tokenizer(folder)
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def _clip_tokenizer(folder: Path) -> Tokenizer:
    """CLIP's tokenizer from vocab.json and merges.txt, as transformers builds it (`CLIPConverter`)."""
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors

    vocabulary = json.loads((folder / "vocab.json").read_text(encoding="utf-8"))
    lines = (folder / "merges.txt").read_text(encoding="utf-8").splitlines()
    merges = [(pair[0], pair[1]) for pair in (line.split() for line in lines if not line.startswith("#version")) if len(pair) == 2]
    start, end = "<|startoftext|>", "<|endoftext|>"
    model = models.BPE(vocabulary, merges, continuing_subword_prefix="", end_of_word_suffix="</w>", fuse_unk=False, unk_token=end)
    tokenizer = Tokenizer(model)
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()])
    words = Regex(r"""'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+""")
    split = pre_tokenizers.Split(words, behavior="removed", invert=True)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split, pre_tokenizers.ByteLevel(add_prefix_space=False)])
    tokenizer.post_processor = processors.RobertaProcessing((end, vocabulary[end]), (start, vocabulary[start]), False, False)
    return tokenizer


def _cut(prompt: str, encoding: Encoding, most: int) -> str:
    """The end of the prompt from the first token that does not fit; special tokens (end of text) keep their places."""
    own = [span for span, special in zip(encoding.offsets, encoding.special_tokens_mask, strict=True) if not special]
    room = max(0, most - (len(encoding.ids) - len(own)))
    return prompt[own[room][0] :].strip() if len(own) > room else ""


def _unknown(prompt: str, tokenizer: Tokenizer, encoding: Encoding) -> Spans:
    """Words of the prompt that the closed vocabulary lacks, once for every place they stand in.

    Such a vocabulary has a piece for every word it knows: what is unknown, or pieced together from others ("into"), was never learnt.
    """
    lacking = _lacking(tokenizer)
    pieces = [(*span, token) for span, token in zip(encoding.offsets, encoding.ids, strict=True) if prompt[span[0] : span[1]].strip()]
    known = {(start, end) for start, end, token in pieces if token != lacking}
    known |= {(start + len(prompt[start:end]) - len(prompt[start:end].lstrip()), end) for start, end in known}  # A piece may hold a space.
    found = []
    for match in _WORD.finditer(prompt):
        runs = [(match.start() + run.start(), match.start() + run.end()) for run in _RUN.finditer(match.group())]
        if any(run not in known for run in runs):
            found.append((match.group(), *match.span()))
    return tuple(found)


@lru_cache(maxsize=16)
def _lacking(tokenizer: Tokenizer) -> int | None:
    """The token that stands for whatever the vocabulary lacks. Asked once: the tokenizer tells it only by writing itself out whole."""
    model = json.loads(tokenizer.to_str())["model"]
    return model["unk_id"] if "unk_id" in model else tokenizer.token_to_id(model["unk_token"])


def _estimate(card: ModelCard, prompt: str) -> PromptReading:
    """Counts by rule of thumb: a token a short word or mark, one more for every six letters."""
    tokens = sum(1 + (len(word) - 1) // 6 for word in _WORD.findall(prompt))
    return PromptReading({name: (tokens + 2, most) for name, most in card.lengths.items()}, estimated=True)
