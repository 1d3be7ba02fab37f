"""The authenticated channel between the cluster's processes: who may call whom, and how (operations §5, Peers)."""
