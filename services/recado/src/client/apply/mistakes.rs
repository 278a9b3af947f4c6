//! What is wrong with files, all of it at once.

use std::fmt::{Display, Formatter, Write as _};
use std::rc::Rc;

use super::file::Item;
use crate::client::failure::Failure;
use crate::table::one_line;

/// Enough to mend a file by.
const MAX_TOLD: usize = 64;

/// Where something stands: `reception.yaml:12`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) file: Rc<str>,
    /// `None` for the file as a whole.
    pub(super) line: Option<u64>,
    /// In which of its documents, where there are several.
    pub(super) document: Option<usize>,
}

impl Place {
    /// The file as a whole.
    pub(super) fn of_file(file: &Rc<str>) -> Self {
        Self { file: Rc::clone(file), line: None, document: None }
    }

    /// Another line of the same document.
    pub(super) fn line(&self, line: u64) -> Self {
        Self { line: Some(line), ..self.clone() }
    }
}

impl Display for Place {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        f.write_str(&one_line(&self.file))?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        match self.document {
            Some(document) => write!(f, " (document {document})"),
            None => Ok(()),
        }
    }
}

/// Mistakes, each with where it is.
#[derive(Debug, Default)]
pub(super) struct Mistakes(Vec<(Place, String)>);

impl Mistakes {
    pub(super) fn add(&mut self, at: Place, what: impl AsRef<str>) {
        self.0.push((at, one_line(what.as_ref())));
    }

    /// A mistake in a field of something. `path` and `reason` are one sentence.
    pub(super) fn add_of(&mut self, item: &Item, path: &str, reason: impl Display) {
        self.add(item.at(path), format!("{}: {path} {reason}", item.label()));
    }

    /// A failure that tells them, if there are any: file by file, in the order of their lines.
    pub(super) fn finish(mut self) -> Result<(), Failure> {
        self.0.sort_by(|(one, _), (other, _)| one.cmp(other));
        match self.0.as_slice() {
            [] => Ok(()),
            [(at, what)] => Err(Failure::Usage(format!("{at}: {what}"))),
            several => {
                let mut told = format!("there are {} mistakes:", several.len());
                for (at, what) in several.iter().take(MAX_TOLD) {
                    let _ = write!(told, "\n  {at}: {what}");
                }
                if let Some(n_others @ 1..) = several.len().checked_sub(MAX_TOLD) {
                    let _ = write!(told, "\n  … and {n_others} more");
                }
                Err(Failure::Usage(told))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mistakes_are_told_in_the_order_of_their_lines_and_those_left_out_are_counted() {
        let place = Place { file: "x.yaml".into(), line: None, document: Some(2) };
        let mut mistakes = Mistakes::default();
        for line in (1..=MAX_TOLD as u64 + 6).rev() {
            mistakes.add(place.line(line), format!("no. {line}\u{1b}"));
        }
        let told = mistakes.finish().unwrap_err().to_string();
        let first = "there are 70 mistakes:\n  x.yaml:1 (document 2): no. 1 \n  x.yaml:2 ";
        assert!(told.starts_with(first), "{told}");
        assert!(told.ends_with("no. 64 \n  … and 6 more"), "{told}");
    }
}
