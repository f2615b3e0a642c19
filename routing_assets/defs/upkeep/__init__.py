"""What runs by itself: reports, retention, failures."""
