"""The customer pages, one module a page."""
