//! In which order things are made: what is referred to comes first.
//!
//! An agent has tools, and a tool may be an agent, so there may be circles. They are broken at an
//! agent: it is made without the tools that are not there yet, and gets them in the end.

use std::collections::HashSet;

/// What there is to do about a thing, as far as its order matters.
#[derive(Clone, Debug)]
pub(super) struct Task {
    /// Its id, or what stands in for it.
    pub(super) id: String,
    /// Whether it has to be made, so that others have to wait for it.
    pub(super) is_new: bool,
    /// Whether it can be made without its tools.
    pub(super) is_agent: bool,
    /// The new things that it refers to.
    pub(super) needs: HashSet<String>,
}

/// One request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// All of it.
    Whole(usize),
    /// An agent without the tools that are yet to be made.
    WithoutTools(usize),
    /// The tools that were left out.
    Tools(usize),
}

/// Every task once, or without its tools and then its tools.
///
/// Those that wait for themselves and are no agents come at last, as they are: the server will say
/// what it thinks of them.
pub(super) fn order(tasks: &[Task]) -> Vec<Step> {
    let mut waiting: Vec<usize> = (0..tasks.len()).collect();
    let mut missing: HashSet<&str> =
        tasks.iter().filter(|task| task.is_new).map(|task| task.id.as_str()).collect();
    let mut steps = Vec::new();
    let mut to_complete = Vec::new();
    while !waiting.is_empty() {
        let is_ready = |index: &usize| {
            let mut needs = tasks[*index].needs.iter();
            needs.all(|need| !missing.contains(need.as_str()))
        };
        let can_begin = |index: &usize| tasks[*index].is_agent && tasks[*index].is_new;
        let (at, is_whole) = match waiting.iter().position(is_ready) {
            Some(at) => (at, true),
            None => match waiting.iter().position(can_begin) {
                Some(at) => (at, false),
                None => (0, true),
            },
        };
        let index = waiting.remove(at);
        missing.remove(tasks[index].id.as_str());
        if is_whole {
            steps.push(Step::Whole(index));
        } else {
            steps.push(Step::WithoutTools(index));
            to_complete.push(Step::Tools(index));
        }
    }
    steps.extend(to_complete);
    steps
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn task(id: usize, is_agent: bool, is_new: bool, needs: &[usize]) -> Task {
        let needs = needs.iter().map(usize::to_string).collect();
        Task { id: id.to_string(), is_new, is_agent, needs }
    }

    #[test]
    fn what_is_referred_to_comes_first() {
        let tasks =
            [task(0, false, true, &[2]), task(1, true, true, &[0]), task(2, true, true, &[])];
        assert_eq!(order(&tasks), [Step::Whole(2), Step::Whole(0), Step::Whole(1)]);
    }

    #[test]
    fn a_circle_is_broken_at_an_agent() {
        let tasks = [task(0, false, true, &[1]), task(1, true, true, &[0])];
        assert_eq!(order(&tasks), [Step::WithoutTools(1), Step::Whole(0), Step::Tools(1)]);
        // One that is there already waits for nobody but its new tool.
        let tasks = [task(0, false, true, &[]), task(1, true, false, &[0])];
        assert_eq!(order(&tasks), [Step::Whole(0), Step::Whole(1)]);
        let itself = [task(0, false, true, &[0])];
        assert_eq!(order(&itself), [Step::Whole(0)]);
    }

    proptest! {
        /// Tools refer to agents, and agents to tools.
        #[test]
        fn nothing_is_sent_before_what_it_needs(
            shape in prop::collection::vec((any::<bool>(), any::<bool>(), any::<u32>()), 1..12),
        ) {
            let tasks: Vec<Task> = shape.iter().enumerate().map(|(id, (is_agent, is_new, bits))| {
                let others = shape.iter().enumerate().filter(|(other, it)| {
                    it.1 && it.0 != *is_agent && bits >> (other % 32) & 1 == 1
                });
                let needs: Vec<usize> = others.map(|(other, _)| other).collect();
                task(id, *is_agent, *is_new, &needs)
            }).collect();
            let steps = order(&tasks);
            let mut there = HashSet::new();
            for step in &steps {
                match step {
                    Step::Whole(index) => {
                        prop_assert!(tasks[*index].needs.is_subset(&there), "{steps:?}");
                        there.insert(tasks[*index].id.clone());
                    }
                    Step::WithoutTools(index) => {
                        prop_assert!(tasks[*index].is_agent && tasks[*index].is_new);
                        there.insert(tasks[*index].id.clone());
                    }
                    Step::Tools(index) => {
                        prop_assert!(there.contains(&tasks[*index].id));
                        prop_assert!(tasks[*index].needs.is_subset(&there), "{steps:?}");
                    }
                }
            }
            prop_assert_eq!(there.len(), tasks.len());
        }
    }
}
