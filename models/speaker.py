"""A language model on this machine, read, asked and put away again: transformers' own classes over a folder on disk. For a worker.

It answers greedily, so the same question has the same answer, and an answer that was interrupted goes on from the tokens it had.
"""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.errors import OutOfMemory, StudioError, Unavailable
from models.language import weight_bytes
from models.machine import main_memory
from models.memory import GIB
from models.threads import compute

log = logging.getLogger(__name__)

NEW_TOKENS = 400  # a prompt of 120 words and a dozen short reasons
ROOM = 1.15  # what a model needs beyond its weights: the prompt's keys and values, and what reading holds twice
Messages = Sequence[dict[str, str]]


@dataclass(frozen=True)
class Spoken:
    """tokens: the answer so far. text: it in words. whole: False where it was interrupted."""

    tokens: tuple[int, ...]
    text: str = ""
    whole: bool = False


def speak(
    folder: Path, messages: Messages, device: str = "cpu", said: Sequence[int] = (), give_way: Callable[[], bool] = lambda: False,
    most: int = NEW_TOKENS,
) -> Spoken:  # fmt: skip
    """The answer to a chat, of at most `most` tokens, going on from those in `said`. It stops at the next token once `give_way()`.

    The weights are read for it and freed again, whatever happens. Raises Unavailable for a folder that holds no such model,
    OutOfMemory, StudioError for a chat that is too long for it.
    """
    return compute(lambda: _speak(folder, messages, device, tuple(said), give_way, most))


def _speak(folder: Path, messages: Messages, device: str, said: tuple[int, ...], give_way: Callable[[], bool], most: int) -> Spoken:
    try:
        if give_way():
            return Spoken(said)
        model, tokenizer = _read(folder, device)
        try:
            return _answer(model, tokenizer, messages, said, give_way, most)
        finally:
            del model
    except StudioError:
        raise
    except Exception as error:
        from models.local import is_out_of_memory

        if not is_out_of_memory(error):
            raise
        raise _too_large(f"{type(error).__name__}: {error}"[:300]) from error
    finally:
        _free(device)


def _read(folder: Path, device: str) -> tuple[Any, Any]:
    """Model and tokenizer. Nothing of the folder is run: no code of its own, no pickles."""
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()  # on the console, where nobody looks
    only: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    precision = _precision(folder, device)
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, **only)
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=precision, use_safetensors=True, **only)
        model = model.eval().requires_grad_(False).to(device)
    except Exception as error:
        # Whatever is wrong with somebody's folder, each class of transformers says it in its own way.
        from models.local import is_out_of_memory

        if is_out_of_memory(error):
            raise
        log.exception("the language model at %s cannot be read", folder)
        why = f"{type(error).__name__}: {' '.join(str(error).split())}"[:300]
        todo = "Choose a causal language model in transformers' layout (Refine, Set up)."
        raise Unavailable(f"The language model at {folder} cannot be read.", why, todo) from error
    if not tokenizer.chat_template:
        why = "Its tokenizer has no chat template, so it is no model that follows instructions."
        raise Unavailable(f"The language model at {folder} cannot be asked.", why, 'Choose one with "Instruct" or "Chat" in its name.')
    return model, tokenizer


def _answer(model: Any, tokenizer: Any, messages: Messages, said: tuple[int, ...], give_way: Callable[[], bool], most: int) -> Spoken:
    import torch
    from transformers import StoppingCriteria, StoppingCriteriaList

    asked = tokenizer(_chat(tokenizer, messages), add_special_tokens=False)["input_ids"]
    longest = getattr(model.config, "max_position_embeddings", None)
    if longest and len(asked) + most > longest:
        why = f"It holds {longest} tokens; the question has {len(asked)}, and the answer may take {most}."
        raise StudioError("This prompt is too long for the language model.", why, "Shorten it, or choose another model.")

    class Interrupted(StoppingCriteria):
        yes = False

        def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor, **more: Any) -> torch.Tensor:
            self.yes = self.yes or give_way()
            return torch.full((input_ids.shape[0],), self.yes, dtype=torch.bool, device=input_ids.device)

    interrupted = Interrupted()
    ids = torch.tensor([[*asked, *said]], device=model.device)
    with torch.inference_mode():
        found = model.generate(
            ids, attention_mask=torch.ones_like(ids), max_new_tokens=most - len(said), do_sample=False, num_beams=1, temperature=None,
            top_p=None, top_k=None, pad_token_id=_pad(tokenizer, model), stopping_criteria=StoppingCriteriaList([interrupted]),
        )  # fmt: skip
    tokens = tuple(found[0, len(asked) :].tolist())
    whole = not interrupted.yes or len(tokens) >= most or tokens[-1] in _ends(model)
    return Spoken(tokens, tokenizer.decode(tokens, skip_special_tokens=True) if whole else "", whole)


def _chat(tokenizer: Any, messages: Messages) -> str:
    # Models that think aloud are asked not to: the answer is bounded. Templates that do not know the word pass over it.
    form: dict[str, Any] = {"tokenize": False, "add_generation_prompt": True, "enable_thinking": False}
    try:
        return str(tokenizer.apply_chat_template(list(messages), **form))
    except Exception:  # noqa: BLE001 - a template refuses in its own words; some know no system role
        merged = [{"role": "user", "content": "\n\n".join(message["content"] for message in messages)}]
        return str(tokenizer.apply_chat_template(merged, **form))


def _ends(model: Any) -> tuple[int, ...]:
    end = model.generation_config.eos_token_id
    return () if end is None else tuple(end) if isinstance(end, list | tuple) else (int(end),)


def _pad(tokenizer: Any, model: Any) -> int | None:
    return tokenizer.pad_token_id if tokenizer.pad_token_id is not None else next(iter(_ends(model)), None)


def _precision(folder: Path, device: str) -> Any:
    """torch's dtype to read with: 32 bits on a CPU that has the room, which is quicker there; else as it is stored."""
    import torch

    stored = ROOM * weight_bytes(folder)
    spare = _spare() if device == "cpu" else None
    if spare is not None and stored > spare:
        raise _too_large(f"Its weights take {stored / GIB:.1f} GB, and {spare / GIB:.1f} GB are free.")
    return torch.float32 if device == "cpu" and (spare is None or 2 * stored <= spare) else "auto"


def _spare() -> float | None:
    """Bytes of main memory that nothing holds, None where the system does not tell. Linux ends a process that asks for more."""
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            free = next(int(line.split()[1]) * 1024 for line in file if line.startswith("MemAvailable:"))
    except (OSError, StopIteration, ValueError):
        return None
    return min(float(free), main_memory() * GIB)


def _too_large(why: str) -> OutOfMemory:
    todo = "Choose a smaller one (Refine, Set up), or close other programs."
    return OutOfMemory("There is not enough memory for the language model.", why, todo)


def _free(device: str) -> None:
    import torch

    gc.collect()
    if device == "cuda":
        torch.cuda.empty_cache()
    elif device == "mps":
        torch.mps.empty_cache()
