//! The repository as text: its files, the crates' manifests, and what is to be found in a line.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Component, Path, PathBuf};

/// Every file, by its path from the root.
pub(crate) struct Repository(pub(crate) BTreeMap<String, String>);

/// What is not ours, or no source.
const SKIPPED: [&str; 6] =
    ["target", ".git", ".recado", "proptest-regressions", "corpus", "artifacts"];

impl Repository {
    pub(crate) fn here() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let mut files = BTreeMap::new();
        collect(&root, &root, &mut files);
        Self(files)
    }

    /// The text of a file; nothing if there is none.
    pub(crate) fn text(&self, path: &str) -> &str {
        self.0.get(path).map_or("", String::as_str)
    }

    /// Whether there is such a file, or a directory with something in it.
    pub(crate) fn exists(&self, path: &str) -> bool {
        let inside = format!("{path}/");
        self.0.contains_key(path) || self.0.keys().any(|file| file.starts_with(&inside))
    }

    pub(crate) fn rust(&self) -> impl Iterator<Item = (&str, &str)> {
        let files = self.0.iter().map(|(path, text)| (path.as_str(), text.as_str()));
        files.filter(|(path, _)| extension(path) == "rs")
    }

    /// The manifests of the crates below `prefix`.
    pub(crate) fn manifests<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = Manifest<'a>> {
        let crates = self.0.iter().filter(move |(path, _)| path.starts_with(prefix));
        let manifests = crates.filter(|(path, _)| path.ends_with("/Cargo.toml"));
        manifests.map(|(path, text)| Manifest { path, text })
    }
}

fn collect(root: &Path, directory: &Path, files: &mut BTreeMap<String, String>) {
    for entry in fs::read_dir(directory).expect("the repository can be read") {
        let path = entry.expect("the repository can be read").path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if SKIPPED.contains(&name.as_ref()) {
            continue;
        }
        if path.is_dir() {
            collect(root, &path, files);
        } else if path.is_file()
            && let Ok(text) = fs::read_to_string(&path)
        {
            let path = path.strip_prefix(root).expect("it is below the root");
            files.insert(path.to_string_lossy().into_owned(), text);
        }
    }
}

/// A crate's Cargo.toml, of which we only need to know lines.
pub(crate) struct Manifest<'a> {
    pub(crate) path: &'a str,
    pub(crate) text: &'a str,
}

/// A line below `[dependencies]` or one of its relatives.
pub(crate) struct Dependency {
    pub(crate) name: String,
    pub(crate) line: String,
    /// File and line.
    pub(crate) at: String,
    pub(crate) is_for_tests: bool,
}

impl Manifest<'_> {
    pub(crate) fn package(&self) -> String {
        between(self.text, "name = \"", "\"").unwrap_or_default().to_owned()
    }

    /// The last directory of its path.
    pub(crate) fn directory(&self) -> &str {
        self.path.rsplit('/').nth(1).unwrap_or_default()
    }

    pub(crate) fn dependencies(&self) -> Vec<Dependency> {
        let mut section = "";
        let mut found = Vec::new();
        for (index, line) in self.text.lines().enumerate() {
            if line.starts_with('[') {
                section = line;
                continue;
            }
            let is_dependency = section.ends_with("dependencies]") && line.contains('=');
            let name = line.split(['.', ' ', '=']).next().unwrap_or_default();
            if is_dependency && !name.starts_with('#') {
                found.push(Dependency {
                    name: name.to_owned(),
                    line: line.to_owned(),
                    at: format!("{}:{}", self.path, index + 1),
                    is_for_tests: section == "[dev-dependencies]",
                });
            }
        }
        found
    }
}

pub(crate) fn extension(path: &str) -> &str {
    path.rsplit_once('.').map_or("", |(_, extension)| extension)
}

pub(crate) fn is_test(path: &str) -> bool {
    path.starts_with("tests/") || path.contains("/tests/") || path.ends_with("tests.rs")
}

/// What stands between the first `before` and the `after` that follows it.
pub(crate) fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(before)?;
    rest.split_once(after).map(|(found, _)| found)
}

/// Every name of a variable of ours. `RECADO_JWT_*` is none.
pub(crate) fn variables(text: &str) -> impl Iterator<Item = &str> {
    text.match_indices("RECADO_").filter_map(|(at, _)| {
        let rest = &text[at..];
        let is_part = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
        let name = rest.split(|c| !is_part(c)).next()?;
        (!name.ends_with('_')).then_some(name)
    })
}

/// The first two cells of all tables that begin with `head`, without their backticks.
pub(crate) fn table(text: &str, head: &str) -> BTreeMap<String, String> {
    let tables = text.split(head).skip(1);
    let rows = tables.flat_map(|table| table.lines().take_while(|line| !line.is_empty()).skip(1));
    let cells = rows.filter_map(|row| row.strip_prefix("| `")?.split_once("` | "));
    cells
        .filter_map(|(first, rest)| Some((first, rest.split(" |").next()?)))
        .map(|(first, second)| (first.to_owned(), second.trim_matches('`').to_owned()))
        .collect()
}

/// `target` as seen from the directory of `path`.
pub(crate) fn beside(path: &str, target: &str) -> String {
    let mut found = PathBuf::from(path);
    found.pop();
    for component in Path::new(target).components() {
        match component {
            Component::ParentDir => drop(found.pop()),
            Component::CurDir => {}
            other => found.push(other),
        }
    }
    found.to_string_lossy().into_owned()
}

/// Whether a heading has this anchor, as GitHub makes them.
pub(crate) fn has_heading(text: &str, anchor: &str) -> bool {
    let headings = text.lines().filter(|line| line.starts_with('#'));
    let anchors = headings.map(|heading| {
        let title = heading.trim_start_matches('#').trim().to_lowercase();
        let kept = title.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
        kept.collect::<String>().replace(' ', "-")
    });
    anchors.into_iter().any(|found| found == anchor)
}
