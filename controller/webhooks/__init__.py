"""What the API server asks before it stores an object of ours, and how versions are converted."""
