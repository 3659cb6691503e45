"""The NBD protocol without a socket: messages, dialogues and limits. Imports no socket, thread or clock."""
