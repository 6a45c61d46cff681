"""How what runs differs from what was applied, and what to do about it."""
