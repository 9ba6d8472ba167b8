"""A study in which people write demonstrations or compare answers: its folder, its storage and its rules."""
