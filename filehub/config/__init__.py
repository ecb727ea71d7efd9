"""
The configuration: what may be written (C{schema}), how it is read (C{loading}), and
the server that it describes (C{building}).
"""
