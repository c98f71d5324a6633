"""``Plan`` -> ``Outcome`` per object: waves, prunes, fencing."""
