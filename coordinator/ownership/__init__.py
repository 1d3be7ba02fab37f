"""Who owns rows that two machines hold: pairings, their transactions, and what may be attempted; pure, handed ``now``.

A *spool* is a disk's rows, named by a UUID made with its directory. A *pairing* joins a spool with one other node, its
*shadow*, which keeps copies; one key in the store says which of the two *ends* owns the rows of its *epoch*. A *row* is
attached to one pairing at most. Coordination-review §3.
"""
