"""What a commit may ask for: the policies, the memory budget, and warnings."""
