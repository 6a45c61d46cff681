"""Reports outcomes to the forge of a commit: what each channel should say, what was delivered, and the delivery."""
