"""What the journal's records come to, and what can be given up."""
