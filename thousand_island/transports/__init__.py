"""The transports that come with the server: clear and encrypted sockets."""
