//! What can be said about a path before it is searched with.

use jsonpath_rust::parser::model::{
    Comparable, Filter, FilterAtom, FnArg, Segment, Selector, SingularQuery, Test, TestFunction,
};

use super::{JsonPathError, MAX_SEGMENTS};

/// The most brackets that are open at once in `text`, outside of its quotes.
pub(super) fn nesting(text: &str) -> usize {
    let (mut open, mut deepest) = (0_usize, 0);
    let mut chars = text.chars();
    while let Some(char) = chars.next() {
        match char {
            '[' | '(' => open += 1,
            ']' | ')' => open = open.saturating_sub(1),
            '\'' | '"' => skip_quoted(&mut chars, char),
            _ => {}
        }
        deepest = deepest.max(open);
    }
    deepest
}

fn skip_quoted(chars: &mut std::str::Chars<'_>, quote: char) {
    while let Some(char) = chars.next() {
        match char {
            '\\' => {
                chars.next();
            }
            end if end == quote => return,
            _ => {}
        }
    }
}

/// Refuses long chains and the functions that are not offered.
pub(super) fn check(segments: &[Segment]) -> Result<(), JsonPathError> {
    check_length(segments.len())?;
    segments.iter().try_for_each(check_segment)
}

fn check_length(segments: usize) -> Result<(), JsonPathError> {
    if segments > MAX_SEGMENTS { Err(JsonPathError::TooComplex) } else { Ok(()) }
}

fn check_segment(segment: &Segment) -> Result<(), JsonPathError> {
    match segment {
        Segment::Descendant(inner) => check_segment(inner),
        Segment::Selector(selector) => check_selector(selector),
        Segment::Selectors(selectors) => selectors.iter().try_for_each(check_selector),
    }
}

fn check_selector(selector: &Selector) -> Result<(), JsonPathError> {
    match selector {
        Selector::Filter(filter) => check_filter(filter),
        Selector::Name(_) | Selector::Wildcard | Selector::Index(_) | Selector::Slice(..) => Ok(()),
    }
}

fn check_filter(filter: &Filter) -> Result<(), JsonPathError> {
    match filter {
        Filter::Or(filters) | Filter::And(filters) => filters.iter().try_for_each(check_filter),
        Filter::Atom(FilterAtom::Filter { expr, .. }) => check_filter(expr),
        Filter::Atom(FilterAtom::Test { expr, .. }) => match &**expr {
            Test::Function(function) => {
                check_function(function)?;
                Err(JsonPathError::Uncompared)
            }
            query => check_query(query),
        },
        Filter::Atom(FilterAtom::Comparison(comparison)) => {
            let (a, b) = comparison.vals();
            check_operand(a)?;
            check_operand(b)
        }
    }
}

fn check_query(test: &Test) -> Result<(), JsonPathError> {
    match test {
        Test::RelQuery(segments) => check(segments),
        Test::AbsQuery(query) => check(&query.segments),
        Test::Function(function) => check_function(function),
    }
}

fn check_operand(operand: &Comparable) -> Result<(), JsonPathError> {
    match operand {
        Comparable::Literal(_) => Ok(()),
        Comparable::Function(function) => check_function(function),
        Comparable::SingularQuery(
            SingularQuery::Current(segments) | SingularQuery::Root(segments),
        ) => check_length(segments.len()),
    }
}

fn check_function(function: &TestFunction) -> Result<(), JsonPathError> {
    let arg = match function {
        TestFunction::Length(arg) => arg,
        TestFunction::Value(arg) | TestFunction::Count(arg) => arg,
        TestFunction::Search(..) | TestFunction::Match(..) | TestFunction::Custom(..) => {
            return Err(JsonPathError::Function);
        }
    };
    match arg {
        FnArg::Literal(_) => Ok(()),
        FnArg::Test(test) => check_query(test),
        FnArg::Filter(filter) => check_filter(filter),
    }
}
