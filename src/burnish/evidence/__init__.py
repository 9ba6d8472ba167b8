"""Claims that are registered before they are tested, and what committed results say about them."""
