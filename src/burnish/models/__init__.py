"""Folders of models: their cards, their places, their chat templates, and what is wrong with their files."""
