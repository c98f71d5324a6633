"""What keeps two runs apart: a Lease of the host cluster, or a locked file."""
