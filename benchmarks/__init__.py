"""One module a headline figure; `python -m benchmarks.NAME --quick` measures it within a minute."""
