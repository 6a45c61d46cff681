"""Settings that a commit may not use. One module for each kind of Compose's objects."""
