//! Loading of workflow files: TOML to `domain::workflow::Workflow`, with positions for every problem.
