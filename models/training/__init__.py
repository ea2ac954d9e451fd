"""LoRA training on this machine: what learns, and from what. Only a training process imports the modules that hold torch."""
