//! Loading of configuration files: layers, checks, positions.
