"""Shared by the tests of what clients read about usage."""

from tests.nodejs import node_clients, run_node

__all__ = ["node_clients", "run_node"]
