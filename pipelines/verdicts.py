"""What an evaluation of a LoRA's version found (`pipelines.measuring`), in words that name the cause."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pipelines.evaluation import NOMINAL, Json, Setup
from pipelines.fields import listed
from pipelines.measuring import MATTERS, lost, sides

OVERTRAINED = ("drift", "leak", "forgets")
MORE = {"concept": "the concept shows more clearly", "adherence": "prompts are followed more closely",
        "drift": "other prompts change less", "flaws": "fewer pictures have flaws"}  # fmt: skip
LESS = {"concept": "the concept shows less clearly", "adherence": "prompts are followed less closely",
        "drift": "other prompts change more", "flaws": "more pictures have flaws"}  # fmt: skip


def told(finding: Mapping[str, Any], setup: Setup, against: str, titles: Mapping[str, str] | None = None) -> str:
    """A verdict in a few sentences. against: what the version before is called, "" for none. titles: of dimensions."""
    if finding["verdict"] == "unfit":
        said = [_cause(finding, setup), *_faults(finding, setup, titles or {}), *_elsewhere(finding, setup)]
    else:
        said = [_which(finding, against), *_good(finding, setup)]
    return " ".join(one[:1].upper() + one[1:] for one in said if one)


def scores(finding: Mapping[str, Any]) -> dict[str, float]:
    """What a version keeps of it, at the nominal weight: shares from 0 to 1. Nothing that was not measured."""
    row, drift = _row(finding), _drift(finding)
    kept = {
        "concept_hit": row["hit"]["value"] if row["hit"] else None,
        "adherence_kept": 1 - lost(row["adherence"], _base(finding)["follows"]) if row["adherence"] else None,
        "drift": drift["change"]["value"] if drift["change"] else None,
        "flawed": row["flawed"]["value"] if row["flawed"] else None,
    }
    return {name: round(float(value), 3) for name, value in kept.items() if value is not None}


# How it is done.


def _cause(finding: Mapping[str, Any], setup: Setup) -> str:
    causes = {one["cause"] for one in finding["faults"]}
    if "not learnt" in causes and causes & {*OVERTRAINED, "flaws", "adherence"}:
        return "Unfit, broken: it spoils pictures and does not show what it was trained on."
    if causes & set(OVERTRAINED):
        return "Unfit, overtrained: it acts where it is not called."
    if "adherence" in causes:
        return "Unfit, wrong captions or overtrained: with its trigger word the rest of a prompt counts for little."
    if "flaws" in causes:
        return "Unfit: it spoils pictures."
    worn = max((one for one in finding["rows"] if one["arm"] == "version" and one["hit"]), key=lambda one: one["hit"]["value"])
    if worn["weight"] > NOMINAL and worn["hit"]["value"] >= setup.limits.concept:
        return "Unfit, undertrained: it has learnt too little to be worn at weight 1."
    return "Unfit, not learnt: its pictures do not show what it was trained on."


def _faults(finding: Mapping[str, Any], setup: Setup, titles: Mapping[str, str]) -> list[str]:
    row, drift, said = _row(finding), _drift(finding), []
    for fault in finding["faults"]:
        cause, value = fault["cause"], fault["value"]
        if cause == "not learnt":
            said.append(f"the concept is hit in {_of(row['hit'])}.")
        elif cause == "adherence":
            said.append(f"prompts with its trigger word are followed {_less(value)}.")
        elif cause == "drift":
            said.append(f"without its trigger word pictures change by {_times(value)}.")
        elif cause == "leak":
            said.append(f"the concept shows in {_of(drift['leak'])} that did not ask for it.")
        elif cause == "forgets":
            said.append(f"prompts without its trigger word are followed {_less(value)}.")
        elif cause == "flaws":
            worse = [titles.get(one["dimension"], one["dimension"]) for one in _worst(finding)]
            said.append(f"{_percent(value)} more of its pictures are rejected{f' ({listed(worse)})' if worse else ''}.")
    return said


def _elsewhere(finding: Mapping[str, Any], setup: Setup) -> list[str]:
    """Where the concept is hit, and whether another weight would do."""
    causes = {one["cause"] for one in finding["faults"]}
    fit = [weight for weight in finding["weights"] if weight != NOMINAL]
    said = []
    if "not learnt" not in causes:
        said.append(_from(finding, setup))
    if fit and not causes & {*OVERTRAINED}:
        said.append(f"At weight {_weights(fit)} nothing is wrong with it.")
    return said


def _which(finding: Mapping[str, Any], against: str) -> str:
    verdict, compared = finding["verdict"], finding["compared"]
    if compared is None:
        return "Good: it shows what it was trained on, and nothing is wrong with it." if verdict == "better" else (
            "Nothing is wrong with it, as far as can be measured.")  # fmt: skip
    if finding["faults_against"]:
        return f"Better than {against}, which is unfit."
    better, worse = sides(compared, _base(finding))
    if verdict == "better":
        return f"Better than {against}: {listed(MORE[one] for one in better)}."
    if verdict == "worse":
        return f"Worse than {against}: {listed(LESS[one] for one in worse)}."
    if better and worse:
        return f"Neither better nor worse than {against}: {listed(MORE[one] for one in better)}, but {listed(LESS[one] for one in worse)}."
    return f"No difference to {against} that can be told from chance."


def _good(finding: Mapping[str, Any], setup: Setup) -> list[str]:
    row, drift = _row(finding), _drift(finding)
    said = [_from(finding, setup)]
    gone = lost(row["adherence"], _base(finding)["follows"])
    if row["adherence"] is not None:
        sure = row["adherence"]["high"] < 0 and gone >= MATTERS["adherence"]
        falls = f"adherence falls by {_percent(gone)} with its trigger word."
        said.append(falls if sure else "prompts are followed as well as by the base.")
    if drift["change"] is not None:
        where = "without its trigger word" if setup.triggers else "on other prompts (it has no trigger word)"
        said.append(f"{where} pictures change by {_times(drift['change']['value'])}.")
    outside = [weight for weight in setup.weights if weight not in finding["weights"] and weight > NOMINAL]
    if outside:
        said.append(f"Do not wear it at {_weights(outside)}.")
    return said


def _from(finding: Mapping[str, Any], setup: Setup) -> str:
    """From which weight on the concept is hit."""
    rows = [one for one in finding["rows"] if one["arm"] == "version" and one["hit"]]
    hits = [one for one in rows if one["hit"]["value"] >= setup.limits.concept]
    if not rows:
        return "How well its concept is hit was not measured: nobody knows what it was trained on."
    if not hits:
        return ""
    at = _row(finding)
    first = f"The concept is hit from weight {hits[0]['weight']:g} on" if hits[0]["weight"] < NOMINAL else "The concept is hit"
    return f"{first}, at weight 1 in {_of(at['hit'])}."


def _worst(finding: Mapping[str, Any]) -> Sequence[Json]:
    """Up to three dimensions that have surely changed, by how far in their own spread."""
    sure = [one for one in finding["quality"] if one["difference"] and (one["difference"]["low"] > 0 or one["difference"]["high"] < 0)]
    width = {one["dimension"]: max(1e-9, one["difference"]["high"] - one["difference"]["low"]) for one in sure}
    return sorted(sure, key=lambda one: -abs(one["difference"]["value"]) / width[one["dimension"]])[:3]


def _row(finding: Mapping[str, Any]) -> Json:
    found: Json = next(one for one in finding["rows"] if one["arm"] == "version" and one["weight"] == NOMINAL)
    return found


def _base(finding: Mapping[str, Any]) -> Json:
    found: Json = finding["rows"][0]
    return found


def _drift(finding: Mapping[str, Any]) -> Json:
    found: Json = next(one for one in finding["drift"] if one["arm"] == "version")
    return found


def _of(share: Json) -> str:
    return f"{share['hits']} of {share['n']} pictures"


def _percent(value: float) -> str:
    return f"{round(100 * value)} %"


def _less(value: float) -> str:
    return f"{_percent(value)} less than by the base" if value < 0.9 else "hardly at all"


def _times(value: float) -> str:
    return f"{_percent(value)} of what another seed changes" if value < 2 else f"{value:.0f} times what another seed changes"


def _weights(weights: Sequence[float]) -> str:
    return listed(f"{weight:g}" for weight in weights)
