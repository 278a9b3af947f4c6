//! The search: depth first, in document order, on a budget.
//!
//! Functions return an [`Over`] when the search ends before all was looked at.

use jsonpath_rust::parser::model::{Segment, Selector};
use serde_json::Value;

use super::{MAX_DEPTH, SearchError};
use crate::work::{Spent, Work};

/// The steps of copying one value, which allocates.
const STEPS_PER_COPY: usize = 8;

pub(super) struct Search<'v, 'w> {
    pub(super) root: &'v Value,
    pub(super) work: &'w mut Work,
    /// How much deeper `..` may go, all of the path's together.
    descents: usize,
}

/// The matches of one query, of which a filter has its own.
pub(super) struct Matches<'v> {
    pub(super) found: Vec<&'v Value>,
    pub(super) wanted: usize,
}

/// Why a search ends early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Over {
    /// As much as was wanted has been found.
    Enough,
    /// The steps are spent.
    Spent,
}

impl From<Spent> for Over {
    fn from(_: Spent) -> Self {
        Self::Spent
    }
}

pub(super) type Flow<T = ()> = Result<T, Over>;

impl<'v, 'w> Search<'v, 'w> {
    pub(super) fn new(root: &'v Value, work: &'w mut Work) -> Self {
        Self { root, work, descents: MAX_DEPTH }
    }

    /// Copies of the first `wanted` matches; copying is paid for as well.
    pub(super) fn copy_matches(
        mut self,
        segments: &[Segment],
        wanted: usize,
    ) -> Result<Vec<Value>, SearchError> {
        let found = self.matches(segments, wanted)?;
        for value in &found {
            self.spend_on_copy(value).map_err(|Spent| SearchError::TooMuchWork)?;
        }
        Ok(found.into_iter().cloned().collect())
    }

    /// The first `wanted` matches.
    pub(super) fn matches(
        &mut self,
        segments: &[Segment],
        wanted: usize,
    ) -> Result<Vec<&'v Value>, SearchError> {
        let mut matches = Matches { found: Vec::new(), wanted };
        if wanted > 0 && self.follow(self.root, segments, &mut matches) == Err(Over::Spent) {
            return Err(SearchError::TooMuchWork);
        }
        Ok(matches.found)
    }

    fn spend_on_copy(&mut self, value: &Value) -> Result<(), Spent> {
        self.work.spend(STEPS_PER_COPY)?;
        match value {
            Value::String(text) => self.work.spend_text(text.len()),
            Value::Array(items) => items.iter().try_for_each(|item| self.spend_on_copy(item)),
            Value::Object(entries) => entries.iter().try_for_each(|(key, value)| {
                self.work.spend_text(key.len())?;
                self.spend_on_copy(value)
            }),
            Value::Null | Value::Bool(_) | Value::Number(_) => Ok(()),
        }
    }

    /// Adds the matches of `segments` from `value` on.
    pub(super) fn follow(
        &mut self,
        value: &'v Value,
        segments: &[Segment],
        to: &mut Matches<'v>,
    ) -> Flow {
        self.work.spend(1)?;
        match segments {
            [] => {
                to.found.push(value);
                if to.found.len() < to.wanted { Ok(()) } else { Err(Over::Enough) }
            }
            [Segment::Descendant(inner), rest @ ..] => self.descend(value, inner, rest, to),
            [segment, rest @ ..] => self.step(value, segment, rest, to),
        }
    }

    /// A `segment` taken at `value` and at everything below it.
    fn descend(
        &mut self,
        value: &'v Value,
        segment: &Segment,
        rest: &[Segment],
        to: &mut Matches<'v>,
    ) -> Flow {
        self.work.spend(1)?;
        self.step(value, segment, rest, to)?;
        let Some(deeper) = self.descents.checked_sub(1) else { return Ok(()) };
        self.descents = deeper;
        let flow = children(value).try_for_each(|child| self.descend(child, segment, rest, to));
        self.descents += 1;
        flow
    }

    fn step(
        &mut self,
        value: &'v Value,
        segment: &Segment,
        rest: &[Segment],
        to: &mut Matches<'v>,
    ) -> Flow {
        match segment {
            Segment::Selector(selector) => self.select(value, selector, rest, to),
            Segment::Selectors(selectors) => {
                selectors.iter().try_for_each(|selector| self.select(value, selector, rest, to))
            }
            Segment::Descendant(inner) => self.step(value, inner, rest, to),
        }
    }

    fn select(
        &mut self,
        value: &'v Value,
        selector: &Selector,
        rest: &[Segment],
        to: &mut Matches<'v>,
    ) -> Flow {
        self.work.spend(1)?;
        match selector {
            Selector::Name(name) => match named(value, name) {
                Some(child) => self.follow(child, rest, to),
                None => Ok(()),
            },
            Selector::Index(index) => match indexed(value, *index) {
                Some(child) => self.follow(child, rest, to),
                None => Ok(()),
            },
            Selector::Wildcard => {
                children(value).try_for_each(|child| self.follow(child, rest, to))
            }
            Selector::Slice(start, end, step) => {
                let items = value.as_array().map_or(&[][..], Vec::as_slice);
                slice_indices(items.len(), *start, *end, step.unwrap_or(1))
                    .try_for_each(|index| self.follow(&items[index], rest, to))
            }
            Selector::Filter(filter) => children(value).try_for_each(|child| {
                if self.holds(filter, child)? { self.follow(child, rest, to) } else { Ok(()) }
            }),
        }
    }
}

fn children(value: &Value) -> Box<dyn Iterator<Item = &Value> + '_> {
    match value {
        Value::Array(items) => Box::new(items.iter()),
        Value::Object(entries) => Box::new(entries.values()),
        _ => Box::new(std::iter::empty()),
    }
}

pub(super) fn named<'v>(value: &'v Value, name: &str) -> Option<&'v Value> {
    value.as_object()?.get(name)
}

pub(super) fn indexed(value: &Value, index: i64) -> Option<&Value> {
    let items = value.as_array()?;
    let distance = usize::try_from(index.unsigned_abs()).ok()?;
    if index < 0 { items.get(items.len().checked_sub(distance)?) } else { items.get(distance) }
}

/// The indices of a slice, as RFC 9535 (2.3.4.2.2) computes them; a step of 0 selects nothing.
fn slice_indices(
    len: usize,
    start: Option<i64>,
    end: Option<i64>,
    step: i64,
) -> impl Iterator<Item = usize> {
    let len = i64::try_from(len).unwrap_or(i64::MAX);
    let normal = |index: i64| if index < 0 { len.saturating_add(index) } else { index };
    let (first, last) = if step < 0 {
        let first = start.map_or(len - 1, normal).clamp(-1, len - 1);
        (first, end.map_or(-1, normal).clamp(-1, len - 1))
    } else {
        (start.map_or(0, normal).clamp(0, len), end.map_or(len, normal).clamp(0, len))
    };
    let within = move |index: &i64| if step < 0 { *index > last } else { *index < last };
    std::iter::successors(Some(first), move |index| index.checked_add(step))
        .take_while(move |index| step != 0 && within(index))
        .filter_map(|index| usize::try_from(index).ok())
}
