"""Fixtures of these tests: the JavaScript clients."""

from tests.nodejs import node_clients, run_node

__all__ = ["node_clients", "run_node"]
