"""A running sweep on a screen: what is seen of it, and how that is drawn. Its driver and who watches show the same."""
