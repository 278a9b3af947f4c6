//! What models call the tools of an MCP server.
//!
//! `<tool>__<name at the server>`, of the letters that providers take and at most [`MAX_NAME`] of
//! them. Where that would make one name of two, each of these gets a mark that depends on its full
//! name alone: the same names come out whatever else is on offer and in whichever order, so a
//! model's call still means the same after a restart.

use std::collections::{HashMap, HashSet};

use sha2::{Digest, Sha256};

/// The longest name that the providers take.
const MAX_NAME: usize = 64;
/// An underscore and eight hexadecimal digits.
const MARK: usize = 9;

/// The names for `wanted`, pairs of a tool of ours and a name at its server, in their order. Names
/// in `taken` are left to those who have them. `None` for a pair that is there twice.
pub(super) fn names(wanted: &[(&str, &str)], taken: &HashSet<&str>) -> Vec<Option<String>> {
    let plain: Vec<String> = wanted.iter().map(|(tool, name)| plain(tool, name)).collect();
    let mut uses: HashMap<&str, usize> = HashMap::new();
    for name in &plain {
        *uses.entry(name).or_default() += 1;
    }
    let mut given: HashSet<String> = taken.iter().map(|&name| name.to_owned()).collect();
    let named = plain.iter().zip(wanted).map(|(plain, (tool, name))| {
        let fits = plain.len() <= MAX_NAME && uses[plain.as_str()] == 1;
        let name = if fits && !taken.contains(plain.as_str()) {
            plain.clone()
        } else {
            marked(plain, tool, name)
        };
        given.insert(name.clone()).then_some(name)
    });
    named.collect()
}

/// The name that a tool has if no other wants it; may be too long.
fn plain(tool: &str, name: &str) -> String {
    let letter = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    let name: String = name.chars().map(|c| if letter(c) { c } else { '_' }).collect();
    prefix(tool) + &name
}

/// How the names of all tools of the server `tool` begin.
pub(super) fn prefix(tool: &str) -> String {
    format!("{tool}__")
}

fn marked(plain: &str, tool: &str, name: &str) -> String {
    let digest = Sha256::digest(format!("{tool}\n{name}"));
    let keep = plain.len().min(MAX_NAME - MARK);
    // All of it is ASCII.
    format!("{}_{}", &plain[..keep], hex::encode(&digest[..4]))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn named(wanted: &[(&str, &str)]) -> Vec<String> {
        names(wanted, &HashSet::new()).into_iter().map(Option::unwrap).collect()
    }

    #[test]
    fn a_name_says_whose_tool_it_is() {
        assert_eq!(named(&[("crm", "find"), ("erp", "find")]), ["crm__find", "erp__find"]);
    }

    #[test]
    fn names_that_would_be_one_are_told_apart_by_themselves_alone() {
        let both = named(&[("crm", "a.b"), ("crm", "a/b")]);
        assert_ne!(both[0], both[1]);
        assert!(both[0].starts_with("crm__a_b_"), "{both:?}");
        let turned = named(&[("crm", "a/b"), ("crm", "a.b")]);
        assert_eq!(turned, [both[1].clone(), both[0].clone()]);
    }

    #[test]
    fn a_taken_name_is_left_to_its_owner() {
        let taken = HashSet::from(["crm__find"]);
        let name = names(&[("crm", "find")], &taken).remove(0).unwrap();
        assert!(name.starts_with("crm__find_"), "{name}");
    }

    #[test]
    fn a_tool_that_a_server_lists_twice_is_offered_once() {
        let twice = names(&[("crm", "find"), ("crm", "find")], &HashSet::new());
        assert!(twice[0].is_some() && twice[1].is_none(), "{twice:?}");
    }

    proptest! {
        #[test]
        fn every_name_is_fit_for_providers_and_unique(
            wanted in proptest::collection::vec(("[a-c_]{1,48}", "\\PC{0,70}"), 0..20)
        ) {
            let wanted: Vec<_> = wanted.iter().map(|(t, n)| (t.as_str(), n.as_str())).collect();
            let given: Vec<String> = names(&wanted, &HashSet::new()).into_iter().flatten().collect();
            let distinct: HashSet<&String> = given.iter().collect();
            prop_assert_eq!(distinct.len(), given.len());
            let letter = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
            for name in given {
                prop_assert!(name.len() <= 64 && name.chars().all(letter), "{}", name);
            }
        }
    }
}
