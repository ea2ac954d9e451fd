"""LoRA training as a process of its own: `python -m pipelines.training FOLDER`. What learns is in `models.training`.

A run's folder: `run.toml` (settings, see `config`), `dataset.json` and `images/` (see `pipelines.dataset`), then what the process makes:
`cache/`, `checkpoints/NNNNNN/`, `samples/NNNNNN/K.png`, `events.jsonl` (see `events`), `best.safetensors`, or `failure.json`. A file
`stop` in it ends the training with the best so far. No torch in these modules: the page's process imports them.
"""
