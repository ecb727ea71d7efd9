"""
What every storage must do, as mix-ins: a back end's tests inherit them and say how
one is made.
"""
