"""From Compose's canonical model to the desired state and the create-file."""
