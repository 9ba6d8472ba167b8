"""Finds and identifies the models, datasets and programs that a config names, before anything is spent."""
