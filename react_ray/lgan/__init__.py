"""The label GAN on frozen features: networks, losses, training, label generation."""
