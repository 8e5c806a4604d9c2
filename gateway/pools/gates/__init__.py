"""The rules of the gate about cash pools: funding, mandates, and whether a pool's payment may leave."""
