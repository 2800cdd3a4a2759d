"""From nodes of a graph to layers of the machine, one file per kind of layer."""
