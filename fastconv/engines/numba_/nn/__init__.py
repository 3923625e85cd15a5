"""What layers of networks compute beside convolutions."""
