"""What the providers' scripts stand on: an installation, its API, and a count of what holds."""
