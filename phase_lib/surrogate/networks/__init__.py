"""The networks: each a module whose settings class has its name, `mlp` and `Mlp`."""
