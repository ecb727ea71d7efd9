"""
How fast FileHub is, beside other servers in the same run.  See C{README.rst}.
"""
