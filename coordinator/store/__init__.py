"""The store everything shared is kept in: its contract, etcd for real, and memory for one node and for tests."""
