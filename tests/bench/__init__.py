"""Measurements, not tests: `make bench` or `python -m tests.bench [NAME ...]`. Nothing here asserts a speed."""
