"""The field: methods, probes and presets in one table, with rivals, costs and what chance explains.

`rows` says which rows there are, `rivals` measures those that no request can ask for, `costs` what
a row takes, `paired` whether two rows differ. `evaluate` runs them.
"""
