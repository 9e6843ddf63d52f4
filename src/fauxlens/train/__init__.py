"""Plans and manifests to checkpoints: what is shown in which order, what is asked of it, and the loop."""
