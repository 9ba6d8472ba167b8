"""Experiments: simulated supervision, methods side by side, seeds, and suites of experiments."""
