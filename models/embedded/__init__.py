"""The embedded FLUX.1: a tiny model that learns a procedural world of product scenes on a CPU."""
