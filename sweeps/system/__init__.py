"""The environment: the machine, the commit of the code, private interfaces of libraries."""
