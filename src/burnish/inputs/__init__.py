"""What a config names: models, datasets and programs, found and identified before anything is spent."""
