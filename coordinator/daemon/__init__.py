"""The process ``relay-coordinator``: sees every room of the coordinator, decides nothing itself.

It wires session, election, addresses, peers and the local interface together, starts and stops them in order, and
says what it sees (``view.py``).
"""
