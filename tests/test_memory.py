"""The plan for memory: a pure function with properties that must hold for every card on every machine."""
from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.machine import main_memory, usable_cores
from models.memory import EXAMPLES, Machine, choose_family, plan, table
from models.presets import load_catalogue

CATALOGUE = load_catalogue()
CARDS = list(CATALOGUE.cards.values())
RANK = {"fp8": 0, "bf16": 1, "fp32": 2}
ENCODERS = {"dropped": 0, "swapped": 1, "kept": 2}
SIZES = [(256, 256), (512, 512), (1024, 1024), (1376, 768)]

kinds = st.sampled_from(["cuda", "mps", "cpu"])
memories = st.floats(1, 200)
cards = st.sampled_from(CARDS)


def machine(kind: str, gib: float, ram: float) -> Machine:
    return Machine(kind, "a device", gib, ram if kind == "cuda" else gib, 8)


@given(cards, kinds, memories, memories, st.floats(0, 100), st.floats(0, 100))
def test_more_memory_is_never_worse(card, kind, gib, ram, more_gib, more_ram):
    less, more = plan(card, machine(kind, gib, ram)), plan(card, machine(kind, gib + more_gib, ram + more_ram))
    assert more.fits >= less.fits
    if less.fits:
        assert RANK[more.precision] >= RANK[less.precision]
        assert more.streamed <= less.streamed
        assert all(more.batch(*size) >= less.batch(*size) for size in SIZES)
        if more.precision == less.precision:
            assert ENCODERS[more.encoders] >= ENCODERS[less.encoders]


@given(cards, kinds, memories, memories)
def test_what_is_planned_fits(card, kind, gib, ram):
    host = machine(kind, gib, ram)
    found = plan(card, host)
    if found.fits:
        assert found.resident + found.working <= host.usable + 1e-6
        assert found.reading <= host.usable
        assert found.host <= host.ram
    assert found.batch(1024, 1024) >= 1
    assert found.resident > 0
    assert found.words


@given(cards, kinds, memories, memories)
def test_a_plan_is_one_the_device_can_do(card, kind, gib, ram):
    found = plan(card, machine(kind, gib, ram))
    assert found.device == kind
    if kind != "cuda":  # float8 and taking turns over a bus are for GPUs with memory of their own.
        assert found.precision != "fp8"
        assert not found.streamed
        assert found.encoders != "swapped"
    assert found.evict == (found.encoders != "kept")


def test_every_card_runs_on_some_example_and_the_embedded_one_on_all():
    for card in CARDS:
        fitting = [host for host in EXAMPLES if plan(card, host).fits]
        assert fitting
        assert (not card.embedded or len(fitting) == len(EXAMPLES))


@pytest.mark.parametrize(
    ("name", "gib", "ram", "precision", "offload"),
    [
        ("flux2-klein-4b", 8, 32, "fp8", "encoders"),
        ("flux2-klein-4b", 12, 32, "bf16", "encoders"),
        ("flux1-dev", 12, 32, "fp8", "streamed"),
        ("flux1-dev", 16, 32, "fp8", "encoders"),
        ("flux1-dev", 24, 64, "fp8", "encoders"),
        ("flux1-dev", 80, 128, "bf16", "none"),
        ("flux2-klein-4b", 24, 32, "bf16", "none"),
        ("flux2-dev", 80, 128, "fp8", "encoders"),
    ],
)
def test_the_plans_people_know(name, gib, ram, precision, offload):
    found = plan(CATALOGUE.card(name), Machine("cuda", "GPU", gib, ram, 8))
    assert found.fits
    assert (found.precision, found.offload) == (precision, offload)


def test_the_embedded_model_draws_at_32_bits_everywhere():
    for host in EXAMPLES:
        found = plan(CATALOGUE.card("embedded"), host)
        assert found.precision == "fp32"
        assert found.batch(256, 256) >= 8


def test_what_does_not_fit_says_what_is_missing():
    found = plan(CATALOGUE.card("flux2-dev"), Machine("cuda", "Small", 8, 16, 4))
    assert not found.fits
    assert "FLUX.2-dev" in found.words
    assert "Small, 8 GB" in found.words
    assert "main memory" in found.words


def test_the_document_is_made_from_the_function():
    file = Path(__file__).parent.parent / "docs" / "memory.md"
    assert file.read_text(encoding="utf-8") == table(CATALOGUE), "run `python -m models.memory > docs/memory.md`"


ALL = {card.name for card in CARDS}
GPU = Machine("cuda", "GPU", 24, 64, 8)


@pytest.mark.parametrize(
    ("host", "found", "family"),
    [
        (GPU, set(), "embedded"),
        (GPU, ALL, "flux2-klein"),
        (GPU, {"flux1-schnell", "flux1-dev"}, "flux1"),
        (GPU, {"flux1-schnell"}, "embedded"),
        (replace(GPU, gib=2), ALL, "embedded"),
        (Machine("cpu", "CPU", 256, 256, 64), ALL, "embedded"),
        (Machine("mps", "Apple", 64, 64, 12), ALL, "flux2-klein"),
    ],
)
def test_the_family_to_start_with(host, found, family):
    assert choose_family(CATALOGUE, host, found) == family


def test_this_machine_is_measured():
    assert 0.25 < main_memory() < 65536
    assert usable_cores() >= 1


def test_a_machine_is_told_in_words():
    assert Machine("cpu", "x86_64", 16, 16, 1).words == "CPU, 1 core"
    assert Machine("cuda", "NVIDIA H100", 79.6, 128, 16).words == "NVIDIA H100, 80 GB"
