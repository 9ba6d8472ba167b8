"""Pairs and answers from other labelling tools: one file a tool, and what becomes of them."""
