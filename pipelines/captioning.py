"""What was seen in a picture, worded as a LoRA of a kind needs its captions: what is left out is what the trigger word comes to mean."""
from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pipelines.dataset import PLACE, Kind

if TYPE_CHECKING:
    from models.captioner import Seen


def worded(seen: Seen, kind: Kind) -> str:
    """A caption with [trigger] where the trigger word goes. What was not seen leaves no gap."""
    parts = {"trigger": PLACE, "thing": seen.thing, "setting": seen.setting, "look": seen.look, "all": seen.sentence}
    form = kind.caption if seen.thing or seen.setting else kind.sentence
    text = re.sub(r"{(\w+)}", lambda found: parts[found[1]], form)
    text = re.sub(r"\s+", " ", text)
    return re.sub(r"(?:\s*,)+", ",", text).strip(" ,")
