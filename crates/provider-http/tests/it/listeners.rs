//! Listeners: Unix sockets, several of them, what does not start.
