"""How many training runs are searched, scheduled, recorded and compared."""
