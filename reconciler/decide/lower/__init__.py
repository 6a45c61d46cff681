"""From Compose's canonical model to the desired state and to what Compose is given to create."""
