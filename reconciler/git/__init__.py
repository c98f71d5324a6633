"""Git repositories and directories -> ``Checkout``: fetched, trusted, decoded.

The only door to Git, and to files.
"""
