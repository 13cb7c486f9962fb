"""What a row costs besides time: memory, energy, and the state of the device. No framework."""
