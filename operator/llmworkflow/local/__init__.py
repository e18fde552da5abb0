"""The shell on one machine: the same plan, carried out over a Ray that the command starts itself."""
