"""Git repositories and directories -> ``Checkout``. The only door to Git and to files."""
