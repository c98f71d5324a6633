"""The fleet as it is now, for `reconcile clusters` and `reconcile status`: values, no words."""
