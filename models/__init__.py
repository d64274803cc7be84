"""One room per published family: its hyper-parameters, its network, its checkpoints."""
