"""What a commit may not ask of the machine. One module for each kind of thing that Compose can name."""
