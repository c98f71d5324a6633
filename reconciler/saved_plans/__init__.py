"""Plans kept in a file until they are applied: ``--out`` and ``--apply-plan``.

A saved plan decides nothing. A run that is given one plans anew, from its own command line, and
goes on only when it comes to the same: the file can stop it, and can make it do nothing else.
"""
