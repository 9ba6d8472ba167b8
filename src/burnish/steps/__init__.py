"""Steps that methods are made of. Each step is a stage, or a few stages."""
