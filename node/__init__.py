"""One relay: takes mail in, keeps it safe, hands it on to Microsoft 365."""

__version__ = "0.1.0"
