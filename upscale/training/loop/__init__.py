"""The training loop: batches, gradients, updates, what is kept and logged, and the way back from spikes."""
