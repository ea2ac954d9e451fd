"""How the embedded family is made: renders, autoencoder, text encoders, flow, CLIPs. Not needed to run the studio."""
