"""May change the machine. Decides nothing."""
