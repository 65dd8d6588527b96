"""What this project stands on: the machine, the commit of the code, the private interfaces of libraries."""
