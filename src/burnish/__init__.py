"""Better language models from bad supervision."""

__version__ = "0.1.0"

__all__ = ["__version__"]
