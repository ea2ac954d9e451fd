"""Data that ships with the studio, read-only: model cards and families as TOML files."""
