"""What a model folder is: its card, and where models lie."""
