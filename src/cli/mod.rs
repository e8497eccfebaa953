//! Arguments, and one file for each command.
