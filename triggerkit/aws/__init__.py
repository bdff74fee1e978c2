"""What every AWS adapter shares: clients, credentials, errors, signing and transports."""
