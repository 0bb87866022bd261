"""kill -9 of everything, under load, and the sum of all events afterwards."""
