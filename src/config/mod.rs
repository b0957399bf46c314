//! What an operator may set, where it came from, and what is wrong with it.
