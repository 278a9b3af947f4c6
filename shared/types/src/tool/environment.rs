//! Environment variables that decide which code a program runs.
//!
//! The operator lists the programs that may be MCP servers; whoever defines a tool chooses their
//! environment. With these names that choice would be one of another program.

/// Names that loaders, shells and interpreters take code from, or the place to look for it.
const NAMES: &[&str] = &[
    "BASHOPTS",
    "BASH_ENV",
    "CLASSPATH",
    "ENV",
    "GCONV_PATH",
    "GIT_ASKPASS",
    "GIT_EDITOR",
    "GIT_EXEC_PATH",
    "GIT_EXTERNAL_DIFF",
    "GIT_PAGER",
    "GIT_PROXY_COMMAND",
    "GIT_SEQUENCE_EDITOR",
    "GIT_TEMPLATE_DIR",
    "IFS",
    "JAVA_TOOL_OPTIONS",
    "JDK_JAVA_OPTIONS",
    "NODE_OPTIONS",
    "NODE_PATH",
    "PATH",
    "PERL5DB",
    "PERL5LIB",
    "PERL5OPT",
    "PERLLIB",
    "PROMPT_COMMAND",
    "PS4",
    "PYTHONBREAKPOINT",
    "PYTHONHOME",
    "PYTHONSTARTUP",
    "RUBYLIB",
    "RUBYOPT",
    "SHELLOPTS",
    "_JAVA_OPTIONS",
];

/// How names of the dynamic loaders and of git begin that do the same.
const BEGINNINGS: &[&str] = &["DYLD_", "GIT_CONFIG", "GIT_SSH", "LD_"];

/// Whether the environment variable `name` can make a program run something else than itself:
/// `PATH`, `LD_PRELOAD`, `NODE_OPTIONS` and their like. No MCP server is given one.
pub fn changes_programs(name: &str) -> bool {
    let is_pythons = name.starts_with("PYTHON") && name.ends_with("PATH");
    let begins_so = BEGINNINGS.iter().any(|beginning| name.starts_with(beginning));
    is_pythons || begins_so || NAMES.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_makes_a_program_run_something_else_is_known() {
        for name in [
            "PATH",
            "LD_PRELOAD",
            "LD_LIBRARY_PATH",
            "DYLD_INSERT_LIBRARIES",
            "NODE_OPTIONS",
            "PYTHONPATH",
            "PYTHONPLATLIBPATH",
            "PYTHONSTARTUP",
            "BASH_ENV",
            "ENV",
            "IFS",
            "GIT_SSH_COMMAND",
            "GIT_CONFIG_COUNT",
            "GIT_EXTERNAL_DIFF",
            "PERL5OPT",
            "RUBYOPT",
            "JAVA_TOOL_OPTIONS",
        ] {
            assert!(changes_programs(name), "{name}");
        }
        for name in ["API_KEY", "GIT_AUTHOR_NAME", "ENVIRONMENT", "FILES_PATH", "LDAP_URL"] {
            assert!(!changes_programs(name), "{name}");
        }
    }
}
