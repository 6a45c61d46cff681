"""How long, how much: our figures against those of Compose, on the machine where this runs."""
