"""What holds a commit on this machine until a person or a change of the machine ends it."""
