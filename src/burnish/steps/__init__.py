"""The steps that methods consist of. Each step is one stage or a few stages."""
