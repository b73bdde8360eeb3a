//! Credentials on every route, and who is answered without them.
