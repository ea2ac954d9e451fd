"""The small vocabularies of the embedded family, in the real tokenizer classes of FLUX.1.

T5: a unigram vocabulary in which every word of the world is one piece, so an unknown word is `<unk>` and can be shown to the person.
CLIP: a byte-level BPE of the same words, in which each is one token; unknown words fall apart into letters.
"""
from __future__ import annotations

import io
import tempfile
from collections import Counter
from itertools import pairwise
from pathlib import Path

import sentencepiece
from sentencepiece import sentencepiece_model_pb2 as proto
from tokenizers import pre_tokenizers
from transformers import CLIPTokenizer, T5Tokenizer

from models.embedded.captions import vocabulary

CLIP_TOKENS, T5_TOKENS = 77, 48


def t5_tokenizer() -> T5Tokenizer:
    words = vocabulary()
    alphabetic = [word for word in words if word.isalnum()]
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -4.0)]
    pieces += [(f"▁{word}", -2.0) for word in words]
    pieces += [(word, -3.0) for word in words if word not in alphabetic]
    pieces += [(word, -3.0) for word in alphabetic]  # after a hyphen, a quotation mark or a bracket
    return T5Tokenizer(
        vocab=pieces, extra_ids=0, additional_special_tokens=[], model_max_length=T5_TOKENS, _spm_precompiled_charsmap=_lower_case_map()
    )


def _lower_case_map() -> bytes:
    """SentencePiece's compiled character map for A-Z to a-z and typographic quotes: T5's class takes no other normaliser."""
    rules = [(ord(c), ord(c.lower())) for c in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"]
    rules += [(0x201C, 0x22), (0x201D, 0x22), (0x2018, 0x27), (0x2019, 0x27), (0x2013, 0x2D), (0x2014, 0x2D)]
    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder) / "rules.tsv"
        table.write_text("".join(f"{a:04X}\t{b:04X}\n" for a, b in rules))
        blob = io.BytesIO()
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter([" ".join(vocabulary())] * 4), model_writer=blob, vocab_size=80, hard_vocab_limit=False,
            normalization_rule_tsv=str(table), minloglevel=2,
        )
    model = proto.ModelProto()  # type: ignore[attr-defined]
    model.ParseFromString(blob.getvalue())
    return model.normalizer_spec.precompiled_charsmap


def clip_tokenizer() -> CLIPTokenizer:
    merges = _merges(sorted(word for word in vocabulary() if word.isalpha() and word.isascii()))
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokens = letters + [f"{letter}</w>" for letter in letters] + ["".join(pair) for pair in merges]
    tokens = [*dict.fromkeys(tokens), "<|startoftext|>", "<|endoftext|>"]
    return CLIPTokenizer(vocab={token: i for i, token in enumerate(tokens)}, merges=merges, model_max_length=CLIP_TOKENS)


def _merges(words: list[str]) -> list[tuple[str, str]]:
    """Byte pair encoding (Sennrich et al., ACL 2016) until every word is one token. Ties go to the pair that sorts first: the
    library's own trainer breaks them by hash order, and weights trained in one process would read other ids in the next."""
    parts = [(*word[:-1].lower(), f"{word[-1].lower()}</w>") for word in words]
    merges = []
    while pairs := Counter(pair for part in parts for pair in pairwise(part)):
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        merges.append(best)
        parts = [_merged(part, best) for part in parts]
    return merges


def _merged(part: tuple[str, ...], pair: tuple[str, str]) -> tuple[str, ...]:
    joined: list[str] = []
    for piece in part:
        if joined and (joined[-1], piece) == pair:
            joined[-1] += piece
        else:
            joined.append(piece)
    return tuple(joined)
