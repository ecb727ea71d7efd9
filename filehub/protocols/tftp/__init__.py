"""TFTP: RFC 1350 and its options."""
