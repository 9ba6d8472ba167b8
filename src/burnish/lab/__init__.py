"""Experiments with simulated supervision: several methods and seeds side by side, and suites of experiments."""
